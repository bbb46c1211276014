"""What few, noisy points say of W: not the one curve that fits best, but all that fit, each by how well it does.

Rule (Bayes): a curve is one of a fixed set of shapes times the pages that are written at all. Shapes: one class of pages; two; a
range of rates, of no more classes than a curve may have, with sizes that fall as a power of the rate (zipf-like); in order of
address. A shape's weight is its prior times its likelihood, where the error of a point is what its instrument has, and besides a
share of W by which the guest is unsteady; how large that share is, the points say themselves: those of one window that differ more
than the instrument allows, or that no curve goes through, are of a guest with phases.

So what was not looked at is uncertain by itself: windows shorter than the shortest that was measured, and longer than the longest.
A shape that would need more pages than the guest has is taken with all of them, and is as likely as it then comes near.

Domain: any number of points, tau from 1 us to a year.
Cost: 800 shapes (3000 for windows of a microsecond) times 6 steadinesses times the points: 3 to 15 ms.
Sources: Bayesian model averaging (Hoeting et al. 1999); zipf with exponent s has sizes falling with the rate to the power 1/s.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import attrs
import numpy as np
import numpy.typing as npt

from novastate._native.precopy_fields import MAX_CLASSES
from novastate.convergence.curves.classes import DirtyClass
from novastate.convergence.curves.fit import fit

__all__ = ["DRAWS", "WINDOWS", "Posterior", "Unseen", "posterior"]

_Floats = npt.NDArray[np.float64]
#: How many curves stand for all that fit.
DRAWS = 24
#: Rates of the classes, times a second: the slowest, how many, and the factor between two; every second one in shapes of more
#: than one class. Where 40 a second is not enough they go on: to `_FASTER` in the shortest window that was measured, and to
#: `_BEYOND` times the rate at which all of the memory must be written for what was seen.
_SLOWEST, _RATES, _STEP = 0.02, 25, 2000 ** (1 / 24)
_FASTER, _BEYOND = 6.0, 8.0
#: Of two classes, the share of the pages that the slower one has; of a range of rates, the powers.
_SHARES = (0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
_POWERS = (0.0, 0.6, 1.0, 1.5)
#: How often each kind of shape is the right one: one class, two, a range, in order.
_PRIORS = (0.35, 0.35, 0.25, 0.05)
#: How unsteady guests are (one standard deviation, as a share of W), and how often.
_UNSTEADY = ((0.01, 0.35), (0.03, 0.3), (0.08, 0.15), (0.2, 0.1), (0.5, 0.06), (1.2, 0.04))
#: The shortest time in which a writer in order comes round, and the longest, s.
_TURNS = (0.3, 120.0, 40)
#: Windows at which the curves are compared and their mean is fitted, s.
WINDOWS: _Floats = np.geomspace(0.05, 8.0, 14)
#: The window that decides whether a migration converges: about a slot.
_DECIDING = 0.15


@attrs.frozen
class Posterior:
    """*classes*: the mean curve; *draws*: curves that are equally likely, from few pages written in a short window to many;
    *spread*: one standard deviation of W as a share of it, over windows of 0.05 to 8 s, and of what is not seen.
    """

    classes: tuple[DirtyClass, ...]
    draws: tuple[tuple[DirtyClass, ...], ...]
    spread: float


@attrs.frozen
class Unseen:
    """What the instrument does not see of a guest: in the share *more* of guests there is more written than it says, in the share
    *less* there will be less; by factors whose logarithms are exponential, of mean *more_scale* and *less_scale*.
    """

    more: float = 0.0
    less: float = 0.0
    more_scale: float = 0.9
    less_scale: float = 0.7

    def factor(self, u: float) -> float:
        """The quantile at *u*, above 0 and below 1."""
        if u > 1.0 - self.more:
            return math.exp(-self.more_scale * math.log((1.0 - u) / self.more))
        if u < self.less:
            return math.exp(self.less_scale * math.log(u / self.less))
        return 1.0


_ALL_SEEN = Unseen()


@attrs.frozen(eq=False)
class _Shapes:
    """*rows*: shares of the pages by the *rates* (a row a shape); *turns* of the writers in order; *prior* of each, in that order."""

    rates: _Floats
    rows: _Floats
    turns: _Floats
    prior: _Floats

    def values(self, taus: _Floats) -> _Floats:
        """Every shape at every window."""
        mixed: _Floats = self.rows @ -np.expm1(-np.outer(self.rates, taus))
        return np.vstack([mixed, np.minimum(taus / self.turns[:, None], 1.0)])

    def classes(self, shape: int, pages: float, page_count: float) -> tuple[DirtyClass, ...]:
        """The shape number *shape* of *pages* pages."""
        if pages < 1e-6:
            return ()
        if shape >= len(self.rows):
            turn = float(self.turns[shape - len(self.rows)])
            return (DirtyClass(min(pages, page_count), pages / turn, sequential=True),)
        return tuple(
            DirtyClass(float(pages * share), float(pages * share * rate))
            for share, rate in zip(self.rows[shape], self.rates, strict=True)
            if share * pages > 1e-6
        )


def _shapes_for(taus: _Floats, pages: _Floats, page_count: float) -> _Shapes:
    """The shapes among which those are that come through *pages* written in *taus*."""
    needed = -np.log1p(-np.minimum(pages / page_count, 1.0 - math.exp(-_FASTER))) / taus
    fastest = max(_FASTER / float(taus.min()), _BEYOND * float(needed.max()))
    more = math.log(fastest / (_SLOWEST * _STEP ** (_RATES - 1)), _STEP)
    return _shapes(_RATES + 2 * max(0, math.ceil(more / 2)))


@lru_cache(maxsize=4)
def _shapes(many: int) -> _Shapes:
    """The shapes of *many* rates."""
    rates: _Floats = _SLOWEST * _STEP ** np.arange(many)
    rows: list[_Floats] = []
    kinds: list[int] = []
    coarse = range(0, many, 2)
    for at in range(many):
        rows.append(np.eye(many)[at])
        kinds.append(0)
    for slow in coarse:
        for fast in range(slow + 2, many, 2):
            for share in _SHARES:
                row = np.zeros(many)
                row[[slow, fast]] = share, 1.0 - share
                rows.append(row)
                kinds.append(1)
            for power in _POWERS if 6 <= fast - slow < 2 * MAX_CLASSES else ():
                row = np.zeros(many)
                between = slice(slow, fast + 1, 2)
                row[between] = rates[between] ** -power
                rows.append(row / row.sum())
                kinds.append(2)
    turns: _Floats = np.geomspace(*_TURNS)
    kinds += [3] * len(turns)
    counts = np.bincount(kinds)
    prior = np.array([_PRIORS[kind] / counts[kind] for kind in kinds])
    return _Shapes(rates, np.array(rows), turns, prior)


def posterior(
    points: tuple[tuple[float, float, float], ...], page_count: float, unseen: Unseen = _ALL_SEEN
) -> Posterior:
    """All curves through *points* (tau, pages, one standard deviation of the instrument) of a guest with *page_count* pages.

    *unseen* is in the draws, not in `classes`.
    """
    taus, pages, errors = (np.array([row[k] for row in points]) for k in range(3))
    shapes = _shapes_for(taus, pages, page_count)
    values = shapes.values(taus)
    logs: list[_Floats] = []
    sizes: list[_Floats] = []
    sigmas: list[_Floats] = []
    for unsteady, often in _UNSTEADY:
        size = np.full(len(values), float(pages.max()))
        variance = np.broadcast_to(errors**2, values.shape)
        for _ in range(3):
            variance = errors**2 + (unsteady * size[:, None] * values) ** 2
            size = (values * pages / variance).sum(axis=1) / (values**2 / variance).sum(axis=1)
        size = np.minimum(size, page_count)
        sigma = np.minimum(1.0 / np.sqrt((values**2 / variance).sum(axis=1)), page_count)
        misfit = ((size[:, None] * values - pages) ** 2 / variance + np.log(variance)).sum(axis=1)
        logs.append(np.log(shapes.prior * often * sigma / np.maximum(size, sigma)) - misfit / 2)
        sizes.append(size)
        sigmas.append(sigma)
    found, size, sigma = np.array(logs), np.array(sizes), np.array(sigmas)
    weights = np.exp(found - found.max())
    weights /= weights.sum()
    # What was measured in windows shorter than those that are compared is in the curve, too.
    brief: _Floats = np.unique(taus[taus < 0.9 * WINDOWS[0]])
    return _summed(shapes, weights, size, sigma, page_count, unseen, brief)


def _summed(
    shapes: _Shapes, weights: _Floats, size: _Floats, sigma: _Floats, page_count: float, unseen: Unseen, brief: _Floats
) -> Posterior:
    windows: _Floats = np.concatenate([brief, WINDOWS])
    at = shapes.values(windows)
    every: _Floats = size[:, :, None] * at
    mean: _Floats = (weights[:, :, None] * every).sum(axis=(0, 1))
    if mean[-1] < 1e-6:
        mean = np.zeros_like(mean)
    own: _Floats = sigma[:, :, None] * at
    off = (weights[:, :, None] * ((every - mean) ** 2 + own**2)).sum(axis=(0, 1))
    spread = float(np.sqrt(np.mean((off / np.maximum(mean, 1.0) ** 2)[len(brief) :])))
    ordered = len(shapes.turns)
    if weights[:, -ordered:].sum() > 0.5:
        best = np.unravel_index(int(np.argmax(weights)), weights.shape)
        classes = shapes.classes(int(best[1]), float(size[best]), page_count)
    else:
        classes = fit(windows, mean, 0.01 * np.maximum(mean, 1.0), int(page_count))
    return Posterior(
        classes,
        _draws(shapes, weights, size, sigma, page_count, unseen),
        math.hypot(spread, unseen.more * unseen.more_scale),
    )


def _draws(
    shapes: _Shapes, weights: _Floats, size: _Floats, sigma: _Floats, page_count: float, unseen: Unseen
) -> tuple[tuple[DirtyClass, ...], ...]:
    """Curves in the order of what is written in a short window; the size of each as its own error and unsteadiness let it be."""
    deciding = size * shapes.values(np.array([_DECIDING]))[:, 0]
    order = np.argsort(deciding, axis=None)
    reached = np.cumsum(weights.ravel()[order])
    normal = NormalDist().inv_cdf
    found: list[tuple[DirtyClass, ...]] = []
    for k in range(DRAWS):
        chosen = int(order[min(int(np.searchsorted(reached, (k + 0.5) / DRAWS * reached[-1])), len(order) - 1)])
        steadiness, shape = divmod(chosen, size.shape[1])
        deviation = normal(((k * 7) % DRAWS + 0.5) / DRAWS)
        factor = unseen.factor(((k * 11) % DRAWS + 0.5) / DRAWS)
        most = float(size[steadiness, shape])
        error = math.hypot(float(sigma[steadiness, shape]), _UNSTEADY[steadiness][0] * most)
        found.append(shapes.classes(shape, min(max(most + deviation * error, 0.0) * factor, page_count), page_count))
    return tuple(found)
