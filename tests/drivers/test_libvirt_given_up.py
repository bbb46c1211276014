"""A call of LibvirtDriver that nobody waits for any more: it takes no further step that changes something."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed: pip install 'novastate[libvirt]'")

from novastate.drivers.libvirt import Connection, background, migrating, storage  # noqa: E402
from novastate.drivers.libvirt.driver import LibvirtDriver  # noqa: E402
from novastate.drivers.libvirt.migration_job import Job  # noqa: E402
from novastate.drivers.libvirt.notes import Kind, Notes  # noqa: E402
from novastate.errors import DriverTimeout  # noqa: E402

UUID = "7a1f2c9e-0d53-4c7f-9a39-5a2be3a2f6d1"
RUNS, PAUSED, OFF = libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_SHUTOFF
OUT = {"type": libvirt.VIR_DOMAIN_JOB_UNBOUNDED, "operation": libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT}


@pytest.fixture
def connection():
    opened = Connection("test:///default", timeout=60.0)
    yield opened
    opened.close()


def given_up():
    """From now on nobody waits for the call of this thread."""
    background._running.task.abandoned = True


@pytest.fixture
def alone(monkeypatch):
    """Nobody waits for what this thread does."""
    monkeypatch.setattr(background._running, "task", SimpleNamespace(abandoned=True), raising=False)


def test_no_disk_is_made_and_none_deleted(connection):
    def make(connect):
        given_up()
        storage.create(connect, "/guests/late.qcow2", 1 << 20)

    def delete(connect):
        storage.create(connect, "/guests/early.qcow2", 1 << 20)
        given_up()
        storage.delete(connect, "/guests/early.qcow2")

    for late in (make, delete):
        with pytest.raises(DriverTimeout):
            connection.call("working", late)
    there = [f"/guests/{name}.qcow2" for name in ("late", "early")]
    assert connection.call("looking", lambda c: [storage.exists(c, path) for path in there]) == [False, True]
    connection.call("clearing up", lambda c: storage.delete(c, there[1]))


def test_no_note_is_written(connection):
    notes = Notes("/guests", "alpha", UUID)

    def write(connect):
        given_up()
        notes.write(connect, Kind.MADE, ["/guests/a"])

    with pytest.raises(DriverTimeout):
        connection.call("noting", write)
    assert not connection.call("looking", lambda connect: storage.exists(connect, notes.path(Kind.MADE)))


class Domain:
    """A guest whose calls that change something are remembered."""

    def __init__(self, state, raw=None):
        self.now, self.raw, self.done = state, raw or {"type": 0}, []

    def state(self):
        return [self.now, 0]

    def isActive(self):  # noqa: N802  (libvirt's name)
        return self.now != OFF

    def isPersistent(self):  # noqa: N802
        return True

    def jobStats(self):  # noqa: N802
        return self.raw

    def __getattr__(self, name):
        return lambda *args: self.done.append(name)


@pytest.mark.parametrize(
    ("act", "domain"),
    [
        (migrating._resume, Domain(PAUSED)),
        (migrating._destroy, Domain(PAUSED)),
        (lambda domain: migrating._remove(domain, UUID, "alpha"), Domain(OFF)),
    ],
)
def test_no_guest_is_resumed_ended_or_forgotten(alone, act, domain):
    with pytest.raises(DriverTimeout):
        act(domain)
    assert domain.done == []


@pytest.mark.parametrize("command", ["abort", "downtime", "post_copy"])
def test_no_later_job_hears_a_command_for_an_earlier_one(alone, monkeypatch, command):
    driver, domain = LibvirtDriver("test:///default", "alpha"), Domain(RUNS, OUT)
    monkeypatch.setattr(driver, "on_guest", lambda _what, _uuid, function: function(domain))
    driver.jobs.add(Job(UUID, begins=True))
    driver.jobs.get(UUID).call = SimpleNamespace(done=threading.Event())
    calls = {
        "abort": lambda: driver._abort(UUID, None),
        "downtime": lambda: driver.live_migration_downtime(UUID, 100),
        "post_copy": lambda: driver.live_migration_post_copy(UUID),
    }
    with pytest.raises(DriverTimeout):
        calls[command]()
    assert domain.done == []
