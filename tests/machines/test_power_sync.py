"""Power sync and lifecycle events, cell by cell."""

from __future__ import annotations

import pytest

from machine_reference import reference
from novastate.machines import (
    BINDING_STATUSES,
    LIFECYCLE_POWER_STATES,
    POWER_SYNC,
    GuestEvent,
    MigrationStatus,
    PowerState,
    PowerSyncAction,
    TaskState,
    VMState,
    on_event,
    sync_power,
)

ROWS = reference("power_sync")["table"]
LOOKS = set(PowerSyncAction) - {
    PowerSyncAction.SKIP_MOVED,
    PowerSyncAction.SKIP_PENDING_TASK,
    PowerSyncAction.SKIP_STALE,
}


def test_the_table_is_whole():
    assert len(ROWS) == len(POWER_SYNC) == 72
    assert {(VMState(r["vm_state"]), PowerState(r["driver_power_state_int"])) for r in ROWS} == set(POWER_SYNC)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r['vm_state']}-{r['driver_power_state']}")
def test_a_cell_is_novas(row):
    vm, power = VMState(row["vm_state"]), PowerState(row["driver_power_state_int"])
    action = sync_power(vm, power)
    assert action.value == row["action"]
    assert action.records
    again = sync_power(vm, power, rechecked=True)
    assert again is (PowerSyncAction.STOP if action is PowerSyncAction.RECHECK_THEN_STOP else action)


def test_a_guest_that_is_not_there_has_no_state():
    for vm in VMState:
        assert sync_power(vm, None) is sync_power(vm, PowerState.NOSTATE)


def test_it_keeps_its_hands_off_what_has_a_task_or_has_moved():
    for vm, power in POWER_SYNC:
        for task in TaskState:
            moved = sync_power(vm, power, task, same_host=False)
            assert moved is PowerSyncAction.SKIP_MOVED
            assert not moved.records
            here = sync_power(vm, power, task)
            if task:
                assert here is PowerSyncAction.SKIP_PENDING_TASK
                assert not here.records
            else:
                assert here in LOOKS


def test_events_tell_novas_power_states():
    told = reference("power_sync")["lifecycle"]
    assert {(e["event"], e["code"], e["power_state"]) for e in told} == {
        (event.name, event.value, LIFECYCLE_POWER_STATES[event].name) for event in GuestEvent
    }


@pytest.mark.parametrize("event", GuestEvent)
def test_an_event_counts_only_while_it_is_true(event):
    for vm in VMState:
        for power in (*PowerState, None):
            told = (power or PowerState.NOSTATE) is LIFECYCLE_POWER_STATES[event]
            expected = sync_power(vm, power) if told else PowerSyncAction.SKIP_STALE
            assert on_event(event, vm, power) is expected
            if told:
                assert on_event(event, vm, power, TaskState.MIGRATING) is PowerSyncAction.SKIP_PENDING_TASK
                assert on_event(event, vm, power, same_host=False) is PowerSyncAction.SKIP_MOVED


def test_ports_are_bound_where_the_guest_now_runs_even_if_the_status_is_late():
    # Nova looks for one status each and misses a post-copy whose status is not saved yet (G16).
    for event, statuses in BINDING_STATUSES.items():
        nova = MigrationStatus(reference("power_sync")["migration_lookup_status"][event.name])
        assert nova in statuses
    assert MigrationStatus.RUNNING in BINDING_STATUSES[GuestEvent.POSTCOPY_STARTED]
