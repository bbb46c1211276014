"""The compiled kernels, their typed Python twins, and the choice between them.

Each kernel group NAME is three things with the same functions:

- ``NAME.c`` under ``_NAME.pyx``: plain C below a thin Cython layer, without the GIL;
- ``NAME_py.py``: the twin in typed Python, equal to the last bit where the result is an integer;
- ``NAME.py``: re-exports one of them, chosen here once for the whole process.

``NOVASTATE_NATIVE`` chooses: ``auto`` (the default) takes the compiled kernels where they are installed,
``require`` raises :class:`ImportError` where they are not, ``off`` takes the twins.
There is no silent fallback: ``novastate doctor`` says which variant runs and why.

``NOVASTATE_ISA`` names the instruction set of the compiled kernels (``dispatch.h`` has the names); a name that this
processor, or this build, does not have raises :class:`ImportError`. Without it they take the fastest there is.
"""

from __future__ import annotations

import os
from importlib import import_module

__all__ = ["ISA", "MODE", "NATIVE", "REASON"]

_MODES = ("auto", "require", "off")

#: What ``NOVASTATE_NATIVE`` asked for.
MODE: str = os.environ.get("NOVASTATE_NATIVE", "auto") or "auto"

#: What ``NOVASTATE_ISA`` asked for; "" for the fastest.
ISA: str = os.environ.get("NOVASTATE_ISA", "")

if MODE not in _MODES:
    raise ImportError(f"NOVASTATE_NATIVE={MODE!r}: must be one of {', '.join(_MODES)}")


def _refuse_isa(reason: str) -> None:
    if ISA:
        raise ImportError(f"NOVASTATE_ISA={ISA!r} is for the compiled kernels, which do not run here: {reason}")


def _choose() -> tuple[bool, str]:
    if MODE == "off":
        _refuse_isa("NOVASTATE_NATIVE=off")
        return False, "NOVASTATE_NATIVE=off"
    try:
        probe = import_module("novastate._native._tables")  # all kernels are built together
    except ImportError as error:
        if MODE == "require":
            raise ImportError(
                f"NOVASTATE_NATIVE=require, but the compiled kernels cannot be loaded: {error}"
            ) from error
        _refuse_isa(f"the compiled kernels cannot be loaded: {error}")
        return False, f"the compiled kernels cannot be loaded: {error}"
    known: tuple[str, ...] = probe.variants()
    if ISA and ISA not in known:
        raise ImportError(f"NOVASTATE_ISA={ISA!r}: this processor and build have {', '.join(known)}")
    return True, "the compiled kernels are installed"


_chosen = _choose()
#: Whether the compiled kernels run in this process.
NATIVE: bool = _chosen[0]
#: Why, in one sentence.
REASON: str = _chosen[1]
