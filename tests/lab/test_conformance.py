"""The libvirt driver does what every driver must, with guests that run."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager

import pytest

from lab.lab import IMAGES
from novastate.drivers import LibvirtDriver, LiveMigrationParams
from novastate.drivers.libvirt.xml import root_disk_path
from novastate.objects import Flavor, Instance
from novastate.testing import DriverConformance, Fleet

MIB = 1 << 20
FLAVOR = Flavor(name="lab", vcpus=1, memory_mb=128, root_gb=1)


def new_instance():
    name = str(uuid.uuid4())
    return Instance(
        uuid=name,
        display_name=name,
        flavor=FLAVOR,
        metadata={"guest": "wss_mb=8 rate_mb=4 disk=1 disk_mb=8", "disks": root_disk_path(name, str(IMAGES))},
    )


@pytest.fixture(scope="module")
def kit(lab):
    drivers = [
        LibvirtDriver(
            lab.uri(host),
            host,
            address=lab.address(host),
            peers=lab.peers,
            define=lab.define,
            instances_path=str(IMAGES),
            line_rate=1e9,
            stop_delay=0.3,
        )
        for host in lab.hosts
    ]

    def is_up(instance):
        """Whether it beats now; what it beat before a restart does not count."""
        beats = [len(lab.heartbeats(host, instance.name)) for host in lab.hosts]
        time.sleep(0.7)
        return beats != [len(lab.heartbeats(host, instance.name)) for host in lab.hosts]

    @contextmanager
    def cut_link():
        lab.break_link()
        try:
            yield
        finally:
            lab.mend_link()

    fleet = Fleet(
        drivers,
        new_instance,
        patience=120,
        poll=0.05,
        params=LiveMigrationParams(bandwidth=64 * MIB),
        slow=LiveMigrationParams(bandwidth=8 * MIB),
        is_up=is_up,
        cut_link=cut_link,
    )
    kit = DriverConformance(fleet)
    yield kit
    kit.clear()
    for driver in drivers:
        driver.close()
    lab.reset()


@pytest.mark.parametrize("name", DriverConformance.names())
def test_conforms(kit, name):
    kit.check(name)
