"""What a domain object is made of: typed fields, checked once, where they are declared.

Rules of this file:

1. A field is one line in a class body. Its annotation says everything: the type, whether None is allowed, its
   range (``Annotated``), and whether it may be missing (``| Unset``). Checks, converters, strategies and the wire
   profile are all derived from that line, through :func:`fields`.
2. A value is checked when it enters, at construction and at assignment, and never again. What cannot be taken raises
   :class:`~novastate.errors.InvalidField` with the full path (``instance.flavor.memory_mb``); nothing was changed.
3. Containers are frozen when they enter (tuple, frozenset, :class:`FrozenDict`), so an object can be copied
   by reference and no change escapes the checks: assign a new container to change one.
4. The classes are attrs classes: ``attrs.fields``, ``asdict`` and ``evolve`` work on them. :func:`record` and :func:`value`
   only give each attribute its converter, which checks, and the states their setter, which asks the machine.
5. A secret is never shown: not by repr, str or format, and not in an error.

:data:`UNSET` is a field that was never loaded. It differs from None, which is a value. A field whose type has no
``Unset`` is one that every whole record has; a partial record, read from elsewhere, may hold UNSET in any of them
(see :func:`unset`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast, dataclass_transform

import attrs
from attrs import NOTHING, Attribute, setters

from novastate.errors import InvalidField
from novastate.objects.checks import ProblemError
from novastate.objects.kinds import Kind, understand
from novastate.objects.marks import Moves, Note, Wire
from novastate.objects.past import LOADED, Past
from novastate.objects.values import UNSET

__all__ = [
    "MASK",
    "Field",
    "Record",
    "TypeName",
    "declared",
    "evolve",
    "fields",
    "is_mutable",
    "per_class",
    "prefixed",
    "record",
    "root",
    "tracked",
    "unset",
    "value",
]

T = TypeVar("T")

#: What is shown in the place of a secret.
MASK: Final = "***"

_SECRET_KEY = re.compile(r"pass|pwd|secret|token|credential|private|auth|key", re.IGNORECASE)


class Field(NamedTuple):
    """One declared field: what :func:`fields` tells of it."""

    name: str
    #: How errors name it: ``flavor.memory_mb``.
    path: str
    #: What it holds when nothing was given; UNSET where something must be given.
    default: Any
    required: bool
    #: What it may hold beside None and UNSET.
    kind: Kind
    #: None is taken.
    nullable: bool
    #: UNSET is part of its type: a whole record may lack it.
    optional: bool
    #: Never shown (in a mapping: what sounds like a secret).
    secret: bool
    #: Cannot be changed once set.
    fixed: bool
    #: The machine, or machines, whose state this is.
    moves: Moves | None
    #: Its name in Nova's objects; empty where Nova has no such field.
    wire: str
    #: On Nova's wire: :data:`~novastate.objects.marks.Note.BOXED`, ``JSON_TEXT``, or neither.
    form: Note | None = None


# --- records


class Record:  # noqa: PLW1641  (attrs makes both)
    """The base of every domain object: it knows its fields, and never shows a secret.

    Two records are equal when they are of one class and all their fields are, ``revision`` among them. Values hash;
    mutable records do not. Where a record came from (:mod:`~novastate.objects.past`) is no part of it.
    """

    __slots__ = ("__weakref__", "_held", "_past")

    if TYPE_CHECKING:
        _held: tuple[Any, ...]
        _past: Past

        def __eq__(self, other: object) -> bool: ...  # attrs makes it

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        """Sets what a copy or a pickle carries: every slot, past every check."""
        for name, held in state[1].items():
            object.__setattr__(self, name, held)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name} cannot be deleted; {name} = UNSET says that it is not known")

    def __repr__(self) -> str:
        """The fields that differ from their defaults, in order; secrets masked."""
        return f"{type(self).__name__}({', '.join(f'{name}={held!r}' for name, held in self.__rich_repr__())})"

    def __rich_repr__(self) -> Iterator[tuple[str, object]]:
        """What rich shows: the same as repr."""
        lacking = [name for name, field in fields(type(self)).items() if _lacks(self, field)]
        for name, field in fields(type(self)).items():
            held = getattr(self, name, UNSET)
            if held is field.default or held == field.default or (len(lacking) > _FEW and name in lacking):
                continue
            yield name, _masked(held) if field.secret and held is not None and held is not UNSET else held
        if len(lacking) > _FEW:
            yield "UNSET", TypeName(f"{len(lacking)} fields")


#: So many fields of a partial record are shown as UNSET, each by its name; more are counted.
_FEW: Final = 4


def _lacks(obj: Record, field: Field) -> bool:
    return field.default is not UNSET or field.required if getattr(obj, field.name, UNSET) is UNSET else False


def _masked(held: Any) -> object:
    if isinstance(held, Mapping):
        mapping = cast("Mapping[str, object]", held)
        return {k: MASK if _SECRET_KEY.search(k) else v for k, v in mapping.items()}
    return MASK


def root(cls: type[Any]) -> str:
    """How paths in errors name an object of *cls*: ``request_spec`` for RequestSpec."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()


def _taker(field: Field) -> Callable[[Any], Any]:
    """What checks one field, at construction and at assignment."""
    check, default, nullable = field.kind.check, field.default, field.nullable

    def take(value: Any) -> Any:
        if value is default or value is UNSET or (value is None and nullable):
            return value
        try:
            return check(value)
        except ProblemError as problem:
            shown = MASK if field.secret else _shown(problem.value)
            raise InvalidField(f"{field.path}{problem.where}", shown, problem.problem, problem.allowed) from None

    return take


class TypeName(NamedTuple):
    """Stands for a value that is too big, or too private, to be in an error: its type."""

    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _shown(value: object) -> object:
    """A value as errors may hold it: a scalar as it is, anything with an inside as its type."""
    if value is None or isinstance(value, bool | int | float | str | Enum | datetime):
        return value
    return TypeName(type(value).__name__)


def prefixed(error: InvalidField, where: str, kind: type[InvalidField] | None = None) -> InvalidField:
    """*error*, told of an inner object, as told of the outer one: the first name of its path becomes *where*."""
    _, dot, rest = error.field.partition(".")
    return (kind or type(error))(f"{where}{dot}{rest}", error.value, error.problem, error.allowed)


# --- what attrs makes of them


def _checked(cls: type[Any], attributes: list[Attribute[Any]]) -> list[Attribute[Any]]:
    """The attributes of *cls*, each with its check; the inherited ones too, whose paths begin with *cls* now."""
    if any(isinstance(attribute.type, str) for attribute in attributes):  # from __future__ import annotations
        attrs.resolve_types(cls, attribs=attributes)
    return [_with_check(_field(cls, attribute), attribute) for attribute in attributes]


def _field(cls: type[Any], attribute: Attribute[Any]) -> Field:
    annotation: Any = attribute.type
    meant = understand(annotation)
    required = attribute.default is NOTHING
    return Field(
        name=attribute.name,
        path=f"{root(cls)}.{attribute.name}",
        default=UNSET if required else attribute.default,
        required=required,
        kind=meant.kind,
        nullable=meant.nullable,
        optional=meant.optional,
        secret=Note.SECRET in meant.marks,
        fixed=Note.FIXED in meant.marks,
        moves=next((m for m in meant.marks if isinstance(m, Moves)), None),
        wire=next((m.name for m in meant.marks if isinstance(m, Wire)), attribute.name),
        form=next((m for m in (Note.BOXED, Note.JSON_TEXT) if m in meant.marks), None),
    )


def _with_check(field: Field, attribute: Attribute[Any]) -> Attribute[Any]:
    take = _taker(field)
    take.__annotations__ = {"value": attribute.type}  # attrs shows it in the signature
    made: dict[str, Any] = {"converter": take, "metadata": {Field: field}, "repr": not field.secret}
    if field.moves or field.fixed:
        made["on_setattr"] = setters.pipe(setters.convert, _move if field.moves else _keep)
    return attribute.evolve(**made)


def _keep(obj: Any, attribute: Attribute[Any], new: Any) -> Any:
    """What a fixed field is assigned: what it holds."""
    held = getattr(obj, attribute.name)
    if held is not UNSET and new != held:
        raise InvalidField(attribute.metadata[Field].path, _shown(new), f"is fixed, and is {held}")
    return new


def _move(obj: Any, attribute: Attribute[Any], new: Any) -> Any:
    """What a state is assigned: one that its machine has an edge to."""
    field: Field = attribute.metadata[Field]
    machine = field.moves.of(obj) if field.moves else None
    if new is UNSET:
        raise InvalidField(field.path, new, "a state cannot be taken away")
    if machine is None:
        raise InvalidField(field.path, new, "cannot move before its machine is known")
    return machine.check_assignment(getattr(obj, field.name), new)


_DECLARED: dict[str, type[Any]] = {}


def _declare(cls: type[T], **how: Any) -> type[T]:
    made = attrs.define(cls, kw_only=True, repr=False, getstate_setstate=False, field_transformer=_checked, **how)
    _DECLARED[made.__name__] = made
    return made


@dataclass_transform(kw_only_default=True)
def record(cls: type[T]) -> type[T]:
    """Makes a class body into a mutable record: slots, keyword arguments, every field checked on its way in."""
    return _declare(cls, on_setattr=setters.convert)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Makes a class body into a value: as :func:`record`, but frozen, and hashable."""
    made = _declare(cls, frozen=True)
    made.__setattr__ = _refuse_assignment  # type: ignore[method-assign]
    return made


class FrozenValueError(attrs.exceptions.FrozenInstanceError):
    """A field of a value was assigned to: what attrs raises, and what to do instead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def __str__(self) -> str:
        return self.text


def _refuse_assignment(obj: object, name: str, _: object) -> None:
    text = f"{name} of a {type(obj).__name__} cannot be assigned: it is a value; evolve(…, {name}=…) makes a new one"
    raise FrozenValueError(text)


def per_class(make: Callable[[type[Any]], T]) -> Callable[[type[Any]], T]:
    """Makes a function of a class remember what it has made."""
    return cast("Callable[[type[Any]], T]", functools.cache(make))


@per_class
def fields(cls: type[Any]) -> Mapping[str, Field]:
    """The declared fields of a record class, by name, in order."""
    for attribute in attrs.fields(cls):
        if Field not in attribute.metadata:
            text = f"{cls.__name__}.{attribute.name} is no checked field: make the class with novastate.objects.base.value or record"
            raise TypeError(text)
    return MappingProxyType({attribute.name: attribute.metadata[Field] for attribute in attrs.fields(cls)})


def is_mutable(cls: type[Any]) -> bool:
    """Whether objects of *cls* can be assigned to: a record, not a value."""
    return cls.__hash__ is None


@per_class
def tracked(cls: type[Any]) -> tuple[str, ...]:
    """The names of the fields whose changes count: all that Nova has, not the revision of the store."""
    return tuple(name for name, field in fields(cls).items() if field.wire)


def declared() -> Mapping[str, type[Any]]:
    """Every record class, by name."""
    from novastate import objects  # noqa: PLC0415  (it loads the families, and they this file)

    for name in objects.__all__:
        getattr(objects, name)
    return dict(_DECLARED)


def unset(obj: Record) -> tuple[str, ...]:
    """The names of the fields of *obj* that were never loaded."""
    return tuple(name for name in fields(type(obj)) if getattr(obj, name) is UNSET)


def evolve(obj: T, **changes: Any) -> T:
    """A new object like *obj* with *changes*, each checked; no machine is asked, so it is for values.

    It has the past of *obj*; what differs is a change. A state of a live record is moved by its machine.

    >>> from novastate.objects import VirtCPUTopology
    >>> evolve(VirtCPUTopology(sockets=2), cores=4)
    VirtCPUTopology(sockets=2, cores=4)
    """
    evolved: Any = attrs.evolve(cast("Any", obj), **changes)
    past: Past = getattr(obj, "_past", LOADED)
    if hasattr(obj, "_held"):
        object.__setattr__(evolved, "_held", cast("Any", obj)._held)  # noqa: SLF001  (this file's own slot)
    elif isinstance(obj, Record):
        differs = {name for name in changes if getattr(obj, name) != getattr(evolved, name)}
        past = past._replace(changed=past.changed | differs) if differs else past
    if hasattr(obj, "_past"):
        object.__setattr__(evolved, "_past", past)
    return cast("T", evolved)
