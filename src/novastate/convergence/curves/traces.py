"""What a trace of writes says: exact footprints of all windows, and of one page set chosen by hash.

Rule: times are cut into slots of *resolution* seconds; fp(w) is the mean, over all windows of w slots in the record, of the number
of distinct pages written in it. One pass finds it for any number of windows (`_native/footprint.c`). Windows that
do not overlap are counted by how many pages were written in them: time and memory grow with the writes, not with the record.

Domain: pages from 0 to *page_count* - 1, at most 2**40 of them, in the order of their times, which do not fall; fewer than 2**32
writes and slots. Where pages are few of very many, they are numbered anew first, which sorts them.
Sources: Xiang, Ding et al., HOTL, ASPLOS'13; SHARDS (Waldspurger et al., FAST'15) for the page set.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from novastate._native import footprint as kernel
from novastate.convergence import bounds
from novastate.convergence.arrays import array_of
from novastate.convergence.curves.footprints import Footprint
from novastate.errors import ConvergenceError

__all__ = ["Trace", "footprint", "page_set"]

_MOST = (1 << 32) - 2
#: A table of as many entries is made without asking; more only where there are as many writes.
_TABLE = 1 << 24
#: Writes from which the band is estimated; of more, those of a page set.
_BAND_WRITES = 2_000_000
#: Pages hashed at a time; pages among which a page set is looked for.
_BLOCK, _MOST_HASHED = 1 << 16, 1 << 32
_Column = npt.NDArray[Any]


@attrs.frozen(eq=False)
class Trace:
    """A trace, checked and cut into slots; `made` makes it."""

    pages: _Column
    times: _Column | None
    page_count: int
    start: float
    rate: float
    slots: int
    resolution: float

    @classmethod
    def made(
        cls,
        pages: object,
        times: object,
        page_count: int,
        *,
        resolution: float | None = None,
        unit: float = 1.0,
        start: float | None = None,
        end: float | None = None,
        lasting: bool = False,
    ) -> Trace:
        """*pages* and *times* (None: one write a slot) are buffers of numbers; a time is *unit* seconds.

        *start* and *end* of the record, as times; None: the first and the last write. *resolution*: seconds a slot; None: a
        microsecond, or more where the record is longer than an hour. *lasting*: a record without length
        is refused. Raises `ConvergenceError` naming what is wrong.
        """
        bounds.whole("page_count", page_count, 0, bounds.MOST_PAGES)
        column = _column("pages", pages, "iu")
        if column.size and not page_count:
            raise ConvergenceError("page_count", page_count, "must be 1 or more where pages are written")
        if times is None:
            slots = column.size
            return cls(
                _dense(column, page_count), None, min(page_count, _most_pages(column, page_count)), 0, 1, slots, 1
            )
        moments = _column("times", times, "iuf")
        if moments.size != column.size:
            raise ConvergenceError("times", moments.size, f"must be as many as the {column.size} pages")
        if not column.size and (start is None or end is None):
            raise ConvergenceError("times", 0, "must hold a moment, where start and end are not told")
        unit = bounds.number("unit", unit, 0, bounds.LONGEST, above=True)
        first = float(moments[0]) if start is None else _finite("start", start)
        last = float(moments[-1]) if end is None else _finite("end", end)
        span = bounds.number("times[-1] - times[0]", (last - first) * unit, 0, bounds.LONGEST)
        if lasting and span == 0.0:
            raise ConvergenceError("times", first, "must span some time, or start and end must be told")
        step = (
            max(1e-6, span / (_MOST // 2))
            if resolution is None
            else bounds.number("resolution", resolution, above=True)
        )
        if span / step >= _MOST - 1:
            raise ConvergenceError("resolution", step, f"must be above {span / _MOST:g} s for a record of {span:g} s")
        slots = int((last - first) * (unit / step)) + 1
        count = _most_pages(column, page_count)
        return cls(_dense(column, page_count), moments, count, first, unit / step, slots, step)

    def footprints(self, windows: Sequence[int]) -> list[float]:
        """fp(w) for each of *windows*, in slots: rising, from 1 to all slots."""
        limits = np.array(windows, np.uint32)
        counts, sums, distinct = kernel.lengths(
            self.pages, self.times, self.start, self.rate, self.slots, self.page_count, limits
        )
        above, total, found = 0, 0, list[float]()
        for w, count, length in zip(windows[::-1], counts[:0:-1], sums[:0:-1], strict=True):
            above += count
            total += length
            places = self.slots - w + 1
            # Whole numbers until here, so exact; one division rounds.
            found.append((distinct * places - (total - above * w)) / places)
        return found[::-1]

    def separate(self, windows: Sequence[int]) -> list[tuple[list[float], list[int]]]:
        """For each of *windows*, how many pages were written in those of that length that do not overlap, and how often so many.

        Of a long trace, those of a page set, scaled. Takes memory by the writes, however many windows nothing is written in.
        """
        pages, slots = self.pages, self._slots()
        share = min(1.0, _BAND_WRITES / max(1, pages.size))
        if share < 1.0:
            kept = np.flatnonzero(_chosen(pages, share))
            pages, slots = pages[kept], slots[kept]
        order = np.argsort(pages, kind="stable")
        page, slot = pages[order], slots[order]
        new = np.ones(page.size, bool)
        new[1:] = page[1:] != page[:-1]
        found: list[tuple[list[float], list[int]]] = []
        for w in windows:
            at = slot // w
            first = new.copy()
            first[1:] |= at[1:] != at[:-1]
            whole = self.slots // w
            at = at[first & (at < whole)]
            seen = np.bincount(at) if whole <= 2 * slot.size else np.unique(at, return_counts=True)[1]
            counts, times = np.unique(seen[seen > 0], return_counts=True)
            idle = whole - int(times.sum())
            found.append(([0.0] * (idle > 0) + (counts / share).tolist(), [idle] * (idle > 0) + times.tolist()))
        return found

    def measured(self, points: int = 40) -> list[Footprint]:
        """Footprints at *points* windows, from a millisecond (or a slot) to half of the record, evenly in the logarithm."""
        longest = max(1, self.slots // 2)
        shortest = min(longest, max(1, math.ceil(1e-3 / self.resolution)))
        windows = sorted({round(w) for w in np.geomspace(shortest, longest, points).tolist()})
        return [
            Footprint(w * self.resolution, mean, *counts)
            for w, mean, counts in zip(windows, self.footprints(windows), self.separate(windows), strict=True)
        ]

    def _slots(self) -> npt.NDArray[np.int64]:
        if self.times is None:
            return np.arange(self.pages.size)
        return ((self.times.astype(np.float64) - self.start) * self.rate).astype(np.int64)


def footprint(
    pages: object, times: object = None, *, page_count: int, windows: Sequence[float], resolution: float = 1.0
) -> list[float]:
    """Exact mean number of distinct pages written in windows of each length, over all places of the window in the record.

    *pages*: a buffer of page numbers; *times*: a buffer of times that do not fall, cut into slots of *resolution*, of the same
    unit; without them each write is a slot. *windows*: lengths in that unit, whole slots, at most the record.
    Raises `ConvergenceError` naming the write or the window that is wrong.

    >>> footprint([7, 8, 7, 9], page_count=16, windows=[1, 2, 4])
    [1.0, 2.0, 3.0]
    """
    bounds.number("resolution", resolution, above=True)
    trace = Trace.made(pages, times, page_count, resolution=resolution)
    slots: list[int] = []
    for at, window in enumerate(bounds.entries("windows", windows, object)):
        length = bounds.number(f"windows[{at}]", window, above=True) / (1.0 if times is None else resolution)
        if not 0.5 < length < trace.slots + 0.5 or abs(round(length) - length) > 1e-6:
            raise ConvergenceError(f"windows[{at}]", window, f"must be 1 to {trace.slots} whole slots")
        slots.append(round(length))
    rising = sorted(set(slots))
    found = dict(zip(rising, trace.footprints(rising), strict=True))
    return [found[w] for w in slots]


def page_set(page_count: int, share: float, *, seed: int = 0) -> npt.NDArray[np.uint64]:
    """The pages, rising, that hash and *seed* choose: about the share *share* of all, the same at any time and anywhere.

    Raises `ConvergenceError` for a share not from 0 to 1, and for more pages than 2**32, of which none are listed.

    >>> page_set(1 << 20, 1e-5, seed=7).size
    8
    """
    bounds.whole("page_count", page_count, 0, _MOST_HASHED)
    bounds.whole("seed", seed, 0, (1 << 64) - 1)
    bounds.number("share", share, 0, 1)
    found = [np.zeros(0, np.uint64)]
    for first in range(0, page_count, _BLOCK):
        chosen = np.zeros(min(_BLOCK, page_count - first), np.uint8)
        kernel.choose(None, first, seed, _limit(share), chosen)
        found.append((np.flatnonzero(chosen) + first).astype(np.uint64))
    return np.concatenate(found)


def _limit(share: float) -> int:
    return min((1 << 64) - 1, int(share * 2.0**64))


def _chosen(pages: _Column, share: float) -> npt.NDArray[np.uint8]:
    chosen = np.zeros(pages.size, np.uint8)
    for first, last in itertools.pairwise([*range(0, pages.size, _BLOCK), pages.size]):
        kernel.choose(pages[first:last].astype(np.uint64), 0, 0, _limit(share), chosen[first:last])
    return chosen


def _finite(field: str, value: object) -> float:
    return bounds.number(field, value, -bounds.FASTEST)


def _column(field: str, values: object, kinds: str) -> _Column:
    column: _Column = array_of(field, values)
    if column.ndim != 1 or (column.size and column.dtype.kind not in kinds):
        what = "must be a row of numbers" if "f" in kinds else "must be a row of page numbers"
        raise ConvergenceError(field, f"{column.ndim} dimensions of {column.dtype}", what)
    if column.dtype.kind == "f" or column.dtype.kind not in "iu":
        return np.ascontiguousarray(column, np.float64 if "f" in kinds else np.int64)
    same = column.dtype.itemsize >= 4 and column.dtype.isnative
    return np.ascontiguousarray(column) if same else np.ascontiguousarray(column, np.int64)


def _most_pages(pages: _Column, page_count: int) -> int:
    """Entries of the table of last writes."""
    return page_count if page_count <= max(_TABLE, 8 * pages.size) and page_count <= _MOST else pages.size


def _dense(pages: _Column, page_count: int) -> _Column:
    """*pages*, numbered anew where a table of all pages would be out of proportion."""
    if page_count == _most_pages(pages, page_count) or not pages.size:
        return pages
    wrong = np.flatnonzero((pages < 0) | (pages >= page_count))
    if wrong.size:
        raise ConvergenceError(f"pages[{wrong[0]}]", int(pages[wrong[0]]), f"must be 0 to {page_count - 1}")
    return np.unique(pages, return_inverse=True)[1].astype(np.uint32)
