"""A forecast that begins in the middle of a migration: what is unsent now, and the recursion from there on.

Rule: `run_from` is the recursion of `forecast` (`novastate._native.precopy`) with a `State` to begin from; every time that it
gives counts from that moment. `state_now` makes a plausible state of what statistics tell: which pages remain is not among it, so
the unsent pages are those that a round as long as the last one writes, class by class, and they lie evenly over the
addresses that the scan has still to visit.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import attrs

from novastate._native import precopy as kernel
from novastate._native.precopy_fields import (
    CLASS_FIELDS,
    MEMBER_FIELDS,
    NEVER,
    OUT_FIELDS,
    SCENARIO_FIELDS,
    START_FIELDS,
)
from novastate.convergence import bounds
from novastate.convergence.guest import Guest
from novastate.convergence.hostpages import besides
from novastate.convergence.rules import SLOT
from novastate.errors import ConvergenceError

__all__ = ["Run", "State", "run_from", "state_now"]

_QUOTA, _WIRE, _AGAIN_WIRE, _FIRST, _DELTA, _SWITCHOVER, _DOWNTIME = (
    SCENARIO_FIELDS.index(field)
    for field in ("quota", "wire", "wire_again", "first", "delta", "switchover", "downtime")
)
_POINT = ((1.0, 1.0, 1.0, 0.0),)


def _count(high: float = 2.0 * bounds.MOST_PAGES) -> float:
    found: float = attrs.field(default=0.0, validator=bounds.valid(0.0, high), kw_only=True)
    return found


def _numbers(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(values)


@attrs.frozen
class State:
    """Where a migration is; pages, s, bytes. The numbers of one row of the kernel's ``START_FIELDS``.

    *held*: unsent pages of each class of the write law, in its order. Of the first pass *left* pages are unsent, of which *zero*
    are zero and *tail* (with *tail_zero*) lie behind them; *front* is how many non-zero ones lay before them at the start (0
    once the first round is over). *behind*: share of the addresses that the scan has passed *since* the last sync. *slot_age* and
    *slot_sent*: time and bytes of the present 100 ms slot; *theta*: bytes that the pause has room for; *syncs* so far, the first
    included; *throttle* 0 to 1, *high*, *period_age*, *period_sent*, *period_dirty*: auto-converge's present period (counted
    look, time, bytes sent, pages dirtied); *cached*, *widest*: pages in the XBZRLE cache, most that were ever dirty.
    Raises `ConvergenceError` for NaN, negative numbers, and more than there can be.
    """

    held: tuple[float, ...] = attrs.field(converter=_numbers)
    left: float = _count()
    zero: float = _count()
    tail: float = _count()
    tail_zero: float = _count()
    front: float = _count()
    behind: float = _count(1.0)
    since: float = _count(bounds.LONGEST)
    slot_age: float = _count(bounds.LONGEST)
    slot_sent: float = _count(bounds.FASTEST)
    theta: float = _count(bounds.FASTEST)
    syncs: float = attrs.field(default=1.0, validator=bounds.valid(1.0, 2.0**31), kw_only=True)
    throttle: float = _count(0.99)
    high: float = _count(1.0)
    period_age: float = _count(bounds.LONGEST)
    period_sent: float = _count(bounds.FASTEST)
    period_dirty: float = _count(bounds.FASTEST)
    cached: float = _count()
    widest: float = _count()

    def __attrs_post_init__(self) -> None:
        """Checks the classes' pages."""
        for at, pages in enumerate(self.held):
            bounds.number(f"held[{at}]", pages, 0, 2.0 * bounds.MOST_PAGES)

    @property
    def remaining(self) -> float:
        """All pages that are known to be unsent."""
        return self.left + sum(self.held)

    def row(self) -> array[float]:
        """The kernel's row."""
        return array("d", [*(getattr(self, field) for field in START_FIELDS), *self.held])


@attrs.frozen
class Run:
    """How one run ended: `CONVERGED`, `POSTCOPY` or `NEVER` as *end*; *seconds* from the state on (with the pause, and what
    post-copy takes), s of *pause*, *sent* bytes, *syncs* in all, *throttle* at the end, *pending* pages at the last look,
    s of the *last* round, as far as it lay before the state too.
    """

    end: float
    seconds: float
    pause: float
    sent: float
    syncs: int
    throttle: float
    pending: float
    last: float

    @property
    def ends(self) -> bool:
        """Whether it completes at all."""
        return self.end != NEVER


def run_from(
    scenario: array[float],
    classes: array[float],
    state: State | Sequence[State],
    members: Iterable[tuple[float, float, float, float]] = _POINT,
    guest: Guest | None = None,
) -> list[Run]:
    """Runs *members* from *state* on: one state for all, or one for each.

    *scenario* and *classes* are the kernel's buffers (`precopy.scenario_of`, `precopy.rows_of`); a member is a factor of the write
    rates (`precopy.speed_of` for the point), of the threshold and of the tail, and zero pages to add. *guest*: on huge pages, what
    post-copy sends besides counts too. Raises
    `ConvergenceError` where the number of states or of a state's classes is wrong.
    """
    rows = array("d", (value for member in members for value in member))
    count = len(rows) // MEMBER_FIELDS
    states = [state] if isinstance(state, State) else list(state)
    if len(states) not in (1, count):
        raise ConvergenceError("state", len(states), f"must be one, or one for each of the {count} members")
    start = array("d")
    for one in states:
        if len(one.held) != len(classes) // CLASS_FIELDS:
            raise ConvergenceError("held", len(one.held), "must be one number for each class of the write law")
        start.extend(one.row())
    out = array("d", bytes(8 * OUT_FIELDS * count))
    kernel.run(scenario, classes, rows, out, array("d"), start)
    found: list[Run] = []
    for at in range(0, len(out), OUT_FIELDS):
        end, seconds, pause, sent, syncs, throttle, pending, last = out[at : at + OUT_FIELDS]
        if guest is not None:
            more = besides(scenario, guest, end, pending)
            seconds, sent = seconds + more.seconds, sent + more.sent
        found.append(Run(end, seconds, pause, sent, int(syncs), throttle, pending, last))
    return found


def state_now(
    scenario: array[float],
    guest: Guest,
    *,
    remaining: float,
    syncs: int,
    constant: float = 0.0,
    since: float | None = None,
    throttle: float = 0.0,
    period_age: float | None = None,
    speed: float = 1.0,
) -> State:
    """A state with *remaining* pages unsent after *syncs* bitmap syncs (1 or less: the first pass).

    *constant*: zero pages sent so far; *since*: s since the last sync, where it is known; *throttle*: 0 to 1; *period_age*: s
    since auto-converge last looked, at least *since*; *speed*: a factor of the write rates. The present slot is taken as
    half over, its quota gone out. Raises `ConvergenceError` for NaN, negative numbers and more pages than the guest has.
    """
    bounds.number("remaining", remaining, 0, guest.pages)
    bounds.number("constant", constant, 0, bounds.MOST_PAGES)
    bounds.number("speed", speed, 0, 1e9)
    if since is not None:
        bounds.number("since", since, 0, bounds.LONGEST)
    quota, first, delta = scenario[_QUOTA], scenario[_FIRST], scenario[_DELTA]
    wire = scenario[_WIRE] if syncs <= 1 else scenario[_AGAIN_WIRE]
    pace = 1.0 / (first if syncs <= 1 else delta)  # pages/s
    if quota > 0.0:
        pace = min(pace, quota / wire / SLOT)
    switchover = scenario[_SWITCHOVER]
    theta = (switchover if switchover > 0.0 else pace * wire / 1000.0) * scenario[_DOWNTIME] * 1000.0
    common = {
        "slot_age": 0.5 * SLOT,
        "slot_sent": quota if quota > 0.0 else 0.5 * SLOT * pace * wire,
        "theta": theta,
        "syncs": float(max(syncs, 1)),
        "throttle": throttle,
    }
    classes = guest.curve.classes
    if syncs <= 1:
        zero = min(max(guest.zero_pages - constant, 0.0), remaining)
        tail = min(guest.tail, remaining - zero)
        sent = max(0.0, guest.pages - remaining - constant)
        passed = sent / pace if since is None else since
        tail_zero = min(guest.tail_zero, zero)
        front = max(0.0, guest.pages - guest.zero_pages - guest.tail)
        if not sent and not constant:  # nothing has gone out yet
            common |= {"slot_age": 0.0, "slot_sent": 0.0, "theta": 0.0}
        period = {"period_age": passed, "period_sent": sent * scenario[_WIRE]}
        return State(
            [0.0] * len(classes), left=remaining, zero=zero, tail=tail, tail_zero=tail_zero, front=front, behind=1.0,
            since=passed, **period, **common,
        )  # fmt: skip

    def written(span: float) -> list[float]:
        return [row.pages(span * speed) for row in classes]

    most = sum(row.size for row in classes)
    if since is None:
        # A round that writes as much as is sent in it; the present one is half as far as that would make it.
        span = 10.0
        for _ in range(60):
            span = min(1e6, sum(written(span)) / pace)
        since = max(0.0, 0.5 * (span - remaining / pace))
    before = remaining + since * pace  # at the last sync
    low, high = 1e-9, bounds.LONGEST
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if sum(written(middle)) < before else (low, middle)
    parts = written(high)
    if sum(parts) < 1e-6 * remaining:  # nothing is written in any time: as likely one page as another
        parts = [row.size for row in classes]
    whole = sum(parts)
    share = remaining / whole if whole > 0.0 else 0.0
    held = [min(part * share, row.size) for part, row in zip(parts, classes, strict=True)]
    # What no class holds is of pages that are written once and no more.
    left = max(0.0, remaining - sum(held))
    age = max(since, period_age or 0.0)
    return State(
        held, left=left, behind=min(1.0 - remaining / before if before > 0.0 else 1.0, 1.0), since=since,
        period_age=age, period_sent=age * pace * wire, widest=min(before, most), cached=min(before, most), **common,
    )  # fmt: skip
