"""Where a migration is, by its statistics and what was known before, and how it goes on from there.

Rules:

1. The hypervisor began when the first bytes went out; its slots of 100 ms count from there, and bitmaps are synced as slots end.
2. A sync comes when whole slots have gone out until less is left than the threshold (migration.c, migration_iteration_run).
3. What goes on is run by the kernel from the present state (`novastate.convergence.resume`), for the guest as it is known and for
   others that are as likely (`novastate.convergence.ensemble`), each weighed by how well it explains what was counted.
"""

from __future__ import annotations

import math
from array import array

import attrs

from novastate._native.precopy_fields import CONVERGED, NEVER
from novastate.convergence import bounds
from novastate.convergence.curve import DirtyCurve, kernel_rows
from novastate.convergence.curves.rounds import found_pages
from novastate.convergence.ensemble import DESIGN, FURTHEST, LEAST_SPREAD, other_of
from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.luck import HORIZON
from novastate.convergence.online.alike import Alike
from novastate.convergence.online.doubt import scaled, shapes
from novastate.convergence.online.learning import Counted, Counts, Pace
from novastate.convergence.online.statistics import Sample
from novastate.convergence.precopy import rows_of, scenario_of, speed_of
from novastate.convergence.resume import Run, State, run_from, state_now
from novastate.convergence.rules import SLOT, Rules
from novastate.convergence.throttle import nap
from novastate.convergence.timeout import decided

__all__ = ["Tracker"]

_ZERO_BYTES = 9.0
#: A pace that is off by less than this (logarithm) is as it should be.
_AS_EXPECTED = 0.1
#: A chance of less than this a round is none.
_RARE = 1e-4
#: A law that is wrong with less chance than this is right.
_UNDOUBTED = 0.02
#: Of other curves that are as likely about so many are looked at.
_OTHERS = 12


@attrs.define
class _Period:
    """Auto-converge's present look: since when, bytes sent before it, bytes dirtied in it, and whether the one before counted."""

    start: float = 0.0
    sent: float = 0.0
    dirty: float = 0.0
    high: int = 0
    throttle: float = 0.0

    def synced(self, at: float, dirty: float, sent: float, throttle: float, trigger: float) -> None:
        """A sync at *at* s found *dirty* bytes, *sent* bytes were sent so far (migration/ram.c, migration_trigger_throttle)."""
        self.dirty += max(0.0, dirty)
        if throttle > self.throttle:
            self.throttle, self.high = throttle, 0
        elif at > self.start + 1.0:
            self.high = (self.high + 1) % 2 if self.dirty > trigger * (sent - self.sent) else self.high
        else:
            return
        self.start, self.sent, self.dirty = at, sent, 0.0


class Tracker:
    """Told of every sample of one migration (`learn`), it runs the migration on from the last one (`runs`)."""

    def __init__(self, guest: Guest, link: Link, limits: Limits, rules: Rules) -> None:
        self.guest, self.link, self.limits, self.rules = guest, link, limits, rules
        self.counts, self.pace, self.alike = Counts(), Pace(), Alike()
        #: The present downtime limit, s: rounds that may be the last take about so long.
        self._limit = limits.downtime
        #: What the law said at the last look.
        self._promised: list[tuple[Run, float]] = []
        self._last: Sample | None = None
        #: Zero pages of the first pass, once it is over.
        self._zero: float | None = None
        #: When the last sync was, s; None where it was before the first look.
        self._synced: float | None = None
        self._period = _Period()
        #: The laws of the last sample, worked out once for all limits that are tried.
        self._laws_at: float | None = None
        self._laws_found: list[tuple[DirtyCurve, float, float]] = []
        #: The laws that may be where the one known before is wrong: before anything was counted, and after so many rounds.
        self._off: list[DirtyCurve] = []
        self._shaped_at = (0, 0.0)
        self._shaped: tuple[float, list[tuple[DirtyCurve, float]]] = (0.0, [])

    # --- what is learnt

    def learn(self, now: Sample, limit: float) -> None:
        """One more sample, under a downtime limit of *limit* s."""
        last, self._last = self._last, now
        self._laws_at, self._limit = None, limit
        if now.iteration > 1 and now.counted and self._zero is None:
            self._zero = now.constant
        if now.iteration and (last is None or not last.iteration):
            self._begin(now, 0.0 if last is None else last.elapsed)
            return
        if last is None or not last.iteration or now.post_copy:
            return
        if now.disk_remaining == last.disk_remaining == 0:
            sent = self._takes(
                now.memory_processed - last.memory_processed, now.constant - last.constant, now.iteration
            )
            syncs = max(0, now.iteration - last.iteration)
            self.pace.add(now.elapsed - last.elapsed, sent, syncs=syncs, nap=nap(max(last.throttle, now.throttle)))
        if not now.counted:
            if now.iteration > 1:
                self._synced = None
            if last.iteration > 1 and now.dirty_rate != last.dirty_rate:
                self._rated(now)
        elif now.iteration > last.iteration:
            self._count(last, now, limit)

    def _begin(self, now: Sample, before: float) -> None:
        """The first look at the hypervisor: in the first round it began as long ago as what it has sent takes."""
        quota = self.rules.quota(self.link.limit)
        takes = self._takes(now.memory_bps, 0.0, now.iteration)  # what goes in a second
        if quota and 0.0 < takes <= now.memory_bps / quota * SLOT:
            self.pace.add(1.0, min(1.0, takes))
        elif now.iteration == 1:  # less may be zero pages; more is more
            self.pace.add(1.0, max(1.0, takes))
        if now.iteration == 1:
            took = self._takes(now.memory_processed, now.constant, 1) + 0.5 * SLOT
            self._synced = self._period.start = max(before, now.elapsed - took)
            return
        self._period.start, self._period.sent = now.elapsed, now.memory_processed
        self._rated(now)

    def _rated(self, now: Sample) -> None:
        """QEMU's own count of pages, over a second and more: a round where that is longer, which is about as long as the next."""
        if not now.dirty_rate:
            return
        window = max(SLOT, now.memory_remaining / max(now.memory_bps, 1.0))
        span = max(1.0, min(window, now.elapsed))
        self.counts.add(
            Counted(
                at=now.elapsed,
                span=span,
                rounds=max(1, round(span / window)),
                new=now.dirty_rate * span,
                unsent=0.0,
                throttle=now.throttle,
                jitter=0.3,
                pages=float(self.guest.pages),
            )
        )

    def _takes(self, sent: float, constant: float, iteration: int) -> float:
        """Seconds that sending *sent* bytes, *constant* zero pages among them, should take."""
        page = self.guest.page_size
        units = page / 4096
        wire = self.rules.wire(page)
        cost = max(wire / self.link.line_rate, (self.rules.touch if iteration <= 1 else self.rules.rewrite) * units)
        alone = max(0.0, sent - _ZERO_BYTES * constant) / wire * cost + constant * self.rules.blank * units
        quota = self.rules.quota(self.link.limit)
        return max(alone, sent / quota * SLOT) if quota else alone

    def _count(self, last: Sample, now: Sample, limit: float) -> None:
        """What the syncs between two looks have found (rules 1 and 2 of `learning`)."""
        page = self.guest.page_size
        zero = now.constant - last.constant
        sent = now.memory_processed - last.memory_processed
        gap = now.elapsed - last.elapsed
        rounds = now.iteration - last.iteration
        rate = max(now.memory_bps or sent / max(gap, 1e-3), 1.0)
        slot, theta = rate * SLOT, rate * limit
        waited = math.ceil(max(0.0, last.memory_remaining - theta) / slot)
        unsent = max(0.0, last.memory_remaining - waited * slot)
        at = last.elapsed + min(gap, (waited + 0.5) * SLOT)
        if rounds > 1:  # the last of them is only known to lie between
            at, unsent = 0.5 * (at + now.elapsed), max(0.5 * theta, theta - 0.5 * slot)
        if self._synced is None:
            self._synced = at
            return
        span = at - self._synced
        if self.link.limit:
            span = SLOT * max(rounds, round(span / SLOT))
            at = min(max(self._synced + span, last.elapsed - SLOT), now.elapsed)
        self._synced = at
        if span <= 0.0:
            return
        new = found_pages(now.memory_remaining - last.memory_remaining, sent, zero, page, self.rules.wire(page))
        if self.rules.xbzrle_cache:  # bytes do not tell how many pages they were; QEMU's own count does
            new = now.dirty_rate * span
        self.counts.add(
            Counted(
                at=at,
                span=span,
                rounds=rounds,
                new=new,
                unsent=unsent / page,
                throttle=last.throttle,
                jitter=0.5 * SLOT if rounds == 1 else min(gap, SLOT),
                pages=float(self.guest.pages),
                first=last.iteration <= 1,
            )
        )
        self.alike.add(
            left=new / rounds + unsent / page,
            room=self.room(limit),
            rounds=rounds,
            span=span,
            throttle=last.throttle,
            promised=self._broken(now.iteration),
        )
        self._period.synced(at, new * page, now.memory_processed, now.throttle, self.rules.trigger)

    def promise(self, runs: list[tuple[Run, float]]) -> None:
        """*runs* are what the law says at this look: it is held against what comes of it."""
        self._promised = runs

    def with_alike(self, runs: list[tuple[Run, float]], limit: float) -> list[tuple[Run, float]]:
        """*runs*, and those of a migration that goes on as the last rounds did (`alike`), by how far the law is to be believed."""
        chance, own = self.alike.weight, sum(weight for _, weight in runs)
        if chance < _UNDOUBTED or own <= 0.0:
            return runs
        last, pages = runs[0][0], self.alike.pages
        pause = self.rules.device + pages * max(
            self.rules.wire(self.guest.page_size) / self.link.line_rate,
            self.rules.rewrite * self.guest.page_size / 4096,
        )
        ends = self.alike.ends(self.room(limit))
        weight = chance / (1.0 - chance) * own / len(ends)
        found = list(runs)
        for seconds in ends:
            if seconds <= HORIZON:
                run = attrs.evolve(last, end=CONVERGED, seconds=seconds + pause, pause=pause, pending=pages)
            else:
                run = attrs.evolve(last, end=NEVER, seconds=0.0, pause=0.0, pending=math.inf)
            found.append((run, weight))
        return found

    def _broken(self, syncs: int) -> float:
        """Of what the law promised the share that was to have ended by now, *syncs* syncs in all (a run counts one more, as it ends)."""
        whole = sum(weight for _, weight in self._promised)
        broken = sum(weight for run, weight in self._promised if run.ends and run.syncs <= syncs + 1)
        return broken / whole if whole > 0.0 else 0.0

    # --- what is ahead

    def room(self, limit: float) -> float:
        """Pages that a pause of *limit* s has room for, at the present pace."""
        bandwidth = self.rules.switchover_bandwidth
        return max(1.0, limit * (bandwidth / self.guest.page_size if bandwidth else self._pages_a_second()))

    def _pages_a_second(self) -> float:
        rate = (self.link.limit or self.link.line_rate) / (self.pace.slowness or 1.0)
        return max(1.0, rate / self.rules.wire(self.guest.page_size))

    def present(self, sample: Sample) -> tuple[Guest, Link]:
        """Guest and link as they are known by now, but for the write law."""
        guest, link = self.guest, self.link
        if sample.memory_total // guest.page_size > guest.pages:
            guest = attrs.evolve(guest, memory=sample.memory_total)
        pages = float(guest.pages)
        if sample.iteration <= 1:
            remaining = min(sample.memory_remaining / guest.page_size, pages) if sample.iteration else pages
            constant = min(sample.constant, pages)
            zero = min(max(guest.zero_pages, constant), constant + remaining, pages)
            guest = attrs.evolve(guest, zero_pages=zero, zero_error=min(guest.zero_error, 0.3 * remaining))
        else:
            zero = guest.zero_pages if self._zero is None else min(self._zero, pages)
            guest = attrs.evolve(guest, zero_pages=zero, zero_error=0.0)
        slowness = self._slowness
        if slowness is not None and self._held is None:
            if not link.limit:
                link = Link(link.limit, min(2.0**52, max(1.0, link.line_rate / slowness)))
            elif slowness > 1.0:
                slower = max(1.0, link.limit / slowness)
                link = Link(slower, min(link.line_rate, slower))
        return guest, link

    @property
    def _slowness(self) -> float | None:
        """How many times as long as it should what goes out takes; None where that is as it should be, or not known."""
        slowness = self.pace.slowness
        return slowness if slowness is not None and abs(math.log(slowness)) > _AS_EXPECTED else None

    @property
    def _held(self) -> Rules | None:
        """The rules with hosts as they are seen to be, while it is the hosts that the pace is of, and that is not as it should be."""
        slowness, last, rules = self._slowness, self._last, self.rules
        if slowness is None or last is None or last.iteration > 1:
            return None
        if min(self.link.limit or math.inf, self.link.line_rate) * rules.touch <= rules.wire():
            return None
        touch = min(rules.touch * slowness, bounds.LONGEST)
        return attrs.evolve(rules, first_touch=touch, rewrite=min(rules.rewrite, touch))

    def _laws(self, guest: Guest, at: float, *, running: bool) -> list[tuple[DirtyCurve, float, float]]:
        """The write law as it is known, and as many others as there are; of each how busy the guest is, and its weight."""
        if not running:
            return [(DirtyCurve((), guest.curve.page_count), guest.busy, 1.0)]
        if self._laws_at == at:
            return self._laws_found
        found: list[tuple[DirtyCurve, float, float]] = []
        for curve in (guest.curve, *guest.curve.others[:: max(1, len(guest.curve.others) // _OTHERS)]):
            busy = self.counts.busy(curve, at, guest.least_busy or guest.busy, guest.busy)
            known = self.counts.corrected(curve, at, busy, window=max(SLOT, self._limit), spread=guest.curve.spread)
            found.append((known, busy, self.counts.evidence(curve, at, busy)))
        self._laws_at, self._laws_found = at, found
        return found

    def _state(self, sample: Sample, scenario: array[float], guest: Guest) -> State:
        if not sample.iteration:
            return state_now(scenario, guest, remaining=guest.pages, syncs=1)
        state = state_now(
            scenario, guest, remaining=min(sample.memory_remaining / guest.page_size, float(guest.pages)), syncs=sample.iteration,
            constant=min(sample.constant, guest.pages), throttle=min(sample.throttle, 0.99),
            since=None if self._synced is None else max(0.0, sample.elapsed - self._synced),
            period_age=max(0.0, sample.elapsed - self._period.start),
        )  # fmt: skip
        return attrs.evolve(
            state,
            high=float(self._period.high),
            period_dirty=self._period.dirty / guest.page_size,
            period_sent=max(0.0, sample.memory_processed - self._period.sent),
        )

    def runs(self, sample: Sample, limit: float, *, running: bool = True, few: bool = False) -> list[tuple[Run, float]]:
        """Runs from *sample* on, each with its weight: first that of the guest as it is known, of no weight unless it is alone.

        *limit*: the downtime limit, s; *few*: of the others only every third.
        """
        guest, link = self.present(sample)
        laws = self._laws(guest, sample.elapsed, running=running)
        limits = attrs.evolve(self.limits, downtime=limit)
        groups: dict[tuple[int, float], list[tuple[float, float, float, float]]] = {}
        learnt = any(row.throttle > 0.0 for row in self.counts.rows)
        members = DESIGN[:: 3 if few else 1]
        for k, (rate, tail, zero, theta, share) in enumerate(members):
            which = 1 + other_of(k, len(members), len(laws) - 1)
            curve, busy, _ = laws[which]
            least = guest.least_busy
            if least is not None and not learnt:
                busy = least * (guest.busy / least) ** share
            spread = (
                LEAST_SPREAD if guest.curve.others and not self.counts.rows else math.hypot(LEAST_SPREAD, curve.spread)
            )
            factor = speed_of(guest) * math.exp(min(FURTHEST, rate * spread))
            groups.setdefault((which, busy), []).append((factor, theta, tail, zero * guest.zero_error))
        found: list[tuple[Run, float]] = []
        curve, busy, _ = laws[0]
        known = attrs.evolve(guest, curve=curve, busy=busy)
        found += self._run(sample, known, link, limits, [(speed_of(known), 1.0, 1.0, 0.0)], 0.0)
        for (which, needs), alike in groups.items():
            other = attrs.evolve(guest, curve=laws[which][0], busy=needs)
            found += self._run(sample, other, link, limits, alike, laws[which][2])
        return found

    def doubted(self, sample: Sample, limit: float, *, running: bool) -> tuple[float, list[tuple[Run, float]]]:
        """The chance that the law known before is wrong (`doubt`), and runs from *sample* on of those that may be in its place, each with
        its weight.
        """
        if not running:
            return 0.0, []
        guest, link = self.present(sample)
        _, busy, _ = self._laws(guest, sample.elapsed, running=running)[0]
        chance = self.counts.wrong(guest.curve, sample.elapsed, busy)
        if self.counts.rows:
            if self._shaped_at != (self.counts.rounds, busy):
                self._shaped_at, self._shaped = (self.counts.rounds, busy), shapes(self.counts, guest.curve, busy)
            other_shape, laws = self._shaped
            chance *= other_shape
            rows = [(law, likely, slice(2, None, 6)) for law, likely in laws]
        else:
            self._off = self._off or scaled(self.guest.curve)
            rows = [(law, 1.0, slice(k, k + 1)) for k, law in enumerate(self._off)]
        if chance < _UNDOUBTED:
            return 0.0, []
        guest = attrs.evolve(guest, busy=busy)
        scenario = self._scenario(sample, guest, link, attrs.evolve(self.limits, downtime=limit))
        found: list[tuple[Run, float]] = []
        for law, likely, which in rows:
            # What is unsent is of the law's classes.
            state = self._state(sample, scenario, attrs.evolve(guest, curve=law))
            members = [
                (speed_of(guest) * math.exp(LEAST_SPREAD * rate), theta, tail, zero * guest.zero_error)
                for rate, tail, zero, theta, _ in DESIGN[which]
            ]
            found += [(run, likely) for run in run_from(scenario, kernel_rows(law), state, members, guest)]
        return chance, found

    def _run(
        self,
        sample: Sample,
        guest: Guest,
        link: Link,
        limits: Limits,
        members: list[tuple[float, float, float, float]],
        weight: float,
    ) -> list[tuple[Run, float]]:
        scenario = self._scenario(sample, guest, link, limits)
        state = self._state(sample, scenario, guest)
        return [(run, weight) for run in run_from(scenario, rows_of(guest), state, members, guest)]

    def _scenario(self, sample: Sample, guest: Guest, link: Link, limits: Limits) -> array[float]:
        return scenario_of(guest, link, limits, self._held or self.rules, sample.elapsed + self.before(sample))

    def before(self, sample: Sample) -> float:
        """What passes before the memory's turn comes, s."""
        begin = 0.0 if sample.iteration else max(0.0, self.rules.begin - sample.elapsed)
        return begin + sample.disk_remaining / min(self.link.limit or math.inf, self.link.line_rate)

    def likely(self, runs: list[tuple[Run, float]], left: float, limit: float) -> float:
        """The chance to end within *left* s: of each run that ends 0 or 1, of one that does not that of a lucky round; 0.02 to
        0.98 in all.
        """
        share = whole = 0.0
        for run, weight in runs:
            whole += weight
            if run.ends:
                share += weight * (decided(self.rules, run.seconds, run.pause, run.last) <= left)
            elif left > 0.0:
                share += weight * (1.0 - 0.5 ** (min(left, HORIZON) / self.lucky_after(run, limit)))
        likely = share / whole if whole > 0.0 else 0.0
        return bounds.said(likely)

    def lucky_after(self, run: Run, limit: float) -> float:
        """Seconds in which a migration that goes round for ever has had, by even chance, a round that wrote little enough.

        Rounds differ by chance (`Counts.scatter`); the threshold is that of the present pace and *limit*.
        """
        least, pace = self.room(limit), self._pages_a_second()
        if run.pending <= least or not self.counts.rows:
            return math.inf
        sigmas = math.log(run.pending / least) / self.counts.scatter
        chance = 0.5 * math.erfc(sigmas / math.sqrt(2.0))
        return max(SLOT, run.pending / pace) * math.log(2.0) / chance if chance > _RARE else math.inf
