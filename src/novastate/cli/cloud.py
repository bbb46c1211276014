"""The cloud that the command acts on: records in one SQLite file, and the hosts that it names.

Rules of this file:

1. One process at a time acts on the hosts of a file: whoever does holds a lock on ``FILE.lock``, which the kernel gives back
   when the process ends, however it ends. Looking at records, and asking a migration to abort, needs no lock.
2. A file has simulated hosts (:mod:`novastate.cli.simulated_cloud`) or libvirt's (:mod:`novastate.cli.libvirt_hosts`), never both. A
   document of the file says which; a new file has simulated ones, unless ``adopt`` made it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TypeVar

from novastate.cli.options import cloud_argument
from novastate.drivers import Clock, ComputeDriver, RealClock
from novastate.errors import InvalidField, NotFound, StoreError, UnknownName
from novastate.machines import VMState
from novastate.objects import ComputeNode, Instance
from novastate.runners import Listener, LocalRunner
from novastate.store import Store
from novastate.store.base import kind_of

__all__ = [
    "LIBVIRT",
    "SIMULATED",
    "Cloud",
    "check_host",
    "cloud_argument",
    "every",
    "find_server",
    "kind_of_hosts",
    "lock",
    "open_cloud",
    "open_file",
    "open_store",
]

T = TypeVar("T")

#: The kinds of hosts: the documents that say so.
SIMULATED, LIBVIRT = "simulated-cloud", "libvirt-hosts"

#: How long to wait for another process that acts on the cloud, in seconds.
_LOCK_WAIT = 5.0


class Cloud:
    """The records (`store`), what runs flows on them and on the hosts (`runner`), and whether the hosts are `real`."""

    def __init__(self, store: Store, runner: LocalRunner, *, real: bool) -> None:
        self.store, self.runner, self.real = store, runner, real


@contextmanager
def open_store(path: str) -> Generator[Store]:
    """The records alone, for looking; a new cloud is made where there is none."""
    with open_file(path, RealClock()) as store:
        _ensure(store, path)
        yield store


class _Clock:
    """A clock that is chosen once the store, which already tells time, has been read."""

    now_by: Clock = RealClock()

    def use(self, clock: Clock) -> None:
        """From now on, *clock* tells the time."""
        self.now_by = clock

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.now_by.now()

    def sleep(self, seconds: float) -> None:
        """Lets *seconds* pass on the clock that was chosen."""
        self.now_by.sleep(seconds)


@contextmanager
def open_cloud(
    path: str, *, real_time: bool = False, listeners: tuple[Listener, ...] = (), looking: bool = False
) -> Generator[Cloud]:
    """Records and hosts, for acting; waits for another process that acts, :data:`_LOCK_WAIT` seconds at most.

    For *looking* at the hosts alone no lock is needed, and nothing of them is kept. Real hosts have real time.
    """
    clock = _Clock()
    with open_file(path, clock) as store:
        kind = _ensure(store, path)
        with (
            nullcontext() if looking else lock(path),
            _hosts(kind, store, path, clock, real_time=real_time, keep=not looking) as drivers,
        ):
            yield Cloud(store, LocalRunner(store, drivers, clock, listeners), real=kind == LIBVIRT)


def _hosts(
    kind: str, store: Store, path: str, clock: _Clock, *, real_time: bool, keep: bool
) -> AbstractContextManager[Mapping[str, ComputeDriver]]:
    if kind == LIBVIRT:
        from novastate.cli import libvirt_hosts  # noqa: PLC0415  (the one kind needs none of the other)

        return libvirt_hosts.opened(store, path, clock.use)
    from novastate.cli import simulated_cloud  # noqa: PLC0415

    return simulated_cloud.opened(store, path, clock.use, real_time=real_time, keep=keep)


def kind_of_hosts(store: Store, path: str) -> str:
    """:data:`SIMULATED`, :data:`LIBVIRT`, or nothing where the file has no hosts yet. Raises StoreError."""
    kinds = [kind for kind in (SIMULATED, LIBVIRT) if store.get_document(kind)[1]]
    if len(kinds) > 1:
        raise StoreError(f"{path}: it holds both simulated and real hosts, and neither can be told from the other")
    return kinds[0] if kinds else ""


def _ensure(store: Store, path: str) -> str:
    """The kind of the hosts; a new file gets simulated ones."""
    if not kind_of_hosts(store, path):
        with lock(path):
            if not kind_of_hosts(store, path):
                from novastate.cli.simulated_cloud import populate  # noqa: PLC0415

                populate(store)
    return kind_of_hosts(store, path)


@contextmanager
def open_file(path: str, clock: Clock) -> Generator[Store]:
    """The store in the file, whatever hosts it has. Raises StoreError."""
    from novastate.store import SqlStore  # noqa: PLC0415  (needs SQLAlchemy, and says so)

    store = SqlStore.at(path, clock=lambda: datetime.fromtimestamp(clock.now(), UTC))
    try:
        yield store
    finally:
        store.close()


@contextmanager
def lock(path: str) -> Generator[None]:
    """The lock of rule 1. Raises StoreError when another process holds it for longer than :data:`_LOCK_WAIT` seconds."""
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
