"""The compiled kernels, their typed Python twins, and the choice between them.

Each kernel group NAME is three things with the same functions:

- ``NAME.c`` under ``_NAME.pyx``: plain C below a thin Cython layer, without the GIL;
- ``NAME_py.py``: the twin in typed Python, equal to the last bit where the result is an integer;
- ``NAME.py``: re-exports one of them, chosen here once for the whole process.

``NOVASTATE_NATIVE`` chooses: ``auto`` (the default) takes the compiled kernels where they are installed,
``require`` raises :class:`ImportError` where they are not, ``off`` takes the twins.
There is no silent fallback: ``novastate doctor`` says which variant runs and why.
"""

from __future__ import annotations

import os
from importlib import import_module

__all__ = ["MODE", "NATIVE", "REASON"]

_MODES = ("auto", "require", "off")

#: What ``NOVASTATE_NATIVE`` asked for.
MODE: str = os.environ.get("NOVASTATE_NATIVE", "auto") or "auto"

if MODE not in _MODES:
    raise ImportError(f"NOVASTATE_NATIVE={MODE!r}: must be one of {', '.join(_MODES)}")


def _choose() -> tuple[bool, str]:
    if MODE == "off":
        return False, "NOVASTATE_NATIVE=off"
    try:
        import_module("novastate._native._tables")  # the probe: all kernels are built together
    except ImportError as error:
        if MODE == "require":
            raise ImportError(
                f"NOVASTATE_NATIVE=require, but the compiled kernels cannot be loaded: {error}"
            ) from error
        return False, f"the compiled kernels cannot be loaded: {error}"
    return True, "the compiled kernels are installed"


_chosen = _choose()
#: Whether the compiled kernels run in this process.
NATIVE: bool = _chosen[0]
#: Why, in one sentence.
REASON: str = _chosen[1]
