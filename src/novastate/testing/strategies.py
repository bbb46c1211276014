"""Hypothesis strategies for domain objects: ``instances()``, ``migrations()`` and their kin.

Rules of this file:

1. What a field may hold is read from its declaration, so a new field is tested the day it is declared.
2. An example is a whole record, and a handful of fields that were given another value out of a pool of telling ones: edges of
   ranges, None, empty and awkward texts, nested records. Drawing is a look-up; an example costs well under a millisecond.
3. *partial* also leaves fields UNSET, those too that a whole record has.

Each strategy takes fields by name, as values or strategies: ``instances(vm_state=VMState.ACTIVE)``. With this module imported,
hypothesis knows the types too: ``st.from_type(Instance)``, and ``st.builds`` of a class that has an Instance.
It needs hypothesis and is imported by nothing else.
"""

import functools
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from novastate.machines import MIGRATION_MACHINES, MigrationStatus, MigrationType
from novastate.objects import (
    UNSET,
    Allocation,
    ComputeNode,
    Flavor,
    Instance,
    LibvirtLiveMigrateData,
    Migration,
    RequestSpec,
)
from novastate.objects.base import Field, Record, declared, fields
from novastate.objects.kinds import Kind
from novastate.objects.marks import Pattern

__all__ = [
    "allocations",
    "compute_nodes",
    "flavors",
    "instances",
    "live_migrate_data",
    "migrations",
    "records",
    "request_specs",
    "uuids",
]

R = TypeVar("R", bound=Record)

_TEXTS = ("", "a", "cmp-a.dc1", "ä ß 名", 'quote " and \\ and \n', "\u2028\x00\x7f", "x" * 300)
_INTS = (0, 1, 7, -1, 2**31, 2**63 - 1, -(2**63))
_FLOATS = (0.0, 1.0, 0.5, 16.0, 1e300)
_TIMES = (
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2026, 8, 1, 12, 30, 59, 999999, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
)
_JSON: tuple[Any, ...] = (None, {}, [], "text", 7, 0.5, False, {"a": [1, None, {"b": "c"}], "d": {}})
_IPS = {0: ("10.0.8.18", "::1"), 4: ("10.0.8.18", "0.0.0.0"), 6: ("fe80::1", "::")}  # noqa: S104  (a text)
#: One or more texts for each pattern that is declared.
_MATCHING = {
    "a UUID": ("00001111-0001-4001-8001-00000000f779", "ABCDEF00111122223333444455556666"),
    "a PCI address": ("0000:01:00.0", "ffff:ff:1f.7"),
    "a USB address": ("0:1",),
    "a SCSI address": ("1:0:2:0",),
    "an IDE address": ("0:1",),
    "a Xen address": ("000100", "51712"),
    "a network, as 10.0.0.0/24": ("10.0.8.0/24", "fd00::/8"),
    "a MAC address": ("fa:16:3e:00:00:08",),
    "a version predicate, e.g. '>=6.1, !=7.0'": (">=6.1", " ==1.0rc1 ,!=2!7.0.post1"),
    "a resource class": ("VCPU", "CUSTOM_PMEM_NAMESPACE_4GB"),
}


def _pool(kind: Kind) -> Iterator[Any]:
    """Telling values of a kind, the plainest first."""
    match kind.tag:
        case "bool":
            yield from (False, True)
        case "int" | "float":
            numbers: tuple[float, ...] = _INTS if kind.tag == "int" else _FLOATS
            least, most = kind.args or (-(2**63), 1e308)
            yield from (n for n in numbers if least <= n <= most)
        case "str" if kind.args and isinstance(kind.args, Pattern):
            yield from _MATCHING[kind.args.called]
        case "str" if kind.args:
            yield from _IPS[kind.args[0]]
        case "str":
            yield from _TEXTS
        case "datetime":
            yield from _TIMES
        case "enum":
            yield from kind.args[0]
        case "literal":
            yield from kind.args
        case "json":
            yield from _JSON
        case "seq" | "set":
            few = tuple(islice(_pool(kind.args[0]), 3))
            yield from ((), few[:1], few)
        case "map":
            few = tuple(islice(_pool(kind.args[1]), 3))
            yield {}
            yield {"a": few[0]}
            yield dict(zip(("", "password_0", "ключ"), (*few, *few, *few), strict=False))
        case "nullable":
            first, *rest = _pool(kind.args[0])
            yield from (first, None, *rest)
        case "any record":
            subclasses: list[Any] = [cls for cls in declared().values() if issubclass(cls, kind.args[0])]
            for cls in subclasses:
                yield from _some(cls)
        case _:
            yield from _some(kind.args[0])


@functools.cache
def _some(cls: Any) -> tuple[Any, ...]:
    """A few objects of *cls*: the least one, one with every field at its plainest value, one with every field at its last."""
    table = fields(cls)
    least = {name: next(_pool(field.kind)) for name, field in table.items() if field.required}
    every = {name: tuple(_pool(field.kind)) for name, field in table.items()}
    first, last = ({name: pool[end] for name, pool in every.items()} for end in (0, -1))
    return (cls(**least), cls(**least | first), cls(**least | last))


def _choices(field: Field, partial: bool) -> list[Any]:
    pool = list(_pool(field.kind))
    if field.nullable:
        pool.append(None)
    if field.optional or partial:
        pool.append(UNSET)
    return pool


@functools.cache
def _changes(cls: Any, partial: bool, fixed: frozenset[str]) -> SearchStrategy[list[tuple[str, Any]]]:
    """A handful of fields, each with another value."""
    pairs = [
        (name, choice)
        for name, field in fields(cls).items()
        if name not in fixed
        for choice in _choices(field, partial)
    ]
    return st.lists(st.sampled_from(pairs), max_size=8) if pairs else st.just([])


def _draw(draw: DrawFn, held: Any) -> Any:
    """*held* itself, or what it draws."""
    if isinstance(held, SearchStrategy):
        strategy: SearchStrategy[Any] = held
        return draw(strategy)
    return held


@st.composite
def _drawn(draw: DrawFn, cls: Any, partial: bool, fixed: Mapping[str, Any]) -> Any:
    given = dict(draw(_changes(cls, partial, frozenset(fixed))))
    for name, held in fixed.items():
        given[name] = _draw(draw, held)
    for name, field in fields(cls).items():
        if field.required and name not in given:
            given[name] = next(_pool(field.kind))
    return cls(**given)


def records(cls: type[R], *, partial: bool = False, **given: Any) -> SearchStrategy[R]:
    """Objects of any record class; *given* fields hold what they are given, a value or a strategy."""
    return cast("SearchStrategy[R]", _drawn(cls, partial, given))


def uuids() -> SearchStrategy[str]:
    """Texts in the usual form of a UUID."""
    return st.integers(0, 2**128 - 1).map(lambda number: str(uuid.UUID(int=number)))


def flavors(*, partial: bool = False, **given: Any) -> SearchStrategy[Flavor]:
    """Flavors of up to 512 CPUs and 4 TiB."""
    given = {"vcpus": st.integers(1, 512), "memory_mb": st.integers(1, 1 << 22), **given}
    return records(Flavor, partial=partial, **given)


def instances(*, partial: bool = False, **given: Any) -> SearchStrategy[Instance]:
    """Instances in any combination of states."""
    given = {"uuid": uuids(), "flavor": flavors(), **given}
    return records(Instance, partial=partial, **given)


def migrations(*, partial: bool = False, **given: Any) -> SearchStrategy[Migration]:
    """Migrations of each type (or of the given *migration_type*), in a status that its machine can reach."""

    def of_type(kind: MigrationType) -> SearchStrategy[Migration]:
        machine = MIGRATION_MACHINES[kind]
        reached = machine.reachable
        statuses = [s for s in MigrationStatus if s in reached]
        chosen = {"status": st.sampled_from(statuses), "uuid": uuids(), "instance_uuid": uuids(), **given}
        return records(Migration, partial=partial, **chosen | {"migration_type": kind})

    wanted = given.get("migration_type")
    return st.one_of([of_type(kind) for kind in MigrationType if wanted in {None, kind, kind.value}])


def request_specs(*, partial: bool = False, **given: Any) -> SearchStrategy[RequestSpec]:
    """Requests for a placement."""
    given = {"instance_uuid": uuids(), "flavor": flavors(), **given}
    return records(RequestSpec, partial=partial, **given)


def compute_nodes(*, partial: bool = False, **given: Any) -> SearchStrategy[ComputeNode]:
    """Hosts, with some of what they have in use."""
    return records(ComputeNode, partial=partial, **{"host": st.sampled_from(["cmp-a", "cmp-b", "cmp-c"]), **given})


def live_migrate_data(*, partial: bool = False, **given: Any) -> SearchStrategy[LibvirtLiveMigrateData]:
    """What two libvirt hosts tell each other."""
    return records(LibvirtLiveMigrateData, partial=partial, **given)


def allocations(*, partial: bool = False, **given: Any) -> SearchStrategy[Allocation]:
    """Room that is held on a host."""
    return records(Allocation, partial=partial, **{"consumer": uuids(), **given})


for _cls in declared().values():
    st.register_type_strategy(_cls, records)
st.register_type_strategy(Flavor, flavors())
st.register_type_strategy(Instance, instances())
st.register_type_strategy(Migration, migrations())
st.register_type_strategy(RequestSpec, request_specs())
st.register_type_strategy(ComputeNode, compute_nodes())
st.register_type_strategy(Allocation, allocations())
