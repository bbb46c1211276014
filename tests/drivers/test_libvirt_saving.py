"""A guest's memory is saved and restored by LibvirtDriver, on libvirt's own test driver: that may take longer than a call."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed: pip install 'novastate[libvirt]'")

from libvirt_world import NOBODY, R, S, patiently, wait_for  # noqa: E402
from novastate.drivers import GuestInfo  # noqa: E402
from novastate.drivers.libvirt import background, guests  # noqa: E402
from novastate.errors import DriverTimeout  # noqa: E402


@pytest.fixture
def slow(monkeypatch):
    """Every action on a guest waits for the event; ``slow.begun`` counts them."""
    gate, act = threading.Event(), guests.Guests._act
    gate.begun = 0

    def slowly(self, domain, action, wanted):
        def wait():
            gate.begun += 1
            gate.wait(60)
            action()

        act(self, domain, wait, wanted)

    monkeypatch.setattr(guests.Guests, "_act", slowly)
    yield gate
    gate.set()


def hurry(driver, seconds):
    driver.timeout = driver.connection.timeout = seconds


LONG = [("suspend", [], S), ("resume", ["suspend"], R), ("power_on", ["suspend"], R)]


@pytest.mark.parametrize(("call", "ways", "end"), LONG)
def test_saving_and_restoring_may_take_longer_than_a_call(driver, instance, slow, call, ways, end):
    """The call ends in time, the work goes on, and harms no other call; asked for again it is joined and not begun anew."""
    slow.set()
    driver.spawn(instance)
    for way in ways:
        getattr(driver, way)(instance.uuid)
    slow.clear()
    slow.begun = 0
    for _ in range(2):
        said = []

        def leave(seconds, said=said):
            hurry(driver, seconds)
            began = time.monotonic()
            with pytest.raises(DriverTimeout) as caught:
                getattr(driver, call)(instance.uuid)
            assert time.monotonic() - began < seconds + 20
            said.append(str(caught.value))

        patiently(leave, lambda said=said: "goes on" in said[-1] and slow.begun)
        assert not driver.connection._link.suspect
    assert slow.begun == 1
    hurry(driver, 60.0)
    threading.Timer(0.2, slow.set).start()
    getattr(driver, call)(instance.uuid)
    assert (slow.begun, driver.get_info(instance.uuid).power_state) == (1, end)


@pytest.mark.parametrize(("call", "ways", "end"), LONG)
def test_saving_and_restoring_end_though_nobody_asks_again(driver, instance, slow, call, ways, end):
    slow.set()
    driver.spawn(instance)
    for way in ways:
        getattr(driver, way)(instance.uuid)
    slow.clear()
    slow.begun = 0

    def leave(seconds):
        hurry(driver, seconds)
        with pytest.raises(DriverTimeout):
            getattr(driver, call)(instance.uuid)

    patiently(leave, lambda: slow.begun)
    hurry(driver, 60.0)
    slow.set()
    wait_for("its end", lambda: driver.get_info(instance.uuid).power_state is end)


@pytest.mark.parametrize("call", ["resume", "power_on"])
def test_what_was_given_up_before_it_began_is_not_restored_later(driver, instance, monkeypatch, call):
    driver.spawn(instance)
    driver.suspend(instance.uuid)
    gate, start = threading.Event(), guests.Guests._start

    def late(self, domain, seen):
        gate.wait(60)
        start(self, domain, seen)

    def leave(seconds):
        hurry(driver, seconds)
        with pytest.raises(DriverTimeout):
            getattr(driver, call)(instance.uuid)

    monkeypatch.setattr(guests.Guests, "_start", late)
    patiently(leave, lambda: driver._lengthy)
    hurry(driver, 60.0)
    (task,) = driver._lengthy.values()
    gate.set()
    assert task.done.wait(60)
    assert driver.get_info(instance.uuid).power_state is S


def test_a_guest_that_was_paused_when_it_was_saved_runs_on_though_nobody_waits(driver, monkeypatch):
    """Else it would be left paused, which no resuming mends."""
    task = SimpleNamespace(abandoned=False)
    monkeypatch.setattr(background._running, "task", task, raising=False)

    class Saved:
        now = libvirt.VIR_DOMAIN_SHUTOFF

        def state(self):
            return [self.now, 0]

        def create(self):
            self.now, task.abandoned = libvirt.VIR_DOMAIN_PAUSED, True

        def resume(self):
            self.now = libvirt.VIR_DOMAIN_RUNNING

        def jobStats(self):  # noqa: N802  (libvirt's name)
            return {}

    guest = Saved()
    driver._start(guest, GuestInfo(NOBODY, "name", S, 64, 1))
    assert guest.now == libvirt.VIR_DOMAIN_RUNNING
