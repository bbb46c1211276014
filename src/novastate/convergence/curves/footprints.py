"""From pages counted in many windows to a dirty curve: the mean, what it is uncertain by, and the band of the windows.

Rule: the curve goes through the mean number of pages of all windows of a length; its `spread` is the error of those means (a
deviation over the root of the windows that do not overlap; all of the mean where there is one), its band what nine of ten single
windows lie in: a guest with phases has a certain mean and a wide band.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

from novastate.convergence.curves.classes import DirtyClass
from novastate.convergence.curves.fit import fit, straight

__all__ = ["Fitted", "Footprint", "fitted"]

#: Fewer windows than these have no quantiles; their deviation says how wide the band is.
_ENOUGH = 20
_IN_ORDER = 64
#: Of a normal distribution, where 5 % lie beyond.
_NINETY = 1.645


@attrs.frozen
class Footprint:
    """Windows of *tau* seconds: the *mean* number of distinct pages written, and the *counts* of windows that do not overlap.

    *times*: in how many windows each count was seen, where the counts rise; none: each in one, in any order.
    """

    tau: float
    mean: float
    counts: Sequence[float] = ()
    times: Sequence[int] = ()

    @property
    def windows(self) -> int:
        """How many windows do not overlap."""
        return sum(self.times) if self.times else len(self.counts)

    @property
    def error(self) -> float:
        """One standard deviation of the mean; no window or one says nothing, so it is all of the mean."""
        many = self.windows
        if many < 2:
            return self.mean
        counts, times = np.array(self.counts, np.float64), np.array(self.times or 1.0, np.float64)
        off = counts - float((counts * times).sum()) / many
        return math.sqrt(float((off * off * times).sum()) / (many - 1) / many)

    def quantile(self, share: float) -> float:
        """What the share *share* of the windows lies below; on its own side of the mean."""
        pick = min if share < 0.5 else max
        if self.windows >= _ENOUGH:
            return pick(self.mean, self._quantile(share))
        off = _NINETY * self.error * math.sqrt(max(1, self.windows))
        return max(0.0, self.mean - off) if share < 0.5 else self.mean + off

    def _quantile(self, share: float) -> float:
        if not self.times:
            return float(np.quantile(self.counts, share))
        place = share * (self.windows - 1)
        below = np.cumsum(self.times)
        low, high = (
            self.counts[int(np.searchsorted(below, at, side="right"))] for at in (int(place), math.ceil(place))
        )
        return low + (high - low) * (place - int(place))


@attrs.frozen
class Fitted:
    """The classes of a curve and of its band, the spread of its mean, and (tau, pages, deviation) of what it goes through."""

    classes: tuple[DirtyClass, ...]
    lower: tuple[DirtyClass, ...]
    upper: tuple[DirtyClass, ...]
    spread: float
    observations: tuple[tuple[float, float, float], ...]


def fitted(footprints: Sequence[Footprint], page_count: int, slope: float | None = None) -> Fitted:
    """The curve through *footprints*, at least one; *slope*: writes a second, where known."""
    taus = np.array([row.tau for row in footprints])

    low, high = ([row.quantile(share) for row in footprints] for share in (0.05, 0.95))
    width = np.array(high) - np.array(low)

    def through(values: Sequence[float], off: npt.ArrayLike, slope: float | None = None) -> tuple[DirtyClass, ...]:
        pages: npt.NDArray[np.float64] = np.minimum(np.maximum.accumulate(np.array(values)), float(page_count))
        # Fewer pages than these are no sign of the order in which they come.
        sure = pages >= _IN_ORDER
        ordered = straight(taus[sure], pages[sure], page_count) if sure.any() else None
        if ordered is not None:
            return (ordered,)
        errors: npt.NDArray[np.float64] = np.maximum(np.maximum(0.01 * pages, 0.01), off)
        return fit(taus, pages, errors, page_count, slope, firm=True)

    errors = [row.error / row.mean for row in footprints if row.mean > 0]
    return Fitted(
        through([row.mean for row in footprints], 0.0, slope),
        through(low, 0.3 * width),
        through(high, 0.3 * width),
        min(1.0, float(np.median(errors))) if errors else 0.0,
        tuple((row.tau, row.mean, row.error) for row in footprints),
    )
