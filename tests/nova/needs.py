"""Where the real Nova is that the tests compare with, and why it is not there.

`make nova-venv` installs it into build/nova-venv; NOVASTATE_NOVA_VENV names a virtual environment that has it already.
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = "34.0.0"
_ASK = "import importlib.metadata as m; print(m.version('nova'))"


def python() -> Path:
    """The Python that has Nova."""
    return Path(os.environ.get("NOVASTATE_NOVA_VENV") or ROOT / "build" / "nova-venv") / "bin" / "python"


@functools.cache
def no_nova() -> str:
    """Why there is no real Nova to compare with, or ""."""
    where = python()
    how = f"make nova-venv installs nova {VERSION}, from a package index; or NOVASTATE_NOVA_VENV names a ready one"
    if not where.exists():
        return f"no {where} ({how})"
    try:
        done = subprocess.run(
            [where, "-c", _ASK], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{where} does not run: {error} ({how})"
    found = done.stdout.strip()
    return "" if found == VERSION else f"{where} has {f'nova {found}' if found else 'no nova'} ({how})"
