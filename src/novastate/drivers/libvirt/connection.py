"""One libvirt daemon: every call bounded, a lost connection opened anew.

Rules of this file:

1. No caller waits longer than its deadline. libvirt's calls have none (``virConnectOpen`` and every call wait for ever on a daemon
   that was stopped), so each runs on a thread of its own, which is left behind when time is up.
2. Threads left behind are few: at most `MOST_CALLS` a connection, and while one is suspect no call is made on it. libvirtd takes five
   requests of a client at once (``max_client_requests``) and then reads none, keep-alive neither: the fifth is left to the probe.
3. A connection whose call ran out of time is suspect: before the next call one thread asks it something small, and opens a new one if
   it is dead. Keep-alive ends what is silent, and with it the threads that wait there.
4. All callers share one attempt to open; it is given up for another when it is older than `OPENING_LIMIT`, at most `MOST_OPENINGS`
   times at once.
5. While somebody listens to events, a lost connection is opened anew in the background. A listener then gets CONNECTED, and has to
   compare what it knows with what is there.

6. A call that was left at its deadline takes no further step: before each that changes something its function asks
   :func:`~novastate.drivers.libvirt.background.check_wanted`. So
   a guest that was given up here is not started here later.

The function of a call runs on the call's thread: it returns plain values, never an object of libvirt, and calls nothing of this
connection (it holds one of its places).
"""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from novastate.drivers.libvirt.background import Background
from novastate.drivers.libvirt.binding import MISSING, libvirt
from novastate.drivers.libvirt.errors import is_lost, translate
from novastate.drivers.libvirt.event_loop import start_event_loop
from novastate.drivers.libvirt.raw_events import EventKind, HypervisorEvent, register
from novastate.errors import DriverError, DriverTimeout, InvalidField, NotSupported

__all__ = ["MOST_CALLS", "MOST_OPENINGS", "OPENING_LIMIT", "Connection"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Calls at once on one connection.
MOST_CALLS = 4
#: Attempts to open at once, of which all but one are given up.
MOST_OPENINGS = 4
#: Seconds until an attempt to open is given up for another.
OPENING_LIMIT = 60.0
#: Seconds between two attempts in the background: the first, and the longest.
_BACKOFF = (0.1, 1.5)
#: Seconds that closing waits for libvirt; what takes longer goes on behind.
_CLOSING = 0.5


class _Link:
    """One open ``virConnect`` and what is known of it."""

    __slots__ = ("__weakref__", "connect", "events", "lost", "places", "suspect")

    def __init__(self, connect: Any) -> None:
        self.connect = connect
        self.places = threading.BoundedSemaphore(MOST_CALLS)
        #: What was registered with libvirt; each keeps the connection open.
        self.events = list[int]()
        self.lost = False
        self.suspect = False

    def dispose(self, seconds: float = _CLOSING) -> None:
        """Closes it, on a thread that is waited for so long: a stopped daemon lets no client go."""
        self.lost = True
        thread = threading.Thread(target=self._close, name="libvirt close", daemon=True)
        thread.start()
        thread.join(seconds)

    def _close(self) -> None:
        steps = [partial(self.connect.domainEventDeregisterAny, event) for event in self.events]
        for step in (*steps, self.connect.unregisterCloseCallback, self.connect.close):
            try:
                step()
            except libvirt.libvirtError:  # it is broken, or none was registered
                logger.debug("closing a connection", exc_info=True)


class _Stale(Exception):
    """The connection was found dead before the call was made."""


class _Attempt:
    """One attempt to have a connection that answers."""

    __slots__ = ("ended", "error", "since")

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.ended = False
        self.error: DriverError | None = None


class Connection:
    """A connection to the daemon at *uri*, opened when first used and as often as needed.

    *timeout*: seconds that a call may take, the opening included; *keepalive*: seconds of silence after which libvirt asks the
    daemon for a sign of life, and how many such questions may stay unanswered; *host*: the name that errors carry. Raises
    InvalidField, and NotSupported where libvirt-python is not installed.

    ``connection.call("counting guests", lambda connect: connect.numOfDomains())`` gives how many guests run.
    """

    def __init__(
        self, uri: str, *, host: str | None = None, timeout: float = 30.0, keepalive: tuple[int, int] = (5, 3)
    ) -> None:
        if not uri:
            raise InvalidField("uri", uri, "must be the URI of a libvirt daemon, like qemu:///system")
        if not 0 < timeout < threading.TIMEOUT_MAX:
            raise InvalidField("timeout", timeout, "must be a finite number of seconds above 0")
        if min(keepalive) < 1:
            raise InvalidField(
                "keepalive", keepalive, "must be two whole numbers of at least 1: interval in seconds, and count"
            )
        if not hasattr(libvirt, "__file__"):
            raise NotSupported(MISSING, host=host)
        self.uri = uri
        self.host = host
        self.timeout = timeout
        self.keepalive = keepalive
        self._shared = threading.local()  # the deadline of the thread's calls
        self._changed = threading.Condition()  # guards all below
        self._link: _Link | None = None
        self._attempt: _Attempt | None = None
        self._openings = 0
        self._listeners: dict[object, Callable[[HypervisorEvent], None]] = {}
        self._watched = False
        self._closed = False
        _connections.add(self)

    def __repr__(self) -> str:
        return f"Connection({shown(self.uri)!r})"

    # --- calls

    def call(self, what: str, function: Callable[[Any], T], *, timeout: float | None = None, uuid: str = "") -> T:
        """What *function* returns for the open ``virConnect``; libvirt's errors are raised as novastate's.

        *what* names the call in errors; *uuid* the guest that it is about; *timeout*: seconds (default: the connection's).
        Raises DriverTimeout if it has not returned by then or the connection broke meanwhile: calling again is safe if the call may
        be made twice; DriverError if the daemon cannot be reached or refuses. See :mod:`novastate.drivers.libvirt.errors`.
        """
        deadline = min(time.monotonic() + (self.timeout if timeout is None else timeout), self._deadline())
        while True:
            link = self._ready(what, deadline)
            if not link.places.acquire(timeout=max(0.0, deadline - time.monotonic())):
                raise DriverTimeout(f"{what}: {MOST_CALLS} calls before it have not returned", host=self.host)
            task = self._start(link, what, function)
            if not task.done.wait(max(0.0, deadline - time.monotonic())):
                with self._changed:
                    link.suspect = task.abandoned = True
                    self._changed.notify_all()
                about = f"guest {uuid}: {what}" if uuid else what
                raise DriverTimeout(f"{about}: no reply in time", host=self.host)
            try:
                return task.result()
            except _Stale:
                self._lose(link)
            except libvirt.libvirtError as error:
                if is_lost(error):
                    self._lose(link)
                raise translate(error, what, host=self.host, uuid=uuid) from error

    @contextmanager
    def within(self, seconds: float) -> Generator[None]:
        """The calls that this thread makes meanwhile end together in *seconds*, or earlier; within another: not later than that."""
        before = self._deadline()
        self._shared.deadline = min(before, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._shared.deadline = before

    def left(self) -> float:
        """Seconds that are left to this thread's calls (:meth:`within`); outside of it `timeout`."""
        return max(0.0, min(self.timeout, self._deadline() - time.monotonic()))

    def _deadline(self) -> float:
        return float(getattr(self._shared, "deadline", math.inf))

    def background(self, what: str, function: Callable[[Any], T], *, uuid: str = "") -> Background[T]:
        """Runs *function* without deadline on a thread and a ``virConnect`` of its own; for what takes minutes, as a migration.

        It takes no place from the calls, and lives on when this connection is opened anew. What it raises is translated. Raises
        DriverError if there are no more threads, or the connection was closed.
        """
        if self._closed:
            raise DriverError(f"{what}: the connection was closed", host=self.host)

        def run() -> T:
            try:
                connect = self._open()
            except libvirt.libvirtError as error:
                raise translate(error, "connecting", host=self.host, opening=True) from error
            link = _Link(connect)
            try:
                return function(connect)
            except libvirt.libvirtError as error:
                raise translate(error, what, host=self.host, uuid=uuid) from error
            finally:
                link.dispose()

        try:
            return Background(run, f"libvirt {what}")
        except RuntimeError as error:  # no more threads
            raise DriverError(f"{what}: {error}", host=self.host) from error

    def _start(self, link: _Link, what: str, function: Callable[[Any], T]) -> Background[T]:
        def run() -> T:
            if link.lost or not link.connect.isAlive():
                raise _Stale
            return function(link.connect)

        try:
            return Background(run, f"libvirt {what}", link.places.release)
        except RuntimeError as error:  # no more threads
            link.places.release()
            raise DriverError(f"{what}: {error}", host=self.host) from error

    # --- being connected

    def _ready(self, what: str, deadline: float) -> _Link:
        """A link that is open and not suspect."""
        attempt: _Attempt | None = None
        with self._changed:
            while True:
                if self._closed:
                    raise DriverError(f"{what}: the connection was closed", host=self.host)
                link = self._link
                if link is not None and not link.lost and not link.suspect:
                    return link
                if attempt is not None and attempt.error is not None:
                    raise _again(attempt.error)
                if attempt is None or attempt.ended or attempt is not self._attempt:
                    attempt = self._attempt
                if attempt is None or (
                    time.monotonic() - attempt.since > OPENING_LIMIT and self._openings < MOST_OPENINGS
                ):
                    attempt = self._begin()
                if not self._changed.wait(min(max(0.0, deadline - time.monotonic()), OPENING_LIMIT)) and (
                    time.monotonic() >= deadline
                ):
                    raise DriverTimeout(f"{what}: {shown(self.uri)} does not answer", host=self.host)

    def _begin(self) -> _Attempt:
        """Starts an attempt; the lock is held."""
        if self._attempt is not None:  # given up: whatever it is still at, it will dispose of
            self._link = None
        attempt = _Attempt()
        thread = threading.Thread(target=self._connect, args=(attempt, self._link), name="libvirt open", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            raise DriverError(f"connecting: {error}", host=self.host) from error
        self._openings += 1
        self._attempt = attempt
        return attempt

    def _connect(self, attempt: _Attempt, old: _Link | None) -> None:
        """The attempt, on its thread: the old connection if it answers, else a new one."""
        link: _Link | None = None
        error: DriverError | None = None
        try:
            link = old if old is not None and _answers(old) else _Link(self._open())
            if link is not old:
                self._register(link)
        except libvirt.libvirtError as failure:
            error = translate(failure, "connecting", host=self.host, opening=True)
        except Exception as failure:  # noqa: BLE001  (whoever waits must be told)
            error = DriverError(f"connecting: {failure!r}", host=self.host)
        with self._changed:
            self._openings -= 1
            attempt.ended, attempt.error = True, error
            current = attempt is self._attempt
            if current:
                self._attempt = None
            wanted = link is not None and current and not self._closed
            if link is not None and wanted:
                link.suspect = False
                self._link = link
            elif current and old is self._link:
                self._link = None
            listeners = list(self._listeners.values()) if wanted and link is not old else []
            self._changed.notify_all()
        self._tell(listeners, HypervisorEvent(EventKind.CONNECTED))
        if old is not None and old is not link:
            old.dispose()
        if link is not None and not wanted:
            link.dispose()

    def _open(self) -> Any:
        """A new ``virConnect``; hangs as long as the daemon does."""
        start_event_loop()
        connect = libvirt.open(quiet(self.uri))
        try:
            connect.setKeepAlive(*self.keepalive)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:  # a driver without a daemon needs none
                raise
        return connect

    def _register(self, link: _Link) -> None:
        """Has libvirt tell of the link's end, and of events."""
        weak, itself = weakref.ref(link), weakref.ref(self)

        def lost(_connect: Any, _reason: int, _opaque: object) -> None:
            gone, connection = weak(), itself()
            if gone is not None and connection is not None:
                connection._lose(gone)  # noqa: SLF001  (itself)

        def told(event: HypervisorEvent) -> None:
            current, connection = weak(), itself()
            if current is not None and not current.lost and connection is not None:
                connection._tell(connection._ears(), event)  # noqa: SLF001  (itself)

        try:
            link.connect.registerCloseCallback(lost, None)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise
        link.events = register(link.connect, told)

    def _lose(self, link: _Link) -> None:
        with self._changed:
            link.lost = True
            self._changed.notify_all()

    # --- events

    def on_event(self, listener: Callable[[HypervisorEvent], None]) -> Callable[[], None]:
        """Calls *listener* for each event from now on; returns what ends that.

        CONNECTED comes first, as soon as there is a connection, and again whenever another was opened. While somebody listens, the
        connection is kept open. The listener is called on threads that libvirt waits for: it puts the event somewhere and returns.
        """
        key = object()
        with self._changed:
            self._listeners[key] = listener
            connected = self._usable()
            if not self._watched and not self._closed:
                self._watched = True
                threading.Thread(target=self._watch, name="libvirt watch", daemon=True).start()

        if connected:
            self._tell([listener], HypervisorEvent(EventKind.CONNECTED))

        def end() -> None:
            with self._changed:
                self._listeners.pop(key, None)
                self._changed.notify_all()

        return end

    def _ears(self) -> list[Callable[[HypervisorEvent], None]]:
        with self._changed:
            return list(self._listeners.values())

    def _tell(self, listeners: list[Callable[[HypervisorEvent], None]], event: HypervisorEvent) -> None:
        for listener in listeners:
            try:
                listener(event)
            except Exception:
                logger.exception("a listener of %r", self)

    def _watch(self) -> None:
        """Keeps the connection open while somebody listens."""
        pause = _BACKOFF[0]
        while True:
            with self._changed:
                while self._listeners and not self._closed and self._usable():
                    self._changed.wait()
                if self._closed or not self._listeners:
                    self._watched = False
                    return
            try:
                self._ready("watching", time.monotonic() + self.timeout)
                pause = _BACKOFF[0]
            except DriverError as error:
                logger.debug("%r: %s", self, error)
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, pause)
                pause = min(2 * pause, _BACKOFF[1])

    def _usable(self) -> bool:
        return self._link is not None and not self._link.lost and not self._link.suspect

    # --- the end

    def close(self, seconds: float = _CLOSING) -> None:
        """Ends everything; calls that wait raise DriverError. A second call does nothing.

        The daemon is given *seconds* to take note; what takes longer goes on behind.
        """
        with self._changed:
            self._closed = True
            link, self._link = self._link, None
            self._listeners.clear()
            self._changed.notify_all()
        if link is not None:
            link.dispose(seconds)


def quiet(uri: str) -> str:
    """*uri*, with ssh forbidden to ask for a password unless the URI says otherwise: nobody may be there to answer."""
    parts = urlsplit(uri)
    if not parts.scheme.endswith("+ssh") or "no_tty=" in parts.query:
        return uri
    return f"{uri}{'&' if parts.query else '?'}no_tty=1"


def shown(uri: str) -> str:
    """*uri* without what may be secret: the user's name and the parameters."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # not geturl(), which makes qemu:/system of qemu:///system


def _answers(link: _Link) -> bool:
    """Whether the connection still answers; waits as long as keep-alive lets it."""
    try:
        return not link.lost and bool(link.connect.isAlive()) and link.connect.getLibVersion() > 0
    except libvirt.libvirtError:
        return False


def _again(error: DriverError) -> DriverError:
    """The same error, for another caller: an exception must not be raised by two threads."""
    return type(error)(error.text, host=error.host, code=error.code, domain=error.domain)


_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """No thread of libvirt's may hold up, or outlive, the interpreter."""
    end = time.monotonic() + _CLOSING
    for connection in list(_connections):
        connection.close(max(0.0, end - time.monotonic()))
