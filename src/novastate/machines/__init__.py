"""Explicit state machines after Nova's meaning: vm_state, task_state, power_state, migration status."""

from novastate.machines.actions import ACTIONS, Action, ActionRule, Begun, Guarded, begin, check
from novastate.machines.deviations import DEVIATIONS, Deviation
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
    "LIBVIRT_POWER_STATES",
    "LIFECYCLE_POWER_STATES",
    "MIGRATION_MACHINES",
    "POWER_SYNC",
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
    "LiveMigrationMachine",
    "Machine",
    "MigrationStatus",
    "MigrationType",
    "PowerMachine",
    "PowerState",
    "PowerSyncAction",
    "ResizeMachine",
    "Row",
    "State",
    "TaskMachine",
    "TaskState",
    "Trigger",
    "VMMachine",
    "VMState",
    "begin",
    "check",
    "check_storage",
    "from_libvirt",
    "on_event",
    "server_status",
    "sync_power",
]
