"""The machines together: which joint states there are, and how one becomes another.

Rules of this file:

1. A joint state is (vm_state, task_state, power_state, migration): what one look at the record shows. Of
   migrations, it holds the one that is not final yet, by type and status; a final one is history.
2. A joint move is one write (:mod:`novastate.machines.moves`).
3. A joint state is *stable* if nobody has to do anything: no task, not building, no migration that a flow
   should be working on, nothing that power sync would act upon. Every other reachable state has a recovery
   row (:func:`novastate.machines.recovery`).

Theory. The product of the machines has some hundred thousand states; most of them never occur. The
reachable ones are the least fixed point of the moves from the initial states: a second table over the
first ones, run until nothing is new. Users may ask for any action that its rule allows, flows take their
steps or fail at each of them, guests and the people at the hypervisor do what they like, and an
administrator may reset at any time. The rows of :data:`INVARIANTS` hold in every state that is found; they
are Nova's own invariants, as far as the four variables can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from novastate.machines.migration import AT_REST, MigrationStatus, MigrationType
from novastate.machines.moves import Joint, Move, Pattern, moves, where
from novastate.machines.power import PowerState
from novastate.machines.power_sync import POWER_SYNC, PowerSyncAction
from novastate.machines.table import State
from novastate.machines.task import TaskMachine, TaskState
from novastate.machines.vm import VMState

__all__ = ["INVARIANTS", "JOINT", "Invariant", "Joint", "JointMachine", "Move", "Pattern"]

_VM, _TASK, _POWER, _STATUS, _KIND = VMState, TaskState, PowerState, MigrationStatus, MigrationType
_DELETING = frozenset({_TASK.DELETING, _TASK.SOFT_DELETING})
_COLD_KINDS = frozenset[MigrationType | None]({_KIND.RESIZE, _KIND.MIGRATION})
_FINAL = frozenset({_STATUS.COMPLETED, _STATUS.CANCELLED, _STATUS.FAILED, _STATUS.CONFIRMED, _STATUS.REVERTED})
_RESTING: frozenset[MigrationStatus | None] = frozenset({None, _STATUS.ERROR, _STATUS.DONE})
_LIVE = (_STATUS.ACCEPTED, _STATUS.QUEUED, _STATUS.PREPARING, _STATUS.RUNNING, _STATUS.RUNNING_POST_COPY)


class Invariant(NamedTuple):
    """Wherever `when` holds, `then` does."""

    name: str
    when: Pattern
    then: Pattern


_LEAVING = (_STATUS.CONFIRMING, _STATUS.CONFIRMED, _STATUS.REVERTING, _STATUS.REVERTED)

#: Nova's invariants, as far as joint states can tell; the numbers are those of the documentation (laws and invariants).
INVARIANTS: tuple[Invariant, ...] = (
    Invariant("I2: resize_confirming never occurs", where(), where(task=frozenset(_TASK) - {_TASK.RESIZE_CONFIRMING})),
    Invariant(
        "I13, I16, I17: resized has its migration",
        where(vm=(_VM.RESIZED,)),
        where(kind=_COLD_KINDS, status=(_STATUS.FINISHED, *_LEAVING)),
    ),
    Invariant(
        "I13: resized and untouched waits for its owner",
        where(vm=(_VM.RESIZED,), task=(_TASK.IDLE,)),
        where(status=(_STATUS.FINISHED, _STATUS.CONFIRMING, _STATUS.CONFIRMED)),
    ),
    Invariant(
        "I18: what migrates is active or paused",
        where(task=(_TASK.MIGRATING,)),
        where(vm=(_VM.ACTIVE, _VM.PAUSED)),
    ),
    Invariant(
        "I19: what migrates has a resize or cold migration only from before, in error or failed",
        where(task=(_TASK.MIGRATING,), kind=_COLD_KINDS),
        where(status=(_STATUS.ERROR, _STATUS.FAILED)),
    ),
    Invariant(
        "I19: what migrates has an evacuation only from before, done with or in error",
        where(task=(_TASK.MIGRATING,), kind=frozenset({_KIND.EVACUATION})),
        where(status=(_STATUS.DONE, _STATUS.COMPLETED, _STATUS.ERROR, _STATUS.FAILED)),
    ),
    Invariant(
        "I20: a live migration has its own statuses",
        where(kind=frozenset({_KIND.LIVE_MIGRATION})),
        where(status=(*_LIVE, _STATUS.ERROR, *_FINAL - {_STATUS.CONFIRMED, _STATUS.REVERTED})),
    ),
    Invariant(
        "I21: an evacuation has its own statuses",
        where(kind=frozenset({_KIND.EVACUATION})),
        where(
            status=(
                _STATUS.ACCEPTED,
                _STATUS.PRE_MIGRATING,
                _STATUS.DONE,
                _STATUS.COMPLETED,
                _STATUS.FAILED,
                _STATUS.ERROR,
            )
        ),
    ),
    Invariant(
        "I39: what is deleted has no task and no guest",
        where(vm=(_VM.DELETED,)),
        where(task=(_TASK.IDLE,), power=(_POWER.NOSTATE,), status=_RESTING),
    ),
    Invariant(
        "L1: what was offloaded runs nowhere, unless it is being started or deleted",
        where(vm=(_VM.SHELVED_OFFLOADED,), task=frozenset(_TASK) - {_TASK.SPAWNING, *_DELETING}),
        where(power=(_POWER.NOSTATE,)),
    ),
)


class JointMachine:
    """The joint state space: the moves, and what they reach."""

    #: The states that a new instance may be in.
    initial: frozenset[Joint] = frozenset(
        {
            Joint(_VM.BUILDING, _TASK.SCHEDULING, _POWER.NOSTATE),
            Joint(_VM.BUILDING, _TASK.IDLE, _POWER.NOSTATE),
        }
    )

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        """Every joint move."""
        return moves()

    def successors(self, joint: Joint) -> Iterator[tuple[Move, Joint]]:
        """Every move that can be made in *joint*, and where it leads."""
        for move in self._by_task[joint.task]:
            after = move.of(joint)
            if after is not None:
                yield move, after

    @cached_property
    def _by_task(self) -> Mapping[TaskState, tuple[Move, ...]]:
        def sources(move: Move) -> frozenset[State]:
            may = frozenset[State](_TASK) if move.when.task is None else frozenset[State](move.when.task)
            return may if move.task is None else may & frozenset(TaskMachine.triggers[move.task].rows)

        return {task: tuple(m for m in self.moves if task in sources(m)) for task in _TASK}

    @cached_property
    def reachable(self) -> frozenset[Joint]:
        """The least fixed point of the moves from the initial states; takes a second or two, once."""
        found = set(self.initial)
        ahead = list(found)
        while ahead:
            for _, after in self.successors(ahead.pop()):
                if after not in found:
                    found.add(after)
                    ahead.append(after)
        return frozenset(found)

    def legal(self, joint: Joint) -> bool:
        """Whether no invariant speaks against *joint* (which may still be unreachable)."""
        return not any(rule.when.matches(joint) and not rule.then.matches(joint) for rule in INVARIANTS)

    def stable(self, joint: Joint) -> bool:
        """Whether nobody has to do anything about *joint*."""
        return (
            joint.task is TaskState.IDLE
            and joint.vm is not VMState.BUILDING
            and (joint.kind is None or joint.status in AT_REST[joint.kind])
            and not (joint.vm is VMState.RESIZED and joint.status in _FINAL)
            and POWER_SYNC[joint.vm, joint.power] in (PowerSyncAction.NONE, PowerSyncAction.WARN_ONLY)
        )


#: The joint state space.
JOINT = JointMachine()
