"""The Python twin of the byte-table kernels: ``bytes.translate`` is exactly the plain loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_CODES = 256

__all__ = ["flat", "force_isa", "isa", "translate", "variants"]


def translate(codes: Buffer, table: Buffer) -> bytes:
    """``table[codes[i]]`` for each byte of *codes*; *table* has 256 entries."""
    cells = flat(table)
    if len(cells) != _CODES:
        raise ValueError("table: must have 256 entries")
    return flat(codes).translate(cells)


def flat(buffer: Buffer) -> bytes:
    """The bytes of *buffer*, which the compiled kernel would read in place; its items have one byte each."""
    if isinstance(buffer, bytes):
        return buffer
    view = memoryview(buffer)
    if view.itemsize != 1 or view.ndim != 1 or not view.c_contiguous:
        raise ValueError("codes, table: must be contiguous buffers of bytes")
    return view.tobytes()


def isa() -> str:
    """The instruction set in use: always ``python`` here."""
    return "python"


def variants() -> tuple[str, ...]:
    """The variants that can be forced here, fastest first: only ``python``."""
    return ("python",)


def force_isa(name: str) -> None:
    """Accepts only ``python``; the compiled kernels know more."""
    if name != "python":
        raise ValueError(f"isa: {name!r} is not available here")
