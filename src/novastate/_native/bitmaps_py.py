"""The Python twin of the bitmap kernels, on numpy: the definitions, as bitmaps.h has them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from novastate._native.tables_py import force_isa, isa, variants

__all__ = ["LEVELS", "Words", "count", "force_isa", "gaps", "isa", "merge", "sums", "variants"]

Words = npt.NDArray[np.uint64]
#: Unions of 1, 2, 4 ... 2**15 bitmaps.
LEVELS = 16
_BITS = np.array([at.bit_count() for at in range(256)], np.uint8)


def merge(out: Words, bits: Words) -> int:
    """``out |= bits``; how many bits of *out* that set."""
    if out.shape != bits.shape:
        raise ValueError("out, bits: must have the same number of words")
    found = count(bits & ~out)
    out |= bits
    return found


def count(bits: Words) -> int:
    """Bits that are set."""
    return int(_BITS[np.ascontiguousarray(bits).view(np.uint8)].sum(dtype=np.uint64))


def sums(bitmaps: Words, levels: int) -> tuple[int, ...]:
    """For k = 1, 2, 4 ...: the sum of the footprints of all windows of k bitmaps."""
    if not 1 <= levels <= LEVELS:
        raise ValueError(f"levels: must be 1 to {LEVELS}")
    found = [0] * levels
    joint = bitmaps
    for level in range(min(levels, len(bitmaps).bit_length())):
        if level:
            size = 1 << (level - 1)
            joint = joint[:-size] | joint[size:]
        found[level] = count(joint)
    return tuple(found)


def gaps(bitmaps: Words, gaps: Words, firsts: Words, lasts: Words) -> None:
    """Histograms of all set bits: gap to the bitmap that had the page before, first bitmap, bitmaps after the last one."""
    rows = len(bitmaps)
    if not len(gaps) == len(firsts) == len(lasts) == rows:
        raise ValueError("gaps, firsts, lasts: must have a number for each bitmap")
    if not bitmaps.size:
        return
    last = np.zeros(bitmaps.shape[1] * 64, np.int64)
    for at, row in enumerate(bitmaps):
        pages = np.flatnonzero(np.unpackbits(row.astype("<u8").view(np.uint8), bitorder="little"))
        seen = last[pages]
        gaps += np.bincount(at + 1 - seen[seen > 0], minlength=rows)[:rows].astype(np.uint64)
        firsts[at] += np.uint64(np.count_nonzero(seen == 0))
        last[pages] = at + 1
    lasts += np.bincount(rows - last[last > 0], minlength=rows)[:rows].astype(np.uint64)
