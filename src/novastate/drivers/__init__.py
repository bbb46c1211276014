"""Hypervisors: the abstract driver, its values, and a simulated one.

The simulated driver is imported when first used, so that a control plane of real hosts loads no numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from novastate.drivers.base import (
    ComputeDriver,
    DiskInfo,
    GuestInfo,
    HostState,
    HugePages,
    JobStats,
    JobType,
    Lifecycle,
    LifecycleEvent,
    LiveMigrationParams,
    LiveMigrationSource,
    NumaCell,
)
from novastate.drivers.clock import Clock, RealClock, VirtualClock

if TYPE_CHECKING:
    from novastate.drivers.simulated import Fault, SimulatedCloud, SimulatedDriver, SimulatedHost

__all__ = [
    "Clock",
    "ComputeDriver",
    "DiskInfo",
    "Fault",
    "GuestInfo",
    "HostState",
    "HugePages",
    "JobStats",
    "JobType",
    "Lifecycle",
    "LifecycleEvent",
    "LiveMigrationParams",
    "LiveMigrationSource",
    "NumaCell",
    "RealClock",
    "SimulatedCloud",
    "SimulatedDriver",
    "SimulatedHost",
    "VirtualClock",
]

_SIMULATED = ("Fault", "SimulatedCloud", "SimulatedDriver", "SimulatedHost")


def __getattr__(name: str) -> object:
    if name not in _SIMULATED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module("novastate.drivers.simulated"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
