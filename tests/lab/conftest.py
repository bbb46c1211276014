"""What the tests of the lab stand on: one lab for the session, guests for a test.

Rules of this file:

- Where the lab cannot run, its tests are not collected, and the end of pytest's report says why. Nothing is skipped; where only
  these tests were asked for, pytest's "no tests were collected" is no success.
- A test leaves both hosts as it found them: daemons up, link whole, its guests gone, however it ended.
"""

from __future__ import annotations

import contextlib
import itertools
import uuid as uuids
from dataclasses import dataclass, field

import pytest

from lab.fleet import Fleet
from lab.lab import Lab
from lab.needs import no_lab
from lab.watch import ready, whole


def pytest_ignore_collect(collection_path):
    return True if no_lab() else None  # these tests cannot even be imported everywhere


def pytest_terminal_summary(terminalreporter):
    if reason := no_lab():
        terminalreporter.section("NOT RUN: tests/lab", sep="!")
        terminalreporter.write_line(reason)


@dataclass(frozen=True)
class Guest:
    """A running lab guest."""

    name: str
    uuid: str
    host: str
    xml: str = field(repr=False)


@pytest.fixture(scope="session")
def lab():
    """Two hosts, alpha and beta."""
    import libvirt

    libvirt.registerErrorHandler(lambda *_: None, None)  # errors are raised; they need not be written as well
    up = Lab.up()
    yield up
    up.down()


@pytest.fixture
def hosts(lab):
    """The lab, reset after the test: link mended, daemons up, and every guest gone from both hosts."""
    yield lab
    lab.reset()


@pytest.fixture
def connect(lab):
    """``connect(host)``: a plain libvirt connection, closed after the test."""
    import libvirt

    opened = []

    def connect(host):
        opened.append(libvirt.open(lab.uri(host)))
        return opened[-1]

    yield connect
    for connection in opened:
        with contextlib.suppress(libvirt.libvirtError):  # its daemon is gone
            connection.close()


_numbers = itertools.count(1)


@pytest.fixture
def guest(hosts):
    """``guest(host="alpha", memory_mb=128, options="wss_mb=32", ...)``: a Guest that has booted; more: see Lab.domain_xml."""

    def guest(host="alpha", memory_mb=128, options="", *, name=None, persistent=False, **more):
        name, uuid = name or f"guest-{next(_numbers)}", str(uuids.uuid4())
        xml = hosts.domain_xml(name, uuid, memory_mb, options, **more)
        path = hosts.directory / f"{name}.xml"
        path.write_text(xml)
        if persistent:
            hosts.virsh(host, "define", str(path))
            hosts.virsh(host, "start", name)
        else:
            hosts.virsh(host, "create", str(path))
        ready(hosts, host, name)
        return Guest(name, uuid, host, xml)

    return guest


@pytest.fixture(name="whole")
def _whole(lab):
    """``whole(name)``: see watch.whole."""
    return lambda name, **more: whole(lab, name, **more)


@pytest.fixture
def fleet(hosts):
    made = Fleet(hosts)
    yield made
    for driver in made.drivers.values():
        driver.close()


@pytest.fixture
def tidy(hosts):
    """``tidy(guest, host)``: the guest is known on that host alone, and nothing of novastate's is left on either."""

    def tidy(guest, host):
        assert list(hosts.qemu_pids(guest.uuid)) == [host]
        assert guest.uuid not in hosts.virsh(hosts.other(host), "list", "--all", "--uuid").split()
        for place in hosts.hosts:
            left = hosts.run(place, "find", "/var/lib/libvirt/images", hosts.shared_dir, "-name", "novastate-*")
            assert left == ""

    return tidy


@pytest.fixture
def disk(hosts):
    """``disk(path, host="alpha", *options)``: makes a disk there; it is deleted from both hosts after the test."""
    made = []

    def disk(path, host="alpha", size="16M", *options):
        hosts.run(
            host, "qemu-img", "create", "-q", "-f", "qcow2" if path.endswith("qcow2") else "raw", *options, path, size
        )
        made.append(path)
        return path

    yield disk
    for path in made:
        for host in hosts.hosts:
            hosts.run(host, "rm", "-f", path)
