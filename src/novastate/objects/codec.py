"""What reads and writes one class in one format: built from its declared fields, compiled, or as generated Python.

A format is a :class:`~novastate.objects.steps.Profile` and, for a class, a :class:`Reading` and a :class:`Writing`. From these,
:func:`reader` and :func:`writer` make the function: by the compiled classes of :mod:`novastate._native` where they run, else by
:mod:`~novastate.objects.codegen`. Both do the same.

Only the straight road is built in: the common values of each kind are recognised by their type, and whatever else comes goes to the
field's own check or to a step, which know the errors. An object is made past its constructor, of values that were checked on the way.
"""

import functools
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import attrs

from novastate._native.codec import CODEC
from novastate.errors import InvalidField, WireError
from novastate.objects import codegen
from novastate.objects.base import MASK, Field, fields, is_mutable, per_class, root, tracked
from novastate.objects.checks import Check, ProblemError, check_json, is_ip
from novastate.objects.kinds import Kind
from novastate.objects.marks import I64, UUID, Ip, Pattern
from novastate.objects.past import LOADED
from novastate.objects.steps import Late, Profile, Step, dump_field, load_field, under
from novastate.objects.values import EMPTY, UNSET, FrozenDict

__all__ = ["Reading", "Row", "Writing", "reader", "rows", "writer"]


class Row(NamedTuple):
    """One field in one format."""

    field: Field
    #: The name of its member.
    key: str
    #: What reads and writes its values; None: the field's own check, and nothing.
    load: Step | None
    dump: Step | None
    #: What takes a value that is not as usual, or refuses it.
    check: Check
    #: What raises an error of its step, with the way to it.
    wrong: Callable[[InvalidField], NoReturn]


class Reading(NamedTuple):
    """How a format reads a class."""

    rows: Sequence[Row]
    #: What stands for a member that is not there.
    absent: Callable[[Field], Any]
    #: Refuses what is no object; of an envelope that is not as usual it makes the data and the past.
    opening: Callable[[Any], Any]
    #: Sees to the members that are no fields: refuses them, or does what they say to the object, and returns its past, or None.
    surplus: Callable[[Any, Any], Any]
    #: The name, namespace and version of an envelope that is as usual; None: there are no envelopes.
    envelope: tuple[str, str, str] | None = None
    #: What makes today's data of what came, and how many members it adds.
    prepare: Callable[[Any], Any] | None = None
    adds: int = 0
    #: Is asked, where a required field was not given.
    lacking: Callable[[Any, Any], None] | None = None


class Writing(NamedTuple):
    """How a format writes a class."""

    rows: Sequence[Row]
    #: What is in all: member and value.
    constants: Mapping[str, Any] = EMPTY
    #: The member that names the fields that are not set, and which of them it names.
    unset_key: str = ""
    lacks: Callable[[Field], bool] = lambda _: False
    #: The member for a past with a version, and what goes there.
    past: tuple[str, Callable[[Any], Any]] | None = None
    #: The name, namespace and version of the envelope, and what puts into it what an unusual past tells, and returns the changes.
    envelope: tuple[str, str, str, Callable[[Any, Any, Any], list[str]]] | None = None
    #: Whether what was written of a field may tell of changes: 1, it is an envelope; 2, it is a list of them; 0, it may not.
    inner: Callable[[Row], int] = lambda _: 0


def rows(cls: Any, profile: Profile, keys: Callable[[Field], str]) -> Sequence[Row]:
    """The fields of *cls* in a format; *keys* says how a field is called there, "" that it is not there."""
    at = root(cls)
    return [
        Row(
            field,
            key,
            load_field(field, profile),
            dump_field(field, profile),
            check,
            functools.partial(_wrong, f"{at}.{field.name}", field.secret),
        )
        for field, check in zip(fields(cls).values(), _checks(cls), strict=True)
        if (key := keys(field))
    ]


def _wrong(where: str, secret: bool, error: InvalidField) -> NoReturn:
    found = under(error, where)
    raise (WireError(found.field, MASK, found.problem, found.allowed) if secret else found) from None


# --- the checks of what comes from outside


@per_class
def _checks(cls: type[Any]) -> tuple[Check, ...]:
    """The check of each field; for the containers that are often met, with a quicker one before it."""
    kinds = (field.kind for field in fields(cls).values())
    return tuple(
        _quick(kind, _of_wire(attribute.converter)) for kind, attribute in zip(kinds, attrs.fields(cls), strict=True)
    )


def _of_wire(take: Check) -> Check:
    def check(value: Any) -> Any:
        try:
            return take(value)
        except InvalidField as error:
            raise WireError(error.field, error.value, error.problem, error.allowed) from None

    return check


def _quick(kind: Kind, check: Check) -> Check:
    simple = {"int": int, "str": str}
    match kind:
        case Kind("json") | Kind("map", args=(_, Kind("json"))):

            def freeze(value: Any) -> Any:
                try:
                    return check_json(value) if value.__class__ is dict else check(value)
                except ProblemError:
                    return check(value)

            return freeze
        case Kind("map", args=(Kind("str"), Kind("int" | "str" as tag, args=()))):
            of = simple[tag]

            def name(value: Any) -> Any:
                plain = value.__class__ is dict and _are_simple(value, str) and _are_simple(value.values(), of)
                return FrozenDict(value) if plain else check(value)

            return name
        case Kind("set", args=(Kind("int" | "str" as tag, args=()),)):
            of = simple[tag]
            return lambda value: (
                frozenset(value) if value.__class__ is list and _are_simple(value, of) else check(value)
            )
        case Kind("str", args=Ip(version=version)):
            return lambda value: value if value.__class__ is str and is_ip(value, version) else check(value)
        case Kind("str", args=Pattern(regex=regex)):
            matches = re.compile(regex).fullmatch
            return lambda value: value if value.__class__ is str and matches(value) else check(value)
        case _:
            return check


def _are_simple(held: Collection[Any], of: type[Any]) -> bool:
    """Whether all are whole numbers, or texts, none of them unusual."""
    if set(map(type, held)) != {of}:
        return False
    return "".join(held).isascii() if of is str else min(held) >= -I64 and max(held) < I64


# --- the choice


def reader(cls: type[Any], reading: Reading) -> Step:
    """What reads an object of *cls*."""
    if CODEC is None:
        return codegen.reader(cls, reading)
    given = {row.field.name for row in reading.rows}
    made: Step = CODEC.Reader(
        cls,
        [
            (row.field.name, row.key, *_read(row), reading.absent(row.field), row.check, row.wrong)
            for row in reading.rows
        ],
        [(name, reading.absent(field)) for name, field in fields(cls).items() if name not in given],
        tracked(cls) if is_mutable(cls) else None,
        [row.field.name for row in reading.rows if row.field.required] if reading.lacking else [],
        (*reading.envelope, reading.opening) if reading.envelope else reading.opening,
        reading.prepare,
        reading.adds,
        reading.surplus,
        reading.lacking,
        (UNSET, EMPTY, LOADED, InvalidField),
    )
    for index, row in enumerate(reading.rows):
        if isinstance(row.load, Late):
            row.load.kept(made, index)
    return made


#: Whole numbers up to this are floats too, each another one.
_EXACT = 2**53


def _read(row: Row) -> tuple[str, bool, int, int, Any]:
    """How the compiled reader knows the usual values of a field: kind, whether None is one, range, and what it needs."""
    kind, nullable = row.field.kind, row.field.nullable
    least, most = -I64, I64 - 1
    if row.load is not None:
        return ("time" if kind.tag == "datetime" else "step"), nullable, 0, 0, row.load
    match kind:
        case Kind("int", args=edges):
            least, most = (int(max(least, min(edge, most))) for edge in edges or (least, most))
            return "int", nullable, least, most, None
        case Kind("float", args=edges):  # what no float tells from its neighbours is left to the check
            least, most = edges or (-_EXACT, _EXACT)
            return "float", nullable, math.ceil(max(least, -_EXACT)), math.floor(min(most, _EXACT)), None
        case Kind("str", args=()) | Kind("bool" | "seq" | "set"):
            return kind.tag, nullable, 0, 0, None
        case Kind("str", args=Pattern(regex=regex)) if regex == UUID:
            return "uuid", nullable, 0, 0, None
        case Kind("map", args=(Kind("str"), Kind("str", args=()))):
            return "texts", nullable, 0, 0, None
        case Kind("map" | "json"):
            return "map", nullable, 0, 0, None
        case Kind("enum", args=(enum,)):
            return "enum", nullable, 0, 0, {m.value: m for m in enum if type(m.value) in {str, int, type(None)}}
        case Kind("literal"):
            return "literal", nullable, 0, 0, frozenset(kind.args)
        case _:
            return "check", nullable, 0, 0, None


def writer(cls: type[Any], writing: Writing) -> Step:
    """What writes an object of *cls*."""
    if CODEC is None:
        return codegen.writer(cls, writing)
    made: Step = CODEC.Writer(
        cls,
        [
            (row.field.name, row.key, _form(row, writing), row.dump, writing.inner(row), writing.lacks(row.field))
            for row in writing.rows
        ],
        dict(writing.constants),
        writing.unset_key,
        writing.past,
        writing.envelope,
        is_mutable(cls),
        (UNSET, LOADED),
    )
    for index, row in enumerate(writing.rows):
        if isinstance(row.dump, Late):
            row.dump.kept(made, index)
    return made


def _form(row: Row, writing: Writing) -> str:
    if row.dump is None:
        return "as it is"
    if row.field.kind.tag == "enum":
        return "enum"
    if row.field.kind.tag == "datetime" and writing.envelope:
        return "time"
    return _CONTAINERS.get(row.dump, "call")


_CONTAINERS: Mapping[Any, str] = {list: "list", dict: "dict", sorted: "sorted"}
