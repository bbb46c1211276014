"""How sure a forecast is: the same migration of a handful of guests a little different from the one that is known.

Rule: near the boundary of convergence one page more or less is a whole round more; there a probability is said, and the point
alone would be dishonest. The handful: write rates as uncertain as the curve's `spread` and no less than 3 % (a guest's own
background, the chance of which page is hit; +-10 % is what is called *near* the boundary); a threshold 1 % lower (QEMU divides
by whole milliseconds, and some slots last 101); zero pages lying otherwise, or being more or fewer. Half the
weight is on the guest as it is known, so verdict and probability do not disagree.
"""

from __future__ import annotations

import math
from array import array
from functools import cached_property

import attrs

from novastate._native import precopy as kernel
from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.rules import Rules

__all__ = ["Ensemble"]

_NO_ROUNDS = array("d")
#: No uncertainty of the write rates is taken as less than this.
_LEAST_SPREAD = 0.03
#: Deviations of the write rates, factor of the threshold and of the tail, deviations of the zero
#: pages; then the weight in the probability, and in the interval.
_MEMBERS: tuple[tuple[float, float, float, float, float, float], ...] = (
    (0.0, 1.00, 1.0, 0.0, 0.50, 0.34),
    (0.0, 0.99, 1.0, 0.0, 0.03, 0.08),
    (0.0, 1.00, 0.8, 0.0, 0.02, 0.06),
    (0.0, 1.00, 1.3, 0.0, 0.02, 0.06),
    (0.0, 1.00, 4.0, 0.0, 0.01, 0.03),
    (-0.8, 1.00, 1.0, 0.8, 0.06, 0.10),
    (0.8, 1.00, 1.0, -0.8, 0.06, 0.10),
    (-1.65, 1.00, 1.0, -1.65, 0.05, 0.08),
    (1.65, 0.99, 1.0, 1.65, 0.05, 0.08),
    (-3.2, 1.00, 1.0, 0.0, 0.12, 0.035),
    (3.2, 1.00, 1.0, 0.0, 0.12, 0.035),
)


@attrs.frozen(eq=False)
class Ensemble:
    """The runs around one forecast, whose *total* (None: it has none) and *throttle* (percent) are given.

    *scenario* and *classes* are the kernel's rows, *speed* the factor of the write rates.
    """

    scenario: array[float]
    classes: array[float]
    speed: float
    guest: Guest
    link: Link
    limits: Limits
    rules: Rules
    total: float | None
    throttle: int

    @cached_property
    def runs(self) -> tuple[tuple[float, float, float], ...]:
        """(total or inf, weight in the probability, weight in the interval) of each run."""
        spread = math.hypot(_LEAST_SPREAD, self.guest.curve.spread)
        members = array("d")
        for rate, theta, tail, zero, _, _ in _MEMBERS:
            members.extend((self.speed * math.exp(rate * spread), theta, tail, zero * self.guest.zero_error))
        out = array("d", bytes(8 * kernel.OUT_FIELDS * len(_MEMBERS)))
        kernel.run(self.scenario, self.classes, members, out, _NO_ROUNDS)
        ends = (out[at : at + 2] for at in range(0, len(out), kernel.OUT_FIELDS))
        return tuple(
            (math.inf if end == kernel.NEVER else total + self.rules.begin, row[4], row[5])
            for (end, total), row in zip(ends, _MEMBERS, strict=True)
        )

    @property
    def probability(self) -> float:
        """That it completes within the timeout (or at all, without one): 0.02 to 0.98."""
        limit = math.inf if self.limits.timeout is None else self.limits.timeout
        late = 0.0
        whole = 0.0
        for total, weight, _ in self.runs:
            whole += weight
            if not total < limit:
                late += weight
        return min(0.98, max(0.02, 1.0 - late / whole))

    @property
    def interval(self) -> tuple[float, float] | None:
        """What `total` lies in with 90 % probability, given that it completes; None where it does not.

        Where it may not complete in time the interval ends at the timeout, and `otherwise` says so.
        """
        if self.total is None:
            return None
        runs = sorted((total, weight) for total, _, weight in self.runs)
        low = _quantile(runs, 0.05)
        high = _quantile(runs, 0.95)
        if math.isinf(high):  # some of the ensemble never complete: as late as the timeout allows
            ended = [total for total, _ in runs if total < math.inf]
            high = self.limits.timeout or 2.0 * max(ended)
        low, high = min(low, self.total), max(high, self.total)
        # What no guest decides: the management layer's start varies, and a slot begins late now and then. What a
        # throttle takes is known within some 8 %, the rate of a line without a limit within 6 %.
        slack = 0.08 if self.throttle else 0.004 if self.link.limit else 0.06
        begin = 1.65 * self.rules.begin_error
        late = high + max(0.16, begin) + max(0.006, slack) * high
        if self.limits.timeout is not None:
            late = min(late, max(self.limits.timeout, self.total))
        return (max(0.0, low - max(0.03, begin) - slack * low), late)

    @property
    def otherwise(self) -> str | None:
        """What may well happen instead of `total`, in words: not before the timeout, or never; None where neither is."""
        interval = self.interval
        if interval is None:
            return None
        timeout = self.limits.timeout
        if timeout is not None:
            return f"not before the timeout of {timeout:g} s" if interval[1] >= timeout else None
        runs = sorted((total, weight) for total, _, weight in self.runs)
        return "never" if math.isinf(_quantile(runs, 0.95)) else None


def _quantile(runs: list[tuple[float, float]], share: float) -> float:
    left = share * sum(weight for _, weight in runs)
    for total, weight in runs:
        left -= weight
        if left <= 0:
            return total
    return runs[-1][0]
