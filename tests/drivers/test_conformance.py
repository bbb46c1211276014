"""The simulated driver does what every driver must."""

from __future__ import annotations

import pytest

from drivers_world import make_fleet, make_instance
from novastate.drivers import CAPABILITIES, LibvirtDriver, SimulatedDriver, supports
from novastate.errors import InvalidField
from novastate.testing import DriverConformance, Fleet, check_driver


@pytest.fixture(params=["", "pool"], ids=["local disks", "shared disks"])
def kit(request):
    return DriverConformance(make_fleet(request.param))


@pytest.mark.parametrize("name", DriverConformance.names())
def test_conforms(kit, name):
    kit.check(name)


@pytest.mark.parametrize("driver", [SimulatedDriver, LibvirtDriver])
def test_drivers_declare_what_the_table_knows(driver):
    assert set(driver.capabilities) == set(CAPABILITIES)
    assert supports(driver, "supports_live_migration")
    assert not supports(driver, "supports_flying")


def test_a_fleet_is_two_hosts_at_least():
    with pytest.raises(InvalidField):
        Fleet([make_fleet().drivers[0]], make_instance)


def test_the_kit_runs_without_a_test_framework():
    assert check_driver(make_fleet()) == []
