"""The abstract hypervisor: one driver speaks for one host.

Rules for whoever implements it:

1. Every call may be made twice with the effect of once (a reply may be lost). Destroying what is gone, pausing what is
   paused, aborting what has ended: all succeed and change nothing.
2. Every call returns, or raises a :class:`~novastate.errors.DriverError`, within :attr:`ComputeDriver.timeout` seconds.
   What takes longer (a live migration) is started by one call and looked at by another.
3. A driver reports, it does not decide: it holds no record of instances, and never retries, claims or reschedules.
4. What a driver cannot do is in its :attr:`~ComputeDriver.capabilities`, and raises
   :class:`~novastate.errors.NotSupported` if asked all the same.

The method names are Nova's (``nova/virt/driver.py``) where Nova has the method. Where Nova's driver blocks and calls back
(``live_migration(post_method, recover_method)``) this one starts a job and is polled, so that the same flow runs on a
thread, in asyncio or on a virtual clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from attrs import field, frozen

from novastate.drivers import checks
from novastate.drivers.job import JobStats, JobType
from novastate.errors import NotSupported
from novastate.machines import GuestEvent, PowerState

if TYPE_CHECKING:
    from novastate.convergence import Forecast, Guest, Link, Rules
    from novastate.objects import Instance, LibvirtLiveMigrateData

__all__ = [
    "MOST_DOWNTIME",
    "ComputeDriver",
    "DiskInfo",
    "GuestInfo",
    "HostState",
    "HugePages",
    "JobStats",
    "JobType",
    "Lifecycle",
    "LifecycleEvent",
    "LiveMigrationParams",
    "LiveMigrationSource",
    "NumaCell",
    "qemu_rules",
]


#: The longest downtime limit that QEMU takes, in milliseconds (migration/options.c).
MOST_DOWNTIME = 2_000_000


@frozen
class HugePages:
    """The pages of one size, in KiB, that a NUMA cell has: *total* and *free*."""

    size_kb: int = field(validator=checks.whole(1))
    total: int = field(validator=checks.whole(0))
    free: int = field(validator=checks.whole(0))


@frozen
class NumaCell:
    """One NUMA cell of a host: its CPUs, its memory in MiB, its pages by size."""

    id: int = field(validator=checks.whole(0))
    cpus: tuple[int, ...] = ()
    memory_mb: int = field(default=0, validator=checks.whole(0))
    free_mb: int = field(default=0, validator=checks.whole(0))
    pages: tuple[HugePages, ...] = ()


@frozen
class HostState:
    """What a host has and what of it is taken, as the hypervisor sees it.

    Sizes are MiB and GiB (*_mb, *_gb) as in Nova; *shared_storage* names the store that instance files lie on: two hosts
    with the same name share it, an empty name is local. *cpu_info* is the hypervisor's own description of the CPU (libvirt's XML).
    """

    host: str = field(validator=checks.name)
    vcpus: int = field(validator=checks.whole(0))
    memory_mb: int = field(validator=checks.whole(0))
    disk_gb: int = field(validator=checks.whole(0))
    vcpus_used: int = field(default=0, validator=checks.whole(0))
    memory_mb_used: int = field(default=0, validator=checks.whole(0))
    disk_gb_used: int = field(default=0, validator=checks.whole(0))
    hypervisor_type: str = field(default="simulated", validator=checks.text)
    hypervisor_version: int = field(default=0, validator=checks.whole(0))
    cpu_model: str = field(default="", validator=checks.text)
    cpu_info: str = field(default="", validator=checks.text, repr=False)
    numa_cells: tuple[NumaCell, ...] = ()
    shared_storage: str = field(default="", validator=checks.text)
    up: bool = field(default=True, validator=checks.flag)


@frozen
class GuestInfo:
    """A guest as the hypervisor sees it.

    *incoming*: a live migration is bringing it here; it does not run yet, and vanishes if the migration fails. *outgoing*: post-copy
    has handed its vCPUs to another host; it is never resumed here. Its power state is then PAUSED in both cases, as libvirt says.
    """

    uuid: str
    name: str
    power_state: PowerState
    memory_mb: int
    vcpus: int
    incoming: bool = False
    outgoing: bool = False


@frozen
class DiskInfo:
    """One local disk of a guest, as its source tells the destination (Nova's ``disk_info``).

    *device*: its name in the guest (``vda``); *path*: the file on the source; *format*: ``qcow2`` or ``raw``; *size*: as the guest
    sees it; *allocated*: what a copy moves, both in bytes; *backing_file*: what it is an overlay of, or empty.
    """

    device: str
    path: str
    format: str
    size: int = field(validator=checks.whole(0))
    allocated: int = field(default=0, validator=checks.whole(0))
    backing_file: str = ""


@frozen
class LiveMigrationSource:
    """What the source tells a destination of a guest before it is asked to take it.

    *disks*: the local ones that the guest writes to; *cpu*: the CPU that the guest was given (libvirt's XML), empty if any will do.
    """

    host: HostState
    disks: tuple[DiskInfo, ...] = ()
    cpu: str = field(default="", repr=False)


#: What happened to a guest: one enum for what hypervisors tell and what is made of it.
Lifecycle = GuestEvent


@frozen
class LifecycleEvent:
    """At time *at* (seconds on the driver's clock), *transition* happened to guest *uuid* on *host*."""

    host: str
    uuid: str
    transition: Lifecycle
    at: float


@frozen
class LiveMigrationParams:
    """How a live migration is to be run. *bandwidth*: bytes a second, 0 is no limit; *downtime*: milliseconds.

    A downtime is from 1 to :data:`MOST_DOWNTIME`, which is QEMU's own limit. *parallel_connections*: with more than 1 memory goes
    over that many connections (QEMU's multifd). Raises InvalidField.
    """

    bandwidth: int = field(default=0, validator=checks.whole(0))
    downtime: int = field(default=300, validator=checks.whole(1, MOST_DOWNTIME))
    auto_converge: bool = field(default=False, validator=checks.flag)
    post_copy: bool = field(default=False, validator=checks.flag)
    parallel_connections: int = field(default=1, validator=checks.whole(1, 255))


class ComputeDriver(ABC):
    """A hypervisor on one host. See the rules of this module."""

    #: What it can do beyond the abstract methods; names are Nova's where Nova has one.
    capabilities: ClassVar[Mapping[str, bool]] = {}

    #: The longest that any call may take, in seconds.
    timeout: float = 30.0

    @property
    @abstractmethod
    def host(self) -> str:
        """The name of the host, unique in the fleet."""

    # --- what is there

    @abstractmethod
    def host_state(self) -> HostState:
        """Resources of the host, taken and in all. Raises DriverError if the host is down."""

    @abstractmethod
    def list_guests(self) -> list[GuestInfo]:
        """Every guest that the hypervisor holds, in any power state, sorted by uuid."""

    @abstractmethod
    def get_info(self, uuid: str) -> GuestInfo:
        """One guest. Raises GuestNotFound."""

    @abstractmethod
    def subscribe(self, listener: Callable[[LifecycleEvent], None]) -> Callable[[], None]:
        """Calls *listener* for each lifecycle event from now on; returns what ends that.

        Events may come from another thread. A listener must not call back into the driver.
        """

    # --- one guest's life. All raise GuestNotFound where there is none, save spawn and destroy.

    @abstractmethod
    def spawn(self, instance: Instance) -> GuestInfo:
        """Creates the guest of *instance* (flavor, uuid, name) and starts it; if it is there already, starts it."""

    @abstractmethod
    def destroy(self, uuid: str, *, destroy_disks: bool = True) -> None:
        """Removes the guest, and its local disks unless *destroy_disks* is False."""

    @abstractmethod
    def power_on(self, uuid: str) -> None:
        """Starts the guest."""

    @abstractmethod
    def shutdown(self, uuid: str) -> None:
        """Asks the guest to shut down, and returns at once; a guest that does not run is left as it is."""

    @abstractmethod
    def power_off(self, uuid: str) -> None:
        """Stops the guest at once."""

    @abstractmethod
    def reboot(self, uuid: str, *, hard: bool = False) -> None:
        """Restarts the guest; *hard* does so from any power state."""

    @abstractmethod
    def pause(self, uuid: str) -> None:
        """Freezes the vCPUs; memory stays on the host."""

    @abstractmethod
    def unpause(self, uuid: str) -> None:
        """Lets the vCPUs run on."""

    @abstractmethod
    def suspend(self, uuid: str) -> None:
        """Saves memory to disk and stops the guest."""

    @abstractmethod
    def resume(self, uuid: str) -> None:
        """Starts the guest from its saved memory."""

    # --- live migration, before: on the destination (D) or the source (S)

    @abstractmethod
    def live_migration_source(self, uuid: str) -> LiveMigrationSource:
        """(S) What a destination needs to know of the guest and of this host: resources, CPU, local disks."""

    @abstractmethod
    def check_can_live_migrate_destination(
        self, instance: Instance, source: LiveMigrationSource, *, block_migration: bool | None = None
    ) -> LibvirtLiveMigrateData:
        """(D) Whether this host could run *instance*, now on *source*: CPU, storage prepared for the test.

        *block_migration* None means: find out. Raises MigrationPreCheckError.
        """

    @abstractmethod
    def check_can_live_migrate_source(self, instance: Instance, data: LibvirtLiveMigrateData) -> LibvirtLiveMigrateData:
        """(S) Completes *data*: what is shared, hence the effective ``block_migration``.

        Raises InvalidLocalStorage, InvalidSharedStorage, MigrationPreCheckError.
        """

    @abstractmethod
    def cleanup_live_migration_destination_check(self, data: LibvirtLiveMigrateData) -> None:
        """(D) Undoes what the destination check prepared."""

    @abstractmethod
    def pre_live_migration(
        self, instance: Instance, data: LibvirtLiveMigrateData, disks: tuple[DiskInfo, ...]
    ) -> LibvirtLiveMigrateData:
        """(D) Prepares the incoming guest's *disks* where they are to be copied, networks and volumes.

        What was made is found again by the rollback, even if nobody remembers *data*. Raises DriverError, and then nothing is left.
        """

    # --- live migration, during (S)

    @abstractmethod
    def live_migration(
        self, instance: Instance, dest: str, data: LibvirtLiveMigrateData, params: LiveMigrationParams
    ) -> None:
        """(S) Starts moving the guest to host *dest*, and returns. Started already: does nothing.

        Where post-copy has lost its link (``JobStats.broken``), tries to go on over a new one.
        """

    @abstractmethod
    def live_migration_job(self, uuid: str) -> JobStats:
        """(S) How the job stands. After its end the final statistics stay readable until the post or rollback step.

        Raises DriverError where the end cannot be told from here: then both hosts are asked where the guest is.
        """

    @abstractmethod
    def live_migration_downtime(self, uuid: str, downtime: int) -> None:
        """(S) Sets the downtime limit of the running job, in milliseconds."""

    @abstractmethod
    def live_migration_abort(self, uuid: str) -> None:
        """(S) Asks the job to end; the guest runs on here. Post-copy cannot be aborted: raises DriverError."""

    def live_migration_post_copy(self, uuid: str) -> None:
        """(S) Switches the running job to post-copy. Raises NotSupported unless ``post_copy`` was permitted."""
        raise NotSupported(f"guest {uuid}: post-copy", host=self.host)

    # --- live migration, after

    @abstractmethod
    def post_live_migration_at_source(self, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        """(S) The guest runs elsewhere: removes what is left of it here."""

    @abstractmethod
    def post_live_migration_at_destination(self, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        """(D) The guest has arrived: makes it persistent here."""

    @abstractmethod
    def rollback_live_migration_at_source(self, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        """(S) The guest stays: resumes it if the job paused it, forgets the job."""

    @abstractmethod
    def rollback_live_migration_at_destination(self, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        """(D) The guest does not come: removes every trace, the destination check's too, but never a guest that runs here.

        After a crash *data* may be empty: what is left must be found by the instance's uuid.
        """

    # --- what the estimator needs

    def measure(self, uuid: str) -> Guest:
        """The guest as the forecast sees it: memory, zero pages, dirty curve. Raises NotSupported."""
        raise NotSupported(f"guest {uuid}: measuring its dirty curve", host=self.host)

    def link(self, dest: str, params: LiveMigrationParams) -> Link:
        """The migration link to host *dest* under *params*. Raises NotSupported."""
        raise NotSupported(f"link to {dest}: not known ({params.bandwidth} B/s limit)", host=self.host)

    def rules(self, params: LiveMigrationParams, dest: str | None = None) -> Rules:
        """How this hypervisor runs a live migration under *params*, to host *dest* where that is told: by default as QEMU 10.0."""
        del dest
        return qemu_rules("10.0", params)

    def forecast(self, uuid: str, dest: str, params: LiveMigrationParams, *, timeout: float | None = None) -> Forecast:
        """(S) Measures the guest, and says what a live migration of its memory to host *dest* would come to.

        *timeout*: seconds after which it would be given up. Raises NotSupported; DriverError; ConvergenceError.
        """
        from novastate.convergence import Limits, forecast  # noqa: PLC0415  (loads numpy)

        limits = Limits(downtime=params.downtime / 1000, timeout=timeout)
        return forecast(self.measure(uuid), self.link(dest, params), limits, self.rules(params, dest))


def qemu_rules(version: str, params: LiveMigrationParams) -> Rules:
    """The estimator's rules for QEMU *version* under *params*; post-copy is only permitted, and forecast as not used."""
    from novastate.convergence import Rules  # noqa: PLC0415  (loads numpy)

    multifd = params.parallel_connections if params.parallel_connections > 1 else 0
    return Rules.qemu(version, auto_converge=params.auto_converge, multifd=multifd)
