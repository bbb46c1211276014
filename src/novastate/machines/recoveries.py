"""Recovery rows: for every joint state that must not last, how long it may, and the way out.

Rules of this file:

1. Every reachable joint state that is not stable matches a row: nothing waits without a deadline (L10),
   and nothing is stuck (Nova is, in G3 to G7, G10, G11, G13, G15, G23).
2. The way out never starts a guest where another one may run (L1). Where the record cannot tell where the
   guest is, the row asks the hypervisors; if they do not answer, the way is to ``error``, which starts
   nothing.
3. A task that may be made twice with the effect of once (L8) is driven on; one whose effect can be seen is
   driven on if it is there; one that changed nothing yet goes back; the rest goes to error.
4. Rows are tried from top to bottom; the first that matches decides.

Theory. A flow that dies leaves a joint state behind. That state, and what the hypervisors say, is all
there is to go by. A deadline counts from the last write of the record: a flow that lives writes more often
than that (a live migration its progress every few seconds). The deadlines are of the size of Nova's own
time-outs (``long_rpc_timeout`` 1800 s, ``sync_power_state_interval`` 600 s), or of the copy of a large disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType

from attrs import field, frozen

from novastate.machines.joint import JOINT
from novastate.machines.migration import MIGRATION_MACHINES, MigrationStatus, MigrationType
from novastate.machines.moves import Joint, Pattern, fired, settled, where
from novastate.machines.power import PowerState
from novastate.machines.table import expect
from novastate.machines.task import TaskMachine, TaskState
from novastate.machines.vm import VMMachine, VMState

__all__ = ["RECOVERIES", "Recovery", "RecoveryRow", "Seen", "Way", "recovered", "recovery"]


class Way(Enum):
    """Which way out of a joint state to take."""

    #: Do the rest of what was begun; what was done already is done again, with the effect of once.
    ON = "on"
    #: Undo; vm_state stays what it is, the task is reverted, the migration failed.
    BACK = "back"
    #: Leave it to a hand: vm_state becomes error, the task is reverted, the migration is in error.
    ERROR = "error"

    __hash__ = object.__hash__


class Seen(Enum):
    """Where the hypervisors say that the guest of a move is."""

    #: It runs on the source; or no destination runs it, and the source still has it.
    SOURCE = "source"
    #: It runs on the destination; or only the destination has it.
    DESTINATION = "destination"
    #: No host has it.
    NEITHER = "neither"
    #: A host that may have it does not answer.
    UNKNOWN = "unknown"

    __hash__ = object.__hash__


@frozen
class Recovery:
    """What to do about a joint state that has lasted for `deadline` seconds."""

    #: Seconds since the last write of the record.
    deadline: float
    #: The way to take; where `seen` is not empty, the one to take if the hypervisors were not asked.
    way: Way
    #: Why.
    reason: str
    #: The way to take for what the hypervisors say; empty where it does not matter.
    seen: Mapping[Seen, Way] = field(factory=dict[Seen, Way])
    #: Whether the migration is part of what is recovered, or only the task.
    moves: bool = False

    def __reduce__(self) -> tuple[object, ...]:
        return _recovery, (self.deadline, self.way, self.reason, dict(self.seen), self.moves)


def _recovery(deadline: float, way: Way, reason: str, seen: Mapping[Seen, Way], moves: bool) -> Recovery:
    """What was pickled, its mapping read-only again."""
    return Recovery(deadline, way, reason, MappingProxyType(seen), moves)


@frozen
class RecoveryRow:
    """One row: the joint states that it is for, and what to do about them."""

    when: Pattern
    recovery: Recovery


_VM, _TASK, _POWER, _STATUS = VMState, TaskState, PowerState, MigrationStatus
_FINAL = frozenset({_STATUS.COMPLETED, _STATUS.CANCELLED, _STATUS.FAILED, _STATUS.CONFIRMED, _STATUS.REVERTED})
_AT_WORK = frozenset(_STATUS) - _FINAL - {_STATUS.ERROR, _STATUS.DONE, _STATUS.FINISHED}
_NOT_AT_WORK: frozenset[MigrationStatus | None] = frozenset({None, *_STATUS}) - _AT_WORK
_ON_POWER = (_POWER.RUNNING,)

_MINUTE, _HOUR = 60.0, 3600.0

#: Tasks that depend on nothing but themselves: deadline, the way, and the power states that show that it is done.
_TASKS: Mapping[TaskState, tuple[float, Way, Iterable[PowerState], str]] = MappingProxyType(
    {
        _TASK.IMAGE_SNAPSHOT_PENDING: (10 * _MINUTE, Way.BACK, (), "nothing was copied yet"),
        _TASK.IMAGE_SNAPSHOT: (3 * _HOUR, Way.BACK, (), "a copy that is not complete is worth nothing"),
        _TASK.IMAGE_PENDING_UPLOAD: (_HOUR, Way.BACK, (), "a copy that is not uploaded is worth nothing"),
        _TASK.IMAGE_UPLOADING: (3 * _HOUR, Way.BACK, (), "an upload that is not complete is worth nothing"),
        _TASK.IMAGE_BACKUP: (3 * _HOUR, Way.BACK, (), "a copy that is not complete is worth nothing"),
        _TASK.UPDATING_PASSWORD: (2 * _MINUTE, Way.BACK, (), "the password was set or not; the owner tries again"),
        _TASK.REBOOTING: (5 * _MINUTE, Way.ON, (), "a reboot may be made twice, the second time hard"),
        _TASK.REBOOT_PENDING: (5 * _MINUTE, Way.ON, (), "a reboot may be made twice, the second time hard"),
        _TASK.REBOOT_STARTED: (5 * _MINUTE, Way.ON, (), "a reboot may be made twice, the second time hard"),
        _TASK.REBOOTING_HARD: (5 * _MINUTE, Way.ON, (), "a hard reboot may be made twice"),
        _TASK.REBOOT_PENDING_HARD: (5 * _MINUTE, Way.ON, (), "a hard reboot may be made twice"),
        _TASK.REBOOT_STARTED_HARD: (5 * _MINUTE, Way.ON, (), "a hard reboot may be made twice"),
        _TASK.PAUSING: (2 * _MINUTE, Way.BACK, (_POWER.PAUSED,), "the guest is paused or it is not"),
        _TASK.UNPAUSING: (2 * _MINUTE, Way.BACK, _ON_POWER, "the guest runs or it does not"),
        _TASK.SUSPENDING: (
            30 * _MINUTE,
            Way.BACK,
            (_POWER.SUSPENDED, _POWER.SHUTDOWN),
            "the guest is saved or it is not",
        ),
        _TASK.RESUMING: (30 * _MINUTE, Way.BACK, _ON_POWER, "the guest runs, or its saved memory is still there"),
        _TASK.POWERING_OFF: (10 * _MINUTE, Way.ON, (), "switching off may be done twice"),
        _TASK.POWERING_ON: (10 * _MINUTE, Way.ON, (), "switching on may be done twice"),
        _TASK.RESCUING: (30 * _MINUTE, Way.ERROR, (), "which disk the guest runs from cannot be seen"),
        _TASK.UNRESCUING: (30 * _MINUTE, Way.ERROR, (), "which disk the guest runs from cannot be seen"),
        _TASK.REBUILDING: (30 * _MINUTE, Way.ERROR, (), "the old guest may be gone"),
        _TASK.REBUILD_BLOCK_DEVICE_MAPPING: (_HOUR, Way.ERROR, (), "the old guest is gone, the new one not there"),
        _TASK.REBUILD_SPAWNING: (_HOUR, Way.ERROR, _ON_POWER, "the new guest runs or it does not"),
        _TASK.RESTORING: (10 * _MINUTE, Way.BACK, _ON_POWER, "the guest runs, or it is still soft-deleted"),
        _TASK.SHELVING: (_HOUR, Way.BACK, (), "no image yet; a guest that ran is started again"),
        _TASK.SHELVING_IMAGE_PENDING_UPLOAD: (_HOUR, Way.BACK, (), "no image yet; a guest that ran is started again"),
        _TASK.SHELVING_IMAGE_UPLOADING: (3 * _HOUR, Way.BACK, (), "no image yet; a guest that ran is started again"),
        _TASK.SHELVING_OFFLOADING: (10 * _MINUTE, Way.ON, (), "the image is there, and offloading may be done twice"),
        _TASK.UNSHELVING: (30 * _MINUTE, Way.BACK, (), "nothing was started yet"),
        _TASK.SPAWNING: (_HOUR, Way.BACK, _ON_POWER, "the guest runs, or it is still shelved"),
    }
)


def _row(
    deadline: float,
    way: Way,
    reason: str,
    *,
    vm: Iterable[VMState] | None = None,
    task: Iterable[TaskState] | None = None,
    power: Iterable[PowerState] | None = None,
    kind: MigrationType | None = None,
    status: Iterable[MigrationStatus | None] | None = None,
    seen: Mapping[Seen, Way] | None = None,
    moves: bool = False,
) -> RecoveryRow:
    pattern = where(vm=vm, task=task, power=power, kind=None if kind is None else {kind}, status=status)
    return RecoveryRow(pattern, Recovery(deadline, way, reason, MappingProxyType(dict(seen or {})), moves))


def _rows() -> Iterator[RecoveryRow]:
    on, back, error = Way.ON, Way.BACK, Way.ERROR
    # --- deletion: the owner wants it gone, so on it goes; a move that is at work is ended first
    yield _row(10 * _MINUTE, on, "deletion is wanted, and may be done twice", task=(_TASK.DELETING,))
    yield _row(10 * _MINUTE, on, "deletion is wanted, and may be done twice", task=(_TASK.SOFT_DELETING,))
    # --- build
    new = (_VM.BUILDING,)
    spawning = (_TASK.SPAWNING,)
    yield _row(10 * _MINUTE, error, "no host has taken it", vm=new, task=(_TASK.SCHEDULING, _TASK.IDLE))
    yield _row(10 * _MINUTE, error, "its networks did not come", vm=new, task=(_TASK.NETWORKING,))
    yield _row(_HOUR, error, "its volumes did not come", vm=new, task=(_TASK.BLOCK_DEVICE_MAPPING,))
    yield _row(_HOUR, on, "it runs: the record is late", vm=new, task=spawning, power=_ON_POWER)
    yield _row(_HOUR, error, "it was never started", vm=new, task=spawning)
    # --- live migration
    live, migrating = MigrationType.LIVE_MIGRATION, (_TASK.MIGRATING,)
    lm = (_TASK.MIGRATING, _TASK.IDLE)
    none = _NOT_AT_WORK - _FINAL
    yield _row(2 * _MINUTE, back, "asked for, but no migration was begun", task=migrating, status=none, moves=True)
    yield _row(
        _MINUTE, on, "it is done; only the task is left", task=migrating, status=(_STATUS.COMPLETED,), moves=True
    )
    yield _row(_MINUTE, back, "it is undone; only the task is left", task=migrating, status=_FINAL, moves=True)
    yield _row(
        30 * _MINUTE,
        back,
        "checks before a migration leave the guest alone",
        status=(_STATUS.ACCEPTED,),
        kind=live,
        task=lm,
        moves=True,
    )
    yield _row(
        _HOUR, back, "whoever is in the queue has not left", status=(_STATUS.QUEUED,), kind=live, task=lm, moves=True
    )
    yield _row(
        30 * _MINUTE,
        back,
        "the guest has not left the source",
        status=(_STATUS.PREPARING,),
        kind=live,
        task=lm,
        moves=True,
    )
    yield _row(
        _MINUTE,
        error,
        "progress is written every few seconds: nobody watches; the guest is where it runs",
        status=(_STATUS.RUNNING,),
        seen={Seen.SOURCE: back, Seen.DESTINATION: on, Seen.NEITHER: error, Seen.UNKNOWN: error},
        kind=live,
        task=lm,
        moves=True,
    )
    yield _row(
        _MINUTE,
        error,
        "in post-copy the source's memory is stale: only the destination can go on",
        status=(_STATUS.RUNNING_POST_COPY,),
        seen={Seen.SOURCE: error, Seen.DESTINATION: on, Seen.NEITHER: error, Seen.UNKNOWN: error},
        kind=live,
        task=lm,
        moves=True,
    )
    # --- resize, cold migration
    prep = (_TASK.RESIZE_PREP,)
    yield _row(30 * _MINUTE, back, "the guest has not been touched", task=prep, moves=True)
    yield _row(
        3 * _HOUR,
        error,
        "disks are being moved: back, if the source has them all",
        task=(_TASK.RESIZE_MIGRATING,),
        status=(_STATUS.MIGRATING,),
        seen={Seen.SOURCE: back, Seen.DESTINATION: error, Seen.NEITHER: error, Seen.UNKNOWN: error},
        moves=True,
    )
    after_move = (_TASK.RESIZE_MIGRATING, _TASK.RESIZE_MIGRATED, _TASK.RESIZE_FINISH)
    yield _row(30 * _MINUTE, on, "the disks are on the destination", task=after_move, moves=True)
    yield _row(30 * _MINUTE, on, "reverting may be done twice", task=(_TASK.RESIZE_REVERTING,), moves=True)
    resized, idle = (_VM.RESIZED,), (_TASK.IDLE,)
    yield _row(
        30 * _MINUTE,
        on,
        "confirming may be done twice",
        vm=resized,
        task=idle,
        status=(_STATUS.CONFIRMING,),
        moves=True,
    )
    yield _row(_MINUTE, on, "the move is over; the record is late", vm=resized, task=idle, status=_FINAL, moves=True)
    # --- evacuation
    evacuation, rebuilding = (
        MigrationType.EVACUATION,
        (_TASK.REBUILDING, _TASK.REBUILD_BLOCK_DEVICE_MAPPING, _TASK.REBUILD_SPAWNING),
    )
    yield _row(
        30 * _MINUTE,
        back,
        "no destination has claimed",
        kind=evacuation,
        task=(*rebuilding, _TASK.IDLE),
        status=(_STATUS.ACCEPTED,),
        moves=True,
    )
    yield _row(
        _HOUR,
        error,
        "it runs on the destination, or the move failed; the source is down",
        kind=evacuation,
        task=rebuilding,
        status=(_STATUS.PRE_MIGRATING,),
        seen={Seen.SOURCE: back, Seen.DESTINATION: on, Seen.NEITHER: error, Seen.UNKNOWN: error},
        moves=True,
    )
    yield _row(
        _MINUTE,
        on,
        "it has landed; the record is late",
        kind=evacuation,
        task=idle,
        status=(_STATUS.PRE_MIGRATING,),
        moves=True,
    )
    # --- a move without a task: does not occur, but may be found in a record that somebody else wrote
    yield _row(10 * _MINUTE, error, "nobody does this migration any more", task=idle, status=_AT_WORK, moves=True)
    # --- tasks that stand for themselves
    for task, (deadline, way, done, reason) in _TASKS.items():
        if done:
            yield _row(deadline, on, reason, task=(task,), power=done)
        yield _row(deadline, way, reason, task=(task,))
    # --- no task: power sync acts, see novastate.machines.power_sync
    yield _row(10 * _MINUTE, on, "power sync switches it off", vm=set(_VM) - {_VM.BUILDING}, task=idle)
    # --- what else may be found in a record that somebody else wrote
    yield _row(_HOUR, error, "no flow leaves this behind", moves=True)


#: Every row, in the order in which they are tried.
RECOVERIES: tuple[RecoveryRow, ...] = tuple(_rows())


def _kind(task: TaskState, status: MigrationStatus | None) -> MigrationType | None:
    """The type of the migration, where status and task tell."""
    if status is None:
        return None
    rebuilding = task in (_TASK.REBUILDING, _TASK.REBUILD_BLOCK_DEVICE_MAPPING, _TASK.REBUILD_SPAWNING)
    order = (MigrationType.LIVE_MIGRATION, MigrationType.RESIZE, MigrationType.EVACUATION)
    for kind in reversed(order) if rebuilding else order:
        if status in MIGRATION_MACHINES[kind].reachable:
            return kind
    return None


def recovery(
    vm_state: VMState,
    task_state: TaskState,
    power_state: PowerState,
    status: MigrationStatus | None = None,
    *,
    kind: MigrationType | None = None,
) -> Recovery | None:
    """What to do about an instance that has been in this joint state for too long; None if it may stay there.

    *power_state* is what the hypervisor says now, not what the record says. *status* is of the instance's
    newest migration, *kind* its type (told from the status and the task, if left out). What is no state is an
    :class:`~novastate.errors.UnknownName`.

    >>> row = recovery(VMState.ACTIVE, TaskState.MIGRATING, PowerState.RUNNING, MigrationStatus.RUNNING)
    >>> row.deadline, row.seen[Seen.DESTINATION]
    (60.0, <Way.ON: 'on'>)
    >>> recovery(VMState.ACTIVE, TaskState.IDLE, PowerState.RUNNING) is None
    True
    """
    vm, task, power = expect(VMState, vm_state), expect(TaskState, task_state), expect(PowerState, power_state)
    if status is not None:
        expect(MigrationStatus, status)
    if kind is not None:
        expect(MigrationType, kind)
    joint = settled(Joint(vm, task, power, kind or _kind(task, status), status))
    if JOINT.stable(joint):
        return None
    return next(row.recovery for row in RECOVERIES if row.when.matches(joint))


def recovered(joint: Joint, found: Recovery, way: Way) -> Joint:
    """What *joint* is after *way* back or to error, as one write; :attr:`Way.ON` is walked by the flow."""
    if way is Way.ON:
        raise ValueError("the way on is walked by the flow, in as many writes as it takes")
    vm, task, status = joint.vm, joint.task, joint.status
    if way is Way.ERROR:
        vm = VMMachine.fail.rows.get(vm, vm)
    if task in TaskMachine.revert.rows:
        task = TaskState.IDLE
    if found.moves:
        triggers = ("fail", "error") if way is Way.BACK else ("error",)
        status = next((s for t in triggers if (s := fired(joint.kind, status, t)) is not None), status)
    return settled(Joint(vm, task, joint.power, joint.kind, status))
