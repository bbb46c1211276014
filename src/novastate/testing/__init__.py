"""Kits for testing control planes: strategies, conformance of stores and drivers, flows stopped anywhere.

Each is imported when it is first used: ``strategies`` needs hypothesis, the others no test framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novastate.testing import explore, strategies
    from novastate.testing.driver_conformance import DriverConformance, check_driver
    from novastate.testing.fleet import Fleet
    from novastate.testing.store_conformance import StoreConformance

__all__ = ["DriverConformance", "Fleet", "StoreConformance", "check_driver", "explore", "strategies"]

_LAZY = {
    "DriverConformance": "driver_conformance",
    "Fleet": "fleet",
    "StoreConformance": "store_conformance",
    "check_driver": "driver_conformance",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(f"novastate.testing.{_LAZY[name]}"), name)
    if name in __all__:
        return import_module(f"novastate.testing.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
