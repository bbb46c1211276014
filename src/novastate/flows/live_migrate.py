"""Live migration: a guest moves to another host while it runs.

Rules of this flow:

1. Refused before anything is recorded: the action's guard, a destination that is unknown or is the source.
2. Task MIGRATING and the migration record come into being in one commit. From then on only this flow, or ``recover`` after
   it, ends them; whoever else changed the task has won, and this flow undoes its work and says so.
3. The destination's room is claimed before it is asked anything. A failed attempt gives it back before the next is
   made.
4. Before the destination prepares anything the guest is measured and a forecast is made, told and kept (in the document
   :func:`kept`), with the options that ``recover`` goes on with, and at the end the statistics, beside it. That nothing can be
   forecast keeps nothing from moving.
5. The host in the record changes in the same commit in which the migration becomes completed and the task idle. Room is given
   back before that commit: after it, nothing is left to do.
6. The hypervisor's word decides where the guest is. When the job's end is in doubt, both hosts are asked.

Statuses: accepted → queued → preparing → running (→ running (post-copy)) → completed | failed | cancelled | error.

Order and meaning follow Nova (``conductor/tasks/live_migrate.py``, ``compute/manager.py``, ``virt/libvirt/driver.py``); where
Nova's own order leaves something stuck, the difference is a line of ``docs/gotchas.md`` (G2, G10 to G20, G41).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import attrs

from novastate.drivers import DiskInfo, HostState, LiveMigrationSource
from novastate.errors import (
    ActionNotAllowed,
    ClaimFailed,
    DriverError,
    InstanceNotReady,
    InvalidField,
    MaxRetriesExceeded,
    MigrationPreCheckError,
    NotFound,
    NoValidHost,
    StaleState,
    UnableToMigrateToSelf,
)
from novastate.flows.effects import Claim, Flow, Load, Note, Notify, Release, Save, Schedule, Wait
from novastate.flows.forecast import expectation, request_of
from novastate.flows.live_migration_end import arrived, call_off, complete, roll_back
from novastate.flows.live_migration_monitor import ABORT, Monitored, inbox, kept, monitor
from novastate.flows.live_migration_options import LiveMigrationOptions, as_json
from novastate.flows.steps import amend, call, named, tell
from novastate.machines import (
    Action,
    LiveMigrationMachine,
    MigrationStatus,
    MigrationType,
    PowerState,
    TaskState,
    VMState,
    begin,
)
from novastate.objects import ComputeNode, Instance, LibvirtLiveMigrateData, Migration, RequestSpec

if TYPE_CHECKING:
    from novastate.convergence import Forecast

__all__ = ["LiveMigrationOptions", "live_migrate"]

#: What a destination may answer so that the next one is asked.
_NEXT_PLEASE = (MigrationPreCheckError, ClaimFailed, DriverError, NotFound)


def live_migrate(
    instance_uuid: str,
    host: str | None = None,
    *,
    block_migration: bool | Literal["auto"] | None = None,
    options: LiveMigrationOptions | None = None,
    admin: bool = False,
    migration_uuid: str | None = None,
) -> Flow[Migration]:
    """Moves the running guest of an instance to *host*, or to the best host where None.

    *block_migration*: copy local disks (True), require shared storage (False), find out (None or "auto"). *admin* passes the lock.
    The result is the migration in its final status: completed, failed or cancelled.

    Raises, with nothing recorded: InvalidField, ActionNotAllowed, InstanceLocked, InstanceNotReady, UnableToMigrateToSelf, NotFound.
    Raises, with the migration failed and the instance as before: NoValidHost, MaxRetriesExceeded, MigrationPreCheckError
    (InvalidLocalStorage, InvalidSharedStorage), ClaimFailed, DriverError. Raises StaleState if another took the instance over.
    """
    if block_migration == "auto":
        block_migration = None
    if block_migration is not None and type(block_migration) is not bool:
        raise InvalidField(
            "block_migration", block_migration, "is neither yes nor no", ("True", "False", "None", "auto")
        )
    return _live_migrate(
        instance_uuid, host, block_migration, options or LiveMigrationOptions(), admin, migration_uuid or str(uuid4())
    )


def _live_migrate(
    instance_uuid: str,
    host: str | None,
    block_migration: bool | None,
    options: LiveMigrationOptions,
    admin: bool,
    migration_uuid: str,
) -> Flow[Migration]:
    instance: Instance = yield Load(Instance, instance_uuid)
    spec = yield from request_of(instance_uuid)
    begun = begin(Action.LIVE_MIGRATE, instance, admin=admin)
    if host is not None:
        if host == instance.host:
            raise UnableToMigrateToSelf(instance_uuid, host)
        yield Load(ComputeNode, host)
    source = instance.host
    if source is None:
        raise InstanceNotReady(Action.LIVE_MIGRATE, instance_uuid, "host")
    if instance.vm_state is VMState.PAUSED or instance.power_state is PowerState.PAUSED:
        # A paused guest cannot switch to post-copy; the monitor is told the same (G17, G39).
        options = attrs.evolve(options, params=attrs.evolve(options.params, post_copy=False))
    migration = Migration(
        uuid=migration_uuid,
        instance_uuid=instance_uuid,
        migration_type=MigrationType.LIVE_MIGRATION,
        status=MigrationStatus.ACCEPTED,
        source_compute=source,
        source_node=instance.node or source,
        dest_compute=host,
        project_id=instance.project_id or None,
        user_id=instance.user_id or None,
    )
    yield Save((instance, migration), {"task_state": begun.expects})
    yield Notify("live_migration.start", {"instance": instance_uuid, "migration": migration_uuid, "source": source})

    try:
        dest, data, disks = yield from _choose(instance, migration, spec, source, host, block_migration, options)
    except Exception as error:  # whatever it is, the records must not be left half-done
        yield from call_off(instance, migration, None, MigrationStatus.FAILED, named(error))
        raise

    instance, migration, data, expected = yield from _prepare(instance, migration, source, dest, data, disks, options)
    if migration.status is not MigrationStatus.RUNNING:
        return migration
    return (yield from _move(instance, migration, source, dest, data, options, expected))


def _prepare(
    instance: Instance,
    migration: Migration,
    source: str,
    dest: str,
    data: LibvirtLiveMigrateData,
    disks: tuple[DiskInfo, ...],
    options: LiveMigrationOptions,
) -> Flow[tuple[Instance, Migration, LibvirtLiveMigrateData, Forecast | None]]:
    """From accepted to running, with the forecast and the destination's preparations; cancelled if a user aborts it meanwhile."""

    def aborted() -> Flow[bool]:
        return bool((yield Wait(0, inbox(migration.uuid))) == ABORT)

    def cancel(reason: str) -> Flow[tuple[Instance, Migration, LibvirtLiveMigrateData, Forecast | None]]:
        ended = yield from call_off(instance, migration, dest, MigrationStatus.CANCELLED, reason)
        return instance, ended, data, None

    def queue(_: Instance, record: Migration) -> None:
        record.dest_compute = record.dest_node = dest
        LiveMigrationMachine.queue(record)

    def prepare(_: Instance, record: Migration) -> None:
        LiveMigrationMachine.prepare(record)

    def run(_: Instance, record: Migration) -> None:
        LiveMigrationMachine.run(record)

    try:
        instance, migration = yield from amend(instance, migration, queue, task=TaskState.MIGRATING)
        expected = yield from _forecast(instance, migration, source, dest, data, disks, options)
        if (yield from aborted()):
            return (yield from cancel("aborted while queued"))
        instance, migration = yield from amend(instance, migration, prepare, task=TaskState.MIGRATING)
        try:
            data = yield from call(dest, "pre_live_migration", instance, data, disks)
        except Exception as error:
            told = yield from tell(dest, "rollback_live_migration_at_destination", instance, data)
            # Failed: nothing of it is left. Error: something may be.
            end = MigrationStatus.FAILED if told.ok else MigrationStatus.ERROR
            yield from call_off(instance, migration, dest, end, named(error))
            raise
        if (yield from aborted()):
            yield from tell(dest, "rollback_live_migration_at_destination", instance, data)
            return (yield from cancel("aborted while preparing"))
        instance, migration = yield from amend(instance, migration, run, task=TaskState.MIGRATING)
    except StaleState:
        # Another has taken the instance over before the job began: it stays theirs, our work is undone.
        yield from tell(dest, "rollback_live_migration_at_destination", instance, data)
        yield from call_off(instance, migration, dest, MigrationStatus.FAILED, "the instance was taken over")
        raise

    return instance, migration, data, expected


def _forecast(
    instance: Instance,
    migration: Migration,
    source: str,
    dest: str,
    data: LibvirtLiveMigrateData,
    disks: tuple[DiskInfo, ...],
    options: LiveMigrationOptions,
) -> Flow[Forecast | None]:
    """Rule 4. The disks are copied before memory: what that takes at the link's speed is told beside the forecast."""
    disks = disks if data.block_migration is True else ()
    facts: dict[str, Any] = {"destination": dest, "disk_bytes": sum(disk.allocated for disk in disks)}
    expected: Forecast | None = None
    try:
        expected, disk_s = yield from expectation(instance, source, dest, disks, options)
    except Exception as error:  # noqa: BLE001  (whatever it is, the guest moves all the same)
        facts |= {"forecast": None, "reason": named(error)}
    else:
        facts |= {"forecast": expected.as_json(), "disk_s": disk_s}
    yield Note(kept(migration.uuid), {"forecast": facts, "options": as_json(options, data)})
    yield Notify(
        "live_migration.forecast",
        {**facts, "instance": instance.uuid, "migration": migration.uuid, "forecast": expected},
    )
    return expected


def _move(
    instance: Instance,
    migration: Migration,
    source: str,
    dest: str,
    data: LibvirtLiveMigrateData,
    options: LiveMigrationOptions,
    expected: Forecast | None,
) -> Flow[Migration]:
    """Starts the job, watches it, and ends the migration as the hypervisor says."""
    failure: Exception | None = None
    try:
        yield from call(source, "live_migration", instance, dest, data, options.params)
        watched = yield from monitor(instance, migration, source, data, options, expected)
    except Exception as error:  # noqa: BLE001  (whatever it is, the hypervisors are asked how it has ended, and the records say so)
        failure = error
        watched = Monitored(instance, migration, (yield from arrived(migration, source, dest)), named(error))
    instance, migration = watched.instance, watched.migration
    if watched.ended is MigrationStatus.COMPLETED:
        migration = yield from complete(instance, migration, source, dest, data)
    else:
        migration = yield from roll_back(instance, migration, source, dest, data, watched.ended, watched.reason)
    if failure is not None and not isinstance(failure, DriverError):
        raise failure
    return migration


def _choose(
    instance: Instance,
    migration: Migration,
    spec: RequestSpec,
    source: str,
    host: str | None,
    block_migration: bool | None,
    options: LiveMigrationOptions,
) -> Flow[tuple[str, LibvirtLiveMigrateData, tuple[DiskInfo, ...]]]:
    """The destination, with its room claimed and its checks passed; and the guest's local disks."""
    reasons: dict[str, str] = {}
    while True:
        if host is not None:
            dest = host
        else:
            try:
                dest = (yield Schedule(spec, frozenset({source, *reasons})))[0]
            except NoValidHost as error:
                raise NoValidHost({**error.reasons, **reasons}) from error
        try:
            return dest, *(yield from _check(instance, spec, source, dest, block_migration))
        except Exception as error:
            yield Release(dest, instance.uuid)
            if host is not None or not isinstance(error, _NEXT_PLEASE):
                raise
            reasons[dest] = str(error)
            yield Notify("live_migration.refused", {"migration": migration.uuid, "host": dest, "reason": str(error)})
            if 0 <= options.max_retries < len(reasons):
                raise MaxRetriesExceeded(reasons, "too many destinations refused") from error


def _check(
    instance: Instance, spec: RequestSpec, source: str, dest: str, block_migration: bool | None
) -> Flow[tuple[LibvirtLiveMigrateData, tuple[DiskInfo, ...]]]:
    """Claims the room and makes every check before a migration, source and destination."""
    power = (yield from call(source, "get_info", instance.uuid)).power_state
    if power not in {PowerState.RUNNING, PowerState.PAUSED}:
        raise ActionNotAllowed(Action.LIVE_MIGRATE, "power_state", power, (PowerState.RUNNING, PowerState.PAUSED))
    told: LiveMigrationSource = yield from call(source, "live_migration_source", instance.uuid)
    here = told.host
    there: HostState = yield from call(dest, "host_state")
    if there.hypervisor_type != here.hypervisor_type:
        raise MigrationPreCheckError(f"{dest} runs {there.hypervisor_type}, {source} runs {here.hypervisor_type}")
    if there.hypervisor_version < here.hypervisor_version:
        raise MigrationPreCheckError(
            f"the hypervisor of {dest} ({there.hypervisor_version}) is older than that of {source} ({here.hypervisor_version})"
        )
    yield Claim(dest, instance.uuid, spec)
    data = yield from call(dest, "check_can_live_migrate_destination", instance, told, block_migration=block_migration)
    try:
        completed: LibvirtLiveMigrateData = yield from call(source, "check_can_live_migrate_source", instance, data)
    except Exception:
        yield from tell(dest, "cleanup_live_migration_destination_check", data)
        raise
    yield from tell(dest, "cleanup_live_migration_destination_check", data)
    return completed, told.disks
