"""What one can do about a migration, beside each other: what each would take, what the guest would lose, how likely it is to do.

Rule: every row is forecast, none is guessed (`novastate.convergence.course`). The limit of the pause and the bandwidth are raised to
the least values that make it *likely* to complete, by a quick search to 3 %. Recommended is the first row, from harmless to
harmful, that is likely to complete in time with a pause no longer than allowed; a throttle that withholds more than four
fifths of the guest's time counts as a pause, for hardly less is lost. Where no row does, the likeliest of at least one in
two; else to abort. Where the hosts hold it up by a pace that is a guess (`novastate.convergence.hosts`) that is said, and to wait is
recommended rather than to abort: it may well be done in time.

Sources: `virsh migrate-setmaxdowntime`, `migrate-setspeed`, `migrate-postcopy`, `suspend` and `domjobabort` do these; QEMU
migration/options.c: before 10.1 post-copy does not go with multifd, and never auto-converge with a dirty limit; what the version
refuses is left out. Cloud Hypervisor has neither throttle nor post-copy.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Literal

import attrs

from novastate.convergence import bounds
from novastate.convergence.course import Course, Start, course_of, paused, post_copied
from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.hosts import PACE, guessed
from novastate.convergence.inverse import least_above, switching, throttling
from novastate.convergence.precopy import check_kinds
from novastate.convergence.resume import State
from novastate.convergence.rules import Rules
from novastate.errors import ConvergenceError

if TYPE_CHECKING:
    from novastate.convergence.online.statistics import Statistics

__all__ = ["ACTIONS", "Choice", "Choices", "Way", "compare"]

Way = Literal["wait", "more_bandwidth", "raise_downtime", "throttle", "post_copy", "pause", "abort"]
#: From harmless to harmful.
ACTIONS: tuple[Way, ...] = ("wait", "more_bandwidth", "raise_downtime", "throttle", "post_copy", "pause", "abort")

_MIB = 1 << 20
_LONGEST = 60.0
_HARSH = 0.8
#: Probabilities nearer than this are alike.
_ALIKE = 0.005


@attrs.frozen
class Choice:
    """One *action*, with its *setting* where it has one: bytes/s of bandwidth, s of the limit of the pause.

    *total* s until it is done, *downtime* s of pause, *transferred* bytes (None where it does not complete in time);
    *withheld*: share of vCPU time that the guest loses until then; *degraded*: s in which it must fetch its pages from afar;
    *throttle*: the highest, 0 to 1; *probability* of completing in time; *risk*, in words.
    """

    action: Way
    setting: float | None
    total: float | None
    downtime: float | None
    transferred: float | None
    withheld: float
    degraded: float
    throttle: float
    probability: float
    risk: str

    def as_json(self) -> dict[str, object]:
        """As plain data, in s, bytes and shares."""
        return {
            "action": self.action,
            "setting": self.setting,
            "total_s": self.total,
            "downtime_s": self.downtime,
            "transferred_bytes": None if self.transferred is None else round(self.transferred),
            "withheld": self.withheld,
            "degraded_s": self.degraded,
            "throttle": self.throttle,
            "probability": self.probability,
            "risk": self.risk,
        }


@attrs.frozen
class Choices:
    """The rows of `compare`, and the *recommended* action and *why*, and why not to wait; ``choices["throttle"]`` is one row."""

    rows: tuple[Choice, ...]
    recommended: Way
    why: str

    def __iter__(self) -> Iterator[Choice]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, action: object) -> bool:
        return isinstance(action, str) and any(row.action == action for row in self.rows)

    def __getitem__(self, action: Way) -> Choice:
        if action not in self:
            raise KeyError(action)
        return next(row for row in self.rows if row.action == action)

    def as_json(self) -> dict[str, object]:
        """As plain data."""
        return {
            "recommended": self.recommended,
            "why": self.why,
            "choices": [row.as_json() for row in self.rows],
        }

    def __str__(self) -> str:
        lines = [
            f"  {'':<28} {'likely':>6} {'time':>9} {'pause':>8} {'sent':>9} {'vCPU lost':>9} {'degraded':>8}  risk"
        ]
        for row in self.rows:
            mark = "*" if row.action == self.recommended else " "
            lost = f"{row.withheld:.0%}" if row.withheld else "-"
            cells = (
                f"{mark} {_named(row):<28} {row.probability if row.action != 'abort' else 1:>6.0%} {_time(row.total):>9}"
                f" {_time(row.downtime):>8} {_size(row.transferred):>9} {lost:>9} {_time(row.degraded or None):>8}"
            )
            lines.append(f"{cells}  {row.risk}")
        return "\n".join([*lines, f"* {self.why}"])


def compare(
    guest: Guest,
    link: Link,
    limits: Limits = Limits(),
    rules: Rules = Rules.qemu(),
    *,
    since: State | Statistics | None = None,
    longest_pause: float | None = None,
    likely: float = 0.9,
    among: Collection[Way] = ACTIONS,
) -> Choices:
    """What each action would come to: before a migration, or from the statistics (or state) *since* of one that runs.

    A row stands only where the action would change something. *longest_pause*: the longest pause that is recommended, s
    (default: the downtime limit, and `Rules.device`, which no limit counts); *likely*: the probability, 0.5 to 0.98, that counts
    as likely; *among*: the actions that may be recommended. Times count from now, as does a timeout where *since* is a state.
    Raises `ConvergenceError` that names the field for numbers that no migration has.

    >>> from novastate.convergence import DirtyClass, DirtyCurve
    >>> curve = DirtyCurve((DirtyClass(16000, 60000),), 98304)
    >>> guest = Guest(memory=384 * 2**20, zero_pages=32079, page_size=4096, curve=curve)
    >>> choices = compare(guest, Link(limit=64 * 2**20, line_rate=1e9), Limits(downtime=0.3))
    >>> choices["wait"].total is None, choices.recommended
    (True, 'more_bandwidth')
    """
    check_kinds(guest, link, limits, rules)
    usual = limits.downtime + rules.device
    pause = usual if longest_pause is None else bounds.number("longest_pause", longest_pause, 0, bounds.LONGEST_PAUSE)
    bounds.number("likely", likely, 0.5, 0.98)
    bounds.instance("among", among, Collection)
    for action in among:
        if action not in ACTIONS:
            raise ConvergenceError("among", action, "is no action", ACTIONS)
    start = None if since is None else Start.of(since, link, rules)
    if start is not None and start.stats is not None and start.stats.post_copy:
        return _after_the_switch(guest, link, start)
    rows = tuple(_rows(guest, link, limits, rules, start, likely))
    guess = guessed(link, rules) and (start is None or start.early)
    return _recommended(rows, limits, pause, likely, among, guess=guess)


def _rows(
    guest: Guest, link: Link, limits: Limits, rules: Rules, start: Start | None, likely: float
) -> Iterator[Choice]:
    now = course_of(guest, link, limits, rules, start)
    yield _row("wait", now, _waiting(now))
    if now.probability < likely:
        found = _more_bandwidth(guest, link, limits, rules, start, likely)
        if found is not None:
            rate, course = found
            yield _row("more_bandwidth", course, "what else uses the line gets less of it", rate)
        longer = _longer_pause(guest, link, limits, rules, start, likely)
        if longer is not None:
            pause, course = longer
            yield _row("raise_downtime", course, f"if the line slows down just then, a pause of {_time(pause)}", pause)
    throttled = throttling(rules)
    if throttled is not None and not rules.auto_converge:
        course = course_of(guest, link, limits, throttled, start)
        if course.throttle:
            yield _row("throttle", course, _slowed(course))
        elif course.probability > now.probability + _ALIKE:
            yield _row("throttle", course, "the guest slows down if it writes more than is likely")
    if not rules.post_copy and switching(rules) is not None:
        course = post_copied(guest, link, limits, rules, start)
        yield _row("post_copy", course, "if the line or a host fails before its end, the guest is lost")
    yield _row("pause", paused(guest, link, limits, rules, start), "the guest does not answer while it is copied")
    yield Choice("abort", None, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, "the guest stays; what was sent was in vain")


def _row(action: Way, course: Course, risk: str, setting: float | None = None) -> Choice:
    return Choice(
        action, setting, course.total, course.pause, course.sent, course.withheld, course.degraded, course.throttle,
        course.probability, risk,
    )  # fmt: skip


def _slowed(course: Course) -> str:
    return f"the guest slows down by up to {course.throttle:.0%}"


def _waiting(course: Course) -> str:
    if course.throttle > _HARSH:
        return _slowed(course)
    if course.total is None:
        return "it does not complete in time" if course.probability < 0.1 else "it may well not complete in time"
    return "none to speak of" if course.probability > 0.9 else "it may not complete in time"


def _more_bandwidth(
    guest: Guest, link: Link, limits: Limits, rules: Rules, start: Start | None, likely: float
) -> tuple[float, Course] | None:
    if not link.limit:
        return None

    def at(limit: float) -> Course:
        return course_of(guest, Link(limit, link.line_rate), limits, rules, start, least=likely)

    rate = least_above(lambda limit: _does(at(limit), likely), link.limit, link.line_rate, _MIB)
    return None if rate is None else (rate, at(rate))


def _longer_pause(
    guest: Guest, link: Link, limits: Limits, rules: Rules, start: Start | None, likely: float
) -> tuple[float, Course] | None:
    def at(pause: float) -> Course:
        return course_of(guest, link, attrs.evolve(limits, downtime=pause), rules, start, least=likely)

    pause = least_above(lambda limit: _does(at(limit), likely), max(limits.downtime, 0.01), _LONGEST, 0.001)
    return None if pause is None else (pause, at(pause))


def _does(course: Course, likely: float) -> bool:
    return course.total is not None and course.probability >= likely


def _after_the_switch(guest: Guest, link: Link, start: Start) -> Choices:
    stats = start.stats
    left = 0.0 if stats is None else float(min(stats.memory_remaining, guest.memory))
    pace = link.line_rate if stats is None or not stats.memory_bps else float(stats.memory_bps)
    risk = "if the line or a host fails before its end, the guest is lost"
    row = Choice("wait", None, left / pace, 0.0, left, 0.0, left / pace, 0.0, 0.98, risk)
    return Choices((row,), "wait", "wait: the guest runs on the destination already, and there is no way back.")


def _recommended(
    rows: tuple[Choice, ...], limits: Limits, longest: float, likely: float, among: Collection[Way], *, guess: bool
) -> Choices:
    able = [row for row in rows if row.action in among and row.action != "abort" and _bearable(row, longest)]
    best = next((row for row in able if row.probability >= likely), None)
    if best is None:
        best = max((row for row in able if row.probability >= 0.5), key=lambda row: row.probability, default=None)
    hosts = f"{PACE / 1e6:.0f} MB/s, which is a guess (Rules.first_touch); one migration without a limit tells it."
    if best is None and guess:  # by those that are faster it may be in time
        row = next((row for row in rows if row.action in among and row.total is None and row.probability >= 0.5), None)
        if row is not None:
            return Choices(
                rows, row.action, f"{_named(row)}: it is in time or not by what the hosts take, here {hosts}"
            )
    if best is None:
        within = "" if limits.timeout is None else f" within {limits.timeout:g} s"
        why = f"abort: nothing that is allowed completes{within} with a pause of {_time(longest)} or less."
        return Choices(rows, "abort", why)
    why = f"{_named(best)}: done in {_time(best.total)} with a pause of {_time(best.downtime)}, {best.probability:.0%} likely."
    if best.action != "wait":
        why += _fault(next(row for row in rows if row.action == "wait"), longest, likely, among)
    return Choices(rows, best.action, f"{why} The hosts take {hosts}" if guess else why)


def _fault(wait: Choice, longest: float, likely: float, among: Collection[Way]) -> str:
    """What is wrong with waiting."""
    if "wait" not in among:
        return " To wait is not allowed."
    if wait.total is None or wait.downtime is None:
        return " To wait does not complete in time."
    if wait.throttle > _HARSH:
        return f" To wait would slow the guest down by up to {wait.throttle:.0%}."
    if wait.downtime > longest:
        return f" To wait has a pause of {_time(wait.downtime)}."
    return f" To wait is {wait.probability:.0%} likely to do; {likely:.0%} is asked for."


def _bearable(row: Choice, longest: float) -> bool:
    if row.total is None or row.downtime is None or row.throttle > _HARSH:
        return False
    return row.downtime <= longest


def _named(row: Choice) -> str:
    words = {"more_bandwidth": "more bandwidth", "raise_downtime": "raise the pause limit", "post_copy": "post-copy"}
    name = words.get(row.action, row.action)
    if row.setting is None:
        return name
    return (
        f"{name}: {math.ceil(row.setting / _MIB)} MiB/s"
        if row.action == "more_bandwidth"
        else f"{name}: {_time(row.setting)}"
    )


def _time(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.1f} s"


def _size(value: float | None) -> str:
    return "-" if value is None else f"{value / _MIB:.0f} MiB"
