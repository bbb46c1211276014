"""A page-exact replica of QEMU's pre-copy: every page has its bit, and the guest writes by a law.

Rules (those of the forecast; QEMU 10.0 migration/migration.c, migration/ram.c, system/cpu-throttle.c):

1. The thread takes turns. As a turn begins it looks at what is *pending* (unsent pages × 4096). Is that below the threshold,
   it syncs the dirty bitmap; is it still below (strictly), it stops the guest and sends the rest at line rate.
2. Else it sends a burst at line rate until the quota of the 100 ms slot (limit / 10, rounded up to whole flushes of 32 pages) or
   the 50 ms of a turn are used up, or nothing is left; with the quota used up it sleeps until the slot ends.
3. When a slot ends, threshold = bytes of the slot / its whole milliseconds × downtime limit. Before the first ends it is 0;
   where it is 0 and nothing is left, the guest is stopped.
4. The scan is cyclic by address. Zero pages take 9 bytes and lie in a block before a tail of non-zero pages.
5. A sync sets the bit of each page written since the previous sync; one that is still unsent is not counted anew.
6. Auto-converge: a period of more than 1 s, looked at in a sync, counts if more than half of the bytes sent were dirtied;
   every second one that counts raises the throttle. A throttled vCPU keeps the sync waiting.
7. After the switch to post-copy, which is made as a turn begins (by rule as the slot ends, for it takes an event and a command), the
   rest goes out without the limit while the guest runs there.
8. Under auto-converge a timer of `Rules.background_sync` syncs a round in which it has looked before; a tail-slow step is no larger than
   what brings the writes down to the trigger; with a dirty limit the guest writes no faster than it from then on.
9. Memory that is armed in parts (`Rules.rearm`) is watched from when the part's first page is sent: see `PageMap`.
10. Cloud Hypervisor sends whole rounds, and stops the guest as soon as the rest fits the pause at the last round's bandwidth; only
   where it does not is it asked whether the timeout is over.
11. Of memory on huge pages a turn ends at the end of one only: where the quota has just been used up, or, looked at after the first
   and each 64th more, 50 ms have passed. After a switch to post-copy they go whole.

Left out: a throttle step bites at once, not at the vCPU's next tick (10 ms / (1 - p), system/cpu-throttle.c: less than 0.1 % of the
writes between two steps). Memory is one block;
line rate, the cost of a page of each kind and the pause for devices are constant, and so are the guest's writes but for the throttle.

Time is seconds since QEMU's migration became active. Everything follows from the seed: two runs with equal arguments are equal.
Cost: a turn takes some 10 us and what its pages are scanned in (64 at a time), a sync the same and some ns a page written.
"""

from __future__ import annotations

import math

from attrs import evolve

from novastate._native.precopy_fields import POSTCOPY_ASKED, POSTCOPY_SWITCH
from novastate.convergence import bounds
from novastate.convergence.postcopy import PostCopy
from novastate.convergence.precopy import Round
from novastate.convergence.simulation.faults import faults_of, steps_of
from novastate.convergence.simulation.laws import PAGE, WriteLaw
from novastate.convergence.simulation.pagemap import MOST, PageMap, Sent
from novastate.convergence.simulation.setup import Answer, SimulationSetup, Status
from novastate.convergence.simulation.timed import Law, PhasedLaw, TraceLaw
from novastate.convergence.simulation.writers import Randoms, limited_share, place_of, writer_of
from novastate.convergence.throttle import SLOWED, left, nap
from novastate.errors import ConvergenceError

__all__ = ["PreCopySimulation"]

#: What a speed of 0 is reckoned as where something is divided by it.
_SLOWEST = 1e-9
#: After how many huge pages the time of a turn is looked at (migration/ram.c ram_save_iterate).
_BETWEEN = 64


class PreCopySimulation:
    """One live migration, to be stepped: ``advance(1.5)``, look at :attr:`statistics`, ``set_downtime(0.5)``, ``advance(2)``.

    *pages*, *zero_pages*: of the guest; most zero pages lie in one block, behind which *tail_pages* non-zero and *tail_zero*
    zero ones follow (by default as in `Guest`). The pages that *law* writes lie together, somewhere before that block, by the seed.
    Raises `ConvergenceError` where the law writes more pages than there are.
    """

    def __init__(
        self,
        pages: int,
        law: Law,
        setup: SimulationSetup | None = None,
        *,
        zero_pages: int = 0,
        tail_pages: int | None = None,
        tail_zero: int = 215,
        seed: int = 0,
    ) -> None:
        pages = bounds.whole("pages", pages, 1, MOST)
        bounds.instance("law", law, WriteLaw, PhasedLaw, TraceLaw)
        if law.pages > pages:
            raise ConvergenceError("law", str(law), f"must write at most the {pages} pages that there are")
        zero_pages = bounds.whole("zero_pages", zero_pages, 0, pages)
        if tail_pages is not None:
            tail_pages = bounds.whole("tail_pages", tail_pages, 0, bounds.MOST_PAGES)
        seed = bounds.whole("seed", seed, -(1 << 63), (1 << 64) - 1)
        tail_zero = bounds.whole("tail_zero", tail_zero, 0, bounds.MOST_PAGES)
        self.setup = SimulationSetup() if setup is None else setup
        bounds.instance("setup", self.setup, SimulationSetup)
        self.pages, self.law = pages, law
        self._randoms = Randoms(seed, 0)
        tail_zero = min(tail_zero, zero_pages)
        own = 1500 + pages // 64 if tail_pages is None else tail_pages
        front = pages - zero_pages - min(own, pages - zero_pages)
        zero = [(front, front + zero_pages - tail_zero), (pages - tail_zero, pages)]
        self._map = PageMap(pages, zero, self.setup)
        self._writer = writer_of(law, place_of(law, front, seed), seed)
        #: Where it stands at the time last advanced to.
        self.status = Status.ACTIVE
        #: When the guest was stopped on the source; None before.
        self.stopped_at: float | None = None
        #: When the guest could run on the destination; None before that is known.
        self.resumed_at: float | None = None
        #: When all was over; None before that is known.
        self.finished_at: float | None = None
        #: The complete rounds so far.
        self.rounds: list[Round] = []
        #: The share of vCPU time that is withheld, and the highest that ever was.
        self.throttle = self.highest = 0.0
        #: Bitmap syncs so far, as QEMU counts them.
        self.syncs = 1
        #: Pages sent as differences (XBZRLE).
        self.differences = 0
        self._speed = 1.0
        self._clock = self._now = self._slot_start = self._synced = self._period_start = 0.0
        self._slot_sent = self._processed = self._normal = self._constant = 0
        self._period_sent = self._period_dirty = self._round_sent = self._high = 0
        self._threshold = self._bandwidth = 0.0
        self._dirty_rate = 0
        self._running_since: float | None = 0.0
        self._written_for = 0.0
        self._want_post_copy = self._due_to_switch = False
        #: Of huge pages: how many small ones each has, unsent ones of the present, how many were gone through in this turn, its begin,
        #: and whether it goes on.
        self._each, self._hold, self._gone_through = self.setup.host_page // PAGE, 0, 0
        self._turn_began, self._goes_on = 0.0, False
        self._limited = 1.0
        self._tick, self._ticked = self.setup.background_sync, 0
        #: Whether it has switched to post-copy.
        self.was_post_copy = False
        self._final = Sent(0, 0, 0, 0, 0, 0.0)
        self._post_copy_whole = 0.0
        #: Of post-copy: how much has come by when.
        self._come: list[tuple[float, float]] = []
        #: What post-copy has cost the guest; None before its end, and where it was not switched.
        self.post_copy: PostCopy | None = None

    # --- commands

    def set_downtime(self, seconds: float) -> None:
        """Changes the downtime limit; as in QEMU it takes effect when the slot ends."""
        self.setup = evolve(self.setup, downtime=bounds.number("downtime", seconds, above=True))

    def set_bandwidth(self, limit: float | None) -> None:
        """Changes the bandwidth limit, bytes/s, from the next turn on; none is 0 or None."""
        self.setup = self.setup.limited(limit)

    def set_throttling(
        self, *, initial: float | None = None, increment: float | None = None, most: float | None = None
    ) -> None:
        """Changes the steps of auto-converge, shares of vCPU time, from the next on; it must have been switched on."""
        setup = self.setup
        if not setup.auto_converge:
            raise ConvergenceError("auto_converge", False, "must have been switched on")
        for name, value in (("initial", initial), ("increment", increment), ("most", most)):
            if value is not None:
                bounds.number(name, value, 0, 0.99, above=True)
        setup = evolve(
            setup,
            throttle_initial=setup.throttle_initial if initial is None else initial,
            throttle_increment=setup.throttle_increment if increment is None else increment,
            throttle_max=setup.throttle_max if most is None else most,
        )
        if setup.throttle_max < setup.throttle_initial:
            raise ConvergenceError("most", setup.throttle_max, f"must be at least initial, {setup.throttle_initial:g}")
        self.setup = setup

    def set_speed(self, factor: float) -> None:
        """The link runs at *factor* times what was set up, from the next turn on, in post-copy at once; 0 is a stall."""
        factor = bounds.number("factor", factor)
        left = self._post_copy_left()
        if self.status is Status.POSTCOPY:
            come = max(0.0, 1 - left / max(self._post_copy_whole, _SLOWEST))
            self._come.append((come, max(self._come[0][1], self._clock)))
        self._speed = factor
        if self.status is Status.POSTCOPY:
            self.finished_at = self._clock + left / max(factor, _SLOWEST)

    def _post_copy_left(self) -> float:
        """Seconds that post-copy still takes at the speed that was set up."""
        return 0.0 if self.finished_at is None else (self.finished_at - self._clock) * max(self._speed, _SLOWEST)

    def set_running(self, *, running: bool) -> None:
        """The guest was paused (it writes nothing from now on), or runs again."""
        bounds.flag("running", running)
        if self._running_since is not None:
            self._written_for += max(0.0, self._clock - self._running_since)
        self._running_since = self._clock if running else None

    def start_post_copy(self) -> bool:
        """Asks for the switch to post-copy, which the next turn makes; False where it was not permitted."""
        self._want_post_copy = self.setup.post_copy
        return self._want_post_copy

    def abort(self) -> bool:
        """Ends it, the guest runs on where it is; False if it has ended, or runs in post-copy and cannot be aborted."""
        if self.status.ended or self.status is Status.POSTCOPY:
            return False
        self._end(Status.CANCELLED)
        return True

    def fail(self) -> None:
        """Ends it as when the connection breaks."""
        if not self.status.ended:
            self._end(Status.FAILED)

    def _end(self, status: Status) -> None:
        self.status, self.finished_at = status, self._clock
        if status is not Status.COMPLETED and self.resumed_at is not None and self.resumed_at > self._clock:
            self.stopped_at = self.resumed_at = None

    # --- time

    def advance(self, to: float) -> Status:
        """Goes on to time *to* (never back), and says where it stands then."""
        self._clock = max(self._clock, bounds.number("to", to, -bounds.LONGEST, 2 * bounds.LONGEST))
        while self.status is Status.ACTIVE and self._now <= self._clock:
            self._turn()
        ending = self.status in {Status.DEVICE, Status.POSTCOPY}
        if ending and self.finished_at is not None and self.finished_at <= self._clock:
            self._complete()
        return self.status

    @property
    def next_event(self) -> float:
        """When something will happen next: the next turn, or the end; infinite once it has ended."""
        if self.status is Status.ACTIVE:
            return self._now
        return math.inf if self.status.ended or self.finished_at is None else self.finished_at

    @property
    def statistics(self) -> Answer:
        """What QEMU would answer at the time last advanced to."""
        remaining, processed = self._remaining * PAGE, self._processed
        if self.status is Status.POSTCOPY:
            done = min(1.0, max(0.0, 1 - self._post_copy_left() / max(self._post_copy_whole, _SLOWEST)))
            remaining = int(remaining * (1 - done))
            processed += int(self._final.bytes * done)
            self._bandwidth = self._final.bytes * self._speed / max(self._post_copy_whole, _SLOWEST)
        known = self._dirty_rate and self._bandwidth
        return Answer(
            status=self.status,
            elapsed=self._clock if not self.status.ended or self.finished_at is None else self.finished_at,
            processed=processed,
            remaining=remaining,
            total=self.pages * PAGE,
            iteration=self.syncs,
            dirty_rate=self._dirty_rate,
            bandwidth=self._bandwidth,
            throttle=self.throttle,
            normal=self._normal,
            constant=self._constant,
            expected_downtime=remaining / self._bandwidth if known else self.setup.downtime,
        )

    @property
    def elapsed(self) -> float:
        """The time last advanced to, s."""
        return self._clock

    @property
    def downtime(self) -> float:
        """For how long the guest stood still, s; 0 before it is known."""
        if self.stopped_at is None or self.resumed_at is None:
            return 0.0
        return self.resumed_at - self.stopped_at

    # --- one turn of the migration thread

    @property
    def _remaining(self) -> int:
        return self._map.left

    def _turn(self) -> None:
        if self.setup.whole_rounds:
            self._part_of_round()
            return
        overdue = not self._goes_on and self._overdue()
        if self._goes_on:
            pass  # within a huge page nothing is looked at
        elif overdue or self._remaining * PAGE < self._threshold:
            self._sync()
            if not overdue and self._remaining * PAGE < self._threshold:
                self._stop()
                return
        elif not self._remaining and not self._threshold:
            # No threshold yet, or ever: the guest is stopped without a look, and what it wrote since the last sync goes out in the pause.
            self._sync()
            self.syncs -= 1
            self._stop()
            return
        if self._want_post_copy and not self._goes_on:
            self._switch()
            return
        if not self._goes_on:
            self._turn_began, self._gone_through = self._now, 0
        sent = self._burst()
        quota, slot_end = self.setup.quota * self._speed, self._slot_start + self.setup.slot
        if self._each > 1:
            self._goes_on = self._within(full=self._slot_sent >= quota)
        if self._slot_sent >= quota and self._now < slot_end:
            slow = self._randoms.random() < self.setup.slow_slots
            self._now = slot_end + (0.001 if slow else 0.0)
        elif not sent:
            # Nothing to send and not finished: a sync and its bookkeeping take time too; without one, nothing changes in this slot.
            self._now = self._now + 0.001 if self._remaining * PAGE < self._threshold else slot_end
        if self._now >= slot_end - 1e-9:
            span = max(1, round((self._now - self._slot_start) * 1000))
            self._bandwidth = self._slot_sent / span * 1000.0
            rate = self.setup.switchover_bandwidth or self._bandwidth
            self._threshold = rate * self.setup.downtime
            self._slot_start, self._slot_sent = self._now, 0
        ended = self._now == self._slot_start if self._each == 1 else not self._goes_on
        if self._due_to_switch and ended:
            self._switch()

    def _within(self, *, full: bool) -> bool:
        """Whether the turn goes on: it is within a huge page, or neither the quota nor its time was found used up at the end of one."""
        if self._hold > 0 or not self._remaining:
            return self._remaining > 0
        self._gone_through += 1
        late = self._gone_through % _BETWEEN == 1 and self._now - self._turn_began > self.setup.turn
        return not full and not late

    def _overdue(self) -> bool:
        """Whether a round under auto-converge has lasted so long that the bitmap is synced before its end."""
        setup = self.setup
        if not setup.auto_converge or not setup.background_sync or self._now < self._tick:
            return False
        overdue = self.syncs > 1 and self.syncs == self._ticked
        self._ticked = self.syncs + overdue
        self._tick += setup.background_sync
        return overdue

    def _part_of_round(self) -> None:
        """Cloud Hypervisor: a round is sent to its end, and then decides whether the rest fits the pause."""
        if self._remaining:
            if not self._burst():
                self._now += self.setup.turn
            return
        setup, done = self.setup, len(self.rounds)
        lasted, sent = self._now - self._synced, self._processed - self._round_sent
        self._sync()
        pause = self._remaining * PAGE * lasted / sent if sent else 0.0
        self._bandwidth = sent / lasted if lasted > 0 else 0.0
        fits = not setup.most_rounds and pause <= setup.downtime
        late = 0 < setup.deadline <= self._now
        if not self._remaining or fits or (late and not setup.cancels) or 0 < setup.most_rounds <= done:
            self._stop()
        elif late:
            self._end(Status.CANCELLED)
            self.finished_at = self._now

    def _burst(self) -> int:
        """Sends what the slot and the turn allow: bytes."""
        if self._speed <= 0 or not self._remaining:
            return 0
        room = self.setup.quota * self._speed - self._slot_sent
        if self._each > 1 and self._hold <= 0:
            self._hold = self._map.ahead(self._each)
        gone = self._map.send(room, self.setup.turn * self._speed, self._hold if self._each > 1 else None)
        self._hold -= gone.pages
        if self._map.entered:
            self._write()
            self._map.arm()
        self._count(gone)
        sent = gone.bytes + self.setup.turn_header
        self._processed += sent
        if not self.setup.whole_rounds:
            self._slot_sent += sent
        self._now += gone.seconds / self._speed
        return sent

    def _count(self, sent: Sent) -> None:
        self._constant += sent.blank
        self._normal += sent.first + sent.again
        self.differences += sent.delta

    def _sync(self) -> None:
        if self.throttle > 0:
            # The throttled vCPU sleeps for a while at a time, and the sync waits for it.
            self._now += nap(self.throttle) * (0.97 if self.throttle > 0.98 else 0.5)
        span = self._now - self._synced
        fresh = self._mark()
        self._synced = self._now
        self._period_dirty += fresh
        if self._now > self._period_start + 1.0:
            self._look_at_period()
        self.highest = max(self.highest, self.throttle)
        sent = self._processed - self._round_sent
        self.rounds.append(Round(self._now - span, sent, fresh, self._remaining, round(100 * self.throttle)))
        if self.setup.post_copy_after and self.syncs > self.setup.post_copy_after:
            self._due_to_switch = self.setup.post_copy
        self._round_sent = self._processed

    def _write(self) -> None:
        """Marks what the guest has written up to now."""
        span = self._written_for
        if self._running_since is not None:
            span += max(0.0, self._now - self._running_since)
            self._running_since = max(self._now, self._running_since)
        self._written_for = 0.0
        self._writer.write(self._map.written, span * self._share())

    def _mark(self) -> int:
        """Sets the bits of the pages written since the last sync; how many were not set."""
        self._write()
        self._writer.flush(self._map.marks)
        self.syncs += 1
        return self._map.sync()

    def _share(self) -> float:
        """Which share of its writes the guest makes under the throttle, or the limit."""
        busy, setup = self.law.busy, self.setup
        speed = (SLOWED if busy > 0.9 else 1.0) * self._limited
        return speed * left(self.throttle, busy, setup.lost, setup.wake)

    def _look_at_period(self) -> None:
        setup, sent = self.setup, self._processed - self._period_sent
        self._dirty_rate = int(self._period_dirty / (self._now - self._period_start))
        if setup.auto_converge and self._period_dirty * PAGE > sent * setup.throttle_trigger:
            self._high += 1
            if self._high >= 2:
                self._high = 0
                self._throttle_more(sent)
        self._period_start, self._period_sent, self._period_dirty = self._now, self._processed, 0

    def _throttle_more(self, sent: int) -> None:
        setup = self.setup
        if setup.dirty_limit:
            self._limited = limited_share(self.law, setup.dirty_limit)
        elif self.throttle <= 0:
            self.throttle = min(setup.throttle_max, setup.throttle_initial)
        else:
            step = setup.throttle_increment
            if setup.tailslow:
                left = round(100 * (1 - self.throttle))
                ideal = math.floor(left * (sent * setup.throttle_trigger / (self._period_dirty * PAGE)))
                step = min((left - ideal) / 100, step)
            self.throttle = min(setup.throttle_max, self.throttle + step)

    # --- the end

    def _stop(self) -> None:
        """The guest is stopped, and the rest goes out at line rate."""
        self.status, self.stopped_at = Status.DEVICE, self._now
        self.syncs += 1
        self._final = self._map.rest()
        pause = self.setup.device + self._final.seconds / max(self._speed, _SLOWEST)
        self.resumed_at = self.finished_at = self._now + pause

    def _switch(self) -> None:
        """The guest runs on the destination from now on, and its missing pages follow."""
        self._mark()
        self._synced = self._now
        self.status, self.stopped_at, self.was_post_copy = Status.POSTCOPY, self._now, True
        alone = self._map.rest()
        if self._each > 1:
            self._map.complete(self._each)
        self._final = self._map.rest()
        self.resumed_at = self._now + self.setup.device * POSTCOPY_SWITCH
        asked = (POSTCOPY_ASKED - 1) * self.setup.again
        self._post_copy_whole = seconds = self._final.seconds + (alone.again + alone.delta) * asked
        self.finished_at = self.resumed_at + seconds / max(self._speed, _SLOWEST)
        self._come = [(0.0, self.resumed_at)]

    def _count_faults(self, end: float) -> PostCopy:
        """What post-copy, which has ended, has cost the guest; one that stands still now is taken to have stood still there."""
        steps = steps_of([*self._come, (1.0, end)]) * (self._running_since is not None)
        faults, wait = float(faults_of(self._map.unsent, self._writer, steps)), self.setup.fault
        if self._each > 1 and faults:
            huge = max(1.0, self._final.pages / self._each)
            faults = -huge * math.expm1(-faults / huge)
        return PostCopy(self.downtime, self._final.pages, end - self._come[0][1], faults, wait, faults * wait)

    def _complete(self) -> None:
        if self.status is Status.POSTCOPY and self.finished_at is not None:
            self.post_copy = self._count_faults(self.finished_at)
        self._count(self._final)
        self._processed += self._final.bytes
        self._map.left = 0
        self.throttle = 0.0
        self.status = Status.COMPLETED
