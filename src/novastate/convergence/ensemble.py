"""How sure a forecast is: the same migration of guests a little different from the one that is known.

Rule: near the boundary of convergence one page more or less is a whole round more; there a probability is said, and the point
alone would be dishonest. So the migration is run for `RUNS` guests that are equally likely: the probability is the share of
them that complete in time, the interval is between their quantiles. They differ in

- the write rates: as uncertain as the curve's `spread` (where it has no `others`), and no less than `LEAST_SPREAD` (a guest's
  own background, the chance of which page is hit, counts that the recursion takes as expectations), with heavy tails (Student's
  t of 4 degrees);
- the curve, where several are as likely (`DirtyCurve.others`): they differ most where nothing was measured;
- the threshold, 1 % lower now and then (QEMU divides by whole milliseconds, and some slots last 101);
- the zero pages: more or fewer, and lying otherwise;
- where the line decides, not a limit, what it carries (`PACE_ERROR`), and by that where in a turn of the loop the guest is
  stopped: a turn sends up to 50 ms of pages;
- what the hosts let through, where that holds it up and is a guess (`novastate.convergence.hosts`);
- where they write, where that decides what the first round finds: every other one all in one place (`novastate.convergence.places`);
- where a writer in sequence is as the migration begins (`_PHASES`): it decides how much of what it writes is unsent already;
- how late a look comes in memory on huge pages of the host, and where in these the pages lie that a switch to post-copy misses
  (`novastate.convergence.hostpages`);
- how busy the guest is, where that is not known (`Guest.least_busy`): it decides what a throttle does.

The pause of the same guests, those that complete in time, and what the devices and the management layer take more or less at the
stop (`DEVICE_LESS`, `DEVICE_MORE`: hosts are late more often than early), make the interval of the pause.

The values of each are laid out evenly (a rank-1 lattice), not drawn: the same question has the same answer.
"""

from __future__ import annotations

import math
from array import array
from functools import cached_property
from statistics import NormalDist

import attrs

from novastate._native import precopy as kernel
from novastate._native.precopy_fields import MEMBER_FIELDS, NEVER, OUT_FIELDS, POSTCOPY, SCENARIO_FIELDS
from novastate.convergence import bounds
from novastate.convergence.curve import kernel_rows
from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.hostpages import besides
from novastate.convergence.hosts import guesses, may_be
from novastate.convergence.luck import lucky
from novastate.convergence.places import matters, run_at
from novastate.convergence.rules import Rules
from novastate.convergence.timeout import asks_first, decided

__all__ = [
    "DESIGN",
    "DEVICE_LESS",
    "DEVICE_MORE",
    "FURTHEST",
    "LEAST_SPREAD",
    "PACE_ERROR",
    "RUNS",
    "Ensemble",
    "other_of",
]

_NO_ROUNDS = array("d")
#: How many guests are run.
RUNS = 24
#: No uncertainty of the write rates is taken as less than this.
LEAST_SPREAD = 0.035
#: One standard deviation of the logarithm of the tail behind the zero pages.
_TAIL = 0.2
#: Every so many-th guest has a threshold lower by this factor.
_LOWER_EVERY, _LOWER = 12, 0.99
#: One standard deviation of the logarithm of what a line carries (three recorded migrations without a limit: within 6 %).
PACE_ERROR = 0.04
#: A limit decides where its slots leave so much of their time.
_IDLE = 0.1
#: How much less and more than `Rules.device` passes at the stop, in nine of ten, as shares of it.
DEVICE_LESS, DEVICE_MORE = 0.35, 1.5
#: No rate is taken as more than exp of this times what is known.
FURTHEST = 40.0
#: Above this it mostly completes, and the interval is of what it takes then; a verdict is decided above the second.
_MOSTLY, _SURE = 0.75, 0.9


def _lattice(step: int) -> tuple[float, ...]:
    """The middles of `RUNS` equal parts of 0 to 1, in an order that goes by *step* (no divisor of `RUNS`)."""
    return tuple(((k * step) % RUNS + 0.5) / RUNS for k in range(RUNS))


def _heavy(u: float) -> float:
    """The quantile of Student's t with 4 degrees of freedom, in closed form (Shaw 2006)."""
    a = 4.0 * u * (1.0 - u)
    q = math.cos(math.acos(math.sqrt(a)) / 3.0) / math.sqrt(a)
    return math.copysign(2.0 * math.sqrt(max(0.0, q - 1.0)), u - 0.5)


def _design() -> tuple[tuple[float, float, float, float, float], ...]:
    """Of each guest the deviations: of the write rates, of the tail, of the zero pages; the threshold's factor; busy."""
    normal = NormalDist().inv_cdf
    columns = (_lattice(1), _lattice(5), _lattice(11), _lattice(13))
    return tuple(
        (
            _heavy(rate),
            math.exp(_TAIL * normal(tail)),
            normal(zero),
            _LOWER if k % _LOWER_EVERY == _LOWER_EVERY // 2 else 1.0,
            busy,
        )
        for k, (rate, tail, zero, busy) in enumerate(zip(*columns, strict=True))
    )


#: The guests that are run, in the order of their write rates.
DESIGN = _design()
#: How many times as long as it should each takes to send a page, where the line decides.
_PACES = tuple(math.exp(PACE_ERROR * NormalDist().inv_cdf(share)) for share in _lattice(7))
#: Where the writers in sequence of each are as it begins, as a share of their pages.
_PHASES = _lattice(19)
#: What a page that is touched first costs the hosts of each, s, where nobody knows.
_TOUCHES = tuple(may_be(share) for share in _lattice(17))
#: Where each writes, as a share of the way to the end of the memory; below 0: all over it.
_PLACES = tuple((-1.0, ((5 * (k // 2)) % (RUNS // 2) + 0.5) / (RUNS // 2))[k % 2] for k in range(RUNS))
#: How scattered the missing pages are, and how late looks come as a share of what they may.
_SCATTERS, _LATE = _lattice(19), _lattice(13)
_BUSY, _QUOTA, _WIRE, _FIRST, _AGAIN, _DELTA, _BLANK, _SLOT, _PHASE, _LAG = (
    SCENARIO_FIELDS.index(field)
    for field in ("busy", "quota", "wire", "first", "again", "delta", "blank", "slot", "phase", "lag")
)


def other_of(k: int, members: int, count: int) -> int:
    """Which of *count* other curves guest number *k* of *members* (8 or `RUNS`) has: each as often, whatever its rates; -1: none.

    Guests that are half of the design apart, which differ in all else, have the same curve or neighbours.
    """
    half = members // 2
    return (2 * ((7 * k) % half) + k // half) * count // members if count else -1


@attrs.frozen(eq=False)
class Ensemble:
    """The runs around one forecast, whose *total* and *pause* (None: it has none) and *throttle* (percent) are given.

    *switched*: whether it switches to post-copy.

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
    pause: float | None
    throttle: int
    switched: bool = False

    @property
    def runs(self) -> tuple[tuple[float, float, bool, float], ...]:
        """When each guest's migration ends, s from the request (infinite: never), its pause, s, whether it switches to post-copy, and
        what the timeout must not come before (`decided`); by the first, ascending.
        """
        return self._ran[0]

    @cached_property
    def _ran(self) -> tuple[tuple[tuple[float, float, bool, float], ...], float]:
        """`runs`, and how many of those that never end would by a lucky round (`novastate.convergence.luck`)."""
        curve = self.guest.curve
        spread = LEAST_SPREAD if curve.others else math.hypot(LEAST_SPREAD, curve.spread)
        on_line = self._on_line
        groups: dict[tuple[int, float, float, float, float, float], tuple[array[float], list[int]]] = {}
        guess = guesses(self.link, self.rules)
        in_sequence = any(row.sequential for one in (curve, *curve.others) for row in one.classes)
        for k, (rate, tail, zero, theta, busy) in enumerate(DESIGN):
            factor = self.speed * math.exp(min(FURTHEST, rate * spread))
            row = (factor, theta, tail, zero * self.guest.zero_error)
            least = self.guest.least_busy
            needs = self.guest.busy if least is None else least * (self.guest.busy / least) ** busy
            which = other_of(k, RUNS, len(curve.others))
            pace, phase = _PACES[k] if on_line else 1.0, _PHASES[k] if in_sequence else 0.5
            late = _LATE[k] if self.scenario[_LAG] else 0.0
            key = (which, needs, pace, phase, _TOUCHES[k] if guess else 0.0, late)
            members, which_ones = groups.setdefault(key, (array("d"), []))
            members.extend(row)
            which_ones.append(k)
        found: list[tuple[float, float, bool, float]] = []
        timeout, luck = self.limits.timeout, 0.0
        for (which, needs, pace, phase, touch, late), (members, which_ones) in groups.items():
            scenario = self.scenario[:]
            scenario[_BUSY] = needs
            scenario[_PHASE] = phase
            scenario[_LAG] *= 2.0 * late
            if touch:
                units = self.guest.page_size / 4096.0
                scenario[_FIRST] = max(scenario[_WIRE] / self.link.line_rate, touch * units)
                for field in (_AGAIN, _DELTA):  # no page takes longer for being there already
                    scenario[field] = min(scenario[field], scenario[_FIRST])
            for field in (_FIRST, _AGAIN, _DELTA, _BLANK):
                scenario[field] *= pace
            out = array("d", bytes(8 * OUT_FIELDS * (len(members) // MEMBER_FIELDS)))
            classes = self.classes if which < 0 else kernel_rows(curve.others[which])
            kernel.run(scenario, classes, members, out, _NO_ROUNDS)
            placed = matters(scenario)
            for at, k in enumerate(which_ones):
                ended = out[at * OUT_FIELDS : (at + 1) * OUT_FIELDS]
                if placed and _PLACES[k] >= 0.0:
                    ended = run_at(
                        _PLACES[k], scenario, classes, members[at * MEMBER_FIELDS : (at + 1) * MEMBER_FIELDS]
                    )
                end, total, pause, _, _, _, missing, last_round = ended
                if end == NEVER:
                    member = members[at * MEMBER_FIELDS : (at + 1) * MEMBER_FIELDS]
                    left = None if timeout is None else timeout - self.rules.begin
                    luck += lucky(scenario, classes, member, missing, left)
                total += besides(scenario, self.guest, end, missing, _SCATTERS[k]).seconds
                total = math.inf if end == NEVER else total + self.rules.begin
                found.append((total, pause, end == POSTCOPY, decided(self.rules, total, pause, last_round)))
        return tuple(sorted(found)), luck

    @cached_property
    def _in_time(self) -> tuple[tuple[float, float, bool], ...]:
        """Of each that completes in time: when it ends, its pause, and whether it switches to post-copy."""
        limit = math.inf if self.limits.timeout is None else self.limits.timeout
        return tuple((total, pause, switched) for total, pause, switched, asked in self.runs if asked < limit)

    @property
    def _asks_first(self) -> bool:
        """Whether the timeout ends only what has not converged, however late."""
        return self.limits.timeout is not None and asks_first(self.rules)

    @property
    def _on_line(self) -> bool:
        """Whether the line decides how fast pages go out, for want of a limit below what it carries."""
        quota, slot = self.scenario[_QUOTA], self.scenario[_SLOT]
        return not quota or quota / self.scenario[_WIRE] * self.scenario[_FIRST] > (1.0 - _IDLE) * slot

    @cached_property
    def totals(self) -> tuple[float, ...]:
        """When each guest's migration ends, s from the request (infinite: never), in ascending order."""
        return tuple(run[0] for run in self.runs)

    @property
    def probability(self) -> float:
        """That it completes within the timeout (or at all, without one): 0.02 to 0.98, and on the side of the verdict."""
        share = (len(self._in_time) + self._ran[1]) / RUNS
        share = max(share, 0.5) if self.total is not None else min(share, 0.5)
        return bounds.said(share)

    @property
    def interval(self) -> tuple[float, float] | None:
        """What `total` lies in with 90 % probability, given that it completes; None where it does not.

        Where that is less than likely the interval ends at the timeout. `otherwise` says what may happen instead.
        """
        if self.total is None:
            return None
        totals = self.totals
        if self.probability > _MOSTLY or self._asks_first:  # then those that do not complete are not a part of it
            totals = tuple(total for total, _, _ in self._in_time) or (self.total,)
        low = _quantile(totals, 0.05)
        high = _quantile(totals, 0.95)
        if math.isinf(high):  # some never complete: as late as the timeout allows
            ended = [total for total in self.totals if total < math.inf]
            high = self.limits.timeout or 2.0 * max(ended, default=self.total)
        low, high = min(low, self.total), max(high, self.total)
        # What no guest decides: the management layer's start varies, and a slot begins late now and then. What a
        # throttle takes is known within some 8 %.
        slack = 0.08 if self.throttle else 0.004
        begin = 1.65 * self.rules.begin_error
        late = high + max(0.16, begin) + max(0.006, slack) * high
        if self.limits.timeout is not None and not self._asks_first:
            late = min(late, max(self.limits.timeout, self.total))
        return (max(0.0, low - max(0.03, begin) - slack * low), late)

    @property
    def pause_interval(self) -> tuple[float, float] | None:
        """What the pause lies in with 90 % probability, given that it completes in time; None where it does not."""
        if self.pause is None:
            return None
        pauses = tuple(sorted(pause for _, pause, _ in self._in_time)) or (self.pause,)
        low, high = min(_quantile(pauses, 0.05), self.pause), max(_quantile(pauses, 0.95), self.pause)
        device = min(self.rules.device, self.pause)  # a switch to post-copy has a part of it
        return max(0.0, low - DEVICE_LESS * device), high + DEVICE_MORE * device

    @property
    def otherwise(self) -> str | None:
        """What may well happen instead, in words: late or never (`late`), or by post-copy, or without; None: nothing."""
        found = [words for words in (self.late, self.other_way) if words is not None]
        return ", or ".join(found) or None

    @property
    def other_way(self) -> str | None:
        """Whether some go another way to the end than the forecast: by post-copy or without, and the pause that this takes."""
        if self.total is None or not self.rules.post_copy:
            return None
        pauses = sorted(pause for _, pause, switched in self._in_time if switched != self.switched)
        if len(pauses) < (1.0 - _SURE) * RUNS:
            return None
        pause = 1000.0 * _quantile(tuple(pauses), 0.5)
        return f"{'without' if self.switched else 'by'} post-copy, with a pause of {pause:.0f} ms"

    @property
    def late(self) -> str | None:
        """How late it may well be, in words: not before the timeout, or given up past it, or never; None where none is."""
        interval, timeout = self.interval, self.limits.timeout
        if interval is None:
            return None
        if timeout is None:
            unsure = self.probability <= _SURE
            return "never" if unsure and math.isinf(_quantile(self.totals, 0.95)) else None
        if self._asks_first:
            return f"given up past the timeout of {timeout:g} s" if self.probability <= _SURE else None
        unsure = interval[1] >= timeout or self.probability <= _SURE
        return f"not before the timeout of {timeout:g} s" if unsure else None


def _quantile(totals: tuple[float, ...], share: float) -> float:
    """Between the two values around it, each at the middle of its part."""
    place = min(max(share * len(totals) - 0.5, 0.0), len(totals) - 1.0)
    low, high = totals[math.floor(place)], totals[math.ceil(place)]
    return high if math.isinf(high) else low + (high - low) * (place - math.floor(place))
