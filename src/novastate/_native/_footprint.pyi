import numpy as np
import numpy.typing as npt

from novastate._native.footprint_py import Column

def lengths(
    pages: Column,
    times: Column | None,
    start: float,
    rate: float,
    slots: int,
    page_count: int,
    windows: npt.NDArray[np.uint32],
) -> tuple[list[int], list[int], int]: ...
def choose(
    pages: npt.NDArray[np.uint64] | None, first: int, seed: int, limit: int, chosen: npt.NDArray[np.uint8]
) -> None: ...
def isa() -> str: ...
def force_isa(name: str) -> None: ...
def variants() -> tuple[str, ...]: ...
