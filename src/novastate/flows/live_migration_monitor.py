"""Watching a live migration while it runs, and acting on it.

Rules of this file (``nova/virt/libvirt/migration.py`` and ``driver.py: _live_migration_monitor``):

1. Every poll: requests first (abort, force complete), then the policy, then the record.
2. Force complete switches to post-copy where that is permitted, else pauses the guest so that the copy can catch up. After
   the switch neither the policy nor a user can abort.
3. An abort is asked for until the source has heard it, and then no more; a forced completion likewise (Nova repeats both at
   every poll, G18).
4. Progress is saved every few seconds. Losing such a save is no loss unless the instance is another's by now.
5. A source that does not answer is asked again for :data:`SILENCE` seconds, by the clock: the time that its looks take is counted.
   A job that does not show up, or does not end when told to abort, is waited for as long. A source that says that the guest is
   not there any more is not waited for. At the deadline of the options every job is told to abort.
6. Post-copy that has lost its link is asked to go on over a new one, at every poll, for as long. Then it is left as it is, for
   ``recover``: both halves of the guest are needed.
7. While the job is not seen nothing is asked of it: what was asked for meanwhile, and what the policy says, it hears when it is
   seen again.
8. A policy that acts on what is foreseen, where nothing is (no forecast was made, or a look says what no migration can), goes by
   the time alone. That is told once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve, frozen

from novastate.convergence import Advice, ForecastPolicy, Situation, data_gb
from novastate.convergence.policies.base import SituationLike
from novastate.convergence.policies.control import Observer, observer
from novastate.drivers import JobStats, JobType, LiveMigrationParams
from novastate.errors import ConvergenceError, DriverError, GuestNotFound, NotSupported
from novastate.flows.effects import Call, Flow, Note, Notify, Now, Wait
from novastate.flows.steps import Told, amend, tell
from novastate.machines import LiveMigrationMachine, MigrationStatus, TaskState
from novastate.objects import Instance, LibvirtLiveMigrateData, Migration

if TYPE_CHECKING:
    from novastate.convergence import Forecast
    from novastate.flows.live_migration_options import LiveMigrationOptions

__all__ = ["ABORT", "FORCE_COMPLETE", "SILENCE", "Monitored", "inbox", "kept", "monitor", "stats_json", "to_move"]

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
    """The document of a live migration: its ``forecast``, the ``options`` that it was begun with, and the final ``stats``."""
    return f"live-migration/{migration_uuid}"


def stats_json(stats: JobStats) -> dict[str, Any]:
    """The statistics as plain JSON data."""
    return {**asdict(stats), "type": stats.type.value}


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
    expected: Forecast | None = None,
) -> Flow[Monitored]:
    """Polls the job on the source until it ends; a policy that acts on what is foreseen starts from *expected*.

    Raises StaleState if the instance was taken over (the job is told to abort).
    """
    uuid, clocks = instance.uuid, _Clocks(source, instance.uuid, (yield Now()))
    moving = to_move(instance, copies_disks=data.block_migration is True)
    watch = observer(options.policy, expected, moving)
    asked: set[str] = set()
    wanted: str | None = None
    blind = "no forecast was made" if watch is None and isinstance(options.policy, ForecastPolicy) else ""
    if blind:
        yield from _tell_unforeseen(migration, blind)
    saved_at, downtime = float("-inf"), options.params.downtime
    while True:
        request: str | None = yield Wait(options.poll, inbox(migration.uuid))
        wanted = request or wanted
        stats = yield from _look(instance, migration, source, data, options.params)
        clocks.judge(stats, (yield Now()), options.deadline, aborting=ABORT in asked)
        if isinstance(stats, DriverError):
            continue
        if stats.type in _ENDS:
            yield Note(kept(migration.uuid), {"stats": stats_json(stats)})
            yield Notify("live_migration.stats", {"instance": uuid, "migration": migration.uuid, "stats": stats})
            return Monitored(instance, migration, _ENDS[stats.type], stats.error)

        seen, why = _situation(watch, stats, moving, downtime, running=FORCE_COMPLETE not in asked)
        if why and not blind:
            blind = why
            yield from _tell_unforeseen(migration, why)
        advice = options.policy.decide(seen)
        wanted, reason = _wish(wanted, advice, stats.elapsed, options.deadline)
        if wanted and wanted not in asked and not stats.post_copy:
            yield Notify(f"live_migration.{wanted}", {"migration": migration.uuid, "reason": reason})
            told, switched = yield from _ask(wanted, source, uuid, post_copy=options.params.post_copy)
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


def _situation(
    watch: Observer | None, stats: JobStats, moving: float, downtime: int, *, running: bool
) -> tuple[SituationLike, str]:
    """What the policy looks at. Statistics of which nothing can be foreseen leave it the time; then also why they cannot."""
    why = ""
    if watch is not None:
        try:
            return watch.observe(stats, downtime=downtime / 1000, running=running or stats.post_copy), ""
        except ConvergenceError as error:
            why = str(error)
    return Situation(elapsed=stats.elapsed, post_copy=stats.post_copy, data_gb=moving, current_downtime=downtime), why


def _tell_unforeseen(migration: Migration, why: str) -> Flow[None]:
    """Rule 8."""
    reason = f"{why}: the policy goes by the time alone"
    yield Notify("live_migration.unforeseen", {"migration": migration.uuid, "reason": reason})


def _look(
    instance: Instance, migration: Migration, source: str, data: LibvirtLiveMigrateData, params: LiveMigrationParams
) -> Flow[JobStats | DriverError]:
    """The job; or why it is not seen to run: a silent source, no job, post-copy without its link (which is asked to go on, rule 6)."""
    uuid = instance.uuid
    try:
        stats: JobStats = yield Call(source, "live_migration_job", (uuid,))
    except GuestNotFound:
        raise
    except DriverError as error:
        return error
    if stats.type is JobType.NONE:
        return DriverError(f"guest {uuid}: there is no migration job", host=source)
    if stats.type in _ENDS or not stats.broken:
        return stats
    yield from tell(source, "live_migration", instance, migration.dest_compute, data, params)
    text = f"post-copy has lost its link; half of its memory is here, half on {migration.dest_compute}"
    return DriverError(f"guest {uuid}: {text}", host=source)


class _Clocks:
    """Rules 5 and 6: since when the job was not seen to run, and since when it was to have ended."""

    def __init__(self, source: str, uuid: str, now: datetime) -> None:
        self._source, self._uuid = source, uuid
        self._seen, self._aborted = now, now

    def judge(self, stats: JobStats | DriverError, now: datetime, deadline: float, *, aborting: bool) -> None:
        """What was seen *now*. Raises DriverError where it has lasted too long."""
        patience = timedelta(seconds=SILENCE)
        if isinstance(stats, DriverError):
            if now - self._seen >= patience:
                raise stats
            return
        self._seen = now
        if not aborting:
            self._aborted = now
        if stats.type in _ENDS:
            return
        if now - self._aborted >= patience:
            text = "the job does not end although it was told to abort"
            raise DriverError(f"guest {self._uuid}: {text}", host=self._source)
        if stats.elapsed > deadline + SILENCE:
            raise DriverError(f"guest {self._uuid}: the job does not end", host=self._source)


def _wish(wanted: str | None, advice: Advice, elapsed: float, deadline: float) -> tuple[str | None, str]:
    """What the job is to be told, and why: at the deadline to abort, else what a user wants, else what the policy says."""
    if elapsed > deadline and wanted != ABORT:
        return ABORT, f"not complete at its deadline of {deadline:g} s"
    return (wanted, "asked for") if wanted else (_BY_POLICY.get(advice.action), advice.reason)


def _ask(wanted: str, source: str, uuid: str, *, post_copy: bool) -> Flow[tuple[Told, bool]]:
    """Rule 2. Whether the job has heard it, and whether it is in post-copy now."""
    if wanted == ABORT:
        return (yield from tell(source, "live_migration_abort", uuid)), False
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
