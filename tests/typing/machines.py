"""What the type checkers must see, and refuse, of the machines. An ignore that is not needed is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_type

from novastate.machines import (
    ACTIONS,
    MIGRATION_MACHINES,
    Action,
    ActionRule,
    Begun,
    Joint,
    Machine,
    MigrationStatus,
    MigrationType,
    PowerMachine,
    PowerState,
    Recovery,
    State,
    TaskMachine,
    TaskState,
    Trigger,
    VMMachine,
    VMState,
    begin,
    check,
    recovery,
    sync_power,
)


class Server:
    vm_state: VMState = VMState.ACTIVE


# A trigger gives the states of its own machine.
assert_type(VMMachine.pause(Server()), VMState)
assert_type(VMMachine.trigger("pause")(Server()), VMState)
assert_type(VMMachine.state("paused"), VMState)
assert_type(PowerMachine.state(1), PowerState)
assert_type(TaskMachine.check_assignment(None, TaskState.IDLE), TaskState)
assert_type(VMMachine.decode(b""), list[VMState | None])
assert_type(VMMachine.encode([VMState.ACTIVE]), bytes)

# What is not declared is not there.
VMMachine.pasue(Server())  # type: ignore[attr-defined]
# Another machine's state is not taken.
VMMachine.allowed(TaskState.IDLE)  # type: ignore[arg-type]
VMMachine.encode([PowerState.RUNNING])  # type: ignore[list-item]
sync_power(PowerState.RUNNING, PowerState.RUNNING)  # type: ignore[arg-type]

assert_type(ACTIONS, Mapping[Action, ActionRule])
assert_type(MIGRATION_MACHINES[MigrationType.LIVE_MIGRATION], type[Machine[MigrationStatus]])


class DoorState(State):
    OPEN = "open"
    SHUT = "shut"


class Door(Machine[DoorState], field="state", initial={DoorState.SHUT}):
    open = Trigger({DoorState.SHUT: DoorState.OPEN})
    # A row stays within the machine's states.
    jam = Trigger({DoorState.SHUT: VMState.ERROR})  # type: ignore[misc]


assert_type(Door.open(Server()), DoorState)


class Record:
    """What a guard looks at; no class of ours."""

    vm_state: VMState = VMState.ACTIVE
    task_state: TaskState = TaskState.IDLE
    locked: bool = False
    launched_at: str | None = None
    host: str | None = None


assert_type(check("pause", Record()), ActionRule)
assert_type(begin(Action.PAUSE, Record(), admin=True), Begun)
# A server without a task_state, a lock or a host cannot be guarded.
check("pause", Server())  # type: ignore[arg-type]

assert_type(
    recovery(VMState.ACTIVE, TaskState.MIGRATING, PowerState.RUNNING, MigrationStatus.RUNNING),
    Recovery | None,
)
assert_type(Joint(VMState.ACTIVE, TaskState.IDLE, PowerState.RUNNING).status, MigrationStatus | None)
