"""Drivers that are wrong in one thing each: the conformance kit says which."""

from __future__ import annotations

import math
import time

import pytest

from drivers_world import make_fleet
from novastate.drivers import JobStats, JobType, Lifecycle, SimulatedDriver
from novastate.drivers.base import GuestInfo
from novastate.errors import DriverError, GuestNotFound
from novastate.machines import PowerState
from novastate.objects import UNSET
from novastate.testing import check_driver


class LeavesDisks(SimulatedDriver):
    def destroy(self, uuid, *, destroy_disks=True):
        super().destroy(uuid, destroy_disks=False)


class DestroysAllDisks(SimulatedDriver):
    def destroy(self, uuid, *, destroy_disks=True):
        super().destroy(uuid)


class DestroysOnce(SimulatedDriver):
    def destroy(self, uuid, *, destroy_disks=True):
        self.get_info(uuid)
        super().destroy(uuid, destroy_disks=destroy_disks)


class PausesOnce(SimulatedDriver):
    def pause(self, uuid):
        if self.get_info(uuid).power_state is PowerState.PAUSED:
            raise DriverError("it is paused")
        super().pause(uuid)


class StartsWhatItShouldResume(SimulatedDriver):
    def resume(self, uuid):
        self.power_on(uuid)


class ShowsPausedAsRunning(SimulatedDriver):
    def get_info(self, uuid):
        seen = super().get_info(uuid)
        state = PowerState.RUNNING if seen.power_state is PowerState.PAUSED else seen.power_state
        return GuestInfo(seen.uuid, seen.name, state, seen.memory_mb, seen.vcpus, seen.incoming)


class IsDeaf(SimulatedDriver):
    def shutdown(self, uuid):
        self.get_info(uuid)


class RaisesAnything(SimulatedDriver):
    def get_info(self, uuid):
        try:
            return super().get_info(uuid)
        except GuestNotFound:
            raise KeyError(uuid) from None


class CountsNothing(SimulatedDriver):
    def host_state(self):
        from attrs import evolve

        return evolve(super().host_state(), vcpus_used=0)


class TellsTwice(SimulatedDriver):
    def subscribe(self, listener):
        return super().subscribe(lambda event: (listener(event), listener(event)))


class TellsNothingOfPauses(SimulatedDriver):
    def subscribe(self, listener):
        return super().subscribe(lambda event: event.transition is Lifecycle.PAUSED or listener(event))


class TellsForEver(SimulatedDriver):
    def subscribe(self, listener):
        super().subscribe(listener)
        return lambda: None


class TellsOfItself(SimulatedDriver):
    """Even when it has done nothing."""

    def unpause(self, uuid):
        super().unpause(uuid)
        with self.cloud.at_work() as now:
            self.world.tell(self.host, uuid, Lifecycle.RESUMED, now)


class HasNoDeadline(SimulatedDriver):
    timeout = math.inf


class BreaksItsDeadline(SimulatedDriver):
    timeout = 0.2

    def host_state(self):
        time.sleep(0.3)
        return super().host_state()


class MisspellsACapability(SimulatedDriver):
    capabilities = SimulatedDriver.capabilities | {"supports_postcopy": True}


class ClaimsTooMuch(SimulatedDriver):
    capabilities = SimulatedDriver.capabilities | {"supports_parallel_migration": True}


class ClaimsTooLittle(SimulatedDriver):
    capabilities = SimulatedDriver.capabilities | {"supports_post_copy": False}


class ClaimsToMeasureNothing(SimulatedDriver):
    capabilities = SimulatedDriver.capabilities | {"supports_measure": False}


class ClaimsToRecover(SimulatedDriver):
    capabilities = SimulatedDriver.capabilities | {"supports_post_copy_recovery": True}


class LetsTheOldHalfRun(SimulatedDriver):
    """Of a guest that post-copy has handed over."""

    def unpause(self, uuid):
        if not self.get_info(uuid).outgoing:
            super().unpause(uuid)


class ClaimsNoMigration(SimulatedDriver):
    capabilities = SimulatedDriver.capabilities | {"supports_live_migration": False}


class MigratesToItself(SimulatedDriver):
    def check_can_live_migrate_destination(self, instance, source, *, block_migration=None):
        other = next(driver for host, driver in self.cloud.drivers.items() if host != self.host)
        if source.host.host == self.host:
            return other.check_can_live_migrate_destination(instance, source, block_migration=block_migration)
        return super().check_can_live_migrate_destination(instance, source, block_migration=block_migration)


class StartsAMigrationAnew(SimulatedDriver):
    def live_migration(self, instance, dest, data, params):
        if super().live_migration_job(instance.uuid).type is JobType.UNBOUNDED:
            raise DriverError("there is a job")
        super().live_migration(instance, dest, data, params)


class TakesAnyDowntime(SimulatedDriver):
    def live_migration_downtime(self, uuid, downtime):
        super().live_migration_downtime(uuid, max(1, min(downtime, 1000)))


class ForgetsItsStatistics(SimulatedDriver):
    def live_migration_job(self, uuid):
        stats = super().live_migration_job(uuid)
        if stats.type is JobType.COMPLETED:
            self.forget_job(uuid)
        return stats


class MakesStatisticsUp(SimulatedDriver):
    def live_migration_job(self, uuid):
        stats = super().live_migration_job(uuid)
        return JobStats(stats.type, error=stats.error) if stats.type is JobType.COMPLETED else stats


class DoesNotAbort(SimulatedDriver):
    def live_migration_abort(self, uuid):
        pass


class CallsAnAbortAFailure(SimulatedDriver):
    def live_migration_job(self, uuid):
        from attrs import evolve

        stats = super().live_migration_job(uuid)
        return evolve(stats, type=JobType.FAILED) if stats.type is JobType.CANCELLED else stats


class RollsARunningGuestAway(SimulatedDriver):
    def rollback_live_migration_at_destination(self, instance, data):
        super().rollback_live_migration_at_destination(instance, data)
        self.destroy(instance.uuid)


class RollsBackWhatItRemembers(SimulatedDriver):
    def rollback_live_migration_at_destination(self, instance, data):
        if data.filename is not UNSET:
            super().rollback_live_migration_at_destination(instance, data)


class WakesAPausedGuest(SimulatedDriver):
    def post_live_migration_at_destination(self, instance, data):
        super().post_live_migration_at_destination(instance, data)
        self.unpause(instance.uuid)


class IgnoresTheStorageMatrix(SimulatedDriver):
    def check_can_live_migrate_source(self, instance, data):
        from attrs import evolve

        return super().check_can_live_migrate_source(instance, evolve(data, block_migration=UNSET))


class MeasuresBackwards(SimulatedDriver):
    def measure(self, uuid):
        from attrs import evolve

        guest = super().measure(uuid)
        return evolve(guest, memory=guest.memory * 2)


WRONG = {
    LeavesDisks: "driver_destroys_what_is_there_or_not",
    DestroysAllDisks: "driver_keeps_disks_it_was_told_to_keep",
    DestroysOnce: "driver_destroys_what_is_there_or_not",
    PausesOnce: "driver_obeys_while_a_guest_is_paused",
    StartsWhatItShouldResume: "driver_obeys_while_a_guest_is_off",
    ShowsPausedAsRunning: "driver_obeys_while_a_guest_runs",
    IsDeaf: "driver_obeys_while_a_guest_runs",
    RaisesAnything: "driver_says_what_is_not_there",
    CountsNothing: "driver_counts_what_a_guest_takes",
    TellsTwice: "driver_tells_of_each_change",
    TellsNothingOfPauses: "driver_tells_of_each_change",
    TellsForEver: "driver_stops_telling_who_has_ended_it",
    TellsOfItself: "driver_tells_of_each_change",
    HasNoDeadline: "driver_has_a_name_and_a_deadline",
    BreaksItsDeadline: "driver_counts_its_host",
    MisspellsACapability: "driver_declares_known_capabilities",
    ClaimsTooMuch: "driver_sends_in_parallel_or_says_that_it_cannot",
    ClaimsTooLittle: "driver_switches_to_post_copy_or_says_that_it_cannot",
    ClaimsToMeasureNothing: "driver_measures_or_says_that_it_cannot",
    ClaimsToRecover: "driver_recovers_post_copy_or_says_that_it_cannot",
    LetsTheOldHalfRun: "driver_switches_to_post_copy_or_says_that_it_cannot",
    ClaimsNoMigration: "driver_migrates_a_guest",
    MigratesToItself: "driver_refuses_a_migration_that_cannot_be",
    StartsAMigrationAnew: "driver_shows_a_job_that_goes_on",
    TakesAnyDowntime: "driver_shows_a_job_that_goes_on",
    ForgetsItsStatistics: "driver_migrates_a_guest",
    MakesStatisticsUp: "driver_migrates_a_guest",
    DoesNotAbort: "driver_aborts_a_migration",
    CallsAnAbortAFailure: "driver_aborts_a_migration",
    RollsARunningGuestAway: "driver_never_rolls_a_guest_away",
    RollsBackWhatItRemembers: "driver_undoes_what_it_prepared",
    WakesAPausedGuest: "driver_migrates_a_paused_guest",
    IgnoresTheStorageMatrix: "driver_copies_disks_or_says_that_it_cannot",
    MeasuresBackwards: "driver_measures_or_says_that_it_cannot",
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_driver_is_caught(wrong):
    fleet = make_fleet(drivers=lambda cloud: [wrong(cloud, host) for host in cloud.drivers])
    failed = [name for name, _ in check_driver(fleet)]
    assert WRONG[wrong] in failed
    assert len(failed) < 25, "one fault must not hide what is right"
    for driver in fleet.drivers:
        assert not SimulatedDriver.list_guests(driver), "the kit has left guests"


def test_every_check_of_a_wrong_kind_names_itself():
    fleet = make_fleet(drivers=lambda cloud: [HasNoDeadline(cloud, host) for host in cloud.drivers])
    ((name, error),) = check_driver(fleet)
    assert name == "driver_has_a_name_and_a_deadline"
    assert isinstance(error, AssertionError)
