"""A live migration in a simulated cloud: disks are copied, then memory, then the guest runs elsewhere.

Rules:

1. A job's time has three parts: libvirt's own begin and prepare, the copy of local disks over the link (block migration), the
   pre-copy of memory, which is the page-exact simulation.
2. The guest runs on the source until the switch-over, then on the destination; between the two it stands still.
3. A job is a function of time: :meth:`Job.advance` says what happened until then, in order. It changes no domain itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from attrs import define, evolve, field

from novastate.convergence.guest import Limits, Link
from novastate.convergence.rules import Rules
from novastate.convergence.simulation.laws import WriteLaw
from novastate.convergence.simulation.setup import SimulationSetup, Status
from novastate.convergence.simulation.simulator import PreCopySimulation
from novastate.drivers.base import JobStats, JobType, LiveMigrationParams
from novastate.drivers.simulated.spec import Fault

__all__ = ["Job", "Step", "What"]


class What(Enum):
    """What a job tells of."""

    STOPPED = "stopped"  # the guest stands still on the source
    POSTCOPY = "postcopy"  # that was the switch to post-copy
    ARRIVED = "arrived"  # the guest may run on the destination
    COMPLETED = "completed"  # and needs nothing of the source any more


class Step(NamedTuple):
    """At *at* (seconds on the cloud's clock) *what* happened."""

    at: float
    what: What


@define
class Job:
    """One live migration of guest *uuid*. Times are of the cloud's clock in seconds, sizes in bytes."""

    uuid: str
    source: str
    dest: str
    params: LiveMigrationParams
    started: float
    #: What libvirt takes to begin and prepare before QEMU starts.
    begin: float = 0.0
    block_migration: bool = False
    disk_total: int = 0
    disk_rate: float = math.inf
    #: Until when the disk was copied; once it is, when memory began.
    disk_at: float = 0.0
    #: None once it has ended and only its statistics are left.
    memory: PreCopySimulation | None = None
    #: The final statistics; None while it goes on.
    ended: JobStats | None = None
    #: The guest ran when the job began; so it shall on the destination.
    ran: bool = True
    #: Somebody paused the guest while the job went on.
    paused: bool = False
    faults: list[Fault] = field(factory=list[Fault])
    #: Post-copy has lost its link, and there is none before that time; None while it has one.
    broken_until: float | None = None
    _told: set[What] = field(factory=set[What])
    _slow_until: float = math.inf
    _slow_factor: float = 1.0
    _disk_done: float = 0.0

    @classmethod
    def start(
        cls,
        uuid: str,
        source: str,
        dest: str,
        params: LiveMigrationParams,
        *,
        at: float,
        pages: int,
        zero_pages: int,
        law: WriteLaw,
        limit: float,
        line_rate: float,
        disk: int | None,
        running: bool,
        seed: int,
    ) -> Job:
        """Begins one at time *at*. *disk*: bytes of local disk to copy first, None for no block migration."""
        rules = Rules.qemu(auto_converge=params.auto_converge, post_copy=params.post_copy)
        limits = Limits(downtime=params.downtime / 1000)
        setup = SimulationSetup.of(Link(limit, line_rate), limits, rules, post_copy_after=0)
        memory = PreCopySimulation(pages, law, setup, zero_pages=zero_pages, seed=seed)
        memory.set_running(running=running)
        return cls(
            uuid=uuid,
            source=source,
            dest=dest,
            params=params,
            started=at,
            block_migration=disk is not None,
            disk_total=disk or 0,
            disk_rate=min(limit or math.inf, line_rate),
            memory=memory,
            ran=running,
            begin=rules.begin,
            disk_at=at + rules.begin,
        )

    # --- time

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return self.ended is None

    @property
    def completed(self) -> bool:
        """Whether it has ended well."""
        return self.ended is not None and self.ended.type is JobType.COMPLETED

    @property
    def post_copy(self) -> bool:
        """Whether it goes on in post-copy: the guest is on the destination, and it cannot be aborted."""
        return self.memory is not None and self.memory.status is Status.POSTCOPY

    @property
    def stands_still(self) -> bool:
        """Whether the guest was stopped for the switch-over and runs nowhere yet."""
        return self.memory is not None and self.memory.status is Status.DEVICE

    def recover_speed(self, now: float) -> None:
        """Ends a slow phase whose time has come."""
        if now >= self._slow_until:
            self.slow(1.0, math.inf)

    def next_fault(self) -> float:
        """When the next scripted fault, or the end of one, is due."""
        due = min((self.started + fault.at for fault in self.faults), default=math.inf)
        return min(due, self._slow_until)

    def advance(self, to: float) -> list[Step]:
        """Goes on to time *to*; what happened since the last call, in order."""
        if self.memory is None or not self.active:
            return []
        now = self._copy_disk(to)
        if now is None:
            return []
        self.memory.advance(to - self.disk_at)
        return [Step(min(step.at, to), step.what) for step in self._steps(self.memory)]

    def _copy_disk(self, to: float) -> float | None:
        """Copies the disk; None while it has not come to the memory."""
        left = self.disk_total - self._disk_done
        if left > 0 and to > self.disk_at:
            rate = self.disk_rate * self._slow_factor
            done = min(left, rate * (to - self.disk_at))
            self._disk_done += done
            self.disk_at = to if done < left or rate <= 0 else self.disk_at + left / rate
            left -= done
        return None if left > 0 or to < self.disk_at else to

    def _steps(self, memory: PreCopySimulation) -> Iterator[Step]:
        offset = self.disk_at
        switched = memory.was_post_copy
        times = [
            (What.STOPPED, memory.stopped_at),
            (What.POSTCOPY, memory.stopped_at if switched else None),
            (What.ARRIVED, memory.resumed_at),
            (What.COMPLETED, memory.finished_at if memory.stopped_at is not None else None),
        ]
        horizon = memory.elapsed
        for what, at in times:
            if at is not None and at <= horizon and what not in self._told:
                self._told.add(what)
                yield Step(offset + at, what)

    # --- commands

    def set_running(self, *, running: bool) -> None:
        """The guest on the source was paused, or runs on."""
        self.paused = not running
        if self.memory is not None:
            self.memory.set_running(running=running)

    def slow(self, factor: float, until: float) -> None:
        """The link runs at *factor* of its rate until then."""
        self._slow_factor, self._slow_until = factor, until
        if self.memory is not None:
            self.memory.set_speed(factor)

    def final(self, kind: JobType, at: float, error: str = "") -> JobStats:
        """The statistics that would stay readable if it ended now; changes nothing."""
        memory = self.memory
        remaining = 0 if kind is JobType.COMPLETED else self.stats(at).memory_remaining
        return evolve(
            self.stats(at),
            type=kind,
            error=error,
            memory_remaining=remaining,
            downtime=memory.downtime if memory is not None else 0.0,
            post_copy=memory is not None and memory.was_post_copy,
        )

    def end(self, kind: JobType, at: float, error: str = "") -> None:
        """It is over; what is known of it stays readable."""
        self.ended = self.final(kind, at, error)
        self.memory = None

    def stats(self, now: float) -> JobStats:
        """The statistics at time *now*, which must be the time last advanced to."""
        if self.ended is not None:
            return self.ended
        assert self.memory is not None
        seen = self.memory.statistics
        begun = now >= self.started + self.begin
        copied = int(self._disk_done)
        return JobStats(
            type=JobType.UNBOUNDED,
            elapsed=max(0.0, now - self.started),
            downtime=seen.expected_downtime,
            memory_total=seen.total if begun else 0,
            memory_processed=seen.processed,
            memory_remaining=seen.remaining if begun else 0,
            memory_bps=int(seen.bandwidth),
            dirty_rate=seen.dirty_rate,
            iteration=seen.iteration if begun else 0,
            normal=seen.normal,
            constant=seen.constant,
            disk_total=self.disk_total,
            disk_processed=copied,
            disk_remaining=self.disk_total - copied,
            throttle=seen.throttle,
            post_copy=self.post_copy,
            broken=self.broken_until is not None,
        )
