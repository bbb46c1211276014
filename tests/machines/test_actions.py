"""The guards: every action in every vm_state and task_state, against Nova's own table."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine_reference import reference
from novastate.errors import ActionNotAllowed, InstanceLocked, InstanceNotReady, UnknownName
from novastate.machines import ACTIONS, Action, TaskMachine, TaskState, VMState, begin, check

NAMES = {
    "external event power-update": Action.EXTERNAL_POWER_UPDATE,
    "external event volume-extended": Action.EXTERNAL_VOLUME_EXTENDED,
}


def action_of(row) -> Action:
    name = row["action"]
    return NAMES[name] if name in NAMES else Action(name.split(" ")[0].split("/")[0])


NOVA = {action_of(row): row for row in reference("actions")}


def instance(**fields):
    usual = {
        "vm_state": VMState.ACTIVE,
        "task_state": TaskState.IDLE,
        "locked": False,
        "launched_at": "2026-01-01",
        "host": "a",
        "uuid": "u",
    }
    return SimpleNamespace(**{**usual, **fields})


def nova_vm_states(row):
    return set(VMState) if row["allowed_vm_states"] == "ANY" else {VMState(v) for v in row["allowed_vm_states"]}


def nova_task_states(row):
    if row["rejected_task_states"]:
        return set(TaskState) - {TaskState(t) for t in row["rejected_task_states"]}
    if row["allowed_task_states"] is None:
        return set(TaskState)
    return {TaskState(t) for t in row["allowed_task_states"]}


def test_the_actions_are_novas():
    assert len(NOVA) == len(reference("actions")) == len(Action) == len(ACTIONS) == 54
    assert set(NOVA) == set(ACTIONS) == set(Action)
    assert list(ACTIONS) == list(Action)


@pytest.mark.parametrize("action", Action, ids=str)
def test_every_cell_is_allowed_or_refused_as_in_nova(action):
    row, vms, tasks = NOVA[action], nova_vm_states(NOVA[action]), nova_task_states(NOVA[action])
    for vm in VMState:
        for task in TaskState:
            asked = instance(vm_state=vm, task_state=task)
            before = dict(vars(asked))
            try:
                check(action, asked)
                allowed, why = True, None
            except ActionNotAllowed as refused:
                allowed, why = False, refused.attribute
            assert allowed == (vm in vms and task in tasks), (row["action"], vm, task)
            if not allowed:
                assert why == ("vm_state" if vm not in vms else "task_state")
            assert vars(asked) == before


@pytest.mark.parametrize("action", Action, ids=str)
def test_a_rule_says_what_novas_row_says(action):
    rule, row = ACTIONS[action], NOVA[action]
    assert rule.vm_states == nova_vm_states(row)
    assert rule.task_states == nova_task_states(row)
    assert rule.must_have_launched == row["must_have_launched"]
    assert rule.honours_lock == row["honours_lock"]
    assert rule.instance_action == row["instance_action"]
    assert rule.needs_host == bool(row["host_check"])
    guarded = row["cas_expected_task_states"]
    expected = {TaskState(t) for t in guarded} if isinstance(guarded, list) else None
    assert rule.expects == expected
    sets = row["sets_task_state"]
    if action is Action.EXTERNAL_POWER_UPDATE:
        assert {t.value for t in rule.task_by_vm_state.values()} == set(sets.split("|"))
    else:
        assert (rule.task_state.value if rule.task_state else None) == sets


@pytest.mark.parametrize("action", Action, ids=str)
def test_beginning_writes_one_task_state_through_the_machine(action):
    rule = ACTIONS[action]
    for vm in rule.vm_states:
        for task in rule.task_states:
            asked = instance(vm_state=vm, task_state=task)
            if rule.expects is not None and task not in rule.expects:
                with pytest.raises(ActionNotAllowed, match="task_state"):
                    begin(action, asked)
                assert asked.task_state is task
                continue
            begun = begin(action, asked)
            assert task in begun.expects
            assert asked.vm_state is vm
            assert asked.task_state is begun.task_state
            wanted = rule.begins(vm)
            if wanted is None:
                assert begun.task_state is task
            elif action is Action.SOFT_DELETE and task is TaskState.DELETING:
                assert begun.task_state is TaskState.DELETING, "a deletion that goes on goes on"
            else:
                assert begun.task_state is wanted


def test_where_nova_saves_unguarded_the_save_expects_what_the_guard_saw():
    for action in (Action.DELETE, Action.SOFT_DELETE, Action.EVACUATE):
        begun = begin(action, instance(task_state=TaskState.PAUSING))
        assert begun.expects == {TaskState.PAUSING}


def test_every_rule_that_begins_a_task_has_its_trigger():
    for action, rule in ACTIONS.items():
        tasks = {rule.begins(vm) for vm in rule.vm_states or {VMState.BUILDING}} - {None}
        assert set(rule.triggers) == tasks, action
        for task, trigger in rule.triggers.items():
            assert task in TaskMachine.trigger(trigger).rows.values()


def test_the_guards_refuse_in_novas_order():
    # Everything is wrong at once; each repair uncovers the next.
    asked = instance(locked=True, vm_state=VMState.PAUSED, task_state=TaskState.PAUSING, launched_at=None, host=None)
    with pytest.raises(InstanceLocked):
        check(Action.STOP, asked)
    asked.locked = False
    with pytest.raises(ActionNotAllowed, match="vm_state is paused; allowed: active, error"):
        check(Action.STOP, asked)
    asked.vm_state = VMState.ACTIVE
    with pytest.raises(ActionNotAllowed, match="task_state is pausing; allowed: idle"):
        check(Action.STOP, asked)
    asked.task_state = TaskState.IDLE
    with pytest.raises(InstanceNotReady, match="launched_at"):
        check(Action.STOP, asked)
    asked.launched_at = "now"
    with pytest.raises(InstanceNotReady, match="host"):
        check(Action.STOP, asked)
    asked.host = "a"
    assert check(Action.STOP, asked) is ACTIONS[Action.STOP]


def test_an_administrator_passes_the_lock_and_nothing_else():
    assert check("pause", instance(locked=True), admin=True)
    with pytest.raises(ActionNotAllowed):
        check("pause", instance(locked=True, vm_state=VMState.ERROR), admin=True)


@pytest.mark.parametrize("action", Action, ids=str)
def test_a_lock_refuses_exactly_what_honours_it(action):
    rule = ACTIONS[action]
    if not rule.vm_states:
        return  # create has no instance to lock
    asked = instance(locked=True, vm_state=min(rule.vm_states, key=str), task_state=min(rule.task_states, key=str))
    if rule.honours_lock:
        with pytest.raises(InstanceLocked):
            check(action, asked)
    else:
        check(action, asked)


def test_a_volume_may_be_detached_from_what_has_no_host():
    assert check("detach_volume", instance(vm_state=VMState.SHELVED_OFFLOADED, host=None))
    with pytest.raises(InstanceNotReady):
        check("detach_volume", instance(vm_state=VMState.SHELVED, host=None))
    with pytest.raises(InstanceNotReady):
        check("get_console", instance(vm_state=VMState.SHELVED_OFFLOADED, host=None))


def test_a_power_update_begins_what_the_vm_state_asks_for():
    assert begin("external_power_update", instance()).task_state is TaskState.POWERING_OFF
    asked = instance(vm_state=VMState.STOPPED)
    assert begin("external_power_update", asked).task_state is TaskState.POWERING_ON


@pytest.mark.parametrize(("typo", "meant"), [("puase", "pause"), ("live_migrat", "live_migrate"), ("Delete", "delete")])
def test_a_typo_lists_the_near_matches(typo, meant):
    with pytest.raises(UnknownName) as unknown:
        check(typo, instance())
    assert meant in unknown.value.near


@given(
    action=st.sampled_from(Action),
    asked=st.builds(
        instance,
        vm_state=st.sampled_from(VMState),
        task_state=st.sampled_from(TaskState),
        locked=st.booleans(),
        launched_at=st.sampled_from([None, "now"]),
        host=st.sampled_from([None, "a"]),
    ),
    admin=st.booleans(),
)
def test_a_refused_action_changes_nothing(action, asked, admin):
    before = dict(vars(asked))
    try:
        begun = begin(action, asked, admin=admin)
    except (ActionNotAllowed, InstanceLocked, InstanceNotReady):
        assert vars(asked) == before
    else:
        after = {**before, "task_state": begun.task_state}
        assert vars(asked) == after
        assert before["task_state"] in begun.expects
