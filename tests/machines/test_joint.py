"""The joint states, enumerated from the initial ones: what holds in each, and the way out of those that must not last."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path

import pytest

from machine_reference import reference
from novastate.machines import (
    AT_REST,
    DEVIATIONS,
    INVARIANTS,
    JOINT,
    MIGRATION_MACHINES,
    RECOVERIES,
    Joint,
    MigrationStatus,
    MigrationType,
    Pattern,
    PowerState,
    Seen,
    TaskState,
    VMMachine,
    VMState,
    Way,
    recovered,
    recovery,
)

UNSTABLE = [joint for joint in JOINT.reachable if not JOINT.stable(joint)]
#: For records that others wrote: no flow of ours leads there.
FOREIGN = {"nobody does this migration any more", "no flow leaves this behind"}


def found(joint):
    return recovery(*joint[:3], joint.status, kind=joint.kind)


def backwards(by):
    """Who leads to each joint state by the moves of *by*."""
    sources = defaultdict(set)
    for joint in JOINT.reachable:
        for move, after in JOINT.successors(joint):
            if move.by in by:
                sources[after].add(joint)
    return sources


def leading_to(goals, by):
    sources, reached, ahead = backwards(by), set(goals), list(goals)
    while ahead:
        for joint in sources[ahead.pop()]:
            if joint not in reached:
                reached.add(joint)
                ahead.append(joint)
    return reached


STABLE = {joint for joint in JOINT.reachable if JOINT.stable(joint)}
ON_THE_WAY = leading_to(STABLE, {"flow", "sync"})


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda i: i.name)
def test_an_invariant_holds_in_every_reachable_state(invariant):
    concerned = [joint for joint in JOINT.reachable if invariant.when.matches(joint)]
    assert concerned
    assert not [str(joint) for joint in concerned if not invariant.then.matches(joint)]


def test_what_migrates_is_moved_by_a_live_migration_and_by_nothing_else():
    # I19, exactly: nothing at work but a live migration.
    working = {
        joint.kind
        for joint in JOINT.reachable
        if joint.task is TaskState.MIGRATING and joint.kind and joint.status not in AT_REST[joint.kind]
    }
    assert working == {MigrationType.LIVE_MIGRATION}
    assert not JOINT.legal(
        Joint(
            VMState.ACTIVE,
            TaskState.MIGRATING,
            PowerState.RUNNING,
            MigrationType.RESIZE,
            MigrationStatus.MIGRATING,
        )
    )


def test_every_number_is_explained_in_the_documentation():
    root = Path(__file__).parents[2]
    explained = set(re.findall(r"^\| ([IL]\d+) \|", (root / "docs" / "laws.md").read_text(), re.MULTILINE))
    explained |= set(re.findall(r"\bG\d+\b", (root / "docs" / "gotchas.md").read_text()))
    for text in (*(i.name.partition(":")[0] for i in INVARIANTS), *(d.answers for d in DEVIATIONS)):
        assert set(re.findall(r"\b[GIL]\d+\b", text)) <= explained, text


def test_every_reachable_state_is_legal_and_not_every_state_is():
    assert all(JOINT.legal(joint) for joint in JOINT.reachable)
    assert not JOINT.legal(Joint(VMState.DELETED, TaskState.PAUSING, PowerState.RUNNING))
    assert not JOINT.legal(Joint(VMState.RESIZED, TaskState.IDLE, PowerState.RUNNING))


def test_every_state_of_every_machine_occurs():
    assert {j.vm for j in JOINT.reachable} == set(VMState)
    assert {j.task for j in JOINT.reachable} == set(TaskState) - {TaskState.RESIZE_CONFIRMING}
    assert {j.power for j in JOINT.reachable} == set(PowerState)
    for kind, machine in MIGRATION_MACHINES.items():
        assert {j.status for j in JOINT.reachable if j.kind is kind} == machine.reachable


def test_every_move_can_be_made_somewhere():
    made = {move for joint in JOINT.reachable for move, _ in JOINT.successors(joint)}
    assert not [move.name for move in JOINT.moves if move not in made]


def test_every_unstable_state_has_a_deadline_and_a_way_out():
    for joint in UNSTABLE:
        row = found(joint)
        assert row is not None, joint
        assert 0 < row.deadline < math.inf
        assert row.reason
        assert row.reason not in FOREIGN, joint
        for way in {row.way, *row.seen.values()}:
            if way is Way.ON:
                assert joint in ON_THE_WAY, joint
            else:
                assert recovered(joint, row, way) in JOINT.reachable, joint


def test_a_stable_state_needs_nothing():
    assert STABLE
    assert all(found(joint) is None for joint in STABLE)


def test_whatever_is_seen_a_few_ways_lead_to_a_stable_state():
    for joint in UNSTABLE:
        ahead, steps = {joint}, 0
        while ahead:
            steps += 1
            assert steps <= 4, joint
            after = set()
            for one in ahead:
                row = found(one)
                if row is not None:
                    ways = {row.way, *row.seen.values()} - {Way.ON}
                    after |= {recovered(one, row, way) for way in ways}
            ahead = after


def test_there_is_no_dead_end_that_is_not_final():
    for joint in JOINT.reachable:
        left = any(after != joint for _, after in JOINT.successors(joint))
        gone = joint.vm is VMState.DELETED and joint.status is None
        assert left != gone, joint


def test_flows_alone_bring_every_state_to_rest():
    assert leading_to(STABLE, {"flow", "failure", "sync"}) == JOINT.reachable


def test_every_row_is_used_or_is_for_foreign_records():
    used = {next(at for at, row in enumerate(RECOVERIES) if row.when.matches(joint)) for joint in UNSTABLE}
    assert {RECOVERIES[at].recovery.reason for at in set(range(len(RECOVERIES))) - used} == FOREIGN


def test_a_joint_state_that_nobody_foresaw_still_has_a_way_out():
    assert RECOVERIES[-1].when == Pattern()
    odd = recovery(VMState.RESCUED, TaskState.RESIZE_CONFIRMING, PowerState.RUNNING)
    assert odd.way is Way.ERROR
    assert odd.deadline < math.inf


def test_stable_means_no_task_and_a_migration_at_rest():
    for joint in STABLE:
        assert joint.task is TaskState.IDLE
        assert joint.vm is not VMState.BUILDING
        assert joint.kind is None or joint.status in AT_REST[joint.kind]


def test_a_finished_migration_is_history():
    assert not [
        joint
        for joint in JOINT.reachable
        if joint.kind and joint.status in MIGRATION_MACHINES[joint.kind].final
        if joint.task is TaskState.IDLE and joint.vm is not VMState.RESIZED
    ]


def moves():
    return [(joint, move, after) for joint in JOINT.reachable for move, after in JOINT.successors(joint)]


def test_only_some_moves_begin_over_the_task_of_another():
    # I4. A step or a failure of a flow moves its own task; a user's action may overwrite one in these cases only.
    over = {
        move.name
        for joint, move, after in moves()
        if move.by in {"user", "admin", "sync"} and joint.task and after.task is not joint.task
    }
    assert over == {"hard_reboot", "evacuate", "delete", "force_delete", "soft_delete", "reset_state"}


def test_power_sync_and_guests_never_change_a_vm_state():
    # I33, I34.
    for joint, move, after in moves():
        if move.by in {"sync", "guest"}:
            assert after.vm is joint.vm
        if move.by == "sync":
            assert joint.task is TaskState.IDLE
            assert after.task is TaskState.POWERING_OFF


def test_every_move_is_made_of_rows():
    # I23, L7: each part of a move is an edge of its machine, or no change.
    for joint, move, after in moves():
        assert after.vm is joint.vm or after.vm in VMMachine.edges[joint.vm]
        if move.new is None and after.status is not None and after.status is not joint.status:
            assert after.status in MIGRATION_MACHINES[joint.kind].edges[joint.status]


def test_restore_leads_to_active():
    # I40.
    restored = {after.vm for joint, move, after in moves() if move.name == "restore ends"}
    assert restored == {VMState.ACTIVE}


def test_what_was_stopped_is_stopped_again_after_a_rebuild():
    # I38.
    rebuilding = Joint(VMState.STOPPED, TaskState.REBUILD_SPAWNING, PowerState.SHUTDOWN)
    (after,) = {after for move, after in JOINT.successors(rebuilding) if move.name.startswith("rebuilt")}
    assert after[:2] == (VMState.ACTIVE, TaskState.POWERING_OFF)
    ends = {a.vm for move, a in JOINT.successors(after) if move.by == "flow" and a.task is TaskState.IDLE}
    assert ends == {VMState.STOPPED}


def test_a_deleted_instance_is_done_with():
    # I39.
    for joint in JOINT.reachable:
        if joint.vm is VMState.DELETED:
            assert joint.task is TaskState.IDLE
            assert joint.power is PowerState.NOSTATE
            assert not [move for move, after in JOINT.successors(joint) if after.vm is not VMState.DELETED]


def test_a_flow_ends_with_the_guest_as_its_vm_state_has_it():
    usual = {
        row["value"]: {PowerState[p] for p in row["usual_power_states"] if p != "*"}
        for row in reference("states")["vm_states"]
    }
    for move in JOINT.moves:
        if move.by == "flow" and move.vm and move.power:
            for state in set(VMMachine.triggers[move.vm].rows.values()):
                assert move.power in usual[state.value], move.name


def test_a_task_is_driven_on_where_the_guest_is_as_its_end_has_it():
    for row in RECOVERIES:
        if row.when.power and row.when.task:
            ends = {
                move.power
                for move in JOINT.moves
                if move.by == "flow" and move.vm and move.when.task and move.when.task <= row.when.task
            }
            assert row.recovery.way is Way.ON
            assert row.when.power == ends, row.recovery.reason


# --- the rows of live migration, which the recover flow reads


def live(status, task=TaskState.MIGRATING):
    return recovery(VMState.ACTIVE, task, PowerState.RUNNING, status, kind=MigrationType.LIVE_MIGRATION)


@pytest.mark.parametrize("status", [MigrationStatus.ACCEPTED, MigrationStatus.QUEUED, MigrationStatus.PREPARING])
def test_before_the_transfer_the_way_is_back(status):
    assert live(status).way is Way.BACK
    assert not live(status).seen


@pytest.mark.parametrize("task", [TaskState.MIGRATING, TaskState.IDLE])
def test_during_the_transfer_the_guest_is_where_it_runs(task):
    row = live(MigrationStatus.RUNNING, task)
    assert row.seen == {
        Seen.SOURCE: Way.BACK,
        Seen.DESTINATION: Way.ON,
        Seen.NEITHER: Way.ERROR,
        Seen.UNKNOWN: Way.ERROR,
    }


def test_post_copy_never_goes_back():
    row = live(MigrationStatus.RUNNING_POST_COPY)
    assert Way.BACK not in {row.way, *row.seen.values()}
    assert row.seen[Seen.DESTINATION] is Way.ON


@pytest.mark.parametrize(
    ("status", "way"),
    [
        (MigrationStatus.COMPLETED, Way.ON),
        (MigrationStatus.CANCELLED, Way.BACK),
        (MigrationStatus.FAILED, Way.BACK),
        (MigrationStatus.ERROR, Way.BACK),
        (None, Way.BACK),
    ],
)
def test_a_task_without_its_migration_is_ended(status, way):
    assert recovery(VMState.ACTIVE, TaskState.MIGRATING, PowerState.RUNNING, status).way is way


def test_the_type_is_told_from_the_status_and_the_task():
    for joint in UNSTABLE:
        if joint.kind and joint.task in {
            TaskState.MIGRATING,
            TaskState.REBUILDING,
            TaskState.RESIZE_PREP,
            TaskState.RESIZE_MIGRATING,
        }:
            told = recovery(*joint[:3], joint.status)
            assert told == found(joint), joint


def test_history_is_no_reason_to_recover():
    assert recovery(VMState.ACTIVE, TaskState.IDLE, PowerState.RUNNING, MigrationStatus.COMPLETED) is None
    assert recovery(VMState.ACTIVE, TaskState.IDLE, PowerState.RUNNING, MigrationStatus.ERROR) is None


def test_the_way_on_is_the_flows():
    joint = Joint(VMState.ACTIVE, TaskState.DELETING, PowerState.RUNNING)
    with pytest.raises(ValueError, match="flow"):
        recovered(joint, found(joint), Way.ON)


def test_a_joint_state_prints_as_its_words():
    joint = Joint(
        VMState.ACTIVE, TaskState.MIGRATING, PowerState.RUNNING, MigrationType.LIVE_MIGRATION, MigrationStatus.QUEUED
    )
    assert str(joint) == "(active, migrating, RUNNING, live-migration queued)"
