"""The server status and the storage check, cell by cell."""

from __future__ import annotations

import pytest

from machine_reference import reference
from novastate.errors import InvalidLocalStorage, InvalidSharedStorage
from novastate.machines import TaskState, VMState, check_storage, server_status


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
