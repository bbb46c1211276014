"""Power sync: what to do when the hypervisor says otherwise than vm_state.

Rules of this file:

1. Power sync never changes a vm_state. It records the power_state and, in a few cells, asks for an action.
2. It keeps its hands off an instance that has a task, or that is on another host by now: it writes nothing
   then.
3. An event counts only if the hypervisor still says the same when asked.

Theory. vm_state says what the user wants of the guest, power_state what the hypervisor says. Of the 72 pairs,
eight lead to an action (the guest has to be off, or is off), ten to a warning, and the rest to nothing. A
guest that was paused behind our back is left alone on purpose (G30): it may be a live migration that
failed in post-copy, or an I/O error that its administrator is looking at. Source: nova/compute/manager.py
(``_sync_instance_power_state``, ``handle_lifecycle_event``).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from novastate.machines.migration import MigrationStatus
from novastate.machines.power import PowerState
from novastate.machines.table import State, expect
from novastate.machines.task import TaskState
from novastate.machines.vm import VMState

__all__ = [
    "BINDING_STATUSES",
    "LIFECYCLE_POWER_STATES",
    "POWER_SYNC",
    "GuestEvent",
    "PowerSyncAction",
    "on_event",
    "sync_power",
]


class PowerSyncAction(Enum):
    """What power sync does with an instance."""

    #: Record the power_state; nothing else.
    NONE = "none"
    #: Record it, and log that something is odd.
    WARN_ONLY = "warn_only"
    #: Record it, and begin the action ``stop``.
    STOP = "stop"
    #: Record it, and begin the action ``force_stop``, which looks at nothing but the task_state.
    FORCE_STOP = "force_stop"
    #: Record it, and ask the hypervisor again, not its cache: see :func:`sync_power`.
    RECHECK_THEN_STOP = "recheck_then_stop"
    #: Write nothing: the instance is on another host.
    SKIP_MOVED = "skip_moved"
    #: Write nothing: somebody is at work on the instance.
    SKIP_PENDING_TASK = "skip_pending_task"
    #: Write nothing: the event is not, or no longer, what the hypervisor says.
    SKIP_STALE = "skip_stale"

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.value

    @property
    def records(self) -> bool:
        """Whether the observed power_state is written to the instance."""
        return not self.value.startswith("skip")


def _table() -> Mapping[tuple[VMState, PowerState], PowerSyncAction]:
    vm, power, do = VMState, PowerState, PowerSyncAction
    off = {power.RUNNING: do.FORCE_STOP, power.PAUSED: do.FORCE_STOP, power.SUSPENDED: do.FORCE_STOP}
    odd = {
        power.RUNNING: do.WARN_ONLY,
        power.PAUSED: do.WARN_ONLY,
        power.CRASHED: do.WARN_ONLY,
        power.SUSPENDED: do.WARN_ONLY,
    }
    cells: dict[VMState, dict[PowerState, PowerSyncAction]] = {
        vm.ACTIVE: {
            power.PAUSED: do.WARN_ONLY,
            power.SHUTDOWN: do.RECHECK_THEN_STOP,
            power.CRASHED: do.RECHECK_THEN_STOP,
            power.SUSPENDED: do.STOP,
            power.NOSTATE: do.WARN_ONLY,
        },
        vm.STOPPED: off,
        vm.PAUSED: {power.SHUTDOWN: do.FORCE_STOP, power.CRASHED: do.FORCE_STOP},
        vm.SOFT_DELETED: odd,
        vm.DELETED: odd,
    }
    return MappingProxyType({(v, p): cells.get(v, {}).get(p, do.NONE) for v in vm for p in power})


#: All 72 cells: what to do for each vm_state and what the hypervisor says.
POWER_SYNC: Mapping[tuple[VMState, PowerState], PowerSyncAction] = _table()


def sync_power(
    vm_state: VMState,
    driver_power_state: PowerState | None,
    task_state: TaskState = TaskState.IDLE,
    *,
    same_host: bool = True,
    rechecked: bool = False,
) -> PowerSyncAction:
    """What power sync does with an instance whose hypervisor says *driver_power_state*.

    None stands for a guest that the hypervisor does not know. *same_host* tells whether the instance is
    (still) on the host that reports. Where the answer is ``RECHECK_THEN_STOP``, ask the hypervisor again and
    call with *rechecked*: the answer is ``STOP`` if it is still off. What is no state, such as the string
    ``"active"``, is an :class:`~novastate.errors.UnknownName`.

    >>> sync_power(VMState.ACTIVE, PowerState.SHUTDOWN)
    <PowerSyncAction.RECHECK_THEN_STOP: 'recheck_then_stop'>
    >>> sync_power(VMState.ACTIVE, PowerState.SHUTDOWN, TaskState.MIGRATING)
    <PowerSyncAction.SKIP_PENDING_TASK: 'skip_pending_task'>
    """
    expect(VMState, vm_state)
    power = PowerState.NOSTATE if driver_power_state is None else expect(PowerState, driver_power_state)
    if task_state:
        expect(TaskState, task_state)
    if not same_host:
        return PowerSyncAction.SKIP_MOVED
    if task_state:
        return PowerSyncAction.SKIP_PENDING_TASK
    action = POWER_SYNC[vm_state, power]
    if action is PowerSyncAction.RECHECK_THEN_STOP and rechecked:
        return PowerSyncAction.STOP
    return action


class GuestEvent(State):
    """What a hypervisor tells without being asked; the numbers are Nova's (nova/virt/event.py)."""

    STARTED = 0
    STOPPED = 1
    PAUSED = 2
    RESUMED = 3
    SUSPENDED = 4
    POSTCOPY_STARTED = 5
    MIGRATION_COMPLETED = 6

    def __str__(self) -> str:
        return self.name.lower()


#: The power state that each event tells of.
LIFECYCLE_POWER_STATES: Mapping[GuestEvent, PowerState] = MappingProxyType(
    {
        GuestEvent.STARTED: PowerState.RUNNING,
        GuestEvent.STOPPED: PowerState.SHUTDOWN,
        GuestEvent.PAUSED: PowerState.PAUSED,
        GuestEvent.RESUMED: PowerState.RUNNING,
        GuestEvent.SUSPENDED: PowerState.SUSPENDED,
        GuestEvent.POSTCOPY_STARTED: PowerState.PAUSED,
        GuestEvent.MIGRATION_COMPLETED: PowerState.PAUSED,
    }
)

#: The events that tell that the guest now runs on the destination, and the statuses of the migration in which
#: its ports are then bound there. Post-copy may start before its status is saved (Nova misses it then, G16).
BINDING_STATUSES: Mapping[GuestEvent, frozenset[MigrationStatus]] = MappingProxyType(
    {
        GuestEvent.POSTCOPY_STARTED: frozenset({MigrationStatus.RUNNING, MigrationStatus.RUNNING_POST_COPY}),
        GuestEvent.MIGRATION_COMPLETED: frozenset({MigrationStatus.RUNNING}),
    }
)


def on_event(
    event: GuestEvent,
    vm_state: VMState,
    driver_power_state: PowerState | None,
    task_state: TaskState = TaskState.IDLE,
    *,
    same_host: bool = True,
) -> PowerSyncAction:
    """What to do about *event*, the hypervisor having been asked since and said *driver_power_state*.

    >>> on_event(GuestEvent.STOPPED, VMState.ACTIVE, PowerState.RUNNING)
    <PowerSyncAction.SKIP_STALE: 'skip_stale'>
    """
    told = LIFECYCLE_POWER_STATES[expect(GuestEvent, event)]
    action = sync_power(vm_state, driver_power_state, task_state, same_host=same_host)
    return action if (driver_power_state or PowerState.NOSTATE) is told else PowerSyncAction.SKIP_STALE
