"""An annotation, understood: what kind of value it means, whether None or UNSET may stand there, and its marks."""

import functools
import math
from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from novastate.objects.checks import (
    Check,
    check_bool,
    check_datetime,
    check_enum,
    check_float,
    check_int,
    check_ip,
    check_json,
    check_literal,
    check_mapping,
    check_nullable,
    check_pattern,
    check_record,
    check_sequence,
    check_set,
    check_str,
)
from novastate.objects.marks import I64, Ip, Note, Pattern, Range
from novastate.objects.values import Unset

__all__ = ["Kind", "Meaning", "understand"]


class Kind(NamedTuple):
    """One type, understood: `tag` says which, `check` takes a value in or raises, `args` are the parts."""

    tag: str
    check: Check
    args: tuple[Any, ...] = ()
    shows: str = ""


_INT = Kind("int", check_int(-I64, I64 - 1), shows="int")
_FLOAT = Kind("float", check_float(-math.inf, math.inf), shows="float")
_STR = Kind("str", check_str, shows="str")
_SIMPLE: Mapping[object, Kind] = {
    int: _INT,
    float: _FLOAT,
    str: _STR,
    bool: Kind("bool", check_bool, shows="bool"),
    datetime: Kind("datetime", check_datetime, shows="datetime"),
}


class Meaning(NamedTuple):
    """An annotation, understood: what it holds beside None and UNSET, and the marks on it."""

    kind: Kind
    nullable: bool
    optional: bool
    marks: frozenset[object]


@functools.cache
def understand(annotation: Any) -> Meaning:
    """What the annotation of a field says."""
    parts: list[Any] = [annotation]
    if get_origin(annotation) in {Union, UnionType}:
        parts = list(get_args(annotation))
    rest = [part for part in parts if part is not type(None) and part is not Unset]
    assert len(rest) == 1, f"one type a field, beside None and Unset: {annotation}"
    kind, marks = _kind(rest[0])
    nullable = type(None) in parts or Note.LEGACY_NULL in marks or kind.tag == "json"
    return Meaning(kind, nullable, Unset in parts, marks)


@functools.cache
def _kind(annotation: Any) -> tuple[Kind, frozenset[object]]:
    origin = get_origin(annotation)
    marks: tuple[object, ...] = ()
    if origin is Annotated:
        annotation, marks = annotation.__origin__, annotation.__metadata__
        origin = get_origin(annotation)
    return _kind_of(annotation, origin, marks), frozenset(marks)


def _element(annotation: Any) -> Kind:
    """The kind of what a container holds: ``str | None`` takes None beside texts."""
    meant = understand(annotation)
    if not meant.nullable or meant.kind.tag == "json":
        return meant.kind
    return Kind("nullable", check_nullable(meant.kind.check), (meant.kind,))


def _kind_of(annotation: Any, origin: Any, marks: tuple[object, ...]) -> Kind:
    for mark in marks:
        if isinstance(mark, Range):
            make = check_int if annotation is int else check_float
            return Kind(annotation.__name__, make(*mark), mark, shows=annotation.__name__)
        if isinstance(mark, Pattern):
            return Kind("str", check_pattern(mark), mark, shows=mark.called)
        if isinstance(mark, Ip):
            return Kind("str", check_ip(mark.version), mark, shows="IP address")
        if mark is Note.JSON:
            return Kind("json", check_json)
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    args = get_args(annotation)
    if origin is Literal:
        return Kind("literal", check_literal(args), args)
    if origin is Mapping:
        key, item = _kind(args[0])[0], _element(args[1])
        return Kind("map", check_mapping(key.check, item.check), (key, item))
    if origin is Sequence:
        item = _element(args[0])
        return Kind("seq", check_sequence(item.check), (item,))
    if origin is Set:
        item = _kind(args[0])[0]
        return Kind("set", check_set(item.check), (item,))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return Kind("enum", check_enum(annotation), (annotation,), shows=annotation.__name__)
    assert isinstance(annotation, type), f"no kind of field: {annotation}"
    tag = "any record" if Note.POLYMORPHIC in marks else "record"
    return Kind(tag, check_record(annotation), (annotation,), shows=annotation.__name__)
