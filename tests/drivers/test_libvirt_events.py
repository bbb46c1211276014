"""The events that LibvirtDriver tells, on libvirt's own test driver: who hears what, and for how long."""

from __future__ import annotations

import threading
import time

import pytest

pytest.importorskip("libvirt", reason="libvirt-python is not installed: pip install 'novastate[libvirt]'")

from libvirt_world import wait_for
from novastate.drivers import LibvirtDriver, Lifecycle
from novastate.drivers.libvirt import events
from novastate.errors import DriverError, UnknownName


def test_a_guests_life_is_told(driver, instance):
    heard = []
    end = driver.subscribe(heard.append)
    uuid = instance.uuid

    def told():
        return [event.transition for event in heard if event.uuid == uuid]

    driver.spawn(instance)
    driver.pause(uuid)
    driver.unpause(uuid)
    wait_for("the events", lambda: told()[-2:] == [Lifecycle.PAUSED, Lifecycle.RESUMED])
    driver.power_off(uuid)
    wait_for("the stop", lambda: told()[-1] is Lifecycle.STOPPED)
    assert Lifecycle.STARTED in told()
    assert {event.host for event in heard} == {"alpha"}
    end()
    count = len(heard)
    driver.power_on(uuid)
    time.sleep(0.1)
    assert len(heard) == count


def test_what_a_listener_raises_harms_no_other(driver, instance, caplog):
    heard = []
    driver.subscribe(lambda event: 1 / 0)
    driver.subscribe(heard.append)
    driver.spawn(instance)
    wait_for("the start", lambda: Lifecycle.STARTED in [event.transition for event in heard])
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("error", [UnknownName("libvirt domain state", 99, ()), ValueError("no XML")])
def test_what_nobody_expected_of_a_host_does_not_make_its_listeners_deaf(driver, instance, monkeypatch, caplog, error):
    heard, compare = [], events._states
    errors = [error, error]

    def states(connect):
        if errors:
            raise errors.pop()
        return compare(connect)

    monkeypatch.setattr(events, "_AGAIN", 0.05)
    monkeypatch.setattr(events, "_states", states)
    driver.subscribe(heard.append)
    wait_for("another look", lambda: driver._teller._story)
    driver.spawn(instance)
    wait_for("the start", lambda: Lifecycle.STARTED in [event.transition for event in heard])
    assert str(error) in caplog.text


def test_a_listener_may_end_its_own_subscription(driver, instance):
    heard = []

    def once(event):
        heard.append(event)
        end()

    end = driver.subscribe(once)
    driver.spawn(instance)
    wait_for("an event", lambda: heard)
    driver.pause(instance.uuid)
    driver.unpause(instance.uuid)
    time.sleep(0.1)
    assert len(heard) == 1


def test_who_subscribes_twice_is_told_twice_until_each_ends(driver, instance):
    heard = []
    ends = [driver.subscribe(heard.append) for _ in range(2)]
    driver.spawn(instance)
    wait_for("the start", lambda: [event.transition for event in heard].count(Lifecycle.STARTED) == 2)
    ends[0]()
    ends[0]()
    heard.clear()
    driver.pause(instance.uuid)
    wait_for("the pause", lambda: heard)
    time.sleep(0.1)
    assert [event.transition for event in heard] == [Lifecycle.PAUSED]


def test_subscribing_to_a_host_that_is_down_raises_nothing(tmp_path):
    driver = LibvirtDriver(f"qemu+unix:///system?socket={tmp_path}/none", "alpha", timeout=60.0)
    began = time.monotonic()
    driver.subscribe(lambda event: None)
    assert time.monotonic() - began < 30.0, "it is known to be down"
    driver.close()


def test_closing_ends_every_thread():
    driver = LibvirtDriver("test:///default", "alpha")
    driver.subscribe(lambda event: None)
    driver.close()
    driver.close()
    mine = {"libvirt watch", "libvirt lifecycle", "libvirt knock", "libvirt open", "libvirt close"}
    wait_for("the threads to end", lambda: not mine & {thread.name for thread in threading.enumerate()})
    with pytest.raises(DriverError, match="was closed"):
        driver.list_guests()
