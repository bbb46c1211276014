"""The pre-copy recursion for an ensemble of guests, by the compiled kernel or its twin."""

from __future__ import annotations

from novastate._native import NATIVE
from novastate._native.precopy_fields import (
    CLASS_FIELDS,
    CONVERGED,
    MAX_CLASSES,
    MEMBER_FIELDS,
    NEVER,
    OUT_FIELDS,
    POSTCOPY,
    POSTCOPY_ASKED,
    POSTCOPY_SWITCH,
    ROUND_FIELDS,
    SCENARIO_FIELDS,
    START_FIELDS,
)

if NATIVE:
    from novastate._native._precopy import run
else:
    from novastate._native.precopy_py import run

__all__ = [
    "CLASS_FIELDS",
    "CONVERGED",
    "MAX_CLASSES",
    "MEMBER_FIELDS",
    "NEVER",
    "OUT_FIELDS",
    "POSTCOPY",
    "POSTCOPY_ASKED",
    "POSTCOPY_SWITCH",
    "ROUND_FIELDS",
    "SCENARIO_FIELDS",
    "START_FIELDS",
    "run",
]
