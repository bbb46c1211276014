"""The status that people see of a server, derived from vm_state and task_state.

Rule of this file: the status is a view. Nothing is ever decided by it, and it is stored nowhere.

Theory. Each vm_state has one status; some tasks show through it. A task that is in progress on a shelved,
suspended or rescued server is not shown (nova/api/openstack/common.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from novastate.machines.table import expect
from novastate.machines.task import TaskState
from novastate.machines.vm import VMState

__all__ = ["STATUSES", "server_status"]

_RESIZE = dict.fromkeys(
    (TaskState.RESIZE_PREP, TaskState.RESIZE_MIGRATING, TaskState.RESIZE_MIGRATED, TaskState.RESIZE_FINISH), "RESIZE"
)
_REBUILD = dict.fromkeys(
    (TaskState.REBUILDING, TaskState.REBUILD_BLOCK_DEVICE_MAPPING, TaskState.REBUILD_SPAWNING), "REBUILD"
)
_REBOOT = dict.fromkeys((TaskState.REBOOTING, TaskState.REBOOT_PENDING, TaskState.REBOOT_STARTED), "REBOOT")
_HARD_REBOOT = dict.fromkeys(
    (TaskState.REBOOTING_HARD, TaskState.REBOOT_PENDING_HARD, TaskState.REBOOT_STARTED_HARD), "HARD_REBOOT"
)
_NOTHING: Mapping[TaskState, str] = MappingProxyType({})
_MIGRATING = {TaskState.MIGRATING: "MIGRATING"}
_PASSWORD = {TaskState.UPDATING_PASSWORD: "PASSWORD"}

#: For each vm_state: its status, and the statuses of the tasks that show.
STATUSES: Mapping[VMState, tuple[str, Mapping[TaskState, str]]] = MappingProxyType(
    {
        VMState.ACTIVE: (
            "ACTIVE",
            MappingProxyType(_REBOOT | _HARD_REBOOT | _PASSWORD | _REBUILD | _MIGRATING | _RESIZE),
        ),
        VMState.BUILDING: ("BUILD", _NOTHING),
        VMState.STOPPED: ("SHUTOFF", MappingProxyType(_RESIZE | _REBUILD)),
        VMState.RESIZED: ("VERIFY_RESIZE", MappingProxyType({TaskState.RESIZE_REVERTING: "REVERT_RESIZE"})),
        VMState.PAUSED: ("PAUSED", MappingProxyType(_MIGRATING)),
        VMState.SUSPENDED: ("SUSPENDED", _NOTHING),
        VMState.RESCUED: ("RESCUE", _NOTHING),
        VMState.ERROR: ("ERROR", MappingProxyType(_REBUILD)),
        VMState.DELETED: ("DELETED", _NOTHING),
        VMState.SOFT_DELETED: ("SOFT_DELETED", _NOTHING),
        VMState.SHELVED: ("SHELVED", _NOTHING),
        VMState.SHELVED_OFFLOADED: ("SHELVED_OFFLOADED", _NOTHING),
    }
)


def server_status(vm_state: VMState | None, task_state: TaskState | None = TaskState.IDLE) -> str:
    """The status of a server in *vm_state* with *task_state*; ``UNKNOWN`` where it has no vm_state.

    A string is no state: it raises :class:`~novastate.errors.UnknownName`.

    >>> server_status(VMState.ACTIVE, TaskState.MIGRATING)
    'MIGRATING'
    >>> server_status(VMState.STOPPED)
    'SHUTOFF'
    """
    task = TaskState.IDLE if task_state is None else expect(TaskState, task_state)
    if vm_state is None:
        return "UNKNOWN"
    usual, shown = STATUSES[expect(VMState, vm_state)]
    return shown.get(task, usual)
