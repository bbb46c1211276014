"""What a domain object is made of: typed fields, checked once, where they are declared.

Rules of this file:

1. A field is one line in a class body. Its annotation says everything: the type, whether None is allowed, its
   range (``Annotated``), and whether it may be missing (``| Unset``). Checks, converters, strategies and the wire
   profile are all derived from that line, through :func:`fields`.
2. A value is checked when it enters, at construction and at assignment, and never again. What cannot be taken raises
   :class:`~novastate.errors.InvalidField` with the full path (``instance.flavor.memory_mb``); nothing was changed.
3. Containers are frozen when they enter (tuple, frozenset, :class:`FrozenDict`), so an object can be copied
   by reference and no change escapes the checks: assign a new container to change one.
4. An import compiles nothing. A class's ``__init__`` and table of fields are made with its first object.
5. A secret is never shown: not by repr, str or format, and not in an error.

:data:`UNSET` is a field that was never loaded. It differs from None, which is a value. A field whose type has no
``Unset`` is one that every whole record has; a partial record, read from elsewhere, may hold UNSET in any of them
(see :func:`unset`).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from enum import Enum
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self, TypeVar, cast, dataclass_transform, get_type_hints

from novastate.errors import InvalidField, near
from novastate.objects.checks import ProblemError
from novastate.objects.kinds import understand
from novastate.objects.marks import Moves, Note, Wire
from novastate.objects.values import UNSET

__all__ = [
    "MASK",
    "Field",
    "Record",
    "declared",
    "evolve",
    "fields",
    "prefixed",
    "record",
    "root",
    "unknown_field",
    "unset",
    "value",
]

T = TypeVar("T")

#: What is shown in the place of a secret.
MASK: Final = "***"

_SECRET_KEY = re.compile(r"pass|secret|token|credential|private|auth|key", re.IGNORECASE)


class FrozenRecordError(AttributeError):
    """A field of a value was to be assigned. It is an AttributeError, as for attrs and dataclasses."""


class Field:
    """One declared field: what :func:`fields` tells of it."""

    __slots__ = (
        "annotation",
        "default",
        "fixed",
        "kind",
        "moves",
        "name",
        "nullable",
        "optional",
        "required",
        "secret",
        "wire",
    )

    def __init__(self, name: str, annotation: Any, default: Any) -> None:
        meant = understand(annotation)
        self.name, self.annotation, self.required = name, annotation, default is _REQUIRED
        #: What it holds when nothing was given; UNSET where something must be given.
        self.default = UNSET if self.required else default
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
        #: The machine, or machines, whose state this is.
        self.moves = next((m for m in meant.marks if isinstance(m, Moves)), None)
        #: Its name in Nova's objects; empty where Nova has no such field.
        self.wire = next((m.name for m in meant.marks if isinstance(m, Wire)), name)

    def __repr__(self) -> str:
        return f"Field({self.name}: {self.kind.shows or self.kind.tag}{' | None' if self.nullable else ''})"


# --- records


_REQUIRED: Final = object()

#: By class: the annotation and the default of each field, inherited ones first.
_DECLARED: dict[type, dict[str, tuple[Any, Any]]] = {}


class _Plan(NamedTuple):
    """What a record class needs at run time, derived from its annotations when the first object is made."""

    fields: Mapping[str, Field]
    takers: Mapping[str, Callable[[Any], Any]]
    setters: Mapping[str, Callable[[Any, Any], None]]
    key: Callable[[Any], Any]


_PLANS: dict[type, _Plan] = {}


class Record:
    """The base of every domain object: it knows its fields, and never shows a secret.

    Two records are equal when they are of one class and all their fields are, ``revision`` among them. Values hash;
    mutable records do not.
    """

    __slots__ = ("__weakref__",)

    def __init__(self, **_: Any) -> None:
        raise TypeError(f"{type(self).__name__} is not declared as a record")

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in fields(type(self))}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, held in state.items():
            object.__setattr__(self, name, held)

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        key = _plan(self.__class__).key
        return bool(key(self) == key(other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """The fields that differ from their defaults, in order; secrets masked."""
        return f"{type(self).__name__}({', '.join(f'{name}={held!r}' for name, held in self.__rich_repr__())})"

    def __rich_repr__(self) -> Iterator[tuple[str, object]]:
        """What rich shows: the same as repr."""
        for name, field in fields(type(self)).items():
            held = getattr(self, name, UNSET)
            if held is field.default or held == field.default:
                continue
            yield name, _masked(held) if field.secret and held is not None and held is not UNSET else held

    def __replace__(self, **changes: Any) -> Self:
        """:func:`copy.replace` of Python 3.13."""
        return evolve(self, **changes)


def _hash(self: Record) -> int:
    cls = self.__class__
    return hash((cls, _plan(cls).key(self)))


def _masked(held: Any) -> object:
    if isinstance(held, Mapping):
        mapping = cast("Mapping[str, object]", held)
        return {k: MASK if _SECRET_KEY.search(k) else v for k, v in mapping.items()}
    return MASK


def root(cls: type[Any]) -> str:
    """How paths in errors name an object of *cls*: ``request_spec`` for RequestSpec."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()


def _taker(path: str, field: Field) -> Callable[[Any], Any]:
    """What checks one field, at construction and at assignment."""
    check, nullable, secret = field.kind.check, field.nullable, field.secret

    def take(value: Any) -> Any:
        if value is UNSET or (value is None and nullable):
            return value
        try:
            return check(value)
        except ProblemError as problem:
            shown = MASK if secret else _shown(problem.value)
            raise InvalidField(f"{path}{problem.where}", shown, problem.problem, problem.allowed) from None

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


def _plan(cls: type[Any]) -> _Plan:
    try:
        return _PLANS[cls]
    except KeyError:
        pass
    declared_in = next((c for c in cls.__mro__ if c in _DECLARED), None)
    if declared_in is None:
        raise TypeError(f"{cls.__name__} is not declared as a record")
    declared = {name: Field(name, *declaration) for name, declaration in _resolved(declared_in).items()}
    takers = {name: _taker(f"{root(cls)}.{name}", field) for name, field in declared.items()}
    setters = {name: _setter(cls, field, takers[name]) for name, field in declared.items()}
    key = attrgetter(*declared) if declared else _nothing
    plan = _PLANS[cls] = _Plan(MappingProxyType(declared), takers, setters, key)
    return plan


def _resolved(cls: type[Any]) -> dict[str, tuple[Any, Any]]:
    """The declarations of *cls*; annotations that are text (``from __future__ import annotations``) are evaluated."""
    declarations = _DECLARED[cls]
    if any(isinstance(annotation, str) for annotation, _ in declarations.values()):
        hints = get_type_hints(cls, include_extras=True)
        declarations = {name: (hints[name], default) for name, (_, default) in declarations.items()}
    return declarations


def _nothing(_: object) -> tuple[()]:
    return ()


def _setter(cls: type[Any], field: Field, take: Callable[[Any], Any]) -> Callable[[Any, Any], None]:
    """What assigns one field of a mutable record, or raises and changes nothing."""
    name, moves, put = field.name, field.moves, object.__setattr__

    def assign(obj: Any, value: Any) -> None:
        put(obj, name, take(value))

    def assign_fixed(obj: Any, value: Any) -> None:
        held, new = getattr(obj, name), take(value)
        if held is not UNSET and new is not held and new != held:
            raise InvalidField(f"{root(cls)}.{name}", _shown(new), f"is fixed, and is {held}")
        put(obj, name, new)

    def move(obj: Any, value: Any) -> None:
        new = take(value)
        machine = moves.of(obj) if moves else None
        if new is UNSET:
            raise InvalidField(f"{root(cls)}.{name}", new, "a state cannot be taken away")
        if machine is None:
            raise InvalidField(f"{root(cls)}.{name}", new, "cannot move before its machine is known")
        put(obj, name, machine.check_assignment(getattr(obj, name), new))

    return move if moves else assign_fixed if field.fixed else assign


def _assign(self: Any, name: str, value: Any) -> None:
    try:
        setter = _plan(self.__class__).setters[name]
    except KeyError:
        cls = self.__class__
        raise unknown_field(cls, name) from None
    setter(self, value)


def _keep(self: object, name: str) -> None:
    raise AttributeError(
        f"a field of a {type(self).__name__} cannot be deleted; {name} = UNSET says that it is not known"
    )


def unknown_field(cls: type[Any], name: str) -> AttributeError:
    """What is raised for a field that *cls* does not have; the text names the near ones."""
    meant = near(name, _plan(cls).fields)
    hint = f"; did you mean {' or '.join(meant)}?" if meant else ""
    return AttributeError(f"{cls.__name__} has no field {name!r}{hint}", name=name)


def _first_init(cls: type[Any]) -> Callable[..., None]:
    """Stands for the ``__init__`` of *cls* until the first object is made: an import compiles nothing."""

    def __init__(self: Any, **given: Any) -> None:  # noqa: N807  (it is one)
        # Threads that come here at once each compile the same function; the last one stays.
        init = cls.__init__ = _compiled_init(cls)
        init(self, **given)

    return __init__


def _compiled_init(cls: type[Any]) -> Callable[..., None]:
    """An ``__init__`` as one would write it by hand: a keyword for each field, a check for each that is not its default."""
    plan = _plan(cls)
    space: dict[str, Any] = {}
    heads, lines = [""], list[str]()
    for n, (name, field) in enumerate(plan.fields.items()):
        space[f"take{n}"], space[f"put{n}"] = plan.takers[name], getattr(cls, name).__set__
        if field.required:
            heads[0] += f"{name}, "
            lines.append(f" put{n}(self, take{n}({name}))")
        else:
            space[f"default{n}"] = field.default
            heads.append(f"{name}=default{n}, ")
            lines.append(f" put{n}(self, {name} if {name} is default{n} else take{n}({name}))")
    source = f"def __init__(self, *, {''.join(heads)}):\n" + "\n".join(lines) if lines else "def __init__(self): pass"
    exec(compile(source, f"<novastate init {cls.__name__}>", "exec"), space)  # noqa: S102  (as attrs does, later)
    init = space["__init__"]
    init.__qualname__, init.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    init.__annotations__ = {name: field.annotation for name, field in plan.fields.items()} | {"return": None}
    return cast("Callable[..., None]", init)


class _Signature:
    """What :func:`inspect.signature` finds on a record class, also before its ``__init__`` is compiled."""

    def __get__(self, obj: object, cls: type[Any]) -> Any:
        from inspect import Parameter, Signature  # noqa: PLC0415  (only who asks pays for it)

        return Signature(
            [
                Parameter(
                    name,
                    Parameter.KEYWORD_ONLY,
                    default=Parameter.empty if field.required else field.default,
                    annotation=field.annotation,
                )
                for name, field in fields(cls).items()
            ]
        )


class _Attributes:
    """What attrs finds on a record class: ``attrs.fields``, ``has``, ``asdict``, ``evolve`` work on it, and cattrs knows it.

    attrs itself would compile an ``__init__`` of each class at import, which costs three times the rest.
    """

    def __get__(self, obj: object, cls: type[Any]) -> Any:
        import attrs  # noqa: PLC0415  (only who asks pays for it)

        made = {
            name: attrs.field(
                kw_only=True,
                type=field.annotation,
                default=attrs.NOTHING if field.required else field.default,
                repr=not field.secret,
            )
            for name, field in fields(cls).items()
        }
        return attrs.fields(attrs.make_class(cls.__name__, made))


_SIGNATURE, _ATTRIBUTES = _Signature(), _Attributes()


def _frozen(self: object, name: str, _: object = None) -> None:
    cls = type(self)
    raise FrozenRecordError(f"a {cls.__name__} is a value; make a new one with evolve(old, {name}=...)")


def _made(cls: type[T], *, frozen: bool) -> type[T]:
    own: dict[str, Any] = cls.__annotations__
    declared: dict[str, tuple[Any, Any]] = {}
    for base in reversed(cls.__mro__[1:]):
        declared |= _DECLARED.get(base, {})
    body = dict(vars(cls))
    for name, annotation in own.items():
        declared[name] = (annotation, body.pop(name, _REQUIRED))
    # A class gets slots only when it is made, so it is made again, as attrs and dataclasses do.
    body = {k: v for k, v in body.items() if k not in {"__dict__", "__weakref__"}}
    body |= {"__slots__": tuple(own), "__signature__": _SIGNATURE}
    body |= {"__attrs_attrs__": _ATTRIBUTES, "__hash__": _hash if frozen else None}
    body |= (
        {"__setattr__": _frozen, "__delattr__": _frozen} if frozen else {"__setattr__": _assign, "__delattr__": _keep}
    )
    made: Any = type(cls.__name__, cls.__bases__, body)
    made.__init__ = _first_init(made)
    _DECLARED[made] = declared
    return cast("type[T]", made)


@dataclass_transform(kw_only_default=True)
def record(cls: type[T]) -> type[T]:
    """Makes a class body into a mutable record: slots, keyword arguments, every field checked on its way in."""
    return _made(cls, frozen=False)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Makes a class body into a value: as :func:`record`, but frozen, and hashable."""
    return _made(cls, frozen=True)


def fields(cls: type[Any]) -> Mapping[str, Field]:
    """The declared fields of a record class, by name, in order."""
    return _plan(cls).fields


def declared() -> Mapping[str, type[Any]]:
    """Every record class, by name."""
    return {cls.__name__: cls for cls in _DECLARED}


def unset(obj: Record) -> tuple[str, ...]:
    """The names of the fields of *obj* that were never loaded."""
    return tuple(name for name in fields(type(obj)) if getattr(obj, name) is UNSET)


def evolve(obj: T, **changes: Any) -> T:
    """A new object like *obj* with *changes*, each checked; no machine is asked, so it is for values.

    A state of a live record is moved by its machine.

    >>> from novastate.objects import VirtCPUTopology
    >>> evolve(VirtCPUTopology(sockets=2), cores=4)
    VirtCPUTopology(sockets=2, cores=4)
    """
    plan, put = _plan(type(obj)), object.__setattr__
    new = object.__new__(type(obj))
    for name in plan.fields:
        put(new, name, getattr(obj, name))
    for name, changed in changes.items():
        try:
            put(new, name, plan.takers[name](changed))
        except KeyError:
            raise unknown_field(type(obj), name) from None
    return new
