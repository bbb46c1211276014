"""Footprints of traces, and pages chosen by hash, by the compiled kernels or their twins."""

from __future__ import annotations

from novastate._native import NATIVE
from novastate._native.footprint_py import Column

if NATIVE:
    from novastate._native._footprint import choose, force_isa, isa, lengths, variants
else:
    from novastate._native.footprint_py import choose, force_isa, isa, lengths, variants

__all__ = ["Column", "choose", "force_isa", "isa", "lengths", "variants"]
