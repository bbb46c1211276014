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
from novastate.errors import WireError, near
from novastate.objects import codegen
from novastate.objects.base import Field, Record, is_mutable, per_class, root
from novastate.objects.checks import ProblemError, check_datetime
from novastate.objects.convert import subclasses
from novastate.objects.marks import Note
from novastate.objects.nova import network_text
from novastate.objects.nova.envelope import CHANGES, DATA, NAME, NAMESPACE, NOVA, VERSION, name_of, opened
from novastate.objects.nova.versions import CURRENT, current
from novastate.objects.nova.versions import parse as parse_version
from novastate.objects.past import LOADED, Box, Past
from novastate.objects.steps import Late, Step, dump_step, load_items, load_step, thaw, type_of
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
    table = codegen.rows(cls, _PROFILE, lambda field: field.wire)
    ours = {row.key: row.field.name for row in table}
    source = codegen.Source()
    source.add(f"""\
def load(p):
    try:
        d = p[{DATA!r}]
        usual = (
            p[{VERSION!r}] == {current(name)!r} and p[{NAME!r}] == {name!r} and p[{NAMESPACE!r}] == {NOVA!r}
            and len(p) == 4 and d.__class__ is dict
        )
    except (TypeError, KeyError, IndexError):
        usual = False
    if usual: past = LOADED
    else: d, past = unusual(p)""")
    source.names.update(LOADED=LOADED, unusual=functools.partial(_unusual, name, at, ours))
    codegen.load_rows(source, cls, table, lambda field: UNSET if field.wire else field.default)
    source.add(f"    if n + len(d) != {len(table)}: surplus(d)", surplus=functools.partial(_surplus, name, at, ours))
    codegen.finish(source, cls)
    return codegen.compiled(source, "load")


def _unusual(name: str, at: str, ours: dict[str, str], envelope: Any) -> tuple[dict[str, Any], Past]:
    if envelope.__class__ is dict and len(envelope) == 5:  # the usual, with changes
        match envelope:
            case {"nova_object.changes": list(changes), "nova_object.data": dict(data)} if (
                envelope.get(VERSION) == current(name)
                and envelope.get(NAME) == name
                and envelope.get(NAMESPACE) == NOVA
            ):
                names: list[Any] = changes
                try:
                    return cast("dict[str, Any]", data), Past(frozenset([ours[field] for field in names]))
                except (KeyError, TypeError):
                    pass  # told below
            case _:
                pass
    data, past = opened(name, at, ours, envelope)
    if past.changed:
        past = past._replace(changed=frozenset(ours.get(field, field) for field in past.changed))
    return data, past


def _surplus(name: str, at: str, ours: dict[str, str], data: dict[str, Any]) -> None:
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
    version = current(box)

    def load(held: Any) -> Any:
        try:
            data = held[DATA]
            usual = held[VERSION] == version and held[NAME] == box and held[NAMESPACE] == NOVA and len(held) == 4
        except (TypeError, KeyError, IndexError):
            usual, data = False, None
        past = LOADED
        if not usual:
            data, past = opened(box, "", ("objects",), held)
        if not isinstance(data, dict) or data.keys() != {"objects"}:
            raise WireError("", type_of(data), f"must hold the objects of a {box}, and nothing else")
        items = load_items(item, cast("dict[str, Any]", data)["objects"])
        return items if past is LOADED else Box.of(items, past)

    return load


# --- out


@per_class
def dumper(cls: type[Any]) -> Step:
    """What writes an object of *cls* into an envelope."""
    name = cls.__name__
    if name not in CURRENT:
        raise WireError(
            root(cls), type_of(name), "has no form in Nova: it is novastate's own, or a base that is never sent"
        )
    table = codegen.rows(cls, _PROFILE, lambda field: field.wire)
    source = codegen.Source()

    def inner(row: codegen.Row) -> str:
        if row.field.kind.tag in {"record", "any record"} or row.field.form is Note.BOXED:
            return f"if p is not None and {CHANGES!r} in p: c.append({row.key!r})"
        if row.field.name == "objects":  # of a list class
            return f"if any({CHANGES!r} in each for each in p): c.append({row.key!r})"
        return ""

    source.add("def dump(o):\n    c = []")
    codegen.dump_rows(source, table, inner, lambda _: "")
    source.add(f"""\
    past = getattr(o, "_past", None)
    made = {{{NAME!r}: {name!r}, {NAMESPACE!r}: {NOVA!r}, {VERSION!r}: {current(name)!r}, {DATA!r}: out}}
    if past is not LOADED: c = told(made, past, c)""")
    if is_mutable(cls):
        now = "".join(f"f{index}, " for index in range(len(table)))
        source.add(f"    if past is not None and ({now}) != o._held: c = differing(({now}), o._held, c)")
    source.add(f"    if c: made[{CHANGES!r}] = c\n    return made")
    keys = tuple(row.key for row in table)
    ours = {row.field.name: row.key for row in table}
    source.names.update(
        LOADED=LOADED, told=functools.partial(_told, ours), differing=functools.partial(_differing, keys)
    )
    return codegen.compiled(source, "dump")


def _told(wire: dict[str, str], made: dict[str, Any], past: Past | None, inner: list[str]) -> list[str]:
    """Puts into the envelope what the past of an object tells; returns which fields have changed."""
    data = made[DATA]
    if past is None:  # built here: all of it is new
        return list(data)
    if past.version:
        _newer(made, past, wire.values())
    changed = {wire.get(name, name) for name in past.changed}
    return [*inner, *sorted((changed & data.keys()) - set(inner))]


def _newer(made: dict[str, Any], past: Past, known: Collection[str]) -> None:
    """Puts into the envelope what a newer version said, unless it is ours meanwhile."""
    if parse_version(past.version) > parse_version(made[VERSION]):
        made[VERSION] = past.version
        made[DATA].update((field, thaw(held)) for field, held in past.unknown.items() if field not in known)


def _differing(keys: tuple[str, ...], now: tuple[Any, ...], held: tuple[Any, ...], inner: list[str]) -> list[str]:
    differing = (key for key, value, was in zip(keys, now, held, strict=True) if value is not UNSET and value != was)
    return [*inner, *(key for key in differing if key not in inner)]


def _dump_any(held: Any) -> Any:
    return dumper(type(held))(held)


def _dump_box(box: str, item: Step) -> Step:
    version = current(box)

    def dump(held: Any) -> dict[str, Any]:
        items = [item(element) for element in held]
        made: dict[str, Any] = {NAME: box, NAMESPACE: NOVA, VERSION: version, DATA: {"objects": items}}
        changed = any(CHANGES in each for each in items)
        if held.__class__ is Box:
            past: Past = held.past
            changed = changed or bool(past.changed)
            if past.version:
                _newer(made, past, ("objects",))
        if changed:
            made[CHANGES] = ["objects"]
        return made

    return dump
