"""A direct assignment of a state is a row of the table, or is refused; and a checked trigger moves the object."""

from __future__ import annotations

import pytest

from novastate.errors import IllegalTransition, InvalidField, UnknownName
from novastate.machines import (
    MIGRATION_MACHINES,
    MigrationStatus,
    MigrationType,
    PowerMachine,
    PowerState,
    TaskMachine,
    TaskState,
    VMMachine,
    VMState,
)
from novastate.objects import UNSET, Instance, evolve, nova
from object_records import instance, migration

HELD = [(VMMachine, VMState), (TaskMachine, TaskState)]
MACHINES = [*HELD, (PowerMachine, PowerState)]


@pytest.mark.parametrize(("machine", "states"), HELD)
def test_an_instance_may_be_assigned_exactly_the_edges(machine, states):
    for old in states:
        for new in states:
            server = instance(**{machine.field: old})
            before = evolve(server)
            if new is old or new in machine.edges[old]:
                setattr(server, machine.field, new)
                assert getattr(server, machine.field) is new
            else:
                with pytest.raises(IllegalTransition):
                    setattr(server, machine.field, new)
                assert server == before


def test_the_power_of_an_instance_is_an_observation_and_never_refused():
    for old in PowerState:
        for new in PowerState:
            server = instance(power_state=old)
            server.power_state = new.value
            assert server.power_state is new


@pytest.mark.parametrize("kind", MigrationType)
def test_a_migration_may_be_assigned_exactly_the_edges_of_its_type(kind):
    machine = MIGRATION_MACHINES[kind]
    for old in MigrationStatus:
        for new in MigrationStatus:
            move = migration(migration_type=kind, status=old)
            before = evolve(move)
            if new is old or new in machine.edges[old]:
                move.status = new
                assert move.status is new
            else:
                with pytest.raises(IllegalTransition):
                    move.status = new
                assert move == before


@pytest.mark.parametrize(("machine", "states"), MACHINES)
def test_every_trigger_moves_an_instance_or_changes_nothing(machine, states):
    for name, fire in machine.triggers.items():
        for old in states:
            server = instance(**{machine.field: old})
            before = evolve(server)
            if old in fire.rows:
                assert machine.trigger(name)(server) is fire.rows[old]
                assert getattr(server, machine.field) is fire.rows[old]
            else:
                with pytest.raises(IllegalTransition):
                    machine.trigger(name)(server)
                assert server == before


def test_a_value_is_converted_before_the_machine_is_asked():
    server = instance(vm_state=VMState.ACTIVE)
    server.vm_state = "paused"
    assert server.vm_state is VMState.PAUSED
    server.task_state = None
    assert server.task_state is TaskState.IDLE


def test_a_state_that_was_never_loaded_may_become_an_initial_one():
    server = instance(vm_state=UNSET)
    with pytest.raises(IllegalTransition):
        server.vm_state = VMState.ACTIVE
    server.vm_state = VMState.BUILDING
    assert server.vm_state is VMState.BUILDING


def test_the_type_of_a_migration_is_fixed():
    move = migration()
    move.migration_type = "live-migration"
    with pytest.raises(InvalidField, match="is fixed"):
        move.migration_type = MigrationType.RESIZE
    assert move.migration_type is MigrationType.LIVE_MIGRATION


def test_a_status_cannot_move_before_the_type_is_known():
    move = migration(migration_type=UNSET)
    with pytest.raises(InvalidField, match="machine is known"):
        move.status = MigrationStatus.QUEUED


def test_other_fields_are_converted_on_assignment():
    server = instance()
    server.metadata = {"role": "web"}
    with pytest.raises(TypeError, match="frozen"):
        server.metadata["role"] = "db"
    assert server.metadata == {"role": "web"}


def test_a_trigger_on_a_state_that_was_never_loaded_says_so_and_guesses_nothing():
    part = nova.load(
        {
            "nova_object.name": "Instance",
            "nova_object.namespace": "nova",
            "nova_object.version": "2.8",
            "nova_object.data": {"host": "cmp-a"},
        },
        Instance,
    )
    for trigger, name in (
        (VMMachine.pause, "VMState"),
        (TaskMachine.pause, "TaskState"),
        (PowerMachine.pause, "PowerState"),
    ):
        with pytest.raises(UnknownName, match=f"^UNSET is no {name}; known: ") as caught:
            trigger(part)
        assert caught.value.near == ()
    assert (part.vm_state, part.task_state, part.power_state) == (UNSET, UNSET, UNSET)
