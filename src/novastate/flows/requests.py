"""What a user may ask of a live migration that is under way: to abort it, or to complete it by force.

Rules (``nova/compute/api.py: live_migrate_abort, live_migrate_force_complete``): the task is migrating, the action's guard holds,
and the migration's status allows the request. The request is left for the flow that drives the migration; if nothing drives
it, ``recover`` is what helps.
"""

from __future__ import annotations

from collections.abc import Mapping

from novastate.errors import NoActiveMigration
from novastate.flows.effects import Find, Flow, Load, Send
from novastate.flows.live_migration_monitor import ABORT, FORCE_COMPLETE, inbox
from novastate.machines import Action, MigrationStatus, MigrationType, check
from novastate.objects import Instance, Migration

__all__ = ["abort_live_migration", "active_live_migration", "force_complete_live_migration"]

#: In which statuses a request is taken (microversion 2.65 and later for the abort).
_TAKEN_IN: Mapping[Action, frozenset[MigrationStatus]] = {
    Action.LIVE_MIGRATE_ABORT: frozenset({MigrationStatus.QUEUED, MigrationStatus.PREPARING, MigrationStatus.RUNNING}),
    Action.LIVE_MIGRATE_FORCE_COMPLETE: frozenset({MigrationStatus.RUNNING}),
}

#: The statuses of a live migration that somebody drives, or should.
_IN_PROGRESS = (
    MigrationStatus.RUNNING,
    MigrationStatus.RUNNING_POST_COPY,
    MigrationStatus.PREPARING,
    MigrationStatus.QUEUED,
    MigrationStatus.ACCEPTED,
)


def active_live_migration(instance_uuid: str) -> Flow[Migration | None]:
    """The live migration of the instance that is in progress, or None."""
    for status in _IN_PROGRESS:
        found: list[Migration] = yield Find(Migration, {"instance_uuid": instance_uuid, "status": status})
        for migration in found:
            if migration.migration_type is MigrationType.LIVE_MIGRATION:
                return migration
    return None


def abort_live_migration(instance_uuid: str, *, admin: bool = False) -> Flow[Migration]:
    """Asks the live migration of the instance to abort. Raises ActionNotAllowed, InstanceLocked, NoActiveMigration."""
    return (yield from _request(Action.LIVE_MIGRATE_ABORT, ABORT, instance_uuid, admin=admin))


def force_complete_live_migration(instance_uuid: str, *, admin: bool = False) -> Flow[Migration]:
    """Asks the live migration of the instance to complete now: by post-copy where permitted, else by a pause.

    Raises ActionNotAllowed, InstanceLocked, NoActiveMigration.
    """
    return (yield from _request(Action.LIVE_MIGRATE_FORCE_COMPLETE, FORCE_COMPLETE, instance_uuid, admin=admin))


def _request(action: Action, message: str, instance_uuid: str, *, admin: bool) -> Flow[Migration]:
    instance: Instance = yield Load(Instance, instance_uuid)
    check(action, instance, admin=admin)
    migration = yield from active_live_migration(instance_uuid)
    if migration is None:
        raise NoActiveMigration(instance_uuid, str(action))
    if migration.status not in _TAKEN_IN[action]:
        raise NoActiveMigration(instance_uuid, str(action), migration.status, sorted(map(str, _TAKEN_IN[action])))
    yield Send(inbox(migration.uuid), message)
    return migration
