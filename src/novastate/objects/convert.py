"""Objects as plain JSON, and back.

Rules of this file:

1. The JSON of a record is one object with a member for each field that was loaded, under the field's name. Enums are their
   values, times ISO 8601 in UTC, sets sorted lists. What comes back equals what went out, UNSET fields included.
2. A member that is left out has its default: UNSET for most. Where a field has another default and holds UNSET all the same,
   the member ``"$unset"`` names it. Where a subclass stands for its base (a bus, a device), ``"$type"`` names the class.
3. Nothing is dropped in silence. A member that is no field, a value that its field cannot take, a field that is missing: each is a
   :class:`~novastate.errors.WireError` with the full path (``request_spec.flavor.vcpus``).
4. Secrets are written: this is how a record is kept. To show one, use its repr.

:func:`dumps` and :func:`loads` need nothing but this file. :func:`make_converter` and :func:`configure` put the same hooks into a
cattrs converter, for those who have classes of their own around ours.
"""

import functools
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from novastate.errors import InvalidField, WireError, near
from novastate.objects.base import Record, TypeName, declared, fields, prefixed, root
from novastate.objects.kinds import Kind
from novastate.objects.values import UNSET

if TYPE_CHECKING:
    from cattrs import BaseConverter, Converter
    from cattrs.preconf.json import JsonConverter
    from cattrs.preconf.orjson import OrjsonConverter

__all__ = ["configure", "dumps", "loads", "make_converter", "structure", "unstructure"]

T = TypeVar("T")
R = TypeVar("R", bound=Record)

#: One step of a conversion; None where the value is the same on both sides.
Step = Callable[[Any], Any]
#: What converts an inner record of this class.
Inner = Callable[[type[Any]], Step]

_UNSET_KEY, _TYPE_KEY = "$unset", "$type"


# --- in and out


def dumps(obj: Record) -> bytes:
    """*obj* as JSON in UTF-8, compact, members in the order of the fields.

    >>> from novastate.objects import VirtCPUTopology
    >>> dumps(VirtCPUTopology(sockets=2))
    b'{"sockets":2,"cores":1,"threads":1}'
    """
    return _codec()[0](unstructure(obj))


def loads(cls: type[R], data: bytes | str) -> R:
    """The object of *cls* that :func:`dumps` wrote; :class:`~novastate.errors.WireError` if *data* is not one.

    >>> from novastate.objects import Flavor
    >>> loads(Flavor, b'{"vcpus": 1, "memory_mb": 64, "swop": 1}')
    Traceback (most recent call last):
    ...
    novastate.errors.WireError: flavor.swop: is no field of Flavor, got 'swop'; allowed: swap
    """
    try:
        parsed = _codec()[1](data)
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError("$", TypeName(f"{len(data)} bytes"), f"is not JSON ({_first_line(error)})") from None
    return structure(cls, parsed)


def unstructure(obj: Record) -> dict[str, Any]:
    """*obj* as dicts, lists and scalars, ready for any JSON library."""
    return cast("dict[str, Any]", _plain_dumper(type(obj))(obj))


def structure(cls: type[R], data: object) -> R:
    """The object of *cls* that *data* (what a JSON library has parsed) describes."""
    return cast("R", _plain_loader(cls)(data))


def _first_line(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    return text if len(text) <= 100 else text[:97] + "..."


@functools.cache
def _codec() -> tuple[Callable[[Any], bytes], Callable[[Any], Any]]:
    """Orjson where it is installed, else the standard library; both write the same members."""
    try:
        import orjson  # noqa: PLC0415  (an extra)
    except ImportError:
        encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return lambda data: encoder.encode(data).encode(), json.loads
    return orjson.dumps, orjson.loads


_DUMPERS: dict[type[Any], Step] = {}
_LOADERS: dict[type[Any], Step] = {}


def _plain_dumper(cls: type[Any]) -> Step:
    step = _DUMPERS.get(cls)
    if step is None:
        step = _DUMPERS[cls] = _dumper(cls, _plain_dumper)
    return step


def _plain_loader(cls: type[Any]) -> Step:
    step = _LOADERS.get(cls)
    if step is None:
        step = _LOADERS[cls] = _loader(cls, _plain_loader)
    return step


# --- cattrs


@overload
def make_converter(preset: Literal["json"] = ..., *, detailed: bool = ...) -> "JsonConverter": ...
@overload
def make_converter(preset: Literal["orjson"], *, detailed: bool = ...) -> "OrjsonConverter": ...
def make_converter(preset: str = "json", *, detailed: bool = True) -> Any:
    """A cattrs converter of that *preset* that knows every record; it refuses unknown keys, in other classes too.

    *detailed* is cattrs' ``detailed_validation``, for classes other than ours: the errors of records carry the full path in any case.
    Raises :class:`~novastate.errors.InvalidField` for another preset, ImportError if orjson is asked for and not installed.
    """
    make: Callable[..., Converter]
    if preset == "json":
        from cattrs.preconf.json import make_converter as make  # noqa: PLC0415  (cattrs is heavy)
    elif preset == "orjson":
        from cattrs.preconf.orjson import make_converter as make  # noqa: PLC0415  (the same)
    else:
        raise InvalidField("preset", preset, "is not one of the presets", ("json", "orjson"))
    converter = make(detailed_validation=detailed, forbid_extra_keys=True)
    configure(converter)
    return converter


def configure(converter: "BaseConverter") -> None:
    """Teaches a cattrs converter of yours every record. A hook that you register for one class of ours goes before."""

    def load(cls: type[Any], around: "BaseConverter") -> Callable[[Any, Any], Any]:
        def inner(part: type[Any]) -> Step:
            hook = around.get_structure_hook(part)
            return lambda data: hook(data, part)

        step = _loader(cls, inner)
        return lambda data, _: step(data)

    def dump(cls: type[Any], around: "BaseConverter") -> Step:
        return _dumper(cls, around.get_unstructure_hook)

    def is_record(cls: Any) -> bool:
        return isinstance(cls, type) and issubclass(cls, Record)

    converter.register_structure_hook_factory(is_record, load)
    converter.register_unstructure_hook_factory(is_record, dump)


# --- out


def _dumper(cls: type[Any], inner: Inner) -> Step:
    rows = [
        (name, _dump_step(field.kind, inner), field.default is UNSET and not field.required)
        for name, field in fields(cls).items()
    ]

    def dump(obj: Any) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, step, may_lack in rows:
            held = getattr(obj, name)
            if held is UNSET:
                if not may_lack:
                    out.setdefault(_UNSET_KEY, []).append(name)
            elif step is None or held is None:
                out[name] = held
            else:
                out[name] = step(held)
        return out

    return dump


def _dump_step(kind: Kind, inner: Inner) -> Step | None:
    match kind.tag:
        case "record":
            return _late(inner, kind.args[0])
        case "any record":
            return functools.partial(_dump_any, kind.args[0], inner)
        case "enum":
            return _value_of
        case "datetime":
            return datetime.isoformat
        case "set":
            return sorted
        case "json":
            return _thaw
        case "seq":
            item = _dump_step(kind.args[0], inner)
            return list if item is None else lambda held: [item(element) for element in held]
        case "map":
            part = _dump_step(kind.args[1], inner)
            return dict if part is None else lambda held: {name: part(element) for name, element in held.items()}
        case _:
            return None


def _late(inner: Inner, cls: type[Any]) -> Step:
    """The step of an inner record, made when the first one comes: most fields of most records are empty."""
    step: Step | None = None

    def run(held: Any) -> Any:
        nonlocal step
        if step is None:
            step = inner(cls)
        return step(held)

    return run


def _dump_any(base: type[Any], inner: Inner, held: Any) -> dict[str, Any]:
    cls = type(held)
    out = cast("dict[str, Any]", inner(cls)(held))
    return out if cls is base else {_TYPE_KEY: cls.__name__, **out}


def _value_of(held: Any) -> Any:
    return held.value


def _thaw(held: Any) -> Any:
    if isinstance(held, Mapping):
        return {name: _thaw(part) for name, part in cast("Mapping[str, Any]", held).items()}
    if isinstance(held, tuple):
        parts: tuple[Any, ...] = held
        return [_thaw(part) for part in parts]
    return held


# --- in


def _loader(cls: type[Any], inner: Inner) -> Step:
    table, at = fields(cls), root(cls)
    # The name is kept beside the step: Python matches keyword arguments by identity first, and a parsed name is another string.
    steps = {name: (name, _load_step(field.kind, inner)) for name, field in table.items()}
    required = frozenset(name for name, field in table.items() if field.required)

    def load(data: Any) -> Any:
        if not isinstance(data, dict):
            raise WireError(at, _type_of(data), "must be an object")
        given: dict[str, Any] = {}
        for key, held in cast("dict[str, Any]", data).items():
            try:
                name, step = steps[key]
            except (KeyError, TypeError):
                if key == _UNSET_KEY or (key == _TYPE_KEY and held == cls.__name__):
                    continue
                raise _unknown(cls, at, key) from None
            try:
                given[name] = held if step is None or held is None else step(held)
            except InvalidField as error:
                raise _under(error, f"{at}.{name}") from None
        if _UNSET_KEY in data:
            given.update(_unset_fields(cls, at, data))
        if not required <= given.keys():
            lacking = min(required - given.keys())
            raise WireError(f"{at}.{lacking}", TypeName("nothing"), "must be given")
        try:
            return cls(**given)
        except InvalidField as error:
            raise prefixed(error, at, WireError) from None

    return load


def _unset_fields(cls: type[Any], at: str, data: Mapping[str, Any]) -> dict[str, Any]:
    held = data[_UNSET_KEY]
    if not isinstance(held, list):
        raise WireError(f"{at}.{_UNSET_KEY}", _type_of(held), "must be a list of field names")
    names: list[Any] = held
    for name in names:
        if not isinstance(name, str) or name not in fields(cls):
            raise _unknown(cls, at, name)
        if name in data:
            raise WireError(f"{at}.{name}", name, f"has a value and is in {_UNSET_KEY}")
    return dict.fromkeys(names, UNSET)


def _load_step(kind: Kind, inner: Inner) -> Step | None:
    match kind.tag:
        case "record":
            return _late(inner, kind.args[0])
        case "any record":
            return functools.partial(_load_any, kind.args[0], inner)
        case "datetime":
            return _load_datetime
        case "seq":
            item = _load_step(kind.args[0], inner)
            return None if item is None else functools.partial(_load_items, item)
        case _:
            # The record's own check takes it as it is: scalars, an enum's value, lists of them.
            return None


def _load_items(item: Step, held: Any) -> Any:
    if not isinstance(held, list):
        return held  # refused by the record's own check
    elements: list[Any] = held
    out: list[Any] = []
    for index, element in enumerate(elements):
        try:
            out.append(item(element))
        except InvalidField as error:
            raise _under(error, f"[{index}]") from None
    return out


def _load_any(base: Any, inner: Inner, held: Any) -> Any:
    if not isinstance(held, dict) or _TYPE_KEY not in held:
        return inner(base)(held)
    named = cast("dict[str, Any]", held)
    known = _subclasses(base)
    name = named[_TYPE_KEY]
    if not isinstance(name, str) or name not in known:
        raise WireError(f"{root(base)}.{_TYPE_KEY}", _type_of(name), "is no such class", known)
    return inner(known[name])(held)


@functools.cache
def _subclasses(base: Any) -> dict[str, type[Any]]:
    return {name: cls for name, cls in declared().items() if issubclass(cls, base)}


def _load_datetime(held: Any) -> datetime:
    if isinstance(held, str):
        try:
            return datetime.fromisoformat(held)
        except ValueError:
            pass
    raise WireError("", held if isinstance(held, str) else _type_of(held), "must be a time in ISO 8601")


def _under(error: InvalidField, where: str) -> WireError:
    """An inner error with the path of the outer place: an index goes behind it, the inner root is replaced by it."""
    if error.field.startswith("["):
        return WireError(f"{where}{error.field}", error.value, error.problem, error.allowed)
    return cast("WireError", prefixed(error, where, WireError))


def _unknown(cls: type[Any], at: str, name: object) -> WireError:
    return WireError(f"{at}.{name}", name, f"is no field of {cls.__name__}", near(name, fields(cls)))


def _type_of(held: object) -> str | TypeName:
    return held if isinstance(held, str) else TypeName(type(held).__name__)
