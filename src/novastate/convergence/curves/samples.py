"""What a fixed set of sampled pages says: their checksums or versions, looked at again and again.

Rule: the same n pages of N are followed through all windows, so they are bitmaps of n bits; a count of them is scaled by N/n. What the
choice of the pages leaves open is binomial: of a share p, a deviation of sqrt(p (1 - p) / n). Choose them by hash
(`novastate.convergence.curves.traces.page_set`), never by address.

Checksums are blind to pages rewritten with equal bytes; versions (generation counts) are not.
Source: SHARDS (Waldspurger et al., FAST'15).
"""

from __future__ import annotations

import math

import numpy as np

from novastate.convergence import bounds
from novastate.convergence.arrays import array_of
from novastate.convergence.curves.bitmaps import bitmap_footprints
from novastate.errors import ConvergenceError

__all__ = ["chance_of", "rate_seen", "sampled_points"]


def chance_of(pages: float, page_count: int, samples: float, least: float = 0.5) -> float:
    """The deviation of a count of *pages* of *page_count* that *samples* pages show (binomial); fewer than *least* of those may be one."""
    share = min(1.0, max(pages / max(1, page_count), least / samples))
    return page_count * math.sqrt(share * max(1.0 - share, least / samples) / samples)


def rate_seen(field: str, rate: object, resolution: float) -> float:
    """*rate*, bytes/s, which an instrument rounds down to *resolution*; raises `ConvergenceError` for one that it cannot have told."""
    found = bounds.number(field, rate)
    if 0.0 < found < resolution:
        unit = f"must be 0, or {resolution:g} and more, the resolution in bytes/s: in MiB/s it is another unit"
        raise ConvergenceError(field, rate, unit)
    return found


def sampled_points(versions: object, interval: float, page_count: int) -> list[tuple[float, float, float]]:
    """(tau, pages, deviation) of windows of 1, 2, 4 ... *interval* s, scaled to *page_count* pages.

    *versions*: [looks, n], what each of the n pages had at each look, of any type that compares; at least two looks.
    Raises `ConvergenceError` for another shape, NaN, and more sampled pages than there are.
    """
    seen = array_of("versions", versions)
    if seen.ndim != 2 or len(seen) < 2 or not seen.shape[1]:
        raise ConvergenceError("versions", seen.shape, "must be at least two looks at one page or more")
    if seen.dtype.kind == "f" and bool(np.isnan(seen).any()):
        raise ConvergenceError("versions", math.nan, "must not hold NaN")
    n = seen.shape[1]
    bounds.whole("page_count", page_count, 0, bounds.MOST_PAGES)
    if n > page_count:
        raise ConvergenceError("versions", n, f"has more pages than the memory's {page_count}")
    changed = np.packbits(seen[1:] != seen[:-1], axis=1, bitorder="little")
    padded = np.zeros((len(changed), (n + 63) // 64 * 8), np.uint8)
    padded[:, : changed.shape[1]] = changed
    points: list[tuple[float, float, float]] = []
    for row in bitmap_footprints(padded.view("<u8").astype(np.uint64, copy=False), interval, n):
        # Nothing seen of n pages may be half a page; all of them, all but half a one.
        share = min(max(row.mean, 0.5), n - 0.5) / n
        chance = math.sqrt(share * (1.0 - share) / n * (1.0 - n / page_count))
        own = row.error / n if len(row.counts) > 1 else 0.0
        points.append((row.tau, row.mean / n * page_count, max(0.5, page_count * math.hypot(chance, own))))
    return points
