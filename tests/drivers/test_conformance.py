"""The simulated driver does what every driver must."""

from __future__ import annotations

import pytest

from drivers_world import make_fleet
from novastate.testing import DriverConformance, check_driver


@pytest.fixture(params=["", "pool"], ids=["local disks", "shared disks"])
def kit(request):
    return DriverConformance(make_fleet(request.param))


@pytest.mark.parametrize("name", DriverConformance.names())
def test_conforms(kit, name):
    kit.check(name)


def test_the_kit_runs_without_a_test_framework():
    assert check_driver(make_fleet()) == []
