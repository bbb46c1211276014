"""Delete: an instance ends; its guest, its disks and its claims go with it.

Rules of this flow:

1. It may begin over any task, whose flow then finds itself preempted; the compare-and-swap expects the task that the guard saw (G27).
2. Every host that may have something of the guest is told to remove it: the instance's own, those that hold room for it, and
   both sides of a live migration, which ends in error. Disks are deleted, for the owner asked for it (L2).
3. A host that does not answer may still run the guest: the instance goes to error, the claims are kept, and deleting it again
   or ``recover`` goes on.
4. Room is given back before the last commit, in which the instance becomes deleted. Its record stays, marked as deleted, with its
   host and its history.
5. A guest that is gone is forgotten: :func:`forget` does what is left to do, and asks the hosts, but tells them nothing.

Nova: ``compute/api.py: _delete``, ``compute/manager.py: terminate_instance``.
"""

from __future__ import annotations

from collections.abc import Iterable

from novastate.errors import ActionNotAllowed, GuestNotFound, InvalidField, NotSupported, StaleState
from novastate.flows.effects import Find, Flow, Load, Notify, Now, Release, Save
from novastate.flows.requests import active_live_migration
from novastate.flows.steps import RETRIES, call, named, reload, tell, write
from novastate.machines import (
    Action,
    LiveMigrationMachine,
    PowerState,
    TaskMachine,
    TaskState,
    VMMachine,
    VMState,
    begin,
)
from novastate.objects import Allocation, Instance, LibvirtLiveMigrateData

__all__ = ["delete", "drive_deletion", "forget"]


def delete(instance_uuid: str, *, admin: bool = False) -> Flow[Instance]:
    """Removes the guest and its disks from every host, gives its room back, and marks the record as deleted.

    *admin* passes the lock. The result is the instance as saved. Raises, with nothing recorded: NotFound, InstanceLocked,
    ActionNotAllowed if it is deleted already, NotSupported if it waits for a resize to be confirmed, StaleState (lost the race).
    Raises DriverError with the instance in error and its claims kept.
    """
    instance: Instance = yield Load(Instance, instance_uuid)
    begun = begin(Action.DELETE, instance, admin=admin)
    if instance.vm_state is VMState.DELETED:
        alive = [state for state in VMState if state in VMMachine.delete.rows]
        raise ActionNotAllowed(Action.DELETE, "vm_state", instance.vm_state, alive)
    if instance.vm_state is VMState.RESIZED:
        raise NotSupported(f"instance {instance_uuid}: deleting it while a resize waits to be confirmed")
    yield Save((instance,), {"task_state": begun.expects})
    yield Notify("delete.start", {"instance": instance_uuid, "host": instance.host})
    return (yield from drive_deletion(instance))


def drive_deletion(instance: Instance) -> Flow[Instance]:
    """The deletion of an instance that has the task deleting, from its beginning: each step may be made again."""
    uuid = instance.uuid
    try:
        for host in (yield from _hosts(instance)):
            if host != instance.host:
                yield from tell(host, "rollback_live_migration_at_destination", instance, LibvirtLiveMigrateData())
            yield from call(host, "destroy", uuid)
        instance = yield from _end(instance)
    except StaleState:
        raise
    except Exception as error:  # whatever it is, the record must not be left half-done
        instance = yield from reload(instance, [TaskState.DELETING])
        yield from _end_migration(uuid)
        yield from write(instance, _fail)
        yield Notify("delete.error", {"instance": uuid, "reason": named(error)})
        raise
    yield Notify("delete.end", {"instance": uuid})
    return instance


def forget(instance_uuid: str, hosts: Iterable[str]) -> Flow[Instance]:
    """Ends the record of a guest that none of *hosts* has, whatever its task: its room is given back, and it is marked as deleted.

    No host is told anything; one that is not among *hosts* may still have the guest. The result is the instance as saved. Raises, with
    nothing recorded: NotFound, InvalidField if a host has the guest, ActionNotAllowed if it is deleted already, and DriverError.
    Raises StaleState (somebody else works on it); it may be run again.
    """
    instance: Instance = yield Load(Instance, instance_uuid)
    if instance.vm_state is VMState.DELETED:
        alive = [state for state in VMState if state in VMMachine.delete.rows]
        raise ActionNotAllowed(Action.DELETE, "vm_state", instance.vm_state, alive)
    for host in hosts:
        try:
            yield from call(host, "get_info", instance_uuid)
        except GuestNotFound:
            continue
        raise InvalidField("server", instance.display_name or instance_uuid, f"{host} has it: it is not gone")
    instance = yield from _end(instance)
    yield Notify("delete.end", {"instance": instance_uuid})
    return instance


def _end(instance: Instance) -> Flow[Instance]:
    """What is recorded of an instance that has no guest any more. Raises StaleState."""
    uuid = instance.uuid
    yield from _end_migration(uuid)
    for allocation in (yield Find(Allocation, {"consumer": uuid})):
        yield Release(allocation.host, uuid)
    now = yield Now()

    def end(server: Instance) -> None:
        server.power_state = PowerState.NOSTATE
        server.terminated_at = server.deleted_at = now
        server.deleted = True
        VMMachine.delete(server)
        if server.task_state is TaskState.DELETING:
            TaskMachine.finish(server)
        elif server.task_state is not TaskState.IDLE:
            TaskMachine.revert(server)

    return (yield from write(instance, end))


def _fail(server: Instance) -> None:
    VMMachine.fail(server)
    TaskMachine.revert(server)


def _hosts(instance: Instance) -> Flow[list[str]]:
    """Where something of the guest may be, its own host first."""
    migration = yield from active_live_migration(instance.uuid)
    claims: list[Allocation] = yield Find(Allocation, {"consumer": instance.uuid})
    hosts = [instance.host, *(allocation.host for allocation in claims)]
    if migration is not None:
        hosts += [migration.source_compute, migration.dest_compute]
    return [host for host in dict.fromkeys(hosts) if host]


def _end_migration(uuid: str) -> Flow[None]:
    """Nobody moves it any more; a flow that lives and drives the migration may save in between."""
    for attempt in range(1, RETRIES + 1):
        migration = yield from active_live_migration(uuid)
        if migration is None:
            return
        LiveMigrationMachine.error(migration)
        try:
            yield Save((migration,))
        except StaleState:
            if attempt == RETRIES:
                raise
        else:
            return
