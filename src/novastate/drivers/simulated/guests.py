"""One guest's life on a simulated host: what is there, spawn, power, destroy.

Rules: a call that leads where the guest is already changes nothing; what a guest in its state cannot do raises DriverError. Stopping
a guest ends its live migration; pausing it lets the migration catch up.
"""
# ruff: noqa: D102  (the abstract driver says what each method does)

from __future__ import annotations

from typing import TYPE_CHECKING

from novastate.drivers.base import GuestInfo, HostState, Lifecycle
from novastate.drivers.simulated.calls import Hypervisor, allocated, driver_call, info, local_disk_gb
from novastate.drivers.simulated.world import Domain
from novastate.errors import DriverError
from novastate.machines import PowerState

if TYPE_CHECKING:
    from novastate.objects import Instance

__all__ = ["Guests"]


class Guests(Hypervisor):
    """The calls for one guest's life."""

    # --- what is there

    @driver_call
    def host_state(self, now: float) -> HostState:
        del now
        return self.state()

    @driver_call
    def list_guests(self, now: float) -> list[GuestInfo]:  # noqa: ARG002
        return [info(domain) for domain in self.world.on(self.host)]

    @driver_call
    def get_info(self, now: float, uuid: str) -> GuestInfo:  # noqa: ARG002
        return info(self.world.domain(self.host, uuid))

    # --- one guest's life

    @driver_call
    def spawn(self, now: float, instance: Instance) -> GuestInfo:
        world, flavor = self.world, instance.flavor
        domain = world.domains.get((self.host, instance.uuid))
        if domain is None:
            disk_gb = local_disk_gb(instance)
            disk = world.disks.get((instance.uuid, self.spec.store))
            world.check_room(
                self.host, vcpus=flavor.vcpus, memory_mb=flavor.memory_mb, disk_gb=0 if disk is not None else disk_gb
            )
            used = allocated(instance)
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
                self.create_disk(instance.uuid, disk_gb, used, current=True)
            world.add(domain)
        elif domain.incoming:
            raise DriverError(f"guest {instance.uuid} is only arriving", host=self.host)
        self.start(domain, now)
        return info(domain)

    @driver_call
    def destroy(self, now: float, uuid: str, *, destroy_disks: bool = True) -> None:
        self.break_job_of(uuid, now, "the guest was destroyed")
        domain = self.world.domains.get((self.host, uuid))
        if domain is not None:
            self.world.move(domain, PowerState.SHUTDOWN, Lifecycle.STOPPED, now)
            self.world.remove(self.host, uuid)
        store = self.spec.store
        if destroy_disks and not any(self.world.hosts[other.host].store == store for other in self.world.of(uuid)):
            self.world.delete_disk(uuid, store, asked=True)

    @driver_call
    def power_on(self, now: float, uuid: str) -> None:
        self.start(self.world.resident(self.host, uuid), now)

    @driver_call
    def shutdown(self, now: float, uuid: str) -> None:
        if self.world.resident(self.host, uuid).power_state is PowerState.RUNNING:
            self.stop(uuid, now)

    @driver_call
    def power_off(self, now: float, uuid: str) -> None:
        self.stop(uuid, now)

    def stop(self, uuid: str, now: float) -> None:
        """Stops the guest, whatever it does."""
        domain = self.world.resident(self.host, uuid)
        self.break_job_of(uuid, now, "the guest was powered off")
        if domain.power_state in {PowerState.RUNNING, PowerState.PAUSED}:
            self.world.move(domain, PowerState.SHUTDOWN, Lifecycle.STOPPED, now)
        elif domain.power_state is not PowerState.SHUTDOWN:
            self.world.move(domain, PowerState.SHUTDOWN, None, now)

    @driver_call
    def reboot(self, now: float, uuid: str, *, hard: bool = False) -> None:
        domain = self.world.resident(self.host, uuid)
        if not hard:
            if domain.power_state is not PowerState.RUNNING:
                raise DriverError(
                    f"guest {uuid} is {domain.power_state}: only a hard reboot restarts it", host=self.host
                )
            return
        if domain.outgoing:
            raise DriverError(f"guest {uuid}: post-copy has handed it to another host", host=self.host)
        self.break_job_of(uuid, now, "the guest was rebooted")
        if domain.runs:
            self.world.move(domain, PowerState.SHUTDOWN, Lifecycle.STOPPED, now)
        self.start(domain, now)

    @driver_call
    def pause(self, now: float, uuid: str) -> None:
        domain = self.world.resident(self.host, uuid)
        if domain.power_state not in {PowerState.RUNNING, PowerState.PAUSED}:
            raise DriverError(f"guest {uuid} is {domain.power_state} and cannot be paused", host=self.host)
        job = self.cloud.jobs.get((self.host, uuid))
        if job is not None and job.active:
            job.set_running(running=False)
        self.world.move(domain, PowerState.PAUSED, Lifecycle.PAUSED, now)

    @driver_call
    def unpause(self, now: float, uuid: str) -> None:
        domain = self.world.resident(self.host, uuid)
        if domain.power_state not in {PowerState.RUNNING, PowerState.PAUSED}:
            raise DriverError(f"guest {uuid} is {domain.power_state} and cannot be unpaused", host=self.host)
        job = self.cloud.jobs.get((self.host, uuid))
        if job is not None and job.active:
            if job.stands_still or job.post_copy:
                raise DriverError(f"guest {uuid} is being switched over", host=self.host)
            job.set_running(running=True)
        self.world.move(domain, PowerState.RUNNING, Lifecycle.RESUMED, now)

    @driver_call
    def suspend(self, now: float, uuid: str) -> None:
        domain = self.world.resident(self.host, uuid)
        if domain.power_state not in {PowerState.RUNNING, PowerState.PAUSED, PowerState.SUSPENDED}:
            raise DriverError(f"guest {uuid} is {domain.power_state} and cannot be suspended", host=self.host)
        if self.cloud.moving(self.host, uuid) is not None:
            raise DriverError(f"guest {uuid} is being migrated and cannot be suspended", host=self.host)
        self.world.move(domain, PowerState.SUSPENDED, Lifecycle.SUSPENDED, now)

    @driver_call
    def resume(self, now: float, uuid: str) -> None:
        domain = self.world.resident(self.host, uuid)
        if domain.power_state not in {PowerState.SUSPENDED, PowerState.RUNNING}:
            raise DriverError(f"guest {uuid} is {domain.power_state} and has no saved memory", host=self.host)
        if domain.power_state is PowerState.SUSPENDED:
            self.world.move(domain, PowerState.RUNNING, Lifecycle.RESUMED, now)
