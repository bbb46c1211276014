"""``novastate machine``: the rows of a machine as a diagram or a table."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from novastate.errors import UnknownName
from novastate.machines import MIGRATION_MACHINES, Machine, PowerMachine, TaskMachine, VMMachine

__all__ = ["MACHINES", "register"]

#: Every machine by its name on the command line.
MACHINES: dict[str, type[Machine[Any]]] = {
    "vm": VMMachine,
    "task": TaskMachine,
    "power": PowerMachine,
    **{str(kind): machine for kind, machine in MIGRATION_MACHINES.items()},
}


def register(subparsers: Any) -> None:
    """Adds the sub-command."""
    parser = subparsers.add_parser(
        "machine",
        help="print a state machine",
        description="Prints the rows of a state machine as a diagram or a table.",
    )
    parser.add_argument("name", metavar="MACHINE", help=", ".join(MACHINES))
    parser.add_argument("--format", default="table", metavar="FORMAT", help="mermaid, dot or table (default)")
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    if args.name not in MACHINES:
        raise UnknownName("machine", args.name, MACHINES)
    print(MACHINES[args.name].diagram(args.format).rstrip("\n"))
    return 0
