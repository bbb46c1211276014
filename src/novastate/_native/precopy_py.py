"""The Python twin of the pre-copy kernel: QEMU's migration loop on expected page counts.

What it computes: for each member of an ensemble of guests, how a pre-copy migration ends.

The state is what is still unsent, in pages (real numbers: expectations). In the first round: the pages
before the block of zero pages, that block, and the tail behind it. Afterwards the scan goes round and round
by address: the memory from the scan's position on is a ring of segments, each a share `width` of all
addresses with, per class of the write law, the share `dens` of its pages that is unsent there. What the scan
has passed since the last sync is clean, until a sync makes it the ring's last segment. So old dirty pages,
which hold more of the cold classes, are sent before new ones. A class written in sequence moves
through the addresses itself: its unsent pages are arcs of its own circle of pages.

One turn of the loop is one turn of QEMU's migration thread:

- *pending* is looked at as a turn begins; where it is below the threshold, or nothing is pending, the dirty bitmap is synced (where a
  turn does not end within a huge page of the host it is looked at once in *lag* bytes of memory, of which as large a share is sent as
  was unsent at the last sync), and where it still is below, the guest is stopped and the rest sent without the rate limit; where
  there is no threshold (before the first slot has ended, or with a limit of 0) and nothing is pending, it is stopped at once, and
  what it wrote since the last sync is sent in the pause;
- otherwise pages are sent until the slot's quota or the turn's time is used up, or all is sent;
- a slot that has lasted 100 ms ends with a new threshold: bytes / whole ms * downtime limit; and where a sync has called for it,
  with the switch to post-copy, for which the bitmap is synced once more (ram_postcopy_send_discard_bitmap).

A sync after T seconds makes a clean page of a class (N pages, written r times a second) dirty with
1 - exp(-r T / N), and makes the next r T pages of a sequential class dirty, of which some may be so already; less where memory
is watched anew in parts (`ring_py`).

Under auto-converge the guest is slowed (`throttle_py`), and a round that is not over after `resync` seconds is synced all the
same (looked at every `resync` seconds, not in the first pass). One that goes round for ever is known by `endless_py`.

A run may begin in the middle (`precopy_fields.Start`): the unsent pages of each class then lie evenly over what is still to be
visited.
`family` 1 is another loop altogether: `rounds_py`.

Domain: all inputs finite, not negative; counts up to 2**50. Cost: one exponential per class, and a few
operations per class and segment, for each sync; runs of equal slots are skipped over in one step. The number
of turns is bounded by `TURNS`, the time by `LONGEST`.
Sources: QEMU 10.0 migration/migration.c (migration_thread, migration_iteration_run,
migration_update_counters, migration_rate_limit), migration/ram.c (ram_save_iterate, migration_bitmap_sync),
migration/cpu-throttle.c (cpu_throttle_dirty_sync_timer_tick; before 9.2 system/cpu-throttle.c).

The compiled kernel makes the same operations in the same order: the results are equal to the last bit.
"""

from __future__ import annotations

import math
from array import array

from novastate._native import rounds_py
from novastate._native.endless_py import Endless
from novastate._native.precopy_fields import (
    CLASS_FIELDS,
    CONVERGED,
    MAX_CLASSES,
    MEMBER_FIELDS,
    NEVER,
    OUT_FIELDS,
    POSTCOPY,
    POSTCOPY_ASKED,
    POSTCOPY_SWITCH,
    ROUND_FIELDS,
    SCENARIO_FIELDS,
    START_FIELDS,
    Scenario,
    Start,
    whole_ms,
)
from novastate._native.ring_py import Ring
from novastate._native.throttle_py import Throttle

__all__ = ["JUMPS", "LONGEST", "SYNCS", "TURNS", "run"]

#: No run goes through more rounds, or takes more turns, than this. Between two syncs it takes a few turns for each kind of page:
#: rounds that are synced every 5 s may last a day.
SYNCS = 2_000
TURNS = 100_000
#: No migration is looked at for longer, s; beyond, the clock is too coarse for a slot.
LONGEST = 1e10
#: Whether runs of equal slots are one step; without, every slot is gone through, which changes nothing but the time.
JUMPS = True
_UNLIMITED = 1e300


def run(
    scenario: array[float],
    classes: array[float],
    members: array[float],
    out: array[float],
    rounds: array[float],
    start: array[float] | None = None,
) -> int:
    """Runs every row of *members*; writes a row of *out* each, and the rounds of the first into *rounds*.

    *start*: where in a migration each begins, one row for all or one for each member; then every time counts from there.
    Returns how many rows of *rounds* were written (the rest of a long migration is not recorded).
    Raises ValueError where a buffer has not the length that its rows need.
    """
    if len(scenario) != len(SCENARIO_FIELDS):
        raise ValueError(f"scenario: must have {len(SCENARIO_FIELDS)} numbers")
    if len(classes) % CLASS_FIELDS or len(classes) > CLASS_FIELDS * MAX_CLASSES:
        raise ValueError(f"classes: must be rows of {CLASS_FIELDS} numbers, at most {MAX_CLASSES}")
    if len(members) % MEMBER_FIELDS or not members:
        raise ValueError(f"members: must be rows of {MEMBER_FIELDS} numbers, at least one")
    count = len(members) // MEMBER_FIELDS
    if len(out) != OUT_FIELDS * count:
        raise ValueError(f"out: must have {OUT_FIELDS} numbers a member")
    width = len(START_FIELDS) + len(classes) // CLASS_FIELDS
    if start is not None and len(start) not in (width, width * count):
        raise ValueError(f"start: must have {width} numbers, or as many for each member")
    s = Scenario(*scenario)
    recorded = 0
    for m in range(count):
        member = members[m * MEMBER_FIELDS : (m + 1) * MEMBER_FIELDS]
        row = None if start is None else start[:width] if len(start) == width else start[m * width : (m + 1) * width]
        one = _one if s.family <= 0.0 else rounds_py.one
        found, rows = one(s, classes, member, row, rounds if m == 0 else None)
        out[m * OUT_FIELDS : (m + 1) * OUT_FIELDS] = found
        recorded = rows if m == 0 else recorded
    return recorded


def _one(
    s: Scenario,
    classes: array[float],
    member: array[float],
    start: array[float] | None,
    rounds: array[float] | None,
) -> tuple[array[float], int]:
    migration = _Migration(s, classes, member, start, rounds)
    end = migration.end()
    return migration.result(end), migration.row


class _Migration:
    """One member's migration, somewhere on its way: what is unsent, the clock and the slot, and what the rules remember."""

    __slots__ = (
        "cached", "capacity", "cost", "dense", "endless", "front_all", "kinds", "last_round", "now", "over", "pending",
        "resent", "ring", "round_sent", "rounds", "row", "s", "sent", "slot_sent", "slot_start", "speed", "switch", "synced", "syncs",
        "takes", "theta", "theta_factor", "throttle", "tick", "ticked", "ticks", "unsent", "virgin", "widest",
    )  # fmt: skip

    def __init__(
        self,
        s: Scenario,
        classes: array[float],
        member: array[float],
        start: array[float] | None,
        rounds: array[float] | None,
    ) -> None:
        self.s = s
        self.speed, self.theta_factor, tail_factor, more_zero = member
        begin = Start(s.pages, s.zero, s.tail, s.tail_zero) if start is None else Start(*start[: len(START_FIELDS)])
        all_zero = min(max(begin.zero + more_zero, 0.0), begin.left)
        tail = min(begin.tail * tail_factor, begin.left - all_zero)
        tail_zero = min(begin.tail_zero, all_zero)
        zero = all_zero - tail_zero
        front = max(0.0, begin.left - zero - tail_zero - tail)
        self.unsent = [front, zero, tail, tail_zero]  # by the first pass, in its order
        self.kinds = ((s.wire, s.first), (s.wire_zero, s.blank)) * 2  # of these: bytes of a page, and s to send it
        self.front_all = front if start is None else begin.front  # as the migration began; 0: the first sync has been
        self.ring = Ring(classes, s.chunks, s.phase)
        self.cost, self.takes = s.wire, s.again  # bytes of a dirty page now, and s to send it; less as more are cached
        self.virgin = (
            0.0  # dirty pages, the first to be sent, that the first pass has not reached: sent as it sends them
        )
        self.resent = 0.0  # dirty pages sent since the last sync
        self.cached, self.widest = begin.cached, begin.widest
        if start is not None:
            self.ring.begin(begin.behind, start[len(START_FIELDS) :])
            if s.cache > 0.0:
                self._cheapen()
        if begin.left > 0.0 and self.front_all > 0.0:
            self.ring.arm()  # what the first pass has sent was all unsent
        self.now = self.sent = 0.0
        self.slot_start = 0.0 - begin.slot_age
        self.slot_sent = begin.slot_sent
        self.theta = begin.theta * self.theta_factor  # bytes: the threshold
        self.pending = 0.0  # pages, at the last look
        # Share of the memory that was unsent at the last sync.
        self.dense = 1.0 if start is None else min(1.0, self._all_unsent() / max(1.0, s.pages))
        self.syncs = int(min(begin.syncs, 1e9))
        self.over = 0  # rounds that have come to their end in this run
        self.synced = 0.0 - begin.since  # when it was synced last
        self.last_round = 0.0
        self.throttle = Throttle(s, begin)
        self.endless = Endless(s, self.syncs)
        self.switch = False  # to post-copy, as the next slot begins
        self.ticks = s.throttling > 0.0 and s.resync > 0.0
        self.tick = s.resync  # when it is next looked whether a round lasts too long
        self.ticked = 0  # the syncs that there had been at the last look
        self.rounds = rounds
        self.capacity = len(rounds) // ROUND_FIELDS if rounds is not None else 0
        self.row = 0
        self.round_sent = 0.0

    def end(self) -> float:
        """Goes through the migration; how it ends."""
        s = self.s
        for _ in range(TURNS):
            self.pending = self._all_unsent()
            overdue = self.ticks and self.now >= self.tick - 1e-9 and self._overdue()
            last = self.pending <= 0.0 and self.theta <= 0.0 and not overdue
            called = self.pending <= 0.0 or self.pending * s.page < self._bound(self.theta)
            if last or overdue or called:
                end = self._sync(overdue, last)
                if end is not None:
                    return end
            if JUMPS and self.now == self.slot_start and self.slot_sent == 0.0 and not self.switch:
                self._full_slots()
            self._turn()
            if self.now >= self.slot_start + s.slot - 1e-9:
                end = self._end_slot()
                if end is not None:
                    return end
        return NEVER

    def result(self, end: float) -> array[float]:
        """The row of results: what is unsent goes out at the end, without the rate limit."""
        s = self.s
        front, zero, tail, tail_zero = self.unsent
        dirty, untouched, zeros = self.ring.dirty - self.virgin, front + tail + self.virgin, zero + tail_zero
        pause, total, sent = s.device, self.now, self.sent
        if end == CONVERGED:
            pause = s.device + (untouched * s.first + zeros * s.blank + dirty * self.takes)
            total = self.now + pause
            sent = sent + (untouched * s.wire + zeros * s.wire_zero + dirty * self.cost)
        elif end == POSTCOPY:
            pause = s.device * POSTCOPY_SWITCH
            total = self.now + pause + (untouched * s.first + zeros * s.blank + dirty * (POSTCOPY_ASKED * s.again))
            sent = sent + (untouched * s.wire + zeros * s.wire_zero + dirty * s.wire)
            self.pending = self._all_unsent()
        row = (end, total, pause, sent, float(self.syncs), self.throttle.share, self.pending, self.last_round)
        return array("d", row)

    def _first_pass(self) -> float:
        """Pages that the first pass has not sent yet."""
        front, zero, tail, tail_zero = self.unsent
        return front + zero + tail + tail_zero

    def _all_unsent(self) -> float:
        return self._first_pass() + self.ring.dirty

    def _bound(self, theta: float) -> float:
        """Bytes below which a look finds less than the threshold: of huge pages, looks come once in so many bytes."""
        each = self.s.lag * self.dense
        return each * math.floor(theta / each) if each > self.s.page else theta

    def _overdue(self) -> bool:
        """It is looked whether the round lasts too long: whether it does."""
        overdue = self.syncs > 1 and self.syncs == self.ticked
        self.ticked = self.syncs + 1 if overdue else self.syncs
        self.tick = self.tick + self.s.resync
        return overdue

    def _sync(self, overdue: bool, last: bool) -> float | None:
        """Syncs the dirty bitmap: how the migration ends, where it does; *last*: the guest is stopped for it."""
        s = self.s
        speed = self.throttle.slowed(self.speed)
        if self.throttle.share > 0.0:
            self.now = self.now + self.throttle.nap
        span = self.now - self.synced
        fresh = self._dirtied(span, speed)
        if not last:
            self.syncs = self.syncs + 1
        if not overdue:
            self.over = self.over + 1
        self.last_round = span
        self.synced = self.now
        self.pending = self._all_unsent()
        self.dense = min(1.0, self.pending / max(1.0, s.pages))
        if self.throttle.look(self.now, self.sent, fresh):
            self.endless.changed(self.syncs)
        self._record(span, fresh)
        if s.cache > 0.0:
            self._fill_cache()
        if last or (not overdue and self.pending * s.page < self.theta):
            return CONVERGED
        if s.postcopy > 0.0 and float(self.syncs) > s.postcopy:
            self.switch = True
        # With nothing left to change, and no switch to post-copy to come, it may go round for ever.
        if s.postcopy <= 0.0 and self.throttle.settled:
            plain = not self.ticks and s.cache <= 0.0 and s.lag <= 0.0 and self._first_pass() <= 0.0
            if self.endless.seen(
                self.syncs,
                self.ring,
                self.pending,
                span,
                self.now - self.slot_start,
                self.theta,
                self.theta_factor,
                speed,
                plain,
            ):
                return NEVER
        return NEVER if not self.switch and self.over >= SYNCS else None

    def _dirtied(self, span: float, speed: float) -> float:
        """Pages newly dirtied in the *span* s since the last sync, which are unsent from now on."""
        ring = self.ring
        if self.front_all <= 0.0:
            return ring.sync(span, speed, 0.0)
        ahead = min(1.0, self.unsent[0] / self.front_all)
        before = ring.dirty
        fresh = ring.sync(span, speed, ahead)
        if ahead > 0.0:
            # What the first round has not reached of the written pages is counted in the ring from now on.
            self.virgin = ring.dirty - before - fresh
            self.unsent[0] = max(0.0, self.unsent[0] - self.virgin)
            self.front_all = 0.0
        return fresh

    def _record(self, span: float, fresh: float) -> None:
        """Writes a row of the record of rounds, where there is room."""
        if self.rounds is not None and self.row < self.capacity:
            at = self.row * ROUND_FIELDS
            self.rounds[at] = self.now - span
            self.rounds[at + 1] = self.sent - self.round_sent
            self.rounds[at + 2] = fresh
            self.rounds[at + 3] = self.pending
            self.rounds[at + 4] = self.throttle.share
            self.row = self.row + 1
        self.round_sent = self.sent

    def _fill_cache(self) -> None:
        """Sent again once, a page is in the cache of XBZRLE: only then is it sent as a difference."""
        s = self.s
        self.widest = max(self.widest, self.ring.dirty)
        self.cached = min(s.cache, self.cached + self.resent * (self.cost - s.wire_again) / (s.wire - s.wire_again))
        self.resent = 0.0
        self._cheapen()

    def _cheapen(self) -> None:
        """What a dirty page costs with so many of them in the cache."""
        s = self.s
        share = min(1.0, self.cached / self.widest) if self.widest > 0.0 else 0.0
        self.cost = s.wire - (s.wire - s.wire_again) * share
        self.takes = s.again - (s.again - s.delta) * share

    def _full_slots(self) -> None:
        """Takes a run of equal full slots in one step.

        As long as no look at what is pending finds less than the threshold that such slots give. A higher one, from slots
        before, holds until one slot has passed.
        """
        s, unsent = self.s, self.unsent
        at = -1  # the kind of page that is sent; -1: of the ring
        part, wire, each = self.ring.dirty, self.cost, self.takes
        if self.virgin > 0.0:
            part, wire, each = self.virgin, s.wire, s.first
        for i in range(4):
            if unsent[i] > 0.0:
                at, part, (wire, each) = i, unsent[i], self.kinds[i]
                break
        per = s.slot_pages(wire, each)
        full = s.threshold(per * wire / whole_ms(s.slot), self.theta_factor)
        slots = math.floor(min(self.pending - self._bound(full) / s.page, part) / per) * 1.0
        if self.ticks and self.syncs > 1:
            slots = min(slots, math.ceil((self.tick - 1e-9 - self.now) / s.slot) - 1.0)
        if slots <= 0.0 or self.theta > full * 1.000000001:
            return
        n = slots * per
        if at >= 0:
            unsent[at] = max(0.0, part - n)
        else:
            self._resend(n)
        self.sent = self.sent + n * wire
        self.now = self.now + slots * s.slot
        self.slot_start = self.now
        self.theta = full
        if self.ticks and self.tick <= self.now:
            # In the first pass nothing comes of it.
            self.tick = self.tick + s.resync * math.floor((self.now - self.tick) / s.resync)

    def _turn(self) -> None:
        """One turn: until the quota or the time is used up, or all is sent."""
        s = self.s
        budget = max(0.0, s.quota - self.slot_sent) if s.quota > 0.0 else _UNLIMITED
        used, left = self._send(budget)
        self.now = self.now + (s.turn - left)
        self.sent = self.sent + used
        self.slot_sent = self.slot_sent + used
        if s.quota > 0.0 and self.slot_sent >= s.quota * 0.9999999 and self.now < self.slot_start + s.slot:
            self.now = self.slot_start + s.slot  # the thread sleeps until the slot ends
        elif used <= 0.0:
            self.now = self.now + 0.001  # nothing to send and not converged: a sync and its bookkeeping take time too

    def _send(self, budget: float) -> tuple[float, float]:
        """Sends at most *budget* bytes, first what the first pass has left: the bytes, and s that are left of the turn."""
        s, unsent = self.s, self.unsent
        used, left = 0.0, s.turn
        for i in range(4):
            if unsent[i] > 0.0:
                wire, each = self.kinds[i]
                n = min(unsent[i], max(0.0, (budget - used) / wire), max(0.0, left / each))
                unsent[i] = unsent[i] - n
                used = used + n * wire
                left = left - n * each
                if unsent[i] > 0.0:
                    return used, left
        if self.virgin > 0.0:
            n = min(self.virgin, max(0.0, (budget - used) / s.wire), max(0.0, left / s.first))
            self._resend(n)
            used = used + n * s.wire
            left = left - n * s.first
            if self.virgin > 0.0:
                return used, left
        if self.ring.dirty > 0.0:
            n = min(self.ring.dirty, max(0.0, (budget - used) / self.cost), max(0.0, left / self.takes))
            if n > 0.0:
                self._resend(n)
            used = used + n * self.cost
            left = left - n * self.takes
        return used, left

    def _resend(self, n: float) -> None:
        """*n* pages leave the ring, those first that were never sent."""
        self.ring.send(n)
        self.resent = self.resent + n
        self.virgin = max(0.0, self.virgin - n) if self.ring.dirty > 0.0 else 0.0

    def _end_slot(self) -> float | None:
        """Ends the slot with a new threshold: how the migration ends, where it does."""
        s = self.s
        if self.now > LONGEST:
            return NEVER
        spent = whole_ms(self.now - self.slot_start)
        self.theta = s.threshold(self.slot_sent / spent, self.theta_factor)
        self.slot_start = self.now
        self.slot_sent = 0.0
        if not self.switch:
            return None
        unsent = self._all_unsent()
        if s.lag > 0.0 and unsent > 0.0 and (self.dense * s.pages - unsent) * s.page < s.lag * self.dense:
            return None  # the turn goes on to the end of a huge page
        # The guest is stopped, and the bitmap synced once more.
        self._dirtied(self.now - self.synced, self.throttle.slowed(self.speed))
        return POSTCOPY
