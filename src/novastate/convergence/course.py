"""What would come of a migration under given limits and rules, from its start or from where it is now, in the same terms.

Rule: from the start it is the forecast. From where it is, the same recursion runs on (`novastate.convergence.resume`), once for
the guest as it is known and once for each of thirteen that are equally likely by what is uncertain of it; the share of those that
complete in time is the probability. Two things end a migration without waiting for it to converge:

- *post-copy*: the guest stops for a moment and runs on at the destination, while the rest follows at line rate; from the start
  that is after the first pass, later at once. Until the rest is there each missing page is fetched when it is touched.
- *pausing* the guest: nothing is written any more, so what remains goes out at the limit, and that is the pause; from the start
  after the first pass.

Times count from now. Sources: QEMU migration/migration.c (postcopy_start), migration/ram.c (background sync of what was written).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from statistics import NormalDist
from typing import TYPE_CHECKING

import attrs

from novastate._native import precopy as kernel
from novastate._native.precopy_fields import (
    NEVER,
    OUT_FIELDS,
    POSTCOPY,
    POSTCOPY_ASKED,
    POSTCOPY_SWITCH,
    ROUND_FIELDS,
    SCENARIO_FIELDS,
)
from novastate.convergence import bounds
from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.hostpages import besides
from novastate.convergence.hosts import guesses, may_be
from novastate.convergence.path import path_of
from novastate.convergence.precopy import Forecast, forecast, rows_of, scenario_of, speed_of
from novastate.convergence.resume import State, run_from, state_now
from novastate.convergence.rules import Rules
from novastate.convergence.timeout import decided
from novastate.convergence.variants import varied
from novastate.errors import ConvergenceError

if TYPE_CHECKING:
    from novastate.convergence.online.statistics import Statistics

__all__ = ["Course", "Start", "course_of", "paused", "post_copied"]

_RUNS = 13
_DEVIATIONS = tuple(NormalDist().inv_cdf((k + 0.5) / _RUNS) for k in range(_RUNS))
#: Shares of what hosts may take, where nobody knows, one for each.
_SHARES = tuple(((5 * k) % _RUNS + 0.5) / _RUNS for k in range(_RUNS))
_ROUNDS = 256
_FIRST, _AGAIN, _BLANK, _DEVICE, _WIRE, _WIRE_ZERO = (
    SCENARIO_FIELDS.index(field) for field in ("first", "again", "blank", "device", "wire", "wire_zero")
)


@attrs.frozen
class Course:
    """How it would go on: s until it is done, s of *pause*, bytes *sent* from now on (None where it does not complete in time);
    the *probability* that it does; the highest *throttle* and the share of vCPU time *withheld* on average, 0 to 1; s
    *degraded*: for which the guest has to fetch pages from the source.
    """

    total: float | None
    pause: float | None
    sent: float | None
    probability: float
    throttle: float = 0.0
    withheld: float = 0.0
    degraded: float = 0.0


_HOPELESS = Course(None, None, None, bounds.said(0.0))


@attrs.frozen
class Start:
    """Where a migration is: *elapsed* s since the request, *before* s until memory goes out, and its *state* or *stats*."""

    elapsed: float
    before: float
    state: State | None
    stats: Statistics | None

    @classmethod
    def of(cls, since: State | Statistics, link: Link, rules: Rules) -> Start:
        """From *since*. Raises `ConvergenceError` for statistics that no migration has."""
        if isinstance(since, State):
            return cls(0.0, 0.0, since, None)
        if not hasattr(since, "elapsed"):
            raise ConvergenceError("since", since, "must be statistics or a state")
        elapsed = bounds.number("since.elapsed", since.elapsed, 0, bounds.LONGEST)
        disk = bounds.number("since.disk_remaining", since.disk_remaining, 0, bounds.FASTEST)
        bounds.number("since.memory_remaining", since.memory_remaining, 0, bounds.FASTEST)
        bounds.number("since.constant", since.constant, 0, bounds.MOST_PAGES)
        bounds.number("since.iteration", since.iteration, 0, 2**31)
        bounds.number("since.throttle", since.throttle, 0, 1)
        before = disk / min(link.limit or math.inf, link.line_rate)
        if not since.iteration:
            before += max(0.0, rules.begin - elapsed)
        return cls(elapsed, before, None, since)

    @property
    def early(self) -> bool:
        """Whether memory goes out for the first time still."""
        return self.stats.iteration <= 1 if self.stats is not None else self.state is None or self.state.syncs <= 1

    def at(self, scenario: array[float], guest: Guest) -> State:
        """The state, for a migration of *guest* by *scenario*."""
        stats = self.stats
        if stats is None:
            classes = len(guest.curve.classes)
            state = self.state or State([0.0] * classes)
            if len(state.held) != classes:
                raise ConvergenceError(
                    "since.held", len(state.held), f"must be {classes}, one for each class of the write law"
                )
            return state
        remaining = min(stats.memory_remaining / guest.page_size, float(guest.pages))
        return state_now(
            scenario,
            guest,
            remaining=remaining if stats.iteration else float(guest.pages),
            syncs=stats.iteration,
            constant=min(float(stats.constant), float(guest.pages)),
            throttle=min(stats.throttle, 0.99),
        )


def course_of(
    guest: Guest, link: Link, limits: Limits, rules: Rules, start: Start | None, *, least: float = 0.0
) -> Course:
    """What comes of it if it goes on by *rules*, from *start* on (None: from the request).

    *least*: a probability; once it is clear that it is not reached, or that the guest as it is known does not complete, a course
    that does not complete is the answer.
    """
    if start is None:
        result = forecast(guest, link, limits, rules)
        return _HOPELESS if least and result.total is None else _forecast(result)
    scenario = scenario_of(guest, link, limits, rules, start.elapsed + start.before)
    left = _left(limits, start)
    state = start.at(scenario, guest)
    rounds = array("d", bytes(8 * ROUND_FIELDS * _ROUNDS))
    out = array("d", bytes(8 * OUT_FIELDS))
    speed = speed_of(guest)
    point = array("d", [speed, 1.0, 1.0, 0.0])
    count = kernel.run(scenario, rows_of(guest), point, out, rounds, state.row())
    end, seconds, pause, sent, _, throttle, pending, last = out
    more = besides(scenario, guest, end, pending)
    seconds, sent = seconds + more.seconds, sent + more.sent
    total = start.before + seconds
    late = end == NEVER or decided(rules, total, pause, last) > left
    if late and least:
        return _HOPELESS
    if start.state is not None:  # it goes by the classes of this one curve
        guest = attrs.evolve(guest, curve=attrs.evolve(guest.curve, others=()))
    guess = start.early and guesses(link, rules)
    others = [
        (varied(guest, deviation), attrs.evolve(rules, first_touch=may_be(share)) if guess else rules)
        for deviation, share in zip(_DEVIATIONS, _SHARES, strict=True)
    ]
    missed = 0
    for other, by in reversed(others):  # those that write fastest first
        missed += not _in_time(other, link, limits, by, start)
        if 1 - missed / _RUNS < least:
            return _HOPELESS
    probability = bounds.said(1 - missed / _RUNS)
    if late:
        return Course(None, None, None, probability, throttle, throttle)
    rows = [rounds[at : at + ROUND_FIELDS] for at in range(0, count * ROUND_FIELDS, ROUND_FIELDS)]
    ends = [*(row[0] for row in rows[1:]), seconds - pause]
    steps = [(0.0, state.throttle), *((when, row[4]) for when, row in zip(ends, rows, strict=False))]
    degraded = pending * POSTCOPY_ASKED * scenario[_AGAIN] + more.seconds if end == POSTCOPY else 0.0
    return Course(total, pause, sent, probability, throttle, _mean(steps, seconds), min(degraded, seconds))


def post_copied(guest: Guest, link: Link, limits: Limits, rules: Rules, start: Start | None) -> Course:
    """What comes of switching to post-copy: after the first pass, or at once where that is over."""
    switching = attrs.evolve(rules, post_copy=True, post_copy_after=1)
    scenario = scenario_of(guest, link, limits, switching)
    state = None if start is None else start.at(scenario, guest)
    if start is None or state is None or state.syncs <= 1:
        return course_of(guest, link, limits, switching, start)
    state = _written(state, guest)
    again, first = scenario[_AGAIN], scenario[_FIRST]
    dirty = sum(state.held)
    zero = min(state.zero + state.tail_zero, state.left)
    rest = POSTCOPY_ASKED * dirty * again + (state.left - zero) * first + zero * scenario[_BLANK]
    sent = (dirty + state.left - zero) * scenario[_WIRE] + zero * scenario[_WIRE_ZERO]
    more = besides(scenario, guest, POSTCOPY, dirty + state.left)
    rest, sent = rest + more.seconds, sent + more.sent
    pause = POSTCOPY_SWITCH * scenario[_DEVICE]
    return _certain(start.before + pause + rest, pause, sent, limits, start, degraded=rest)


def paused(guest: Guest, link: Link, limits: Limits, rules: Rules, start: Start | None) -> Course:
    """What comes of stopping the guest: after the first pass, or at once where that is over."""
    found = _paused(guest, link, limits, rules, start)
    if not guesses(link, rules) or not (start is None or start.early):
        return found
    by = (attrs.evolve(rules, first_touch=may_be(share)) for share in _SHARES)
    chance = sum(_paused(guest, link, limits, one, start).total is not None for one in by) / _RUNS
    chance = min(0.5, chance) if found.total is None else max(0.5, chance)
    return attrs.evolve(found, probability=bounds.said(chance))


def _paused(guest: Guest, link: Link, limits: Limits, rules: Rules, start: Start | None) -> Course:
    rules = attrs.evolve(rules, auto_converge=False, post_copy=False)
    scenario = scenario_of(guest, link, limits, rules)
    if start is None:
        first = forecast(guest, link, attrs.evolve(limits, timeout=None), rules)
        rounds = first.rounds
        if not rounds:
            return _HOPELESS
        began = path_of(first).syncs[0][0]
        state = state_now(scenario, guest, remaining=min(rounds[0].remaining, guest.pages), syncs=2, since=0.0)
        sent = rounds[0].sent
    else:
        began, sent = start.before, 0.0
        state = _written(start.at(scenario, guest), guest)
    run = run_from(scenario, rows_of(guest), state, [(0.0, 1.0, 1.0, 0.0)])[0]
    if not run.ends:
        return _HOPELESS
    return _certain(began + run.seconds, run.seconds, sent + run.sent, limits, start)


def _forecast(result: Forecast) -> Course:
    throttle = result.throttle / 100
    if result.total is None or result.downtime is None:
        return Course(None, None, None, result.probability, throttle, throttle)
    line = path_of(result)
    degraded = 0.0
    if result.post_copied and line.stop is not None:
        degraded = max(0.0, result.total - line.stop - result.downtime)
    withheld = _mean(((when, percent / 100) for when, percent in line.throttle), result.total)
    return Course(result.total, result.downtime, result.transferred, result.probability, throttle, withheld, degraded)


def _in_time(guest: Guest, link: Link, limits: Limits, rules: Rules, start: Start) -> bool:
    scenario = scenario_of(guest, link, limits, rules, start.elapsed + start.before)
    member = (speed_of(guest), 1.0, 1.0, 0.0)
    run = run_from(scenario, rows_of(guest), start.at(scenario, guest), [member], guest)[0]
    return run.ends and decided(rules, start.before + run.seconds, run.pause, run.last) <= _left(limits, start)


def _certain(
    total: float, pause: float, sent: float, limits: Limits, start: Start | None, degraded: float = 0.0
) -> Course:
    """Of what does not depend on what the guest writes."""
    left = limits.timeout if start is None else _left(limits, start)
    if left is not None and total > left:
        return _HOPELESS
    return Course(total, pause, sent, bounds.said(1.0), degraded=degraded)


def _left(limits: Limits, start: Start) -> float:
    return math.inf if limits.timeout is None else limits.timeout - start.elapsed


def _written(state: State, guest: Guest) -> State:
    """*state* as a sync at this moment would find it."""
    clean = 1.0 - min(1.0, state.left / max(guest.pages, 1))
    held: list[float] = []
    for row, dirty in zip(guest.curve.classes, state.held, strict=True):
        fresh = row.pages(state.since) * clean
        held.append(dirty + fresh * (1.0 if row.sequential else max(0.0, 1.0 - dirty / row.size)))
    held = [min(dirty, row.size) for row, dirty in zip(guest.curve.classes, held, strict=True)]
    return attrs.evolve(state, held=held, since=0.0)


def _mean(steps: Iterable[tuple[float, float]], end: float) -> float:
    """The mean of a value that is set at each of *steps* (s, value) until *end* s, from 0 on."""
    whole, last, value = 0.0, 0.0, 0.0
    for when, following in steps:
        until = min(max(when, last), end)
        whole += value * (until - last)
        last, value = until, following
    whole += value * max(0.0, end - last)
    return whole / end if end > 0 else 0.0
