"""State machines, domain objects, crash-safe workflows and a live-migration forecast for VM control planes.

The sub-packages are the public names; each is imported when it is first used, so ``import novastate`` costs
nothing but this file.

>>> import novastate
>>> novastate.machines.VMState.ACTIVE
VMState.ACTIVE
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novastate import (
        convergence,
        drivers,
        errors,
        flows,
        machines,
        objects,
        runners,
        scheduling,
        store,
        testing,
    )

__all__ = [
    "__version__",
    "convergence",
    "drivers",
    "errors",
    "flows",
    "machines",
    "objects",
    "runners",
    "scheduling",
    "store",
    "testing",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in __all__:
        return import_module(f"novastate.{name}")
    raise AttributeError(f"module 'novastate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
