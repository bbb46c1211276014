"""Nova's known gotchas, as far as states can tell: that they are gone, or that they are kept and how."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from novastate.errors import ActionNotAllowed
from novastate.machines import (
    BINDING_STATUSES,
    JOINT,
    POWER_SYNC,
    ColdMigrationMachine,
    EvacuationMachine,
    GuestEvent,
    Joint,
    LiveMigrationMachine,
    MigrationStatus,
    MigrationType,
    PowerState,
    PowerSyncAction,
    TaskState,
    VMState,
    Way,
    begin,
    check,
    recovered,
    recovery,
)

RUNNING = PowerState.RUNNING


def instance(**fields):
    usual = {"vm_state": VMState.ACTIVE, "task_state": TaskState.IDLE, "locked": False, "launched_at": 1, "host": "a"}
    return SimpleNamespace(**{**usual, **fields})


def after(joint, name):
    return {after for move, after in JOINT.successors(joint) if move.name == name}


def test_g3_a_lost_confirm_is_driven_on():
    row = recovery(VMState.RESIZED, TaskState.IDLE, RUNNING, MigrationStatus.CONFIRMING)
    assert row.way is Way.ON


def test_g4_a_revert_writes_task_and_status_at_once():
    resized = Joint(VMState.RESIZED, TaskState.IDLE, RUNNING, MigrationType.RESIZE, MigrationStatus.FINISHED)
    (reverting,) = after(resized, "revert_resize")
    assert (reverting.task, reverting.status) == (TaskState.RESIZE_REVERTING, MigrationStatus.REVERTING)
    halves = [j for j in JOINT.reachable if j.task is TaskState.RESIZE_REVERTING]
    assert MigrationStatus.FINISHED not in {j.status for j in halves}


def test_g5_and_g8_nothing_leaves_reverted_and_confirmed():
    assert not ColdMigrationMachine.allowed(MigrationStatus.REVERTED)
    assert not ColdMigrationMachine.allowed(MigrationStatus.CONFIRMED)


def test_g6_going_back_ends_the_migration_with_the_task():
    for task, status in (
        (TaskState.RESIZE_PREP, MigrationStatus.PRE_MIGRATING),
        (TaskState.RESIZE_MIGRATING, MigrationStatus.MIGRATING),
    ):
        joint = Joint(VMState.ACTIVE, task, RUNNING, MigrationType.RESIZE, status)
        row = recovery(*joint[:3], status)
        assert recovered(joint, row, Way.BACK)[1:] == (
            TaskState.IDLE,
            RUNNING,
            MigrationType.RESIZE,
            MigrationStatus.ERROR,
        )


@pytest.mark.parametrize(
    "task",
    [
        TaskState.IMAGE_BACKUP,
        TaskState.UPDATING_PASSWORD,
        TaskState.RESIZE_MIGRATED,
        TaskState.RESIZE_FINISH,
        TaskState.RESIZE_REVERTING,
        TaskState.SUSPENDING,
        TaskState.RESUMING,
        TaskState.RESCUING,
        TaskState.UNRESCUING,
        TaskState.SOFT_DELETING,
        TaskState.RESTORING,
        TaskState.SHELVING,
        TaskState.SHELVING_IMAGE_PENDING_UPLOAD,
        TaskState.SHELVING_IMAGE_UPLOADING,
        TaskState.SHELVING_OFFLOADING,
        TaskState.UNSHELVING,
    ],
    ids=str,
)
def test_g7_what_a_restart_of_nova_leaves_stuck_has_a_way_out(task):
    stuck = [j for j in JOINT.reachable if j.task is task]
    assert stuck
    assert all(recovery(*j[:3], j.status, kind=j.kind) for j in stuck)


@pytest.mark.parametrize("status", [MigrationStatus.QUEUED, MigrationStatus.PREPARING])
def test_g10_g11_g13_what_fails_before_the_transfer_ends_task_and_migration(status):
    joint = Joint(VMState.ACTIVE, TaskState.MIGRATING, RUNNING, MigrationType.LIVE_MIGRATION, status)
    row = recovery(*joint[:3], status)
    assert recovered(joint, row, row.way) == Joint(VMState.ACTIVE, TaskState.IDLE, RUNNING)


def test_g14_a_failed_post_copy_ends_in_error_not_in_active():
    joint = Joint(
        VMState.ACTIVE,
        TaskState.MIGRATING,
        PowerState.PAUSED,
        MigrationType.LIVE_MIGRATION,
        MigrationStatus.RUNNING_POST_COPY,
    )
    row = recovery(*joint[:3], joint.status)
    assert row.way is Way.ERROR
    assert recovered(joint, row, row.way).vm is VMState.ERROR


def test_g15_post_copy_is_in_progress():
    assert not JOINT.stable(
        Joint(VMState.ACTIVE, TaskState.IDLE, RUNNING, MigrationType.LIVE_MIGRATION, MigrationStatus.RUNNING_POST_COPY)
    )
    assert "cancel" in LiveMigrationMachine.allowed(MigrationStatus.RUNNING_POST_COPY)


def test_g16_ports_are_bound_even_if_the_status_is_late():
    assert MigrationStatus.RUNNING in BINDING_STATUSES[GuestEvent.POSTCOPY_STARTED]


def test_g17_kept_a_paused_server_is_not_force_completed():
    with pytest.raises(ActionNotAllowed):
        check("live_migrate_force_complete", instance(vm_state=VMState.PAUSED, task_state=TaskState.MIGRATING))


def test_g20_one_cause_is_one_write():
    assert MigrationStatus.ERROR not in LiveMigrationMachine.edges[MigrationStatus.FAILED]
    assert MigrationStatus.FAILED in LiveMigrationMachine.edges[MigrationStatus.PREPARING]


def test_g21_half_kept_evacuate_takes_over_but_only_from_what_it_saw():
    asked = instance(locked=True, task_state=TaskState.PAUSING)
    begun = begin("evacuate", asked)
    assert begun.expects == {TaskState.PAUSING}
    assert asked.task_state is TaskState.REBUILDING


def test_g22_a_source_that_returns_cleans_up_after_done_only():
    assert {row.source for row in EvacuationMachine.rows if row.dest is MigrationStatus.COMPLETED} == {
        MigrationStatus.DONE
    }


@pytest.mark.parametrize("task", [TaskState.REBUILDING, TaskState.REBUILD_SPAWNING])
def test_g23_a_rebuild_is_not_stuck(task):
    assert recovery(VMState.ACTIVE, task, PowerState.SHUTDOWN).way is Way.ERROR


def test_g25_a_shelve_that_fails_goes_back_and_says_that_the_guest_is_started_again():
    row = recovery(VMState.ACTIVE, TaskState.SHELVING, PowerState.SHUTDOWN)
    assert row.way is Way.BACK
    assert "started again" in row.reason


def test_g26_an_unshelve_that_fails_leaves_no_task():
    joint = Joint(VMState.SHELVED_OFFLOADED, TaskState.UNSHELVING, PowerState.NOSTATE)
    row = recovery(*joint[:3])
    assert recovered(joint, row, row.way) == joint._replace(task=TaskState.IDLE)


def test_g27_delete_expects_what_it_saw():
    assert begin("delete", instance(task_state=TaskState.MIGRATING)).expects == {TaskState.MIGRATING}


def test_g30_kept_a_guest_that_was_paused_behind_our_back_is_left_alone():
    assert POWER_SYNC[VMState.ACTIVE, PowerState.PAUSED] is PowerSyncAction.WARN_ONLY


@pytest.mark.parametrize("status", sorted(LiveMigrationMachine.reachable - LiveMigrationMachine.final, key=str))
def test_g33_a_reset_puts_the_migration_to_rest(status):
    joint = Joint(VMState.ACTIVE, TaskState.MIGRATING, RUNNING, MigrationType.LIVE_MIGRATION, status)
    assert {a.status for a in after(joint, "reset_state")} == {MigrationStatus.ERROR}


def test_g34_a_build_that_takes_too_long_loses_its_task():
    joint = Joint(VMState.BUILDING, TaskState.SPAWNING, PowerState.NOSTATE)
    row = recovery(*joint[:3])
    assert recovered(joint, row, row.way)[:2] == (VMState.ERROR, TaskState.IDLE)


def test_g41_a_clean_rollback_stays_what_it_is():
    assert not LiveMigrationMachine.allowed(MigrationStatus.CANCELLED)
    rolled = Joint(VMState.ACTIVE, TaskState.IDLE, RUNNING, MigrationType.LIVE_MIGRATION, MigrationStatus.CANCELLED)
    assert JOINT.stable(rolled)
