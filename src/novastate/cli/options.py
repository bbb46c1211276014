"""Options that several commands have: the cloud file, and how a live migration is to be run, for itself and for its forecast."""

from __future__ import annotations

import math
import os
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from novastate.errors import InvalidField

if TYPE_CHECKING:
    from novastate.flows import LiveMigrationOptions

__all__ = ["changed", "cloud_argument", "migration_arguments", "options_of"]

_MIB = 1 << 20
#: The first limit is this part of --downtime, as Nova's (live_migration_downtime_steps).
_STEPS = 10


def cloud_argument(parser: ArgumentParser) -> None:
    """Adds ``--cloud FILE``."""
    parser.add_argument(
        "--cloud",
        metavar="FILE",
        default=os.environ.get("NOVASTATE_CLOUD", "novastate.sqlite"),
        help="the SQLite file that holds the cloud (default: $NOVASTATE_CLOUD, else novastate.sqlite); created at first use",
    )


def migration_arguments(parser: ArgumentParser) -> None:
    """Adds the options that a forecast depends on."""
    parser.add_argument("--block-migrate", action="store_true", default=None, help="copy the local disks")
    parser.add_argument(
        "--bandwidth", type=float, default=0, metavar="MIB_S", help="limit of the transfer in MiB/s, default 0: none"
    )
    parser.add_argument(
        "--downtime", type=int, default=500, metavar="MS", help="the longest pause, reached in steps; default: 500"
    )
    parser.add_argument(
        "--timeout",
        type=int,
        default=800,
        metavar="S",
        help="seconds per GiB (memory and each copied disk count 2 GiB at least) until the timeout action, default: 800; 0: an hour, "
        "of real hosts a day",
    )
    parser.add_argument(
        "--policy",
        choices=("nova", "forecast"),
        default="nova",
        help="what acts on it while it runs: nova (default), downtime steps and a timeout; forecast: what is foreseen of it, --downtime "
        "being the longest pause",
    )
    parser.add_argument("--auto-converge", action="store_true", help="let the hypervisor throttle the guest")
    parser.add_argument(
        "--parallel", type=int, default=1, metavar="N", help="connections that memory goes over at once, default: 1"
    )


def changed(args: Namespace) -> list[str]:
    """Which of those options differ from their defaults, as they are written."""
    parser = ArgumentParser()
    migration_arguments(parser)
    return [
        action.option_strings[0]
        for action in parser._actions  # noqa: SLF001  (argparse tells its options nowhere else)
        if action.dest != "help" and getattr(args, action.dest) != action.default
    ]


def options_of(args: Namespace, *, real: bool = False) -> LiveMigrationOptions:
    """The options that *args* ask for; with *real* time a migration has a day. Raises InvalidField."""
    from novastate.convergence import ForecastPolicy, NovaPolicy  # noqa: PLC0415  (a recording is forecast without)
    from novastate.drivers import LiveMigrationParams  # noqa: PLC0415
    from novastate.flows import LiveMigrationOptions  # noqa: PLC0415

    if not math.isfinite(args.bandwidth) or args.bandwidth < 0 or 0 < args.bandwidth < 1 / 1024:
        raise InvalidField("bandwidth", args.bandwidth, "must be 0, for no limit, or at least 0.001 MiB/s")
    if args.timeout < 0:
        raise InvalidField("timeout", args.timeout, "must not be negative")
    action: Any = getattr(args, "timeout_action", "abort")
    policy: NovaPolicy | ForecastPolicy
    if args.policy == "forecast":
        policy = ForecastPolicy(
            longest_pause=args.downtime / 1000,
            latest_end=args.timeout or None,
            per_gib=True,
            throttle=args.auto_converge,
            post_copy=getattr(args, "post_copy", False),
            otherwise="abort" if action == "abort" else "pause",
        )
    else:
        policy = NovaPolicy(downtime=args.downtime, completion_timeout=args.timeout, timeout_action=action)
    params = LiveMigrationParams(
        bandwidth=int(args.bandwidth * _MIB),
        downtime=max(1, args.downtime // _STEPS),
        auto_converge=args.auto_converge,
        post_copy=getattr(args, "post_copy", False),
        parallel_connections=args.parallel,
    )
    # Nobody waits for a virtual clock: without a timeout of its own a migration gets an hour of it.
    return LiveMigrationOptions(params=params, policy=policy, deadline=86400.0 if real else 3600.0)
