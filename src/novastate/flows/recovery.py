"""Recovery: what a crash left half-done is driven on, back, or to error, by what the hypervisors say.

Rules of this flow:

1. Only an unstable instance is touched, and only once its deadline has passed (or *now* is asked for): before that
   somebody may still drive it.
2. A live migration whose job still runs is driven on: the job is watched to its end as if nothing had happened. One
   whose job has ended is ended as where the guest is says. One that had not begun is undone.
3. A build whose guest runs is finished; any other goes to error, its room is given back.
4. Running recovery twice, or beside a flow that still lives, is safe: every save is compare-and-swap, the loser stops.
"""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen

from novastate.drivers import GuestInfo, JobStats, JobType
from novastate.errors import DriverError, GuestNotFound
from novastate.flows.effects import Find, Flow, Load, Now, Release, Save
from novastate.flows.live_migrate import LiveMigrationOptions
from novastate.flows.live_migration_end import arrived, complete, give_up, roll_back
from novastate.flows.live_migration_monitor import Monitored, monitor
from novastate.flows.requests import active_live_migration
from novastate.flows.steps import call, tell
from novastate.machines import MigrationStatus, PowerState, TaskMachine, TaskState, VMMachine, VMState
from novastate.objects import Allocation, Instance, LibvirtLiveMigrateData, Migration

__all__ = ["Recovered", "recover"]

_STARTED = frozenset({MigrationStatus.RUNNING, MigrationStatus.RUNNING_POST_COPY})

_LOST = "whoever drove it is gone"


@frozen
class Recovered:
    """What :func:`recover` did to the instance: `what` in a sentence, and whether anything was `changed`."""

    instance_uuid: str
    changed: bool
    what: str


def recover(instance_uuid: str, *, now: bool = False, options: LiveMigrationOptions | None = None) -> Flow[Recovered]:
    """Brings one instance back to a stable state, if its deadline has passed (*now*: even if not).

    Raises NotFound; DriverError while the answer hangs on a host that is silent (nothing is changed then); StaleState if another
    took the instance over.
    """
    from novastate.machines import recovery

    instance: Instance = yield Load(Instance, instance_uuid)
    migration = yield from active_live_migration(instance_uuid)
    row = recovery(
        instance.vm_state,
        instance.task_state,
        instance.power_state,
        None if migration is None else migration.status,
    )
    if row is None:
        return Recovered(instance_uuid, changed=False, what="stable, nothing to do")
    touched = instance.updated_at or instance.created_at
    if not now and touched:
        due = touched + timedelta(seconds=row.deadline)
        if (yield Now()) < due:
            return Recovered(instance_uuid, changed=False, what=f"not due before {due:%Y-%m-%d %H:%M:%S} UTC")
    if migration is not None:
        ended = yield from _live_migration(instance, migration, options or LiveMigrationOptions())
        return Recovered(instance_uuid, changed=True, what=f"live migration {ended.status}")
    if instance.vm_state is VMState.BUILDING:
        return (yield from _build(instance))
    return (yield from _idle(instance))


def _live_migration(instance: Instance, migration: Migration, options: LiveMigrationOptions) -> Flow[Migration]:
    source, dest = migration.source_compute or instance.host or "", migration.dest_compute
    data = LibvirtLiveMigrateData()
    for allocation in (yield Find(Allocation, {"consumer": instance.uuid})):
        # A claim on a destination that the record does not name yet was made for an attempt that is over.
        if allocation.host not in {source, dest}:
            yield Release(allocation.host, instance.uuid)
    if migration.status not in _STARTED or dest is None:
        if dest is not None:
            yield from tell(dest, "rollback_live_migration_at_destination", instance, data)
        return (yield from give_up(instance, migration, dest, MigrationStatus.ERROR, _LOST))
    try:
        stats: JobStats = yield from call(source, "live_migration_job", instance.uuid)
        running = stats.type is JobType.UNBOUNDED
    except DriverError:
        running = False
    if running and instance.task_state is TaskState.MIGRATING:
        watched = yield from monitor(instance, migration, source, data, options)
    else:
        watched = Monitored(instance, migration, (yield from arrived(instance.uuid, source, dest)), _LOST)
    if watched.ended is MigrationStatus.COMPLETED:
        return (yield from complete(watched.instance, watched.migration, source, dest, data))
    return (
        yield from roll_back(
            watched.instance, watched.migration, source, dest, data, watched.ended, watched.reason or _LOST
        )
    )


def _build(instance: Instance) -> Flow[Recovered]:
    """Rule 3. A guest that runs on the host it was given is finished; else the attempt is undone."""
    host, before = instance.host, instance.task_state
    info: GuestInfo | None = None
    if host:
        try:
            info = yield from call(host, "get_info", instance.uuid)
        except GuestNotFound:
            info = None
    if info is not None and info.power_state is PowerState.RUNNING and before is TaskState.SPAWNING:
        instance.launched_at = yield Now()
        instance.power_state = info.power_state
        VMMachine.spawned(instance)
        what = f"the guest runs on {host}: active"
    else:
        if host and info is not None:
            yield from call(host, "destroy", instance.uuid)
        for allocation in (yield Find(Allocation, {"consumer": instance.uuid})):
            yield Release(allocation.host, instance.uuid)
        instance.host = instance.node = None
        VMMachine.fail(instance)
        what = "the build did not finish: error"
    if before:
        TaskMachine.finish(instance)
    yield Save((instance,), {"task_state": (before,)})
    return Recovered(instance.uuid, changed=True, what=what)


def _idle(instance: Instance) -> Flow[Recovered]:
    """A task that nothing drives and that has left nothing behind: the hypervisor's power state is taken, the task ends."""
    before = instance.task_state
    if instance.host:
        info: GuestInfo = yield from call(instance.host, "get_info", instance.uuid)
        instance.power_state = info.power_state
    TaskMachine.finish(instance)
    yield Save((instance,), {"task_state": (before,)})
    return Recovered(instance.uuid, changed=True, what=f"task {before} given up")
