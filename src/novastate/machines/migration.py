"""Migration status: how far a move of an instance has come, one machine for each type of migration."""

from __future__ import annotations

from novastate.machines.table import State

__all__ = ["MigrationStatus", "MigrationType"]


class MigrationType(State):
    """The four values of Nova's ``Migration.migration_type``."""

    MIGRATION = "migration"
    RESIZE = "resize"
    LIVE_MIGRATION = "live-migration"
    EVACUATION = "evacuation"


class MigrationStatus(State):
    """The eighteen values of Nova's ``Migration.status``."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    RUNNING_POST_COPY = "running (post-copy)"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    ERROR = "error"
    PRE_MIGRATING = "pre-migrating"
    MIGRATING = "migrating"
    POST_MIGRATING = "post-migrating"
    FINISHED = "finished"
    CONFIRMING = "confirming"
    CONFIRMED = "confirmed"
    REVERTING = "reverting"
    REVERTED = "reverted"
    DONE = "done"
