"""Recovery: what a crash left half-done is driven on, back, or to error, by what the hypervisors say.

Rules of this flow:

1. Only an unstable instance is touched, and only once the deadline of its row in :data:`novastate.machines.RECOVERIES` has
   passed (or *now* is asked for): before that somebody may still drive it.
2. A live migration whose job still runs is driven on: the job is watched to its end as if nothing had happened, with the
   options that were kept when it began, unless others are given. One
   whose job has ended is ended by where the guest is, as its row says. One that had not begun is undone.
3. A build whose guest runs is finished; any other goes to error, its room is given back.
4. A task of a power flow is driven on by the steps of that flow, where its row says so; a deletion always is, and ends what moves.
5. Running recovery twice, or beside a flow that still lives, is safe: every save is compare-and-swap, the loser stops.
"""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve, frozen

from novastate.drivers import JobStats, JobType
from novastate.errors import DriverError, GuestNotFound, StaleState
from novastate.flows.delete import drive_deletion
from novastate.flows.effects import Find, Flow, Load, Now, Recall, Release, Save, Wait
from novastate.flows.live_migration_end import arrived, call_off, complete, roll_back
from novastate.flows.live_migration_monitor import Monitored, kept, monitor
from novastate.flows.live_migration_options import LiveMigrationOptions, of_json
from novastate.flows.power import drive_on
from novastate.flows.requests import active_live_migration
from novastate.flows.steps import call, look, tell
from novastate.machines import (
    MigrationStatus,
    PowerState,
    Recovery,
    TaskMachine,
    TaskState,
    VMMachine,
    VMState,
    Way,
    recovery,
)
from novastate.objects import Allocation, Instance, Migration

__all__ = ["LATE", "Recovered", "recover"]

#: Seconds that a job may take to show up after it was asked for.
LATE = 3.0

_STARTED = frozenset({MigrationStatus.RUNNING, MigrationStatus.RUNNING_POST_COPY})

_LOST = "whoever drove it is gone"


@frozen
class Recovered:
    """What :func:`recover` did to the instance: `what` in a sentence, and whether anything was `changed`."""

    instance_uuid: str
    changed: bool
    what: str


def recover(
    instance_uuid: str,
    *,
    now: bool = False,
    give_up: bool = False,
    options: LiveMigrationOptions | None = None,
) -> Flow[Recovered]:
    """Brings one instance back to a stable state, if its deadline has passed (*now*: even if not).

    While the answer hangs on a host that is silent, DriverError is raised and nothing changed; with *give_up* the instance goes to
    error instead, and keeps its claims. Raises NotFound; StaleState if another took the instance over; NotSupported for a task
    whose flow is not built.
    """
    instance: Instance = yield Load(Instance, instance_uuid)
    migration = yield from active_live_migration(instance_uuid)
    if migration is None and not instance.task_state and instance.vm_state is not VMState.BUILDING:
        return Recovered(instance_uuid, changed=False, what="stable, nothing to do")
    power, silent = yield from _power(instance)
    deleting = instance.task_state is TaskState.DELETING
    if silent is not None and not give_up and (migration is None or deleting):
        raise silent
    row = recovery(
        instance.vm_state,
        instance.task_state,
        power,
        None if migration is None else migration.status,
        kind=None if migration is None else migration.migration_type,
    )
    if row is None:
        return Recovered(instance_uuid, changed=False, what="stable, nothing to do")
    touched = instance.updated_at or instance.created_at
    if not now and touched:
        due = touched + timedelta(seconds=row.deadline)
        if (yield Now()) < due:
            return Recovered(instance_uuid, changed=False, what=f"not due before {due:%Y-%m-%d %H:%M:%S} UTC")
    if migration is not None and not deleting:
        try:
            yield from _live_migration(instance, migration, options, give_up=give_up)
        except StaleState:
            # The task is another's: its flow has to end that, the migration is what was to be ended here.
            if instance.task_state is TaskState.MIGRATING:
                raise
        migration = yield Load(Migration, migration.uuid)
        return Recovered(instance_uuid, changed=True, what=f"its live migration is {migration.status}")
    if instance.vm_state is VMState.BUILDING and not deleting:
        return (yield from _build(instance, row))
    if silent is not None and row.way is Way.ON and not deleting:
        row = evolve(row, way=Way.ERROR, reason=f"its host is silent: {silent}")
    return (yield from _task(instance, row, power))


def _power(instance: Instance) -> Flow[tuple[PowerState, DriverError | None]]:
    """What the hypervisor says of the guest, NOSTATE where it has none; the record's word and the error if it is silent."""
    if instance.host is None:
        return PowerState.NOSTATE, None
    found = yield from look(instance.host, instance.uuid)
    if isinstance(found, DriverError):
        return instance.power_state, found
    return PowerState.NOSTATE if found is None else found.power_state, None


def _live_migration(
    instance: Instance, migration: Migration, given: LiveMigrationOptions | None, *, give_up: bool
) -> Flow[Migration]:
    source, dest = migration.source_compute or instance.host or "", migration.dest_compute
    options, data = of_json((yield Recall(kept(migration.uuid))).get("options"))
    options = given or options
    for allocation in (yield Find(Allocation, {"consumer": instance.uuid})):
        # A claim on a destination that the record does not name yet: that host had been asked, no more.
        if allocation.host not in {source, dest}:
            yield from tell(allocation.host, "rollback_live_migration_at_destination", instance, data)
            yield Release(allocation.host, instance.uuid)
    if migration.status not in _STARTED or dest is None:
        if dest is not None:
            yield from tell(dest, "rollback_live_migration_at_destination", instance, data)
        return (yield from call_off(instance, migration, dest, MigrationStatus.FAILED, _LOST))
    running = yield from _runs(source, instance.uuid, give_up=give_up)
    if not running:
        # Whoever drove it may have died just after asking for it: a job that begins late must not pass for none.
        yield Wait(LATE)
        running = yield from _runs(source, instance.uuid, give_up=give_up)
    watched = None
    if running and instance.task_state is TaskState.MIGRATING:
        try:
            watched = yield from monitor(instance, migration, source, data, options)
        except GuestNotFound:
            pass  # it has ended meanwhile
        except DriverError:
            if not give_up:
                raise
    if watched is None:
        ended = yield from arrived(migration, source, dest, give_up=give_up)
        watched = Monitored(instance, migration, ended, _LOST)
    if watched.ended is MigrationStatus.COMPLETED:
        return (yield from complete(watched.instance, watched.migration, source, dest, data))
    return (
        yield from roll_back(
            watched.instance, watched.migration, source, dest, data, watched.ended, watched.reason or _LOST
        )
    )


def _runs(source: str, uuid: str, *, give_up: bool) -> Flow[bool]:
    """Whether a job goes on; one that is broken goes on unless that is given up."""
    try:
        stats: JobStats = yield from call(source, "live_migration_job", uuid)
    except DriverError:
        return False
    return stats.type is JobType.UNBOUNDED and not (give_up and stats.broken)


def _build(instance: Instance, row: Recovery) -> Flow[Recovered]:
    """Rule 3. Finished where the row says on; else the guest, the room and the host are given up."""
    before = instance.task_state
    if row.way is Way.ON:
        instance.launched_at = yield Now()
        instance.power_state = PowerState.RUNNING
        VMMachine.spawned(instance)
        TaskMachine.finish(instance)
        yield Save((instance,), {"task_state": (before,)})
        return Recovered(instance.uuid, changed=True, what=f"active: {row.reason}")
    if instance.host:
        yield from call(instance.host, "destroy", instance.uuid)
    for allocation in (yield Find(Allocation, {"consumer": instance.uuid})):
        yield Release(allocation.host, instance.uuid)
    instance.host = instance.node = None
    return (yield from _leave(instance, row))


def _task(instance: Instance, row: Recovery, power: PowerState) -> Flow[Recovered]:
    """A task that stands for itself: driven on where the row says so; else the guest is left as it is."""
    if row.way is not Way.ON:
        return (yield from _leave(instance, row))
    task = instance.task_state
    try:
        instance = yield from drive_deletion(instance) if task is TaskState.DELETING else drive_on(instance, power)
    except DriverError as error:
        left: Instance = yield Load(Instance, instance.uuid)
        if left.task_state:
            raise
        # It failed as the flow itself may fail: its task is undone.
        return Recovered(instance.uuid, changed=True, what=f"{task} has failed, it is {left.vm_state}: {error}")
    return Recovered(instance.uuid, changed=True, what=f"on: {row.reason}")


def _leave(instance: Instance, row: Recovery) -> Flow[Recovered]:
    """Ends the task without its work: back, or to vm_state error."""
    before = instance.task_state
    if row.way is Way.ERROR:
        VMMachine.fail(instance)
    if before:
        TaskMachine.revert(instance)
    yield Save((instance,), {"task_state": (before,)})
    return Recovered(instance.uuid, changed=True, what=f"{row.way.value}: {row.reason}")
