"""Explicit state machines after Nova's meaning: vm_state, task_state, power_state, migration status."""

from novastate.machines.actions import ACTIONS, Action, ActionRule, Begun, Guarded, begin, check
from novastate.machines.deviations import DEVIATIONS, Deviation
from novastate.machines.joint import INVARIANTS, JOINT, Invariant, JointMachine
from novastate.machines.migration import (
    AT_REST,
    MIGRATION_MACHINES,
    ColdMigrationMachine,
    EvacuationMachine,
    LiveMigrationMachine,
    MigrationStatus,
    MigrationType,
    ResizeMachine,
)
from novastate.machines.moves import Joint, Move, Pattern
from novastate.machines.power import LIBVIRT_POWER_STATES, PowerMachine, PowerState, from_libvirt
from novastate.machines.power_sync import (
    BINDING_STATUSES,
    LIFECYCLE_POWER_STATES,
    POWER_SYNC,
    GuestEvent,
    PowerSyncAction,
    on_event,
    sync_power,
)
from novastate.machines.recoveries import RECOVERIES, Recovery, RecoveryRow, Seen, Way, recovered, recovery
from novastate.machines.status import STATUSES, server_status
from novastate.machines.storage import STORAGE, check_storage
from novastate.machines.table import REFUSED, Fire, Machine, Row, State, Trigger
from novastate.machines.task import TaskMachine, TaskState
from novastate.machines.vm import VMMachine, VMState

__all__ = [
    "ACTIONS",
    "AT_REST",
    "BINDING_STATUSES",
    "DEVIATIONS",
    "INVARIANTS",
    "JOINT",
    "LIBVIRT_POWER_STATES",
    "LIFECYCLE_POWER_STATES",
    "MIGRATION_MACHINES",
    "POWER_SYNC",
    "RECOVERIES",
    "REFUSED",
    "STATUSES",
    "STORAGE",
    "Action",
    "ActionRule",
    "Begun",
    "ColdMigrationMachine",
    "Deviation",
    "EvacuationMachine",
    "Fire",
    "Guarded",
    "GuestEvent",
    "Invariant",
    "Joint",
    "JointMachine",
    "LiveMigrationMachine",
    "Machine",
    "MigrationStatus",
    "MigrationType",
    "Move",
    "Pattern",
    "PowerMachine",
    "PowerState",
    "PowerSyncAction",
    "Recovery",
    "RecoveryRow",
    "ResizeMachine",
    "Row",
    "Seen",
    "State",
    "TaskMachine",
    "TaskState",
    "Trigger",
    "VMMachine",
    "VMState",
    "Way",
    "begin",
    "check",
    "check_storage",
    "from_libvirt",
    "on_event",
    "recovered",
    "recovery",
    "server_status",
    "sync_power",
]
