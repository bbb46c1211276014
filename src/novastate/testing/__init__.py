"""Kits for testing control planes: strategies, conformance of stores, flows stopped anywhere.

Each is imported when it is first used: ``strategies`` needs hypothesis, the others no test framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novastate.testing import explore, strategies
    from novastate.testing.store_conformance import StoreConformance

__all__ = ["StoreConformance", "explore", "strategies"]


def __getattr__(name: str) -> object:
    if name == "StoreConformance":
        return import_module("novastate.testing.store_conformance").StoreConformance
    if name in __all__:
        return import_module(f"novastate.testing.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
