"""How one value is written and read, by what its field may hold; a :class:`Profile` says what differs between two formats.

A step converts one value, and is final: what it returns goes into the object, or into the text, as it is. None is no step's
business. A value that a step cannot take raises :class:`~novastate.errors.WireError` whose path begins inside the value
(``[3]``, ``flavor.vcpus``); whoever holds the field puts the way to it before.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, Protocol, cast

from novastate._native.codec import CODEC
from novastate.errors import InvalidField, WireError
from novastate.objects.base import Field, TypeName, prefixed
from novastate.objects.checks import ProblemError, check_json
from novastate.objects.kinds import Kind
from novastate.objects.values import FrozenDict

__all__ = [
    "Late",
    "Profile",
    "Step",
    "bind",
    "dump_field",
    "dump_step",
    "each",
    "items",
    "kept_unknown",
    "load_field",
    "load_items",
    "load_step",
    "thaw",
    "type_of",
    "under",
]

Step = Callable[[Any], Any]


class Profile(Protocol):
    """A format: what it does its own way."""

    def load_record(self, cls: type[Any], polymorphic: bool) -> Step:
        """The step that reads an inner object of *cls*, or, where *polymorphic*, of a subclass of it."""
        ...

    def dump_record(self, cls: type[Any], polymorphic: bool) -> Step:
        """The step that writes one."""
        ...

    @property
    def load_form(self) -> Callable[[Field], Step] | None:
        """What makes the step that reads a field with a form of its own (boxed, JSON text); None: there are no such forms."""
        ...

    @property
    def dump_form(self) -> Callable[[Field], Step] | None:
        """What makes the step that writes one."""
        ...

    def load_time(self, held: Any, /) -> Any:
        """A time, read."""
        ...

    def dump_time(self, held: Any, /) -> Any:
        """A time, written."""
        ...

    @property
    def dump_json(self) -> Step | None:
        """What writes frozen JSON: :func:`thaw`, or None where a JSON library is all that will read it."""
        ...


def load_field(field: Field, profile: Profile) -> Step | None:
    """What reads a value of *field*; None where its own check reads it as it is."""
    make = profile.load_form if field.form else None
    return make(field) if make else load_step(field.kind, profile)


def dump_field(field: Field, profile: Profile) -> Step | None:
    """What writes a value of *field*; None where it is written as it is."""
    make = profile.dump_form if field.form else None
    return make(field) if make else dump_step(field.kind, profile)


def load_step(kind: Kind, profile: Profile) -> Step | None:
    """What reads a value of *kind*; None where the check reads it as it is."""
    match kind.tag:
        case "record" | "any record":
            return profile.load_record(kind.args[0], kind.tag == "any record")
        case "datetime":
            return profile.load_time
        case "seq":
            item = load_step(kind.args[0], profile)
            return None if item is None else items(item)
        case _:
            return None


def dump_step(kind: Kind, profile: Profile) -> Step | None:
    """What writes a value of *kind*; None where it is written as it is."""
    match kind.tag:
        case "record" | "any record":
            return profile.dump_record(kind.args[0], kind.tag == "any record")
        case "enum":
            return _value_of
        case "datetime":
            return profile.dump_time
        case "set":
            return sorted
        case "json":
            return profile.dump_json
        case "seq":
            item = dump_step(kind.args[0], profile)
            return list if item is None else each(item)
        case "map":
            part = dump_step(kind.args[1], profile)
            return dict if part is None else functools.partial(_dump_map, part)
        case "nullable":
            part = dump_step(kind.args[0], profile)
            return None if part is None else functools.partial(_dump_nullable, part)
        case _:
            return None


class Late:
    """A step that is made when the first value comes: most fields of most records are empty.

    Whoever keeps it under a name in a dict (:func:`bind`) finds the made step there afterwards.
    """

    __slots__ = ("_cls", "_homes", "_make", "_step")

    def __init__(self, make: Callable[[type[Any]], Step], cls: type[Any]) -> None:
        self._make, self._cls = make, cls
        self._homes: list[tuple[Any, Any]] = []
        self._step: Step | None = None

    def __call__(self, held: Any) -> Any:
        """Converts the first value; and others, for whoever has not looked since."""
        if self._step is None:
            self._step = self._make(self._cls)
            for names, name in self._homes:
                names[name] = self._step
        return self._step(held)

    def kept(self, names: Any, name: object) -> None:
        """It is kept in *names*, as *name*."""
        self._homes.append((names, name))


def bind(names: dict[str, Any], name: str, step: Step | None) -> None:
    """Puts *step* into *names*; a late one is replaced there once it is made."""
    names[name] = step
    if isinstance(step, Late):
        step.kept(names, name)


def load_items(item: Step, held: Any) -> tuple[Any, ...]:
    """A sequence, each of whose elements *item* reads."""
    if not isinstance(held, list):
        raise WireError("", type_of(held), "must be a sequence")
    elements: list[Any] = held
    out: list[Any] = []
    try:
        for element in elements:
            out.append(item(element))  # noqa: PERF401  (how many there are tells which one is refused)
    except InvalidField as error:
        raise under(error, f"[{len(out)}]") from None
    return tuple(out)


def items(item: Step) -> Step:
    """What reads a sequence whose elements are read by *item*."""
    slow = functools.partial(load_items, item)
    if CODEC is None:
        return slow
    made: Step = CODEC.Items(item, _wrong_item, slow, InvalidField)
    if isinstance(item, Late):
        item.kept(made, 0)
    return made


def _wrong_item(error: InvalidField, index: int) -> NoReturn:
    raise under(error, f"[{index}]") from None


def each(item: Step) -> Step:
    """What writes a sequence whose elements are written by *item*."""
    if CODEC is None:
        return lambda held: [item(element) for element in held]
    made: Step = CODEC.Each(item)
    if isinstance(item, Late):
        item.kept(made, 0)
    return made


def _dump_map(part: Step, held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part(element) for name, element in held.items()}


def _dump_nullable(part: Step, held: Any) -> Any:
    return None if held is None else part(held)


def _value_of(held: Any) -> Any:
    return held.value


def thaw(held: object) -> object:
    """Frozen JSON as dicts and lists."""
    if isinstance(held, FrozenDict):
        members = cast("FrozenDict[str, object]", held)
        return {name: thaw(part) if part.__class__ in _NESTS else part for name, part in members.items()}
    if isinstance(held, tuple):
        return [thaw(part) if part.__class__ in _NESTS else part for part in held]
    return held


#: What frozen JSON is nested in.
_NESTS: Final[frozenset[type[Any]]] = frozenset({FrozenDict, tuple})


def kept_unknown(held: object, at: str) -> Mapping[str, Any]:
    """The unknown fields of a newer version, frozen; :class:`~novastate.errors.WireError` where they are no JSON, or nested too deep.

    The error does not show what they hold: what we do not know may be a secret.
    """
    try:
        return cast("Mapping[str, Any]", check_json(held))
    except ProblemError as problem:
        raise WireError(f"{at}{problem.where}", "***", problem.problem) from None


def under(error: InvalidField, where: str) -> WireError:
    """An inner error with the path of the outer place: an index goes behind it, the inner root is replaced by it."""
    if error.field.startswith("["):
        return WireError(f"{where}{error.field}", error.value, error.problem, error.allowed)
    return cast("WireError", prefixed(error, where, WireError))


def type_of(held: object) -> str | TypeName:
    """What an error shows of a value that may be anything: a short text as it is, else its type."""
    return held if isinstance(held, str) else TypeName(type(held).__name__)
