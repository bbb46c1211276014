"""Will this live migration converge, when, with what pause: dirty curves, forecasts, policies, recordings.

Names are imported when first used, so that a control plane which only wants `NovaPolicy` loads no numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novastate.convergence.policy import Advice, NovaPolicy, Policy, Situation, data_gb

__all__ = ["Advice", "NovaPolicy", "Policy", "Situation", "data_gb"]

_HOME = {
    "Advice": "policy",
    "NovaPolicy": "policy",
    "Policy": "policy",
    "Situation": "policy",
    "data_gb": "policy",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
