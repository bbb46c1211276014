"""Arrays that come from outside: as numpy takes them, but for what it would take otherwise than it is meant.

Rule: a masked array is refused by name, for numpy drops the mask, and what was not there would count as a number.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from novastate.errors import ConvergenceError

__all__ = ["array_of"]


def array_of(field: str, values: object) -> npt.NDArray[Any]:
    """*values* as an array, not copied where it is one. Raises `ConvergenceError` for a masked array, and for rows of which one is."""
    masked = sys.modules.get("numpy.ma")  # where it was never loaded nothing is masked
    if masked is not None:
        rows: tuple[Any, ...] | list[Any] = values if isinstance(values, list | tuple) else (values,)
        if any(isinstance(row, masked.MaskedArray) for row in rows):
            raise ConvergenceError(field, "a masked array", "must have no mask: fill it, or leave out what is masked")
    return np.asarray(values)
