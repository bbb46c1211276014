"""``novastate doctor``: what of novastate works here, and what would make the rest work."""

from __future__ import annotations

import importlib.util
import platform
import sys
from argparse import Namespace
from importlib import metadata
from typing import Any

from novastate.cli.view import as_json, columns

__all__ = ["register"]

#: Optional packages: what each is for, and the extra that installs it.
_OPTIONAL = {
    "sqlalchemy": ("SqlStore, and the cloud of this command", "novastate[sql]"),
    "rich": ("a live progress line", "novastate[cli]"),
    "orjson": ("faster JSON", "novastate[fast]"),
}


def register(subparsers: Any) -> None:
    """Adds the sub-command."""
    parser = subparsers.add_parser(
        "doctor",
        help="say what works here",
        description="Says what of novastate works here, and what would make the rest work.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    rows = [*_core(), *_packages()]
    print(as_json(rows) if args.json else columns(rows))
    return 0 if all(row["state"] != "broken" for row in rows) else 1


def _core() -> list[dict[str, str]]:
    from novastate import __version__  # noqa: PLC0415

    return [
        {"part": "novastate", "state": "ok", "note": __version__},
        {"part": "python", "state": "ok", "note": f"{platform.python_version()} {sys.platform}"},
        _kernels(),
    ]


def _kernels() -> dict[str, str]:
    try:
        from novastate import _native  # noqa: PLC0415
        from novastate._native import tables  # noqa: PLC0415
    except ImportError as error:
        return {"part": "kernels", "state": "broken", "note": str(error)}
    if _native.NATIVE:
        return {"part": "kernels", "state": "ok", "note": f"compiled ({tables.isa()}): {_native.REASON}"}
    wanted = _native.MODE == "off"
    hint = "" if wanted else "; with a C compiler, 'pip install --force-reinstall novastate' compiles them"
    return {"part": "kernels", "state": "ok", "note": f"pure Python: {_native.REASON}{hint}"}


def _packages() -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for name in ("attrs", "cattrs", "transitions", "numpy", *_OPTIONAL):
        purpose, extra = _OPTIONAL.get(name, ("", ""))
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = ""
        there = bool(version) and importlib.util.find_spec("attr" if name == "attrs" else name) is not None
        if there:
            rows.append({"part": name, "state": "ok", "note": f"{version}{'; ' + purpose if purpose else ''}"})
        elif extra:
            rows.append({"part": name, "state": "missing", "note": f"{purpose}: pip install '{extra}'"})
        else:
            rows.append({"part": name, "state": "broken", "note": "a dependency: reinstall novastate"})
    return rows
