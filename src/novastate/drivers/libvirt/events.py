"""What happens to the guests of a host: libvirt's lifecycle events, made into those of novastate.

Rules of this file:

1. As Nova maps them (nova/virt/libvirt/host.py ``_event_lifecycle_callback``), but for what libvirt says better: what stops because
   its memory was saved, or falls asleep, is SUSPENDED, as :func:`~novastate.drivers.libvirt.states.info` says of it; what wakes up is
   RESUMED. VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED is PAUSED, for the migration may still fail (Nova asks for the job then, which runs
   still); that it has succeeded is what VIR_DOMAIN_EVENT_STOPPED_MIGRATED says, which is MIGRATION_COMPLETED, and STOPPED.
2. STOPPED is held back for `stop_delay` seconds and dropped if the guest has another event meanwhile (``_event_emit_delayed``): a
   reboot is no stop.
3. No change is lost: after each new connection what is known of every guest is compared with what is there, and each difference is
   told as the event that was missed. None is told twice: what says again what was said last is dropped, and so is an event that was
   on its way at that time and leads to what was found.
4. Listeners are called one after the other on one thread of the host's; what one raises is logged, and harms nobody.

Theory. What is known of a guest is how it is, and its domain id, which is new at each start: so a guest that was stopped and
started while nobody looked is known to have been started.
"""
# ruff: noqa: D102  (the abstract driver says what each method does)

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from attrs import define, evolve, frozen

from novastate.drivers.base import Lifecycle, LifecycleEvent
from novastate.drivers.libvirt.binding import libvirt
from novastate.drivers.libvirt.hypervisor import Hypervisor
from novastate.drivers.libvirt.raw_events import EventKind, HypervisorEvent
from novastate.drivers.libvirt.states import info
from novastate.errors import DriverError
from novastate.machines import PowerState

__all__ = ["TRANSITIONS", "Events"]

logger = logging.getLogger(__name__)

#: Seconds after a comparison in which an event that comes may have been on its way.
_ON_ITS_WAY = 1.0
#: Seconds until a host that could not be compared is asked again.
_AGAIN = 1.0

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

#: How a guest is after an event, where the event is not named for it.
_AFTER: Mapping[Lifecycle, Lifecycle] = MappingProxyType(
    {
        Lifecycle.STARTED: Lifecycle.RESUMED,
        Lifecycle.POSTCOPY_STARTED: Lifecycle.PAUSED,
        Lifecycle.MIGRATION_COMPLETED: Lifecycle.PAUSED,
    }
)
#: How a guest in a power state is; else it is STOPPED.
_SEEN: Mapping[PowerState, Lifecycle] = MappingProxyType(
    {
        PowerState.RUNNING: Lifecycle.RESUMED,
        PowerState.PAUSED: Lifecycle.PAUSED,
        PowerState.SUSPENDED: Lifecycle.SUSPENDED,
    }
)


@frozen
class _Known:
    """How a guest is: STOPPED, RESUMED, PAUSED or SUSPENDED. *domain_id*: -1 if it does not run."""

    state: Lifecycle
    domain_id: int = -1
    #: What was told last, and when a comparison found it so, on the machine's monotonic clock.
    told: Lifecycle | None = None
    compared: float = float("-inf")


_OFF = _Known(Lifecycle.STOPPED)


@define
class _Held:
    """A STOPPED that waits; *due*: on the machine's monotonic clock."""

    event: LifecycleEvent
    due: float


class Events(Hypervisor):
    """The subscription to a host's events."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listeners: dict[object, Callable[[LifecycleEvent], None]] = {}
        self._listening = threading.Lock()
        self._teller: _Teller | None = None

    def subscribe(self, listener: Callable[[LifecycleEvent], None]) -> Callable[[], None]:
        """As the abstract driver says; raises nothing if the host cannot be reached: its events come when it can be.

        What is there when the first connection is made is where the story begins. A listener may end its own subscription.
        """
        key = object()
        with self._listening:
            self._listeners[key] = listener
            if self._teller is None:
                self._teller = _Teller(self, self._tell)
            teller = self._teller
        teller.ready.wait(self.timeout)

        def end() -> None:
            with self._listening:
                self._listeners.pop(key, None)
                if self._listeners or self._teller is None:
                    return
                last, self._teller = self._teller, None
            last.end()

        return end

    def close(self) -> None:
        with self._listening:
            self._listeners.clear()
            last, self._teller = self._teller, None
        if last is not None:
            last.end()
        super().close()

    def _tell(self, event: LifecycleEvent) -> None:
        with self._listening:
            listeners = list(self._listeners.values())
        for listener in listeners:
            try:
                listener(event)
            except Exception:
                logger.exception("a listener to the events of %r", self)


class _Teller:
    """One thread that makes lifecycle events of libvirt's, holds STOPPED back, and compares after each new connection."""

    def __init__(self, driver: Hypervisor, tell: Callable[[LifecycleEvent], None]) -> None:
        #: Set when the first comparison has been tried.
        self.ready = threading.Event()
        self._driver = driver
        self._host = ""
        self._tell = tell
        self._queue: queue.SimpleQueue[HypervisorEvent | None] = queue.SimpleQueue()
        self._known: dict[str, _Known] | None = None
        self._held: dict[str, _Held] = {}
        self._compare_at: float | None = None
        self._end = driver.connection.on_event(self._queue.put)
        threading.Thread(target=self._run, name="libvirt lifecycle", daemon=True).start()
        # A host that cannot be reached is waited for no longer than it takes to know that.
        threading.Thread(target=self._knock, name="libvirt knock", daemon=True).start()

    def end(self) -> None:
        """Ends it; what is held back is dropped."""
        self._end()
        self._queue.put(None)
        self.ready.set()

    def _knock(self) -> None:
        try:
            self._driver.connection.call("subscribing", lambda _connect: None)
        except DriverError as error:
            logger.debug("%s", error)
            self.ready.set()

    def _run(self) -> None:
        while True:
            due = [held.due for held in self._held.values()]
            if self._compare_at is not None:
                due.append(self._compare_at)
            try:
                event = self._queue.get(timeout=max(0.0, min(due) - time.monotonic()) if due else None)
            except queue.Empty:
                pass
            else:
                if event is None:
                    return
                self._take(event)
            self._on_time(time.monotonic())

    def _on_time(self, now: float) -> None:
        if self._compare_at is not None and self._compare_at <= now:
            self._compare()
        for uuid in [uuid for uuid, held in self._held.items() if held.due <= now]:
            self._tell(self._held.pop(uuid).event)

    def _take(self, event: HypervisorEvent) -> None:
        if event.kind is EventKind.CONNECTED:
            self._compare()
        elif event.kind is EventKind.LIFECYCLE and self._known is not None:
            key = (event.event, event.detail)
            for transition in TRANSITIONS.get(key) or TRANSITIONS.get((event.event, None), ()):
                self._happened(self._known, event, transition, arriving=key == _ARRIVING)

    def _happened(
        self, guests: dict[str, _Known], event: HypervisorEvent, transition: Lifecycle, *, arriving: bool
    ) -> None:
        """Libvirt says so: tells it, unless it is known (rule 3)."""
        known = guests.get(event.uuid, _OFF)
        state = _AFTER.get(transition, transition)
        if known.told is transition or (known.state is state and event.at < known.compared + _ON_ITS_WAY):
            return
        if transition is Lifecycle.STOPPED:
            guests.pop(event.uuid, None)
        elif not arriving:
            guests[event.uuid] = _Known(state, event.domain_id, transition)
        self._emit(event.uuid, transition)

    def _emit(self, uuid: str, transition: Lifecycle) -> None:
        event = LifecycleEvent(self._host, uuid, transition, self._driver.clock.now())
        self._held.pop(uuid, None)
        if transition is Lifecycle.STOPPED and self._driver.stop_delay > 0:
            self._held[uuid] = _Held(event, time.monotonic() + self._driver.stop_delay)
        else:
            self._tell(event)

    # --- comparing

    def _compare(self) -> None:
        """Tells of whatever is not as it was known. A host that cannot say is asked again."""
        try:
            found = self._driver.connection.call("comparing guests", _states)
            self._host = self._driver.host
        except DriverError as error:
            logger.info("%s", error)
            self._compare_at = time.monotonic() + _AGAIN
            self.ready.set()
            return
        self._compare_at = None
        now = time.monotonic()
        guests = dict[str, _Known]()
        if self._known is not None:
            for uuid in sorted(self._known.keys() | found.keys()):
                was, seen = self._known.get(uuid, _OFF), found.get(uuid, _OFF)
                missed = _missed(was, seen)
                if missed is not None:
                    self._emit(uuid, missed)
                elif uuid not in found:
                    continue
                guests[uuid] = evolve(seen, told=missed or was.told, compared=now)
        self._known = {**{uuid: evolve(seen, compared=now) for uuid, seen in found.items()}, **guests}
        self.ready.set()


def _missed(was: _Known, seen: _Known) -> Lifecycle | None:
    """The event that leads from what was known to what is there, if there is one."""
    runs = {Lifecycle.RESUMED, Lifecycle.PAUSED}
    if seen.state in runs and (was.state not in runs or was.domain_id != seen.domain_id):
        return Lifecycle.STARTED if seen.state is Lifecycle.RESUMED else seen.state
    return None if seen.state is was.state else seen.state


def _states(connect: Any) -> dict[str, _Known]:
    """How each guest is; one that is only arriving is none yet."""
    found = dict[str, _Known]()
    for domain in connect.listAllDomains():
        try:
            seen = info(domain)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:  # it has just gone
                continue
            raise
        if not seen.incoming:
            found[seen.uuid] = _Known(_SEEN.get(seen.power_state, Lifecycle.STOPPED), domain.ID())
    return found
