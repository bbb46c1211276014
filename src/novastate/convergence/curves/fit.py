"""From points of W to classes of pages: the least squares behind every dirty curve.

Rule: a mixture of classes with non-negative sizes is increasing and concave whatever the sizes, and comes near to every curve of
independent pages. Its sizes are found by non-negative least squares over rates laid out evenly in the logarithm. A W that
stays straight is a writer in order of address, which is no such mixture, and is a class of its own.

Source: non-negative least squares by active set: Lawson and Hanson 1974.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from novastate._native.precopy_fields import MAX_CLASSES
from novastate.convergence.curves.classes import DirtyClass
from novastate.errors import ConvergenceError

__all__ = ["check_shape", "fit", "nnls", "straight"]

_Floats = npt.NDArray[np.float64]
#: Rates that are tried, for each factor of ten.
_RATES_PER_DECADE = 30
#: W is straight, hence written in sequence, where no point is off by more than this share.
_STRAIGHT = 0.006
#: Points that are off by more standard deviations than this are no chance.
_CHANCE = 4.0


def _exactly(pages: float) -> float:
    """The deviation of a count that is one of every page: none, whatever the *pages*."""
    return 0.0 * pages


def check_shape(
    points: list[tuple[float, float]],
    noise: float,
    slack: float = 2.0,
    name: str = "windows",
    chance: Callable[[float], float] = _exactly,
) -> None:
    """Raises `ConvergenceError` where points of W fall or are not concave by more than *noise* (relative), *slack* (pages/s) and chance.

    *chance*: the deviation with which the instrument counts so many pages. A point is held against what the other one allows, and the
    deviation is that of the allowed: of few sampled pages none may have changed where a thousand are written. The error names the
    point as one of *name*.
    """
    for (t0, w0), (t1, w1) in itertools.pairwise(points if math.isfinite(noise) else ()):
        if w1 * (1 + noise) + slack * t1 + _CHANCE * math.hypot(chance(w0), chance(w0)) < w0:
            raise ConvergenceError(f"{name}[{t1}]", w1, f"must not fall: {w0:g} pages were written in {t0:g} s")
        part = t0 / t1
        least = w1 * part  # what the shorter window has, at least
        if least > w0 * (1 + noise) + slack * t0 + _CHANCE * math.hypot(chance(least), part * chance(w1)):
            raise ConvergenceError(
                f"{name}[{t1}]", w1, f"is not concave: {w0:g} pages in {t0:g} s allow {w0 / part:g} at most"
            )


def fit(
    taus: _Floats,
    pages: _Floats,
    errors: _Floats,
    page_count: int,
    slope: float | None = None,
    *,
    firm: bool = False,
) -> tuple[DirtyClass, ...]:
    """Classes whose sum comes nearest to *pages* at *taus*, each point weighed by 1/*errors*, and to *slope* at 0.

    *firm*: the points are sure, also the long windows; so no rate is left out where the sizes would be more than the memory.
    """
    most = float(pages.max())
    if most <= 0.0 or page_count <= 0:
        return ()
    in_order = straight(taus, pages, page_count)
    if in_order is not None:
        return (in_order,)
    low, high = 0.02 / float(taus[-1]), (300.0 if slope else 12.0) / float(taus[0])
    while True:
        rates: _Floats = np.geomspace(low, high, max(2, math.ceil(_RATES_PER_DECADE * math.log10(high / low))))
        basis = -np.expm1(-np.outer(taus, rates)) / errors[:, None]
        # One more row, of little weight: of the sizes that fit equally, the smaller sum.
        basis = np.vstack([basis, np.full(len(rates), 1e-3 / page_count)])
        target = np.append(pages / errors, 0.0)
        if slope is not None and slope > 1e-6:
            basis = np.vstack([basis, rates / slope])
            target = np.append(target, 1.0)
        sizes = nnls(basis, target)
        if sizes.sum() <= page_count:
            break
        if firm:
            sizes = nnls(np.vstack([basis, np.full(len(rates), 1e3 / page_count)]), np.append(target, 1e3))
            sizes *= min(1.0, page_count / sizes.sum())
            break
        # More pages than there are: the slowest classes, which are hardly seen, must be smaller and faster.
        if low * 1.5 >= high:
            sizes *= page_count / sizes.sum()
            break
        low *= 1.5
    kept = sizes > 1e-6
    return tuple(
        DirtyClass(float(size), float(size * rate)) for size, rate in zip(sizes[kept], rates[kept], strict=True)
    )[: MAX_CLASSES - 8]


def straight(taus: _Floats, pages: _Floats, page_count: int) -> DirtyClass | None:
    """The sequential writer that fits every point, if there is one."""
    if len(taus) < 3 or pages[0] < 64:
        return None
    rate = float(pages[0] / taus[0])
    size = float(pages.max())
    if float(np.abs(np.minimum(rate * taus, size) / np.maximum(pages, 1.0) - 1.0).max()) > _STRAIGHT:
        return None
    # Not seen to come round: it may go through nearly all of the memory.
    round_seen = rate * float(taus[-1]) > size * 1.02
    return DirtyClass(size if round_seen else 0.9 * page_count, rate, sequential=True)


def nnls(a: _Floats, b: _Floats) -> _Floats:
    """The x >= 0 of least (a x - b)**2, by Lawson and Hanson's active set; the number of steps is bounded."""
    n = a.shape[1]
    x: _Floats = np.zeros(n)
    free = np.zeros(n, dtype=bool)
    gradient = a.T @ b
    limit = 1e-9 * float(np.abs(gradient).max())
    for _ in range(3 * n):
        slopes = np.where(free, -np.inf, gradient)
        best = int(np.argmax(slopes))
        if slopes[best] <= limit:
            break
        free[best] = True
        for _ in range(n):
            trial: _Floats = np.zeros(n)
            trial[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
            if not free.any() or trial[free].min() > 0.0:
                x = trial
                break
            stuck = free & (trial <= 0.0)
            step = float((x[stuck] / np.maximum(x[stuck] - trial[stuck], 1e-300)).min())
            x += step * (trial - x)
            free &= x > 1e-12
            x[~free] = 0.0
        gradient = a.T @ (b - a @ x)
    return x
