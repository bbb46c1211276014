"""What reads and writes records, compiled: the classes of `_codec.pyx`, or None where the functions of codegen do it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from novastate._native import NATIVE

__all__ = ["CODEC"]

CODEC: ModuleType | None = import_module("novastate._native._codec") if NATIVE else None
