"""The libvirt hosts of a cloud file: how each is reached.

Rules of this file:

1. The hosts themselves keep what they hold; the file keeps the way to them. Nothing is opened before it is needed.
2. A URI is printed without what may be secret in it, and one that holds a password, as a parameter too, is refused: libvirt takes
   none from there, and the file would keep it.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from attrs import asdict, field, frozen

from novastate.cli.cloud import LIBVIRT
from novastate.drivers import Clock, ComputeDriver, RealClock, checks
from novastate.drivers.libvirt import LibvirtDriver
from novastate.drivers.libvirt.connection import shown
from novastate.errors import InvalidField, NovastateError, StoreError
from novastate.store import Store

__all__ = ["LibvirtHost", "close", "drivers_of", "identity", "opened", "read", "write"]


def _uri(_: object, attribute: Any, value: Any) -> None:
    if not isinstance(value, str):
        raise InvalidField(attribute.name, value, "must be text")
    try:
        parts = urlsplit(value)
        _ = parts.port  # what is no number there may be half a password
        secret = parts.password is not None or any(
            "pass" in unquote(word.partition("=")[0]).lower() for word in re.split("[&;]", parts.query)
        )
    except ValueError:
        raise InvalidField(attribute.name, value.partition(":")[0] + ":…", "is no URI") from None
    if secret:
        raise InvalidField(attribute.name, shown(value), "must not hold a password: libvirt takes none from a URI")
    if value and not parts.scheme:
        raise InvalidField(attribute.name, shown(value), "must be a libvirt URI, like qemu+ssh://host/system")


def _address(_: object, attribute: Any, value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[\w.:%\[\]-]*", value):
        raise InvalidField(attribute.name, None, "must be a host name or an IP address")


@frozen
class LibvirtHost:
    """How one host is reached.

    *uri*: of its daemon, from here; *migrate_uri*: from the other hosts' daemons, empty: the same; *address*: where migrations to it
    connect, empty: its host name; *line_rate*: of its network in bytes a second, 0: learnt; *uuid*: which host it was when it
    answered last, empty: not known. Raises InvalidField.
    """

    uri: str = field(validator=_uri, repr=shown)
    migrate_uri: str = field(default="", validator=_uri, repr=shown)
    address: str = field(default="", validator=_address)
    line_rate: float = field(default=0.0, validator=checks.number(0))
    uuid: str = field(default="", validator=checks.text)

    @property
    def peer(self) -> str:
        """The URI for the other hosts' daemons; empty where *uri* is that of the machine that this runs on, and no other is given."""
        return self.migrate_uri or (self.uri if urlsplit(self.uri).hostname else "")

    @property
    def shown(self) -> str:
        """The URI as it may be printed."""
        return shown(self.uri)


def read(store: Store, path: str) -> tuple[int, dict[str, LibvirtHost]]:
    """The revision of the document, and the hosts by name. Raises StoreError."""
    revision, body = store.get_document(LIBVIRT)
    try:
        hosts = {str(name): LibvirtHost(**facts) for name, facts in body.get("hosts", {}).items()}
    except (NovastateError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: the hosts that it holds cannot be read: {error}") from error
    return revision, hosts


def write(store: Store, revision: int, hosts: Mapping[str, LibvirtHost]) -> int:
    """Replaces them; returns the new revision. Raises StaleState."""
    return store.put_document(LIBVIRT, {"hosts": {name: asdict(host) for name, host in hosts.items()}}, revision)


def drivers_of(hosts: Mapping[str, LibvirtHost], clock: Clock) -> dict[str, ComputeDriver]:
    """A driver for each host, each knowing how the others reach it. Raises NotSupported without libvirt-python."""
    return {
        name: _driver(
            name,
            host,
            {other: it.peer for other, it in hosts.items() if other != name and it.peer},
            clock,
        )
        for name, host in hosts.items()
    }


def _driver(name: str, host: LibvirtHost, peers: Mapping[str, str], clock: Clock) -> ComputeDriver:
    return LibvirtDriver(
        host.uri,
        name,
        address=host.address or None,
        peers=peers,
        line_rate=host.line_rate or None,
        clock=clock,
    )


def identity(driver: ComputeDriver) -> str:
    """The UUID of the host itself (libvirt: ``capabilities/host/uuid``), by whatever URI; empty where it has none. Raises DriverError."""
    if not isinstance(driver, LibvirtDriver):
        return ""
    capabilities: str = driver.connection.call("asking who it is", lambda connect: str(connect.getCapabilities()))
    return ET.fromstring(capabilities).findtext("host/uuid", "").strip()  # noqa: S314  (libvirt's own words)


@contextmanager
def opened(store: Store, path: str, tell: Callable[[Clock], None]) -> Generator[Mapping[str, ComputeDriver]]:
    """The drivers of the hosts; *tell* is given their clock, which is real."""
    clock = RealClock()
    tell(clock)
    drivers = drivers_of(read(store, path)[1], clock)
    try:
        yield drivers
    finally:
        close(drivers)


def close(drivers: Mapping[str, ComputeDriver]) -> None:
    """Ends their connections."""
    for driver in drivers.values():
        if isinstance(driver, LibvirtDriver):
            driver.close()
