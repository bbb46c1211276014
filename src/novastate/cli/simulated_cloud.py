"""The simulated hosts of a cloud file.

Rules of this file:

1. What the hosts hold is written to the file after each change of theirs. A migration that was under way when the process died has died
   with it: the guest is found on the source, or on the destination if it had switched over.
2. Time is virtual unless real time is asked for: a migration of minutes takes milliseconds. It goes on from where it stood when the
   file was used last, and never stands before the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from novastate.cli.cloud import SIMULATED
from novastate.drivers import Clock, ComputeDriver, RealClock, SimulatedCloud, SimulatedHost, VirtualClock
from novastate.errors import NovastateError, StoreError
from novastate.objects import ComputeNode
from novastate.store import Put, Store

__all__ = ["DEFAULT_HOSTS", "node_of", "opened", "populate"]

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


def populate(store: Store) -> None:
    """Makes the default hosts, in one document and one node each; whoever began with it and died may have left the nodes."""
    hypervisors = SimulatedCloud(DEFAULT_HOSTS)
    there = {node.host for node in store.find(ComputeNode)}
    store.commit(*(Put(node_of(host)) for host in DEFAULT_HOSTS if host.host not in there))
    store.put_document(SIMULATED, {"now": time.time(), "hosts": hypervisors.to_dict()}, 0)


@contextmanager
def opened(
    store: Store, path: str, tell: Callable[[Clock], None], *, real_time: bool, keep: bool
) -> Generator[Mapping[str, ComputeDriver]]:
    """The drivers of the hosts; *tell* is given their clock. With *keep*, what they hold is written back."""
    revision, saved = store.get_document(SIMULATED)
    start = max(time.time(), _time_of(saved, path))
    clock: Clock = RealClock(start=start) if real_time else VirtualClock(start)
    tell(clock)
    try:
        hypervisors = SimulatedCloud.from_dict(saved.get("hosts", {}), clock=clock)
    except NovastateError as error:
        raise StoreError(f"{path}: the simulated hosts that it holds cannot be read: {error}") from error

    def write() -> None:
        nonlocal revision
        revision = store.put_document(SIMULATED, {"now": clock.now(), "hosts": hypervisors.to_dict()}, revision)

    if keep:
        hypervisors.on_change = write
    yield hypervisors.drivers
    if keep:
        write()


def _time_of(saved: Mapping[str, object], path: str) -> float:
    """When the cloud was used last, in seconds since the epoch."""
    now = saved.get("now")
    if isinstance(now, int | float) and 0 <= now < 253_402_300_800:  # the year 10000
        return float(now)
    raise StoreError(f"{path}: the time that it holds cannot be read: {now!r}")


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
