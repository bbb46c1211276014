"""The page-exact simulator's kernels: scan, sync and writes of bitmaps, compiled or by their twin."""

from __future__ import annotations

from novastate._native import NATIVE
from novastate._native.scan_py import mix, random_at

if NATIVE:
    from novastate._native._scan import (
        census,
        draw,
        fill,
        fill_scattered,
        force_isa,
        isa,
        mark,
        merge,
        scan,
        scan_cached,
        variants,
    )
else:
    from novastate._native.scan_py import (
        census,
        draw,
        fill,
        fill_scattered,
        force_isa,
        isa,
        mark,
        merge,
        scan,
        scan_cached,
        variants,
    )

__all__ = [
    "census", "draw", "fill", "fill_scattered", "force_isa", "isa", "mark", "merge", "mix", "random_at", "scan", "scan_cached", "variants",
]  # fmt: skip
