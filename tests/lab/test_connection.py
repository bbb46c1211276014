"""LibvirtDriver on daemons that are killed, stopped and restarted: no caller waits for them, and no change is lost."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from lab.lab import wait_for
from novastate.drivers import LibvirtDriver, Lifecycle
from novastate.errors import DriverError, DriverTimeout, GuestNotFound
from novastate.machines import PowerState

#: How much later than its deadline a call may return on a busy machine, in seconds: what would hold it up would do so for longer.
LATE = 20.0


@pytest.fixture
def drive(lab):
    """``drive(host)``: a driver of that host, closed after the test."""
    made = []

    def drive(host="alpha", **parameters):
        made.append(LibvirtDriver(lab.uri(host), host, **{"define": lab.define, "stop_delay": 0.3, **parameters}))
        return made[-1]

    yield drive
    for driver in made:
        driver.close()


def timed(call):
    began = time.monotonic()
    with pytest.raises(DriverError) as caught:
        call()
    return caught.value, time.monotonic() - began


def transitions(heard, uuid):
    return [event.transition for event in list(heard) if event.uuid == uuid]


def test_a_stopped_daemon_holds_nobody_up(hosts, drive):
    driver = drive(timeout=60.0)
    driver.list_guests()
    driver.timeout = driver.connection.timeout = 0.5
    hosts.stop_daemon("alpha")
    errors, threads, before = [], [], threading.active_count()
    for _ in range(20):
        threads.append(threading.Thread(target=lambda: errors.append(timed(driver.list_guests))))
        threads[-1].start()
    for thread in threads:
        thread.join(60)
    assert len(errors) == 20
    assert {type(error) for error, _ in errors} == {DriverTimeout}
    assert all(seconds < 0.5 + LATE for _, seconds in errors)
    assert threading.active_count() <= before + 6, "few threads are left behind"
    for _ in range(3):
        error, seconds = timed(driver.list_guests)
        assert type(error) is DriverTimeout
        assert error.host == "alpha"
        assert seconds < 0.5 + LATE
    hosts.cont_daemon("alpha")
    wait_for("the daemon to answer again", lambda: _answers(driver), 10)
    assert driver.list_guests() == []


def test_a_daemon_that_is_stopped_before_it_is_known_holds_nobody_up(hosts, drive):
    hosts.stop_daemon("alpha")
    driver = drive(timeout=0.5)
    for _ in range(3):
        error, seconds = timed(driver.list_guests)
        assert type(error) is DriverTimeout
        assert seconds < 0.5 + LATE
    began = time.monotonic()
    other = drive(timeout=0.5)
    timed(other.list_guests)
    other.close()
    assert time.monotonic() - began < 0.5 + LATE, "closing waits for nobody"
    hosts.cont_daemon("alpha")
    wait_for("the daemon to answer again", lambda: _answers(driver), 10)
    assert driver.list_guests() == []


def test_keep_alive_ends_what_is_silent(hosts, drive):
    """A call of minutes is not left waiting for a daemon that is stopped for good; nor is its thread."""
    driver = drive(timeout=120.0, keepalive=(1, 1))
    driver.list_guests()
    hosts.stop_daemon("alpha")
    error, seconds = timed(driver.list_guests)
    assert type(error) is DriverTimeout
    assert error.code is not None
    assert seconds < 60.0
    hosts.cont_daemon("alpha")


def test_a_restarted_daemon_is_reached_by_the_next_call(hosts, drive, guest):
    running = guest()
    driver = drive(timeout=60.0)
    before = driver.list_guests()
    assert [seen.uuid for seen in before] == [running.uuid]
    hosts.kill_daemon("alpha")
    error, seconds = timed(driver.list_guests)
    assert type(error) in {DriverError, DriverTimeout}
    assert error.code is not None
    assert seconds < LATE, "it is known to be down"
    hosts.start_daemon("alpha")
    assert driver.list_guests() == before


def test_a_daemon_killed_during_calls_fails_them_and_no_later_one(hosts, drive):
    """Twenty threads call while it dies and comes back: each call returns or raises, and in the end all return."""
    driver = drive(timeout=120.0)
    driver.list_guests()
    failures, done = [], threading.Event()

    def act():
        while not done.is_set():
            try:
                driver.list_guests()
            except DriverError as error:
                failures.append(error)
                done.wait(0.05)

    threads = [threading.Thread(target=act) for _ in range(20)]
    for thread in threads:
        thread.start()
    hosts.kill_daemon("alpha")
    wait_for("calls to fail", lambda: failures, 10)
    hosts.start_daemon("alpha")
    assert driver.list_guests() == []
    done.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert {type(error) for error in failures} <= {DriverError, DriverTimeout}
    assert all(error.code is not None for error in failures)
    assert driver.list_guests() == []


def test_errors_carry_what_libvirt_says(hosts, drive):
    import libvirt

    nobody = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(GuestNotFound) as caught:
        drive().pause(nobody)
    assert caught.value.code == libvirt.VIR_ERR_NO_DOMAIN
    driver = drive(
        define=lambda i: hosts.define(i).replace("type='qemu'", "type='xen'").replace('type="qemu"', 'type="xen"')
    )
    from novastate.objects import Flavor, Instance

    with pytest.raises(DriverError) as caught:
        driver.spawn(Instance(uuid=nobody, flavor=Flavor(vcpus=1, memory_mb=64)))
    assert caught.value.code == libvirt.VIR_ERR_CONFIG_UNSUPPORTED
    assert caught.value.domain == libvirt.VIR_FROM_QEMU
    assert "xen" in caught.value.text
    assert driver.list_guests() == []


def test_what_changed_while_there_was_no_connection_is_told(hosts, drive, guest, connect):
    """Guests are paused, destroyed, and started anew by another while our connection is cut; each change is told once."""
    paused, gone, anew, same = (guest(memory_mb=96, persistent=True) for _ in range(4))
    driver, heard = drive(timeout=60.0, stop_delay=0.0), []
    driver.subscribe(heard.append)
    other = connect("alpha")
    _cut(driver)
    other.lookupByUUIDString(paused.uuid).suspend()
    other.lookupByUUIDString(gone.uuid).destroy()
    domain = other.lookupByUUIDString(anew.uuid)
    domain.destroy()
    domain.create()
    assert heard == []
    _mend(driver)
    wait_for("the changes to be told", lambda: len(heard) >= 3, 10)
    time.sleep(1.0)
    assert transitions(heard, paused.uuid) == [Lifecycle.PAUSED]
    assert transitions(heard, gone.uuid) == [Lifecycle.STOPPED]
    assert transitions(heard, anew.uuid) == [Lifecycle.STARTED]
    assert transitions(heard, same.uuid) == []
    driver.unpause(paused.uuid)
    wait_for("a later change to be told", lambda: transitions(heard, paused.uuid)[1:] == [Lifecycle.RESUMED], 10)


def _cut(driver):
    """Breaks the driver's connection, and has no other opened."""
    driver.connection._open, driver.mended = _refuse, driver.connection._open
    driver.connection.call("cutting", lambda connect: None)
    link = driver.connection._link
    driver.connection._lose(link)
    wait_for("the connection to be known as lost", lambda: driver.connection._link is None, 10)
    with pytest.raises(DriverError):
        driver.list_guests()


def _refuse():
    raise ConnectionRefusedError("the link is cut")


def _mend(driver):
    driver.connection._open = driver.mended


def test_no_connection_is_left_behind(hosts, drive):
    """Neither that of a driver that was closed, nor those that were given up for another."""
    wait_for("earlier ones to be closed", lambda: "libvirt close" not in {t.name for t in threading.enumerate()}, 10)
    before = _sockets()
    driver = drive(timeout=60.0)
    driver.subscribe(lambda event: None)
    wait_for("a connection", lambda: _sockets() == before + 1, 5)
    for _ in range(3):
        driver.connection._lose(driver.connection._link)
        driver.list_guests()
    wait_for("the old ones to be closed", lambda: _sockets() == before + 1, 5)
    task = driver.connection.background("looking", lambda connect: connect.getHostname())
    assert task.done.wait(60)
    assert task.result() == "alpha"
    wait_for("that of the background call to be closed", lambda: _sockets() == before + 1, 5)
    driver.close()
    wait_for("the last to be closed", lambda: _sockets() == before, 5)


def _sockets():
    """How many sockets this process holds."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += entry.readlink().name.startswith("socket:")
    return count


def test_a_guest_that_dies_while_its_daemon_is_down_is_told(hosts, drive, guest):
    running, killed = guest(memory_mb=96), guest(memory_mb=96)
    driver, heard = drive(timeout=60.0), []
    driver.subscribe(heard.append)
    hosts.kill_daemon("alpha")
    hosts.kill_qemu("alpha", killed.uuid)
    hosts.start_daemon("alpha")
    wait_for("the death to be told", lambda: transitions(heard, killed.uuid) == [Lifecycle.STOPPED], 15)
    assert transitions(heard, running.uuid) == []
    assert driver.get_info(running.uuid).power_state is PowerState.RUNNING


def test_a_host_that_was_down_from_the_start_is_listened_to_when_it_comes_up(hosts, drive, guest):
    running = guest(memory_mb=96)
    hosts.kill_daemon("alpha")
    driver, heard = drive(timeout=120.0), []
    began = time.monotonic()
    driver.subscribe(heard.append)
    assert time.monotonic() - began < LATE
    hosts.start_daemon("alpha")
    wait_for("the connection", lambda: driver.connection._link is not None, 10)
    wait_for("the first comparison", lambda: driver._teller._story, 10)
    driver.pause(running.uuid)
    wait_for("the pause", lambda: transitions(heard, running.uuid) == [Lifecycle.PAUSED], 10)


def test_events_go_on_after_a_stop_and_a_restart(hosts, drive, guest):
    running = guest(memory_mb=96)
    driver, heard = drive(timeout=30.0), []
    driver.subscribe(heard.append)
    pair = [Lifecycle.PAUSED, Lifecycle.RESUMED]
    for number in (1, 2):
        hosts.restart_daemon("alpha")
        wait_for("the host", lambda: _answers(driver), 15)
        driver.pause(running.uuid)
        driver.unpause(running.uuid)
        wait_for("events after a restart", lambda n=number: transitions(heard, running.uuid) == pair * n, 10)
    hosts.stop_daemon("alpha")
    assert (
        type(timed(lambda: driver.connection.call("looking", lambda c: c.getHostname(), timeout=0.3))[0])
        is DriverTimeout
    )
    hosts.cont_daemon("alpha")
    wait_for("the host", lambda: _answers(driver), 15)
    driver.pause(running.uuid)
    wait_for("events after a stop", lambda: transitions(heard, running.uuid) == [*pair, *pair, Lifecycle.PAUSED], 10)


def _answers(driver):
    try:
        driver.list_guests()
    except DriverError:
        return False
    return True
