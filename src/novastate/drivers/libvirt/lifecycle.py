"""The story of a host's guests: what libvirt tells, made into the events of novastate. No thread, no call.

Rules of this file:

1. As Nova maps them (nova/virt/libvirt/host.py ``_event_lifecycle_callback``), but for what libvirt says better: what stops because
   its memory was saved, or falls asleep, is SUSPENDED, as :func:`~novastate.drivers.libvirt.states.info` says of it; what wakes up is
   RESUMED. VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED is PAUSED, for the migration may still fail (Nova asks for the job then, which runs
   still); that it has succeeded is what VIR_DOMAIN_EVENT_STOPPED_MIGRATED says, which is MIGRATION_COMPLETED, and STOPPED.
2. STOPPED is held back for some seconds and dropped if the guest has another event meanwhile (``_event_emit_delayed``): a reboot is
   no stop.
3. No change is lost: what is known of every guest is compared with what is there after each new connection, and each difference is
   told as the event that was missed. None is told twice: what says again what was said last is dropped, and so is an event that was
   on its way at that time and leads to what was found.

Theory. What is known of a guest is how it is, and its domain id, which is new at each start: so a guest that was stopped and started
while nobody looked is known to have been started. Times (*now*) are of the machine's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import evolve, frozen

from novastate.drivers.base import Lifecycle, LifecycleEvent
from novastate.drivers.clock import Clock
from novastate.drivers.libvirt.raw_events import HypervisorEvent
from novastate.machines import PowerState

__all__ = ["SEEN", "TRANSITIONS", "Known", "Story"]

#: Seconds after a comparison in which an event that comes may have been on its way.
_ON_ITS_WAY = 1.0

#: ``virDomainEventType`` and, where it matters, its detail (libvirt/libvirt-domain.h): what has happened.
TRANSITIONS: Mapping[tuple[int, int | None], tuple[Lifecycle, ...]] = MappingProxyType(
    {
        (2, None): (Lifecycle.STARTED,),  # VIR_DOMAIN_EVENT_STARTED
        (2, 4): (Lifecycle.RESUMED,),  # VIR_DOMAIN_EVENT_STARTED_WAKEUP
        (3, None): (Lifecycle.PAUSED,),  # VIR_DOMAIN_EVENT_SUSPENDED
        (3, 7): (Lifecycle.POSTCOPY_STARTED,),  # VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY
        (4, None): (Lifecycle.RESUMED,),  # VIR_DOMAIN_EVENT_RESUMED
        (5, None): (Lifecycle.STOPPED,),  # VIR_DOMAIN_EVENT_STOPPED
        (5, 3): (Lifecycle.MIGRATION_COMPLETED, Lifecycle.STOPPED),  # VIR_DOMAIN_EVENT_STOPPED_MIGRATED
        (5, 4): (Lifecycle.SUSPENDED,),  # VIR_DOMAIN_EVENT_STOPPED_SAVED
        (7, None): (Lifecycle.SUSPENDED,),  # VIR_DOMAIN_EVENT_PMSUSPENDED
    }
)
#: VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_MIGRATED: the guest is only arriving.
_ARRIVING = (2, 1)
#: VIR_DOMAIN_EVENT_UNDEFINED: a guest that does not run is gone, and with it its saved memory.
_UNDEFINED = 1

#: How a guest is after an event, where the event is not named for it.
_AFTER: Mapping[Lifecycle, Lifecycle] = MappingProxyType(
    {
        Lifecycle.STARTED: Lifecycle.RESUMED,
        Lifecycle.POSTCOPY_STARTED: Lifecycle.PAUSED,
        Lifecycle.MIGRATION_COMPLETED: Lifecycle.PAUSED,
    }
)
#: How a guest in a power state is; in any other it is STOPPED.
SEEN: Mapping[PowerState, Lifecycle] = MappingProxyType(
    {
        PowerState.RUNNING: Lifecycle.RESUMED,
        PowerState.PAUSED: Lifecycle.PAUSED,
        PowerState.SUSPENDED: Lifecycle.SUSPENDED,
    }
)
_RUNS = frozenset({Lifecycle.RESUMED, Lifecycle.PAUSED})


@frozen
class Known:
    """How a guest is: STOPPED, RESUMED, PAUSED or SUSPENDED. *domain_id*: -1 if it does not run."""

    state: Lifecycle
    domain_id: int = -1
    #: What was told last, and when a comparison found it so.
    told: Lifecycle | None = None
    compared: float = float("-inf")


_OFF = Known(Lifecycle.STOPPED)


class Story:
    """What is known of the guests of *host*; *clock* tells when something happened, *stop_delay* is in seconds.

    It begins with the first comparison. Each call returns what is to be told now, in order.
    """

    def __init__(self, host: str, clock: Clock, stop_delay: float) -> None:
        self._host = host
        self._clock = clock
        self._stop_delay = stop_delay
        self._guests: dict[str, Known] | None = None
        self._held: dict[str, tuple[float, LifecycleEvent]] = {}

    @property
    def next_due(self) -> float | None:
        """When `due` will have something to tell."""
        return min((at for at, _ in self._held.values()), default=None)

    def due(self, now: float) -> list[LifecycleEvent]:
        """Each STOPPED that has been held back long enough."""
        ripe = [uuid for uuid, (at, _) in self._held.items() if at <= now]
        return [self._held.pop(uuid)[1] for uuid in ripe]

    def take(self, event: HypervisorEvent, now: float) -> list[LifecycleEvent]:
        """Libvirt tells *event*."""
        if self._guests is None:
            return []
        told = list[LifecycleEvent]()
        key = (event.event, event.detail)
        for transition in TRANSITIONS.get(key) or TRANSITIONS.get((event.event, None), ()):
            known = self._guests.get(event.uuid, _OFF)
            state = _AFTER.get(transition, transition)
            if known.told is transition or (known.state is state and event.at < known.compared + _ON_ITS_WAY):
                continue
            if transition is Lifecycle.STOPPED:
                self._guests.pop(event.uuid, None)
            elif key != _ARRIVING:
                self._guests[event.uuid] = Known(state, event.domain_id, transition)
            told += self._tell(event.uuid, transition, now)
        if event.event == _UNDEFINED and self._guests.get(event.uuid, _OFF).state is Lifecycle.SUSPENDED:
            del self._guests[event.uuid]
        return told

    def compare(self, found: Mapping[str, Known], now: float) -> list[LifecycleEvent]:
        """*found* is there: tells what was missed. A guest that is not found is off, or gone."""
        before, told = self._guests, list[LifecycleEvent]()
        self._guests = {uuid: evolve(seen, compared=now) for uuid, seen in found.items()}
        if before is None:
            return told
        for uuid in sorted(before.keys() | found.keys()):
            was, seen = before.get(uuid, _OFF), found.get(uuid, _OFF)
            missed = _missed(was, seen)
            for transition in missed:
                told += self._tell(uuid, transition, now)
            if missed or uuid in found:
                self._guests[uuid] = evolve(seen, told=missed[-1] if missed else was.told, compared=now)
        return told

    def _tell(self, uuid: str, transition: Lifecycle, now: float) -> list[LifecycleEvent]:
        """The event; STOPPED is held back, and dropped by the next (rule 2)."""
        event = LifecycleEvent(self._host, uuid, transition, self._clock.now())
        self._held.pop(uuid, None)
        if transition is Lifecycle.STOPPED and self._stop_delay > 0:
            self._held[uuid] = (now + self._stop_delay, event)
            return []
        return [event]


def _missed(was: Known, seen: Known) -> tuple[Lifecycle, ...]:
    """The events that lead from what was known to what is there."""
    if seen.state in _RUNS and (was.state not in _RUNS or was.domain_id != seen.domain_id):
        return (Lifecycle.STARTED,) if seen.state is Lifecycle.RESUMED else (Lifecycle.STARTED, seen.state)
    return () if seen.state is was.state else (seen.state,)
