"""How the writes of one part of a law are shared out among its pages: groups of ranks with equal rates.

Rules: a uniform part is one group; of a hot-and-cold part the hot pages are one and the cold ones another. Of a zipf part each of
the first 1024 ranks is one; above, the ranks up to 1.0007 times the first of a group are taken for equal (a page's rate is
off by less than 0.04 % of its exponent), so that 2**30 pages make 20 000 groups. Groups are in order of falling rates.

A random number of 64 bits chooses group and page: each group owns a run of numbers as long as its share of the writes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from novastate.convergence.simulation.laws import Part

if TYPE_CHECKING:
    import numpy.typing as npt

    Words = npt.NDArray[np.uint64]
    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

__all__ = ["Shares", "shares_of"]

#: Ranks of a zipf part that have groups of their own, and groups for each doubling of the rank above.
_FINE = 1024
_WHOLE = 2.0**64


@frozen(eq=False)
class Shares:
    """The tables of `novastate._native.scan.draw`, and of each group its *sizes* and the share of the writes that one page takes.

    *above* is what the groups from each on take together.
    """

    groups: Words
    ratios: Floats
    guide: npt.NDArray[np.int32]
    shift: int
    sizes: Integers
    each: Floats
    above: Floats


@lru_cache(maxsize=64)
def shares_of(part: Part) -> Shares:
    """The shares of a part that is not sequential."""
    lows, sizes, weights = _groups(part)
    used = weights > 0
    if not used.any():
        used[:] = weights[:] = 1
    lows, sizes, weights = lows[used], sizes[used], weights[used]
    order = np.argsort(-weights / sizes, kind="stable")
    lows, sizes, weights = lows[order], sizes[order], weights[order] / weights.sum()
    ends = np.minimum(np.cumsum(weights), 1 - 2.0**-53)
    starts = np.concatenate((np.zeros(1, np.uint64), (ends[:-1] * _WHOLE).astype(np.uint64)))
    drawn = np.concatenate((starts[1:] > starts[:-1], [True]))
    lows, sizes, weights, starts = lows[drawn], sizes[drawn], weights[drawn], starts[drawn]
    last = np.append(starts[1:] - np.uint64(1), np.uint64((1 << 64) - 1))
    steps = ((last - starts) >> np.uint64(11)).astype(np.float64) + 1
    bits = min(17, max(10, len(starts).bit_length()))
    first_numbers = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
    return Shares(
        groups=np.ascontiguousarray(np.column_stack((starts, last, lows.astype(np.uint64)))),
        ratios=np.minimum(sizes / steps, 1024.0),
        guide=np.searchsorted(last, first_numbers).astype(np.int32),
        shift=64 - bits,
        sizes=sizes,
        each=weights / sizes,
        above=np.append((_WHOLE - starts.astype(np.float64)) / _WHOLE, 0.0),
    )


def _groups(part: Part) -> tuple[Integers, Integers, Floats]:
    """First rank (from 0), pages and weight of each group."""
    if part.pattern == "hotcold" and part.pages > 1:
        hot = part.hot_pages
        rows = [(0, hot, part.hot_weight), (hot, part.pages - hot, 1 - part.hot_weight)]
    elif part.pattern == "zipf":
        return _zipf(part.pages, part.s)
    else:
        rows = [(0, part.pages, 1.0)]
    lows, sizes, weights = zip(*rows, strict=True)
    return np.array(lows), np.array(sizes), np.array(weights, dtype=np.float64)


def _zipf(pages: int, s: float) -> tuple[Integers, Integers, Floats]:
    fine = np.arange(1, min(pages, _FINE) + 2)
    doublings = max(0.0, np.log2(pages / _FINE)) if pages > _FINE else 0.0
    coarse = _FINE * 2.0 ** (np.arange(1, int(doublings * _FINE) + 2) / _FINE)
    edges = np.unique(np.concatenate((fine, coarse.astype(np.int64), [pages + 1])))
    edges = edges[edges <= pages + 1]
    lows, sizes = edges[:-1], np.diff(edges)
    single = lows <= _FINE
    weights = np.zeros(len(lows))
    weights[single] = lows[single].astype(np.float64) ** -s
    # Above, the sum of k**-s is an integral to seven digits.
    low, high = lows[~single] - 0.5, edges[1:][~single] - 0.5
    span = np.log(high / low)
    power = (1 - s) * span
    factor = np.where(np.abs(power) < 1e-12, span, np.expm1(power) / np.where(power == 0, 1, power) * span)
    weights[~single] = np.exp((1 - s) * np.log(low)) * factor
    return lows - 1, sizes, weights
