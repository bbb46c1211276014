"""The outlook of a migration that is under way: when it will be done, with what pause, from its forecast and its statistics.

Rules:

1. It starts from what is known now: what remains, in which round, how fast it goes; and runs QEMU's rules on from there. What
   is not in the statistics (the write law, the limits) is taken from the forecast.
2. The hypervisor's own count of newly dirtied pages corrects the write law where the two do not agree: it sees what a comparison
   of contents before the start did not.
3. Every time is finite and not negative. A migration that goes round for ever has none, and the reason says so.

It is the recursion of the forecast (`novastate._native.precopy`) on expected counts, by classes of pages but without their order of
address: a slot of 100 ms sends its quota; where less remains than the threshold the bitmap is synced, and if still less
remains, the guest is stopped.

Sources: QEMU 10.0 migration/migration.c (migration_iteration_run, migration_update_counters), migration/ram.c
(migration_trigger_throttle); ``dirty-pages-rate``: pages newly dirtied a second, over a period of at least 1 s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import attrs

from novastate.convergence import bounds
from novastate.convergence.precopy import Forecast

__all__ = ["Outlook", "Statistics", "outlook"]

_SLOT = 0.1
#: No run goes through more syncs or slots.
_MOST_SYNCS, _MOST_SLOTS = 400, 20_000
#: No uncertainty of the write rates is taken as less, or once the hypervisor has counted as more.
_LEAST, _COUNTED = 0.03, 0.1
#: A count that agrees with the forecast as well as this leaves the write law as it is.
_AGREES = 1.2
#: How far the write rates may be corrected.
_FURTHEST = 16.0
#: What no state tells: where in its slot the migration is, s, and how steady a rate is.
_PHASE, _UNSTEADY = 0.1, 0.03


class Statistics(Protocol):
    """What is asked of a job's statistics: bytes, seconds, pages (`novastate.drivers.JobStats` has them)."""

    @property
    def elapsed(self) -> float:
        """Seconds since the request."""
        ...

    @property
    def memory_remaining(self) -> int:
        """Bytes that are known to be unsent."""
        ...

    @property
    def memory_bps(self) -> int:
        """Bytes a second on the wire; 0 where it is not known."""
        ...

    @property
    def disk_remaining(self) -> int:
        """Bytes of disk that go out before the memory."""
        ...

    @property
    def dirty_rate(self) -> int:
        """Pages newly dirtied a second; 0 where it is not known."""
        ...

    @property
    def iteration(self) -> int:
        """Bitmap syncs so far, the first included."""
        ...

    @property
    def constant(self) -> int:
        """Pages sent as zero pages."""
        ...

    @property
    def throttle(self) -> float:
        """Share of vCPU time withheld."""
        ...

    @property
    def post_copy(self) -> bool:
        """Whether the guest runs on the destination already."""
        ...


@attrs.frozen
class Outlook:
    """*eta*: s until it is done; *interval*: where that lies with 90 % probability; *downtime*: the pause that is expected, s; all
    None where it does not converge. *downtime* is None as well where the pause is past. *reason* says it in one sentence.
    """

    eta: float | None
    interval: tuple[float, float] | None
    downtime: float | None
    reason: str


@attrs.define
class _State:
    """What is unsent: of the first round (before the zero pages, zero, behind them), and by class; *since* the last sync, s."""

    front: float
    zero: float
    tail: float
    held: list[float]
    since: float
    throttle: float

    @property
    def pending(self) -> float:
        return self.front + self.zero + self.tail + sum(self.held)


def outlook(forecast: Forecast, stats: Statistics, *, downtime: float | None = None) -> Outlook:
    """What will come of the migration that *forecast* was made for and that *stats* is the present state of.

    *downtime*: the present limit of the pause, s, where it is not the forecast's. Raises `ConvergenceError` for
    numbers in *stats* that no migration has.
    """
    for field in ("elapsed", "memory_remaining", "memory_bps", "disk_remaining", "dirty_rate", "iteration", "constant"):
        bounds.number(f"stats.{field}", getattr(stats, field), 0, 2.0**63)
    bounds.number("stats.throttle", stats.throttle, 0, 1)
    limit = forecast.limits.downtime if downtime is None else bounds.number("downtime", downtime, 0, 2000)
    path = _Path(forecast, stats, limit)
    before = path.before
    if stats.post_copy:
        # What goes out now says more than the line could carry: a limit may hold in post-copy or not, as the hypervisor was told.
        eta = stats.memory_remaining / stats.memory_bps if stats.memory_bps else path.remaining * path.again
        return Outlook(
            eta, _around(eta, eta), None, f"The guest runs on the destination; the rest follows in {eta:.1f} s."
        )
    speed, counted = _speed(forecast, stats, path)
    end = path.run(speed)
    if end is None:
        return Outlook(
            None, None, None, "It does not converge: the guest writes as fast as the link sends, each round anew."
        )
    spread = math.hypot(_LEAST, forecast.guest.curve.spread)
    spread = min(spread, _COUNTED) if counted else spread
    ends = [end]
    unsure = False
    for deviation in (-1.65, 1.65):
        other = path.run(speed * math.exp(deviation * spread), zero=-deviation * forecast.guest.zero_error)
        unsure |= other is None
        ends += [other] if other is not None else []
    eta, pause = before + end[0], end[1]
    interval = _around(before + min(ends)[0], before + max(ends)[0])
    timeout = forecast.limits.timeout
    if unsure:  # it may go on for ever: until it is given up, where it is
        latest = 2 * interval[1] if timeout is None else max(interval[1], timeout - stats.elapsed)
        interval = (interval[0], latest)
    reason = f"Done in {eta:.1f} s with a pause of {1000 * pause:.0f} ms"
    if timeout is not None and stats.elapsed + eta > timeout:
        reason += f", if it were not given up after {timeout:g} s"
    return Outlook(eta, interval, pause, f"{reason}{', or never' if unsure else ''}.")


def _around(low: float, high: float) -> tuple[float, float]:
    return max(0.0, low * (1 - _UNSTEADY) - _PHASE), high * (1 + _UNSTEADY) + _PHASE


class _Path:
    """The rest of a migration: its numbers, and runs from its present state."""

    def __init__(self, forecast: Forecast, stats: Statistics, downtime: float) -> None:
        guest, link, rules = forecast.guest, forecast.link, forecast.rules
        self.guest, self.rules, self.downtime = guest, rules, downtime
        self.page = guest.page_size
        self.wire = rules.wire(self.page)
        units = self.page / 4096
        first = max(self.wire / link.line_rate, rules.first_touch * units, 1e-9)
        again = max(self.wire / link.line_rate, rules.rewrite * units, 1e-9)
        quota = rules.quota(link.limit, self.page) / self.wire or math.inf
        told = stats.memory_bps * _SLOT / self.wire
        expected = min(quota, _SLOT / first)
        # A rate that was measured counts where it is below what the link is said to give: the link is slower, or shared.
        if stats.iteration and 0 < told < 0.9 * expected:
            quota = min(quota, max(told, 1e-3 * expected))
        self.limited = quota < _SLOT / again
        self.first, self.again = first, again
        self.blank = max(rules.blank * units, 1e-9)
        #: Pages of a slot: new ones, rewritten ones.
        self.slot_first, self.slot_again = min(quota, _SLOT / first), min(quota, _SLOT / again)
        self.remaining = min(stats.memory_remaining / self.page, float(guest.pages))
        #: What passes before the memory's turn comes, s.
        self.before = 0.0
        if not stats.iteration:
            self.remaining = float(guest.pages)
            self.before = max(0.0, rules.begin - stats.elapsed)
        self.before += stats.disk_remaining / min(link.limit or math.inf, link.line_rate)
        self.stats = stats
        self.rates = [(row.size, row.rate, row.sequential) for row in guest.curve.classes]

    def start(self, zero: float) -> _State:
        """The present state; *zero* pages more are zero than the forecast says."""
        guest, stats = self.guest, self.stats
        if stats.iteration <= 1:
            left = min(max(guest.zero_pages + zero - stats.constant, 0.0), self.remaining)
            sent = max(0.0, guest.pages - self.remaining - stats.constant)
            tail = min(guest.tail, self.remaining - left)
            since = sent / self.slot_first * _SLOT
            return _State(self.remaining - left - tail, left, tail, [0.0] * len(self.rates), since, stats.throttle)
        # Which pages remain is not known: those that a round of about this length writes, in proportion.
        span = max(self.remaining / self.slot_again * _SLOT, _SLOT)
        parts = [_written(row, span) for row in self.rates]
        whole = sum(parts)
        share = self.remaining / whole if whole > 0 else 0.0
        held = [min(part * share, row[0]) for part, row in zip(parts, self.rates, strict=True)]
        since = max(0.0, 0.5 * (self._round() - span))
        return _State(self.remaining - sum(held), 0.0, 0.0, held, since, stats.throttle)

    def _round(self) -> float:
        """About how long this round lasts in all, s: as long as sending takes what a round of its length writes."""
        span = 10.0
        for _ in range(60):
            span = min(1e6, sum(_written(row, span) for row in self.rates) / self.slot_again * _SLOT)
        return span

    def run(self, speed: float, zero: float = 0.0) -> tuple[float, float] | None:
        """(s until the end, s of pause) where the guest writes *speed* times as fast; None where there is no end."""
        state = self.start(zero)
        rules = self.rules
        # The present slot's quota has gone out; what is left of it passes first.
        now = 0.5 * _SLOT if self.limited and self.stats.iteration else 0.0
        period = now
        sent = dirtied = 0.0
        high = alike = syncs = 0
        last = math.inf
        for _ in range(_MOST_SLOTS):
            fresh_round = state.front + state.tail > 0
            per = self.slot_first if fresh_round else self.slot_again
            threshold = per * self.wire / _SLOT * self.downtime / self.page
            if state.pending < threshold:
                factor = speed
                if state.throttle > 0:
                    factor *= min(1.0, max(0.0, 1.0 - state.throttle) / max(self.guest.busy, 0.01))
                dirtied += self._sync(state, factor)
                syncs += 1
                if now > period + 1.0:
                    if rules.auto_converge and dirtied > sent * rules.trigger:
                        high += 1
                        if high >= 2:
                            high = 0
                            step = rules.increment if state.throttle > 0 else rules.initial
                            state.throttle = min(rules.most, state.throttle + step)
                    period, sent, dirtied = now, 0.0, 0.0
                if state.pending < threshold:
                    pause = rules.device + (state.front + state.tail) * self.first + state.zero * self.blank
                    pause += sum(state.held) * self.again
                    return now + pause, pause
                settled = not rules.auto_converge or state.throttle >= rules.most
                alike = alike + 1 if settled and state.pending > last - max(0.5, 1e-4 * last) else 0
                last = state.pending
                if alike >= 12 or syncs >= _MOST_SYNCS:
                    return None
            slots = 1
            ahead = state.front if state.front > 0 else state.pending
            if ahead > 2 * per:  # a run of equal slots in one step
                slots = max(1, int(min(ahead, state.pending - threshold) / per))
            lasted, gone = self._send(state, slots, per)
            now += lasted
            sent += gone
            state.since += lasted
        return None

    def _sync(self, state: _State, speed: float) -> float:
        """Marks what was written since the last sync; how many pages that newly are."""
        fresh_all = 0.0
        for at, (size, rate, sequential) in enumerate(self.rates):
            clean = max(0.0, size - state.held[at])
            written = rate * speed * state.since
            fresh = min(written, clean) if sequential else clean * -math.expm1(-written / size)
            state.held[at] += fresh
            fresh_all += fresh
        state.since = 0.0
        return fresh_all

    def _send(self, state: _State, slots: int, per: float) -> tuple[float, float]:
        """Sends *slots* slots of *per* pages: how long that lasts, and how many pages go."""
        room = slots * per
        n = min(state.front, room)
        state.front -= n
        gone = n
        lasted = slots * _SLOT
        if state.front <= 0:
            # Zero pages take next to nothing: they go in between.
            lasted += state.zero * self.blank
            state.zero = 0.0
            n = min(state.tail, room - gone)
            state.tail -= n
            gone += n
            held = sum(state.held)
            if state.tail <= 0 and held > 0 and room > gone:
                part = min(1.0, (room - gone) / held)
                state.held = [pages * (1 - part) for pages in state.held]
                gone += held * part
        return lasted * (gone / room if gone < room and slots > 1 else 1.0), gone


def _written(row: tuple[float, float, bool], span: float) -> float:
    size, rate, sequential = row
    return min(rate * span, size) if sequential else size * -math.expm1(-rate * span / size)


def _speed(forecast: Forecast, stats: Statistics, path: _Path) -> tuple[float, bool]:
    """By what the write rates are to be multiplied so that they agree with what was counted; and whether it was."""
    rounds: Sequence[object] = forecast.rounds
    if stats.iteration < 2 or stats.dirty_rate <= 0 or not rounds:
        return 1.0, False
    at = min(stats.iteration - 2, len(rounds) - 1)
    row = forecast.rounds[at]
    # The window of the last count: as long as the forecast's round, or what sending its pages takes.
    pages = row.sent / path.wire
    span = max(pages / (path.slot_first if at == 0 else path.slot_again) * _SLOT, 1e-3)
    throttled = min(1.0, max(0.0, 1.0 - stats.throttle) / max(forecast.guest.busy, 0.01)) if stats.throttle else 1.0
    expected = sum(_written(one, span * throttled) for one in path.rates)
    counted = stats.dirty_rate * span
    if expected <= 0 or 1 / _AGREES < counted / expected < _AGREES:
        return 1.0, True
    low, high = 1 / _FURTHEST, _FURTHEST
    for _ in range(40):
        middle = math.sqrt(low * high)
        if sum(_written(one, span * throttled * middle) for one in path.rates) < counted:
            low = middle
        else:
            high = middle
    return high, True
