"""Explicit state machines after Nova's meaning: vm_state, task_state, power_state, migration status."""

from novastate.machines.actions import ACTIONS, Action, ActionRule, Begun, Guarded, begin, check
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
from novastate.machines.table import REFUSED, Fire, Machine, Row, State, Trigger
from novastate.machines.task import TaskMachine, TaskState
from novastate.machines.vm import VMMachine, VMState

__all__ = [
    "ACTIONS",
    "AT_REST",
    "LIBVIRT_POWER_STATES",
    "MIGRATION_MACHINES",
    "REFUSED",
    "Action",
    "ActionRule",
    "Begun",
    "ColdMigrationMachine",
    "EvacuationMachine",
    "Fire",
    "Guarded",
    "LiveMigrationMachine",
    "Machine",
    "MigrationStatus",
    "MigrationType",
    "PowerMachine",
    "PowerState",
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
    "from_libvirt",
]
