"""After a live migration on libvirt, without a daemon: what has come to run meanwhile is left alone, and what is over is not listened for."""

from __future__ import annotations

import pytest
from attrs import evolve

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed: pip install 'novastate[libvirt]'")

from novastate.drivers.libvirt import moving  # noqa: E402
from novastate.drivers.libvirt.driver import LibvirtDriver  # noqa: E402
from novastate.drivers.libvirt.migration_job import Attempt, Job  # noqa: E402
from novastate.drivers.libvirt.notes import Kind, Notes  # noqa: E402
from novastate.drivers.libvirt.raw_events import EventKind, HypervisorEvent  # noqa: E402
from novastate.drivers.libvirt.states import MIGRATION_OUT  # noqa: E402
from novastate.errors import DriverError, MigrationPreCheckError  # noqa: E402
from novastate.machines import PowerState, VMState  # noqa: E402
from novastate.objects import Flavor, Instance, LibvirtLiveMigrateData  # noqa: E402

UUID = "7a1f2c9e-0d53-4c7f-9a39-5a2be3a2f6d1"
RUNS, PAUSED, OFF = libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_SHUTOFF


class Domain:
    """A guest that goes through *states*, one a look, and stays in the last; what is done to it is remembered."""

    def __init__(self, *states):
        self.states, self.done = list(states), []

    def state(self):
        return [self.states.pop(0) if len(self.states) > 1 else self.states[0], 2]

    def isActive(self):  # noqa: N802  (libvirt's name)
        return self.states[0] != OFF

    def isPersistent(self):  # noqa: N802
        return True

    def info(self):
        return [self.states[0], 65536, 65536, 2, 0]

    def name(self):
        return "name"

    def UUIDString(self):  # noqa: N802
        return UUID

    def jobStats(self):  # noqa: N802
        error = libvirt.libvirtError("")
        error.err = (libvirt.VIR_ERR_OPERATION_UNSUPPORTED, 10, "only on the source host", 2, None, None, None, -1, -1)
        raise error

    def __getattr__(self, name):
        return lambda *args: self.done.append(name)


@pytest.fixture
def driver(monkeypatch):
    """A driver that finds the guest ``driver.domain``."""
    made = LibvirtDriver("test:///default", "alpha", instances_path="/guests")
    made.domain = None
    monkeypatch.setattr(made, "lookup", lambda _connect, _uuid: made.domain)
    yield made
    made.close()


@pytest.fixture
def instance():
    return Instance(uuid=UUID, flavor=Flavor(vcpus=1, memory_mb=64))


NOTHING = LibvirtLiveMigrateData()


@pytest.mark.parametrize(("states", "ended"), [((PAUSED, RUNS), False), ((PAUSED,), True)])
def test_a_guest_that_has_begun_to_run_is_not_ended_with_what_was_to_come(driver, instance, monkeypatch, states, ended):
    """It arrived between the look and the end of it; nor are its disks deleted."""
    driver.domain, cleared = Domain(*states), []
    monkeypatch.setattr(Notes, "clear", lambda _notes, _connect, *kinds: cleared.extend(kinds))
    driver.rollback_live_migration_at_destination(instance, NOTHING)
    assert driver.domain.done == (["destroy"] if ended else [])
    assert (Kind.MADE in cleared) is ended


def test_a_source_that_runs_on_is_not_ended(driver, instance):
    driver.domain = Domain(PAUSED, RUNS)
    with pytest.raises(DriverError, match="is here still"):
        driver.post_live_migration_at_source(instance, NOTHING)
    assert driver.domain.done == []


class Leaving:
    """A guest that stands still and answers *most* calls; from the next one on it is gone, as libvirt removes it when it likes."""

    def __init__(self, most):
        self.guest, self.most = Domain(PAUSED), most

    def __getattr__(self, name):
        call = getattr(self.guest, name)

        def called(*args):
            self.most -= 1
            if self.most < 0:
                error = libvirt.libvirtError("")
                error.err = (libvirt.VIR_ERR_NO_DOMAIN, 10, "no domain", 2, None, None, None, -1, -1)
                raise error
            return call(*args)

        return called


@pytest.mark.parametrize(
    "step",
    ["post_live_migration_at_source", "rollback_live_migration_at_source", "rollback_live_migration_at_destination"],
)
def test_a_guest_that_goes_while_it_is_cleared_up_after_is_gone(driver, instance, step):
    """Whichever call it is gone at."""
    running = evolve(instance, vm_state=VMState.ACTIVE, power_state=PowerState.RUNNING)
    most = 0
    while True:
        driver.domain = Leaving(most)
        getattr(driver, step)(running, NOTHING)
        if driver.domain.most > 0:
            break
        most += 1
    assert most > 1, "it was never gone in the midst of it"


def test_a_guest_that_goes_while_a_destination_looks_for_it_is_not_there(driver):
    most = 0
    while True:
        driver.domain = Leaving(most)
        try:
            driver._check_absent(None, UUID)
        except MigrationPreCheckError:
            break
        most += 1
    assert most > 1, "it was never gone in the midst of it"


# --- what is over is not listened for


def listening(driver):
    return len(driver.connection._listeners)


def completed(uuid=UUID):
    return HypervisorEvent(EventKind.JOB_COMPLETED, uuid, statistics={"operation": MIGRATION_OUT, "memory_total": 100})


def tell(driver, event):
    driver.connection._tell(driver.connection._ears(), event)


def test_the_end_of_a_job_is_listened_for_until_it_is_told(driver):
    """Another process's job, at which somebody looked once."""
    job = driver._remember(Job(UUID))
    tell(driver, completed("another"))
    assert listening(driver) == 1
    tell(driver, completed())
    assert (listening(driver), job.final["memory_total"]) == (0, 100)
    assert driver.jobs.get(UUID) is job, "how it has ended is known still"


def test_a_migration_that_has_been_made_is_not_listened_for(driver, monkeypatch):
    monkeypatch.setattr(moving, "LATE", 0.01)
    driver.domain = Domain(RUNS)
    job = driver._remember(Job(UUID, "beta"))
    driver._begin(job, "test:///default", 0, {})
    assert job.call.done.wait(60)
    assert (job.attempt, listening(driver)) == (Attempt.RETURNED, 0)


def test_a_last_step_that_fails_leaves_nobody_listening(driver, instance):
    driver.domain = Domain(PAUSED, RUNS)
    driver._remember(Job(UUID, "beta"))
    with pytest.raises(DriverError, match="is here still"):
        driver.post_live_migration_at_source(instance, NOTHING)
    assert listening(driver) == 0
