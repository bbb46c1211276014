"""The ends of a live migration, each used by the flow itself and by ``recover`` after a crash.

Rules of this file:

1. The hypervisors are brought into order first, room is given back next, and the records are saved last, in one commit. A
   crash in between leaves an unstable record, which ``recover`` finds, and every step may be made again.
2. A step of tidying on a host that does not answer does not hold the end up; what it leaves is for that host's own
   clean-up.
3. If another has taken the instance over meanwhile, the facts (host, power state, the migration's end) are recorded all
   the same, the task stays the other's, and StaleState says who won.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from novastate.drivers import GuestInfo
from novastate.errors import DriverError, StaleState
from novastate.flows.effects import Flow, Notify, Release
from novastate.flows.steps import amend, look, tell
from novastate.machines import (
    LiveMigrationMachine,
    MigrationStatus,
    MigrationType,
    PowerState,
    Seen,
    TaskMachine,
    TaskState,
    VMMachine,
    VMState,
    Way,
    recovery,
)
from novastate.objects import Instance, LibvirtLiveMigrateData, Migration

__all__ = ["arrived", "call_off", "complete", "roll_back"]

#: The trigger that leads to each end.
_END: dict[MigrationStatus, Callable[[Any], object]] = {
    MigrationStatus.COMPLETED: LiveMigrationMachine.complete,
    MigrationStatus.FAILED: LiveMigrationMachine.fail,
    MigrationStatus.CANCELLED: LiveMigrationMachine.cancel,
    MigrationStatus.ERROR: LiveMigrationMachine.error,
}


#: What each way out of :data:`novastate.machines.RECOVERIES` makes of a live migration.
_BY_WAY = {
    Way.ON: MigrationStatus.COMPLETED,
    Way.BACK: MigrationStatus.FAILED,
    Way.ERROR: MigrationStatus.ERROR,
}


def arrived(migration: Migration, source: str, dest: str, *, give_up: bool = False) -> Flow[MigrationStatus]:
    """How a migration whose job cannot be asked any more has ended, by where the guest is found (see :class:`Seen`).

    The job, if there still is one, is told to abort first, so that the answer stays true.
    Raises DriverError while the answer hangs on a host that is silent, unless *give_up*: then it is error.
    """
    yield from tell(source, "live_migration_abort", migration.instance_uuid)
    seen, silence = yield from _seen(str(migration.instance_uuid), source, dest)
    if silence is not None and not give_up:
        raise silence
    row = recovery(
        VMState.ACTIVE,
        TaskState.MIGRATING,
        PowerState.RUNNING,
        migration.status,
        kind=MigrationType.LIVE_MIGRATION,
    )
    assert row is not None, "a live migration that has started is not stable"
    return _BY_WAY[row.seen[seen]]


def _seen(uuid: str, source: str, dest: str) -> Flow[tuple[Seen, DriverError | None]]:
    """Where the guest is; with UNKNOWN the error of the host that is silent."""
    here, there = (yield from _look(uuid, source)), (yield from _look(uuid, dest))
    if here is PowerState.RUNNING:
        return Seen.SOURCE, None
    if isinstance(here, _Half):
        return Seen.UNKNOWN, here  # it runs at the destination, which lacks half of it
    if there is PowerState.RUNNING:
        return Seen.DESTINATION, None
    for answer in (here, there):
        # A source that is paused or off may be what a migration left behind.
        if isinstance(answer, DriverError):
            return Seen.UNKNOWN, answer
    if here is not None:
        return Seen.SOURCE, None
    return (Seen.NEITHER if there is None else Seen.DESTINATION), None


class _Half(DriverError):
    """Post-copy has handed the vCPUs over and has not ended: the guest's memory is on two hosts."""


def _look(uuid: str, host: str) -> Flow[PowerState | DriverError | None]:
    """The guest's power state on *host*, None if it is not there (or only on its way), the error if the host cannot tell."""
    found = yield from look(host, uuid)
    if not isinstance(found, GuestInfo):
        return found
    if found.outgoing:
        return _Half(f"guest {uuid}: post-copy has not ended, half of its memory is here", host=host)
    return None if found.incoming else found.power_state


def complete(
    instance: Instance, migration: Migration, source: str, dest: str, data: LibvirtLiveMigrateData
) -> Flow[Migration]:
    """The guest runs on *dest*: makes it at home there, clears the source, hands the claim over, records it."""
    for host, method in (
        (dest, "post_live_migration_at_destination"),
        (source, "post_live_migration_at_source"),
    ):
        yield from _tidy(migration, host, method, instance, data)
    power = yield from _look(instance.uuid, dest)
    yield Release(source, instance.uuid)

    def facts(server: Instance) -> None:
        server.host = server.node = dest
        server.progress = 0
        if isinstance(power, PowerState):
            server.power_state = power

    return (yield from _finish(instance, migration, facts, MigrationStatus.COMPLETED, ""))


def roll_back(
    instance: Instance,
    migration: Migration,
    source: str,
    dest: str | None,
    data: LibvirtLiveMigrateData,
    end: MigrationStatus,
    reason: str,
) -> Flow[Migration]:
    """The guest stays on *source*: clears the destination, lets the guest run on, gives the claim back, records *end*.

    If it has started at the destination meanwhile, it has arrived, and that is recorded. With *end* error the guest is lost or cannot go
    on, and the instance goes to vm_state error: then nothing is destroyed, for what is left, on either host, may be all that there is
    (the half of a memory, the newer copy of a disk); and a host that is silent, or not alone in having it, keeps its claim.
    """
    lost = end is MigrationStatus.ERROR
    if dest is not None and not lost:
        yield from _tidy(migration, dest, "rollback_live_migration_at_destination", instance, data)
        if (yield from _look(instance.uuid, dest)) is PowerState.RUNNING:
            return (yield from complete(instance, migration, source, dest, data))
    if not lost:
        yield from _tidy(migration, source, "rollback_live_migration_at_source", instance, data)
    power = yield from _look(instance.uuid, source)
    unsure = lost and (
        isinstance(power, DriverError)
        or (dest is not None and isinstance((yield from _look(instance.uuid, dest)), DriverError))
    )
    if dest is not None and not unsure:
        yield Release(dest, instance.uuid)

    def facts(server: Instance) -> None:
        server.progress = 0
        if isinstance(power, PowerState):
            server.power_state = power
        if lost:
            VMMachine.fail(server)

    return (yield from _finish(instance, migration, facts, end, reason))


def call_off(
    instance: Instance, migration: Migration, dest: str | None, end: MigrationStatus, reason: str
) -> Flow[Migration]:
    """Ends a migration whose job never began: gives the claim on *dest* back and records *end*."""
    if dest is not None:
        yield Release(dest, instance.uuid)
    return (yield from _finish(instance, migration, lambda _: None, end, reason))


def _tidy(migration: Migration, host: str, method: str, instance: Instance, data: LibvirtLiveMigrateData) -> Flow[None]:
    told = yield from tell(host, method, instance, data)
    if not told.ok:
        yield Notify(
            "live_migration.untidy",
            {"migration": migration.uuid, "host": host, "step": method, "reason": str(told.error)},
        )


def _finish(
    instance: Instance, migration: Migration, facts: Callable[[Instance], None], end: MigrationStatus, reason: str
) -> Flow[Migration]:
    def change(server: Instance, record: Migration) -> None:
        facts(server)
        TaskMachine.finish(server)
        _END[end](record)

    def change_facts(server: Instance, record: Migration) -> None:
        facts(server)
        if record.status not in _END:
            _END[end](record)

    try:
        _, migration = yield from amend(instance, migration, change, task=TaskState.MIGRATING)
    except StaleState:
        yield from amend(instance, migration, change_facts, task=None)
        raise
    yield Notify("live_migration.end", {"migration": migration.uuid, "status": str(migration.status), "reason": reason})
    return migration
