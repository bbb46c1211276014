"""Migration status: how far a move of an instance has come, one machine for each type of migration.

Rules of this file:

1. A final status is final: nothing leaves ``completed``, ``cancelled``, ``failed``, ``confirmed`` or
   ``reverted``. Nova overwrites each of them by ``error`` when something fails late (gotchas G5, G8, G20,
   G41); here a status becomes final only when nothing is left that could fail.
2. ``failed`` is the end of a move that left nothing behind. ``error`` is at rest but not final: something of the
   move may be left, and the only thing that can still happen is that somebody cleans up. Then it is ``failed``.
3. One cause, one write: a live migration or an evacuation that fails, also before its transfer (no host found, a
   check or the preparation failed), and is rolled back goes to ``failed`` at once (in Nova through ``error``, G20).
4. A source host that comes back may clean up after an evacuation only when it is ``done`` (in Nova also when
   it was merely accepted, and then it destroys the only copy: G22).

Theory. A machine per type, over one enum, because the types share names and not much else; a status that a
type never has is in no row of its machine. Cold migration and resize are one machine under two names.
The rows are those of Nova (nova/conductor/manager.py, nova/compute/manager.py,
nova/virt/libvirt/migration.py, nova/compute/resource_tracker.py); each difference is a row of
:data:`novastate.machines.DEVIATIONS`.

`AT_REST` are the statuses that no flow is working on: final, in error, or waiting for somebody (``finished``
for the user's confirm or revert, ``done`` for the old host's return).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from novastate.machines.table import Machine, State, Trigger

__all__ = [
    "AT_REST",
    "MIGRATION_MACHINES",
    "ColdMigrationMachine",
    "EvacuationMachine",
    "LiveMigrationMachine",
    "MigrationStatus",
    "MigrationType",
    "ResizeMachine",
]


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


_LIVE = frozenset(
    {
        MigrationStatus.ACCEPTED,
        MigrationStatus.QUEUED,
        MigrationStatus.PREPARING,
        MigrationStatus.RUNNING,
        MigrationStatus.RUNNING_POST_COPY,
    }
)
_TRANSFER = frozenset({MigrationStatus.RUNNING, MigrationStatus.RUNNING_POST_COPY})
_COLD = frozenset(
    {
        MigrationStatus.PRE_MIGRATING,
        MigrationStatus.MIGRATING,
        MigrationStatus.POST_MIGRATING,
        MigrationStatus.FINISHED,
        MigrationStatus.CONFIRMING,
        MigrationStatus.REVERTING,
    }
)
_EVACUATION = frozenset({MigrationStatus.ACCEPTED, MigrationStatus.PRE_MIGRATING})


class LiveMigrationMachine(Machine[MigrationStatus], field="status", initial={MigrationStatus.ACCEPTED}):
    """Live migration: the guest moves while it runs.

    >>> LiveMigrationMachine.allowed(MigrationStatus.QUEUED)
    ('prepare', 'cancel', 'fail', 'error')
    """

    queue = Trigger({MigrationStatus.ACCEPTED: MigrationStatus.QUEUED}, "The source host has it in its queue.")
    prepare = Trigger({MigrationStatus.QUEUED: MigrationStatus.PREPARING}, "The destination gets ready.")
    run = Trigger({MigrationStatus.PREPARING: MigrationStatus.RUNNING}, "The hypervisor transfers memory.")
    post_copy = Trigger(
        {MigrationStatus.RUNNING: MigrationStatus.RUNNING_POST_COPY},
        "The guest runs on the destination and fetches the rest of its memory; there is no way back.",
    )
    complete = Trigger({_TRANSFER: MigrationStatus.COMPLETED}, "It runs on the destination; nothing is left to do.")
    cancel = Trigger(
        {frozenset(_LIVE - {MigrationStatus.ACCEPTED}): MigrationStatus.CANCELLED},
        "Aborted by request, and rolled back; from post-copy only if the hypervisor says so.",
    )
    fail = Trigger({_LIVE: MigrationStatus.FAILED}, "It failed and has been rolled back: nothing of it is left.")
    error = Trigger({_LIVE: MigrationStatus.ERROR}, "It failed, and something of it may be left.")
    clean_up = Trigger({MigrationStatus.ERROR: MigrationStatus.FAILED}, "What an error left has been cleaned up.")


class ColdMigrationMachine(Machine[MigrationStatus], field="status", initial={MigrationStatus.PRE_MIGRATING}):
    """Cold migration: the guest is off while its disks move; then its owner confirms or reverts."""

    claim = Trigger(
        {MigrationStatus.PRE_MIGRATING: MigrationStatus.PRE_MIGRATING},
        "The destination, or the next one, claims.",
    )
    migrate = Trigger({MigrationStatus.PRE_MIGRATING: MigrationStatus.MIGRATING}, "The source moves the disks.")
    post_migrate = Trigger({MigrationStatus.MIGRATING: MigrationStatus.POST_MIGRATING}, "The disks are moved.")
    finish = Trigger({MigrationStatus.POST_MIGRATING: MigrationStatus.FINISHED}, "It is up; waits for its owner.")
    confirm = Trigger({MigrationStatus.FINISHED: MigrationStatus.CONFIRMING}, "The owner keeps the new side.")
    confirmed = Trigger(
        {frozenset({MigrationStatus.CONFIRMING, MigrationStatus.FINISHED}): MigrationStatus.CONFIRMED},
        "The old side is gone; at once when the instance is deleted.",
    )
    revert = Trigger({MigrationStatus.FINISHED: MigrationStatus.REVERTING}, "The owner wants the old side back.")
    reverted = Trigger({MigrationStatus.REVERTING: MigrationStatus.REVERTED}, "The old side is up again.")
    error = Trigger({_COLD: MigrationStatus.ERROR}, "It failed, and something of it may be left.")
    clean_up = Trigger({MigrationStatus.ERROR: MigrationStatus.FAILED}, "What an error left has been cleaned up.")


class ResizeMachine(ColdMigrationMachine):
    """Resize: a cold migration that changes the flavor."""


class EvacuationMachine(Machine[MigrationStatus], field="status", initial={MigrationStatus.ACCEPTED}):
    """Evacuation: the instance is made anew elsewhere because its host is down."""

    claim = Trigger({MigrationStatus.ACCEPTED: MigrationStatus.PRE_MIGRATING}, "The destination claims.")
    done = Trigger({MigrationStatus.PRE_MIGRATING: MigrationStatus.DONE}, "It runs there; the old host knows nothing.")
    complete = Trigger({MigrationStatus.DONE: MigrationStatus.COMPLETED}, "The old host is back and clean.")
    fail = Trigger({_EVACUATION: MigrationStatus.FAILED}, "It failed, and nothing of it is left.")
    error = Trigger({_EVACUATION: MigrationStatus.ERROR}, "It failed, and something of it may be left.")
    clean_up = Trigger({MigrationStatus.ERROR: MigrationStatus.FAILED}, "What an error left has been cleaned up.")


#: The machine of each type of migration.
MIGRATION_MACHINES: Mapping[MigrationType, type[Machine[MigrationStatus]]] = MappingProxyType(
    {
        MigrationType.MIGRATION: ColdMigrationMachine,
        MigrationType.RESIZE: ResizeMachine,
        MigrationType.LIVE_MIGRATION: LiveMigrationMachine,
        MigrationType.EVACUATION: EvacuationMachine,
    }
)

_WAITING = frozenset({MigrationStatus.ERROR, MigrationStatus.FINISHED, MigrationStatus.DONE})

#: The statuses of each type that no flow is working on: final, in error, or waiting for somebody.
AT_REST: Mapping[MigrationType, frozenset[State]] = MappingProxyType(
    {kind: machine.final | machine.reachable & _WAITING for kind, machine in MIGRATION_MACHINES.items()}
)
