"""``novastate live-migration``, ``migrations``, ``abort``, ``force-complete``, ``recover``: moving servers.

``live-migration [--block-migrate] SERVER [HOST]`` has the words of ``nova live-migration``.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from novastate.cli.cloud import check_host, cloud_argument, every, find_server, open_cloud, open_store
from novastate.cli.options import migration_arguments, options_of
from novastate.cli.outcome import beside, expected_text, outcome_of, took_text
from novastate.cli.progress import Progress
from novastate.cli.view import as_json, show
from novastate.errors import NovastateError
from novastate.flows import (
    abort_live_migration,
    force_complete_live_migration,
    live_migrate,
    recover,
)
from novastate.machines import MigrationStatus
from novastate.objects import Instance, Migration
from novastate.runners import LocalRunner
from novastate.store import Store

__all__ = ["migration_row", "register"]


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
    migration_arguments(parser)
    parser.add_argument(
        "--timeout-action", choices=("abort", "force_complete"), default="abort", help="what then; default: abort"
    )
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


def _live_migration(args: Namespace) -> int:
    options_of(args)  # what is wrong is said before anything is opened
    with (
        Progress(quiet=args.json) as progress,
        open_cloud(args.cloud, real_time=args.real_time, listeners=(progress,)) as cloud,
    ):
        server = find_server(cloud.store, args.server)
        if args.host:
            check_host(cloud.store, args.host)
        options = options_of(args, real=args.real_time or cloud.real)
        migration = cloud.runner.run(
            live_migrate(server.uuid, args.host, block_migration=args.block_migrate, options=options)
        )
        row = migration_row(migration)
    if args.json:
        print(as_json({**row, **progress.facts}))
    else:
        compared = beside(progress.facts["forecast"], progress.facts["stats"])
        if compared:
            print(compared)
        print(f"{row['status']}: {server.display_name} on {row['destination' if _done(migration) else 'source']}")
    return 0 if _done(migration) else 1


def _done(migration: Migration) -> bool:
    return migration.status is MigrationStatus.COMPLETED


def _listed(store: Store, migration: Migration, *, whole: bool) -> dict[str, Any]:
    """A line of the list: with what was expected and what came of it."""
    row, outcome = migration_row(migration), outcome_of(store, migration)
    if whole:
        return {**row, **outcome}
    return {**row, "forecast": expected_text(outcome["forecast"]), "took": took_text(outcome["stats"])}


def _migrations(args: Namespace) -> int:
    with open_store(args.cloud) as store:
        equals = {"instance_uuid": find_server(store, args.server).uuid} if args.server else {}
        found = list(every(store, Migration, equals))
        found.sort(key=lambda migration: (str(migration.created_at), migration.uuid))
        rows = [_listed(store, migration, whole=args.json) for migration in found]
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
    with Progress(quiet=args.json) as progress, open_cloud(args.cloud, listeners=(progress,)) as cloud:
        servers = (
            [find_server(cloud.store, args.server)]
            if args.server
            else [server for server in every(cloud.store, Instance) if not server.deleted]
        )
        rows: list[dict[str, Any]] = []
        bad: list[str] = []
        for server in servers:
            row: dict[str, Any] = {"server": server.display_name}
            try:
                done = cloud.runner.run(recover(server.uuid, now=args.now, give_up=args.give_up))
            except NovastateError as error:  # it holds no other up
                rows.append({**row, "changed": False, "what": f"error: {error}"})
                bad.append(f"{server.display_name}: {error}")
            else:
                rows.append({**row, "changed": done.changed, "what": done.what})
    show(rows, json_wanted=args.json, empty="no servers")
    for line in bad:
        print(f"novastate: {line}", file=sys.stderr)
    return 1 if bad else 0
