"""Joint moves: every single write by which an instance and its migration get from one joint state to another.

Rules of this file:

1. A move names the triggers that it fires and the set of joint states that it may be made in; it is made
   of rows of the single machines, all of them or none.
2. Actions are not written here again: they are read from :data:`novastate.machines.ACTIONS`.
3. Every step of a flow is followed by its failures: whatever a flow can do, it can also fail to do.

Theory. The moves are a second table over the tables of the machines: :mod:`novastate.machines.joint` runs
it to its fixed point. Flows are those of Nova (nova/compute/manager.py, nova/conductor/tasks), failures
what its error handlers leave behind. Where Nova writes twice and may die in between, here is one write:
reverting a resize (G4), resetting an instance that has a migration (G33), an evacuation that takes over
from another migration (G21).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from novastate.machines.actions import ACTIONS, Action
from novastate.machines.migration import MIGRATION_MACHINES, MigrationStatus, MigrationType
from novastate.machines.power import PowerMachine, PowerState
from novastate.machines.power_sync import POWER_SYNC, PowerSyncAction
from novastate.machines.table import State
from novastate.machines.task import TaskMachine, TaskState
from novastate.machines.vm import VMMachine, VMState

__all__ = ["Joint", "Move", "Pattern", "fired", "moves", "settled", "where"]

_VM, _TASK, _POWER, _STATUS, _KIND = VMState, TaskState, PowerState, MigrationStatus, MigrationType
_COLD_KINDS = frozenset({_KIND.RESIZE, _KIND.MIGRATION})
_LIVE_KIND = frozenset({_KIND.LIVE_MIGRATION})
_EVACUATION_KIND = frozenset({_KIND.EVACUATION})
_NONE: frozenset[None] = frozenset({None})


class Joint(NamedTuple):
    """One joint state; `kind` and `status` are of the migration that is not final, or None."""

    vm: VMState
    task: TaskState
    power: PowerState
    kind: MigrationType | None = None
    status: MigrationStatus | None = None

    def __str__(self) -> str:
        move = "" if self.status is None else f", {self.kind} {self.status}"
        return f"({self.vm}, {self.task}, {self.power}{move})"


class Pattern(NamedTuple):
    """A set of joint states: for each variable the values it may have; None allows every one."""

    vm: frozenset[VMState] | None = None
    task: frozenset[TaskState] | None = None
    power: frozenset[PowerState] | None = None
    kind: frozenset[MigrationType | None] | None = None
    status: frozenset[MigrationStatus | None] | None = None

    def matches(self, joint: Joint) -> bool:
        """Whether *joint* is in the set."""
        return (
            (self.vm is None or joint.vm in self.vm)
            and (self.task is None or joint.task in self.task)
            and (self.power is None or joint.power in self.power)
            and (self.kind is None or joint.kind in self.kind)
            and (self.status is None or joint.status in self.status)
        )


class Move(NamedTuple):
    """One joint move: where it may be made, and which triggers it fires."""

    name: str
    #: Who makes it: ``user``, ``flow``, ``failure``, ``guest`` (or whoever is at the hypervisor), ``sync``, ``admin``.
    by: str
    when: Pattern
    vm: str | None = None
    task: str | None = None
    power: PowerState | None = None
    status: str | None = None
    #: A migration that begins: its type. What was there before is at rest, or put to rest by this write.
    new: MigrationType | None = None

    def of(self, joint: Joint) -> Joint | None:
        """What *joint* becomes; None if the move cannot be made there."""
        if not self.when.matches(joint):
            return None
        vm: State | None = joint.vm if self.vm is None else VMMachine.triggers[self.vm].rows.get(joint.vm)
        task: State | None = joint.task if self.task is None else TaskMachine.triggers[self.task].rows.get(joint.task)
        kind, status = joint.kind, joint.status
        if self.new is not None:
            kind, status = self.new, _first(self.new)
        elif self.status is not None:
            trigger = self.status.removesuffix("?")
            after = fired(kind, status, trigger)
            if after is None and trigger == self.status:
                return None
            status = status if after is None else after
        if not isinstance(vm, VMState) or not isinstance(task, TaskState):
            return None
        return settled(Joint(vm, task, joint.power if self.power is None else self.power, kind, status))


def _first(kind: MigrationType) -> MigrationStatus:
    (status,) = MIGRATION_MACHINES[kind].initial
    assert isinstance(status, MigrationStatus)
    return status


def fired(kind: MigrationType | None, status: MigrationStatus | None, trigger: str) -> MigrationStatus | None:
    """The status after *trigger* of the machine of *kind*; None where it is not defined."""
    if kind is None or status is None or trigger not in MIGRATION_MACHINES[kind].triggers:
        return None
    after = MIGRATION_MACHINES[kind].triggers[trigger].rows.get(status)
    return after if isinstance(after, MigrationStatus) else None


def settled(joint: Joint) -> Joint:
    """*joint* without a migration that is history: final, and neither a task nor a pending resize refers to it."""
    if joint.kind is None or joint.status not in MIGRATION_MACHINES[joint.kind].final:
        return joint
    if joint.task or joint.vm is VMState.RESIZED:
        return joint
    return joint._replace(kind=None, status=None)


def where(
    *,
    vm: Iterable[VMState] | None = None,
    task: Iterable[TaskState] | None = None,
    power: Iterable[PowerState] | None = None,
    kind: Iterable[MigrationType | None] | None = None,
    status: Iterable[MigrationStatus | None] | None = None,
) -> Pattern:
    """The pattern of these values; a variable that is left out may have every value."""
    return Pattern(
        None if vm is None else frozenset(vm),
        None if task is None else frozenset(task),
        None if power is None else frozenset(power),
        None if kind is None else frozenset(kind),
        None if status is None else frozenset(status),
    )


# --- the moves

_BUSY = frozenset(_TASK) - {_TASK.IDLE}
_ALIVE = frozenset(_VM) - {_VM.DELETED}
_RESIZING = (_TASK.RESIZE_PREP, _TASK.RESIZE_MIGRATING, _TASK.RESIZE_MIGRATED, _TASK.RESIZE_FINISH)
_REBUILDING = (_TASK.REBUILDING, _TASK.REBUILD_BLOCK_DEVICE_MAPPING, _TASK.REBUILD_SPAWNING)
_DELETING = (_TASK.DELETING, _TASK.SOFT_DELETING)
#: The statuses in which no flow works on the migration that a joint state holds.
_RESTING: frozenset[MigrationStatus | None] = frozenset({None, _STATUS.ERROR, _STATUS.DONE})
_FINAL = frozenset(
    {_STATUS.COMPLETED, _STATUS.CANCELLED, _STATUS.FAILED, _STATUS.CONFIRMED, _STATUS.REVERTED},
)
_LIVE = (_STATUS.ACCEPTED, _STATUS.QUEUED, _STATUS.PREPARING, _STATUS.RUNNING, _STATUS.RUNNING_POST_COPY)


def _actions() -> Iterator[Move]:
    """The moves by which actions begin: straight from :data:`ACTIONS`."""
    special = {
        Action.CREATE,  # there is no instance yet
        Action.FORCE_STOP,  # power sync's
        Action.REVERT_RESIZE,  # with its migration, below
        Action.EVACUATE,  # the same
    }
    forget = {Action.LIVE_MIGRATE, Action.RESIZE, Action.COLD_MIGRATE}
    for action, rule in ACTIONS.items():
        if action in special:
            continue
        tasks = rule.task_states if rule.expects is None else rule.task_states & rule.expects
        launched = frozenset({_VM.BUILDING}) if rule.must_have_launched else frozenset[VMState]()
        for task, trigger in rule.triggers.items():
            vms = (frozenset(v for v in rule.vm_states if rule.begins(v) is task) - launched) & _ALIVE
            # A migration does not begin while another one is being worked on.
            status = _RESTING if action in forget else None
            yield Move(str(action), "user", Pattern(vms, tasks, status=status), task=trigger)
    evacuate = ACTIONS[Action.EVACUATE]
    yield Move("evacuate", "user", Pattern(evacuate.vm_states), task="evacuate", new=_KIND.EVACUATION)
    # With its record, in one write; Nova's two writes are the action above and a step below.
    live = Pattern(ACTIONS[Action.LIVE_MIGRATE].vm_states, status=_RESTING)
    yield Move("live_migrate", "user", live, task="live_migrate", new=_KIND.LIVE_MIGRATION)
    resized, idle = frozenset({_VM.RESIZED}), frozenset({_TASK.IDLE})
    yield Move("revert_resize", "user", Pattern(resized, idle), task="revert_resize", status="revert")
    yield Move("confirm_resize", "user", Pattern(resized, idle), status="confirm")
    yield Move("reset_state", "admin", Pattern(_ALIVE), vm="reset", task="reset", status="error?")
    yield Move("reset_state", "admin", Pattern(_ALIVE), vm="reset_error", task="reset", status="error?")


def _steps() -> Iterator[Move]:
    """The moves that flows make when all is well."""

    def step(
        name: str,
        when: Pattern,
        *,
        vm: str | None = None,
        task: str | None = None,
        power: PowerState | None = None,
        status: str | None = None,
        new: MigrationType | None = None,
    ) -> Move:
        return Move(name, "flow", when, vm, task, power, status, new)

    building = (_VM.BUILDING,)
    # build
    yield step("a host takes it", where(vm=building, task=(_TASK.SCHEDULING,)), task="finish")
    yield step("network", where(vm=building), task="network")
    yield step("map_block_devices", where(vm=building), task="map_block_devices")
    yield step("spawn", where(vm=building, task=(_TASK.BLOCK_DEVICE_MAPPING,)), task="spawn")
    yield step("spawned", where(task=(_TASK.SPAWNING,)), vm="spawned", task="finish", power=_POWER.RUNNING)
    # tasks that end in one write: the task, what the instance then is, what the guest then does
    for doing, ended, power in (
        (_TASK.PAUSING, "pause", _POWER.PAUSED),
        (_TASK.UNPAUSING, "unpause", _POWER.RUNNING),
        (_TASK.SUSPENDING, "suspend", _POWER.SUSPENDED),
        (_TASK.SUSPENDING, "suspend", _POWER.SHUTDOWN),
        (_TASK.RESUMING, "resume", _POWER.RUNNING),
        (_TASK.POWERING_OFF, "stop", _POWER.SHUTDOWN),
        (_TASK.POWERING_OFF, "force_stop", _POWER.SHUTDOWN),
        (_TASK.POWERING_ON, "start", _POWER.RUNNING),
        (_TASK.POWERING_ON, "unshelve", _POWER.RUNNING),
        (_TASK.RESCUING, "rescue", _POWER.RUNNING),
        (_TASK.UNRESCUING, "unrescue", _POWER.RUNNING),
        (_TASK.RESTORING, "restore", _POWER.RUNNING),
        (_TASK.REBOOT_STARTED, "reboot", _POWER.RUNNING),
        (_TASK.REBOOT_STARTED_HARD, "hard_reboot", _POWER.RUNNING),
        (_TASK.SHELVING, "shelve", _POWER.SHUTDOWN),
        (_TASK.SHELVING_IMAGE_UPLOADING, "shelve", _POWER.SHUTDOWN),
        (_TASK.SHELVING_OFFLOADING, "shelve_offload", _POWER.NOSTATE),
        (_TASK.SPAWNING, "unshelve", _POWER.RUNNING),
    ):
        yield step(f"{ended} ends", where(task=(doing,)), vm=ended, task="finish", power=power)
    for doing in (_TASK.UPDATING_PASSWORD, _TASK.IMAGE_UPLOADING):
        yield step(f"{doing} ends", where(task=(doing,)), task="finish")
    # links of chains
    for link in ("take_snapshot", "pend_upload", "upload", "pend_reboot", "start_reboot"):
        yield step(link, where(task=TaskMachine.triggers[link].rows), task=link)  # type: ignore[arg-type]
    held = where(status=(*_RESTING, *_FINAL, _STATUS.PRE_MIGRATING))
    yield step("rebuild_map_block_devices", held, task="rebuild_map_block_devices")
    yield step("rebuild_spawn", where(), task="rebuild_spawn")
    # shelve
    uploaded = where(task=(_TASK.SHELVING_IMAGE_UPLOADING,))
    yield step("shelve and offload", uploaded, vm="shelve", task="shelve_offload", power=_POWER.SHUTDOWN)
    yield step("offload at once", where(task=(_TASK.SHELVING,)), task="shelve_offload", power=_POWER.SHUTDOWN)
    yield step("unshelve here", where(vm=(_VM.SHELVED,), task=(_TASK.UNSHELVING,)), task="power_on")
    yield step("unshelve elsewhere", where(vm=(_VM.SHELVED_OFFLOADED,), task=(_TASK.UNSHELVING,)), task="spawn")
    # rebuild and evacuate: what was stopped is stopped again
    spawning = (_TASK.REBUILD_SPAWNING,)
    alive = (_VM.ACTIVE, _VM.ERROR)
    yield step("rebuilt", where(vm=alive, task=spawning), vm="rebuild", task="finish", power=_POWER.RUNNING)
    yield step(
        "rebuilt, to stop",
        where(vm=(_VM.STOPPED,), task=spawning),
        vm="rebuild",
        task="power_off",
        power=_POWER.RUNNING,
    )
    yield step("evacuation claims", where(kind=_EVACUATION_KIND, task=(_TASK.REBUILDING,)), status="claim")
    landed = frozenset(_TASK) - set(_REBUILDING)
    yield step("evacuated", where(kind=_EVACUATION_KIND, task=landed, status=(_STATUS.PRE_MIGRATING,)), status="done")
    yield step("the old host is back", where(kind=_EVACUATION_KIND), status="complete")
    # resize, cold migration
    for kind in (_KIND.RESIZE, _KIND.MIGRATION):
        yield step(f"{kind} record", where(task=(_TASK.RESIZE_PREP,), status=_RESTING), new=kind)
    cold = _COLD_KINDS
    yield step("source begins", where(kind=cold, task=(_TASK.RESIZE_PREP,)), status="migrate")
    yield step(
        "disks move", where(kind=cold, status=(_STATUS.MIGRATING,)), task="resize_migrate", power=_POWER.SHUTDOWN
    )
    yield step("disks moved", where(kind=cold, task=(_TASK.RESIZE_MIGRATING,)), status="post_migrate")
    yield step("host flipped", where(kind=cold, status=(_STATUS.POST_MIGRATING,)), task="resize_migrated")
    yield step("destination begins", where(kind=cold, status=(_STATUS.POST_MIGRATING,)), task="resize_finish")
    yield step("destination is up", where(kind=cold, task=(_TASK.RESIZE_FINISH,)), status="finish")
    done = where(kind=cold, task=(_TASK.RESIZE_FINISH,), status=(_STATUS.FINISHED,))
    yield step("resized", done, vm="resize", task="finish", power=_POWER.RUNNING)
    yield step("resized, off", done, vm="resize", task="finish", power=_POWER.SHUTDOWN)
    owner = (_TASK.IDLE, *_DELETING)
    yield step("confirmed", where(kind=cold, task=owner, status=(_STATUS.CONFIRMING,)), status="confirmed")
    yield step("confirmed by deletion", where(kind=cold, task=_DELETING), status="confirmed")
    kept = where(task=(_TASK.IDLE,), status=(_STATUS.CONFIRMED,), power=frozenset(_POWER) - {_POWER.SHUTDOWN})
    yield step("kept", kept, vm="confirm_resize")
    off = where(task=(_TASK.IDLE,), status=(_STATUS.CONFIRMED,), power=(_POWER.SHUTDOWN,))
    yield step("kept, off", off, vm="confirm_resize_stopped")
    yield step("the old side is up", where(kind=cold, task=(_TASK.RESIZE_REVERTING,)), status="reverted")
    back = where(task=(_TASK.RESIZE_REVERTING,), status=(_STATUS.REVERTED,))
    yield step("reverted", back, vm="revert_resize", task="finish", power=_POWER.RUNNING)
    yield step("reverted, to stop", back, task="power_off", power=_POWER.RUNNING)
    stopping = where(task=(_TASK.POWERING_OFF,), status=(_STATUS.REVERTED,))
    yield step("reverted, off", stopping, vm="revert_resize_stopped", task="finish", power=_POWER.SHUTDOWN)
    # live migration
    migrating, live = (_TASK.MIGRATING,), _LIVE_KIND
    yield step("live migration record", where(task=migrating, status=_RESTING), new=_KIND.LIVE_MIGRATION)
    for trigger in ("queue", "prepare", "run", "post_copy"):
        yield step(trigger, where(kind=live, task=migrating), status=trigger)
    for trigger in ("complete", "cancel", "fail"):
        yield step(
            f"{trigger}, then the task", where(kind=live, task=(*migrating, _TASK.IDLE, *_DELETING)), status=trigger
        )
        yield step(f"{trigger} with the task", where(kind=live, task=migrating), task="finish", status=trigger)
    landed_live = where(kind=live, task=migrating, status=(_STATUS.RUNNING, _STATUS.RUNNING_POST_COPY))
    yield step("landed", landed_live, task="finish")
    yield step("the task ends", where(task=migrating, status=_FINAL), task="finish")
    # delete
    undone = where(task=(_TASK.DELETING,), status=(*_RESTING, *_FINAL))
    yield step("deleted", undone, vm="delete", task="finish", power=_POWER.NOSTATE)
    hidden = where(task=(_TASK.SOFT_DELETING,), status=(*_RESTING, *_FINAL))
    yield step("soft-deleted", hidden, vm="soft_delete", task="finish", power=_POWER.SHUTDOWN)
    yield step("cleaned up", where(), status="clean_up")
    # A deletion that finds a move at work ends it first.
    gone = _ALIVE - {_VM.RESIZED}
    yield step("deletion ends a move", where(vm=gone, task=_DELETING), status="error")
    pending = where(vm=(_VM.RESIZED,), task=_DELETING, status=(_STATUS.CONFIRMING, _STATUS.REVERTING))
    yield step("deletion ends a resize", pending, vm="fail", status="error")


def _failures() -> Iterator[Move]:
    """The moves that flows make when something fails."""

    def failure(
        name: str,
        when: Pattern,
        *,
        vm: str | None = None,
        task: str | None = None,
        power: PowerState | None = None,
        status: str | None = None,
    ) -> Move:
        return Move(name, "failure", when, vm, task, power, status)

    building, offloaded = frozenset({_VM.BUILDING}), frozenset({_VM.SHELVED_OFFLOADED})
    # What was spawned in vain is destroyed.
    yield failure("reschedule", where(vm=building), task="reschedule", power=_POWER.NOSTATE)
    yield failure("build failed", where(vm=building, task=(_TASK.IDLE,)), vm="fail")
    yield failure("unshelve failed", where(vm=offloaded), task="revert", power=_POWER.NOSTATE)
    moving = frozenset({*_RESIZING, *_REBUILDING, _TASK.RESIZE_REVERTING, _TASK.MIGRATING})
    # A task that is the migration's fails with it; a deletion ends the migration before it fails; the rest fails alone.
    bound = where(task=moving | set(_DELETING), status=(*_RESTING, *_FINAL - {_STATUS.REVERTED}))
    alone = where(task=_BUSY - moving - set(_DELETING), status={None, *_STATUS} - {_STATUS.REVERTED})
    for when in (bound, alone):
        stays = when._replace(vm=_ALIVE - building - offloaded)
        yield failure("task reverted", stays, task="revert")
        yield failure("task failed", when, vm="fail", task="revert")
    # The old side is up: whatever came after that failed, there it is.
    reverted = where(status=(_STATUS.REVERTED,))
    yield failure("reverted, no more", reverted, vm="revert_resize", task="revert")
    yield failure("reverted, failed", reverted, vm="fail", task="revert")
    unresized = _ALIVE - {_VM.RESIZED}
    flown = (*_LIVE_KIND, *_EVACUATION_KIND)
    for status in ("fail", "error"):
        yield failure(f"rolled back: {status}", where(task=moving, vm=unresized), task="revert", status=status)
        yield failure(f"move failed: {status}", where(task=moving), vm="fail", task="revert", status=status)
        yield failure(f"landed badly: {status}", where(task=(_TASK.IDLE,), kind=flown), vm="fail", status=status)
    confirming = where(vm=(_VM.RESIZED,), task=(_TASK.IDLE,), status=(_STATUS.CONFIRMING,))
    yield failure("confirm failed", confirming, vm="fail", status="error")


def _guests() -> Iterator[Move]:
    """What guests, and people at the hypervisor, do; and what power sync asks for in return."""
    somewhere = _ALIVE - {_VM.BUILDING, _VM.SHELVED_OFFLOADED}
    for row in PowerMachine.rows:
        assert isinstance(row.source, PowerState)
        assert isinstance(row.dest, PowerState)
        yield Move(row.trigger, "guest", where(vm=somewhere, power=(row.source,)), power=row.dest)
    appears = where(vm=(_VM.BUILDING, _VM.SHELVED_OFFLOADED), task=(_TASK.SPAWNING,), power=(_POWER.NOSTATE,))
    yield Move("start", "guest", appears, power=_POWER.RUNNING)
    for (vm, power), asks in POWER_SYNC.items():
        if asks in (PowerSyncAction.STOP, PowerSyncAction.FORCE_STOP, PowerSyncAction.RECHECK_THEN_STOP):
            yield Move(str(asks), "sync", where(vm=(vm,), task=(_TASK.IDLE,), power=(power,)), task="power_off")


def moves() -> tuple[Move, ...]:
    """Every joint move."""
    return (*_actions(), *_steps(), *_failures(), *_guests())
