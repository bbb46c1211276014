"""The Python twin of the footprint kernels, on numpy: sorts the writes by page instead of remembering each page's last."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from novastate._native.tables_py import force_isa, isa, variants
from novastate.errors import ConvergenceError

__all__ = ["Column", "choose", "force_isa", "isa", "lengths", "variants"]

#: Whole numbers of 32 or 64 bits; times also as float64.
Column = npt.NDArray[Any]
_GOLDEN, _FIRST, _SECOND = (np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def lengths(
    pages: Column,
    times: Column | None,
    start: float,
    rate: float,
    slots: int,
    page_count: int,
    windows: npt.NDArray[np.uint32],
) -> tuple[list[int], list[int], int]:
    """Counts and sums of the free lengths between one of *windows* and the next, and how many pages there are.

    A length is the distance of a page's write from the one before, from the slot before the first (for its first write), or
    to the slot after the last of all *slots* (for its last). A time t is in slot floor((t - start) * rate); without *times*
    each write has a slot of its own. *windows* rises. Raises `ConvergenceError` for a page not below *page_count*, a time
    that falls or that lies in no slot, and columns that do not fit each other.
    """
    if slots >= 0xFFFFFFFF or page_count > 0xFFFFFFFF:
        raise ValueError("slots, page_count: must be below 2**32 - 1")
    _kind("pages", pages, "iu")
    wrong = np.flatnonzero((pages < 0) | (pages >= page_count))
    at = _slots(pages, times, start, rate)
    late = np.flatnonzero(~((at >= 0) & (at < slots)) | np.r_[False, np.floor(at[1:]) < np.floor(at[:-1])])
    # The kernel looks at 256 writes at a time, pages first.
    if wrong.size and (not late.size or wrong[0] // 256 <= late[0] // 256):
        raise ConvergenceError(f"pages[{wrong[0]}]", int(pages[wrong[0]]), f"must be 0 to {page_count - 1}")
    if late.size:
        value = int(late[0]) if times is None else float(times[late[0]])
        raise ConvergenceError(f"times[{late[0]}]", value, "must not fall, and lie within the record")
    order = np.argsort(pages, kind="stable")
    page, slot = pages[order], at[order].astype(np.int64)
    new = np.r_[True, page[1:] != page[:-1]][: page.size]
    gaps = slot - np.where(new, -1, np.r_[0, slot[:-1]][: slot.size])
    ends = slots - slot[np.r_[new[1:], True][: slot.size]]
    found = np.concatenate([gaps, ends])
    level = np.searchsorted(windows, found)
    counts = np.bincount(level, minlength=len(windows) + 1)
    sums = np.zeros(len(windows) + 1, np.int64)
    np.add.at(sums, level, found)
    return counts.tolist(), sums.tolist(), int(new.sum())


def choose(
    pages: npt.NDArray[np.uint64] | None, first: int, seed: int, limit: int, chosen: npt.NDArray[np.uint8]
) -> None:
    """``chosen[i]`` = whether the hash of page i is below *limit*; without *pages* page i is ``first + i``."""
    if pages is None:
        pages = np.arange(len(chosen), dtype=np.uint64) + np.uint64(first)
    if len(pages) != len(chosen):
        raise ValueError("pages, chosen: must have the same length")
    with np.errstate(over="ignore"):
        x = pages + np.uint64(seed) * _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * _FIRST
        x = (x ^ (x >> np.uint64(27))) * _SECOND
    chosen[:] = (x ^ (x >> np.uint64(31))) < np.uint64(limit)


def _kind(field: str, column: Column, kinds: str) -> None:
    if (
        column.ndim != 1
        or column.dtype.kind not in kinds
        or column.dtype.char in "efg"
        or column.dtype.itemsize not in {4, 8}
    ):
        what = "must be a row of integers of 32 or 64 bits" + (", or of floats" if "f" in kinds else "")
        raise ConvergenceError(field, column.dtype.char, what)


def _slots(pages: Column, times: Column | None, start: float, rate: float) -> npt.NDArray[np.float64]:
    if times is None:
        return np.arange(pages.size, dtype=np.float64)
    _kind("times", times, "iuf")
    if times.size != pages.size:
        raise ConvergenceError("times", times.size, f"must be as many as the {pages.size} pages")
    slots: npt.NDArray[np.float64] = (times.astype(np.float64) - start) * rate
    return slots
