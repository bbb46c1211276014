"""power_state: what the hypervisor said of the guest.

Rules of this file:

1. The hypervisor is right. power_state is an observation, never a wish: nothing here refuses what a driver
   reports, not even a pair that is no row (events get lost, so two observations may be several moves apart).
2. The rows are the single moves of a *guest* at its hypervisor. They forbid nothing to a driver; the joint
   states are reached by them, and the tests hold the simulated hypervisor to them.

Theory. The values are Nova's (nova/objects/fields.py), of which 2 and 5 are dead slots. A guest that the
hypervisor does not know is ``NOSTATE``. What libvirt calls blocked is running, and its shut-down-in-progress
and shut-off are both ``SHUTDOWN`` (nova/virt/libvirt/guest.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from novastate.errors import UnknownName
from novastate.machines.table import Machine, State, Trigger, admit

__all__ = ["LIBVIRT_POWER_STATES", "PowerMachine", "PowerState", "from_libvirt"]


class PowerState(State):
    """The six values of Nova's ``power_state``; the numbers are Nova's, 2 and 5 are dead slots."""

    NOSTATE = 0
    RUNNING = 1
    PAUSED = 3
    SHUTDOWN = 4
    CRASHED = 6
    SUSPENDED = 7

    def __str__(self) -> str:
        return self.name


_ON = frozenset({PowerState.RUNNING, PowerState.PAUSED, PowerState.SUSPENDED})
_THERE = frozenset({*_ON, PowerState.SHUTDOWN, PowerState.CRASHED})


class PowerMachine(Machine[PowerState], field="power_state", initial={PowerState.NOSTATE}):
    """The machine of a guest's power; no state is final.

    >>> from types import SimpleNamespace
    >>> guest = SimpleNamespace(power_state=PowerState.NOSTATE)
    >>> PowerMachine.start(guest)
    PowerState.RUNNING
    >>> PowerMachine.observe(guest, PowerState.CRASHED)
    PowerState.CRASHED
    """

    start = Trigger(
        {frozenset({PowerState.NOSTATE, PowerState.SHUTDOWN}): PowerState.RUNNING},
        "The guest has been started.",
    )
    start_paused = Trigger(
        {frozenset({PowerState.NOSTATE, PowerState.SHUTDOWN}): PowerState.PAUSED},
        "It has been started with its virtual CPUs still: it waits for a migration's memory, or for its starter.",
    )
    pause = Trigger(
        {PowerState.RUNNING: PowerState.PAUSED},
        "Its virtual CPUs stand still: by request, or on the source at switch-over and in post-copy.",
    )
    unpause = Trigger({PowerState.PAUSED: PowerState.RUNNING}, "Its virtual CPUs run again.")
    suspend = Trigger({PowerState.RUNNING: PowerState.SUSPENDED}, "Saved to disk, or asleep by its own wish.")
    resume = Trigger({PowerState.SUSPENDED: PowerState.RUNNING}, "Awake again.")
    shut_down = Trigger(
        {frozenset({*_ON, PowerState.CRASHED}): PowerState.SHUTDOWN},
        "It is off: by itself, or switched off in whatever state it was.",
    )
    crash = Trigger({_ON: PowerState.CRASHED}, "Its kernel or its hypervisor process died.")
    reboot = Trigger({PowerState.CRASHED: PowerState.RUNNING}, "A hard reboot brought it back.")
    undefine = Trigger(
        {_THERE: PowerState.NOSTATE},
        "The hypervisor knows it no more: undefined, or a transient guest that ended or has moved away.",
    )

    @classmethod
    def check_assignment(cls, old: object, new: object) -> PowerState:  # noqa: ARG003  (rule 1)
        """Returns *new* if it is a power state: an observation is legal after every other."""
        return cls.state(new)

    @classmethod
    def observe(cls, obj: object, seen: PowerState | int) -> PowerState:
        """Writes and returns what the hypervisor says of *obj*, a state or its number."""
        state = cls.state(seen)
        admit(obj, cls.field)
        object.__setattr__(obj, cls.field, state)
        return state


#: libvirt's ``virDomainState`` (libvirt/libvirt-domain.h) as power state.
LIBVIRT_POWER_STATES: Mapping[int, PowerState] = MappingProxyType(
    {
        0: PowerState.NOSTATE,  # VIR_DOMAIN_NOSTATE
        1: PowerState.RUNNING,  # VIR_DOMAIN_RUNNING
        2: PowerState.RUNNING,  # VIR_DOMAIN_BLOCKED: on a resource, and therefore running
        3: PowerState.PAUSED,  # VIR_DOMAIN_PAUSED
        4: PowerState.SHUTDOWN,  # VIR_DOMAIN_SHUTDOWN: going down
        5: PowerState.SHUTDOWN,  # VIR_DOMAIN_SHUTOFF
        6: PowerState.CRASHED,  # VIR_DOMAIN_CRASHED
        7: PowerState.SUSPENDED,  # VIR_DOMAIN_PMSUSPENDED
    }
)


def from_libvirt(state: int) -> PowerState:
    """The power state of libvirt's ``virDomainState``; raises UnknownName for a number that is none."""
    try:
        return LIBVIRT_POWER_STATES[state]
    except KeyError:
        raise UnknownName("libvirt domain state", state, map(str, LIBVIRT_POWER_STATES)) from None
