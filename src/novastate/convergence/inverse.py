"""The inverse questions: the least bandwidth, the least downtime limit, the least throttle with which a migration converges.

Rule: near the boundary of convergence more is not always better. A slot sends whole flushes, a round is there or not, and a
timeout is met or not: a little more bandwidth may bring one round more. So nothing is bisected. Values on a geometric grid
are tried from the top down, each by a forecast of its own, until one fails: the answer holds for itself and for *every* value of
the grid above it. The grid's steps are the stated resolution; between two steps nothing is claimed.

Below the answer the grid is followed by another factor of two: values there at which it would converge again, by chance, are
told (`Requirement.lucky`) but are not the answer. Where the very top fails, the highest stretch that holds is the answer, and
`Requirement.gaps` is True.

Grids: bandwidth from the line rate down to 1 MiB/s, the least limit libvirt can set (virDomainMigrateSetMaxSpeed); the
downtime limit from 2000 s down to 1 ms in whole ms (``MAX_MIGRATE_DOWNTIME`` and the unit of ``downtime-limit`` in QEMU's
migration/options.c); the throttle in whole percent from 99 down to the first step (``max-cpu-throttle``, which
migrate_params_check there wants no less than ``cpu-throttle-initial``), and none.

Cost: one forecast a step; from the line rate down to a hundredth of it 460 at the default resolution of 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import attrs

from novastate.convergence import bounds
from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.precopy import Forecast, Verdict, check_kinds, forecast
from novastate.convergence.rules import Rules
from novastate.errors import ConvergenceError

__all__ = [
    "Requirement",
    "least_above",
    "required_bandwidth",
    "required_downtime",
    "required_throttle",
    "switching",
    "throttling",
]

_MIB = 1 << 20
_LEAST_PAUSE = 0.001
#: How far below the answer the grid is followed.
_BELOW = 2.0
#: The quick search: up by this factor until it holds, then so many halvings of the last step.
_STRIDE, _HALVINGS = 1.6, 4


@attrs.frozen
class Requirement:
    """The least *value* (bytes/s, s, or a share) with which a migration converges within its limits.

    *forecast*: at that value. *up_to*: it holds from *value* up to here on every step of the grid. *gaps*: whether values
    above *up_to* were tried that do not hold. *lucky*: the least value below, within a factor of two, that would hold too
    although one between does not; None where there is none. *resolution*: the step of the grid, relative.
    """

    value: float
    forecast: Forecast = attrs.field(repr=False)
    up_to: float
    gaps: bool
    lucky: float | None
    resolution: float

    @property
    def probability(self) -> float:
        """That it completes within the limits at *value*."""
        return self.forecast.probability


def required_bandwidth(
    guest: Guest,
    limits: Limits = Limits(),
    rules: Rules = Rules.qemu(),
    *,
    line_rate: float = 1.25e9,
    probability: float | None = None,
    resolution: float = 0.01,
) -> Requirement | None:
    """The least bandwidth limit, bytes/s, at which *guest* converges within *limits* by *rules*; None where none up to *line_rate* does.

    *probability*: at which it does so with this probability (0 to 0.98), not only as the guest is known. *resolution*: 1e-4 to 1.
    Where there is none, `Forecast.reason` at the line rate says whether it is the pace of the hosts (`Rules.first_touch`) that
    holds it up, and not the link.
    Raises `ConvergenceError` naming the field for numbers out of bounds.

    >>> from novastate.convergence import DirtyCurve
    >>> curve = DirtyCurve.from_windows({0.25: 2956, 0.5: 5379, 1.0: 9003, 2.0: 13055}, page_count=98304)
    >>> guest = Guest(memory=384 * 2**20, zero_pages=32079, page_size=4096, curve=curve)
    >>> least = required_bandwidth(guest, Limits(downtime=0.3, timeout=800))
    >>> least.forecast.verdict.value, 30 < least.value / 2**20 < 64
    ('converges', True)
    """
    check_kinds(guest, Link(None), limits, rules)
    top = bounds.number("line_rate", line_rate, 1.0, bounds.MOST_BYTES)
    return _least(
        _geometric(top, min(_MIB, top), _step(resolution)),
        lambda value: forecast(guest, Link(value, line_rate), limits, rules),
        probability,
        resolution,
    )


def required_downtime(
    guest: Guest,
    link: Link,
    rules: Rules = Rules.qemu(),
    *,
    timeout: float | None = None,
    probability: float | None = None,
    resolution: float = 0.01,
) -> Requirement | None:
    """The least downtime limit, s, in whole ms, with which *guest* converges over *link*, within *timeout* s where given; None: none.

    The limit is a threshold, not the pause: `Requirement.forecast.downtime` says how long the pause will be, often far
    less. *probability* and *resolution* as for `required_bandwidth`, with the same errors.
    """
    check_kinds(guest, link, Limits(), rules)
    grid = _geometric(bounds.LONGEST_PAUSE, _LEAST_PAUSE, _step(resolution))
    whole = dict.fromkeys(math.ceil(value * 1000 - 1e-6) / 1000 for value in grid)
    return _least(
        whole, lambda value: forecast(guest, link, Limits(value, timeout), rules), probability, _step(resolution)
    )


def required_throttle(
    guest: Guest,
    link: Link,
    limits: Limits = Limits(),
    rules: Rules = Rules.qemu(),
    *,
    probability: float | None = None,
) -> Requirement | None:
    """The least share of vCPU time, in whole percent, that auto-converge must be allowed to withhold (``max-cpu-throttle``); None: none.

    0 where it converges without, and then no throttle is tried. Otherwise at least `Rules.initial`, the first step, which QEMU
    takes whole. Auto-converge goes on by steps of `Rules.increment`, which takes time: within a timeout a higher cap does not
    help where the steps come too late.
    *probability* as for `required_bandwidth`, with the same errors.
    """
    check_kinds(guest, link, limits, rules)
    throttled = throttling(rules)

    def at(share: float) -> Forecast:
        return forecast(guest, link, limits, attrs.evolve(throttled or rules, most=share))

    unthrottled = attrs.evolve(rules, auto_converge=False)
    without = _least((0.0,), lambda _: forecast(guest, link, limits, unthrottled), probability, 0.01)
    if without is not None or throttled is None:
        return without
    first = math.ceil(100 * rules.initial - 1e-9)
    return _least((percent / 100 for percent in range(99, first - 1, -1)), at, probability, 0.01)


def throttling(rules: Rules) -> Rules | None:
    """*rules* with auto-converge, as their version does it; None where the hypervisor has none, or refuses it beside the other rules."""
    return rules if rules.auto_converge else _taken(rules, auto_converge=True)


def switching(rules: Rules) -> Rules | None:
    """*rules* with post-copy; None where the hypervisor has none, or refuses it beside the other rules."""
    return rules if rules.post_copy else _taken(rules, post_copy=True)


def _taken(rules: Rules, **options: bool) -> Rules | None:
    try:
        return rules.with_options(**options)
    except ConvergenceError:
        return None


def least_above(at: Callable[[float], bool], start: float, most: float, unit: float) -> float | None:
    """Quickly, to 3 %: a value in whole *unit* above *start* at which *at* holds, and not 3 % below; None: none up to *most*."""

    def whole(value: float) -> float:
        return unit * math.ceil(value / unit * (1 - 1e-12))

    low = high = start
    while True:
        if high >= most:
            return None
        low, high = high, min(high * _STRIDE, most)
        if at(whole(high)):
            break
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        if at(whole(middle)):
            high = middle
        else:
            low = middle
    return whole(high)


def _step(resolution: float) -> float:
    return bounds.number("resolution", resolution, 1e-4, 1.0)


def _geometric(top: float, bottom: float, step: float) -> Iterator[float]:
    """From *top* down to *bottom*, both included; each a step below the one before."""
    count = math.ceil(math.log(top / bottom) / math.log1p(step)) if top > bottom else 0
    for k in range(count):
        yield top / (1.0 + step) ** k
    yield bottom


def _least(
    values: Iterable[float], at: Callable[[float], Forecast], probability: float | None, resolution: float
) -> Requirement | None:
    """By *values* from the top down: the least of the highest stretch in which all hold."""
    if probability is not None:
        bounds.number("probability", probability, 0, 0.98)
    found: Requirement | None = None
    gaps = over = False
    for value in values:
        if found is not None and value < found.value / _BELOW:
            break
        result = at(value)
        if not _holds(result, probability):
            gaps, over = gaps or found is None, found is not None
        elif found is None:
            found = Requirement(value, result, value, gaps, None, resolution)
        elif over:
            found = attrs.evolve(found, lucky=value)
        else:
            found = attrs.evolve(found, value=value, forecast=result)
    return found


def _holds(result: Forecast, probability: float | None) -> bool:
    if result.verdict is not Verdict.CONVERGES:
        return False
    return probability is None or result.probability >= probability
