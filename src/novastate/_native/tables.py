"""Byte tables: a fleet's states through one trigger, by the compiled kernel or its twin."""

from __future__ import annotations

from novastate._native import NATIVE
from novastate._native.tables_py import flat

if NATIVE:
    from novastate._native._tables import force_isa, isa, translate, variants
else:
    from novastate._native.tables_py import force_isa, isa, translate, variants

__all__ = ["flat", "force_isa", "isa", "translate", "variants"]
