"""Fixtures of the tests of LibvirtDriver on libvirt's own test driver."""

from __future__ import annotations

import itertools

import pytest

from libvirt_world import domain
from novastate.drivers import LibvirtDriver
from novastate.objects import Flavor, Instance

_numbers = itertools.count()


@pytest.fixture
def driver():
    made = LibvirtDriver("test:///default", "alpha", timeout=60.0, define=domain, stop_delay=0.05)
    yield made
    made.close()


@pytest.fixture
def instance(driver):
    made = Instance(uuid=f"7a1f2c9e-0d53-4c7f-9a39-{next(_numbers):012x}", flavor=Flavor(vcpus=2, memory_mb=64))
    yield made
    driver.destroy(made.uuid)
