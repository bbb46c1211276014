"""After a live migration: the guest is made at home at its destination, or stays on its source; nothing is left elsewhere.

Rules of this file:

1. A guest that runs is never touched, nor are its files, whatever the caller believes.
2. What is left is found by the guest's uuid, in the notes: the caller may have forgotten everything.
3. A source's disks are deleted only after a completed migration that copied them, and only those that were noted.
"""
# ruff: noqa: D102, ARG002  (the abstract driver says what each method does; the data may be lost, rule 2)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from novastate.drivers.base import LiveMigrationParams
from novastate.drivers.libvirt.background import check_wanted
from novastate.drivers.libvirt.binding import libvirt
from novastate.drivers.libvirt.hypervisor import gone_is_fine
from novastate.drivers.libvirt.migration_job import AtSource, Attempt, look
from novastate.drivers.libvirt.moving import Moving
from novastate.drivers.libvirt.notes import Kind
from novastate.drivers.libvirt.states import info
from novastate.errors import DriverError
from novastate.machines import PowerState, VMState

if TYPE_CHECKING:
    from novastate.convergence import Link
    from novastate.objects import Instance, LibvirtLiveMigrateData

__all__ = ["Migrating"]

#: Bytes a second of a line that nobody has measured: 10 Gbit/s, the estimator's own default.
_LINE_RATE = 1.25e9
#: s that a zero page takes (`Rules.blank`); and the most that all of them may have taken, as a share, where a line is learnt.
_BLANK, _MOST_BLANK = 0.25e-6, 0.5
#: The daemons never need as long as this, s: what does is something else.
_LONGEST_BEGIN = 10.0


class Migrating(Moving):
    """The calls for live migration."""

    # --- the guest has gone

    def post_live_migration_at_destination(self, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        """The daemons made it persistent in the same step in which it came (VIR_MIGRATE_PERSIST_DEST), if it was so before."""
        notes = self.notes(instance.uuid)

        def run(connect: Any) -> None:
            seen = info(self.lookup(connect, instance.uuid))
            if seen.incoming:
                raise DriverError(f"guest {instance.uuid} is only arriving", host=self.host)
            notes.clear(connect, Kind.PROBES)
            notes.drop(connect, Kind.MADE, Kind.LEFT, Kind.LEAVES)

        self.connection.call("settling it", run, uuid=instance.uuid)

    def post_live_migration_at_source(self, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        uuid, notes, job = instance.uuid, self.notes(instance.uuid), self.jobs.get(instance.uuid)

        def run(connect: Any) -> None:
            with gone_is_fine():
                _remove(self.lookup(connect, uuid), uuid, self.host)
            if data.block_migration is False:
                notes.drop(connect, Kind.LEAVES)
            notes.clear(connect, Kind.PROBES, Kind.LEAVES)
            notes.drop(connect, Kind.MADE)

        self._learn(uuid)
        if job is not None:
            job.end()  # it has come, and is known until this step is done
        self.connection.call("clearing up after it", run, uuid=uuid)
        self.jobs.forget(uuid)

    # --- the guest stays

    def rollback_live_migration_at_source(self, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        uuid, notes, job = instance.uuid, self.notes(instance.uuid), self.jobs.get(instance.uuid)
        ran = job.ran if job is not None and job.ran is not None else _should_run(instance)

        def run(connect: Any) -> None:
            resume = False
            with gone_is_fine():
                found = look(self.lookup(connect, uuid))
                if found.seen is AtSource.JOB or (job is not None and job.attempt is Attempt.RUNS):
                    raise DriverError(f"guest {uuid} is being migrated: abort that first", host=self.host)
                # A half that post-copy left behind is never resumed: it has no memory of what came after.
                resume = ran and found.paused and not found.post_copy
            notes.drop(connect, Kind.LEAVES)
            if resume:
                with gone_is_fine():
                    _resume(self.lookup(connect, uuid))

        self.connection.call("letting it stay", run, uuid=uuid)
        self.jobs.forget(uuid)

    def rollback_live_migration_at_destination(self, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        """Ends what is arriving, and deletes the disks that were made for it.

        This host cannot tell a guest that never came from a transient one that came and has ended since: who calls this knows that it
        has not come, for instance because its source has it. Else what is deleted may be its only data.
        """
        uuid, notes = instance.uuid, self.notes(instance.uuid)

        def run(connect: Any) -> None:
            notes.clear(connect, Kind.PROBES)
            with gone_is_fine():
                domain = self.lookup(connect, uuid)
                if not info(domain).incoming or not _destroy(domain):
                    return
            notes.clear(connect, Kind.MADE)

        self.connection.call("clearing up what was to come", run, uuid=uuid)

    # --- what the estimator needs

    def link(self, dest: str, params: LiveMigrationParams) -> Link:
        """*line_rate* as given; else what the last migration to *dest* without a limit came to; else 10 Gbit/s."""
        from novastate.convergence import Link  # noqa: PLC0415  (a control plane need not estimate)

        return Link(limit=params.bandwidth or None, line_rate=self.line_rate or self.jobs.rates.get(dest) or _LINE_RATE)

    def _learn(self, uuid: str) -> None:
        """Keeps what the line to its destination has carried, if nothing held it back; and what the daemons took besides QEMU.

        The rate of a completed job is bytes / QEMU's own time (migration/migration.c: migration_calculate_complete).
        """
        job = self.jobs.get(uuid)
        if job is None or job.params is None:
            return
        final = job.final or {}
        rate = float(final.get("memory_bps", 0))
        if rate <= 0:
            return
        if not job.params.bandwidth:
            # Zero pages take time and hardly a byte: what they took says nothing of the line, nor of the hosts; where they took most of it
            # nothing is learnt, for what they take is not known to better than that.
            sent, zero = float(final.get("memory_processed", 0)), float(final.get("memory_constant", 0))
            blank = _BLANK * zero * rate / max(1.0, sent)
            if blank <= _MOST_BLANK:
                self.jobs.rates[job.dest] = rate / (1.0 - blank)
        besides = float(final.get("time_elapsed", 0)) / 1000 - float(final.get("memory_processed", 0)) / rate
        if 0 < besides < _LONGEST_BEGIN and not final.get("disk_total"):
            self.begins.append(besides)


def _should_run(instance: Instance) -> bool:
    """Whether the record says that the guest runs."""
    return instance.vm_state is VMState.ACTIVE and instance.power_state is PowerState.RUNNING


def _resume(domain: Any) -> None:
    """Lets the guest run on; the daemon may have done so itself meanwhile."""
    check_wanted()
    try:
        domain.resume()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID or look(domain).paused:
            raise


def _remove(domain: Any, uuid: str, host: str) -> None:
    """Removes what is left of a guest that has gone. Raises DriverError if it is more than that."""
    found = look(domain)
    if found.seen is AtSource.JOB or found.seen is AtSource.HERE or not _destroy(domain):
        raise DriverError(f"guest {uuid} is here still", host=host)
    if domain.isPersistent():
        check_wanted()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)


def _destroy(domain: Any) -> bool:
    """Ends what of the guest stands still on this host, if there is anything; False if it runs (rule 1).

    The daemons may let it run at any time until its job has ended: this is the last look before the end.
    """
    check_wanted()
    try:
        state = domain.state()[0]
        if state in {libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED}:
            return False
        if state != libvirt.VIR_DOMAIN_SHUTOFF:
            domain.destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID}:
            raise
    return True
