"""The server status and the storage check, cell by cell."""

from __future__ import annotations

import copy
import pickle
from types import MappingProxyType

import pytest

from machine_reference import reference
from novastate.errors import InvalidField, InvalidLocalStorage, InvalidSharedStorage, UnknownName
from novastate.machines import (
    ACTIONS,
    RECOVERIES,
    Action,
    GuestEvent,
    PowerState,
    TaskState,
    VMState,
    check_storage,
    on_event,
    recovery,
    server_status,
    sync_power,
)


@pytest.mark.parametrize("vm", VMState)
def test_every_status_is_novas(vm):
    told = reference("states")["api_status_map"][vm.value]
    for task in TaskState:
        assert server_status(vm, task) == told.get(task.value, told["default"])
    assert server_status(vm) == server_status(vm, None) == told["default"]


def test_what_is_no_state_is_unknown():
    assert server_status(None) == "UNKNOWN"


ASKED = {"auto(None)": None, "True": True, "False": False}
ERRORS = {"InvalidLocalStorage": InvalidLocalStorage, "InvalidSharedStorage": InvalidSharedStorage}


@pytest.mark.parametrize("row", reference("storage"), ids=lambda r: "-".join(str(v) for v in list(r.values())[:4]))
def test_a_cell_of_the_storage_check_is_novas(row):
    def outcome():
        return check_storage(
            ASKED[row["block_migration"]],
            shared_instance_path=row["shared_instance_path"],
            shared_block_storage=row["shared_block_storage"],
            boot_from_volume=row["boot_from_volume"],
            uuid="the-uuid",
        )

    error = ERRORS.get(row["result"])
    if error is None:
        assert row["result"].startswith("ok")
        assert outcome() is row["effective_block_migration"]
    else:
        with pytest.raises(error, match="the-uuid") as refused:
            outcome()
        assert refused.value.http_status == 400


def test_all_24_cells_are_there():
    assert len({tuple(list(r.values())[:4]) for r in reference("storage")}) == 24


@pytest.mark.parametrize("asked", ["auto", "", 2, []])
def test_block_migration_is_one_of_three(asked):
    with pytest.raises(InvalidField, match="block_migration: must be True, False, or None"):
        check_storage(asked, shared_instance_path=False, shared_block_storage=False)


@pytest.mark.parametrize(
    "call",
    [
        lambda: server_status(VMState.ACTIVE, "migrating"),
        lambda: server_status("active"),
        lambda: sync_power("active", PowerState.RUNNING),
        lambda: sync_power(VMState.ACTIVE, 4),
        lambda: sync_power(VMState.ACTIVE, PowerState.RUNNING, "migrating"),
        lambda: sync_power(VMState.ACTIVE, PowerState.RUNNING, "nonsense", same_host=False),
        lambda: on_event("stopped", VMState.ACTIVE, PowerState.SHUTDOWN),
        lambda: on_event(GuestEvent.STOPPED, "active", PowerState.RUNNING),
        lambda: recovery("active", "x", 1, None),
        lambda: recovery(VMState.ACTIVE, TaskState.IDLE, PowerState.RUNNING, "running"),
        lambda: recovery(VMState.ACTIVE, TaskState.IDLE, PowerState.RUNNING, kind="resize"),
        lambda: Action("puase"),
        lambda: ACTIONS["puase"],
        lambda: ACTIONS["pause"],
    ],
)
def test_what_is_no_state_is_refused(call):
    with pytest.raises(UnknownName):
        call()


def test_an_unknown_action_has_near_matches_and_is_what_python_expects():
    with pytest.raises(ValueError, match="did you mean pause") as wrong:
        Action("puase")
    assert "pause" in wrong.value.near
    with pytest.raises(KeyError) as missing:
        ACTIONS["puase"]
    assert str(missing.value) == str(wrong.value)
    with pytest.raises(KeyError, match=r"is the string 'pause', not Action\.PAUSE; convert it with Action\(\.\.\.\)"):
        ACTIONS["pause"]
    assert pickle.loads(pickle.dumps(missing.value)).near == missing.value.near
    assert ACTIONS.get("puase") is None
    assert "puase" not in ACTIONS


def test_rules_and_recoveries_pickle_and_stay_read_only():
    for rule in ACTIONS.values():
        again = pickle.loads(pickle.dumps(rule))
        assert again == rule
        assert isinstance(again.triggers, MappingProxyType)
    for row in RECOVERIES:
        again = copy.deepcopy(row)
        assert again == row
        assert isinstance(again.recovery.seen, MappingProxyType)
