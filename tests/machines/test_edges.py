"""The machines against Nova's edges: they differ in the documented deviations, and in nothing else."""

from __future__ import annotations

import itertools
import re

import pytest

from machine_reference import moves, nova_migration_edges, nova_task_edges, nova_vm_edges, reference
from novastate.machines import (
    AT_REST,
    DEVIATIONS,
    MIGRATION_MACHINES,
    EvacuationMachine,
    LiveMigrationMachine,
    MigrationStatus,
    MigrationType,
    PowerMachine,
    PowerState,
    TaskMachine,
    TaskState,
    VMMachine,
    VMState,
)


def deviations(machine, kind):
    return {(d.source, d.dest) for d in DEVIATIONS if d.machine == machine.__name__ and d.kind == kind}


@pytest.mark.parametrize(
    ("machine", "nova"),
    [
        (VMMachine, nova_vm_edges()),
        (TaskMachine, nova_task_edges()),
        *((machine, nova_migration_edges(kind.value)) for kind, machine in MIGRATION_MACHINES.items()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_machine_differs_from_nova_in_its_documented_deviations_only(machine, nova):
    ours = moves(machine)
    assert nova - ours == deviations(machine, "dropped")
    assert ours - nova == deviations(machine, "added")


def test_the_reference_is_whole():
    told = reference("migration_edges")
    assert sum(len(d) for by in told["legal_successors"].values() for d in by.values()) == told["successor_edge_count"]
    assert len(reference("task_edges")) == 95


def test_every_deviation_gives_a_reason():
    named = [m.__name__ for m in (VMMachine, TaskMachine, PowerMachine, *MIGRATION_MACHINES.values())]
    for deviation in DEVIATIONS:
        assert deviation.machine in named
        assert deviation.reason.endswith(".")
        assert re.fullmatch(r"([GLI]\d+( |$))*", deviation.answers)
    assert len(DEVIATIONS) == len({d[:4] for d in DEVIATIONS})


def test_power_is_driver_truth_by_novas_diagram():
    nova = {(PowerState[source], PowerState[dest]) for source, dest, _ in reference("power_edges")}
    ours = moves(PowerMachine)
    assert nova <= ours
    assert ours - nova == deviations(PowerMachine, "added")
    assert not deviations(PowerMachine, "dropped")


@pytest.mark.parametrize("state", [state for state in PowerState if state is not PowerState.NOSTATE])
def test_whatever_is_there_can_be_switched_off_and_forgotten(state):
    assert {PowerState.SHUTDOWN, PowerState.NOSTATE} - {state} <= PowerMachine.edges[state]


def test_a_paused_guest_may_crash_and_an_incoming_one_starts_paused():
    assert PowerState.CRASHED in PowerMachine.edges[PowerState.PAUSED]
    assert PowerState.CRASHED in PowerMachine.edges[PowerState.SUSPENDED]
    assert PowerState.PAUSED in PowerMachine.edges[PowerState.NOSTATE]


def test_initial_states_are_novas():
    told = reference("migration_edges")["legal_successors"]
    for kind, machine in MIGRATION_MACHINES.items():
        assert {s.value for s in machine.initial} == set(told[kind.value]["None"])
    assert {s.value for s in VMMachine.initial} == set(reference("vm_edges")["initial"])
    assert {s.value for s in VMMachine.final} == set(reference("vm_edges")["final"])


def test_a_type_reaches_its_own_statuses_and_no_others():
    for row in reference("states")["migration_statuses"]:
        status = MigrationStatus(row["value"])
        for kind, machine in MIGRATION_MACHINES.items():
            assert (status in machine.reachable) == (kind.value in row["types"]), (kind, status)
            if status not in machine.reachable:
                assert machine.allowed(status) == ()


@pytest.mark.parametrize("kind", MigrationType)
def test_a_final_status_is_final(kind):
    machine = MIGRATION_MACHINES[kind]
    for status in machine.final:
        assert machine.allowed(status) == ()
    # Nova calls error terminal as well; here somebody still has to clean up after it.
    assert machine.edges[MigrationStatus.ERROR] == {MigrationStatus.FAILED}
    assert MigrationStatus.ERROR in AT_REST[kind]
    assert machine.final <= AT_REST[kind]


@pytest.mark.parametrize("name", ["live-migration", "live-migration (post-copy)", "resize", "resize (revert)"])
def test_novas_happy_paths_are_walked(name):
    machine = MIGRATION_MACHINES[MigrationType(name.partition(" ")[0])]
    path = [MigrationStatus(status) for status in reference("migration_edges")["happy_paths"][name]]
    assert path[0] in machine.initial
    assert all(dest in machine.edges[source] for source, dest in itertools.pairwise(path))
    assert path[-1] in machine.final


def test_evacuation_is_walked_to_its_end():
    path = [MigrationStatus(status) for status in reference("migration_edges")["happy_paths"]["evacuation"]]
    assert all(dest in EvacuationMachine.edges[source] for source, dest in itertools.pairwise(path))


def test_post_copy_is_reached_from_running_only():
    sources = {row.source for row in LiveMigrationMachine.rows if row.dest is MigrationStatus.RUNNING_POST_COPY}
    assert sources == {MigrationStatus.RUNNING}


def test_nothing_leads_to_resize_confirming():
    assert TaskState.RESIZE_CONFIRMING not in TaskMachine.reachable
    assert TaskMachine.allowed(TaskState.RESIZE_CONFIRMING), "a record that holds it can be got out of it"


def test_every_task_can_be_cut_deleted_and_reset():
    for task in TaskState:
        allowed = TaskMachine.allowed(task)
        assert {"delete", "soft_delete", "reset", "evacuate"} <= set(allowed)
        assert ("revert" in allowed) == bool(task)


def test_only_these_triggers_begin_over_another_task():
    starts = {name for name, fire in TaskMachine.triggers.items() if fire.rows.get(TaskState.IDLE)}
    over = {name for name in starts if len(fire_sources(name) - {TaskState.IDLE}) > 0}
    chains = {"reschedule", "network", "power_off", "power_on", "shelve_offload"}  # from within their own chain
    assert over - chains == {"hard_reboot", "evacuate", "delete", "soft_delete"}


def fire_sources(name):
    return set(TaskMachine.triggers[name].rows)


def test_every_vm_state_but_deleted_can_fail_be_deleted_and_be_reset():
    for state in VMState:
        allowed = set(VMMachine.allowed(state))
        assert ({"fail", "delete", "reset", "reset_error"} <= allowed) == (state is not VMState.DELETED)


ENDS = {
    "soft_reboot": "reboot",
    "hard_reboot": "hard_reboot",
    "pause": "pause",
    "unpause": "unpause",
    "suspend": "suspend",
    "resume": "resume",
    "stop": "stop",
    "start": "start",
    "rescue": "rescue",
    "unrescue": "unrescue",
    "rebuild": "rebuild",
    "evacuate": "evacuate",
    "resize": "resize",
    "cold_migrate": "resize",
    "confirm_resize": "confirm_resize",
    "revert_resize": "revert_resize",
    "shelve": "shelve",
    "unshelve": "unshelve",
    "restore": "restore",
}


@pytest.mark.parametrize("action", ENDS)
def test_a_trigger_ends_what_its_action_may_begin(action):
    (row,) = (row for row in reference("actions") if row["action"] == action)
    assert {s.value for s in VMMachine.triggers[ENDS[action]].rows} == set(row["allowed_vm_states"])


def test_a_trigger_that_may_end_in_two_states_is_two_triggers_of_one_source():
    for name in ("confirm_resize", "revert_resize"):
        running, stopped = VMMachine.triggers[name], VMMachine.triggers[f"{name}_stopped"]
        assert set(running.rows) == set(stopped.rows) == {VMState.RESIZED}
        assert set(running.rows.values()) == {VMState.ACTIVE}
        assert set(stopped.rows.values()) == {VMState.STOPPED}


def test_every_trigger_of_vm_state_leads_where_its_name_says():
    leads = {
        VMState.ACTIVE: "spawned unpause resume start reboot hard_reboot unrescue rebuild evacuate confirm_resize "
        "revert_resize unshelve restore reset",
        VMState.PAUSED: "pause",
        VMState.SUSPENDED: "suspend",
        VMState.STOPPED: "stop force_stop confirm_resize_stopped revert_resize_stopped",
        VMState.RESCUED: "rescue",
        VMState.RESIZED: "resize",
        VMState.SOFT_DELETED: "soft_delete",
        VMState.DELETED: "delete",
        VMState.ERROR: "fail reset_error",
        VMState.SHELVED: "shelve",
        VMState.SHELVED_OFFLOADED: "shelve_offload",
    }
    told = {trigger: state for state, triggers in leads.items() for trigger in triggers.split()}
    assert told.keys() == VMMachine.triggers.keys()
    for trigger, state in told.items():
        assert set(VMMachine.triggers[trigger].rows.values()) == {state}
