"""What a field may hold: the types, the marks on them, and the check that each one means.

Rules of this file:

1. A check takes a value in, perhaps in another spelling, or raises and changes nothing. It knows no field: whoever holds
   the field names the path.
2. Nothing is coerced in silence: ``'7'`` is not 7, ``True`` is not 1, NaN is no number. What is taken in another
   spelling means the same: an enum's value for the enum, a whole number for a float, a naive datetime as UTC.
3. Containers are frozen when they enter: a sequence to a tuple, a set to a frozenset, a mapping to a :class:`FrozenDict`.
"""

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime
from enum import Enum
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    Never,
    TypeVar,
    Union,
    get_args,
    get_origin,
)
from uuid import UUID

from novastate.errors import near
from novastate.machines import Machine

__all__ = [
    "EMPTY",
    "UNSET",
    "AnyJson",
    "Count",
    "CountOrMinus1",
    "FrozenDict",
    "GuardedMap",
    "Ip",
    "IpAddress",
    "Kind",
    "LegacyStr",
    "Meaning",
    "Moves",
    "Note",
    "Pattern",
    "Percent",
    "Positive",
    "ProblemError",
    "Range",
    "Ratio",
    "Revision",
    "SecretStr",
    "Unset",
    "Uuid",
    "Wire",
    "understand",
]

K = TypeVar("K")
V = TypeVar("V")


class Unset(Enum):
    """The type of :data:`UNSET`; an enum of one, so that type checkers narrow on ``is UNSET``."""

    UNSET = "UNSET"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"

    __str__ = __repr__


#: The field was never loaded. Falsy, and not None.
UNSET: Final = Unset.UNSET


class FrozenDict(dict[K, V]):
    """A dict that cannot be changed, and can be hashed when its values can."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> Never:
        raise TypeError("the mapping is frozen: assign a new one, e.g. {**old, key: value}")

    if not TYPE_CHECKING:  # to a type checker it is a dict, and is declared as a Mapping wherever it stands
        __setitem__ = __delitem__ = __ior__ = _refuse
        clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __copy__(self) -> "FrozenDict[K, V]":
        return self

    def __deepcopy__(self, memo: object) -> "FrozenDict[K, V]":
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return FrozenDict, (dict(self),)


#: The empty mapping, as a default.
EMPTY: Final[Mapping[str, Any]] = FrozenDict[str, Any]()

# --- what an annotation may carry


class Range(NamedTuple):
    """The least and the greatest number that a field takes."""

    least: float
    most: float


class Pattern(NamedTuple):
    """What a text must match, whole, and what to call it."""

    regex: str
    called: str


class Ip(NamedTuple):
    """The text is an IP address of this version; 0: of either."""

    version: int


class Wire(NamedTuple):
    """The name of the field in Nova's objects, where it differs; empty: Nova has no such field."""

    name: str


class Note(Enum):
    """Marks on a field."""

    #: Never shown. In a mapping: the values under a key that sounds like a secret (``password_0``) are not.
    SECRET = "secret"  # noqa: S105  (a mark, not a password)
    #: None is taken, since Nova's own schema allows it, though every record that works has a value.
    LEGACY_NULL = "legacy null"
    #: Any subclass of the record may stand there.
    POLYMORPHIC = "polymorphic"
    #: Cannot be changed once set.
    FIXED = "fixed"
    #: Any JSON value.
    JSON = "json"


class Moves:
    """The field is the state of *machine*; where that is a mapping, of the one under the value of the field *by*."""

    __slots__ = ("by", "machine")

    def __init__(self, machine: type[Machine[Any]] | Mapping[Any, type[Machine[Any]]], by: str = "") -> None:
        self.machine, self.by = machine, by

    def of(self, obj: object) -> type[Machine[Any]] | None:
        """The machine that moves *obj*; None if the object does not know yet (the field *by* is UNSET)."""
        if isinstance(self.machine, Mapping):
            return self.machine.get(getattr(obj, self.by))
        return self.machine


_I64 = 2**63
_UUID = r"[a-fA-F0-9]{8}-?[a-fA-F0-9]{4}-?[a-fA-F0-9]{4}-?[a-fA-F0-9]{4}-?[a-fA-F0-9]{12}"

#: A whole number that counts something: 0 or more.
Count = Annotated[int, Range(0, _I64 - 1)]
#: A whole number, 1 or more.
Positive = Annotated[int, Range(1, _I64 - 1)]
#: A whole number, or -1 for "any" or "unlimited".
CountOrMinus1 = Annotated[int, Range(-1, _I64 - 1)]
#: 0 to 100.
Percent = Annotated[int, Range(0, 100)]
#: An allocation ratio: how often a host's resource may be given away; 0 is "not set: the scheduler's own".
Ratio = Annotated[float, Range(0, math.inf)]
#: A text in the form of a UUID.
Uuid = Annotated[str, Pattern(_UUID, "a UUID")]
#: An IP address of either version, as text.
IpAddress = Annotated[str, Ip(0)]
#: A text that is never shown.
SecretStr = Annotated[str, Note.SECRET]
#: A text, where Nova's schema also allows None.
LegacyStr = Annotated[str, Note.LEGACY_NULL]
#: Texts by name, of which those that sound like a secret are never shown.
GuardedMap = Annotated[Mapping[str, str], Note.SECRET]
#: Any JSON value.
AnyJson = Annotated[Any, Note.JSON]
#: The compare-and-swap counter of novastate's stores; 0 is "never saved". Nova has no such field.
Revision = Annotated[int, Range(0, _I64 - 1), Wire("")]


# --- kinds: an annotation, understood


class Kind(NamedTuple):
    """One type, understood: `tag` says which, `check` takes a value in or raises, `args` are the parts."""

    tag: str
    check: Callable[[Any], Any]
    args: tuple[Any, ...] = ()
    shows: str = ""


class ProblemError(Exception):
    """A refused value on its way up; each container on the way adds its place."""

    def __init__(self, value: object, problem: str, allowed: Iterable[object] = (), where: str = "") -> None:
        self.value, self.problem, self.allowed, self.where = value, problem, tuple(allowed), where
        super().__init__(problem)


def _check_int(least: float, most: float) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value.__class__ is int:
            if least <= value <= most:
                return value
            raise ProblemError(value, _range_text("a whole number", least, most))
        # numpy's integers are whole numbers too; bool is not, whatever Python says.
        if not isinstance(value, bool | str | float) and hasattr(value, "__index__"):
            return check(value.__index__())
        raise ProblemError(value, "must be a whole number")

    return check


def _check_float(least: float, most: float) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, float | int):
            raise ProblemError(value, "must be a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ProblemError(value, "must be a finite number")
        if least <= number <= most:
            return number
        raise ProblemError(value, _range_text("a number", least, most))

    return check


def _range_text(what: str, least: float, most: float) -> str:
    if least == -_I64:
        return f"must be {what} of 64 bits"
    return f"must be {what}, {least} or more" if most >= _I64 - 1 else f"must be {what} from {least} to {most}"


def _check_bool(value: Any) -> Any:
    if value is True or value is False:
        return value
    raise ProblemError(value, "must be true or false")


def _check_str(value: Any) -> Any:
    if value.__class__ is str or isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ProblemError(value, "must be text that UTF-8 can hold") from None
        return value if value.__class__ is str else str.__str__(value)
    raise ProblemError(value, "must be text")


def _check_pattern(pattern: Pattern) -> Callable[[Any], Any]:
    fullmatch: Callable[[str], object] | None = None

    def check(value: Any) -> Any:
        nonlocal fullmatch
        if fullmatch is None:  # compiled when first needed: an import compiles no pattern
            fullmatch = re.compile(pattern.regex).fullmatch
        if isinstance(value, UUID):
            value = str(value)
        if value.__class__ is not str or fullmatch(value) is None:
            raise ProblemError(value, f"must be {pattern.called}")
        return value

    return check


def _check_ip(version: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        import ipaddress  # noqa: PLC0415  (only who has addresses pays for it)

        made = {0: ipaddress.ip_address, 4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}[version]
        try:
            if value.__class__ is str:
                made(value)
                return value
        except ValueError:
            pass
        raise ProblemError(value, f"must be an IP{f'v{version}' if version else ''} address")

    return check


def _check_datetime(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is UTC:
            return value
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError:
            raise ProblemError(value, "must be a time that UTC can tell") from None
    raise ProblemError(value, "must be a datetime")


def _check_enum(enum: type[Enum]) -> Callable[[Any], Any]:
    by_value = {(type(member.value), member.value): member for member in enum}

    def check(value: Any) -> Any:
        if value.__class__ is enum:
            return value
        try:
            return by_value[value.__class__, value]
        except (KeyError, TypeError):
            values = [member.value for member in enum]
            raise _not_one_of(value, enum.__name__, values) from None

    return check


def _check_literal(values: tuple[str, ...]) -> Callable[[Any], Any]:
    known = frozenset(values)

    def check(value: Any) -> Any:
        if value.__class__ is str and value in known:
            return value
        raise _not_one_of(value, "the allowed values", values)

    return check


def _not_one_of(value: object, called: str, values: Sequence[object]) -> ProblemError:
    meant = near(value, [v for v in values if isinstance(v, str)]) if isinstance(value, str) else ()
    hint = f" (did you mean {' or '.join(meant)}?)" if meant else ""
    return ProblemError(value, f"is not one of {called}{hint}", values)


def _check_sequence(item: Kind) -> Callable[[Any], Any]:
    take = item.check

    def check(value: Any) -> Any:
        if not isinstance(value, tuple | list):
            raise ProblemError(value, "must be a sequence")
        index = 0
        taken: list[Any] = []
        try:
            for index, element in enumerate(value):  # noqa: B007  (named in the error)
                taken.append(take(element))
        except ProblemError as problem:
            problem.where = f"[{index}]{problem.where}"
            raise
        return tuple(taken)

    return check


def _check_set(item: Kind) -> Callable[[Any], Any]:
    take = item.check

    def check(value: Any) -> Any:
        if not isinstance(value, Set | list | tuple):
            raise ProblemError(value, "must be a set")
        return frozenset(map(take, value))

    return check


def _check_mapping(key: Kind, item: Kind) -> Callable[[Any], Any]:
    take_key, take = key.check, item.check

    def check(value: Any) -> Any:
        if value.__class__ is FrozenDict and not value:
            return value
        if not isinstance(value, Mapping):
            raise ProblemError(value, "must be a mapping")
        taken: dict[Any, Any] = {}
        name: Any = None
        try:
            for name, element in value.items():
                taken[take_key(name)] = take(element)
        except ProblemError as problem:
            problem.where = f"[{name!r}]{problem.where}"
            raise
        return FrozenDict(taken)

    return check


def _check_record(cls: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, cls):
            return value
        raise ProblemError(value, f"must be {_article(cls.__name__)}")

    return check


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"


def _check_json(value: Any, depth: int = 32) -> Any:
    """Freezes any JSON value; deeper than 32 levels is refused."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return _check_str(value)
    if isinstance(value, float):
        return _check_float(-math.inf, math.inf)(value)
    if isinstance(value, int):
        return _INT.check(value)
    if depth == 0:
        raise ProblemError(value, "is nested too deep")
    if isinstance(value, Mapping):
        return FrozenDict({_check_str(k): _check_json(v, depth - 1) for k, v in value.items()})
    if isinstance(value, list | tuple):
        return tuple([_check_json(v, depth - 1) for v in value])
    raise ProblemError(value, "must be JSON")


_INT = Kind("int", _check_int(-_I64, _I64 - 1), shows="int")
_FLOAT = Kind("float", _check_float(-math.inf, math.inf), shows="float")
_STR = Kind("str", _check_str, shows="str")
_SIMPLE: Mapping[object, Kind] = {
    int: _INT,
    float: _FLOAT,
    str: _STR,
    bool: Kind("bool", _check_bool, shows="bool"),
    datetime: Kind("datetime", _check_datetime, shows="datetime"),
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


def _kind_of(annotation: Any, origin: Any, marks: tuple[object, ...]) -> Kind:
    for mark in marks:
        if isinstance(mark, Range):
            make = _check_int if annotation is int else _check_float
            return Kind(annotation.__name__, make(*mark), mark, shows=annotation.__name__)
        if isinstance(mark, Pattern):
            return Kind("str", _check_pattern(mark), mark, shows=mark.called)
        if isinstance(mark, Ip):
            return Kind("str", _check_ip(mark.version), mark, shows="IP address")
        if mark is Note.JSON:
            return Kind("json", _check_json)
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    args = get_args(annotation)
    if origin is Literal:
        return Kind("literal", _check_literal(args), args)
    if origin is Mapping:
        key, item = _kind(args[0])[0], _kind(args[1])[0]
        return Kind("map", _check_mapping(key, item), (key, item))
    if origin is Sequence:
        item = _kind(args[0])[0]
        return Kind("seq", _check_sequence(item), (item,))
    if origin is Set:
        item = _kind(args[0])[0]
        return Kind("set", _check_set(item), (item,))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return Kind("enum", _check_enum(annotation), (annotation,), shows=annotation.__name__)
    assert isinstance(annotation, type), f"no kind of field: {annotation}"
    tag = "any record" if Note.POLYMORPHIC in marks else "record"
    return Kind(tag, _check_record(annotation), (annotation,), shows=annotation.__name__)
