"""Dirty bitmaps: unions, footprints of windows and gaps, by the compiled kernels or their twins."""

from __future__ import annotations

from novastate._native import NATIVE
from novastate._native.bitmaps_py import LEVELS, Words

if NATIVE:
    from novastate._native._bitmaps import count, force_isa, gaps, isa, merge, sums, variants
else:
    from novastate._native.bitmaps_py import count, force_isa, gaps, isa, merge, sums, variants

__all__ = ["LEVELS", "Words", "count", "force_isa", "gaps", "isa", "merge", "sums", "variants"]
