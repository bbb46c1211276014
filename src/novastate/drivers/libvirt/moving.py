"""During a live migration, on its source: the job is started, looked at, hurried, and ended.

Rules of this file:

1. ``migrateToURI3`` is peer-to-peer: the two daemons move the guest, whoever asked them to may die. The call has a thread and a
   connection of its own, and its answer is remembered until the post or rollback step.
2. A job that another process started is watched all the same: the daemon tells of it, and JOB_COMPLETED of its end.
3. An abort that comes before the job can hear it is repeated until it does: once asked for, the guest does not leave later on.
"""
# ruff: noqa: D102  (the abstract driver says what each method does)

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from novastate.drivers.base import MOST_DOWNTIME, JobStats, JobType, LiveMigrationParams
from novastate.drivers.libvirt.background import check_wanted
from novastate.drivers.libvirt.binding import libvirt
from novastate.drivers.libvirt.checking import Checking, addresses
from novastate.drivers.libvirt.hypervisor import one_deadline
from novastate.drivers.libvirt.migration_job import (
    LATE,
    AtSource,
    Attempt,
    Job,
    Look,
    flags_of,
    look,
    parameters,
    post_copy_refused,
)
from novastate.drivers.libvirt.migration_xml import for_destination
from novastate.drivers.libvirt.notes import Kind
from novastate.drivers.libvirt.raw_events import EventKind, HypervisorEvent
from novastate.drivers.libvirt.states import MIGRATION_OUT
from novastate.drivers.libvirt.xml import file_disks
from novastate.errors import DriverError, DriverTimeout, GuestNotFound, NotSupported

if TYPE_CHECKING:
    from novastate.objects import Instance, LibvirtLiveMigrateData

__all__ = ["Moving", "PostCopyError"]

logger = logging.getLogger(__name__)

_ENDED = frozenset({Attempt.RETURNED, Attempt.RAISED})
#: Seconds between two tries to abort what does not show yet.
_AGAIN = 0.1


class PostCopyError(DriverError):
    """Post-copy cannot be aborted: half of the guest is at the destination."""


class Moving(Checking):
    """The calls of a live migration that its source takes while it goes on."""

    # --- start

    @one_deadline
    def live_migration(
        self, instance: Instance, dest: str, data: LibvirtLiveMigrateData, params: LiveMigrationParams
    ) -> None:
        """As the abstract driver says; raises NotSupported where post-copy has lost its link: libvirt is never asked to go on with it.

        On VIR_MIGRATE_POSTCOPY_RESUME the destination's daemon of libvirt 11.3 crashes (``qemuProcessIncomingDefNew`` reads a file
        descriptor through a null pointer); and while a vCPU of the guest waits for a page, QEMU's monitor there does not answer.
        """
        uuid = instance.uuid
        found = self.on_guest("looking at its migration", uuid, look)
        job = self.jobs.get(uuid)
        if job is not None and job.attempt is Attempt.RETURNED and found.seen is AtSource.HERE:
            self.jobs.forget(uuid)  # it has come back since
            job = None
        if job is not None and job.dest and job.dest != dest:
            raise DriverError(f"guest {uuid}: there is a migration to {job.dest} already", host=self.host)
        if found.seen is AtSource.BROKEN and (job is None or job.attempt is not Attempt.RUNS):
            raise NotSupported(f"guest {uuid}: going on with post-copy that has lost its link", host=self.host)
        if job is None and found.seen is AtSource.GONE:
            raise DriverError(f"guest {uuid} does not run and cannot be migrated live", host=self.host)
        if job is not None or found.seen is AtSource.JOB:
            return
        if dest == self.host:
            raise DriverError(f"guest {uuid} is there already", host=self.host)
        if found.seen is not AtSource.HERE:
            how = "does not run" if found.seen is AtSource.GONE else "stands still for another migration"
            raise DriverError(f"guest {uuid} {how}, and cannot be migrated live", host=self.host)
        self._launch(instance, dest, data, params)

    def _launch(self, instance: Instance, dest: str, data: LibvirtLiveMigrateData, params: LiveMigrationParams) -> None:
        uuid, peer = instance.uuid, self._peer(dest)
        address = data.target_connect_addr
        if not address:
            raise DriverError(f"guest {uuid}: the address of {dest} is not known", host=self.host)
        block = data.block_migration is True
        notes = self.notes(uuid)

        def prepare(connect: Any) -> tuple[bool, int, dict[str, Any]]:
            domain = self.lookup(connect, uuid)
            # What was noted when it came here, or wanted to leave before, is not true any more.
            notes.drop(connect, Kind.MADE, Kind.LEFT, Kind.LEAVES)
            disks = file_disks(domain.XMLDesc()) if block else []
            if disks:
                notes.write(connect, Kind.LEAVES, [disk.path for disk in disks])
            paused = domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
            persistent = bool(domain.isPersistent())
            known, secure = addresses(data), libvirt.VIR_DOMAIN_XML_SECURE
            asked = parameters(
                address,
                params,
                disks=tuple(disk.device for disk in disks),
                xml=for_destination(domain.XMLDesc(secure | libvirt.VIR_DOMAIN_XML_MIGRATABLE), known),
                persistent_xml=for_destination(domain.XMLDesc(secure | libvirt.VIR_DOMAIN_XML_INACTIVE), known)
                if persistent
                else "",
            )
            return paused, flags_of(params, persistent=persistent, block=block and bool(disks), paused=paused), asked

        paused, flags, asked = self.connection.call("preparing its migration", prepare, uuid=uuid)
        job = Job(uuid, dest, not paused, params, begins=True)
        if self._remember(job) is job:
            self._begin(job, peer, flags, asked, downtime=params.downtime)

    def _peer(self, dest: str) -> str:
        """How this host's daemon reaches that of *dest*. Raises DriverError."""
        if dest not in self.peers:
            known = ", ".join(sorted(self.peers)) or "none"
            raise DriverError(f"how to reach the daemon of {dest} is not known; peers given: {known}", host=self.host)
        return self.peers[dest]

    def _remember(self, job: Job) -> Job:
        """The job, or the one that is remembered already. From then on its end is listened for, until it is known."""
        held = self.jobs.add(job)
        if held is not job:
            return held

        def listen(event: HypervisorEvent) -> None:
            told = event.statistics
            ours = event.kind is EventKind.JOB_COMPLETED and event.uuid == job.uuid
            if ours and told.get("operation") == MIGRATION_OUT and told.get("success", True):
                job.final = told
                job.told.set()
                job.end()

        job.end = self.connection.on_event(listen)
        return job

    def _begin(self, job: Job, peer: str, flags: int, asked: dict[str, Any], *, downtime: int = 0) -> None:
        """Makes the call, on a thread of its own."""

        def run(connect: Any) -> None:
            domain = self.lookup(connect, job.uuid)
            if downtime:
                domain.migrateSetMaxDowntime(downtime, 0)
            if job.aborting:
                raise DriverError(f"guest {job.uuid}: aborted before it began", host=self.host)
            domain.migrateToURI3(peer, asked, flags)
            job.told.wait(LATE)
            job.end()

        try:
            job.call = self.connection.background("migrating", run)
        except BaseException:
            self.jobs.forget(job.uuid)
            raise
        finally:
            job.begins = False

    # --- how it stands

    def live_migration_job(self, uuid: str) -> JobStats:
        job = self.jobs.get(uuid)
        found = self._look(uuid)
        if job is None:
            if found is None:
                raise GuestNotFound(f"there is no guest {uuid}", host=self.host)
            if found.seen not in {AtSource.JOB, AtSource.BROKEN}:
                return JobStats(JobType.NONE)
            job = self._remember(Job(uuid))
        return job.stats(found or Look(AtSource.GONE))

    def _look(self, uuid: str) -> Look | None:
        """The guest on this host, None if it is not here."""
        try:
            return self.on_guest("looking at its migration", uuid, look)
        except GuestNotFound:
            return None

    # --- commands

    def live_migration_downtime(self, uuid: str, downtime: int) -> None:
        if type(downtime) is not int or not 0 < downtime <= MOST_DOWNTIME:
            raise DriverError(f"guest {uuid}: a downtime limit of {downtime} ms cannot be set", host=self.host)
        job = self.jobs.get(uuid)
        if job is not None and job.attempt in _ENDED:
            return
        if job is None and self.on_guest("looking", uuid, look).seen is not AtSource.JOB:
            raise DriverError(f"guest {uuid} is not being migrated", host=self.host)

        def run(domain: Any) -> None:
            check_wanted()
            domain.migrateSetMaxDowntime(downtime, 0)

        self.on_guest("setting the downtime limit", uuid, run)

    @one_deadline
    def live_migration_abort(self, uuid: str) -> None:
        job = self.jobs.get(uuid)
        if job is not None and job.attempt in _ENDED:
            found = self._look(uuid)
            if found is None or found.seen not in {AtSource.JOB, AtSource.BROKEN}:
                return
        try:
            if self._abort(uuid, job) or job is None or job.attempt is not Attempt.RUNS:
                return
        except GuestNotFound:
            return
        # Rule 3: the call was made, and the job does not show yet.
        heard, late = threading.Event(), list[PostCopyError]()
        task = threading.Thread(
            target=self._keep_aborting, args=(uuid, job, heard, late), name="libvirt abort", daemon=True
        )
        task.start()
        if not heard.wait(self.connection.left()):
            raise DriverTimeout(f"guest {uuid}: the job has not heard that it is to end", host=self.host)
        if late:
            raise late[0]

    def _keep_aborting(self, uuid: str, job: Job, heard: threading.Event, late: list[PostCopyError]) -> None:
        while job.attempt is Attempt.RUNS:
            try:
                if self._abort(uuid, job):
                    break
            except GuestNotFound:
                break
            except PostCopyError as error:
                late.append(error)
                break
            except DriverError as error:
                logger.debug("aborting the migration of guest %s: %s", uuid, error)
            time.sleep(_AGAIN)
        heard.set()

    def _abort(self, uuid: str, job: Job | None) -> bool:
        """Tells the job to end; False if there is none. Raises PostCopyError."""

        def run(domain: Any) -> bool:
            found = look(domain)
            if found.post_copy:
                raise PostCopyError(f"guest {uuid}: post-copy cannot be aborted", host=self._host)
            check_wanted()
            if job is not None:
                job.aborting = True
            if found.seen is not AtSource.JOB:
                return False
            try:
                domain.abortJob()
            except libvirt.libvirtError:
                if look(domain).seen is AtSource.JOB:
                    raise
                return False
            return True

        return self.on_guest("aborting its migration", uuid, run)

    def live_migration_post_copy(self, uuid: str) -> None:
        job = self.jobs.get(uuid)
        if job is not None and job.params is not None and not job.params.post_copy:
            raise NotSupported(f"guest {uuid}: post-copy was not permitted", host=self.host)

        def run(domain: Any) -> None:
            if not look(domain).post_copy:
                check_wanted()
                domain.migrateStartPostCopy(0)

        try:
            self.on_guest("switching to post-copy", uuid, run)
        except DriverError as error:
            raise post_copy_refused(error) from error
        if job is not None:
            job.post_copy = True
