"""The Python twin of the byte-table kernels: ``bytes.translate`` is exactly the plain loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["force_isa", "isa", "translate"]


def translate(codes: Buffer, table: Buffer) -> bytes:
    """``table[codes[i]]`` for each byte of *codes*; *table* has 256 entries."""
    return (codes if isinstance(codes, bytes) else bytes(codes)).translate(bytes(table))


def isa() -> str:
    """The instruction set in use: always ``python`` here."""
    return "python"


def force_isa(name: str) -> None:
    """Accepts only ``python``; the compiled kernels know more."""
    if name != "python":
        raise ValueError(f"isa: {name!r} is not available here")
