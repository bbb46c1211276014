"""Objects as plain JSON, and back.

Rules of this file:

1. The JSON of a record is one object with a member for each field that was loaded, under the field's name. Enums are their
   values, times ISO 8601 in UTC, sets sorted lists. What comes back equals what went out, UNSET fields included.
2. A member that is left out has its default: UNSET for most. Where a field has another default and holds UNSET all the same,
   the member ``"$unset"`` names it. Where a subclass stands for its base (a bus, a device), ``"$type"`` names the class. What a
   newer Nova said that we do not know is kept in ``"$wire"``. A class whose form has changed says so with ``"$schema"``, and what
   an older version wrote is brought up (:mod:`~novastate.objects.schema`).
3. Nothing is dropped in silence. A member that is no field, or is given twice, a value that its field cannot take, a field that is
   missing: each is a :class:`~novastate.errors.WireError` with the full path (``request_spec.flavor.vcpus``).
4. Secrets are written: this is how a record is kept. To show one, use its repr.
5. What is read has no :func:`~novastate.objects.tracking.changes`: it is what was kept.

:mod:`~novastate.objects.converters` puts the same form into a cattrs converter, for those who have classes of their own around ours.
"""

import functools
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, cast

from novastate.errors import WireError, near
from novastate.objects import codec, schema
from novastate.objects.base import Field, Record, TypeName, declared, fields, per_class, root
from novastate.objects.checks import ProblemError, check_datetime
from novastate.objects.json_text import LIMIT, encode, parse
from novastate.objects.past import LOADED, Past
from novastate.objects.steps import Late, Step, kept_unknown, thaw, type_of
from novastate.objects.values import EMPTY, UNSET

__all__ = ["dumps", "loads", "structure", "subclasses", "unstructure"]

R = TypeVar("R", bound=Record)

#: What converts an inner record of this class.
Inner = Callable[[type[Any]], Step]

_UNSET_KEY, TYPE_KEY, _WIRE_KEY = "$unset", "$type", "$wire"
_OURS = frozenset({_UNSET_KEY, _WIRE_KEY, schema.KEY})


# --- in and out


def dumps(obj: Record) -> bytes:
    """*obj* as JSON in UTF-8, compact, members in the order of the fields.

    >>> from novastate.objects import VirtCPUTopology
    >>> dumps(VirtCPUTopology(sockets=2))
    b'{"sockets":2,"cores":1,"threads":1}'
    """
    return encode(unstructure(obj))


def loads(cls: type[R], data: bytes | str, *, limit: int = LIMIT) -> R:
    """The object of *cls* that :func:`dumps` wrote; :class:`~novastate.errors.WireError` if *data* is not one.

    *limit*: bytes that *data* may have.

    >>> from novastate.objects import Flavor
    >>> loads(Flavor, b'{"vcpus": 1, "memory_mb": 64, "swop": 1}')
    Traceback (most recent call last):
    ...
    novastate.errors.WireError: flavor.swop: is no field of Flavor, got 'swop'; allowed: swap
    """
    return structure(cls, parse(data, limit))


def unstructure(obj: Record) -> dict[str, Any]:
    """*obj* as dicts, lists and scalars, ready for any JSON library."""
    return cast("dict[str, Any]", _plain_dumper(type(obj))(obj))


def structure(cls: type[R], data: object) -> R:
    """The object of *cls* that *data* (what a JSON library has parsed) describes."""
    return cast("R", _plain_loader(cls)(data))


@per_class
def _plain_dumper(cls: type[Any]) -> Step:
    return dumper(cls, Plain(_plain_loader, _plain_dumper))


@per_class
def _plain_loader(cls: type[Any]) -> Step:
    return loader(cls, Plain(_plain_loader, _plain_dumper))


# --- the format


class Plain(NamedTuple):
    """Plain JSON, as a :class:`~novastate.objects.steps.Profile`; inner records by *loader* and *dumper*."""

    loader: Inner
    dumper: Inner

    def load_record(self, cls: type[Any], polymorphic: bool) -> Step:
        return functools.partial(load_any, cls, self.loader) if polymorphic else Late(self.loader, cls)

    def dump_record(self, cls: type[Any], polymorphic: bool) -> Step:
        return functools.partial(dump_any, cls, self.dumper) if polymorphic else Late(self.dumper, cls)

    @property
    def load_form(self) -> None:
        return None

    @property
    def dump_form(self) -> None:
        return None

    @property
    def dump_json(self) -> Step:
        return thaw

    def load_time(self, held: Any) -> datetime:
        return _load_datetime(held)

    def dump_time(self, held: datetime) -> str:
        return held.isoformat()


# --- out


def dumper(cls: type[Any], plain: Plain) -> Step:
    number = schema.number(cls)
    return codec.writer(
        cls,
        codec.Writing(
            codec.rows(cls, plain, lambda field: field.name),
            constants={schema.KEY: number} if number > 1 else EMPTY,
            unset_key=_UNSET_KEY,
            lacks=lambda field: not _may_lack(field),
            past=(_WIRE_KEY, _dump_past),
        ),
    )


def _may_lack(field: Field) -> bool:
    """Whether a member that is not there says that the field is UNSET."""
    return field.default is UNSET and not field.required


def _dump_past(past: Past) -> dict[str, Any]:
    return {"version": past.version, "unknown": thaw(past.unknown)}


def dump_any(base: type[Any], inner: Inner, held: Any) -> dict[str, Any]:
    cls = type(held)
    out = cast("dict[str, Any]", inner(cls)(held))
    return out if cls is base else {TYPE_KEY: cls.__name__, **out}


# --- in


def loader(cls: type[Any], plain: Plain) -> Step:
    table = codec.rows(cls, plain, lambda field: field.name)
    required = [row.field.name for row in table if row.field.required]
    changed = schema.number(cls) > 1  # then the number is among the members
    return codec.reader(
        cls,
        codec.Reading(
            table,
            absent=lambda field: field.default,
            opening=functools.partial(_refuse, root(cls)),
            prepare=functools.partial(_todays, cls, schema.number(cls)) if changed else None,
            adds=int(changed),
            surplus=functools.partial(_surplus, cls),
            lacking=functools.partial(_lacking, root(cls), required),
        ),
    )


def _todays(cls: type[Any], number: int, data: Any) -> Any:
    held = data.get(schema.KEY)
    return data if held.__class__ is int and held == number else schema.upgraded(cls, data)


def _refuse(at: str, data: object) -> None:
    raise WireError(at, type_of(data), "must be an object")


def _surplus(cls: type[Any], obj: Any, data: Mapping[str, Any]) -> Past:
    """Sees to the members that are no fields: returns the past that they tell, or refuses them."""
    at, table = root(cls), fields(cls)
    for key in data:
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]  (not every dict comes from JSON)
            raise WireError(at, type_of(key), "has a member whose name is no text")
        if key not in table and key not in _OURS and not (key == TYPE_KEY and data[key] == cls.__name__):
            raise _unknown(cls, at, key)
    schema.check_number(cls, data)
    for name in _unset_fields(cls, at, data):
        object.__setattr__(obj, name, UNSET)
    return _load_past(cls, at, data[_WIRE_KEY]) if _WIRE_KEY in data else LOADED


def _load_past(cls: type[Any], at: str, held: Any) -> Past:
    match held:
        case {"version": str(version), "unknown": dict(unknown), **rest} if not rest:
            from novastate.objects.nova.versions import current  # noqa: PLC0415  (it stands on this file)
            from novastate.objects.nova.versions import parse as parse_version  # noqa: PLC0415  (the same)

            if parse_version(version, f"{at}.{_WIRE_KEY}.version")[0] != parse_version(current(cls.__name__))[0]:
                raise WireError(f"{at}.{_WIRE_KEY}.version", version, "is of another major version")
            return Past(version=version, unknown=kept_unknown(unknown, f"{at}.{_WIRE_KEY}.unknown"))
        case _:
            raise WireError(
                f"{at}.{_WIRE_KEY}", TypeName(type(held).__name__), "must hold a version and the fields unknown to us"
            )


def _lacking(at: str, required: list[str], obj: Any, data: Mapping[str, Any]) -> None:
    for name in sorted(required):
        if getattr(obj, name) is UNSET and name not in data.get(_UNSET_KEY, ()):
            raise WireError(f"{at}.{name}", TypeName("nothing"), "must be given")


def _unset_fields(cls: type[Any], at: str, data: Mapping[str, Any]) -> list[str]:
    held = data.get(_UNSET_KEY, [])
    if not isinstance(held, list):
        raise WireError(f"{at}.{_UNSET_KEY}", type_of(held), "must be a list of field names")
    names: list[Any] = held
    table = fields(cls)
    for name in names:
        if not isinstance(name, str):
            raise WireError(f"{at}.{_UNSET_KEY}", type_of(name), "must be a list of field names")
        if name not in table:
            raise _unknown(cls, at, name)
        if name in data:
            raise WireError(f"{at}.{name}", name, f"has a value and is in {_UNSET_KEY}")
    return names


def load_any(base: Any, inner: Inner, held: Any) -> Any:
    if not isinstance(held, dict) or TYPE_KEY not in held:
        return inner(base)(held)
    named = cast("dict[str, Any]", held)
    known = subclasses(base)
    name = named[TYPE_KEY]
    if not isinstance(name, str) or name not in known:
        raise WireError(f"{root(base)}.{TYPE_KEY}", type_of(name), "is no such class", known)
    return inner(known[name])(held)


@per_class
def subclasses(base: Any) -> dict[str, type[Any]]:
    """The records that may stand where *base* is declared polymorphic, by name."""
    return {name: cls for name, cls in declared().items() if issubclass(cls, base)}


def _load_datetime(held: Any) -> datetime:
    try:
        read: datetime = check_datetime(datetime.fromisoformat(held))
    except (TypeError, ValueError, ProblemError):
        raise WireError("", type_of(held), "must be a time in ISO 8601") from None
    return read


def _unknown(cls: type[Any], at: str, name: object) -> WireError:
    if isinstance(name, str) and name.startswith("nova_object."):
        return WireError(at, name, "is an envelope of Nova's: novastate.objects.nova.load reads it")
    return WireError(f"{at}.{name}", name, f"is no field of {cls.__name__}", near(name, fields(cls)))
