"""``novastate start``, ``stop``, ``pause``, ``unpause``, ``suspend``, ``resume``, ``reboot``, ``delete``: one server's life.

The words are those of the ``nova`` client.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any, TypeAlias

from novastate import flows
from novastate.cli.cloud import cloud_argument, find_server, open_cloud
from novastate.cli.servers import server_row
from novastate.cli.view import as_json, pairs, plain
from novastate.flows.power import GRACE
from novastate.objects import Instance

__all__ = ["register"]

_Flow: TypeAlias = Callable[[str, Namespace], flows.Flow[Instance]]


def register(subparsers: Any) -> None:
    """Adds the sub-commands."""
    _command(subparsers, "start", "switch a stopped server on", lambda uuid, _: flows.start(uuid))
    parser = _command(subparsers, "stop", "switch a server off", _stop)
    parser.add_argument("--force", action="store_true", help="at once: do not ask the guest to shut down")
    parser.add_argument(
        "--grace",
        type=float,
        default=GRACE,
        metavar="S",
        help="seconds that the guest has to shut down, then it is switched off; default: %(default)g",
    )
    _command(subparsers, "pause", "freeze a server, its memory kept where it is", lambda uuid, _: flows.pause(uuid))
    _command(subparsers, "unpause", "let a paused server run on", lambda uuid, _: flows.unpause(uuid))
    _command(subparsers, "suspend", "save a server's memory to disk and stop it", lambda uuid, _: flows.suspend(uuid))
    _command(subparsers, "resume", "start a suspended server from its memory", lambda uuid, _: flows.resume(uuid))
    parser = _command(subparsers, "reboot", "restart a server", lambda uuid, args: flows.reboot(uuid, hard=args.hard))
    parser.add_argument("--hard", action="store_true", help="switch it off and on, whatever state it hangs in")
    _command(subparsers, "delete", "delete a server with its local disks", lambda uuid, _: flows.delete(uuid))


def _command(subparsers: Any, word: str, text: str, flow: _Flow) -> ArgumentParser:
    parser: ArgumentParser = subparsers.add_parser(word, help=text)
    parser.set_defaults(run=_act, flow=flow)
    cloud_argument(parser)
    parser.add_argument("server", metavar="SERVER", help="name or uuid")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _stop(uuid: str, args: Namespace) -> flows.Flow[Instance]:
    return flows.stop(uuid, clean=not args.force, grace=args.grace)


def _act(args: Namespace) -> int:
    with open_cloud(args.cloud) as cloud:
        row = server_row(cloud.runner.run(args.flow(find_server(cloud.store, args.server).uuid, args)))
    print(as_json(plain(row)) if args.json else pairs(row))
    return 0
