"""``novastate live-migration``, ``migrations``, ``abort``, ``force-complete``, ``recover``: moving servers.

``live-migration [--block-migrate] SERVER [HOST]`` has the words of ``nova live-migration``.
"""

from __future__ import annotations

import math
from argparse import Namespace
from typing import Any

from novastate.cli.cloud import check_host, cloud_argument, every, find_server, open_cloud, open_store
from novastate.cli.progress import Progress
from novastate.cli.view import as_json, show
from novastate.convergence.policy import NovaPolicy
from novastate.drivers import LiveMigrationParams
from novastate.errors import InvalidField
from novastate.flows import (
    LiveMigrationOptions,
    abort_live_migration,
    force_complete_live_migration,
    live_migrate,
    recover,
)
from novastate.machines import MigrationStatus
from novastate.objects import Instance, Migration
from novastate.runners import LocalRunner

__all__ = ["migration_row", "register"]

_MIB = 1 << 20


def register(subparsers: Any) -> None:
    """Adds the sub-commands."""
    parser = subparsers.add_parser(
        "live-migration",
        help="move a running server to another host",
        description="Moves a running server to another host: forecast, progress, outcome.",
    )
    parser.set_defaults(run=_live_migration)
    cloud_argument(parser)
    parser.add_argument("server", metavar="SERVER", help="name or uuid")
    parser.add_argument("host", metavar="HOST", nargs="?", help="where to; without it the scheduler chooses")
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
        help="seconds per GiB (memory and each copied disk count 2 GiB at least) until the timeout action, default: 800; 0: an hour",
    )
    parser.add_argument(
        "--timeout-action", choices=("abort", "force_complete"), default="abort", help="what then; default: abort"
    )
    parser.add_argument("--auto-converge", action="store_true", help="let the hypervisor throttle the guest")
    parser.add_argument("--post-copy", action="store_true", help="permit post-copy for a forced completion")
    parser.add_argument(
        "--real-time", action="store_true", help="let it take as long as it takes, so that it can be aborted"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")

    parser = subparsers.add_parser("migrations", help="list the migrations")
    parser.set_defaults(run=_migrations)
    cloud_argument(parser)
    parser.add_argument("server", metavar="SERVER", nargs="?", help="only of this server")
    parser.add_argument("--json", action="store_true", help="print one JSON array")

    for word, flow, text in (
        ("abort", abort_live_migration, "abort the live migration of a server"),
        ("force-complete", force_complete_live_migration, "complete the live migration of a server by force"),
    ):
        parser = subparsers.add_parser(word, help=text)
        parser.set_defaults(run=_request, flow=flow)
        cloud_argument(parser)
        parser.add_argument("server", metavar="SERVER", help="name or uuid")

    parser = subparsers.add_parser("recover", help="bring what a crash left half-done to an end")
    parser.set_defaults(run=_recover)
    cloud_argument(parser)
    parser.add_argument("server", metavar="SERVER", nargs="?", help="only this server")
    parser.add_argument("--now", action="store_true", help="even before its deadline has passed")
    parser.add_argument(
        "--give-up", action="store_true", help="where a host is silent: set the server to error, keep its claims"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON array")


def migration_row(migration: Migration) -> dict[str, Any]:
    """One migration as a line of a list."""
    return {
        "uuid": migration.uuid,
        "server": migration.instance_uuid,
        "type": migration.migration_type,
        "status": migration.status,
        "source": migration.source_compute,
        "destination": migration.dest_compute,
        "started": migration.created_at or None,
    }


def _options(args: Namespace) -> LiveMigrationOptions:
    if not math.isfinite(args.bandwidth) or args.bandwidth < 0 or 0 < args.bandwidth < 1 / 1024:
        raise InvalidField("bandwidth", args.bandwidth, "must be 0, for no limit, or at least 0.001 MiB/s")
    if args.timeout < 0:
        raise InvalidField("timeout", args.timeout, "must not be negative")
    policy = NovaPolicy(downtime=args.downtime, completion_timeout=args.timeout, timeout_action=args.timeout_action)
    params = LiveMigrationParams(
        bandwidth=int(args.bandwidth * _MIB),
        downtime=max(1, args.downtime // policy.downtime_steps),
        auto_converge=args.auto_converge,
        post_copy=args.post_copy,
    )
    # Nobody waits for a virtual clock: without a timeout of its own a migration gets an hour of it.
    return LiveMigrationOptions(params=params, policy=policy, deadline=86400.0 if args.real_time else 3600.0)


def _live_migration(args: Namespace) -> int:
    options = _options(args)
    with (
        Progress(quiet=args.json) as progress,
        open_cloud(args.cloud, real_time=args.real_time, listeners=(progress,)) as cloud,
    ):
        server = find_server(cloud.store, args.server)
        if args.host:
            check_host(cloud.store, args.host)
        migration = cloud.runner.run(
            live_migrate(server.uuid, args.host, block_migration=args.block_migrate, options=options)
        )
        row = migration_row(migration)
    if args.json:
        print(as_json({**row, **progress.facts}))
    else:
        print(f"{row['status']}: {server.display_name} on {row['destination' if _done(migration) else 'source']}")
    return 0 if _done(migration) else 1


def _done(migration: Migration) -> bool:
    return migration.status is MigrationStatus.COMPLETED


def _migrations(args: Namespace) -> int:
    with open_store(args.cloud) as store:
        equals = {"instance_uuid": find_server(store, args.server).uuid} if args.server else {}
        found = list(every(store, Migration, equals))
        found.sort(key=lambda migration: (str(migration.created_at), migration.uuid))
        rows = [migration_row(migration) for migration in found]
    show(rows, json_wanted=args.json, empty="no migrations")
    return 0


def _request(args: Namespace) -> int:
    """Leaves a request for the process that drives the migration: it calls no driver, and needs no lock on the hosts."""
    with open_store(args.cloud) as store:
        server = find_server(store, args.server)
        migration = LocalRunner(store, {}).run(args.flow(server.uuid))
    print(f"asked migration {migration.uuid} of {server.display_name} to {args.command}")
    return 0


def _recover(args: Namespace) -> int:
    with open_cloud(args.cloud) as cloud:
        servers = (
            [find_server(cloud.store, args.server)]
            if args.server
            else [server for server in every(cloud.store, Instance) if not server.deleted]
        )
        done = [
            (server, cloud.runner.run(recover(server.uuid, now=args.now, give_up=args.give_up))) for server in servers
        ]
    rows = [{"server": server.display_name, "changed": what.changed, "what": what.what} for server, what in done]
    show(rows, json_wanted=args.json, empty="no servers")
    return 0
