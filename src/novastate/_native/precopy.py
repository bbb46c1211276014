"""The pre-copy recursion for an ensemble of guests, by the compiled kernel or its twin; its numbers are in `precopy_fields`."""

from __future__ import annotations

from novastate._native import NATIVE

if NATIVE:
    from novastate._native._precopy import run
else:
    from novastate._native.precopy_py import run

__all__ = ["run"]
