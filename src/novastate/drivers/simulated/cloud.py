"""A cloud of simulated hosts, with one clock, one lock and one script of faults.

Rules:

1. Nothing happens by itself: whenever the cloud is asked anything, it first catches up with its clock, in the order of time.
   So it needs no thread, and a virtual clock makes it deterministic.
2. One lock guards everything; a call from any thread sees and leaves a whole state. Subscribers are called under it.
3. A host that is down answers nothing; its guests do not run. What lay on its disks lies there when it comes back.
"""

from __future__ import annotations

import math
import threading
import zlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from attrs import Factory, define

from novastate.convergence.simulation.laws import WriteLaw
from novastate.drivers.base import JobType, Lifecycle, LifecycleEvent, LiveMigrationParams
from novastate.drivers.clock import Clock, VirtualClock
from novastate.drivers.simulated.job import Job, Step, What
from novastate.drivers.simulated.spec import Fault, SimulatedHost, specs_of
from novastate.drivers.simulated.world import Disk, Domain, World, pages_of
from novastate.errors import (
    AlreadyExists,
    ConvergenceError,
    DriverError,
    DriverTimeout,
    NovastateError,
    UnknownName,
)
from novastate.machines import PowerState

if TYPE_CHECKING:
    from novastate.drivers.simulated.driver import SimulatedDriver
    from novastate.objects import Instance

__all__ = ["LAW_KEY", "ZERO_KEY", "Memory", "SimulatedCloud"]

#: Keys of an instance's metadata: the law its guest writes by, as text, and how many of its pages are zero.
LAW_KEY = "novastate:law"
ZERO_KEY = "novastate:zero_pages"

#: Bytes a second; a bandwidth limit above it limits nothing.
_FASTEST = 1 << 52


@define
class Memory:
    """What a guest's memory is like: it goes where the guest goes."""

    law: WriteLaw = Factory(WriteLaw)
    #: None: a third of the pages, or as many as are never written if that is less.
    zero_pages: int | None = None

    def zero(self, pages: int) -> int:
        """How many of the guest's *pages* are zero."""
        if self.zero_pages is None:
            return min(pages // 3, max(0, pages - self.law.pages))
        return min(self.zero_pages, pages)


def _check_memory(memory: Memory, pages: int) -> None:
    if memory.law.pages > pages:
        raise ConvergenceError("law", str(memory.law), f"must write at most the {pages} pages that the guest has")
    if memory.zero_pages is not None and not 0 <= memory.zero_pages <= pages:
        raise ConvergenceError("zero_pages", memory.zero_pages, f"must be between 0 and {pages}")


class SimulatedCloud:
    """Hosts that run simulated guests; ``cloud.driver("a")`` is the hypervisor of one.

    *hosts*: names or :class:`SimulatedHost`; *clock*: a new :class:`VirtualClock` if None; *seed*: of everything random;
    *faults*: what shall go wrong; *laws*: gives the write law of an instance that is spawned, or None for its metadata's.
    *on_change* is called after each call that changed something, outside of nothing but the lock.

    >>> cloud = SimulatedCloud(["a", "b"])
    >>> cloud.driver("a").host_state().memory_mb
    65536
    """

    def __init__(
        self,
        hosts: Iterable[SimulatedHost | str],
        clock: Clock | None = None,
        seed: int = 0,
        *,
        faults: Iterable[Fault] = (),
        laws: Callable[[Instance], WriteLaw | None] | None = None,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        from novastate.drivers.simulated.driver import SimulatedDriver  # noqa: PLC0415  (each needs the other)

        specs = specs_of(hosts)
        self.clock: Clock = clock if clock is not None else VirtualClock()
        self.seed = seed
        self.on_change = on_change
        self.world = World({})
        self.jobs: dict[tuple[str, str], Job] = {}
        self.memories: dict[str, Memory] = {}
        self.faults: list[Fault] = []
        self.calls: dict[str, int] = {}
        self._laws = laws
        self._lock = threading.RLock()
        self._depth = 0
        self._listeners: dict[str, list[Callable[[LifecycleEvent], None]]] = {}
        self._drivers: dict[str, SimulatedDriver] = {}
        for spec in specs:
            if spec.host in self.world.hosts:
                raise AlreadyExists("host", spec.host)
            self.world.hosts[spec.host] = spec
            self._drivers[spec.host] = SimulatedDriver(self, spec.host)
        for fault in faults:
            self.add_fault(fault)

    # --- what is there

    @property
    def hosts(self) -> Sequence[SimulatedHost]:
        """What the hosts have, in the order they were given."""
        return tuple(self.world.hosts.values())

    @property
    def drivers(self) -> Mapping[str, SimulatedDriver]:
        """The driver of each host, by name."""
        return dict(self._drivers)

    def driver(self, host: str) -> SimulatedDriver:
        """The driver of *host*. Raises UnknownName that lists the near names."""
        try:
            return self._drivers[host]
        except KeyError:
            raise UnknownName("host", host, self._drivers) from None

    def running(self, uuid: str) -> list[str]:
        """The hosts on which the guest's vCPUs execute just now. Law L1: never more than one."""
        with self.at_work():
            return self.world.running(uuid)

    @property
    def violations(self) -> list[str]:
        """Every time that a guest came to run on two hosts (law L1), in words; empty is right."""
        with self.at_work():
            return list(self.world.violations)

    def complete_disks(self, uuid: str) -> list[str]:
        """The stores that hold a complete, current copy of the guest's local disk."""
        with self.at_work():
            return sorted(disk.store for disk in self.world.disks.values() if disk.uuid == uuid and disk.current)

    # --- what the outside does to it

    def fail_host(self, host: str) -> None:
        """The host loses power: its guests stop, migrations from and to it fail. Down already: nothing happens."""
        self.driver(host)
        with self.at_work():
            self.crash(host, self.clock.now())

    def restore_host(self, host: str) -> None:
        """The host comes back with its guests shut down. Up already: nothing happens."""
        self.driver(host)
        with self.at_work():
            if host in self.world.down:
                self.world.down.discard(host)
                self.world.changed = True

    @contextmanager
    def cut_link(self) -> Generator[None]:
        """The link between the hosts fails for a moment: every migration that goes on is broken, by post-copy for good."""
        with self.at_work() as now:
            for job in [job for job in self.jobs.values() if job.active]:
                self.break_job(job, now, "the link was cut")
        yield

    def set_law(self, uuid: str, law: WriteLaw | str, *, zero_pages: int | None = None) -> None:
        """From now on the guest writes by *law*; a migration that goes on keeps its own. Pages of 4096 bytes.

        Raises ConvergenceError if the guest has fewer pages than the law writes.
        """
        if isinstance(law, str):
            law = WriteLaw.parse(law)
        with self.at_work():
            old = self.memories.get(uuid, Memory())
            memory = Memory(law, old.zero_pages if zero_pages is None else zero_pages)
            for domain in self.world.of(uuid):
                _check_memory(memory, pages_of(domain.memory_mb))
            self.memories[uuid] = memory
            self.world.changed = True

    def add_fault(self, fault: Fault) -> None:
        """Adds to the script. An *nth* call counts from the cloud's beginning. Raises UnknownName for a host that is none."""
        if fault.host is not None:
            self.driver(fault.host)
        with self.at_work():
            self.faults.append(fault)
            self.world.changed = True

    def settle(self) -> None:
        """Catches up with the clock, as every question does."""
        with self.at_work():
            pass

    # --- keeping it

    def to_dict(self) -> dict[str, Any]:
        """The whole as plain JSON. A migration before its switch-over is kept as one that has failed."""
        from novastate.drivers.simulated.snapshot import dump  # noqa: PLC0415  (only who keeps a cloud needs it)

        with self.at_work():
            return dump(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], clock: Clock | None = None, **kwargs: Any) -> SimulatedCloud:
        """The opposite of `to_dict`; without *clock*, a virtual one goes on where the kept one stood. Raises InvalidField."""
        from novastate.drivers.simulated.snapshot import load  # noqa: PLC0415  (only who keeps a cloud needs it)

        return load(cls, data, clock, **kwargs)

    # --- for the drivers: everything below is called with the lock held

    @contextmanager
    def at_work(self) -> Generator[float]:
        """The lock, with time caught up; gives the time. At its end subscribers and the owner are told."""
        with self._lock:
            self._depth += 1
            try:
                now = self.clock.now()
                self._catch_up(now)
                yield now
            finally:
                self._depth -= 1
                if not self._depth:
                    self._publish()

    def perform(self, host: str, method: str, action: Callable[[float], Any]) -> Any:
        """One driver call: faults before, is the host up, the action, faults after."""
        with self.at_work() as now:
            fault = self._due(host, method)
            if fault is not None and fault.kind == "ignore":
                return None
            after = fault is not None and (fault.when == "after" or fault.kind == "lose_reply")
            if fault is not None and not after:
                self._go_wrong(fault, host, now)
            if host in self.world.down:
                raise DriverError("the host is down", host=host)
            if fault is None:
                return action(now)
            with suppress(NovastateError):
                action(now)
            if fault.kind == "crash_host":
                self.crash(host, now)
            raise DriverTimeout(f"the reply of {method} was lost", host=host)

    def _due(self, host: str, method: str) -> Fault | None:
        """Counts the call, and takes the fault that it meets from the script."""
        for key in (f"{host}/{method}", method):
            self.calls[key] = self.calls.get(key, 0) + 1
        for fault in self.faults:
            key = method if fault.host is None else f"{host}/{method}"
            if fault.method == method and fault.host in {None, host} and self.calls[key] == fault.nth:
                self.faults.remove(fault)
                return fault
        return None

    def _go_wrong(self, fault: Fault, host: str, now: float) -> None:
        if fault.kind == "crash_host":
            self.crash(host, now)
            raise DriverError("the host is down", host=host)
        if fault.kind == "error":
            raise DriverError(fault.error, host=host)
        raise DriverTimeout(f"{fault.method} did not return", host=host)

    def subscribe(self, host: str, listener: Callable[[LifecycleEvent], None]) -> Callable[[], None]:
        """Has *listener* told of the events of *host*; returns what ends that."""
        with self._lock:
            listeners = self._listeners.setdefault(host, [])
            listeners.append(listener)

        def end() -> None:
            with self._lock:
                if listener in listeners:
                    listeners.remove(listener)

        return end

    def _publish(self) -> None:
        told, self.world.told = self.world.told, []
        changed, self.world.changed = self.world.changed, False
        for event in told:
            for listener in list(self._listeners.get(event.host, ())):
                listener(event)
        if changed and self.on_change is not None:
            self.on_change()

    # --- guests

    def remember(self, instance: Instance) -> None:
        """Fixes what the memory of a new guest is like. Raises DriverError if its metadata cannot be right."""
        metadata: Mapping[str, str] = instance.metadata or {}
        memory = self.memories.get(instance.uuid, Memory())
        try:
            law = self._laws(instance) if self._laws is not None else None
            if law is None and metadata.get(LAW_KEY):
                law = WriteLaw.parse(metadata[LAW_KEY])
            zero = int(metadata[ZERO_KEY]) if metadata.get(ZERO_KEY) else memory.zero_pages
            memory = Memory(memory.law if law is None else law, zero)
            _check_memory(memory, pages_of(instance.flavor.memory_mb))
        except (ConvergenceError, ValueError) as error:
            raise DriverError(f"guest {instance.uuid}: how it writes memory: {error}") from error
        self.memories[instance.uuid] = memory

    def memory(self, uuid: str) -> Memory:
        """What the memory of a guest is like."""
        return self.memories.get(uuid) or Memory()

    def moving(self, host: str, uuid: str) -> Job | None:
        """The migration of the guest from or to *host* that goes on, if there is one."""
        jobs = (job for job in self.jobs.values() if job.uuid == uuid and host in {job.source, job.dest})
        return next((job for job in jobs if job.active), None)

    def crash(self, host: str, now: float) -> None:
        """The host loses power."""
        if host in self.world.down:
            return
        for key, job in list(self.jobs.items()):
            if job.active and host in {job.source, job.dest}:
                self.break_job(job, now, f"lost connection to {host}")
            if host == job.source:
                # What the hypervisor knew of its jobs it knew in memory.
                del self.jobs[key]
        self.world.down.add(host)
        self.world.changed = True
        self.world.probes = {probe for probe in self.world.probes if probe[0] != f"local:{host}"}
        for domain in self.world.on(host):
            if domain.incoming or not domain.persistent:
                self.world.remove(host, domain.uuid)
            else:
                domain.power_state = PowerState.SHUTDOWN

    # --- live migrations

    def start_job(self, domain: Domain, dest: str, params: LiveMigrationParams, disk: Disk | None, now: float) -> Job:
        """Puts the incoming domain on *dest* and begins to move."""
        pages = pages_of(domain.memory_mb)
        memory = self.memory(domain.uuid)
        limit, line_rate = self.path(domain.host, dest, params)
        number = self.calls["job"] = self.calls.get("job", 0) + 1
        nth = self.calls[f"{domain.host}/job"] = self.calls.get(f"{domain.host}/job", 0) + 1
        job = Job.start(
            domain.uuid,
            domain.host,
            dest,
            params,
            at=now,
            pages=pages,
            zero_pages=memory.zero(pages),
            law=memory.law,
            limit=limit,
            line_rate=line_rate,
            disk=disk.used if disk is not None else None,
            running=domain.runs,
            seed=zlib.crc32(f"{self.seed}/{domain.uuid}/{number}".encode()),
        )
        for fault in list(self.faults):
            if fault.method != "job":
                continue
            if (fault.host in {None, domain.host} and fault.nth == (number if fault.host is None else nth)) or (
                fault.kind == "crash_host" and fault.host == dest and fault.nth == number
            ):
                self.faults.remove(fault)
                job.faults.append(fault)
        self.jobs[domain.host, domain.uuid] = job
        self.world.add(
            Domain(
                uuid=domain.uuid,
                name=domain.name,
                host=dest,
                vcpus=domain.vcpus,
                memory_mb=domain.memory_mb,
                disk_gb=domain.disk_gb,
                power_state=PowerState.PAUSED,
                incoming=True,
                persistent=False,
            )
        )
        return job

    def path(self, source: str, dest: str, params: LiveMigrationParams) -> tuple[float, float]:
        """The link between two hosts: limit (0: none) and line rate, bytes a second."""
        ends = (self.world.hosts[source], self.driver(dest).spec)
        limits = [limit for limit in (params.bandwidth, *(end.bandwidth for end in ends)) if 0 < limit <= _FASTEST]
        return min(limits, default=0), min(end.line_rate for end in ends)

    def break_job(self, job: Job, now: float, error: str, kind: JobType = JobType.FAILED) -> None:
        """The job ends before its time: the guest runs on at the source, or, after the switch to post-copy, nowhere."""
        source = self.world.domains.get((job.source, job.uuid))
        if job.post_copy:
            arrived = self.world.domains.get((job.dest, job.uuid))
            job.end(JobType.FAILED, now, error)
            if job.broken_until is not None:
                self.world.remove(job.dest, job.uuid)
            elif arrived is not None and arrived.runs:
                # Half of its memory is missing for good.
                self.world.move(arrived, PowerState.CRASHED, Lifecycle.STOPPED, now)
            self.world.remove(job.source, job.uuid)
            return
        stood = job.stands_still
        job.end(kind, now, error)
        self.world.remove(job.dest, job.uuid)
        if source is not None and stood and job.ran and not job.paused:
            self.world.move(source, PowerState.RUNNING, Lifecycle.RESUMED, now)

    def _cut(self, job: Job, now: float, until: float) -> None:
        """Post-copy loses its link: the guest stops where it has arrived, and both halves wait."""
        job.broken_until = until
        job.slow(0.0, math.inf)
        arrived = self.world.domains[job.dest, job.uuid]
        self.world.move(arrived, PowerState.PAUSED, Lifecycle.PAUSED, now)
        arrived.incoming = True

    def mend(self, job: Job, now: float) -> None:
        """Post-copy goes on over a new link. Raises DriverError while there is none."""
        if job.broken_until is None:
            return
        if now < job.broken_until:
            raise DriverError(f"guest {job.uuid}: no route to {job.dest}", host=job.source)
        job.broken_until = None
        job.slow(1.0, math.inf)
        arrived = self.world.domains[job.dest, job.uuid]
        arrived.incoming = False
        if job.ran:
            self.world.move(arrived, PowerState.RUNNING, Lifecycle.RESUMED, now)

    def _catch_up(self, now: float) -> None:
        while True:
            jobs = [job for job in self.jobs.values() if job.active]
            if not jobs:
                return
            due = min(job.next_fault() for job in jobs)
            until = min(due, now)
            steps = [(step, job) for job in jobs for step in job.advance(until)]
            for step, job in sorted(steps, key=lambda pair: pair[0].at):
                if job.active:
                    self._take(job, step)
            if due > now:
                return
            for job in jobs:
                self._job_faults(job, until)

    def _job_faults(self, job: Job, now: float) -> None:
        job.recover_speed(now)
        for fault in list(job.faults):
            if not job.active or job.started + fault.at > now:
                continue
            job.faults.remove(fault)
            if fault.kind == "fail":
                self.break_job(job, now, fault.error)
            elif fault.kind == "cut" and job.post_copy:
                self._cut(job, now, now + fault.seconds)
            elif fault.kind == "cut":
                self.break_job(job, now, "lost connection")
            elif fault.kind == "crash_host":
                self.crash(fault.host or job.source, now)
            else:
                job.slow(0.0 if fault.kind == "stall" else fault.factor, now + fault.seconds)

    def _take(self, job: Job, step: Step) -> None:
        """One step of a job becomes true in the world."""
        source = self.world.domains[job.source, job.uuid]
        if step.what is What.STOPPED:
            self.world.move(source, PowerState.PAUSED, Lifecycle.PAUSED, step.at)
        elif step.what is What.POSTCOPY:
            source.outgoing = True
            self.world.tell(job.source, job.uuid, Lifecycle.POSTCOPY_STARTED, step.at)
        elif step.what is What.ARRIVED:
            self._arrive(job, step.at)
        elif step.what is What.COMPLETED:
            self.world.tell(job.source, job.uuid, Lifecycle.MIGRATION_COMPLETED, step.at)
            self.world.remove(job.source, job.uuid)
            self.world.tell(job.source, job.uuid, Lifecycle.STOPPED, step.at)
            job.end(JobType.COMPLETED, step.at)

    def _arrive(self, job: Job, at: float) -> None:
        arrived = self.world.domains[job.dest, job.uuid]
        self.world.arrive(arrived, job.source, block_migration=job.block_migration)
        self.world.tell(job.dest, job.uuid, Lifecycle.STARTED, at)
        if job.ran:
            self.world.move(arrived, PowerState.RUNNING, Lifecycle.RESUMED, at)
