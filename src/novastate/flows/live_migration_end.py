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

from novastate.errors import DriverError, GuestNotFound, StaleState
from novastate.flows.effects import Flow, Notify, Release
from novastate.flows.steps import amend, call, tell
from novastate.machines import (
    LiveMigrationMachine,
    MigrationStatus,
    PowerState,
    TaskMachine,
    TaskState,
    VMMachine,
)
from novastate.objects import Instance, LibvirtLiveMigrateData, Migration

__all__ = ["arrived", "complete", "give_up", "roll_back"]

#: The trigger that leads to each end.
_END: dict[MigrationStatus, Callable[[Any], object]] = {
    MigrationStatus.COMPLETED: LiveMigrationMachine.complete,
    MigrationStatus.FAILED: LiveMigrationMachine.fail,
    MigrationStatus.CANCELLED: LiveMigrationMachine.cancel,
    MigrationStatus.ERROR: LiveMigrationMachine.error,
}


def arrived(uuid: str, source: str, dest: str) -> Flow[MigrationStatus]:
    """How a migration whose job cannot be asked any more has ended, by where the guest is found.

    The job, if there still is one, is told to abort first, so that the answer stays true. Running on the source: failed. Running
    on the destination, or paused there and gone from the source: completed. On neither: error, the guest is lost.
    Raises DriverError while the answer hangs on a host that is silent.
    """
    aborted = yield from tell(source, "live_migration_abort", uuid)
    here, there = (yield from _look(uuid, source)), (yield from _look(uuid, dest))
    if here is PowerState.RUNNING:
        return MigrationStatus.FAILED
    if there is PowerState.RUNNING:
        return MigrationStatus.COMPLETED
    if isinstance(here, DriverError):
        raise aborted.error or here
    if here is not None:
        return MigrationStatus.FAILED
    if isinstance(there, DriverError):
        raise there
    return MigrationStatus.ERROR if there is None else MigrationStatus.COMPLETED


def _look(uuid: str, host: str) -> Flow[PowerState | DriverError | None]:
    """The guest's power state on *host*, None if it is not there, the error if the host is silent."""
    try:
        power: PowerState = (yield from call(host, "get_info", uuid)).power_state
    except GuestNotFound:
        return None
    except DriverError as error:
        return error
    return power


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

    With *end* error the guest is lost, and the instance goes to vm_state error.
    """
    if dest is not None:
        yield from _tidy(migration, dest, "rollback_live_migration_at_destination", instance, data)
    yield from _tidy(migration, source, "rollback_live_migration_at_source", instance, data)
    power = yield from _look(instance.uuid, source)
    if dest is not None:
        yield Release(dest, instance.uuid)

    def facts(server: Instance) -> None:
        server.progress = 0
        if isinstance(power, PowerState):
            server.power_state = power
        if end is MigrationStatus.ERROR:
            VMMachine.fail(server)

    return (yield from _finish(instance, migration, facts, end, reason))


def give_up(
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
