"""One live migration as its source sees it: what is asked of libvirt, how the job stands, how it has ended.

Rules of this file:

1. No call: numbers and tables only. The numbers are libvirt's (libvirt/libvirt-domain.h), which never change.
2. The end is told by evidence, best first: what ``migrateToURI3`` returned, the event JOB_COMPLETED, what became of the guest. Nova's
   ``find_job_type`` (nova/virt/libvirt/migration.py) knows the last alone; it takes a guest that is gone for one that has arrived.
   Here that is no end at all, as long as nobody says so: both hosts have to be asked.
3. A call that failed says nothing of a job that goes on: with VIR_MIGRATE_PEER2PEER it belongs to the daemons.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from novastate.drivers.base import JobStats, JobType, LiveMigrationParams
from novastate.drivers.libvirt.states import job
from novastate.errors import DriverError, DriverTimeout, NotSupported

if TYPE_CHECKING:
    from novastate.drivers.libvirt.background import Background

__all__ = [
    "ENDS",
    "AtSource",
    "Attempt",
    "Job",
    "Jobs",
    "Look",
    "ended",
    "flags_of",
    "look",
    "parameters",
]

_PAUSED = 3  # VIR_DOMAIN_PAUSED
_BY_MIGRATION = 2  # VIR_DOMAIN_PAUSED_MIGRATION
_POSTCOPY, _POSTCOPY_FAILED = 12, 13  # VIR_DOMAIN_PAUSED_POSTCOPY, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED
_ABORTED = 78  # VIR_ERR_OPERATION_ABORTED
_MIB = 1 << 20
#: Seconds that JOB_COMPLETED may come after all else that ends a job.
LATE = 2.0

# virDomainMigrateFlags
_LIVE = 1 << 0
_PEER2PEER = 1 << 1
_PERSIST_DEST = 1 << 3
_UNDEFINE_SOURCE = 1 << 4
_NON_SHARED_INC = 1 << 7
_AUTO_CONVERGE = 1 << 13
_POSTCOPY_ALLOWED = 1 << 15
_PARALLEL = 1 << 17


# --- what is asked


def flags_of(params: LiveMigrationParams, *, persistent: bool, block: bool, paused: bool = False) -> int:
    """The flags of ``migrateToURI3``.

    *persistent*: the guest is defined on its source, and is to be at its destination instead; *block*: disks are copied; *paused*: its
    vCPUs stand still, so that there is nothing to switch to post-copy (QEMU refuses to).
    """
    flags = _LIVE | _PEER2PEER
    if persistent:
        flags |= _PERSIST_DEST | _UNDEFINE_SOURCE
    if block:
        flags |= _NON_SHARED_INC
    if params.auto_converge:
        flags |= _AUTO_CONVERGE
    if params.post_copy and not paused:
        flags |= _POSTCOPY_ALLOWED
    if params.parallel_connections > 1:
        flags |= _PARALLEL
    return flags


def parameters(
    address: str,
    params: LiveMigrationParams,
    *,
    disks: tuple[str, ...] = (),
    xml: str = "",
    persistent_xml: str = "",
) -> dict[str, Any]:
    """The typed parameters of ``migrateToURI3`` (VIR_MIGRATE_PARAM_*); *address*: where QEMU connects; *disks*: those to be copied.

    Bandwidth is MiB a second for libvirt: a limit is rounded up, so that the smallest is one and not none.
    """
    asked: dict[str, Any] = {"migrate_uri": f"tcp://{f'[{address}]' if ':' in address else address}"}
    if params.bandwidth:
        asked["bandwidth"] = -(-params.bandwidth // _MIB)
        if params.post_copy:
            asked["bandwidth.postcopy"] = asked["bandwidth"]
    if params.parallel_connections > 1:
        asked["parallel.connections"] = params.parallel_connections
    if disks:
        asked["migrate_disks"] = list(disks)
    if xml:
        asked["destination_xml"] = xml
    if persistent_xml:
        asked["persistent_xml"] = persistent_xml
    return asked


# --- how it stands


class AtSource(Enum):
    """What is seen of the guest on the source."""

    #: Its job goes on.
    JOB = auto()
    #: Post-copy has lost its link, and both halves wait.
    BROKEN = auto()
    #: It is there, and no job holds it.
    HERE = auto()
    #: It stands still for a migration that nobody drives: it may have arrived, or not.
    HELD = auto()
    #: It is off, or not known here.
    GONE = auto()


@frozen
class Look:
    """One look at the guest on the source: what is seen, and libvirt's statistics of the job."""

    seen: AtSource
    paused: bool = False
    post_copy: bool = False
    raw: Mapping[str, Any] = field(factory=dict[str, Any])


def look(domain: Any) -> Look:
    """Looks at a ``virDomain``; to be called within a call.

    The job first, which waits while the daemon ends one; the state then is that of after: read before, a guest that has just left would
    pass for one that never went.
    """
    _, raw = job(domain)
    if not domain.isActive():
        return Look(AtSource.GONE)
    state, reason = domain.state()
    paused = state == _PAUSED
    post_copy = paused and reason in {_POSTCOPY, _POSTCOPY_FAILED}
    if paused and reason == _POSTCOPY_FAILED:
        seen = AtSource.BROKEN
    elif raw:
        seen = AtSource.JOB
    elif post_copy or (paused and reason == _BY_MIGRATION):
        seen = AtSource.HELD
    else:
        seen = AtSource.HERE
    return Look(seen, paused, post_copy, raw)


# --- how it has ended


class Attempt(Enum):
    """What became of our own call of ``migrateToURI3``."""

    #: Another process made it: nothing is known.
    NONE = auto()
    RUNS = auto()
    RETURNED = auto()
    RAISED = auto()


#: By what became of the call and what is seen at the source: the job's type; None where the end cannot be told from here. FAILED is
#: CANCELLED where an abort was asked for. The event JOB_COMPLETED is COMPLETED whatever is seen.
ENDS: Mapping[tuple[Attempt, AtSource], JobType | None] = MappingProxyType(
    {
        (Attempt.RETURNED, AtSource.JOB): JobType.COMPLETED,
        (Attempt.RETURNED, AtSource.BROKEN): JobType.COMPLETED,
        (Attempt.RETURNED, AtSource.HERE): JobType.COMPLETED,
        (Attempt.RETURNED, AtSource.HELD): JobType.COMPLETED,
        (Attempt.RETURNED, AtSource.GONE): JobType.COMPLETED,
        # Before the job shows, and while the daemons tidy up after its end, the call has not returned.
        (Attempt.RUNS, AtSource.JOB): JobType.UNBOUNDED,
        (Attempt.RUNS, AtSource.BROKEN): JobType.UNBOUNDED,
        (Attempt.RUNS, AtSource.HERE): JobType.NONE,
        (Attempt.RUNS, AtSource.HELD): JobType.UNBOUNDED,
        (Attempt.RUNS, AtSource.GONE): JobType.UNBOUNDED,
        (Attempt.RAISED, AtSource.JOB): JobType.UNBOUNDED,
        (Attempt.RAISED, AtSource.BROKEN): JobType.UNBOUNDED,
        (Attempt.RAISED, AtSource.HERE): JobType.FAILED,
        (Attempt.RAISED, AtSource.HELD): None,
        (Attempt.RAISED, AtSource.GONE): None,
        (Attempt.NONE, AtSource.JOB): JobType.UNBOUNDED,
        (Attempt.NONE, AtSource.BROKEN): JobType.UNBOUNDED,
        (Attempt.NONE, AtSource.HERE): JobType.FAILED,
        (Attempt.NONE, AtSource.HELD): None,
        (Attempt.NONE, AtSource.GONE): None,
    }
)


def ended(attempt: Attempt, seen: AtSource, *, told: bool = False, aborted: bool = False) -> JobType | None:
    """How the job stands (rule 2). *told*: JOB_COMPLETED has come; *aborted*: it was asked to end, or libvirt says that it was."""
    if told:
        return JobType.COMPLETED
    kind = ENDS[attempt, seen]
    return JobType.CANCELLED if kind is JobType.FAILED and aborted else kind


@define(eq=False)
class Job:
    """What the driver remembers of a job until the post or rollback step at the source."""

    uuid: str
    dest: str = ""
    #: The guest ran when it began; None: not known.
    ran: bool | None = None
    #: None: not known.
    params: LiveMigrationParams | None = None
    #: Our own call is about to be made.
    begins: bool = False
    #: Our own call.
    call: Background[None] | None = None
    aborting: bool = False
    post_copy: bool = False
    last: JobStats | None = None
    #: Since when its end could not be told, on the machine's monotonic clock; 0: it could.
    untold: float = 0.0
    #: The statistics that came with JOB_COMPLETED.
    final: Mapping[str, Any] | None = None
    told: threading.Event = field(factory=threading.Event)
    #: Ends the subscription to that event.
    end: Callable[[], None] = lambda: None

    @property
    def attempt(self) -> Attempt:
        """What became of our own call."""
        if self.call is None or self.begins:
            return Attempt.RUNS if self.begins else Attempt.NONE
        if not self.call.done.is_set():
            return Attempt.RUNS
        return Attempt.RETURNED if self.error is None else Attempt.RAISED

    @property
    def error(self) -> DriverError | None:
        """What our own call raised, if it has ended so."""
        if self.call is None or not self.call.done.is_set():
            return None
        error = self.call.error
        # What nobody expected must not be taken for a success.
        return error if error is None or isinstance(error, DriverError) else DriverError(repr(error))

    def stats(self, found: Look) -> JobStats:
        """How the job stands, by what was *found* at the source. Raises DriverError where that cannot be told."""
        attempt, error = self.attempt, self.error
        aborted = self.aborting or (error is not None and error.code == _ABORTED)
        kind = ended(attempt, found.seen, told=self.final is not None, aborted=aborted)
        self.post_copy |= found.post_copy
        if kind is None and attempt is Attempt.NONE:
            # The guest goes before the event comes.
            self.untold = self.untold or time.monotonic()
            if time.monotonic() - self.untold < LATE:
                return evolve(self.last or JobStats(JobType.UNBOUNDED), post_copy=self.post_copy)
        if kind is None:
            reason = f": {error.text}" if error is not None else ""
            raise DriverError(f"guest {self.uuid}: how its live migration has ended cannot be told here{reason}")
        self.untold = 0.0
        if kind is JobType.UNBOUNDED and found.seen is not AtSource.GONE:
            broken = found.seen is AtSource.BROKEN and attempt is not Attempt.RUNS
            self.last = JobStats.from_libvirt(found.raw, kind, post_copy=found.post_copy, broken=broken)
            return self.last
        if kind is JobType.COMPLETED and self.final is not None:
            return JobStats.from_libvirt(self.final, kind, post_copy=self.post_copy)
        last, error_text = self.last or JobStats(kind), error.text if error is not None else ""
        if kind in {JobType.FAILED, JobType.CANCELLED}:  # the guest is here: a switch that was asked for was not made
            return evolve(last, type=kind, broken=False, error=error_text)
        return evolve(last, type=kind, post_copy=self.post_copy, broken=False, error="")


class Jobs:
    """The jobs of one source, by the guest's uuid; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        #: What the line to a host has carried, bytes a second.
        self.rates: dict[str, float] = {}

    def get(self, uuid: str) -> Job | None:
        """The job of the guest, if it is remembered."""
        with self._lock:
            return self._jobs.get(uuid)

    def add(self, job: Job) -> Job:
        """Remembers *job*, unless there is one: that is returned."""
        with self._lock:
            return self._jobs.setdefault(job.uuid, job)

    def forget(self, uuid: str) -> None:
        """Forgets the job of the guest, if there is one."""
        with self._lock:
            job = self._jobs.pop(uuid, None)
        if job is not None:
            job.end()


def post_copy_refused(error: DriverError) -> DriverError:
    """NotSupported for libvirt's refusal of post-copy that was not permitted; else the error itself."""
    if isinstance(error, DriverTimeout) or "VIR_MIGRATE_POSTCOPY" not in error.text:
        return error
    return NotSupported(error.text, host=error.host, code=error.code, domain=error.domain)
