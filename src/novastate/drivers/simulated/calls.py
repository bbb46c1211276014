"""What every part of the simulated driver stands on: how a call is made, and the few things that several calls do.

Rules: every public call goes through :meth:`SimulatedCloud.perform`, which catches up with time, applies scripted faults and refuses
for a host that is down; a call that finds its work done already does nothing, and tells of nothing.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from novastate.drivers.base import ComputeDriver, GuestInfo, HostState, Lifecycle
from novastate.drivers.simulated.spec import SimulatedHost
from novastate.drivers.simulated.world import ALLOCATED, GIB, Disk, Domain
from novastate.errors import DriverError, UnknownName
from novastate.machines import PowerState
from novastate.objects.totals import disk_gb

if TYPE_CHECKING:
    from novastate.drivers.simulated.cloud import SimulatedCloud
    from novastate.objects import Instance

__all__ = ["DISK_KEY", "Hypervisor", "allocated", "driver_call", "info", "local_disk_gb"]

#: Key of an instance's metadata: how many GiB of its local disk are allocated.
DISK_KEY = "novastate:disk_used_gb"

H = TypeVar("H", bound="Hypervisor")
P = ParamSpec("P")
R = TypeVar("R")


def driver_call(method: Callable[Concatenate[H, float, P], R]) -> Callable[Concatenate[H, P], R]:
    """Makes a method that takes the time into a call of the driver."""

    @functools.wraps(method)
    def called(self: H, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self.cloud.perform(self.host, method.__name__, lambda now: method(self, now, *args, **kwargs))
        return result

    whole = inspect.signature(method)
    shown = whole.replace(parameters=[p for name, p in whole.parameters.items() if name != "now"])
    called.__signature__ = shown  # type: ignore[attr-defined]
    return called


class Hypervisor(ComputeDriver):
    """The hypervisor of *host* in *cloud*."""

    def __init__(self, cloud: SimulatedCloud, host: str) -> None:
        self.cloud = cloud
        self._host = host
        self.world = cloud.world

    @property
    def host(self) -> str:
        """The name of the host."""
        return self._host

    @property
    def spec(self) -> SimulatedHost:
        """What the host has."""
        return self.world.hosts[self._host]

    # --- for the calls; the lock is held

    def state(self) -> HostState:
        """What the host has and what of it is taken."""
        spec = self.spec
        vcpus, memory, disk = self.world.used(self.host)
        return HostState(
            host=self.host,
            vcpus=spec.vcpus,
            memory_mb=spec.memory_mb,
            disk_gb=spec.disk_gb,
            vcpus_used=vcpus,
            memory_mb_used=memory,
            disk_gb_used=disk,
            hypervisor_version=spec.hypervisor_version,
            cpu_model=spec.cpu_model,
            shared_storage=spec.shared_storage,
        )

    def store_of(self, host: str) -> str:
        """The store of another host. Raises DriverError if there is no such host."""
        if host not in self.world.hosts:
            raise DriverError(str(UnknownName("host", host, self.world.hosts)), host=self.host)
        return self.world.hosts[host].store

    def start(self, domain: Domain, now: float) -> None:
        """Has the vCPUs run, whatever they did before."""
        was = domain.power_state
        transition = Lifecycle.RESUMED if was is PowerState.PAUSED else Lifecycle.STARTED
        if was is PowerState.PAUSED:
            job = self.cloud.jobs.get((self.host, domain.uuid))
            if job is not None and job.active:
                if job.stands_still or job.post_copy:
                    raise DriverError(f"guest {domain.uuid} is being switched over", host=self.host)
                job.set_running(running=True)
        self.world.move(domain, PowerState.RUNNING, transition, now)

    def create_disk(self, uuid: str, disk_gb: int, used: int, *, current: bool) -> None:
        """Makes an empty (not *current*) or a whole local disk, *used* bytes of which are allocated."""
        self.world.disks[uuid, self.spec.store] = Disk(uuid, self.spec.store, disk_gb * GIB, used, current)
        self.world.changed = True

    def break_job_of(self, uuid: str, now: float, why: str) -> None:
        """Ends the migration of the guest from or to here, if there is one."""
        job = self.cloud.moving(self.host, uuid)
        if job is not None:
            self.cloud.break_job(job, now, why)

    def forget_job(self, uuid: str) -> None:
        """Drops the statistics of the migration from here."""
        if self.cloud.jobs.pop((self.host, uuid), None) is not None:
            self.world.changed = True


def info(domain: Domain) -> GuestInfo:
    """A domain as a driver shows it."""
    return GuestInfo(
        domain.uuid, domain.name, domain.power_state, domain.memory_mb, domain.vcpus, domain.incoming, domain.outgoing
    )


def allocated(instance: Instance) -> int:
    """How many bytes of its local disk are allocated when it is new. Raises DriverError if its metadata cannot be right."""
    size = local_disk_gb(instance)
    given = (instance.metadata or {}).get(DISK_KEY)
    if not given:
        return min(size * GIB, ALLOCATED)
    try:
        used = float(given)
    except ValueError:
        used = -1.0
    if not 0 <= used <= size:
        raise DriverError(f"guest {instance.uuid}: {DISK_KEY} must be a number from 0 to {size}, got {given!r}")
    return int(used * GIB)


def local_disk_gb(instance: Instance) -> int:
    """How much local disk the instance has, GiB: none is an instance all of whose disks are volumes."""
    return disk_gb(instance.flavor)
