"""A figure to draw on, and what becomes of it: matplotlib (extra ``plot``), imported only here and only when asked for.

Rules: the same drawing gives the same bytes (no date, fixed ids, text as text); a `Figure` of its own, never pyplot, so that
nothing global is left behind.
"""

from __future__ import annotations

import io
import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from novastate.errors import ConvergenceError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SUFFIXES", "as_svg", "check", "figure", "installed", "save"]

#: What a picture may be saved as.
SUFFIXES = (".svg", ".png", ".pdf")
_UNDATED: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


def installed() -> bool:
    """Whether matplotlib is there."""
    return find_spec("matplotlib") is not None


@contextmanager
def figure(width: float, height: float) -> Generator[Figure]:
    """A new figure of *width* by *height* inches, to be drawn on within.

    Raises `ConvergenceError` where matplotlib is not installed, naming the extra.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise _missing() from error
    with _style():
        yield Figure(figsize=(width, height), layout="constrained")


def as_svg(drawn: Figure) -> str:
    """*drawn* as one ``<svg>`` element, to stand in a page."""
    whole = _written(drawn, "svg").decode()
    return whole[whole.index("<svg") :]


def check(path: str | os.PathLike[str]) -> None:
    """Raises `ConvergenceError` where no picture can be drawn to *path*: matplotlib is not installed, or the suffix none of `SUFFIXES`."""
    if not installed():
        raise _missing()
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ConvergenceError("plot", os.fspath(path), "has a suffix that is no kind of picture", SUFFIXES)


def save(drawn: Figure, path: str | os.PathLike[str]) -> None:
    """Writes *drawn* to *path*; the suffix says as what (`SUFFIXES`).

    Raises `ConvergenceError` for another suffix, and where *path* cannot be written.
    """
    check(path)
    where = Path(path)
    picture = _written(drawn, where.suffix[1:].lower())
    try:
        where.write_bytes(picture)
    except OSError as error:
        raise ConvergenceError("plot", os.fspath(path), f"cannot be written: {error.strerror}") from error


def _missing() -> ConvergenceError:
    return ConvergenceError("plot", "no matplotlib", "needs the extra plot (pip install 'novastate[plot]')")


def _written(drawn: Figure, kind: str) -> bytes:
    to = io.BytesIO()
    with _style():
        drawn.savefig(to, format=kind, dpi=150, metadata=_UNDATED[kind])
    return to.getvalue()


def _style() -> AbstractContextManager[None]:
    from matplotlib import rc_context  # noqa: PLC0415  (an extra)

    return rc_context({
        "svg.hashsalt": "novastate",
        "svg.fonttype": "none",
        "font.family": ["sans-serif"],
        "font.size": 9.0,
        "axes.titlesize": 10.0,
        "legend.fontsize": 8.0,
        "axes.spines.top": False,
    })  # fmt: skip
