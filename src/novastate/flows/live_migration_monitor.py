"""Watching a live migration while it runs, and acting on it.

Rules of this file (``nova/virt/libvirt/migration.py`` and ``driver.py: _live_migration_monitor``):

1. Every poll: requests first (abort, force complete), then the policy, then the record.
2. Force complete switches to post-copy where that is permitted, else pauses the guest so that the copy can catch up. After
   the switch neither the policy nor a user can abort.
3. An abort is asked for until the source has heard it, and then no more; a forced completion likewise (Nova repeats both at
   every poll, G18).
4. Progress is saved every few seconds. Losing such a save is no loss unless the instance is another's by now.
5. A source that does not answer is asked again for :data:`SILENCE` seconds; a job that does not show up, or does not end when
   told to abort, for as long. One that says that the guest is not there any more is not waited for. At the deadline of the
   options every job is told to abort.
6. Post-copy that has lost its link is asked to go on over a new one, at every poll, for as long. Then it is left as it is, for
   ``recover``: both halves of the guest are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import asdict, evolve, frozen

from novastate.convergence.policy import Situation, data_gb
from novastate.drivers import JobStats, JobType
from novastate.errors import DriverError, GuestNotFound, NotSupported
from novastate.flows.effects import Call, Flow, Note, Notify, Wait
from novastate.flows.steps import Told, amend, tell
from novastate.machines import LiveMigrationMachine, MigrationStatus, TaskState
from novastate.objects import Instance, LibvirtLiveMigrateData, Migration

if TYPE_CHECKING:
    from novastate.flows.live_migrate import LiveMigrationOptions

__all__ = ["ABORT", "FORCE_COMPLETE", "SILENCE", "Monitored", "inbox", "kept", "monitor", "to_move"]

ABORT = "abort"
FORCE_COMPLETE = "force-complete"

#: How long the source may stay silent, or the job unseen, in seconds.
SILENCE = 60.0

_BY_POLICY = {"abort": ABORT, "force_complete": FORCE_COMPLETE}

_ENDS = {
    JobType.COMPLETED: MigrationStatus.COMPLETED,
    JobType.FAILED: MigrationStatus.FAILED,
    JobType.CANCELLED: MigrationStatus.CANCELLED,
}


def inbox(migration_uuid: str) -> str:
    """The topic on which requests to a live migration are left; one a migration, so that a late request harms no later one."""
    return f"live-migration/{migration_uuid}"


def kept(migration_uuid: str) -> str:
    """The document in which the forecast and the final statistics of a live migration are kept: ``forecast``, ``stats``."""
    return f"live-migration/{migration_uuid}"


def to_move(instance: Instance, *, copies_disks: bool) -> float:
    """Nova's measure of what a live migration moves, GiB; with *copies_disks*, local disks count."""
    disks = [gb << 30 for gb in (instance.root_gb or 0, instance.ephemeral_gb or 0) if gb]
    return data_gb(instance.memory_mb or instance.flavor.memory_mb, disks if copies_disks else ())


@frozen
class Monitored:
    """How the job ended (completed, failed or cancelled), why, and the records as they are now."""

    instance: Instance
    migration: Migration
    ended: MigrationStatus
    reason: str = ""


def monitor(
    instance: Instance,
    migration: Migration,
    source: str,
    data: LibvirtLiveMigrateData,
    options: LiveMigrationOptions,
) -> Flow[Monitored]:
    """Polls the job on the source until it ends. Raises StaleState if the instance was taken over (the job is told to abort)."""
    uuid = instance.uuid
    moving = to_move(instance, copies_disks=data.block_migration is True)
    asked: set[str] = set()
    wanted: str | None = None
    silent, ignored, saved_at, downtime = 0.0, 0.0, float("-inf"), options.params.downtime
    while True:
        request: str | None = yield Wait(options.poll, inbox(migration.uuid))
        wanted = request or wanted
        try:
            stats: JobStats = yield Call(source, "live_migration_job", (uuid,))
        except GuestNotFound:
            raise
        except DriverError:
            silent += options.poll
            if silent >= SILENCE:
                raise
            continue
        if stats.type in _ENDS:
            yield Note(kept(migration.uuid), {"stats": {**asdict(stats), "type": stats.type.value}})
            yield Notify("live_migration.stats", {"instance": uuid, "migration": migration.uuid, "stats": stats})
            return Monitored(instance, migration, _ENDS[stats.type], stats.error)
        if stats.type is JobType.NONE:
            silent += options.poll
            if silent >= SILENCE:
                raise DriverError(f"guest {uuid}: there is no migration job", host=source)
            continue
        if stats.broken:
            silent += options.poll
            if silent >= SILENCE:
                text = f"post-copy has lost its link; half of its memory is here, half on {migration.dest_compute}"
                raise DriverError(f"guest {uuid}: {text}", host=source)
            yield from tell(source, "live_migration", instance, migration.dest_compute, data, options.params)
            continue
        silent = 0.0
        if ABORT in asked:
            ignored += options.poll
            if ignored >= SILENCE:
                raise DriverError(f"guest {uuid}: the job does not end although it was told to abort", host=source)
        if stats.elapsed > options.deadline + SILENCE:
            raise DriverError(f"guest {uuid}: the job does not end", host=source)

        advice = options.policy.decide(
            Situation(elapsed=stats.elapsed, post_copy=stats.post_copy, data_gb=moving, current_downtime=downtime)
        )
        reason = "asked for" if wanted else advice.reason
        wanted = wanted or _BY_POLICY.get(advice.action)
        if stats.elapsed > options.deadline and wanted != ABORT:
            wanted, reason = ABORT, f"not complete at its deadline of {options.deadline:g} s"
        if wanted and wanted not in asked and not stats.post_copy:
            yield Notify(f"live_migration.{wanted}", {"migration": migration.uuid, "reason": reason})
            if wanted == ABORT:
                told = yield from tell(source, "live_migration_abort", uuid)
            else:
                told, switched = yield from _force_complete(source, uuid, post_copy=options.params.post_copy)
                if switched:
                    # At once: post-copy may be over before the next look.
                    instance, migration = yield from _save_progress(instance, migration, evolve(stats, post_copy=True))
            if told.ok:
                asked.add(wanted)
                wanted = None
            continue
        wanted = None
        if advice.downtime_ms is not None:
            yield from tell(source, "live_migration_downtime", uuid, advice.downtime_ms)
            downtime = advice.downtime_ms

        yield Notify(
            "live_migration.progress",
            {"instance": uuid, "migration": migration.uuid, "downtime_ms": downtime, "stats": stats},
        )
        switched = stats.post_copy and migration.status is MigrationStatus.RUNNING
        if switched or stats.elapsed - saved_at >= options.save_every:
            saved_at = stats.elapsed
            instance, migration = yield from _save_progress(instance, migration, stats)


def _force_complete(source: str, uuid: str, *, post_copy: bool) -> Flow[tuple[Told, bool]]:
    """Rule 2. Whether it could be asked for, and whether the job is in post-copy now."""
    if post_copy:
        told = yield from tell(source, "live_migration_post_copy", uuid)
        if not isinstance(told.error, NotSupported):
            return told, told.ok
    # The rollback at the source lets a guest that was paused for this run on.
    return (yield from tell(source, "pause", uuid)), False


def _save_progress(instance: Instance, migration: Migration, stats: JobStats) -> Flow[tuple[Instance, Migration]]:
    def change(server: Instance, record: Migration) -> None:
        server.progress = stats.progress
        record.memory_total = stats.memory_total
        record.memory_processed = stats.memory_processed
        record.memory_remaining = stats.memory_remaining
        record.disk_total = stats.disk_total
        record.disk_processed = stats.disk_processed
        record.disk_remaining = stats.disk_remaining
        if stats.post_copy and record.status is MigrationStatus.RUNNING:
            LiveMigrationMachine.post_copy(record)

    return (yield from amend(instance, migration, change, task=TaskState.MIGRATING))
