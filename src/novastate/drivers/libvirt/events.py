"""The subscription to a host's lifecycle events.

Rules of this file: what they mean is said in :mod:`novastate.drivers.libvirt.lifecycle`. Listeners are called one after the other on
one thread of the host's; what one raises is logged, and harms nobody. A host that cannot be reached is no error: its events come when
it can be.
"""
# ruff: noqa: D102  (the abstract driver says what each method does)

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from novastate.drivers.base import Lifecycle, LifecycleEvent
from novastate.drivers.libvirt.binding import libvirt
from novastate.drivers.libvirt.hypervisor import Hypervisor
from novastate.drivers.libvirt.lifecycle import SEEN, Known, Story
from novastate.drivers.libvirt.raw_events import EventKind, HypervisorEvent
from novastate.drivers.libvirt.states import info
from novastate.errors import DriverError

__all__ = ["Events"]

logger = logging.getLogger(__name__)

#: Seconds until a host that could not be compared is asked again.
_AGAIN = 1.0


class Events(Hypervisor):
    """The subscription to a host's events."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listeners: dict[object, Callable[[LifecycleEvent], None]] = {}
        self._listening = threading.Lock()
        self._teller: _Teller | None = None

    def subscribe(self, listener: Callable[[LifecycleEvent], None]) -> Callable[[], None]:
        """As the abstract driver says; raises nothing.

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
    """One thread that takes libvirt's events, compares after each new connection, and tells."""

    def __init__(self, driver: Hypervisor, tell: Callable[[LifecycleEvent], None]) -> None:
        #: Set when the first comparison has been tried.
        self.ready = threading.Event()
        self._driver = driver
        self._tell = tell
        self._queue: queue.SimpleQueue[HypervisorEvent | None] = queue.SimpleQueue()
        self._story: Story | None = None
        self._compare_at: float | None = None
        self._end = driver.connection.on_event(self._queue.put)
        threading.Thread(target=self._run, name="libvirt lifecycle", daemon=True).start()
        threading.Thread(target=self._knock, name="libvirt knock", daemon=True).start()

    def end(self) -> None:
        """Ends it; what is held back is dropped."""
        self._end()
        self._queue.put(None)
        self.ready.set()

    def _knock(self) -> None:
        """Nobody waits for a host that cannot be reached longer than it takes to know that."""
        try:
            self._driver.connection.call("subscribing", lambda _connect: None)
        except DriverError as error:
            logger.debug("%s", error)
            self.ready.set()

    def _run(self) -> None:
        while True:
            times = (self._compare_at, None if self._story is None else self._story.next_due)
            due = [at for at in times if at is not None]
            try:
                event = self._queue.get(timeout=max(0.0, min(due) - time.monotonic()) if due else None)
            except queue.Empty:
                pass
            else:
                if event is None:
                    return
                if event.kind is EventKind.CONNECTED:
                    self._compare_at = time.monotonic()
                elif event.kind is EventKind.LIFECYCLE and self._story is not None:
                    self._tell_all(self._story.take(event, time.monotonic()))
            if self._compare_at is not None and self._compare_at <= time.monotonic():
                self._compare()
            if self._story is not None:
                self._tell_all(self._story.due(time.monotonic()))

    def _compare(self) -> None:
        """Tells of whatever is not as it was known. A host that cannot say is asked again."""
        try:
            found = self._driver.connection.call("comparing guests", _states)
            if self._story is None:
                self._story = Story(self._driver.host, self._driver.clock, self._driver.stop_delay)
            missed = self._story.compare(found, time.monotonic())
        except Exception as error:  # whatever it is: who ends here is deaf for good
            logger.log(
                logging.INFO if isinstance(error, DriverError) else logging.ERROR,
                "comparing the guests of %r: %s",
                self._driver,
                error,
                exc_info=not isinstance(error, DriverError),
            )
            self._compare_at = time.monotonic() + _AGAIN
        else:
            self._compare_at = None
            self._tell_all(missed)
        self.ready.set()

    def _tell_all(self, events: Iterable[LifecycleEvent]) -> None:
        for event in events:
            self._tell(event)


def _states(connect: Any) -> dict[str, Known]:
    """How each guest is; one that is only arriving is none yet."""
    found = dict[str, Known]()
    for domain in connect.listAllDomains():
        try:
            seen = info(domain)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:  # it has just gone
                continue
            raise
        if not seen.incoming:
            found[seen.uuid] = Known(SEEN.get(seen.power_state, Lifecycle.STOPPED), domain.ID())
    return found
