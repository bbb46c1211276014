"""The driver of one simulated host: the rules of :class:`~novastate.drivers.ComputeDriver`, on a simulated world.

Rules: every public call goes through :meth:`SimulatedCloud.perform`, which catches up with time, applies scripted faults and refuses
for a host that is down; a call that finds its work done already does nothing, and tells of nothing.
"""
# ruff: noqa: D102  (the abstract driver says what each method does)

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from novastate.convergence.laws import PAGE
from novastate.drivers.base import (
    ComputeDriver,
    GuestInfo,
    HostState,
    JobStats,
    JobType,
    Lifecycle,
    LifecycleEvent,
    LiveMigrationParams,
)
from novastate.drivers.simulated.spec import SimulatedHost
from novastate.drivers.simulated.world import ALLOCATED, GIB, Disk, Domain, pages_of
from novastate.errors import DriverError, MigrationPreCheckError, NotSupported
from novastate.machines import PowerState
from novastate.machines.storage import check_storage
from novastate.objects import UNSET, LibvirtLiveMigrateData, evolve

if TYPE_CHECKING:
    from novastate.convergence import Guest, Link
    from novastate.drivers.simulated.cloud import SimulatedCloud
    from novastate.objects import Instance

__all__ = ["SimulatedDriver"]

P = ParamSpec("P")
R = TypeVar("R")


def _call(
    method: Callable[Concatenate[SimulatedDriver, float, P], R],
) -> Callable[Concatenate[SimulatedDriver, P], R]:
    """Makes a method that takes the time into a call of the driver."""

    @functools.wraps(method)
    def called(self: SimulatedDriver, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self.cloud.perform(self.host, method.__name__, lambda now: method(self, now, *args, **kwargs))
        return result

    return called


class SimulatedDriver(ComputeDriver):
    """The hypervisor of *host* in *cloud*; made by :class:`SimulatedCloud` alone."""

    capabilities = {  # noqa: RUF012  (the base declares it a ClassVar)
        "supports_live_migration": True,
        "supports_block_migration": True,
        "supports_post_copy": True,
        "supports_auto_converge": True,
        "supports_measure": True,
    }

    def __init__(self, cloud: SimulatedCloud, host: str) -> None:
        self.cloud = cloud
        self._host = host
        self._world = cloud.world

    @property
    def host(self) -> str:
        """The name of the host."""
        return self._host

    @property
    def spec(self) -> SimulatedHost:
        """What the host has."""
        return self._world.hosts[self._host]

    # --- what is there

    @_call
    def host_state(self, now: float) -> HostState:  # noqa: ARG002
        spec = self.spec
        vcpus, memory, disk = self._world.used(self.host)
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

    @_call
    def list_guests(self, now: float) -> list[GuestInfo]:  # noqa: ARG002
        return [_info(domain) for domain in self._world.on(self.host)]

    @_call
    def get_info(self, now: float, uuid: str) -> GuestInfo:  # noqa: ARG002
        return _info(self._world.domain(self.host, uuid))

    def subscribe(self, listener: Callable[[LifecycleEvent], None]) -> Callable[[], None]:
        return self.cloud.subscribe(self.host, listener)

    # --- one guest's life

    @_call
    def spawn(self, now: float, instance: Instance) -> GuestInfo:
        world, flavor = self._world, instance.flavor
        domain = world.domains.get((self.host, instance.uuid))
        if domain is None:
            disk_gb = _local_disk_gb(instance)
            disk = world.disks.get((instance.uuid, self.spec.store))
            world.check_room(
                self.host, vcpus=flavor.vcpus, memory_mb=flavor.memory_mb, disk_gb=0 if disk is not None else disk_gb
            )
            self.cloud.remember(instance)
            domain = Domain(
                uuid=instance.uuid,
                name=instance.display_name or instance.uuid,
                host=self.host,
                vcpus=flavor.vcpus,
                memory_mb=flavor.memory_mb,
                disk_gb=disk_gb,
            )
            if disk is None and disk_gb:
                self._create_disk(instance.uuid, disk_gb, current=True)
            world.add(domain)
        elif domain.incoming:
            raise DriverError(f"guest {instance.uuid} is only arriving", host=self.host)
        self._start(domain, now)
        return _info(domain)

    @_call
    def destroy(self, now: float, uuid: str) -> None:
        self._break_job_of(uuid, now, "the guest was destroyed")
        domain = self._world.domains.get((self.host, uuid))
        if domain is not None:
            self._world.move(domain, PowerState.SHUTDOWN, Lifecycle.STOPPED, now)
            self._world.remove(self.host, uuid)
        store = self.spec.store
        if not any(self._world.hosts[other.host].store == store for other in self._world.of(uuid)):
            self._world.delete_disk(uuid, store, asked=True)

    @_call
    def power_on(self, now: float, uuid: str) -> None:
        self._start(self._world.resident(self.host, uuid), now)

    @_call
    def power_off(self, now: float, uuid: str) -> None:
        domain = self._world.resident(self.host, uuid)
        self._break_job_of(uuid, now, "the guest was powered off")
        if domain.power_state in {PowerState.RUNNING, PowerState.PAUSED}:
            self._world.move(domain, PowerState.SHUTDOWN, Lifecycle.STOPPED, now)
        elif domain.power_state is not PowerState.SHUTDOWN:
            self._world.move(domain, PowerState.SHUTDOWN, None, now)

    @_call
    def reboot(self, now: float, uuid: str, *, hard: bool = False) -> None:
        domain = self._world.resident(self.host, uuid)
        if not hard:
            if domain.power_state is not PowerState.RUNNING:
                raise DriverError(
                    f"guest {uuid} is {domain.power_state}: only a hard reboot restarts it", host=self.host
                )
            return
        self._break_job_of(uuid, now, "the guest was rebooted")
        if domain.runs:
            self._world.move(domain, PowerState.SHUTDOWN, Lifecycle.STOPPED, now)
        self._start(domain, now)

    @_call
    def pause(self, now: float, uuid: str) -> None:
        domain = self._world.resident(self.host, uuid)
        if domain.power_state not in {PowerState.RUNNING, PowerState.PAUSED}:
            raise DriverError(f"guest {uuid} is {domain.power_state} and cannot be paused", host=self.host)
        job = self.cloud.jobs.get((self.host, uuid))
        if job is not None and job.active:
            job.set_running(running=False)
        self._world.move(domain, PowerState.PAUSED, Lifecycle.PAUSED, now)

    @_call
    def unpause(self, now: float, uuid: str) -> None:
        domain = self._world.resident(self.host, uuid)
        if domain.power_state not in {PowerState.RUNNING, PowerState.PAUSED}:
            raise DriverError(f"guest {uuid} is {domain.power_state} and cannot be unpaused", host=self.host)
        job = self.cloud.jobs.get((self.host, uuid))
        if job is not None and job.active:
            if job.stands_still or job.post_copy:
                raise DriverError(f"guest {uuid} is being switched over", host=self.host)
            job.set_running(running=True)
        self._world.move(domain, PowerState.RUNNING, Lifecycle.RESUMED, now)

    @_call
    def suspend(self, now: float, uuid: str) -> None:
        domain = self._world.resident(self.host, uuid)
        if domain.power_state not in {PowerState.RUNNING, PowerState.PAUSED, PowerState.SUSPENDED}:
            raise DriverError(f"guest {uuid} is {domain.power_state} and cannot be suspended", host=self.host)
        if self.cloud.moving(self.host, uuid) is not None:
            raise DriverError(f"guest {uuid} is being migrated and cannot be suspended", host=self.host)
        self._world.move(domain, PowerState.SUSPENDED, Lifecycle.SUSPENDED, now)

    @_call
    def resume(self, now: float, uuid: str) -> None:
        domain = self._world.resident(self.host, uuid)
        if domain.power_state not in {PowerState.SUSPENDED, PowerState.RUNNING}:
            raise DriverError(f"guest {uuid} is {domain.power_state} and has no saved memory", host=self.host)
        if domain.power_state is PowerState.SUSPENDED:
            self._world.move(domain, PowerState.RUNNING, Lifecycle.RESUMED, now)

    # --- live migration, before

    @_call
    def check_can_live_migrate_destination(
        self, now: float, instance: Instance, source: HostState, *, block_migration: bool | None = None
    ) -> LibvirtLiveMigrateData:
        del now
        spec = self.spec
        if source.cpu_model and spec.cpu_model and source.cpu_model != spec.cpu_model:
            raise MigrationPreCheckError(
                f"{self.host}: its CPU {spec.cpu_model} is not the source's {source.cpu_model}"
            )
        if source.hypervisor_version > spec.hypervisor_version:
            raise MigrationPreCheckError(
                f"{self.host}: its hypervisor {spec.hypervisor_version} is older than the source's {source.hypervisor_version}"
            )
        probe = f"tmp{instance.uuid.replace('-', '')[:8]}-{self.host}"
        self._world.probes.add((spec.store, probe))
        self._world.changed = True
        _, _, used = self._world.used(self.host)
        return LibvirtLiveMigrateData(
            filename=probe,
            image_type="default",
            block_migration=UNSET if block_migration is None else block_migration,
            disk_over_commit=False,
            disk_available_mb=max(0, spec.disk_gb - used) * 1024,
            is_volume_backed=_local_disk_gb(instance) == 0,
            instance_relative_path=instance.uuid,
            dst_wants_file_backed_memory=False,
            dst_supports_numa_live_migration=True,
            target_connect_addr=self.host,
        )

    @_call
    def check_can_live_migrate_source(
        self, now: float, instance: Instance, data: LibvirtLiveMigrateData
    ) -> LibvirtLiveMigrateData:
        del now
        self._world.resident(self.host, instance.uuid)
        disk_gb = _local_disk_gb(instance)
        shared_path = (self.spec.store, data.filename) in self._world.probes
        shared_block = shared_path or disk_gb == 0
        asked = None if data.block_migration is UNSET else bool(data.block_migration)
        block = check_storage(
            asked,
            shared_instance_path=shared_path,
            shared_block_storage=shared_block,
            boot_from_volume=disk_gb == 0,
            uuid=instance.uuid,
        )
        available = data.disk_available_mb
        if block and isinstance(available, int) and disk_gb * 1024 > available:
            raise MigrationPreCheckError(
                f"{data.target_connect_addr}: {disk_gb * 1024} MiB of disk needed, {available} MiB available"
            )
        return evolve(
            data,
            block_migration=block,
            is_shared_instance_path=shared_path,
            is_shared_block_storage=shared_block,
            src_supports_numa_live_migration=True,
        )

    @_call
    def cleanup_live_migration_destination_check(self, now: float, data: LibvirtLiveMigrateData) -> None:
        del now
        if (self.spec.store, data.filename) in self._world.probes:
            self._world.probes.discard((self.spec.store, str(data.filename)))
            self._world.changed = True

    @_call
    def pre_live_migration(
        self, now: float, instance: Instance, data: LibvirtLiveMigrateData
    ) -> LibvirtLiveMigrateData:
        del now
        disk_gb = _local_disk_gb(instance)
        if data.block_migration is True and disk_gb and (instance.uuid, self.spec.store) not in self._world.disks:
            self._world.check_room(self.host, vcpus=0, memory_mb=0, disk_gb=disk_gb)
            self._create_disk(instance.uuid, disk_gb, current=False)
        return data

    # --- live migration, during

    @_call
    def live_migration(
        self, now: float, instance: Instance, dest: str, data: LibvirtLiveMigrateData, params: LiveMigrationParams
    ) -> None:
        uuid, world = instance.uuid, self._world
        job = self.cloud.jobs.get((self.host, uuid))
        if job is not None and job.completed and (self.host, uuid) in world.domains:
            # It has come back since; what is left of an earlier migration is stale.
            job = None
        if job is not None and job.dest == dest:
            return
        job = job or self.cloud.moving(self.host, uuid)
        if job is not None:
            raise DriverError(f"guest {uuid}: there is a migration to {job.dest} already", host=self.host)
        domain = world.resident(self.host, uuid)
        there = self.cloud.driver(dest)
        if dest == self.host or dest in world.down:
            problem = "the guest is there already" if dest == self.host else "no route to the host"
            raise DriverError(f"guest {uuid}: cannot migrate to {dest}: {problem}", host=self.host)
        if domain.power_state not in {PowerState.RUNNING, PowerState.PAUSED}:
            raise DriverError(f"guest {uuid} is {domain.power_state} and cannot be migrated live", host=self.host)
        if (dest, uuid) in world.domains:
            raise DriverError(f"guest {uuid} is known on {dest} already", host=self.host)
        block = data.block_migration is True
        disk = world.disks.get((uuid, self.spec.store))
        target = world.disks.get((uuid, there.spec.store))
        if disk is not None and target is None:
            raise DriverError(f"guest {uuid}: {dest} has not prepared its disk", host=self.host)
        world.check_room(dest, vcpus=domain.vcpus, memory_mb=domain.memory_mb, disk_gb=0)
        self.cloud.start_job(domain, dest, params, disk if block else None, now)

    @_call
    def live_migration_job(self, now: float, uuid: str) -> JobStats:
        job = self.cloud.jobs.get((self.host, uuid))
        if job is None:
            self._world.domain(self.host, uuid)
            return JobStats(JobType.NONE)
        return job.stats(now)

    @_call
    def live_migration_downtime(self, now: float, uuid: str, downtime: int) -> None:
        del now
        job = self.cloud.jobs.get((self.host, uuid))
        if job is None:
            raise DriverError(f"guest {uuid} is not being migrated", host=self.host)
        if downtime <= 0:
            raise DriverError(f"guest {uuid}: a downtime limit of {downtime} ms cannot be set", host=self.host)
        if job.active and job.memory is not None:
            job.memory.set_downtime(downtime / 1000)

    @_call
    def live_migration_abort(self, now: float, uuid: str) -> None:
        job = self.cloud.jobs.get((self.host, uuid))
        if job is None or not job.active:
            return
        if job.post_copy:
            raise DriverError(f"guest {uuid}: post-copy cannot be aborted", host=self.host)
        self.cloud.break_job(job, now, "aborted", JobType.CANCELLED)

    @_call
    def live_migration_post_copy(self, now: float, uuid: str) -> None:
        del now
        job = self.cloud.jobs.get((self.host, uuid))
        if job is None:
            raise DriverError(f"guest {uuid} is not being migrated", host=self.host)
        if not job.params.post_copy:
            raise NotSupported(f"guest {uuid}: post-copy was not permitted", host=self.host)
        if job.memory is not None:
            job.memory.start_post_copy()

    # --- live migration, after

    @_call
    def post_live_migration_at_source(self, now: float, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        del now, data
        uuid = instance.uuid
        if (self.host, uuid) in self._world.domains:
            raise DriverError(f"guest {uuid} is here still", host=self.host)
        if not any(self._world.hosts[other.host].store == self.spec.store for other in self._world.of(uuid)):
            self._world.delete_disk(uuid, self.spec.store, asked=False)
        self._forget_job(uuid)

    @_call
    def post_live_migration_at_destination(self, now: float, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        del now, data
        domain = self._world.resident(self.host, instance.uuid)
        self._world.changed |= not domain.persistent
        domain.persistent = True

    @_call
    def rollback_live_migration_at_source(self, now: float, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        del data
        job = self.cloud.jobs.get((self.host, instance.uuid))
        if job is None:
            return
        if job.active:
            raise DriverError(f"guest {instance.uuid} is being migrated: abort that first", host=self.host)
        domain = self._world.domains.get((self.host, instance.uuid))
        if domain is not None and job.ran and domain.power_state is PowerState.PAUSED:
            self._world.move(domain, PowerState.RUNNING, Lifecycle.RESUMED, now)
        self._forget_job(instance.uuid)

    @_call
    def rollback_live_migration_at_destination(
        self, now: float, instance: Instance, data: LibvirtLiveMigrateData
    ) -> None:
        uuid, world = instance.uuid, self._world
        domain = world.domains.get((self.host, uuid))
        if domain is not None and not domain.incoming:
            return
        self._break_job_of(uuid, now, f"the destination {self.host} gave up")
        self._world.probes.discard((self.spec.store, str(data.filename)))
        store = self.spec.store
        disk = world.disks.get((uuid, store))
        shared = any(world.hosts[other.host].store == store for other in world.of(uuid))
        if disk is not None and not disk.current and not shared:
            world.delete_disk(uuid, store, asked=False)

    # --- what the estimator needs

    @_call
    def measure(self, now: float, uuid: str) -> Guest:
        from novastate.convergence import Guest  # noqa: PLC0415  (a control plane need not estimate)

        del now
        domain = self._world.resident(self.host, uuid)
        memory = self.cloud.memory(uuid)
        pages = pages_of(domain.memory_mb)
        return Guest(
            memory=pages * PAGE,
            zero_pages=memory.zero(pages),
            page_size=PAGE,
            curve=memory.law.curve(pages),
            busy=max(0.01, memory.law.busy),
        )

    @_call
    def link(self, now: float, dest: str, params: LiveMigrationParams) -> Link:
        from novastate.convergence import Link  # noqa: PLC0415  (a control plane need not estimate)

        del now
        limit, line_rate = self.cloud.path(self.host, dest, params)
        return Link(limit=limit, line_rate=line_rate)

    # --- parts of the above

    def _start(self, domain: Domain, now: float) -> None:
        was = domain.power_state
        transition = Lifecycle.RESUMED if was is PowerState.PAUSED else Lifecycle.STARTED
        if was is PowerState.PAUSED:
            job = self.cloud.jobs.get((self.host, domain.uuid))
            if job is not None and job.active:
                if job.stands_still or job.post_copy:
                    raise DriverError(f"guest {domain.uuid} is being switched over", host=self.host)
                job.set_running(running=True)
        self._world.move(domain, PowerState.RUNNING, transition, now)

    def _create_disk(self, uuid: str, disk_gb: int, *, current: bool) -> None:
        size = disk_gb * GIB
        self._world.disks[uuid, self.spec.store] = Disk(uuid, self.spec.store, size, min(size, ALLOCATED), current)
        self._world.changed = True

    def _break_job_of(self, uuid: str, now: float, why: str) -> None:
        job = self.cloud.moving(self.host, uuid)
        if job is not None:
            self.cloud.break_job(job, now, why)

    def _forget_job(self, uuid: str) -> None:
        if self.cloud.jobs.pop((self.host, uuid), None) is not None:
            self._world.changed = True


def _info(domain: Domain) -> GuestInfo:
    return GuestInfo(domain.uuid, domain.name, domain.power_state, domain.memory_mb, domain.vcpus, domain.incoming)


def _local_disk_gb(instance: Instance) -> int:
    flavor = instance.flavor
    return flavor.root_gb + flavor.ephemeral_gb + -(-flavor.swap // 1024)
