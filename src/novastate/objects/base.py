"""What a domain object is made of: typed fields, checked once, where they are declared.

Rules of this file:

1. A field is one line in a class body. Its annotation says everything: the type, whether None is allowed, its
   range (``Annotated``), and whether it may be missing (``| Unset``). Checks, converters, strategies and the wire
   profile are all derived from that line, through :func:`fields`.
2. A value is checked when it enters, at construction and at assignment, and never again. What cannot be taken raises
   :class:`~novastate.errors.InvalidField` with the full path (``instance.flavor.memory_mb``); nothing was changed.
3. Nothing is coerced in silence: ``'7'`` is not 7, ``True`` is not 1, NaN is no number. What is taken in another
   spelling means the same: an enum's value for the enum, a whole number for a float, a naive datetime as UTC.
4. Containers are frozen when they enter (tuple, frozenset, :class:`FrozenDict`), so an object can be copied
   by reference and no change escapes the checks: assign a new container to change one.
5. A secret is never shown: not by repr, str or format, and not in an error.

:data:`UNSET` is a field that was never loaded. It differs from None, which is a value. A field whose type has no
``Unset`` is one that every whole record has; a partial record, read from elsewhere, may hold UNSET in any of them
(see :func:`unset`).
"""

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime
from enum import Enum
from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    Never,
    TypeVar,
    Union,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
)
from uuid import UUID

import attrs

from novastate.errors import InvalidField, near

__all__ = [
    "EMPTY",
    "MASK",
    "UNSET",
    "Field",
    "FrozenDict",
    "Json",
    "Kind",
    "Record",
    "Unset",
    "evolve",
    "fields",
    "prefixed",
    "record",
    "unset",
    "value",
]

T = TypeVar("T")
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

#: What is shown in the place of a secret.
MASK: Final = "***"


class FrozenDict(dict[K, V]):
    """A dict that cannot be changed, and can be hashed when its values can."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> Never:
        raise TypeError("the mapping is frozen: assign a new one, e.g. {**old, key: value}")

    __setitem__ = __delitem__ = __ior__ = _refuse  # type: ignore[assignment]
    clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

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

#: Any JSON value; frozen when it enters an object.
Json = Any


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


class Moves(NamedTuple):
    """The field is the state of a machine; given the object, *machine* tells which."""

    machine: Callable[[Any], Any]


_I64 = 2**63
_UUID = r"[a-fA-F0-9]{8}-?[a-fA-F0-9]{4}-?[a-fA-F0-9]{4}-?[a-fA-F0-9]{4}-?[a-fA-F0-9]{12}"
_SECRET_KEY = re.compile(r"pass|secret|token|credential|private|auth|key", re.IGNORECASE)

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


class _ProblemError(Exception):
    """A refused value on its way up; each container on the way adds its place."""

    def __init__(self, value: object, problem: str, allowed: Iterable[object] = (), where: str = "") -> None:
        self.value, self.problem, self.allowed, self.where = value, problem, tuple(allowed), where
        super().__init__(problem)


def _check_int(least: float, most: float) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value.__class__ is int:
            if least <= value <= most:
                return value
            raise _ProblemError(value, _range_text("a whole number", least, most))
        # numpy's integers are whole numbers too; bool is not, whatever Python says.
        if not isinstance(value, bool | str | float) and hasattr(value, "__index__"):
            return check(value.__index__())
        raise _ProblemError(value, "must be a whole number")

    return check


def _check_float(least: float, most: float) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, float | int):
            raise _ProblemError(value, "must be a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise _ProblemError(value, "must be a finite number")
        if least <= number <= most:
            return number
        raise _ProblemError(value, _range_text("a number", least, most))

    return check


def _range_text(what: str, least: float, most: float) -> str:
    if least == -_I64:
        return f"must be {what} of 64 bits"
    return f"must be {what}, {least} or more" if most >= _I64 - 1 else f"must be {what} from {least} to {most}"


def _check_bool(value: Any) -> Any:
    if value is True or value is False:
        return value
    raise _ProblemError(value, "must be true or false")


def _check_str(value: Any) -> Any:
    if value.__class__ is str or isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _ProblemError(value, "must be text that UTF-8 can hold") from None
        return value if value.__class__ is str else str.__str__(value)
    raise _ProblemError(value, "must be text")


def _check_pattern(pattern: Pattern) -> Callable[[Any], Any]:
    fullmatch: Callable[[str], object] | None = None

    def check(value: Any) -> Any:
        nonlocal fullmatch
        if fullmatch is None:  # compiled when first needed: an import compiles no pattern
            fullmatch = re.compile(pattern.regex).fullmatch
        if isinstance(value, UUID):
            value = str(value)
        if value.__class__ is not str or fullmatch(value) is None:
            raise _ProblemError(value, f"must be {pattern.called}")
        return value

    return check


def _check_ip(version: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        import ipaddress  # noqa: PLC0415  (only who has addresses pays for it)

        made = {0: ipaddress.ip_address, 4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}[version]
        try:
            if value.__class__ is str:
                return made(value) and value
        except ValueError:
            pass
        raise _ProblemError(value, f"must be an IP{f'v{version}' if version else ''} address")

    return check


def _check_datetime(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is UTC:
            return value
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError:
            raise _ProblemError(value, "must be a time that UTC can tell") from None
    raise _ProblemError(value, "must be a datetime")


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


def _not_one_of(value: object, called: str, values: Sequence[object]) -> _ProblemError:
    meant = near(value, [v for v in values if isinstance(v, str)]) if isinstance(value, str) else ()
    hint = f" (did you mean {' or '.join(meant)}?)" if meant else ""
    return _ProblemError(value, f"is not one of {called}{hint}", values)


def _check_sequence(item: Kind) -> Callable[[Any], Any]:
    take = item.check

    def check(value: Any) -> Any:
        if not isinstance(value, tuple | list):
            raise _ProblemError(value, "must be a sequence")
        index = 0
        taken: list[Any] = []
        try:
            for index, element in enumerate(value):  # noqa: B007  (named in the error)
                taken.append(take(element))  # noqa: PERF401  (the index is part of the error)
        except _ProblemError as problem:
            problem.where = f"[{index}]{problem.where}"
            raise
        return tuple(taken)

    return check


def _check_set(item: Kind) -> Callable[[Any], Any]:
    take = item.check

    def check(value: Any) -> Any:
        if not isinstance(value, Set | list | tuple):
            raise _ProblemError(value, "must be a set")
        return frozenset(map(take, value))

    return check


def _check_mapping(key: Kind, item: Kind) -> Callable[[Any], Any]:
    take_key, take = key.check, item.check

    def check(value: Any) -> Any:
        if value.__class__ is FrozenDict and not value:
            return value
        if not isinstance(value, Mapping):
            raise _ProblemError(value, "must be a mapping")
        taken: dict[Any, Any] = {}
        name: Any = None
        try:
            for name, element in value.items():
                taken[take_key(name)] = take(element)
        except _ProblemError as problem:
            problem.where = f"[{name!r}]{problem.where}"
            raise
        return FrozenDict(taken)

    return check


def _check_record(cls: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, cls):
            return value
        raise _ProblemError(value, f"must be {_article(cls.__name__)}")

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
        raise _ProblemError(value, "is nested too deep")
    if isinstance(value, Mapping):
        return FrozenDict({_check_str(k): _check_json(v, depth - 1) for k, v in value.items()})
    if isinstance(value, list | tuple):
        return tuple([_check_json(v, depth - 1) for v in value])
    raise _ProblemError(value, "must be JSON")


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


class Field:
    """One declared field: what :func:`fields` tells of it."""

    __slots__ = ("default", "fixed", "kind", "machine", "name", "nullable", "optional", "required", "secret", "wire")

    def __init__(self, name: str, annotation: Any, default: Any) -> None:
        meant = _understand(annotation)
        self.name, self.default, self.required = name, default, default is attrs.NOTHING
        #: What it may hold beside None and UNSET.
        self.kind = meant.kind
        #: None is taken.
        self.nullable = meant.nullable
        #: UNSET is part of its type: a whole record may lack it.
        self.optional = meant.optional
        #: Never shown (in a mapping: what sounds like a secret).
        self.secret = Note.SECRET in meant.marks
        #: Cannot be changed once set.
        self.fixed = Note.FIXED in meant.marks
        #: Given the object, the machine whose state this is.
        self.machine = next((m.machine for m in meant.marks if isinstance(m, Moves)), None)
        #: Its name in Nova's objects; empty where Nova has no such field.
        self.wire = next((m.name for m in meant.marks if isinstance(m, Wire)), name)

    def __repr__(self) -> str:
        return f"Field({self.name}: {self.kind.shows or self.kind.tag}{' | None' if self.nullable else ''})"


class _Meaning(NamedTuple):
    kind: Kind
    nullable: bool
    optional: bool
    marks: frozenset[object]


@functools.lru_cache(maxsize=None)
def _understand(annotation: Any) -> _Meaning:
    parts: list[Any] = [annotation]
    if get_origin(annotation) in {Union, UnionType}:
        parts = list(get_args(annotation))
    rest = [part for part in parts if part is not type(None) and part is not Unset]
    assert len(rest) == 1, f"one type a field, beside None and Unset: {annotation}"
    kind, marks = _kind(rest[0])
    nullable = type(None) in parts or Note.LEGACY_NULL in marks or kind.tag == "json"
    return _Meaning(kind, nullable, Unset in parts, marks)


@functools.lru_cache(maxsize=None)
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


# --- records


_FIELDS: dict[type, dict[str, Field]] = {}


class Record:
    """The base of every domain object: it knows its fields, and never shows a secret."""

    __slots__ = ()

    def __repr__(self) -> str:
        """The fields that differ from their defaults, in order; secrets masked."""
        shown: list[str] = []
        for name, field in fields(type(self)).items():
            held = getattr(self, name, UNSET)
            if held is field.default or held == field.default:
                continue
            if field.secret and held is not None and held is not UNSET:
                held = _masked(held)
            shown.append(f"{name}={held!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def _masked(held: Any) -> object:
    if isinstance(held, Mapping):
        mapping = cast("Mapping[str, object]", held)
        return {k: MASK if _SECRET_KEY.search(k) else v for k, v in mapping.items()}
    return MASK


def _root(cls: type) -> str:
    """``request_spec`` for RequestSpec, ``instance_numa_cell`` for InstanceNUMACell."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()


def _taker(cls: type, field: Field) -> Callable[[Any], Any]:
    """What checks one field of *cls*, at construction and at assignment."""
    check, nullable, name, secret = field.kind.check, field.nullable, field.name, field.secret

    def take(value: Any) -> Any:
        if value is UNSET or (value is None and nullable):
            return value
        try:
            return check(value)
        except _ProblemError as problem:
            path = f"{_root(cls)}.{name}{problem.where}"
            shown = MASK if secret else _shown(problem.value)
            raise InvalidField(path, shown, problem.problem, problem.allowed) from None

    return take


class _Type(NamedTuple):
    """Stands for a value that is too big, or too private, to be in an error: its type."""

    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _shown(value: object) -> object:
    """A value as errors may hold it: a scalar as it is, anything with an inside as its type."""
    if value is None or isinstance(value, bool | int | float | str | Enum | datetime):
        return value
    return _Type(type(value).__name__)


def prefixed(error: InvalidField, where: str, kind: type[InvalidField] | None = None) -> InvalidField:
    """*error*, told of an inner object, as told of the outer one: the first name of its path becomes *where*."""
    _, dot, rest = error.field.partition(".")
    return (kind or type(error))(f"{where}{dot}{rest}", error.value, error.problem, error.allowed)


def _fixed(obj: Any, attribute: Any, value: Any) -> Any:
    held, new = getattr(obj, attribute.name), attribute.converter(value)
    if held is not UNSET and new is not held and new != held:
        raise InvalidField(f"{_root(type(obj))}.{attribute.name}", _shown(new), f"is fixed, and is {held}")
    return new


def _move(obj: Any, attribute: Any, value: Any) -> Any:
    """Assignment of a state: only along a row of the machine."""
    new = attribute.converter(value)
    machine = fields(type(obj))[attribute.name].machine
    assert machine is not None
    if new is None or new is UNSET:
        raise InvalidField(f"{_root(type(obj))}.{attribute.name}", new, "a state cannot be taken away")
    return machine(obj).check_assignment(getattr(obj, attribute.name), new)


def _made(cls: type[T], *, frozen: bool) -> type[T]:
    table: dict[str, Field] = {}

    def transform(cls: type, attributes: list[Any]) -> list[Any]:
        out: list[Any] = []
        for attribute in attributes:
            field = table[attribute.name] = Field(attribute.name, attribute.type, attribute.default)
            setter: Any = None
            if not frozen:
                setter = _move if field.machine else _fixed if field.fixed else attrs.setters.convert
            out.append(attribute.evolve(converter=_taker(cls, field), on_setattr=setter))
        return out

    made = attrs.define(cls, slots=True, kw_only=True, repr=False, frozen=frozen, field_transformer=transform)
    _FIELDS[made] = table
    return made


@dataclass_transform(kw_only_default=True)
def record(cls: type[T]) -> type[T]:
    """Makes a class body into a mutable record: slots, keyword arguments, every field checked on its way in."""
    return _made(cls, frozen=False)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Makes a class body into a value: as :func:`record`, but frozen, and hashable."""
    return _made(cls, frozen=True)


def fields(cls: type) -> Mapping[str, Field]:
    """The declared fields of a record class, by name, in order."""
    return _FIELDS[cls]


def unset(obj: Record) -> tuple[str, ...]:
    """The names of the fields of *obj* that were never loaded."""
    return tuple(name for name in fields(type(obj)) if getattr(obj, name) is UNSET)


def evolve(obj: T, **changes: Any) -> T:
    """A new object like *obj* with *changes*; every field is checked, and no machine is asked.

    It is for values. A state of a live record is moved by its machine.
    """
    cls = type(obj)
    held = {name: getattr(obj, name) for name in _FIELDS[cls]}
    if not changes.keys() <= held.keys():
        unknown = sorted(changes.keys() - held.keys())[0]
        raise InvalidField(f"{_root(cls)}.{unknown}", unknown, f"is no field of {cls.__name__}", near(unknown, held))
    return cls(**{**held, **changes})
