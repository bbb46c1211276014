"""What every part of the libvirt driver stands on: its settings, its connection, and the calls about one guest.

Rules of this file: a guest is named by its uuid, and looked up in each call: an object of libvirt outlives no call. A call of the
driver that makes several of the connection is a :func:`one_deadline`.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from novastate.drivers.base import ComputeDriver
from novastate.drivers.clock import Clock, RealClock
from novastate.drivers.libvirt.binding import libvirt
from novastate.drivers.libvirt.connection import Connection
from novastate.drivers.libvirt.migration_job import Jobs
from novastate.drivers.libvirt.xml import speakable
from novastate.errors import GuestNotFound, InvalidField

if TYPE_CHECKING:
    from novastate.objects import Instance

__all__ = ["Hypervisor", "gone_is_fine", "one_deadline"]

T = TypeVar("T")
H = TypeVar("H", bound="Hypervisor")
P = ParamSpec("P")


def one_deadline(method: Callable[Concatenate[H, P], T]) -> Callable[Concatenate[H, P], T]:
    """For a call of the driver that makes several of the connection: all of them together have `timeout` seconds."""

    @wraps(method)
    def within(self: H, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.connection.within(self.timeout):
            return method(self, *args, **kwargs)

    return within


@contextmanager
def gone_is_fine() -> Generator[None]:
    """Ends at once, and well, if there is no guest, or none any more: libvirt may remove it between any two calls."""
    try:
        yield
    except GuestNotFound:
        pass
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise


def _directory(field: str, path: str | os.PathLike[str]) -> str:
    """A directory on the host, without a slash at its end. Raises InvalidField."""
    path = os.fspath(path)
    if not path.startswith("/"):
        raise InvalidField(field, path, "must be an absolute path on the host")
    return speakable(field, path).rstrip("/") or "/"


class Hypervisor(ComputeDriver):
    """One libvirt daemon. See :class:`~novastate.drivers.libvirt.driver.LibvirtDriver` for the parameters."""

    def __init__(
        self,
        uri: str,
        host: str | None = None,
        *,
        timeout: float = 30.0,
        address: str | None = None,
        peers: Mapping[str, str] | None = None,
        instances_path: str | os.PathLike[str] = "/var/lib/libvirt/images",
        images_path: str | os.PathLike[str] | None = None,
        line_rate: float | None = None,
        define: Callable[[Instance], str] | None = None,
        clock: Clock | None = None,
        virt_type: str | None = None,
        stop_delay: float = 15.0,
        keepalive: tuple[int, int] = (5, 3),
        allow_monitor: bool = True,
    ) -> None:
        if host is not None and not host:
            raise InvalidField("host", host, "must be a name, and not be empty")
        if virt_type not in {None, "kvm", "qemu"}:
            raise InvalidField("virt_type", virt_type, "must be kvm, qemu or None")
        if not 0 <= stop_delay < threading.TIMEOUT_MAX:
            raise InvalidField("stop_delay", stop_delay, "must be a finite number of seconds, 0 or more")
        self.connection = Connection(uri, host=host, timeout=timeout, keepalive=keepalive)
        self.timeout = timeout
        self.peers: Mapping[str, str] = dict(peers or {})
        self.instances_path = _directory("instances_path", instances_path)
        self.images_path = self.instances_path if images_path is None else _directory("images_path", images_path)
        self.line_rate = line_rate
        self.clock: Clock = clock if clock is not None else RealClock()
        self.virt_type = virt_type
        self.stop_delay = stop_delay
        self.allow_monitor = allow_monitor
        self.jobs = Jobs()
        #: What the daemons took before and after QEMU in this process's last migrations from here, s.
        self.begins: deque[float] = deque(maxlen=5)
        self._host = host
        self._address = address
        self._hostname: str | None = None
        self._define = define

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._host or self.connection!r})"

    @property
    def host(self) -> str:
        """The name in the fleet; if none was given, the daemon's host name, asked for once. Raises DriverError."""
        if self._host is None:
            self._host = self.connection.host = self.hostname
        return self._host

    @property
    def hostname(self) -> str:
        """What the daemon's host calls itself; asked for once. Raises DriverError."""
        if self._hostname is None:
            self._hostname = self.connection.call(
                "asking for the host's name", lambda connect: str(connect.getHostname())
            )
        return self._hostname

    @property
    def address(self) -> str:
        """Where migrations to this host connect: as given, else its host name. Raises DriverError."""
        return self._address or self.hostname

    def on_guest(self, what: str, uuid: str, function: Callable[[Any], T], *, timeout: float | None = None) -> T:
        """What *function* returns for the guest's ``virDomain``. Raises GuestNotFound, and what a call of the connection raises."""

        def run(connect: Any) -> T:
            return function(self.lookup(connect, uuid))

        return self.connection.call(what, run, timeout=timeout, uuid=uuid)

    def lookup(self, connect: Any, uuid: str) -> Any:
        """The ``virDomain`` of guest *uuid*; to be called within a call. Raises GuestNotFound."""
        try:
            return connect.lookupByUUIDString(uuid)
        except libvirt.libvirtError as error:
            if error.get_error_code() in {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_INVALID_ARG}:  # or no uuid at all
                raise GuestNotFound(
                    f"there is no guest {uuid}", host=self._host, code=error.get_error_code()
                ) from error
            raise

    def close(self) -> None:
        """Ends the connection and all subscriptions, at once; every later call raises DriverError."""
        self.connection.close()
