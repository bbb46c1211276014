"""What drivers are told and tell: no number that cannot be."""

from __future__ import annotations

import math

import pytest

from novastate.drivers import HostState, LiveMigrationParams, SimulatedHost
from novastate.errors import InvalidField


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    [
        *((LiveMigrationParams, "bandwidth", v) for v in (-1, 1.5, math.nan, math.inf, True, "1", None, 2**62 + 1)),
        *((LiveMigrationParams, "downtime", v) for v in (0, -1, 2_000_001, 1.5, math.nan, True, "1", None)),
        *((LiveMigrationParams, flag, v) for flag in ("auto_converge", "post_copy") for v in (1, "no", None)),
        *((HostState, "host", v) for v in ("", None, 5)),
        *(
            (HostState, size, v)
            for size in ("vcpus", "memory_mb", "disk_gb", "vcpus_used", "memory_mb_used", "disk_gb_used")
            for v in (-1, 1.5, math.nan, True, "1", None, 10**400)
        ),
        *((HostState, "hypervisor_version", v) for v in (-1, "8.2")),
        *((HostState, text, None) for text in ("hypervisor_type", "cpu_model", "shared_storage")),
        (HostState, "up", 1),
        *((SimulatedHost, "host", v) for v in ("", None, 5)),
        *(
            (SimulatedHost, size, v)
            for size in ("vcpus", "memory_mb", "disk_gb", "hypervisor_version", "bandwidth")
            for v in (-1, 1.5, math.nan, True, "1", None, 10**400)
        ),
        *(
            (SimulatedHost, rate, v)
            for rate in ("line_rate", "cpu_allocation_ratio")
            for v in (0, -1.0, math.nan, math.inf, True, "1", None, 1e300)
        ),
        *((SimulatedHost, text, None) for text in ("cpu_model", "shared_storage")),
    ],
)
def test_what_cannot_be_is_refused_by_name(cls, field, value):
    least = {LiveMigrationParams: {}, SimulatedHost: {"host": "a"}}
    given = least.get(cls, {"host": "a", "vcpus": 1, "memory_mb": 1, "disk_gb": 1})
    with pytest.raises(InvalidField) as refused:
        cls(**{**given, field: value})
    assert refused.value.field == field


@pytest.mark.parametrize("bandwidth", [0, 1, 2**62])
@pytest.mark.parametrize("downtime", [1, 2_000_000])
def test_the_ends_of_the_range_are_taken(bandwidth, downtime):
    params = LiveMigrationParams(bandwidth=bandwidth, downtime=downtime)
    assert (params.bandwidth, params.downtime) == (bandwidth, downtime)
