"""The one table: every (state, trigger) cell agrees on the trigger, the engine, the byte table and the kernels."""

from __future__ import annotations

import dataclasses
import gc
import pickle
import threading
from types import SimpleNamespace

import attrs
import pytest
import transitions

from machine_reference import CELLS, MACHINES, holder, reference
from novastate._native import tables, tables_py
from novastate.errors import IllegalTransition, InvalidField, UnknownName
from novastate.machines import (
    REFUSED,
    ColdMigrationMachine,
    LiveMigrationMachine,
    Machine,
    MigrationStatus,
    MigrationType,
    PowerMachine,
    PowerState,
    ResizeMachine,
    Row,
    State,
    TaskMachine,
    TaskState,
    Trigger,
    VMMachine,
    VMState,
    from_libvirt,
)


@pytest.fixture(params=tables.variants())
def isa(request):
    before = tables.isa()
    tables.force_isa(request.param)
    yield request.param
    tables.force_isa(before)


def test_states_are_novas():
    told = reference("states")
    assert [(s.value, s.name) for s in VMState] == [(s["value"], s["name"]) for s in told["vm_states"]]
    assert [(s.value, s.name) for s in TaskState] == [(None, "IDLE")] + [
        (s["value"], s["name"]) for s in told["task_states"]
    ]
    assert [(s.value, s.name) for s in PowerState] == [(s["int"], s["name"]) for s in told["power_states"]]
    assert [s.value for s in MigrationType] == told["migration_types"]
    assert {s.value for s in MigrationStatus} == {s["value"] for s in told["migration_statuses"]}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.__name__)
def test_every_cell_moves_or_refuses_on_the_trigger_and_on_the_engine(machine):
    events = machine.engine().events
    for trigger in machine.triggers:
        fire = machine.trigger(trigger)
        for state in machine.states:
            mine, theirs = holder(machine, state), holder(machine, state)
            dest = fire.rows.get(state)
            if dest is None:
                with pytest.raises(IllegalTransition):
                    fire(mine)
                with pytest.raises(transitions.MachineError):
                    events[trigger].trigger(theirs)
            else:
                assert fire(mine) is dest
                assert events[trigger].trigger(theirs)
            expected = state if dest is None else dest
            assert getattr(mine, machine.field) is expected
            assert getattr(theirs, machine.field) is expected


def test_every_cell_of_the_byte_table(isa):
    for machine, trigger, state in CELLS:
        dest = machine.triggers[trigger].rows.get(state)
        expected = b"\xff" if dest is None else machine.encode([dest])
        code = machine.encode([state])
        assert machine.apply_many(code, trigger) == expected
        # As many as fill the widest register, and one more.
        assert machine.apply_many(code * 65, trigger) == expected * 65
        assert tables_py.translate(code, machine.table(trigger)) == expected
        assert machine.table(trigger)[code[0]] == expected[0]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.__name__)
def test_what_follows_from_the_rows(machine):
    assert machine.rows == tuple(Row(t, s, d) for t, fire in machine.triggers.items() for s, d in fire.rows.items())
    for state in machine.states:
        assert machine.allowed(state) == tuple(t for t, fire in machine.triggers.items() if state in fire.rows)
        assert machine.edges[state] == {row.dest for row in machine.rows if row.source is state}
    assert machine.initial <= machine.reachable
    assert machine.final == {s for s in machine.reachable if not machine.edges[s] - {s}}
    # Codes above the states' are refused everywhere, and the mark of a refusal stays one.
    for trigger in machine.triggers:
        assert set(machine.table(trigger)[len(machine.states) :]) == {REFUSED}


def test_a_refused_trigger_changes_nothing_and_says_what_was_allowed():
    server = SimpleNamespace(vm_state=VMState.PAUSED, name="a")
    before = dict(vars(server))
    with pytest.raises(IllegalTransition) as refused:
        VMMachine.pause(server)
    assert vars(server) == before
    assert refused.value.machine == "VMMachine"
    assert refused.value.trigger == "pause"
    assert refused.value.state is VMState.PAUSED
    assert refused.value.allowed == VMMachine.allowed(VMState.PAUSED)
    assert "unpause" in str(refused.value)
    assert refused.value.http_status == 409


def test_a_refusal_survives_pickling():
    with pytest.raises(IllegalTransition) as refused:
        VMMachine.unpause(holder(VMMachine, VMState.ACTIVE))
    again = pickle.loads(pickle.dumps(refused.value))
    assert (again.trigger, again.state, again.allowed) == (
        refused.value.trigger,
        refused.value.state,
        refused.value.allowed,
    )


def test_a_final_state_says_that_it_is_final():
    with pytest.raises(IllegalTransition, match="final"):
        VMMachine.start(holder(VMMachine, VMState.DELETED))


def test_typos_list_the_near_matches():
    with pytest.raises(UnknownName, match="did you mean pause") as unknown:
        VMMachine.trigger("puase")
    assert "pause" in unknown.value.near
    with pytest.raises(UnknownName, match="paused"):
        VMMachine.state("pausd")
    with pytest.raises(UnknownName, match="live_migrate"):
        TaskMachine.apply_many(b"", "live_migrat")
    with pytest.raises(UnknownName, match="shelved_offloaded"):
        VMMachine.pause(holder(VMMachine, "shelved_offloded"))


def test_a_state_of_another_machine_is_no_state():
    with pytest.raises(UnknownName):
        VMMachine.pause(holder(VMMachine, TaskState.PAUSING))
    with pytest.raises(UnknownName):
        VMMachine.allowed(TaskState.IDLE)
    with pytest.raises(InvalidField):
        VMMachine.encode([TaskState.IDLE])
    # An unhashable value, too.
    with pytest.raises(UnknownName):
        VMMachine.pause(holder(VMMachine, []))


def test_a_raw_value_is_not_taken_for_a_state():
    server = holder(VMMachine, "active")
    with pytest.raises(UnknownName):
        VMMachine.pause(server)
    assert server.vm_state == "active"


def test_an_object_without_the_field_is_an_attribute_error():
    with pytest.raises(AttributeError):
        VMMachine.pause(object())


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.__name__)
def test_assignment_is_checked_against_the_edges(machine):
    for old in machine.states:
        for new in machine.states:
            if machine is PowerMachine or new is old or new in machine.edges[old]:
                assert machine.check_assignment(old, new) is new
            else:
                with pytest.raises(IllegalTransition):
                    machine.check_assignment(old, new)
    for new in machine.states:
        if machine is PowerMachine or new in machine.initial:
            assert machine.check_assignment(None, new) is new
        else:
            with pytest.raises(IllegalTransition):
                machine.check_assignment(object(), new)
    with pytest.raises(UnknownName):
        machine.check_assignment(next(iter(machine.states)), "no such state")


def test_an_observation_is_never_refused():
    told = reference("states")["libvirt_to_power_state"]
    guest = holder(PowerMachine, PowerState.NOSTATE)
    for number, (_, expected) in enumerate(told.items()):
        assert from_libvirt(number).value == expected
        assert PowerMachine.observe(guest, from_libvirt(number)).value == expected
        assert guest.power_state.value == expected
    assert PowerMachine.observe(guest, 4) is PowerState.SHUTDOWN
    for wrong in (2, 5, "runing"):
        with pytest.raises(UnknownName):
            PowerMachine.observe(guest, wrong)
    assert guest.power_state is PowerState.SHUTDOWN
    with pytest.raises(UnknownName):
        from_libvirt(8)


def test_a_machine_has_no_instances():
    with pytest.raises(TypeError, match="is a table"):
        VMMachine()


def test_a_derived_machine_speaks_in_its_own_name():
    assert list(ResizeMachine.rows) == list(ColdMigrationMachine.rows)
    with pytest.raises(IllegalTransition, match=r"^ResizeMachine: "):
        ResizeMachine.revert(holder(ResizeMachine, MigrationStatus.ERROR))
    with pytest.raises(IllegalTransition, match=r"^ColdMigrationMachine: "):
        ColdMigrationMachine.revert(holder(ResizeMachine, MigrationStatus.ERROR))


def test_idle_is_falsy_and_the_rest_is_not():
    assert not TaskState.IDLE
    assert all(task for task in TaskState if task is not TaskState.IDLE)
    assert str(TaskState.IDLE) == "idle"
    assert TaskState(None) is TaskState.IDLE


def test_states_survive_pickling_by_identity():
    for machine in MACHINES:
        for state in machine.states:
            assert pickle.loads(pickle.dumps(state)) is state


def test_a_trigger_goes_past_the_checks_of_a_slotted_object():
    @attrs.define
    class Server:
        vm_state: VMState = VMState.ACTIVE

        def __setattr__(self, name: str, value: object) -> None:
            raise AssertionError("a trigger has checked already")

    server = object.__new__(Server)
    object.__setattr__(server, "vm_state", VMState.ACTIVE)
    assert VMMachine.pause(server) is VMState.PAUSED
    assert server.vm_state is VMState.PAUSED


def test_rows_are_written_out_in_the_order_of_the_enum():
    assert list(VMMachine.delete.rows) == [s for s in VMState if s is not VMState.DELETED]


def test_a_source_may_not_occur_twice_in_a_trigger():
    with pytest.raises(InvalidField, match="twice"):
        Trigger[VMState]({VMState.ACTIVE: VMState.PAUSED, frozenset({VMState.ACTIVE}): VMState.ERROR})


def test_your_own_machine():
    class DoorState(State):
        OPEN = "open"
        SHUT = "shut"
        LOCKED = "locked"

    class Door(Machine[DoorState], field="state", initial={DoorState.SHUT}):
        open = Trigger({DoorState.SHUT: DoorState.OPEN}, "Open it.")
        shut = Trigger({DoorState.OPEN: DoorState.SHUT})
        lock = Trigger({DoorState.SHUT: DoorState.LOCKED})

    class Safe(Door, initial={DoorState.LOCKED}):
        unlock = Trigger({DoorState.LOCKED: DoorState.SHUT})

    assert Door.final == {DoorState.LOCKED}
    assert Safe.final == frozenset()
    assert "unlock" not in Door.triggers
    assert set(Safe.triggers) == {"open", "shut", "lock", "unlock"}
    door = holder(Door, DoorState.SHUT)
    assert Door.open(door) is DoorState.OPEN
    assert Door.open.__doc__ == "Open it."
    assert Door.engine() is Door.engine()
    assert Door.engine() is not Safe.engine()


def test_the_engine_runs_the_callbacks_of_its_user():

    class LampState(State):
        OFF = 0
        ON = 1

    class Lamp(Machine[LampState], field="state", initial={LampState.OFF}):
        switch_on = Trigger({LampState.OFF: LampState.ON})

    seen = []
    Lamp.engine().events["switch_on"].transitions[LampState.OFF.name][0].add_callback("after", lambda: seen.append(1))
    Lamp.engine().events["switch_on"].trigger(holder(Lamp, LampState.OFF))
    assert seen == [1]


def test_threads_get_one_outcome_each():
    servers = [holder(LiveMigrationMachine, MigrationStatus.ACCEPTED) for _ in range(200)]

    def drive(mine):
        for server in mine:
            LiveMigrationMachine.queue(server)
            LiveMigrationMachine.prepare(server)

    threads = [threading.Thread(target=drive, args=(servers[at::4],)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {server.status for server in servers} == {MigrationStatus.PREPARING}


# --- what is refused, and what is said


@dataclasses.dataclass(frozen=True)
class FrozenRecord:
    vm_state: VMState = VMState.ACTIVE
    power_state: PowerState = PowerState.RUNNING


@attrs.frozen
class FrozenServer:
    vm_state: VMState = VMState.ACTIVE
    power_state: PowerState = PowerState.RUNNING


@attrs.define
class FrozenField:
    vm_state: VMState = attrs.field(default=VMState.ACTIVE, on_setattr=attrs.setters.frozen)
    power_state: PowerState = attrs.field(default=PowerState.RUNNING, on_setattr=attrs.setters.frozen)


class DerivedServer(FrozenServer):
    pass


@pytest.mark.parametrize("kind", [FrozenRecord, FrozenServer, FrozenField, DerivedServer])
def test_a_frozen_object_is_never_moved(kind):
    server = kind()
    for _ in range(2):
        with pytest.raises(InvalidField, match=rf"{kind.__name__}\.vm_state: .*frozen"):
            VMMachine.pause(server)
        with pytest.raises(InvalidField, match=rf"{kind.__name__}\.power_state: .*frozen"):
            PowerMachine.observe(server, PowerState.PAUSED)
    assert server == kind()
    with pytest.raises(IllegalTransition):
        VMMachine.unpause(server)


def test_types_that_come_and_go_are_not_kept_for_ever():
    for _ in range(2100):
        kind = type("Short", (), {"vm_state": VMState.ACTIVE})
        assert VMMachine.pause(kind()) is VMState.PAUSED
    gc.collect()
    assert sum(each.__name__ == "Short" for each in object.__subclasses__()) <= 1024


def test_a_value_that_only_looks_like_a_state_is_told_how_to_become_one():
    with pytest.raises(UnknownName) as said:
        VMMachine.pause(holder(VMMachine, "active"))
    assert str(said.value) == "is the string 'active', not VMState.ACTIVE; convert it with VMMachine.state(...)"
    again = pickle.loads(pickle.dumps(said.value))
    assert (str(again), again.near, again.name) == (str(said.value), ("active",), "active")
    with pytest.raises(UnknownName, match=r"is None, not TaskState\.IDLE"):
        TaskMachine.pause(holder(TaskMachine, None))
    with pytest.raises(UnknownName, match=r"is 1, not PowerState\.RUNNING"):
        PowerMachine.pause(holder(PowerMachine, 1))


def test_an_enum_that_has_no_such_member_says_what_was_meant():
    with pytest.raises(UnknownName, match="did you mean active"):
        VMState("actve")
    with pytest.raises(ValueError, match="did you mean active"):
        VMState("actve")
    assert "nonsense" not in {state.value for state in VMState}


@pytest.mark.parametrize("name", ["rows", "pause", "triggers", "_tables", "states", "new"])
def test_a_machine_cannot_be_changed(name):
    before = VMMachine.rows
    with pytest.raises(AttributeError, match=rf"VMMachine\.{name}: a machine cannot be changed"):
        setattr(VMMachine, name, ())
    with pytest.raises(AttributeError, match="cannot be changed"):
        delattr(VMMachine, name)
    assert VMMachine.rows is before
    assert pickle.loads(pickle.dumps(VMMachine)) is VMMachine
    assert VMMachine.engine() is VMMachine.engine()
