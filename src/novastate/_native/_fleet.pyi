from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

def run(
    columns: Sequence[npt.NDArray[np.float64]],
    size: npt.NDArray[np.float64],
    rate: npt.NDArray[np.float64],
    rule: npt.NDArray[np.int32],
    rules: npt.NDArray[np.float64],
    numbers: npt.NDArray[np.float64],
    syncs: npt.NDArray[np.int32],
    verdict: npt.NDArray[np.uint8],
    throttle: npt.NDArray[np.uint8],
) -> None: ...
def isa() -> str: ...
def force_isa(name: str) -> None: ...
def variants() -> tuple[str, ...]: ...
