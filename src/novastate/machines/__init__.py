"""Explicit state machines after Nova's meaning: vm_state, task_state, power_state, migration status."""

from novastate.machines.migration import MigrationStatus, MigrationType
from novastate.machines.power import PowerState
from novastate.machines.table import REFUSED, Fire, Machine, Row, State, Trigger
from novastate.machines.task import TaskState
from novastate.machines.vm import VMState

__all__ = [
    "REFUSED",
    "Fire",
    "Machine",
    "MigrationStatus",
    "MigrationType",
    "PowerState",
    "Row",
    "State",
    "TaskState",
    "Trigger",
    "VMState",
]
