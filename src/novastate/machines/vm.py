"""vm_state: the last stable condition of an instance.

Rules of this file:

1. vm_state says what an instance *is*; what is being done to it is its task_state. A trigger here is
   therefore the end of a task: it is fired when the guest is paused, not when somebody asks for it.
2. Every state but ``deleted`` may fail, be deleted or be reset; ``deleted`` is final.
3. A move that may end in two states is two triggers: ``confirm_resize`` and ``confirm_resize_stopped``.

Theory. The rows are those of Nova (nova/compute/manager.py, nova/compute/api.py; nova/compute/vm_states.py
names the states). Nova writes the field as a free string and enforces none of them. Where the rows
differ from what Nova's code can do, :data:`novastate.machines.DEVIATIONS` says so, with the reason.

A stopped instance that is rebuilt or evacuated passes through ``active`` (with task_state ``powering-off``)
and then stops: the guest has to be spawned to be rebuilt.
"""

from __future__ import annotations

from novastate.machines.table import Machine, State, Trigger

__all__ = ["VMMachine", "VMState"]


class VMState(State):
    """The twelve values of Nova's ``vm_state``."""

    ACTIVE = "active"
    BUILDING = "building"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    RESCUED = "rescued"
    RESIZED = "resized"
    SOFT_DELETED = "soft-delete"
    DELETED = "deleted"
    ERROR = "error"
    SHELVED = "shelved"
    SHELVED_OFFLOADED = "shelved_offloaded"


_ALIVE = frozenset(set(VMState) - {VMState.DELETED})


class VMMachine(Machine[VMState], field="vm_state", initial={VMState.BUILDING}):
    """The machine of ``vm_state``; created in ``building``, final in ``deleted``.

    >>> from types import SimpleNamespace
    >>> instance = SimpleNamespace(vm_state=VMState.ACTIVE)
    >>> VMMachine.pause(instance)
    VMState.PAUSED
    >>> VMMachine.pause(instance)
    Traceback (most recent call last):
    novastate.errors.IllegalTransition: VMMachine: pause is not allowed in state paused; allowed: unpause, ...
    """

    spawned = Trigger({VMState.BUILDING: VMState.ACTIVE}, "The guest has been built and runs.")
    pause = Trigger({VMState.ACTIVE: VMState.PAUSED}, "The virtual CPUs stand still; memory stays on the host.")
    unpause = Trigger({VMState.PAUSED: VMState.ACTIVE}, "The virtual CPUs run again.")
    suspend = Trigger({VMState.ACTIVE: VMState.SUSPENDED}, "The guest's memory has been saved to disk.")
    resume = Trigger({VMState.SUSPENDED: VMState.ACTIVE}, "The guest runs from its saved memory.")
    stop = Trigger(
        {frozenset({VMState.ACTIVE, VMState.ERROR}): VMState.STOPPED},
        "The guest is off; its disk and its host are kept.",
    )
    force_stop = Trigger(
        {frozenset({VMState.ACTIVE, VMState.PAUSED, VMState.STOPPED, VMState.ERROR}): VMState.STOPPED},
        "Power sync has switched off a guest that was found in a state that it should not be in.",
    )
    start = Trigger({VMState.STOPPED: VMState.ACTIVE}, "The guest has been switched on.")
    reboot = Trigger({VMState.ACTIVE: VMState.ACTIVE}, "The guest has rebooted by its own means.")
    hard_reboot = Trigger(
        {
            frozenset(
                {VMState.ACTIVE, VMState.STOPPED, VMState.PAUSED, VMState.SUSPENDED, VMState.ERROR}
            ): VMState.ACTIVE,
        },
        "The guest has been destroyed and started anew: the way out of most states.",
    )
    rescue = Trigger(
        {frozenset({VMState.ACTIVE, VMState.STOPPED, VMState.ERROR}): VMState.RESCUED},
        "The guest runs from a rescue image, its own disk beside it.",
    )
    unrescue = Trigger({VMState.RESCUED: VMState.ACTIVE}, "The guest runs from its own disk again.")
    rebuild = Trigger(
        {frozenset({VMState.ACTIVE, VMState.STOPPED, VMState.ERROR}): VMState.ACTIVE},
        "The guest has been made anew from an image, on its host.",
    )
    evacuate = Trigger(
        {frozenset({VMState.ACTIVE, VMState.STOPPED, VMState.ERROR}): VMState.ACTIVE},
        "The guest has been made anew on another host, its own being down.",
    )
    resize = Trigger(
        {frozenset({VMState.ACTIVE, VMState.STOPPED}): VMState.RESIZED},
        "Resized or cold-migrated; waits for confirm or revert.",
    )
    confirm_resize = Trigger({VMState.RESIZED: VMState.ACTIVE}, "The old side is gone; the guest runs.")
    confirm_resize_stopped = Trigger({VMState.RESIZED: VMState.STOPPED}, "The old side is gone; the guest is off.")
    revert_resize = Trigger({VMState.RESIZED: VMState.ACTIVE}, "Back on the old side, running.")
    revert_resize_stopped = Trigger({VMState.RESIZED: VMState.STOPPED}, "Back on the old side, off as it was before.")
    shelve = Trigger(
        {
            frozenset({VMState.ACTIVE, VMState.STOPPED, VMState.PAUSED, VMState.SUSPENDED}): VMState.SHELVED,
        },
        "Off, with a snapshot kept; still holds its host's room.",
    )
    shelve_offload = Trigger(
        {
            frozenset(
                {VMState.SHELVED, VMState.ACTIVE, VMState.STOPPED, VMState.PAUSED, VMState.SUSPENDED}
            ): VMState.SHELVED_OFFLOADED,
        },
        "On no host any more; at once from the other states when the instance boots from a volume.",
    )
    unshelve = Trigger(
        {frozenset({VMState.SHELVED, VMState.SHELVED_OFFLOADED}): VMState.ACTIVE},
        "Runs again, perhaps elsewhere.",
    )
    soft_delete = Trigger(
        {frozenset(_ALIVE - {VMState.BUILDING}): VMState.SOFT_DELETED}, "Off and hidden; can be restored."
    )
    restore = Trigger({VMState.SOFT_DELETED: VMState.ACTIVE}, "Taken back from its soft deletion.")
    delete = Trigger({_ALIVE: VMState.DELETED}, "Gone for good.")
    fail = Trigger({_ALIVE: VMState.ERROR}, "An operation failed in a way that needs a hand.")
    reset = Trigger({_ALIVE: VMState.ACTIVE}, "An administrator declares it active.")
    reset_error = Trigger({_ALIVE: VMState.ERROR}, "An administrator declares it in error.")
