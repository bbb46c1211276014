"""How a migration has ended, told from where the guest is found: never by a guess that could run it twice, or lose it."""

from __future__ import annotations

import pytest

from flow_world import FAST, UUID, World
from novastate.drivers import GuestInfo
from novastate.errors import DriverError, GuestNotFound
from novastate.flows import Call, live_migrate, recover
from novastate.machines import MigrationStatus, PowerState, VMState
from novastate.objects import Allocation
from novastate.testing.explore import Interference, interfere

RUNS, PAUSED, OFF = PowerState.RUNNING, PowerState.PAUSED, PowerState.SHUTDOWN


def guest(power, **marks):
    return GuestInfo(UUID, "web", power, 256, 1, **marks)


SILENT = DriverError("does not answer")
NOT_THERE = GuestNotFound(f"there is no guest {UUID}")


class Said:
    """A host that says this of the guest, knows of no job, and obeys; what it was told to do is in `told`."""

    def __init__(self, driver, info, told):
        self._driver, self._info, self._told = driver, info, told

    def __getattr__(self, name):
        def call(*args, **kwargs):
            if self._info is SILENT:
                raise SILENT
            self._told.append((self._driver.host, name))
            if name == "live_migration_job":
                raise DriverError("how it has ended cannot be told")
            if name == "get_info" and isinstance(self._info, Exception):
                raise self._info
            if name == "get_info":
                return self._info
            return None

        return call


def found(here, there, **how):
    """A world in which the process died during the migration, and the hosts say this now; what they were told by recover."""
    world, told = World(), []
    world.boot()
    flow, effect, result = live_migrate(UUID, "beta", options=FAST), None, None
    while not (isinstance(effect, Call) and effect.method == "live_migration"):  # which starts it
        effect = flow.send(result)
        result = world.runner.perform(effect)
    assert world.migration().status is MigrationStatus.RUNNING
    drivers = dict(world.runner.drivers)
    for name, info in (("alpha", here), ("beta", there)):
        drivers[name] = Said(drivers[name], info, told)
    world.runner.drivers = drivers
    try:
        world.runner.run(recover(UUID, now=True, **how))
        error = None
    except DriverError as raised:
        error = raised
    calls = [
        (host, name) for host, name in told if name not in {"get_info", "live_migration_job", "live_migration_abort"}
    ]
    return world, calls, error


def claims(world):
    return sorted(claim.host for claim in world.store.find(Allocation, consumer=UUID))


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (guest(PAUSED), SILENT),
        (guest(OFF), SILENT),
        (SILENT, guest(PAUSED)),
        (SILENT, NOT_THERE),
        (SILENT, SILENT),
        (NOT_THERE, SILENT),
        (guest(PAUSED, outgoing=True), guest(RUNS)),
        (guest(PAUSED, outgoing=True), guest(PAUSED, incoming=True)),
        (guest(PAUSED, outgoing=True), SILENT),
    ],
)
def test_while_it_cannot_be_told_nothing_is_touched(here, there):
    world, calls, error = found(here, there)
    assert isinstance(error, DriverError)
    assert calls == []
    assert world.migration().status is MigrationStatus.RUNNING
    assert claims(world) == ["alpha", "beta"]


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (SILENT, guest(PAUSED, incoming=True)),
        (guest(PAUSED, outgoing=True), guest(RUNS)),
        (guest(PAUSED, outgoing=True), guest(PAUSED, incoming=True)),
        (guest(PAUSED), SILENT),
        (NOT_THERE, SILENT),
    ],
)
def test_giving_up_destroys_nothing_and_keeps_the_claims(here, there):
    world, calls, error = found(here, there, give_up=True)
    assert error is None
    assert calls == []
    assert (world.migration().status, world.instance().vm_state) == (MigrationStatus.ERROR, VMState.ERROR)
    assert claims(world) == ["alpha", "beta"]


def test_of_a_guest_that_is_nowhere_nothing_is_destroyed():
    """Its disk at the destination may be the newer one."""
    world, calls, error = found(NOT_THERE, NOT_THERE)
    assert error is None
    assert calls == []
    assert (world.migration().status, world.instance().vm_state) == (MigrationStatus.ERROR, VMState.ERROR)
    assert claims(world) == ["alpha"]


@pytest.mark.parametrize(
    ("here", "there", "status"),
    [
        (guest(RUNS), SILENT, MigrationStatus.FAILED),
        (guest(RUNS), NOT_THERE, MigrationStatus.FAILED),
        (guest(PAUSED), NOT_THERE, MigrationStatus.FAILED),
        (guest(PAUSED), guest(PAUSED, incoming=True), MigrationStatus.FAILED),
        (guest(PAUSED), guest(RUNS), MigrationStatus.COMPLETED),
        (guest(OFF), guest(RUNS), MigrationStatus.COMPLETED),
        (NOT_THERE, guest(RUNS), MigrationStatus.COMPLETED),
        (NOT_THERE, guest(PAUSED), MigrationStatus.COMPLETED),
        (SILENT, guest(RUNS), MigrationStatus.COMPLETED),
    ],
)
def test_what_can_be_told_is_recorded(here, there, status):
    world, _, error = found(here, there)
    assert error is None
    assert world.migration().status is status
    assert world.instance().host == ("beta" if status is MigrationStatus.COMPLETED else "alpha")
    assert claims(world) == [world.instance().host]


def test_a_guest_that_starts_at_its_destination_while_that_is_cleared_has_arrived(world):
    """The look came too early: the switch was under way."""
    world.boot()
    drivers = dict(world.runner.drivers)

    class Late:
        def __init__(self, driver):
            self._driver = driver

        def __getattr__(self, name):
            return getattr(self._driver, name)

        def live_migration_job(self, uuid):
            raise GuestNotFound(f"there is no guest {uuid}", host="alpha")

        def live_migration_abort(self, uuid):
            pass

        def rollback_live_migration_at_destination(self, instance, data):
            world.clock.sleep(60)  # it is not to be stopped any more
            self._driver.rollback_live_migration_at_destination(instance, data)

    world.runner.drivers = {name: Late(driver) for name, driver in drivers.items()}
    world.run(live_migrate(UUID, "beta", options=FAST))
    assert world.migration().status is MigrationStatus.COMPLETED
    world.check_laws()


def test_a_crash_while_it_is_told_changes_nothing_of_it(world):
    world.boot()
    interfere(world.runner, live_migrate(UUID, "beta", options=FAST), 26, Interference.CRASH_BEFORE)
    for place in range(12):
        interfere(world.runner, recover(UUID, now=True), place, Interference.CRASH_AFTER)
        world.check_laws(settled=False)
    world.run(recover(UUID, now=True))
    world.check_laws()
