"""``novastate adopt``: takes the guests of real libvirt hosts into the cloud file, without touching them.

What is decided about each guest is in :mod:`novastate.flows.adopt`.
"""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import attrs

from novastate.cli.cloud import LIBVIRT, SIMULATED, cloud_argument, every, find_server, kind_of_hosts, lock, open_file
from novastate.cli.libvirt_hosts import LibvirtHost, close, drivers_of, identity, read, write
from novastate.cli.view import as_json, columns
from novastate.drivers import ComputeDriver, HostState, RealClock
from novastate.errors import DriverError, InvalidField, NotFound, NovastateError, StoreError, UnknownName
from novastate.flows import Adopted, Outcome, adopt, adopt_host, survey
from novastate.flows.delete import forget
from novastate.machines import VMState
from novastate.objects import Allocation, ComputeNode, Instance
from novastate.runners import LocalRunner
from novastate.store import Drop, Store

__all__ = ["register", "version"]

#: The outcomes that make the exit status 1.
_BAD = ("silent", str(Outcome.REFUSED), str(Outcome.FAILED))

_MIB = 1 << 20
_NAME = re.compile(r"[\w.-]+")


def register(subparsers: Any) -> None:
    """Adds the sub-command."""
    parser = subparsers.add_parser(
        "adopt",
        help="take the guests of libvirt hosts into the cloud",
        description="Takes the guests of real libvirt hosts into the cloud file as they are, without touching them. Run again, it takes in "
        "what is new and what was changed by hand; nothing is ever removed.",
    )
    parser.set_defaults(run=_adopt)
    cloud_argument(parser)
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME=URI",
        help="a host and the libvirt URI of its daemon; again for each host. Without any, the hosts of the file are asked anew",
    )
    parser.add_argument(
        "--migrate-address",
        action="append",
        default=[],
        metavar="NAME=ADDR",
        help="where migrations to the host connect; default: its host name",
    )
    parser.add_argument(
        "--migrate-uri",
        action="append",
        default=[],
        metavar="NAME=URI",
        help="how the other hosts' daemons reach its daemon; default: the URI of --host, unless that is local",
    )
    parser.add_argument(
        "--line-rate",
        action="append",
        default=[],
        metavar="[NAME=]MIB_S",
        help="what its network can carry in MiB/s, for forecasts; without NAME, of all hosts",
    )
    parser.add_argument(
        "--overcommit",
        action="append",
        default=[],
        metavar="[NAME=]RATIO",
        help="how many times its memory and disk may be given to guests, default: 1; without NAME, of all hosts",
    )
    parser.add_argument(
        "--forget",
        action="append",
        default=[],
        metavar="NAME",
        help="of a host: ask it no more; it must have no servers. Of a server that no host has: mark its record as deleted",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _adopt(args: Namespace) -> int:
    clock = RealClock()
    with open_file(args.cloud, clock) as store, lock(args.cloud):
        kind = kind_of_hosts(store, args.cloud)
        if kind == SIMULATED and store.find(Instance, limit=1):
            raise StoreError(
                f"{args.cloud}: it holds simulated hosts, which are not mixed with real ones: name another file with --cloud"
            )
        revision, known = read(store, args.cloud)
        hosts = _hosts(args, known)
        ratios = _numbers("--overcommit", args.overcommit, hosts)
        gone = _gone(store, hosts, args.forget)
        for name in set(args.forget) & set(hosts):
            _forget(store, hosts, name)
        drivers = drivers_of(hosts, clock)
        if kind == SIMULATED:
            _clear(store)
            print(f"novastate: {args.cloud}: its simulated hosts, never used, make way for real ones", file=sys.stderr)
        if kind != LIBVIRT:
            revision = write(store, 0, {})
        try:
            rows, guests = _take(store, drivers, clock, hosts, known, revision, ratios, gone)
        finally:
            close(drivers)
    _show(args, rows, guests)
    bad = [f"{row['host']}: {row['what']}" for row in rows if row["outcome"] in _BAD]
    bad += [f"{guest.name}: {guest.outcome}: {guest.what}" for guest in guests if str(guest.outcome) in _BAD]
    for line in bad:
        print(f"novastate: {line}", file=sys.stderr)
    return 1 if bad else 0


def _clear(store: Store) -> None:
    """Takes the simulated hosts, which hold nothing, out of the file: looking at a file that was not there had made them."""
    store.commit(*(Drop(node) for node in every(store, ComputeNode)))
    store.put_document(SIMULATED, {}, store.get_document(SIMULATED)[0])


def _take(
    store: Store,
    drivers: Mapping[str, ComputeDriver],
    clock: RealClock,
    hosts: Mapping[str, LibvirtHost],
    known: Mapping[str, LibvirtHost],
    revision: int,
    ratios: Mapping[str, float],
    gone: Iterable[Instance],
) -> tuple[list[dict[str, Any]], list[Adopted]]:
    """Asks the hosts, and records them and their guests; what came of each host, and of each guest."""
    runner = LocalRunner(store, drivers, clock)
    uuids, silent = _identities(drivers, known)
    found = runner.run(survey(uuids))
    found = attrs.evolve(found, silent={**found.silent, **silent})
    guests: list[Adopted] = []
    for server in gone:
        for where in found.guests.get(server.uuid, {}):
            raise InvalidField("--forget", server.display_name or server.uuid, f"{where} has it: it is not gone")
    for server in gone:
        ended = runner.run(forget(server.uuid, found.states))
        what = "forgotten: its record says that it was deleted"
        guests.append(Adopted(ended.uuid, ended.display_name or ended.uuid, ended.host, Outcome.GONE, what))
    # A host that never answered has no record, and is not kept; nor is another URI of a known one.
    kept = {
        name: attrs.evolve(host, uuid=uuids[name] or host.uuid)
        if name in found.states
        else attrs.evolve(host, uri=known[name].uri)
        for name, host in hosts.items()
        if name in found.states or name in known
    }
    for name in set(known) - set(hosts):
        with suppress(NotFound):
            store.commit(Drop(store.load(ComputeNode, name)))
    if kept != known:
        write(store, revision, kept)
    rows: list[dict[str, Any]] = []
    for name, host in hosts.items():
        state = found.states.get(name)
        if state is None:
            rows.append({"host": name, "outcome": "silent", "what": found.silent[name], "uri": host.shown})
            continue
        try:
            outcome = runner.run(adopt_host(state, overcommit=ratios.get(name)))
        except NovastateError as error:
            rows.append({"host": name, "outcome": str(Outcome.FAILED), "what": str(error), "uri": host.shown})
            continue
        if outcome is Outcome.KNOWN and known.get(name) != host:
            outcome = Outcome.CHANGED
        what = _resources(state)
        if not host.peer and len(hosts) > 1:
            what += f"; before migrations to it, give --migrate-uri {name}=URI"
        rows.append({"host": name, "outcome": str(outcome), "what": what, "uri": host.shown})
    known_as = {uuid: info.name for uuid, seen in found.guests.items() for info in seen.values()}
    known_as |= {
        server.uuid: server.display_name or server.uuid
        for server in every(store, Instance)
        if server.vm_state is not VMState.DELETED
    }
    for uuid, called in known_as.items():
        try:
            guests.append(runner.run(adopt(uuid, found)))
        except NovastateError as error:  # it holds no other up
            guests.append(Adopted(uuid, called, None, Outcome.FAILED, str(error)))
    return rows, sorted(guests, key=lambda guest: (guest.name, guest.uuid))


def _identities(
    drivers: Mapping[str, ComputeDriver], known: Mapping[str, LibvirtHost]
) -> tuple[dict[str, str], dict[str, str]]:
    """The UUID of each host that answers, and the words of those that do not. Raises InvalidField where a name is another's."""
    uuids: dict[str, str] = {}
    silent: dict[str, str] = {}
    for name, driver in drivers.items():
        try:
            uuids[name] = identity(driver)
        except DriverError as error:
            silent[name] = error.text
    names: dict[str, str] = {}
    for name in drivers:
        before = known[name].uuid if name in known else ""
        uuid = uuids.get(name) or before
        if before and uuid != before:
            problem = (
                f"is another host than before (its UUID was {before}): use another name, or first '--forget {name}'"
            )
            raise InvalidField("--host", name, problem)
        other = names.setdefault(uuid, name) if uuid else name
        if other != name:
            problem = f"{other} and {name} are one host: each guest would be on both"
            raise InvalidField("--host", f"UUID {uuid}", problem)
    return uuids, silent


def _resources(state: HostState) -> str:
    return (
        f"{state.hypervisor_type} {version(state.hypervisor_version)}, {state.vcpus} CPUs, "
        f"{state.memory_mb} MiB, {state.disk_gb} GiB of disk"
    )


def version(number: int) -> str:
    """A version that libvirt gives as a number: 10000002 is 10.0.2."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _show(args: Namespace, rows: list[dict[str, Any]], guests: list[Adopted]) -> None:
    if args.json:
        print(as_json({"hosts": rows, "servers": [attrs.asdict(guest) for guest in guests]}))
        return
    print(columns([{key: row[key] for key in ("host", "outcome", "what")} for row in rows]))
    namesakes = _namesakes(guests)
    for guest in guests:
        name = f"{guest.name} ({guest.uuid})" if guest.name in namesakes else guest.name
        print(f"{guest.outcome!s:<8} {name}: {guest.what}")
    if not guests:
        print("the hosts have no guests")


def _namesakes(guests: Iterable[Adopted]) -> set[str]:
    """Names that several have: those are to be called by their uuids."""
    return {name for name, count in Counter(guest.name for guest in guests).items() if count > 1}


# --- the options


def _hosts(args: Namespace, known: Mapping[str, LibvirtHost]) -> dict[str, LibvirtHost]:
    """All hosts, the file's and those of the options. Raises InvalidField, UnknownName."""
    hosts = dict(known)
    for name, uri in _pairs("--host", args.host):
        if not uri:
            raise InvalidField("--host", name, "needs a libvirt URI, as in a=qemu+ssh://a.example/system")
        hosts[name] = attrs.evolve(hosts[name], uri=uri) if name in hosts else LibvirtHost(uri)
    if not hosts:
        raise InvalidField("--host", None, "is needed: the file has no hosts yet")

    for name, address in _pairs("--migrate-address", args.migrate_address):
        hosts[name] = attrs.evolve(_of(hosts, name), address=address)
    for name, uri in _pairs("--migrate-uri", args.migrate_uri):
        hosts[name] = attrs.evolve(_of(hosts, name), migrate_uri=uri)
    for name, rate in _numbers("--line-rate", args.line_rate, hosts).items():
        hosts[name] = attrs.evolve(hosts[name], line_rate=rate * _MIB)
    uris: dict[str, str] = {}
    for name, host in hosts.items():
        other = uris.setdefault(host.uri, name)
        if other != name:
            raise InvalidField("--host", host.shown, f"{other} and {name} are one host: each guest would be on both")
    return hosts


def _of(hosts: Mapping[str, LibvirtHost], name: str) -> LibvirtHost:
    if name not in hosts:
        raise UnknownName("host", name, hosts)
    return hosts[name]


def _gone(store: Store, hosts: Mapping[str, LibvirtHost], names: Iterable[str]) -> list[Instance]:
    """The servers among *names*. Raises UnknownName, InvalidField."""
    servers: dict[str, Instance] = {}
    for name in names:
        if name in hosts:
            continue
        try:
            server = find_server(store, name)
        except UnknownName as error:
            shown = "…" if "://" in name else name
            raise UnknownName("host or server", shown, {*hosts, *error.known}) from None
        if server.deleted:
            raise InvalidField("--forget", name, "is deleted already")
        servers[server.uuid] = server
    return list(servers.values())


def _forget(store: Store, hosts: dict[str, LibvirtHost], name: str) -> None:
    """Drops a host from *hosts*. Raises InvalidField."""
    if store.find(Allocation, limit=1, host=name):
        problem = "has servers ('novastate servers'): move or delete them, or --forget those that are gone, first"
        raise InvalidField("--forget", name, problem)
    del hosts[name]


def _pairs(option: str, given: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not _NAME.fullmatch(name):  # and it may be a URI with a password: it is not shown
            raise InvalidField(option, "…", "must be NAME=VALUE, the name of letters, digits, '.', '_' and '-'")
        yield name, value


def _numbers(option: str, given: Iterable[str], hosts: Mapping[str, LibvirtHost]) -> dict[str, float]:
    """The numbers of ``[NAME=]NUMBER`` by host. Raises UnknownName, InvalidField."""
    found: dict[str, float] = {}
    for text in given:
        name, _, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 < number < 1e9:  # and it may be a URI with a password: it is not shown
            raise InvalidField(option, "…", "must be a number above 0")
        if name and name not in hosts:
            raise UnknownName("host", name if _NAME.fullmatch(name) else "…", hosts)
        found |= dict.fromkeys([name] if name else hosts, number)
    return found
