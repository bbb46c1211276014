"""The Nova profile: what reads and writes each class in Nova's envelopes, generated from its declared fields.

Rules of this file:

1. A field that is UNSET is not in the data, and a field that is not in the data is UNSET.
2. Times go to the second, in UTC, as ``2026-08-05T04:00:00Z``. Sets are sorted lists. A boxed sequence is an object of its own
   (:data:`~novastate.objects.marks.Note.BOXED`); a network model is a JSON text.
3. ``changes`` are those of :func:`~novastate.objects.tracking.changes`, by Nova's names.
"""

import functools
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any, cast

from novastate import objects
from novastate._native.codec import CODEC
from novastate.errors import WireError, near
from novastate.objects import codec
from novastate.objects.base import Field, Record, per_class, root
from novastate.objects.checks import ProblemError, check_datetime
from novastate.objects.convert import subclasses
from novastate.objects.marks import Note
from novastate.objects.members import CHANGES, DATA, NAME, NAMESPACE, NOVA, VERSION
from novastate.objects.nova import network_text
from novastate.objects.nova.envelope import name_of, opened
from novastate.objects.nova.versions import CURRENT, current
from novastate.objects.nova.versions import parse as parse_version
from novastate.objects.past import LOADED, Box, Past
from novastate.objects.steps import Late, Step, dump_step, each, items, load_step, thaw, type_of
from novastate.objects.values import UNSET

__all__ = ["class_of", "dumper", "loader"]


def class_of(name: str, at: str = "$") -> type[Record]:
    """The class of the Nova object *name*."""
    if name not in CURRENT or name not in objects.__all__:
        raise WireError(f"{at}.{NAME}", name, "is no object of Nova", near(name, CURRENT))
    return cast("type[Record]", getattr(objects, name))


def _load_time(held: Any) -> datetime:
    try:
        read = datetime.fromisoformat(held)
        if read.tzinfo is not UTC:
            read = check_datetime(read)
    except (TypeError, ValueError, ProblemError):
        raise WireError("", type_of(held), "must be a time, as 2026-08-05T04:00:00Z") from None
    return read


def _time_dumper() -> Callable[[datetime], str]:
    """What writes a time. Isoformat would ask for the offset first, and take twice as long."""
    try:
        import orjson  # noqa: PLC0415  (an extra)
    except ImportError:
        form = "%04d-%02d-%02dT%02d:%02d:%02dZ"
        return lambda held: form % (held.year, held.month, held.day, held.hour, held.minute, held.second)
    dumps, option = orjson.dumps, orjson.OPT_OMIT_MICROSECONDS | orjson.OPT_UTC_Z
    return lambda held: dumps(held, None, option)[1:-1].decode()


class _Profile:
    """Nova's wire format, as a :class:`~novastate.objects.steps.Profile`."""

    def load_record(self, cls: type[Any], polymorphic: bool) -> Step:
        return functools.partial(_load_any, cls) if polymorphic else Late(loader, cls)

    def dump_record(self, cls: type[Any], polymorphic: bool) -> Step:
        return _dump_any if polymorphic else Late(dumper, cls)

    def load_form(self, field: Field) -> Step:
        if field.form is Note.BOXED:
            element: Any = field.kind.args[0].args[0]
            item = load_step(field.kind.args[0], self)
            assert item is not None, "a record is read by a step"
            return _load_box(f"{element.__name__}List", item)
        return network_text.reader(field.kind)

    def dump_form(self, field: Field) -> Step:
        if field.form is Note.BOXED:
            element: Any = field.kind.args[0].args[0]
            item = dump_step(field.kind.args[0], self)
            assert item is not None, "a record is written by a step"
            return _dump_box(f"{element.__name__}List", item)
        return network_text.writer(field.kind)

    dump_json = staticmethod(thaw)
    load_time = staticmethod(_load_time)
    dump_time = staticmethod(_time_dumper())


_PROFILE = _Profile()


# --- in


@per_class
def loader(cls: type[Any]) -> Step:
    """What reads an envelope of *cls*."""
    name, at = cls.__name__, root(cls)
    table = codec.rows(cls, _PROFILE, lambda field: field.wire)
    ours = {row.key: row.field.name for row in table}
    return codec.reader(
        cls,
        codec.Reading(
            table,
            absent=lambda field: UNSET if field.wire else field.default,
            envelope=(name, NOVA, current(name)),
            opening=functools.partial(_unusual, name, at, ours),
            surplus=functools.partial(_surplus, name, at, ours),
        ),
    )


def _unusual(name: str, at: str, ours: dict[str, str], envelope: Any) -> tuple[dict[str, Any], Past]:
    try:  # as usual, but with changes
        if (
            len(envelope) == 5 and envelope.__class__ is dict
            and envelope[VERSION] == CURRENT[name] and envelope[NAME] == name and envelope[NAMESPACE] == NOVA
            and envelope[DATA].__class__ is dict and envelope[CHANGES].__class__ is list
        ):  # fmt: skip
            return envelope[DATA], Past(frozenset(map(ours.__getitem__, envelope[CHANGES])))
    except (TypeError, KeyError):
        pass  # what is wrong with it is told below
    data, past = opened(name, at, ours, envelope)
    if past.changed:
        past = past._replace(changed=frozenset(ours.get(field, field) for field in past.changed))
    return data, past


def _surplus(name: str, at: str, ours: dict[str, str], _: object, data: dict[str, Any]) -> None:
    for field in data:
        if not isinstance(field, str):  # pyright: ignore[reportUnnecessaryIsInstance]  (not every dict comes from JSON)
            raise WireError(at, type_of(field), "has a member whose name is no text")
        if field not in ours:
            raise WireError(f"{at}.{field}", field, f"is no field of {name} {current(name)}", near(field, ours))
    field = next(field for field, held in data.items() if held is UNSET)
    raise WireError(f"{at}.{ours[field]}", type_of(UNSET), "is left out where it is not known")


def _load_any(base: type[Any], held: Any) -> Any:
    """An object of *base*, or of a subclass, as its envelope says."""
    name, known = name_of(held, root(base)), subclasses(base)
    if name not in known:
        raise WireError(f"{root(base)}.{NAME}", name, f"is no {base.__name__}", known)
    return loader(known[name])(held)


def _load_box(box: str, item: Step) -> Step:
    """The elements of an object of the list class *box*."""
    read, version = items(item), current(box)

    def unusual(held: Any) -> Any:
        data, past = opened(box, "", ("objects",), held)
        if data.keys() != {"objects"}:
            raise WireError("", type_of(data), f"must hold the objects of a {box}, and nothing else")
        found = read(data["objects"])
        return found if past is LOADED else Box.of(found, past)

    if CODEC is not None:
        made: Step = CODEC.Box(box, NOVA, version, read, unusual)
        return made

    def load(held: Any) -> Any:
        match held:
            case {"nova_object.data": {"objects": elements, **rest}, **envelope} if not rest and envelope == usual:
                return read(elements)
            case _:
                return unusual(held)

    usual = {NAME: box, NAMESPACE: NOVA, VERSION: version}
    return load


# --- out


@per_class
def dumper(cls: type[Any]) -> Step:
    """What writes an object of *cls* into an envelope."""
    name = cls.__name__
    if name not in CURRENT or class_of(name) is not cls:
        known = [base for base in cls.__mro__[1:] if base.__name__ in CURRENT and class_of(base.__name__) is base]
        if not known:
            text = "has no form in Nova: it is novastate's own, or a base that is never sent"
            raise WireError(root(cls), type_of(name), text)
        return dumper(known[0])  # a subclass of a user's own goes as what Nova knows of it
    table = codec.rows(cls, _PROFILE, lambda field: field.wire)
    told = functools.partial(_told, {row.field.name: row.key for row in table})
    return codec.writer(cls, codec.Writing(table, envelope=(name, NOVA, current(name), told), inner=_inner))


def _inner(row: codec.Row) -> int:
    if row.field.form is Note.JSON_TEXT:
        return 0
    if row.field.kind.tag in {"record", "any record"} or row.field.form is Note.BOXED:
        return 1
    return 2 if row.field.name == "objects" else 0  # of a list class


def _told(wire: dict[str, str], made: dict[str, Any], past: Past | None, inner: list[str]) -> list[str]:
    """Puts into the envelope what the past of an object tells; returns which fields have changed."""
    data = made[DATA]
    if past is None:  # built here: all of it is new
        return list(data)
    if past.version:
        _newer(made, past, wire.values())
    changed = sorted({wire.get(name, name) for name in past.changed})
    return [*inner, *(field for field in changed if field in data and field not in inner)]


def _newer(made: dict[str, Any], past: Past, known: Collection[str]) -> None:
    """Puts into the envelope what a newer version said, unless it is ours meanwhile."""
    if parse_version(past.version) > parse_version(made[VERSION]):
        made[VERSION] = past.version
        made[DATA].update((field, thaw(held)) for field, held in past.unknown.items() if field not in known)


def _dump_any(held: Any) -> Any:
    return dumper(type(held))(held)


def _dump_box(box: str, item: Step) -> Step:
    write, version = each(item), current(box)
    if CODEC is not None:
        made: Step = CODEC.BoxWriter(box, NOVA, version, write, _told_box)
        return made

    def dump(held: Any) -> dict[str, Any]:
        made: dict[str, Any] = {NAME: box, NAMESPACE: NOVA, VERSION: version, DATA: {"objects": write(held)}}
        if any(CHANGES in one for one in made[DATA]["objects"]):
            made[CHANGES] = ["objects"]
        if held.__class__ is not tuple:
            _told_box(made, held)
        return made

    return dump


def _told_box(made: dict[str, Any], held: Any) -> None:
    """Puts into the envelope of a list what its past tells."""
    past: Past = held.past if isinstance(held, Box) else LOADED
    if past.changed:
        made[CHANGES] = ["objects"]
    if past.version:
        _newer(made, past, ("objects",))
