"""Converters of cattrs that know every record: for those who have classes of their own around ours.

Rules of this file:

1. A record is the plain JSON of :mod:`~novastate.objects.convert`, wherever it stands: in a list, a mapping, a union, an attrs class.
2. A hook that somebody registered for one class of ours goes before, inside of other records too.
3. Where a class is declared and a subclass stands, ``"$type"`` names it; ``Record`` stands for any of them.
4. What cannot be read is a :class:`~novastate.errors.WireError`. Around it cattrs puts groups of its own (or, without ``detailed``,
   nothing): :func:`wire_errors` gives each error the whole path.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from novastate.errors import InvalidField, WireError
from novastate.objects.base import Record, TypeName
from novastate.objects.convert import TYPE_KEY, Plain, dump_any, dumper, load_any, loader
from novastate.objects.steps import Step, type_of, under

if TYPE_CHECKING:
    from cattrs import BaseConverter, Converter
    from cattrs.preconf.json import JsonConverter
    from cattrs.preconf.msgspec import MsgspecJsonConverter
    from cattrs.preconf.orjson import OrjsonConverter

__all__ = ["configure", "make_converter", "wire_errors"]


@overload
def make_converter(preset: Literal["json"] = ..., *, detailed: bool = ...) -> "JsonConverter": ...
@overload
def make_converter(preset: Literal["orjson"], *, detailed: bool = ...) -> "OrjsonConverter": ...
@overload
def make_converter(preset: Literal["msgspec"], *, detailed: bool = ...) -> "MsgspecJsonConverter": ...
def make_converter(preset: str = "json", *, detailed: bool = True) -> Any:
    """A cattrs converter of that *preset* that knows every record; it refuses unknown keys, in other classes too.

    *detailed* is cattrs' ``detailed_validation``, for classes other than ours: without it the first error is raised as it is, and
    its path begins at the record. Raises :class:`~novastate.errors.InvalidField` for another preset, ImportError if the preset's
    library is not installed (``novastate[fast]`` has orjson, ``novastate[msgspec]`` msgspec).
    """
    make: Callable[..., Converter]
    if preset == "json":
        from cattrs.preconf.json import make_converter as make  # noqa: PLC0415  (cattrs is heavy)
    elif preset == "orjson":
        from cattrs.preconf.orjson import make_converter as make  # noqa: PLC0415  (the same)
    elif preset == "msgspec":
        from cattrs.preconf.msgspec import make_converter as make  # noqa: PLC0415  (the same)
    else:
        raise InvalidField("preset", preset, "is not one of the presets", ("json", "orjson", "msgspec"))
    converter = make(detailed_validation=detailed, forbid_extra_keys=True)
    configure(converter)
    return converter


def configure(converter: "BaseConverter") -> None:
    """Teaches a cattrs converter of yours every record. A hook that you register for one class of ours goes before."""
    converter.register_structure_hook_factory(_is_record, _load_hook)
    converter.register_unstructure_hook_factory(_is_record, _dump_hook)


def _is_record(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Record)


def _plain(around: "BaseConverter") -> Plain:
    """The plain form, with the hooks of *around* for the records within."""

    def inner(part: type[Any]) -> Step:
        hook = around.get_structure_hook(part)
        return lambda data: hook(data, part)

    return Plain(inner, around.get_unstructure_hook)


def _load_hook(cls: type[Any], around: "BaseConverter") -> Callable[[Any, Any], Any]:
    name, plain = cls.__name__, _plain(around)
    exact = _nameless if cls is Record else loader(cls, plain)

    def load(data: Any, _: Any) -> Any:
        if isinstance(data, dict) and data.get(TYPE_KEY, name) != name:
            return load_any(cls, plain.loader, data)
        return exact(data)

    return load


def _dump_hook(cls: type[Any], around: "BaseConverter") -> Step:
    plain = _plain(around)
    exact = _no_record if cls is Record else dumper(cls, plain)

    def dump(held: Any) -> Any:
        if held.__class__ is cls or not isinstance(held, cls):
            return exact(held)
        return dump_any(cls, plain.dumper, held)

    return dump


def _nameless(data: object) -> Any:
    if not isinstance(data, dict):
        raise WireError("record", type_of(data), "must be an object")
    raise WireError(f"record.{TYPE_KEY}", TypeName("nothing"), "must name the class of the record")


def _no_record(held: object) -> Any:
    raise WireError("record", type_of(held), "must be a record")


# --- errors


def wire_errors(error: BaseException) -> tuple[WireError, ...]:
    """All that a converter has refused, each with the whole path, through your own classes and ours.

    *error* is what ``structure`` or ``loads`` of a cattrs converter raised. What is not refused by a record is told in the words of
    cattrs. A path begins with ``$``, which is the object that was asked for.

    >>> from novastate.objects import Flavor
    >>> try:
    ...     _ = make_converter().structure({"web": {"vcpus": 1, "memory_mb": 64}, "db": {"vcpus": "2"}}, dict[str, Flavor])
    ... except Exception as error:
    ...     for one in wire_errors(error):
    ...         print(one)
    $['db'].vcpus: must be a whole number, got '2'
    """
    return tuple(_found(error, "$", None))


def _found(error: BaseException, at: str, expected: Any) -> Iterator[WireError]:
    from cattrs.errors import (  # noqa: PLC0415  (cattrs is heavy)
        ClassValidationError,
        ForbiddenExtraKeysError,
        IterableValidationError,
    )
    from cattrs.v import format_exception  # noqa: PLC0415  (the same)

    others: Sequence[BaseException]
    if isinstance(error, ClassValidationError):
        noted, others = error.group_exceptions()
        for part, note in noted:
            yield from _found(part, f"{at}.{note.name}", note.type)
    elif isinstance(error, IterableValidationError):
        elements, others = error.group_exceptions()
        for part, place in elements:
            yield from _found(part, f"{at}[{place.index!r}]", place.type)
    elif isinstance(error, BaseExceptionGroup):
        others = error.exceptions
    elif isinstance(error, InvalidField):
        yield under(error, at)
        return
    elif isinstance(error, ForbiddenExtraKeysError):
        for name in sorted(map(str, error.extra_fields)):
            yield WireError(f"{at}.{name}", name, f"is no field of {error.cl.__name__}")
        return
    else:
        shown = TypeName("nothing") if isinstance(error, KeyError) else TypeName(type(error).__name__)
        yield WireError(at, shown, format_exception(error, expected))
        return
    for inner in others:
        yield from _found(inner, at, None)
