"""What there is in a simulated cloud, and the few ways in which it may change.

Rules:

1. A guest is a *domain* on a host. During a live migration there are two: one that runs, and one that is *incoming* and never runs.
2. Disks lie on stores (a host's own, or a shared one). At most one copy of a disk is current while its guest runs. A disk is deleted
   only when a current copy is held elsewhere, or its owner asked for it; anything else is refused.
3. A guest that runs on two hosts (law L1) is written down in :attr:`World.violations`. A hypervisor knows nothing of other hosts,
   so a wrong control plane *can* start a guest twice on local storage; on shared storage the image lock refuses it.
4. Every change that a hypervisor would tell of goes to :attr:`World.told`, in order, with its time.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import Factory, define

from novastate.convergence.simulation.laws import PAGE
from novastate.drivers.base import Lifecycle, LifecycleEvent
from novastate.drivers.simulated.spec import SimulatedHost
from novastate.errors import DriverError, GuestNotFound
from novastate.machines import PowerState

__all__ = ["ALLOCATED", "GIB", "Disk", "Domain", "World", "pages_of"]

GIB = 1 << 30

#: How much of a new local disk is allocated, at most, in bytes: images are sparse.
ALLOCATED = GIB


def pages_of(memory_mb: int) -> int:
    """How many pages *memory_mb* MiB are."""
    return memory_mb * (1 << 20) // PAGE


@define
class Domain:
    """A guest as one hypervisor holds it: *memory_mb* MiB, *disk_gb* GiB of local disk."""

    uuid: str
    name: str
    host: str
    vcpus: int
    memory_mb: int
    disk_gb: int = 0
    power_state: PowerState = PowerState.NOSTATE
    #: Being received by a live migration: it never runs.
    incoming: bool = False
    #: Post-copy has handed its vCPUs over: it never runs again.
    outgoing: bool = False
    #: Known to its host after a restart of the hypervisor.
    persistent: bool = True

    @property
    def occupies(self) -> bool:
        """Whether a process holds its memory."""
        return self.power_state in {PowerState.NOSTATE, PowerState.RUNNING, PowerState.PAUSED}

    @property
    def runs(self) -> bool:
        """Whether its vCPUs execute."""
        return self.power_state is PowerState.RUNNING and not self.incoming


@define
class Disk:
    """The local disk of guest *uuid* on *store*: *size* bytes, *used* of which are allocated; *current*: a complete, up-to-date copy."""

    uuid: str
    store: str
    size: int
    used: int
    current: bool = True


@define
class World:
    """Hosts, domains, disks. Its owner holds the lock."""

    hosts: dict[str, SimulatedHost]
    down: set[str] = Factory(set[str])
    domains: dict[tuple[str, str], Domain] = Factory(dict[tuple[str, str], Domain])
    disks: dict[tuple[str, str], Disk] = Factory(dict[tuple[str, str], Disk])
    #: Test files that a destination check has laid on a store, as (store, file).
    probes: set[tuple[str, str]] = Factory(set[tuple[str, str]])
    violations: list[str] = Factory(list[str])
    told: list[LifecycleEvent] = Factory(list[LifecycleEvent])
    changed: bool = False

    # --- looking

    def on(self, host: str) -> list[Domain]:
        """The domains of *host*, sorted by uuid."""
        return [self.domains[key] for key in sorted(self.domains) if key[0] == host]

    def of(self, uuid: str) -> Iterator[Domain]:
        """The domains of guest *uuid*, on every host."""
        return (self.domains[key] for key in sorted(self.domains) if key[1] == uuid)

    def domain(self, host: str, uuid: str) -> Domain:
        """The domain, incoming or not. Raises GuestNotFound."""
        try:
            return self.domains[host, uuid]
        except KeyError:
            raise GuestNotFound(f"there is no guest {uuid}", host=host) from None

    def resident(self, host: str, uuid: str) -> Domain:
        """The domain of a guest that is at home on *host*, not incoming. Raises GuestNotFound."""
        domain = self.domain(host, uuid)
        if domain.incoming:
            raise GuestNotFound(f"guest {uuid} is only arriving", host=host)
        return domain

    def running(self, uuid: str) -> list[str]:
        """The hosts on which the guest's vCPUs execute; law L1: at most one."""
        return [d.host for d in self.of(uuid) if d.runs and d.host not in self.down]

    def used(self, host: str) -> tuple[int, int, int]:
        """vCPUs, MiB of memory and GiB of disk taken on *host*.

        A guest that is off takes only disk; an incoming one counts; what lies on a shared store counts on each of its hosts.
        """
        here = [domain for domain in self.on(host) if domain.occupies]
        store = self.hosts[host].store
        size = sum(disk.size for disk in self.disks.values() if disk.store == store)
        return sum(d.vcpus for d in here), sum(d.memory_mb for d in here), -(-size // GIB)

    def check_room(self, host: str, *, vcpus: int, memory_mb: int, disk_gb: int) -> None:
        """Raises DriverError that names the resource of which *host* has too little left."""
        spec = self.hosts[host]
        cpus, memory, disk = self.used(host)
        most = int(spec.vcpus * spec.cpu_allocation_ratio)
        for resource, asked, free in (
            ("VCPU", vcpus, most - cpus),
            ("MEMORY_MB", memory_mb, spec.memory_mb - memory),
            ("DISK_GB", disk_gb, spec.disk_gb - disk),
        ):
            if asked > free:
                raise DriverError(f"no room: {asked} {resource} requested, {free} free", host=host)

    # --- changing

    def tell(self, host: str, uuid: str, transition: Lifecycle, at: float) -> None:
        """Leaves an event for the subscribers of *host*."""
        self.changed = True
        self.told.append(LifecycleEvent(host, uuid, transition, at))

    def add(self, domain: Domain) -> Domain:
        """Puts a domain on its host."""
        self.changed = True
        self.domains[domain.host, domain.uuid] = domain
        return domain

    def remove(self, host: str, uuid: str) -> None:
        """Takes a domain away; nothing if it is not there."""
        self.changed |= self.domains.pop((host, uuid), None) is not None

    def move(self, domain: Domain, state: PowerState, transition: Lifecycle | None, at: float) -> None:
        """Brings a domain into *state* and tells of it. Already there: nothing happens."""
        if domain.power_state is state:
            return
        if state is PowerState.RUNNING:
            self._check_start(domain)
        self.changed = True
        domain.power_state = state
        if transition is not None:
            self.tell(domain.host, domain.uuid, transition, at)
        self.check_alone(domain.uuid, at)

    def arrive(self, domain: Domain, source: str, *, block_migration: bool) -> None:
        """An incoming domain has become the guest; of its disk, this host's copy is now the current one."""
        self.changed = True
        domain.incoming = False
        here, there = self.hosts[source].store, self.hosts[domain.host].store
        if block_migration and (domain.uuid, there) in self.disks:
            self.disks[domain.uuid, there].current = True
            self.disks[domain.uuid, there].used = self.disks[domain.uuid, here].used
            self.disks[domain.uuid, here].current = False

    def check_alone(self, uuid: str, at: float) -> None:
        """Writes a breach of law L1 down."""
        hosts = self.running(uuid)
        if len(hosts) > 1:
            self.violations.append(f"L1 at {at:g} s: guest {uuid} runs on {' and '.join(hosts)}")

    def _check_start(self, domain: Domain) -> None:
        """Whether its vCPUs may run here: there is room, and its disk is whole and not locked."""
        host, uuid = domain.host, domain.uuid
        if not domain.occupies:
            self.check_room(host, vcpus=domain.vcpus, memory_mb=domain.memory_mb, disk_gb=0)
        store = self.hosts[host].store
        disk = self.disks.get((uuid, store))
        if disk is None:
            return
        if not disk.current:
            raise DriverError(f"guest {uuid}: its disk on {store} is not complete", host=host)
        for other in self.of(uuid):
            same = other is not domain and self.hosts[other.host].store == store
            if same and other.runs and other.host not in self.down:
                raise DriverError(f"guest {uuid}: its disk is locked by {other.host}, where it runs", host=host)

    def delete_disk(self, uuid: str, store: str, *, asked: bool) -> None:
        """Deletes a disk; not there: nothing. Raises DriverError unless its owner *asked*, or a current copy is held elsewhere."""
        disk = self.disks.get((uuid, store))
        if disk is None:
            return
        elsewhere = any(d.current for key, d in self.disks.items() if key[0] == uuid and key[1] != store)
        if disk.current and not asked and not elsewhere:
            raise DriverError(f"guest {uuid}: its disk on {store} is the only complete copy")
        self.changed = True
        del self.disks[uuid, store]
