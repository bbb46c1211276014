"""Forecasts of a column of guests, by the compiled kernel or its twin."""

from __future__ import annotations

from novastate._native import NATIVE
from novastate._native.fleet_py import (
    COLUMNS,
    CONVERGES,
    MAX_CLASSES,
    NEVER,
    NUMBERS,
    RULE_FIELDS,
    TIMES_OUT,
)

if NATIVE:
    from novastate._native._fleet import force_isa, isa, run, variants
else:
    from novastate._native.fleet_py import force_isa, isa, run, variants

__all__ = [
    "COLUMNS",
    "CONVERGES",
    "MAX_CLASSES",
    "NEVER",
    "NUMBERS",
    "RULE_FIELDS",
    "TIMES_OUT",
    "force_isa",
    "isa",
    "run",
    "variants",
]
