"""The cloud that the command acts on: records and simulated hosts in one SQLite file.

Rules of this file:

1. One process at a time acts on the hosts of a file: whoever does holds a lock on ``FILE.lock``, which the kernel gives back
   when the process ends, however it ends. Looking at records, and asking a migration to abort, needs no lock.
2. What the simulated hosts hold is written to the file after each change of theirs. A migration that was under way when the process
   died has died with it: the guest is found on the source, or on the destination if it had switched over.
3. Time is virtual unless real time is asked for: a migration of minutes takes milliseconds. It goes on from where it
   stood when the file was used last, and never stands before the wall clock.
"""

from __future__ import annotations

import fcntl
import os
import time
from argparse import ArgumentParser
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from novastate.drivers import SimulatedCloud, SimulatedHost
from novastate.drivers.clock import Clock, RealClock, VirtualClock
from novastate.errors import InvalidField, NotFound, NovastateError, StoreError, UnknownName
from novastate.machines import VMState
from novastate.objects import ComputeNode, Instance
from novastate.runners import Listener, LocalRunner
from novastate.store import Put, Store
from novastate.store.base import kind_of

__all__ = ["DEFAULT_HOSTS", "Cloud", "cloud_argument", "every", "find_server", "node_of", "open_cloud", "open_store"]

T = TypeVar("T")

#: The hosts of a new cloud: two sharing nothing with the third.
DEFAULT_HOSTS: tuple[SimulatedHost, ...] = tuple(
    SimulatedHost(
        host=name,
        vcpus=8,
        memory_mb=16384,
        disk_gb=200,
        shared_storage=storage,
    )
    for name, storage in (("alpha", "pool"), ("beta", "pool"), ("gamma", ""))
)

_DOCUMENT = "simulated-cloud"

#: How long to wait for another process that acts on the cloud, in seconds.
_LOCK_WAIT = 5.0


def cloud_argument(parser: ArgumentParser) -> None:
    """Adds ``--cloud FILE``."""
    parser.add_argument(
        "--cloud",
        metavar="FILE",
        default=os.environ.get("NOVASTATE_CLOUD", "novastate.sqlite"),
        help="the SQLite file that holds the cloud (default: $NOVASTATE_CLOUD, else novastate.sqlite); created at first use",
    )


class Cloud:
    """The records (`store`), the hosts (`hypervisors`) and what runs flows on both (`runner`)."""

    def __init__(self, store: Store, hypervisors: SimulatedCloud, runner: LocalRunner) -> None:
        self.store, self.hypervisors, self.runner = store, hypervisors, runner


@contextmanager
def open_store(path: str) -> Generator[Store]:
    """The records alone, for looking; a new cloud is made where there is none."""
    with _opened(path, RealClock()) as store:
        if not _has_cloud(store):
            with _lock(path):
                _populate(store)
        yield store


class _Clock:
    """A clock that is chosen once the store, which already tells time, has been read."""

    now_by: Clock = RealClock()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.now_by.now()

    def sleep(self, seconds: float) -> None:
        """Lets *seconds* pass on the clock that was chosen."""
        self.now_by.sleep(seconds)


@contextmanager
def open_cloud(path: str, *, real_time: bool = False, listeners: tuple[Listener, ...] = ()) -> Generator[Cloud]:
    """Records and hosts, for acting; waits for another process that acts, :data:`_LOCK_WAIT` seconds at most."""
    clock = _Clock()
    with _opened(path, clock) as store, _lock(path):
        if not _has_cloud(store):
            _populate(store)
        revision, saved = store.get_document(_DOCUMENT)
        # Virtual time may have run ahead of the wall clock: it never runs back.
        start = max(time.time(), _time_of(saved, path))
        clock.now_by = RealClock(start=start) if real_time else VirtualClock(start)
        try:
            hypervisors = SimulatedCloud.from_dict(saved.get("hosts", {}), clock=clock)
        except NovastateError as error:
            raise StoreError(f"{path}: the simulated hosts that it holds cannot be read: {error}") from error

        def keep() -> None:
            nonlocal revision
            revision = store.put_document(_DOCUMENT, {"now": clock.now(), "hosts": hypervisors.to_dict()}, revision)

        hypervisors.on_change = keep
        yield Cloud(store, hypervisors, LocalRunner(store, hypervisors.drivers, clock, listeners))
        keep()


def _time_of(saved: Mapping[str, object], path: str) -> float:
    """When the cloud was used last, in seconds since the epoch."""
    now = saved.get("now")
    if isinstance(now, int | float) and 0 <= now < 253_402_300_800:  # the year 10000
        return float(now)
    raise StoreError(f"{path}: the time that it holds cannot be read: {now!r}")


@contextmanager
def _opened(path: str, clock: Clock) -> Generator[Store]:
    from novastate.store import SqlStore  # noqa: PLC0415  (needs SQLAlchemy, and says so)

    store = SqlStore.at(path, clock=lambda: datetime.fromtimestamp(clock.now(), UTC))
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _lock(path: str) -> Generator[None]:
    try:
        handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"{path}.lock: {error.strerror}") from error
    try:
        deadline = time.monotonic() + _LOCK_WAIT
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StoreError(f"{path}: another novastate process is acting on this cloud") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def _has_cloud(store: Store) -> bool:
    return bool(store.get_document(_DOCUMENT)[0])


def _populate(store: Store) -> None:
    """Makes the default hosts, in one document and one node each."""
    if _has_cloud(store):
        return
    hypervisors = SimulatedCloud(DEFAULT_HOSTS)
    store.commit(*(Put(node_of(host)) for host in DEFAULT_HOSTS))
    store.put_document(_DOCUMENT, {"now": time.time(), "hosts": hypervisors.to_dict()}, 0)


def node_of(host: SimulatedHost) -> ComputeNode:
    """The record of a simulated host."""
    return ComputeNode(
        host=host.host,
        hypervisor_hostname=host.host,
        hypervisor_type="simulated",
        hypervisor_version=host.hypervisor_version,
        vcpus=host.vcpus,
        memory_mb=host.memory_mb,
        local_gb=host.disk_gb,
        vcpus_used=0,
        memory_mb_used=0,
        local_gb_used=0,
        running_vms=0,
        cpu_info=host.cpu_model,
    )


def every(store: Store, cls: type[T], equals: Mapping[str, object] | None = None, *, page: int = 500) -> Generator[T]:
    """All objects of a class whose indexed fields equal *equals*, in the order of their keys, read *page* at a time."""
    after = ""
    while found := store.find(cls, limit=page, after=after, **(equals or {})):
        yield from found
        after = kind_of(cls).key_of(found[-1])


def find_server(store: Store, name: str) -> Instance:
    """The instance of that uuid or name, a deleted one by its uuid only.

    UnknownName lists the near ones, InvalidField the uuids of several of one name.
    """
    try:
        return store.load(Instance, name)
    except (NotFound, InvalidField):
        pass
    named = [server for server in every(store, Instance, {"display_name": name}) if not server.deleted]
    named = [server for server in named if server.vm_state is not VMState.ERROR] or named
    if len(named) > 1:
        raise InvalidField(
            "server", name, "several have this name, use the uuid", (server.uuid for server in named[:10])
        )
    if named:
        return named[0]
    raise UnknownName("server", name, (s.display_name or s.uuid for s in every(store, Instance) if not s.deleted))


def check_host(store: Store, name: str) -> str:
    """*name* if there is such a host; UnknownName lists the near ones."""
    known = [node.host for node in every(store, ComputeNode)]
    if name not in known:
        raise UnknownName("host", name, known)
    return name
