from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Words: TypeAlias = npt.NDArray[np.uint64]
_Integers: TypeAlias = npt.NDArray[np.int64]
_Floats: TypeAlias = npt.NDArray[np.float64]

def scan(
    bits: _Words, pages: int, cursor: int, left: int, room: int, patience: int, costs: _Integers, counts: _Integers
) -> int: ...
def scan_cached(
    bits: _Words,
    pages: int,
    cache: _Integers,
    now: int,
    cursor: int,
    left: int,
    room: int,
    patience: int,
    costs: _Integers,
    counts: _Integers,
) -> int: ...
def census(bits: _Words, pages: int, counts: _Integers) -> None: ...
def merge(bits: _Words, pages: int) -> int: ...
def draw(
    written: _Words,
    early: _Words,
    first: int,
    key: int,
    counter: int,
    count: int,
    base: int,
    groups: _Words,
    ratios: _Floats,
    guide: npt.NDArray[np.int32],
    shift: int,
    order: _Words,
    since: _Words,
    part: int,
) -> None: ...
def fill(written: _Words, early: _Words, first: int, key: int, counter: int, groups: _Words) -> None: ...
def fill_scattered(
    written: _Words,
    early: _Words,
    first: int,
    key: int,
    counter: int,
    groups: _Words,
    paces: _Floats,
    order: _Words,
    left: _Floats,
    part: int,
) -> None: ...
def mark(written: _Words, pages: _Integers) -> None: ...
def isa() -> str: ...
def variants() -> tuple[str, ...]: ...
def force_isa(name: str) -> None: ...
