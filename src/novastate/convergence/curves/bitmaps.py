"""What periodic dirty bitmaps say (KVM_GET_DIRTY_LOG): footprints of windows of 1, 2, 4 ... bitmaps.

Rule: bitmap i has the pages that were written since bitmap i - 1, so the pages of a window of k intervals are the union of k
bitmaps. Where all bitmaps are at hand, the mean is over all windows, by one of two kernels (`_native/bitmaps.c`): unions
word by word, or, where few bits are set (one of 10 000), a histogram of the gaps between a page's bitmaps. Where they come
one by one, `BitmapWindows` keeps one union for each power of two: it takes the windows that do not overlap.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from novastate._native import bitmaps as kernel
from novastate.convergence import bounds
from novastate.convergence.arrays import array_of
from novastate.convergence.curves.footprints import Footprint
from novastate.errors import ConvergenceError

__all__ = ["BitmapWindows", "bitmap_footprints"]

#: The share of set bits below which scanning them is faster than going through all words, and the bitmaps it takes: a table of
#: all pages is made first.
SPARSE, FEWEST = 0.0001, 256
_Words = npt.NDArray[np.uint64]


class BitmapWindows:
    """Collects bitmaps that come one by one, each *interval* seconds after the one before; in all as big as some twenty.

    *page_count*: bits of each; those beyond it in the last word must not be set. Raises `ConvergenceError` naming the argument.

    >>> windows = BitmapWindows(page_count=128, interval=0.1)
    >>> for bits in ([1, 0], [3, 0], [0, 1], [1, 0]):
    ...     windows.add(np.array(bits, np.uint64))
    >>> [(row.tau, row.mean) for row in windows.footprints()]
    [(0.1, 1.25), (0.2, 2.0), (0.4, 3.0)]
    """

    def __init__(self, page_count: int, interval: float) -> None:
        self.page_count = bounds.whole("page_count", page_count, 0, int(bounds.MOST_PAGES))
        self.interval = bounds.number("interval", interval, bounds.SHORTEST, bounds.LONGEST)
        self._counts: list[list[int]] = []
        self._half: list[_Words | None] = []
        self._spare: list[_Words] = []

    def add(self, bitmap: object) -> None:
        """One more bitmap: a buffer of uint64, page 0 in the lowest bit of the first. It is not kept; raises `ConvergenceError`."""
        bits = words("bitmap", bitmap, 1)
        if bits.size != (self.page_count + 63) // 64:
            raise ConvergenceError("bitmap", bits.size, f"must have {(self.page_count + 63) // 64} words")
        check_tail("bitmap", bits[None], self.page_count)
        count, level, own = kernel.count(bits), 0, bits
        while True:
            if level == len(self._half):
                self._half.append(None)
                self._counts.append([])
            self._counts[level].append(count)
            half = self._half[level]
            if half is None:
                if own is bits:
                    own = self._spare.pop() if self._spare else np.empty_like(bits)
                    own[:] = bits
                self._half[level] = own
                return
            # The union of two windows of this level is one of the next.
            half_count = self._counts[level][-2]
            count = half_count + kernel.merge(half, own)
            if own is not bits:
                self._spare.append(own)
            self._half[level], own = None, half
            level += 1

    def footprints(self) -> list[Footprint]:
        """For windows of 1, 2, 4 ... bitmaps: the mean number of pages and those of each window."""
        return [
            Footprint(self.interval * (1 << level), float(np.mean(counts)), counts)
            for level, counts in enumerate(self._counts)
        ]


def bitmap_footprints(bitmaps: object, interval: float, page_count: int | None = None) -> list[Footprint]:
    """For windows of 1, 2, 4 ... bitmaps of *interval* s: the mean over all windows, and the counts of those that do not overlap.

    *bitmaps*: uint64[K, words], page 0 in the lowest bit of the first word; *page_count*: the bits that count, None: all.
    Raises `ConvergenceError` for no bitmap, other shapes, and bits beyond the memory.
    """
    rows = words("bitmaps", bitmaps, 2)
    if not len(rows):
        raise ConvergenceError("bitmaps", 0, "must be at least one")
    pages = rows.shape[1] * 64 if page_count is None else page_count
    bounds.whole("page_count", pages, 0, bounds.MOST_PAGES)
    if rows.shape[1] != (pages + 63) // 64:
        raise ConvergenceError("bitmaps", rows.shape[1], f"must have {(pages + 63) // 64} words each")
    check_tail("bitmaps", rows, pages)
    separate = BitmapWindows(pages, interval)
    for row in rows:
        separate.add(row)
    counts = separate.footprints()[: kernel.LEVELS]
    set_bits = sum(counts[0].counts)
    sparse = set_bits < SPARSE * rows.size * 64 and len(rows) >= FEWEST
    means = (_sparse if sparse else _dense)(rows, len(counts))
    return [Footprint(row.tau, mean, row.counts) for row, mean in zip(counts, means, strict=True)]


def _dense(rows: _Words, levels: int) -> list[float]:
    return [total / (len(rows) - (1 << level) + 1) for level, total in enumerate(kernel.sums(rows, levels))]


def _sparse(rows: _Words, levels: int) -> list[float]:
    gaps, firsts, lasts = (np.zeros(len(rows), np.uint64) for _ in range(3))
    kernel.gaps(rows, gaps, firsts, lasts)
    distinct = int(firsts.sum())
    length = np.arange(len(rows), dtype=np.int64)
    found: list[float] = []
    for level in range(levels):
        k = 1 << level
        missed = sum(
            int((np.maximum(0, free - k) * count.astype(np.int64)).sum())
            for free, count in ((length, gaps), (length + 1, firsts), (length + 1, lasts))
        )
        places = len(rows) - k + 1
        found.append((distinct * places - missed) / places)
    return found


def words(field: str, values: object, dimensions: int) -> _Words:
    """*values* as an array of words, not copied where it is one; raises `ConvergenceError`."""
    found = array_of(field, values)
    if found.ndim != dimensions or found.dtype not in (np.dtype(np.uint64), np.dtype(np.int64)):
        wanted = "one bitmap, a row of uint64" if dimensions == 1 else "rows of uint64, one of each bitmap"
        raise ConvergenceError(field, f"{found.dtype} of shape {found.shape}", f"must be {wanted}")
    return np.ascontiguousarray(found).view(np.uint64)


def check_tail(field: str, rows: _Words, page_count: int) -> None:
    """Raises `ConvergenceError` where a bit beyond the memory is set."""
    over = page_count % 64
    if over and bool((rows[:, -1] >> np.uint64(over)).any()):
        raise ConvergenceError(field, page_count, "must have no page set beyond page_count")
