"""Live migration on simulated hosts: the checks, the job and its commands, the steps after it.

Rules:

1. What the checks and the preparation leave behind is taken back by the clean-up and by the rollback.
2. A job stays readable after its end until the post or the rollback step of the source.
3. No step deletes a disk that is not held whole elsewhere, and none removes a guest that is at home where the step is made.
"""
# ruff: noqa: D102  (the abstract driver says what each method does)

from __future__ import annotations

from typing import TYPE_CHECKING

from novastate.drivers.base import (
    MOST_DOWNTIME,
    DiskInfo,
    JobStats,
    JobType,
    Lifecycle,
    LiveMigrationParams,
    LiveMigrationSource,
)
from novastate.drivers.simulated.calls import Hypervisor, driver_call, local_disk_gb
from novastate.drivers.simulated.world import GIB
from novastate.errors import DriverError, MigrationPreCheckError, NotSupported
from novastate.machines import PowerState
from novastate.machines.storage import check_storage
from novastate.objects import UNSET, LibvirtLiveMigrateData, evolve

if TYPE_CHECKING:
    from novastate.objects import Instance

__all__ = ["Migrating"]


class Migrating(Hypervisor):
    """The calls for live migration."""

    # --- live migration, before

    def _probe(self, instance: Instance) -> str:
        """The name of the file by which source and destination find out whether they share their storage."""
        return f"tmp-{instance.uuid}-{self.host}"

    @driver_call
    def live_migration_source(self, now: float, uuid: str) -> LiveMigrationSource:
        del now
        self.world.resident(self.host, uuid)
        disk = self.world.disks.get((uuid, self.spec.store))
        disks = () if disk is None else (DiskInfo("vda", f"{disk.store}/{uuid}", "raw", disk.size, disk.used),)
        return LiveMigrationSource(self.state(), disks, self.spec.cpu_model)

    @driver_call
    def check_can_live_migrate_destination(
        self, now: float, instance: Instance, source: LiveMigrationSource, *, block_migration: bool | None = None
    ) -> LibvirtLiveMigrateData:
        del now
        spec = self.spec
        if source.host.host == self.host:
            raise MigrationPreCheckError(f"{self.host}: guest {instance.uuid} is here already")
        if source.cpu and spec.cpu_model and source.cpu != spec.cpu_model:
            raise MigrationPreCheckError(f"{self.host}: its CPU {spec.cpu_model} is not the source's {source.cpu}")
        probe = self._probe(instance)
        self.world.probes.add((spec.store, probe))
        self.world.changed = True
        _, _, used = self.world.used(self.host)
        return LibvirtLiveMigrateData(
            filename=probe,
            image_type="default",
            block_migration=UNSET if block_migration is None else block_migration,
            disk_over_commit=False,
            disk_available_mb=max(0, spec.disk_gb - used) * 1024,
            is_volume_backed=local_disk_gb(instance) == 0,
            instance_relative_path=instance.uuid,
            dst_wants_file_backed_memory=False,
            dst_supports_numa_live_migration=True,
            target_connect_addr=self.host,
        )

    @driver_call
    def check_can_live_migrate_source(
        self, now: float, instance: Instance, data: LibvirtLiveMigrateData
    ) -> LibvirtLiveMigrateData:
        del now
        self.world.resident(self.host, instance.uuid)
        disk_gb = local_disk_gb(instance)
        shared_path = (self.spec.store, data.filename) in self.world.probes
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

    @driver_call
    def cleanup_live_migration_destination_check(self, now: float, data: LibvirtLiveMigrateData) -> None:
        del now
        if (self.spec.store, data.filename) in self.world.probes:
            self.world.probes.discard((self.spec.store, str(data.filename)))
            self.world.changed = True

    @driver_call
    def pre_live_migration(
        self, now: float, instance: Instance, data: LibvirtLiveMigrateData, disks: tuple[DiskInfo, ...]
    ) -> LibvirtLiveMigrateData:
        del now
        if data.block_migration is True and disks and (instance.uuid, self.spec.store) not in self.world.disks:
            disk_gb = -(-sum(disk.size for disk in disks) // GIB)
            self.world.check_room(self.host, vcpus=0, memory_mb=0, disk_gb=disk_gb)
            self.create_disk(instance.uuid, disk_gb, 0, current=False)
        return data

    # --- live migration, during

    @driver_call
    def live_migration(
        self, now: float, instance: Instance, dest: str, data: LibvirtLiveMigrateData, params: LiveMigrationParams
    ) -> None:
        uuid, world = instance.uuid, self.world
        if params.parallel_connections > 1:
            raise NotSupported(f"guest {uuid}: parallel connections", host=self.host)
        job = self.cloud.jobs.get((self.host, uuid))
        if job is not None and job.completed and (self.host, uuid) in world.domains:
            # It has come back since; what is left of an earlier migration is stale.
            job = None
        if job is not None and job.dest == dest:
            self.cloud.mend(job, now)
            return
        job = job or self.cloud.moving(self.host, uuid)
        if job is not None:
            raise DriverError(f"guest {uuid}: there is a migration to {job.dest} already", host=self.host)
        domain = world.resident(self.host, uuid)
        there = self.store_of(dest)
        if dest == self.host or dest in world.down:
            problem = "the guest is there already" if dest == self.host else "no route to the host"
            raise DriverError(f"guest {uuid}: cannot migrate to {dest}: {problem}", host=self.host)
        if domain.power_state not in {PowerState.RUNNING, PowerState.PAUSED}:
            raise DriverError(f"guest {uuid} is {domain.power_state} and cannot be migrated live", host=self.host)
        if (dest, uuid) in world.domains:
            raise DriverError(f"guest {uuid} is known on {dest} already", host=self.host)
        block = data.block_migration is True
        disk = world.disks.get((uuid, self.spec.store))
        target = world.disks.get((uuid, there))
        if disk is not None and target is None:
            raise DriverError(f"guest {uuid}: {dest} has not prepared its disk", host=self.host)
        world.check_room(dest, vcpus=domain.vcpus, memory_mb=domain.memory_mb, disk_gb=0)
        self.cloud.start_job(domain, dest, params, disk if block else None, now)

    @driver_call
    def live_migration_job(self, now: float, uuid: str) -> JobStats:
        job = self.cloud.jobs.get((self.host, uuid))
        if job is None:
            self.world.domain(self.host, uuid)
            return JobStats(JobType.NONE)
        return job.stats(now)

    @driver_call
    def live_migration_downtime(self, now: float, uuid: str, downtime: int) -> None:
        del now
        job = self.cloud.jobs.get((self.host, uuid))
        if job is None:
            raise DriverError(f"guest {uuid} is not being migrated", host=self.host)
        if type(downtime) is not int or not 0 < downtime <= MOST_DOWNTIME:
            raise DriverError(f"guest {uuid}: a downtime limit of {downtime} ms cannot be set", host=self.host)
        if job.active and job.memory is not None:
            job.memory.set_downtime(downtime / 1000)

    @driver_call
    def live_migration_abort(self, now: float, uuid: str) -> None:
        job = self.cloud.jobs.get((self.host, uuid))
        if job is None or not job.active:
            return
        if job.post_copy:
            raise DriverError(f"guest {uuid}: post-copy cannot be aborted", host=self.host)
        self.cloud.break_job(job, now, "aborted", JobType.CANCELLED)

    @driver_call
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

    @driver_call
    def post_live_migration_at_source(self, now: float, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        del now, data
        uuid = instance.uuid
        if (self.host, uuid) in self.world.domains:
            raise DriverError(f"guest {uuid} is here still", host=self.host)
        if not any(self.world.hosts[other.host].store == self.spec.store for other in self.world.of(uuid)):
            self.world.delete_disk(uuid, self.spec.store, asked=False)
        self.forget_job(uuid)

    @driver_call
    def post_live_migration_at_destination(self, now: float, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        del now, data
        domain = self.world.resident(self.host, instance.uuid)
        self.world.changed |= not domain.persistent
        domain.persistent = True

    @driver_call
    def rollback_live_migration_at_source(self, now: float, instance: Instance, data: LibvirtLiveMigrateData) -> None:
        del data
        job = self.cloud.jobs.get((self.host, instance.uuid))
        if job is None:
            return
        if job.active:
            raise DriverError(f"guest {instance.uuid} is being migrated: abort that first", host=self.host)
        domain = self.world.domains.get((self.host, instance.uuid))
        if domain is not None and job.ran and domain.power_state is PowerState.PAUSED:
            self.world.move(domain, PowerState.RUNNING, Lifecycle.RESUMED, now)
        self.forget_job(instance.uuid)

    @driver_call
    def rollback_live_migration_at_destination(
        self, now: float, instance: Instance, data: LibvirtLiveMigrateData
    ) -> None:
        uuid, world = instance.uuid, self.world
        # The data of a flow that died is not known to who rolls it back: the file is found by its name.
        left = world.probes & {(self.spec.store, self._probe(instance)), (self.spec.store, str(data.filename))}
        world.probes -= left
        world.changed |= bool(left)
        domain = world.domains.get((self.host, uuid))
        if domain is not None and not domain.incoming:
            return
        self.break_job_of(uuid, now, f"the destination {self.host} gave up")
        store = self.spec.store
        disk = world.disks.get((uuid, store))
        shared = any(world.hosts[other.host].store == store for other in world.of(uuid))
        if disk is not None and not disk.current and not shared:
            world.delete_disk(uuid, store, asked=False)
