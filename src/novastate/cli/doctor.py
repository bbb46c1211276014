"""``novastate doctor``: what of novastate works here, what would make the rest work, and whether the cloud's real hosts answer."""

from __future__ import annotations

import importlib.util
import platform
import sys
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from novastate.cli.options import cloud_argument
from novastate.cli.view import as_json, columns
from novastate.errors import NovastateError

if TYPE_CHECKING:
    from novastate.cli.libvirt_hosts import LibvirtHost

__all__ = ["register"]

#: Optional packages: what each is for, and the extra that installs it.
_OPTIONAL = {
    "sqlalchemy": ("SqlStore, and the cloud of this command", "novastate[sql]"),
    "rich": ("a live progress line", "novastate[cli]"),
    "orjson": ("faster JSON", "novastate[fast]"),
    "libvirt-python": ("real hosts", "novastate[libvirt]"),
}

#: The module of a package, where it is not called the same.
_MODULES = {"attrs": "attr", "libvirt-python": "libvirt"}

#: Seconds that a host may take to answer.
_PATIENCE = 5.0


def register(subparsers: Any) -> None:
    """Adds the sub-command."""
    parser = subparsers.add_parser(
        "doctor",
        help="say what works here",
        description="Says what of novastate works here, and what would make the rest work.",
    )
    cloud_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    rows = [*_core(), *_packages(), *_hosts(args.cloud)]
    print(as_json(rows) if args.json else columns(rows))
    return 0 if all(row["state"] not in {"broken", "silent"} for row in rows) else 1


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
        asked = f", by NOVASTATE_ISA, of {', '.join(tables.variants())}" if _native.ISA else ""
        return {"part": "kernels", "state": "ok", "note": f"compiled ({tables.isa()}{asked}): {_native.REASON}"}
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
        there = bool(version) and importlib.util.find_spec(_MODULES.get(name, name)) is not None
        if there:
            rows.append({"part": name, "state": "ok", "note": f"{version}{'; ' + purpose if purpose else ''}"})
        elif extra:
            rows.append({"part": name, "state": "missing", "note": f"{purpose}: pip install '{extra}'"})
        else:
            rows.append({"part": name, "state": "broken", "note": "a dependency: reinstall novastate"})
    return rows


def _hosts(path: str) -> list[dict[str, str]]:
    """The real hosts of the cloud file, asked all at once. No file is made."""
    if not Path(path).exists():
        return []
    try:
        from novastate.cli.cloud import open_file  # noqa: PLC0415  (needs SQLAlchemy, and says so)
        from novastate.cli.libvirt_hosts import read  # noqa: PLC0415
        from novastate.drivers import RealClock  # noqa: PLC0415

        with open_file(path, RealClock()) as store:
            hosts = read(store, path)[1]
    except (NovastateError, ImportError) as error:
        return [{"part": "cloud", "state": "broken", "note": str(error)}]
    if not hosts:
        return []
    with ThreadPoolExecutor(max_workers=min(16, len(hosts))) as pool:
        return list(pool.map(_host, hosts, hosts.values()))


def _host(name: str, host: LibvirtHost) -> dict[str, str]:
    """What runs on one host, or that it does not answer."""
    from novastate.cli.adopt import version  # noqa: PLC0415
    from novastate.drivers.libvirt import Connection  # noqa: PLC0415

    def ask(connect: Any) -> tuple[str, int, int]:
        return str(connect.getType()), int(connect.getVersion()), int(connect.getLibVersion())

    connection: Connection | None = None
    try:
        connection = Connection(host.uri, timeout=_PATIENCE)
        kind, hypervisor, library = connection.call("asking for versions", ask)
    except NovastateError as error:
        return {"part": f"host {name}", "state": "silent", "note": f"{host.shown}: {error}"}
    finally:
        if connection is not None:
            connection.close()
    note = f"{kind} {version(hypervisor)}, libvirt {version(library)}, {host.shown}"
    return {"part": f"host {name}", "state": "ok", "note": note}
