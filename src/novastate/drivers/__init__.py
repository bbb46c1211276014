"""Hypervisors: the abstract driver, its values, one that speaks to libvirt, and a simulated one.

Drivers are imported when first used: a control plane of real hosts loads no numpy, one of simulated hosts no libvirt.
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
from novastate.drivers.capabilities import CAPABILITIES, Capability, supports
from novastate.drivers.clock import Clock, RealClock, VirtualClock

if TYPE_CHECKING:
    from novastate.drivers.libvirt import LibvirtDriver
    from novastate.drivers.simulated import Fault, SimulatedCloud, SimulatedDriver, SimulatedHost

__all__ = [
    "CAPABILITIES",
    "Capability",
    "Clock",
    "ComputeDriver",
    "DiskInfo",
    "Fault",
    "GuestInfo",
    "HostState",
    "HugePages",
    "JobStats",
    "JobType",
    "LibvirtDriver",
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
    "supports",
]

_LAZY = {
    "Fault": "simulated",
    "LibvirtDriver": "libvirt",
    "SimulatedCloud": "simulated",
    "SimulatedDriver": "simulated",
    "SimulatedHost": "simulated",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"novastate.drivers.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
