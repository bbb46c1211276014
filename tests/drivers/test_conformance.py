"""The simulated driver does what every driver must."""

from __future__ import annotations

from itertools import count
from uuid import UUID as Uuid

import pytest

from drivers_world import MIB, make_cloud, make_instance
from novastate.drivers import LiveMigrationParams
from novastate.testing import DriverConformance, Fleet, check_driver


def make_fleet(storage="", drivers=None, **fields):
    cloud = make_cloud(storage=storage)
    uuids = (str(Uuid(int=number)) for number in count(1))
    wanted = {
        "drivers": list(cloud.drivers.values()) if drivers is None else drivers(cloud),
        "new_instance": lambda: make_instance(next(uuids), **{"novastate:disk_used_gb": "0.05"}),
        "clock": cloud.clock,
        "slow": LiveMigrationParams(bandwidth=16 * MIB),
    }
    return Fleet(**wanted | fields)


@pytest.fixture(params=["", "pool"], ids=["local disks", "shared disks"])
def kit(request):
    return DriverConformance(make_fleet(request.param))


@pytest.mark.parametrize("name", DriverConformance.names())
def test_conforms(kit, name):
    kit.check(name)


def test_the_kit_runs_without_a_test_framework():
    assert check_driver(make_fleet()) == []
