"""Actions: what may be asked of an instance, in which of its states, and what asking does.

Rules of this file:

1. A guard refuses exactly what Nova's API refuses: in order, the lock, the vm_state, the task_state, whether
   it was ever launched, whether it has a host. The first that refuses says why.
2. A refused action changes nothing and records nothing.
3. An action that begins a task writes exactly one task_state, and says which task_states the compare-and-swap
   that saves it may find in the store. There is always such a set: where Nova saves unguarded (delete,
   evacuate, gotchas G21 and G27), it is the one state that the guard saw.

Theory. An action is a row: the states it is allowed in, the task it begins, and what else it needs. The 54
rows are those of nova/compute/api.py (the decorators ``check_instance_lock``, ``check_instance_state``,
``check_instance_host``, the saves below them, and the external events) and nova/api/openstack/compute (reset
state, shares). Nova states some of them as rejections; here they are the complement. Preconditions that are no
matter of these four fields (quota, flavors, volumes, NUMA) are the flows' business.

Kept from Nova, knowingly: evacuate overwrites any task and ignores the lock (G21), force-complete rejects a
paused instance (G17), reset state looks at nothing (G33), confirming a resize begins no task (G3: its
recovery row has a deadline instead).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, NoReturn, Protocol

import attrs
from attrs import field, frozen

from novastate.errors import ActionNotAllowed, InstanceLocked, InstanceNotReady, UnknownName
from novastate.machines.table import unknown
from novastate.machines.task import TaskMachine, TaskState
from novastate.machines.vm import VMState

__all__ = ["ACTIONS", "Action", "ActionRule", "Begun", "Guarded", "begin", "check"]


class Action(Enum):
    """The fifty-four things that can be asked of an instance, by Nova's internal names."""

    CREATE = "create"
    SOFT_REBOOT = "soft_reboot"
    HARD_REBOOT = "hard_reboot"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    SUSPEND = "suspend"
    RESUME = "resume"
    STOP = "stop"
    FORCE_STOP = "force_stop"
    START = "start"
    RESCUE = "rescue"
    UNRESCUE = "unrescue"
    REBUILD = "rebuild"
    RESIZE = "resize"
    COLD_MIGRATE = "cold_migrate"
    CONFIRM_RESIZE = "confirm_resize"
    REVERT_RESIZE = "revert_resize"
    LIVE_MIGRATE = "live_migrate"
    LIVE_MIGRATE_FORCE_COMPLETE = "live_migrate_force_complete"
    LIVE_MIGRATE_ABORT = "live_migrate_abort"
    EVACUATE = "evacuate"
    SHELVE = "shelve"
    SHELVE_OFFLOAD = "shelve_offload"
    UNSHELVE = "unshelve"
    DELETE = "delete"
    SOFT_DELETE = "soft_delete"
    FORCE_DELETE = "force_delete"
    RESTORE = "restore"
    SNAPSHOT = "snapshot"
    SNAPSHOT_VOLUME_BACKED = "snapshot_volume_backed"
    BACKUP = "backup"
    SET_ADMIN_PASSWORD = "set_admin_password"  # noqa: S105  (an action, no secret)
    TRIGGER_CRASH_DUMP = "trigger_crash_dump"
    ATTACH_VOLUME = "attach_volume"
    DETACH_VOLUME = "detach_volume"
    SWAP_VOLUME = "swap_volume"
    ATTACH_INTERFACE = "attach_interface"
    DETACH_INTERFACE = "detach_interface"
    ADD_FIXED_IP = "add_fixed_ip"
    REMOVE_FIXED_IP = "remove_fixed_ip"
    INJECT_NETWORK_INFO = "inject_network_info"
    RESET_NETWORK = "reset_network"
    RESET_STATE = "reset_state"
    LOCK = "lock"
    UNLOCK = "unlock"
    GET_CONSOLE = "get_console"
    GET_CONSOLE_OUTPUT = "get_console_output"
    GET_DIAGNOSTICS = "get_diagnostics"
    UPDATE_METADATA = "update_metadata"
    VOLUME_SNAPSHOT_CREATE = "volume_snapshot_create"
    VOLUME_SNAPSHOT_DELETE = "volume_snapshot_delete"
    ATTACH_SHARE = "attach_share"
    EXTERNAL_POWER_UPDATE = "external_power_update"
    EXTERNAL_VOLUME_EXTENDED = "external_volume_extended"

    # As for states: Enum's own hash is a Python function.
    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of(cls, name: object) -> Action:
        """The action called *name* (or *name* itself); raises :class:`~novastate.errors.UnknownName` else.

        >>> Action.of("pause")
        <Action.PAUSE: 'pause'>
        """
        return cls(name)

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise unknown(cls, value, name="action")


_ANY_VM = frozenset(VMState)
_ANY_TASK = frozenset(TaskState)
_IDLE = frozenset({TaskState.IDLE})


@frozen(kw_only=True)
class ActionRule:
    """One action: where it may begin, and what beginning does."""

    #: The vm_states it is allowed in; empty for ``create``, which needs that there be no instance.
    vm_states: frozenset[VMState]
    #: The task_states it is allowed in.
    task_states: frozenset[TaskState]
    #: The task that it begins; None if it begins none, or if that depends on the vm_state.
    task_state: TaskState | None = None
    #: For an action whose task depends on the vm_state: the task in each.
    task_by_vm_state: Mapping[VMState, TaskState] = field(factory=dict[VMState, TaskState])
    #: The trigger of TaskMachine that begins the task, by the task.
    triggers: Mapping[TaskState, str] = field(factory=dict[TaskState, str])
    #: The task_states that Nova's compare-and-swap accepts; None where Nova's save is unguarded.
    expects: frozenset[TaskState] | None = None
    #: Whether it is refused before the first launch.
    must_have_launched: bool = True
    #: Whether a locked instance refuses it from all but administrators.
    honours_lock: bool = True
    #: Whether it is refused for an instance without a host.
    needs_host: bool = False
    #: The vm_states in which it may lack a host all the same.
    hostless: frozenset[VMState] = frozenset()
    #: The name under which Nova records it as an instance action; None if it is not recorded.
    instance_action: str | None = None

    def __reduce__(self) -> tuple[object, ...]:
        fields = {name: getattr(self, name) for name in attrs.fields_dict(type(self))}
        return _rule, ({name: dict(v) if isinstance(v, MappingProxyType) else v for name, v in fields.items()},)

    def begins(self, vm_state: VMState) -> TaskState | None:
        """The task that the action begins in *vm_state*, if it begins any."""
        return self.task_by_vm_state.get(vm_state, self.task_state)


def _rule(fields: Mapping[str, Any]) -> ActionRule:
    """The rule of pickled *fields*, its mappings read-only again."""
    read_only: dict[str, Any] = {n: MappingProxyType(v) if isinstance(v, dict) else v for n, v in fields.items()}  # pyright: ignore[reportUnknownArgumentType]
    return ActionRule(**read_only)


class _UnknownAction(UnknownName, KeyError):
    """A look-up in :data:`ACTIONS` that fails: a KeyError that says what was perhaps meant."""

    __str__ = Exception.__str__


class _Rules(dict[Action, ActionRule]):
    def __missing__(self, name: object) -> NoReturn:
        told = unknown(Action, name, name="action")
        error = _UnknownAction("action", name, told.known)
        error.near, error.args = told.near, told.args
        raise error


def _task(
    trigger: str,
    task: TaskState,
    vm_states: Iterable[VMState],
    instance_action: str | None,
    *,
    task_states: frozenset[TaskState] = _IDLE,
    expects: frozenset[TaskState] | None = _IDLE,
    launched: bool = True,
    lock: bool = True,
    host: bool = False,
) -> ActionRule:
    """A row of an action that begins *task*."""
    return ActionRule(
        vm_states=frozenset(vm_states),
        task_states=task_states,
        task_state=task,
        triggers=MappingProxyType({task: trigger}),
        expects=expects,
        must_have_launched=launched,
        honours_lock=lock,
        needs_host=host,
        instance_action=instance_action,
    )


def _plain(
    vm_states: Iterable[VMState],
    task_states: frozenset[TaskState],
    instance_action: str | None = None,
    *,
    launched: bool = True,
    lock: bool = True,
    host: bool = False,
    hostless: frozenset[VMState] = frozenset(),
) -> ActionRule:
    """A row of an action that begins no task."""
    return ActionRule(
        vm_states=frozenset(vm_states),
        task_states=task_states,
        must_have_launched=launched,
        honours_lock=lock,
        needs_host=host,
        hostless=hostless,
        instance_action=instance_action,
    )


def _rows() -> Mapping[Action, ActionRule]:
    vm, task = VMState, TaskState
    active, paused, suspended, stopped = vm.ACTIVE, vm.PAUSED, vm.SUSPENDED, vm.STOPPED
    usual = (active, stopped, paused, suspended)
    movable = (active, stopped)
    broken = (active, stopped, vm.ERROR)
    volumes = (active, paused, stopped, vm.RESIZED, vm.SOFT_DELETED, vm.SHELVED, vm.SHELVED_OFFLOADED)
    nics = (active, paused, stopped)
    hard = frozenset(TaskMachine.hard_reboot.rows)
    migrating = frozenset({task.MIGRATING})
    return MappingProxyType(
        _Rules(
            {
                Action.CREATE: _task(
                    "schedule",
                    task.SCHEDULING,
                    (),
                    "create",
                    task_states=_ANY_TASK,
                    expects=None,
                    launched=False,
                    lock=False,
                ),
                Action.SOFT_REBOOT: _task("reboot", task.REBOOTING, (active,), "reboot"),
                Action.HARD_REBOOT: _task(
                    "hard_reboot",
                    task.REBOOTING_HARD,
                    (*usual, vm.ERROR),
                    "reboot",
                    task_states=hard,
                    expects=hard,
                ),
                Action.PAUSE: _task("pause", task.PAUSING, (active,), "pause"),
                Action.UNPAUSE: _task("unpause", task.UNPAUSING, (paused,), "unpause"),
                Action.SUSPEND: _task("suspend", task.SUSPENDING, (active,), "suspend"),
                Action.RESUME: _task("resume", task.RESUMING, (suspended,), "resume"),
                Action.STOP: _task("power_off", task.POWERING_OFF, (active, vm.ERROR), "stop", host=True),
                # Power sync asks for it; no check but the compare-and-swap.
                Action.FORCE_STOP: _task(
                    "power_off",
                    task.POWERING_OFF,
                    _ANY_VM,
                    "stop",
                    task_states=_ANY_TASK,
                    launched=False,
                    lock=False,
                ),
                Action.START: _task("power_on", task.POWERING_ON, (stopped,), "start", host=True),
                Action.RESCUE: _task("rescue", task.RESCUING, broken, "rescue"),
                Action.UNRESCUE: _task("unrescue", task.UNRESCUING, (vm.RESCUED,), "unrescue"),
                Action.REBUILD: _task("rebuild", task.REBUILDING, broken, "rebuild"),
                Action.RESIZE: _task("resize", task.RESIZE_PREP, movable, "resize", host=True),
                Action.COLD_MIGRATE: _task("resize", task.RESIZE_PREP, movable, "migrate", host=True),
                Action.CONFIRM_RESIZE: _plain((vm.RESIZED,), _IDLE, "confirmResize"),
                Action.REVERT_RESIZE: _task("revert_resize", task.RESIZE_REVERTING, (vm.RESIZED,), "revertResize"),
                Action.LIVE_MIGRATE: _task("live_migrate", task.MIGRATING, (active, paused), "live-migration"),
                Action.LIVE_MIGRATE_FORCE_COMPLETE: _plain((active,), migrating, "live_migration_force_complete"),
                Action.LIVE_MIGRATE_ABORT: _plain(_ANY_VM, migrating, "live_migration_cancel"),
                Action.EVACUATE: _task(
                    "evacuate",
                    task.REBUILDING,
                    broken,
                    "evacuate",
                    task_states=_ANY_TASK,
                    expects=None,
                    lock=False,
                ),
                Action.SHELVE: _task("shelve", task.SHELVING, usual, "shelve"),
                Action.SHELVE_OFFLOAD: _task(
                    "shelve_offload", task.SHELVING_OFFLOADING, (vm.SHELVED,), "shelveOffload"
                ),
                Action.UNSHELVE: _task("unshelve", task.UNSHELVING, (vm.SHELVED, vm.SHELVED_OFFLOADED), "unshelve"),
                Action.DELETE: _task(
                    "delete",
                    task.DELETING,
                    _ANY_VM,
                    "delete",
                    task_states=_ANY_TASK,
                    expects=None,
                    launched=False,
                ),
                Action.SOFT_DELETE: _task(
                    "soft_delete", task.SOFT_DELETING, _ANY_VM, "delete", task_states=_ANY_TASK, expects=None
                ),
                Action.FORCE_DELETE: _task(
                    "delete",
                    task.DELETING,
                    _ANY_VM,
                    "delete",
                    task_states=_ANY_TASK,
                    expects=None,
                    launched=False,
                ),
                Action.RESTORE: _task("restore", task.RESTORING, (vm.SOFT_DELETED,), "restore"),
                Action.SNAPSHOT: _task("snapshot", task.IMAGE_SNAPSHOT_PENDING, usual, "createImage", lock=False),
                Action.SNAPSHOT_VOLUME_BACKED: _plain(usual, _IDLE, "createImage", lock=False),
                Action.BACKUP: _task("backup", task.IMAGE_BACKUP, usual, "createBackup", lock=False),
                Action.SET_ADMIN_PASSWORD: _task(
                    "set_admin_password", task.UPDATING_PASSWORD, (active,), "changePassword"
                ),
                Action.TRIGGER_CRASH_DUMP: _plain(
                    (active, paused, vm.RESCUED, vm.RESIZED, vm.ERROR), _IDLE, "trigger_crash_dump", host=True
                ),
                Action.ATTACH_VOLUME: _plain(volumes, _IDLE, "attach_volume"),
                Action.DETACH_VOLUME: _plain(
                    volumes, _IDLE, "detach_volume", host=True, hostless=frozenset({vm.SHELVED_OFFLOADED})
                ),
                Action.SWAP_VOLUME: _plain((active, paused, vm.RESIZED), _IDLE, "swap_volume"),
                Action.ATTACH_INTERFACE: _plain(nics, _IDLE, "attach_interface"),
                Action.DETACH_INTERFACE: _plain(nics, _IDLE, "detach_interface"),
                Action.ADD_FIXED_IP: _plain(_ANY_VM, _ANY_TASK, launched=False),
                Action.REMOVE_FIXED_IP: _plain(_ANY_VM, _ANY_TASK, launched=False),
                Action.INJECT_NETWORK_INFO: _plain(_ANY_VM, _ANY_TASK, launched=False),
                Action.RESET_NETWORK: _plain(_ANY_VM, _ANY_TASK, launched=False, lock=False),
                Action.RESET_STATE: _plain(_ANY_VM, _ANY_TASK, "resetState", launched=False, lock=False),
                Action.LOCK: _plain(_ANY_VM, _ANY_TASK, "lock", launched=False, lock=False),
                Action.UNLOCK: _plain(_ANY_VM, _ANY_TASK, "unlock", launched=False, lock=False),
                Action.GET_CONSOLE: _plain(
                    _ANY_VM, _ANY_TASK - {task.DELETING, task.MIGRATING}, launched=False, lock=False, host=True
                ),
                Action.GET_CONSOLE_OUTPUT: _plain(_ANY_VM, _ANY_TASK, launched=False, lock=False, host=True),
                Action.GET_DIAGNOSTICS: _plain(_ANY_VM, _ANY_TASK, launched=False, lock=False, host=True),
                Action.UPDATE_METADATA: _plain(usual, _ANY_TASK),
                Action.VOLUME_SNAPSHOT_CREATE: _plain(_ANY_VM, _IDLE, lock=False, host=True),
                Action.VOLUME_SNAPSHOT_DELETE: _plain(_ANY_VM, _IDLE, lock=False, host=True),
                Action.ATTACH_SHARE: _plain(
                    (stopped,), _ANY_TASK, "attach_share | detach_share", launched=False, lock=False
                ),
                Action.EXTERNAL_POWER_UPDATE: ActionRule(
                    vm_states=frozenset(movable),
                    task_states=_IDLE,
                    task_by_vm_state=MappingProxyType({stopped: task.POWERING_ON, active: task.POWERING_OFF}),
                    triggers=MappingProxyType({task.POWERING_ON: "power_on", task.POWERING_OFF: "power_off"}),
                    expects=_IDLE,
                    must_have_launched=False,
                    honours_lock=False,
                    instance_action="start|stop",
                ),
                Action.EXTERNAL_VOLUME_EXTENDED: _plain(
                    _ANY_VM, _ANY_TASK, "extend_volume", launched=False, lock=False
                ),
            }
        )
    )


#: The rule of each action; a look-up of what is none raises a KeyError that is an UnknownName, too.
ACTIONS: Mapping[Action, ActionRule] = _rows()


class Guarded(Protocol):
    """What a guard looks at; an Instance has it, and so may your own record."""

    @property
    def vm_state(self) -> VMState:
        """The last stable condition."""
        ...

    @property
    def task_state(self) -> TaskState:
        """The operation in progress."""
        ...

    @property
    def locked(self) -> bool:
        """Whether its owner or an administrator locked it."""
        ...

    @property
    def launched_at(self) -> object:
        """When it was launched; None, or anything else that is false, if it never was."""
        ...

    @property
    def host(self) -> str | None:
        """The host that it is on, if any."""
        ...


@frozen
class Begun:
    """What an action began: save the instance if the store's task_state is one of `expects`."""

    #: What the compare-and-swap may find in the store.
    expects: frozenset[TaskState]
    #: What the task_state is now.
    task_state: TaskState


def check(action: Action | str, instance: Guarded, *, admin: bool = False) -> ActionRule:
    """Returns the rule of *action* if it may begin on *instance*, and raises if not.

    Raises, in this order: :class:`~novastate.errors.InstanceLocked` (an administrator, *admin*, passes it),
    :class:`~novastate.errors.ActionNotAllowed` for the vm_state, then for the task_state,
    :class:`~novastate.errors.InstanceNotReady` for an instance that was never launched, then for one without
    a host; :class:`~novastate.errors.UnknownName` for a name that is no action.

    >>> from types import SimpleNamespace
    >>> instance = SimpleNamespace(
    ...     vm_state=VMState.STOPPED, task_state=TaskState.IDLE, locked=False, launched_at="now", host="a"
    ... )
    >>> check("start", instance).task_state
    TaskState.POWERING_ON
    >>> check("pause", instance)
    Traceback (most recent call last):
    novastate.errors.ActionNotAllowed: pause: not allowed while vm_state is stopped; allowed: active
    """
    asked = Action.of(action)
    rule = ACTIONS[asked]
    if rule.honours_lock and instance.locked and not admin:
        raise InstanceLocked(asked, getattr(instance, "uuid", "(no uuid)"))
    if instance.vm_state not in rule.vm_states:
        raise ActionNotAllowed(asked, "vm_state", instance.vm_state, _in_order(VMState, rule.vm_states))
    if instance.task_state not in rule.task_states:
        raise ActionNotAllowed(asked, "task_state", instance.task_state, _in_order(TaskState, rule.task_states))
    if rule.must_have_launched and not instance.launched_at:
        raise InstanceNotReady(asked, getattr(instance, "uuid", "(no uuid)"), "launched_at")
    if rule.needs_host and not instance.host and instance.vm_state not in rule.hostless:
        raise InstanceNotReady(asked, getattr(instance, "uuid", "(no uuid)"), "host")
    return rule


def begin(action: Action | str, instance: Guarded, *, admin: bool = False) -> Begun:
    """Checks *action* (see :func:`check`) and moves the task_state of *instance* to the task that it begins.

    Raises what :func:`check` raises, and :class:`~novastate.errors.ActionNotAllowed` where the
    compare-and-swap could not succeed anyway; nothing is changed then. An action that begins no task changes
    nothing.

    >>> from types import SimpleNamespace
    >>> instance = SimpleNamespace(
    ...     vm_state=VMState.ACTIVE, task_state=TaskState.IDLE, locked=False, launched_at="now", host="a"
    ... )
    >>> begin("live_migrate", instance)
    Begun(expects=frozenset({TaskState.IDLE}), task_state=TaskState.MIGRATING)
    """
    rule = check(action, instance, admin=admin)
    seen = instance.task_state
    expects = frozenset({seen}) if rule.expects is None else rule.expects
    if seen not in expects:
        raise ActionNotAllowed(Action.of(action), "task_state", seen, _in_order(TaskState, expects))
    task = rule.begins(instance.vm_state)
    if task is None:
        return Begun(expects, seen)
    return Begun(expects, TaskMachine.trigger(rule.triggers[task])(instance))


def _in_order(states: Iterable[object], chosen: frozenset[object]) -> list[object]:
    return [state for state in states if state in chosen]
