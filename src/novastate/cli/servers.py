"""``novastate hosts``, ``servers``, ``show``, ``boot``: what the cloud holds, and a new server in it."""

from __future__ import annotations

from argparse import Namespace
from typing import Any
from uuid import uuid4

from novastate.cli.cloud import check_host, cloud_argument, every, find_server, open_cloud, open_store
from novastate.cli.outcome import expected_text, outcome_of, took_text
from novastate.cli.view import as_json, columns, pairs, plain, show
from novastate.convergence import Recording
from novastate.convergence.simulation.laws import WriteLaw
from novastate.drivers.simulated import LAW_KEY, ZERO_KEY
from novastate.errors import AlreadyExists, InvalidField, NotSupported
from novastate.flows import build
from novastate.machines import MigrationType, TaskState, VMState, server_status
from novastate.objects import ComputeNode, Flavor, Instance, Migration, RequestSpec
from novastate.scheduling import room
from novastate.store import Store, Transition

__all__ = ["boot", "history_rows", "history_text", "like", "register", "server_row"]


def register(subparsers: Any) -> None:
    """Adds the sub-commands."""
    parser = subparsers.add_parser("hosts", help="list the hosts and what is free on them")
    parser.set_defaults(run=_hosts)
    cloud_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON array")

    parser = subparsers.add_parser("servers", help="list the servers")
    parser.set_defaults(run=_servers)
    cloud_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON array")

    parser = subparsers.add_parser("show", help="show one server and its history")
    parser.set_defaults(run=_show)
    cloud_argument(parser)
    parser.add_argument("server", metavar="SERVER", help="name or uuid")
    parser.add_argument("--json", action="store_true", help="print one JSON object")

    parser = subparsers.add_parser("boot", help="create a server and start it")
    parser.set_defaults(run=_boot)
    cloud_argument(parser)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--vcpus", type=int, default=1, metavar="N")
    parser.add_argument("--memory", type=int, default=512, metavar="MIB", help="default: 512")
    parser.add_argument("--disk", type=int, default=1, metavar="GIB", help="root disk, default: 1")
    parser.add_argument("--host", metavar="HOST", help="on this host only")
    parser.add_argument(
        "--writes",
        default="idle",
        metavar="LAW",
        help="how the guest writes its memory, e.g. 'uniform wss=64MiB rate=51MiB/s'",
    )
    parser.add_argument(
        "--like", metavar="FILE", help="a guest as the one of this recording: its memory, and how it writes"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _hosts(args: Namespace) -> int:
    with open_store(args.cloud) as store:
        rows = []
        for node in every(store, ComputeNode):
            free = room(node)
            rows.append(
                {
                    "host": node.host,
                    "vcpus": free.vcpus + node.vcpus_used,
                    "vcpus_free": free.vcpus,
                    "memory_mb": free.memory_mb + node.memory_mb_used,
                    "memory_mb_free": free.memory_mb,
                    "disk_gb": free.disk_gb + node.local_gb_used,
                    "disk_gb_free": free.disk_gb,
                    "servers": node.running_vms,
                }
                if args.json
                else {
                    "host": node.host,
                    "vcpus free": f"{free.vcpus}/{free.vcpus + node.vcpus_used}",
                    "memory free": f"{free.memory_mb}/{free.memory_mb + node.memory_mb_used} MiB",
                    "disk free": f"{free.disk_gb}/{free.disk_gb + node.local_gb_used} GiB",
                    "servers": node.running_vms,
                }
            )
    show(rows, json_wanted=args.json)
    return 0


def server_row(server: Instance) -> dict[str, Any]:
    """One server as a line of a list."""
    return {
        "name": server.display_name,
        "uuid": server.uuid,
        "status": server_status(server.vm_state, server.task_state),
        "task": server.task_state,
        "power": server.power_state,
        "host": server.host,
    }


def _servers(args: Namespace) -> int:
    with open_store(args.cloud) as store:
        rows = [server_row(server) for server in every(store, Instance) if not server.deleted]
    show(rows, json_wanted=args.json, empty="no servers; 'novastate boot NAME' makes a simulated one")
    return 0


def history_rows(store: Store, uuid: str) -> list[dict[str, Any]]:
    """The history of a server and of its migrations, as lines of a list; `at` is a time with its zone."""

    def row(line: Transition) -> dict[str, Any]:
        return {
            "at": line.at,
            "what": line.kind,
            "field": line.field,
            "from": line.old,
            "to": line.new,
        }

    return [row(line) for line in store.history(uuid)]


def _show(args: Namespace) -> int:
    with open_store(args.cloud) as store:
        server = find_server(store, args.server)
        facts = {
            **server_row(server),
            "vm_state": server.vm_state,
            "vcpus": server.vcpus,
            "memory_mb": server.memory_mb,
            "root_gb": server.root_gb,
            "launched_at": server.launched_at,
            "progress": server.progress,
            **(server.metadata or {}),
        }
        history = history_rows(store, server.uuid)
        last = _last_migration(store, server.uuid)
    if args.json:
        print(as_json({**facts, "last_migration": last, "history": history}))
    else:
        print(pairs(facts | _told(last)))
        print("\nhistory")
        print(history_text(history))
    return 0


def _last_migration(store: Store, uuid: str) -> dict[str, Any] | None:
    """The server's latest live migration with its forecast and statistics; None where there was none."""
    found = [
        migration
        for migration in every(store, Migration, {"instance_uuid": uuid})
        if migration.migration_type is MigrationType.LIVE_MIGRATION
    ]
    if not found:
        return None
    migration = max(found, key=lambda migration: (str(migration.created_at), migration.uuid))
    return {
        "uuid": migration.uuid,
        "status": migration.status,
        "source": migration.source_compute,
        "destination": migration.dest_compute,
        **outcome_of(store, migration),
    }


def _told(last: dict[str, Any] | None) -> dict[str, Any]:
    """The same for a reader."""
    if last is None:
        return {}
    return {
        "last migration": f"{last['source']} to {last['destination'] or '-'}: {last['status']}",
        "forecast": expected_text(last["forecast"]),
        "took": took_text(last["stats"]),
    }


def history_text(rows: list[dict[str, Any]]) -> str:
    """The history as a table of at most 80 columns; times are of the day, in UTC."""
    return columns(
        [
            {
                "at (UTC)": f"{row['at']:%H:%M:%S.%f}"[:-3],
                "of": row["what"],
                **{key: row[key] for key in ("field", "from", "to")},
            }
            for row in rows
        ]
    )


def boot(
    name: str,
    law: str,
    *,
    vcpus: int = 1,
    memory_mb: int = 512,
    root_gb: int = 1,
    host: str | None = None,
    zero_pages: int | None = None,
) -> tuple[Instance, RequestSpec]:
    """The two records of a new server, not stored yet. Raises InvalidField.

    *law* is how its guest writes memory; *zero_pages* how many of its pages are zero (default: a third of those it never writes).
    """
    WriteLaw.parse(law)
    if not name.strip() or len(name) > 255 or not name.isprintable():
        raise InvalidField("name", name, "must have 1 to 255 printable characters")
    for field, value, least in (("vcpus", vcpus, 1), ("memory", memory_mb, 1), ("disk", root_gb, 0)):
        if value < least:
            raise InvalidField(field, value, f"must be {least} or more")
    uuid = str(uuid4())
    flavor = Flavor(
        id=1,
        flavorid=f"{vcpus}-{memory_mb}-{root_gb}",
        name=f"{vcpus} vCPU, {memory_mb} MiB, {root_gb} GiB",
        vcpus=vcpus,
        memory_mb=memory_mb,
        root_gb=root_gb,
        ephemeral_gb=0,
        swap=0,
        extra_specs={},
    )
    instance = Instance(
        uuid=uuid,
        display_name=name,
        flavor=flavor,
        vcpus=vcpus,
        memory_mb=memory_mb,
        root_gb=root_gb,
        ephemeral_gb=0,
        vm_state=VMState.BUILDING,
        task_state=TaskState.SCHEDULING,
        locked=False,
        metadata={LAW_KEY: law} | ({} if zero_pages is None else {ZERO_KEY: str(zero_pages)}),
    )
    spec = RequestSpec(
        instance_uuid=uuid, flavor=flavor, num_instances=1, is_bfv=False, force_hosts=[host] if host else None
    )
    return instance, spec


def like(recording: Recording) -> dict[str, Any]:
    """The arguments of :func:`boot` for a guest as the recorded one was: how it writes, its memory, its zero pages.

    Raises ConvergenceError if the recording does not hold the guest's write law.
    """
    guest = recording.guest("law")
    return {
        "law": str(WriteLaw.from_curve(guest.curve)),
        # Memory that only devices have migrates too; the flavor is what the guest was given.
        "memory_mb": int(guest.memory) >> 20,
        "zero_pages": round(guest.zero_pages),
    }


def _boot(args: Namespace) -> int:
    guest = like(Recording.load(args.like)) if args.like else {"law": args.writes, "memory_mb": args.memory}
    instance, spec = boot(args.name, vcpus=args.vcpus, root_gb=args.disk, host=args.host, **guest)
    with open_cloud(args.cloud) as cloud:
        if cloud.real:
            raise NotSupported(
                "boot makes simulated servers: on real hosts define the guest with libvirt, then adopt it"
            )
        if args.host:
            check_host(cloud.store, args.host)
        namesakes = every(cloud.store, Instance, {"display_name": args.name})
        if any(server.vm_state not in {VMState.ERROR, VMState.DELETED} for server in namesakes):
            raise AlreadyExists("server", args.name)
        cloud.runner.run(build(instance, spec))
        row = server_row(instance)
    print(as_json(plain(row)) if args.json else pairs(row))
    return 0
