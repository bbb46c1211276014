"""One table: a trigger is a partial function from state to state, a machine a named set of triggers.

Rules of this file:

1. A row (trigger, source, destination) is written once, in the class body of a machine. Everything else,
   the checked trigger, the ``transitions`` engine, the byte tables, the diagrams, the documentation, is
   built from those rows.
2. A trigger either moves the object or raises :class:`~novastate.errors.IllegalTransition` and changes
   nothing. There is no third outcome.
3. Nothing is registered. An object is anything that has the machine's field and may be changed; a machine
   holds no object.
4. A machine does not change: its attributes cannot be assigned.

Theory. Let S be a finite set of states. A trigger t is a partial function S ⇀ S, so a machine is
deterministic by construction. An *edge* is a pair (s, t(s)); an assignment is legal exactly when it is an
edge of some trigger, or changes nothing. A fleet is a string over S: applying t to it is a
look-up in a 256-byte table whose undefined cells hold :data:`REFUSED`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    NamedTuple,
    NoReturn,
    Protocol,
    TypeVar,
    cast,
    get_args,
    get_origin,
    overload,
)

import attrs

from novastate._native import tables
from novastate.errors import IllegalTransition, InvalidField, UnknownName

if TYPE_CHECKING:
    import transitions
    from typing_extensions import Buffer

__all__ = ["REFUSED", "Fire", "Machine", "Row", "State", "Trigger"]

#: What :meth:`Machine.apply_many` writes where the trigger is not defined; no state has this code.
REFUSED = 0xFF


class UnknownValue(UnknownName, ValueError):
    """What an enum raises for a value that it has not; Python asks that it be a ValueError."""


def unknown(kind: type[Enum], value: object, convert: str = "", name: str = "") -> UnknownValue:
    """The error for *value*, which is no *kind*: near matches, or how to *convert* what only looks like one."""
    error = UnknownValue(name or kind.__name__, value, (str(member.value) for member in kind))
    if isinstance(value, Enum):  # a state of another machine, or UNSET: no slip of the pen
        error.near = ()
        error.args = (f"{value!r} is no {error.kind}; known: {', '.join(error.known)}",)
        return error
    for member in kind:
        if type(value) is type(member.value) and value == member.value:
            what = f"the string {value!r}" if isinstance(value, str) else repr(value)
            error.near = (str(member.value),)
            error.args = (
                f"is {what}, not {kind.__name__}.{member.name}; convert it with {convert or kind.__name__}(...)",
            )
    return error


E = TypeVar("E", bound=Enum)


def expect(kind: type[E], value: object) -> E:
    """*value*, if it is a *kind*; raises :class:`~novastate.errors.UnknownName` else."""
    if not isinstance(value, kind):
        raise unknown(kind, value)
    return value


class State(Enum):
    """A state: compares and hashes by identity, prints as its value."""

    # Enum hashes its name in Python, which would be half the cost of a checked trigger.
    __hash__ = object.__hash__

    def __str__(self) -> str:
        return str(self.value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise unknown(cls, value)


S = TypeVar("S", bound=State)


class Row(NamedTuple):
    """One row of a machine: in `source`, `trigger` leads to `dest`."""

    trigger: str
    source: State
    dest: State


class Fire(Protocol[S]):
    """A checked trigger, as found on a machine class: ``VMMachine.pause(instance)``.

    Moves the object's field and returns its new state, or raises
    :class:`~novastate.errors.IllegalTransition` and changes nothing.
    """

    __name__: str

    @property
    def rows(self) -> Mapping[S, S]:
        """Where it is defined, and where it leads from there."""
        ...

    def __call__(self, obj: Any, /) -> S:
        """Moves *obj*."""
        ...


class Trigger(Generic[S]):
    """Declares a trigger in the body of a machine: ``pause = Trigger({ACTIVE: PAUSED})``.

    *rows* maps each source to its destination; several sources of one destination may be given as a key that
    is a frozenset of states. *doc* is what the trigger means, in a sentence. Reading it from the machine
    gives the checked function (:class:`Fire`).
    """

    @overload
    def __init__(self, rows: Mapping[S, S], doc: str = "") -> None: ...
    @overload
    def __init__(self, rows: Mapping[frozenset[S], S], doc: str = "") -> None: ...
    @overload
    def __init__(self, rows: Mapping[S | frozenset[S], S], doc: str = "") -> None: ...
    def __init__(self, rows: Any, doc: str = "") -> None:
        self.rows: Mapping[S, S] = MappingProxyType(dict(_flat(rows)))
        self.doc = doc

    if TYPE_CHECKING:

        def __get__(self, instance: None, owner: type[object]) -> Fire[S]: ...


def _flat(rows: Mapping[S | frozenset[S], S]) -> Iterator[tuple[S, S]]:
    seen: set[S] = set()
    for sources, dest in rows.items():
        # A set of sources is written out in the order of the enum, so that no picture depends on hashes.
        members = [s for s in type(dest) if s in sources] if isinstance(sources, frozenset) else [sources]
        for source in members:
            if source in seen:
                raise InvalidField("rows", source, "a source occurs twice in one trigger")
            seen.add(source)
            yield source, dest


class _Table(type):
    """The class of machines: what is once built stays as it is."""

    def __setattr__(cls, name: str, value: object) -> None:
        cls._refuse(name)
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        cls._refuse(name)
        super().__delattr__(name)

    def _refuse(cls, name: str) -> None:
        if "_engine" in vars(cls) and name != "_engine" and not name.startswith("__"):
            raise AttributeError(f"{cls.__name__}.{name}: a machine cannot be changed; derive another from it")


class Machine(Generic[S], metaclass=_Table):
    """A state machine over the enum *S*, kept in the attribute *field* of whatever object it is applied to.

    A subclass is the machine; it is never instantiated::

        class Door(Machine[DoorState], field="state", initial={DoorState.SHUT}):
            open = Trigger({DoorState.SHUT: DoorState.OPEN})
            shut = Trigger({DoorState.OPEN: DoorState.SHUT})

        Door.open(door)     # -> DoorState.OPEN

    *initial* are the states that an object may be created in. From them follow `reachable`, and `final`: the
    reachable states that nothing leaves. A machine may be derived from another: it has its rows, and may
    add to them or replace a trigger.
    """

    #: The enum of states, in code order.
    states: ClassVar[type[State]]
    #: The attribute of the object that holds its state.
    field: ClassVar[str]
    #: The states that an object may be created in.
    initial: ClassVar[frozenset[State]]
    #: The states that rows lead to from the initial ones, and these.
    reachable: ClassVar[frozenset[State]]
    #: The reachable states that no row leaves.
    final: ClassVar[frozenset[State]]
    #: The checked triggers by name, in the order of the class body.
    triggers: ClassVar[Mapping[str, Fire[State]]]
    #: Every row, in the order of the class body.
    rows: ClassVar[tuple[Row, ...]]
    #: For each state, the states that some trigger leads to.
    edges: ClassVar[Mapping[State, frozenset[State]]]

    _by_code: ClassVar[tuple[State, ...]]
    _codes: ClassVar[Mapping[State, int]]
    _tables: ClassVar[Mapping[str, bytes]]
    _engine: ClassVar[transitions.Machine | None]

    def __init_subclass__(cls, *, field: str = "", initial: Iterable[State] = (), **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            if isinstance(get_origin(base), type) and issubclass(get_origin(base), Machine):
                cls.states = get_args(base)[0]
        cls.field = field or cls.field
        cls.initial = frozenset(initial) or cls.initial
        # An inherited trigger is built anew, so that its errors name the machine it was asked of.
        fires: dict[str, Fire[State]] = {}
        for klass in reversed(cls.__mro__):
            for name, value in list(vars(klass).items()):
                declared: object = getattr(getattr(value, "__func__", None), "declared", value)
                if isinstance(declared, Trigger):
                    fires[name] = _checked(cls, name, cast("Trigger[State]", declared))
                    setattr(cls, name, staticmethod(fires[name]))
        cls.triggers = MappingProxyType(fires)
        cls.rows = tuple(Row(name, s, d) for name, fire in fires.items() for s, d in fire.rows.items())
        edges: dict[State, set[State]] = {s: set() for s in cls.states}
        for row in cls.rows:
            edges[row.source].add(row.dest)
        cls.edges = MappingProxyType({s: frozenset(dests) for s, dests in edges.items()})
        cls.reachable = _closure(cls.initial, cls.edges)
        cls.final = frozenset(s for s in cls.reachable if not cls.edges[s] - {s})
        cls._by_code = tuple(cls.states)
        cls._codes = MappingProxyType({s: code for code, s in enumerate(cls._by_code)})
        cls._tables = MappingProxyType({name: cls._byte_table(fire) for name, fire in fires.items()})
        cls._engine = None

    def __new__(cls) -> Machine[S]:  # noqa: D102
        raise TypeError(f"{cls.__name__} is a table and has no instances; apply its triggers to your objects")

    # --- one object

    @classmethod
    def allowed(cls, state: S) -> tuple[str, ...]:
        """The triggers that are defined in *state*, in the order of the class body."""
        if not isinstance(state, cls.states):
            raise _unknown_state(cls, state)
        return tuple(name for name, fire in cls.triggers.items() if state in fire.rows)

    @classmethod
    def trigger(cls, name: str) -> Fire[S]:
        """The checked trigger called *name*; raises :class:`~novastate.errors.UnknownName` else."""
        try:
            return cast("Fire[S]", cls.triggers[name])
        except KeyError:
            raise UnknownName(f"{cls.__name__} trigger", name, cls.triggers) from None

    @classmethod
    def state(cls, value: object) -> S:
        """The state whose value or name is *value*; raises :class:`~novastate.errors.UnknownName` else."""
        for state in cls.states:
            if value is state or value in (state.value, state.name):
                return cast("S", state)
        raise _unknown_state(cls, value)

    @classmethod
    def check_assignment(cls, old: object, new: object) -> S:
        """Returns *new* if a direct assignment over *old* is a row of the table (or changes nothing).

        Raises :class:`~novastate.errors.IllegalTransition` else. An *old* that is no state (a field that was
        never set) may become any initial state.
        """
        if not isinstance(new, cls.states):
            raise _unknown_state(cls, new)
        if isinstance(old, cls.states):
            if new is not old and new not in cls.edges[old]:
                raise IllegalTransition(cls.__name__, f"assignment of {new}", old, map(str, _ordered(cls.edges[old])))
        elif new not in cls.initial:
            raise IllegalTransition(cls.__name__, f"assignment of {new}", old, map(str, _ordered(cls.initial)))
        return cast("S", new)

    # --- a fleet

    @classmethod
    def encode(cls, states: Iterable[S]) -> bytes:
        """One byte a state: its position in the enum."""
        codes = cls._codes
        try:
            return bytes([codes[state] for state in states])
        except (KeyError, TypeError):
            raise InvalidField("states", "sequence", f"holds what is no {cls.states.__name__}", cls.states) from None

    @classmethod
    def decode(cls, codes: Buffer) -> list[S | None]:
        """The states of *codes*, a buffer of bytes; None where a trigger was refused."""
        by_code = dict[int, State | None](enumerate(cls._by_code))
        by_code[REFUSED] = None
        try:
            return cast("list[S | None]", [by_code[code] for code in tables.flat(codes)])
        except (TypeError, ValueError):
            raise InvalidField("codes", codes, _NO_BYTES) from None
        except KeyError as error:
            raise InvalidField("codes", error.args[0], f"is no code of {cls.states.__name__}") from None

    @classmethod
    def apply_many(cls, codes: Buffer, trigger: str) -> bytes:
        """Moves a whole fleet: the codes (see :meth:`encode`) after *trigger*.

        *codes* is any contiguous buffer of one dimension whose items have one byte (bytes, bytearray, uint8, int8,
        bool …: the byte is the code), and is left as it is. Where the trigger is not defined, and
        where a byte is no code of a state, the result holds :data:`REFUSED`. Raises
        :class:`~novastate.errors.UnknownName` for an unknown trigger and
        :class:`~novastate.errors.InvalidField` for another kind of *codes*. Cost: below 1 ns a state in Python,
        a fraction of that on the compiled kernel.
        """
        try:
            table = cls._tables[trigger]
        except KeyError:
            raise UnknownName(f"{cls.__name__} trigger", trigger, cls.triggers) from None
        try:
            return tables.translate(codes, table)
        except (TypeError, ValueError):
            raise InvalidField("codes", codes, _NO_BYTES) from None

    @classmethod
    def table(cls, trigger: str) -> bytes:
        """The 256-byte table of *trigger*: next code by code, :data:`REFUSED` where it is not defined."""
        cls.trigger(trigger)
        return cls._tables[trigger]

    @classmethod
    def _byte_table(cls, fire: Fire[State]) -> bytes:
        cells = bytearray([REFUSED]) * 256
        for source, dest in fire.rows.items():
            cells[cls._codes[source]] = cls._codes[dest]
        return bytes(cells)

    # --- the engine

    @classmethod
    def engine(cls) -> transitions.Machine:
        """A ``transitions.Machine`` of the same rows, shared and un-queued, for users' callbacks.

        Drive it by ``engine().events[name].trigger(obj)``. Objects are never registered on it: registering is
        quadratic, breaks on slots, and compares by equality. It raises ``transitions.MachineError`` where
        a checked trigger raises :class:`~novastate.errors.IllegalTransition`.
        """
        if "_engine" not in vars(cls) or cls._engine is None:
            import transitions  # noqa: PLC0415  (most programs never need it)

            engine = transitions.Machine(
                model=None,
                states=cls.states,
                initial=None,
                auto_transitions=False,
                model_attribute=cls.field,
                queued=False,
            )
            for row in cls.rows:
                engine.add_transition(row.trigger, row.source, row.dest)
            cls._engine = engine
        return cls._engine

    # --- pictures of the rows, drawn by novastate.machines.diagram

    @classmethod
    def diagram(cls, format: str = "mermaid") -> str:  # noqa: A002  (the word of the command line)
        """The rows as ``mermaid``, ``dot`` (Graphviz), ``table`` (Markdown), ``svg`` or ``html``."""
        from novastate.machines import diagram  # noqa: PLC0415  (only who draws needs it)

        return diagram.draw(cls, format)

    # A notebook that shows a class looks for class methods of these names.

    @classmethod
    def _repr_svg_(cls) -> str:
        return cls.diagram("svg")

    @classmethod
    def _repr_html_(cls) -> str:
        return cls.diagram("html")


_NO_BYTES = "must be a contiguous buffer of bytes, of one dimension"

#: By field, the types whose objects are known to take a new state. Emptied when it grows, so that it keeps no crowd
#: of classes alive.
_CHANGEABLE: dict[str, set[type]] = {}
_MOST_TYPES = 1024
# What attrs gives to each frozen class.
_FROZEN = attrs.make_class("_Frozen", [], frozen=True).__setattr__


def _is_frozen(kind: type, field: str) -> bool:
    """Whether *kind* says that its *field* is never assigned: by attrs or as a dataclass."""
    if kind.__setattr__ is _FROZEN or getattr(getattr(kind, "__dataclass_params__", None), "frozen", False):
        return True
    return attrs.has(kind) and any(a.name == field and a.on_setattr is attrs.setters.frozen for a in attrs.fields(kind))


def admit(obj: object, field: str) -> None:
    """Remembers that the type of *obj* may be changed; raises if it is frozen: whoever froze it relies on that."""
    kind = type(obj)
    if _is_frozen(kind, field):
        problem = "cannot be moved, for the class is frozen; keep the state in one that may change"
        raise InvalidField(f"{kind.__name__}.{field}", getattr(obj, field), problem)
    known = _CHANGEABLE.setdefault(field, set())
    if len(known) >= _MOST_TYPES:
        known.clear()
    known.add(kind)


def _checked(machine: type[Machine[Any]], name: str, declared: Trigger[Any]) -> Fire[State]:
    """The function behind a trigger. A closure over plain locals: this is the hot path of the library."""
    rows, field, put = declared.rows, machine.field, object.__setattr__
    moves = dict(rows)
    changeable = _CHANGEABLE.setdefault(field, set())

    def fire(obj: Any, /) -> State:
        try:
            dest: State = moves[getattr(obj, field)]
        except (KeyError, TypeError):
            raise _refusal(machine, name, getattr(obj, field)) from None
        if type(obj) not in changeable:
            admit(obj, field)
        # Past the object's own __setattr__, which would only look the same row up again.
        put(obj, field, dest)
        return dest

    fire.__name__, fire.__qualname__ = name, f"{machine.__name__}.{name}"
    fire.__module__, fire.__doc__ = machine.__module__, declared.doc
    fire.rows, fire.declared = rows, declared  # type: ignore[attr-defined]
    return cast("Fire[State]", fire)


def _closure(initial: Iterable[State], edges: Mapping[State, frozenset[State]]) -> frozenset[State]:
    reached: set[State] = set()
    ahead = list(initial)
    while ahead:
        state = ahead.pop()
        if state not in reached:
            reached.add(state)
            ahead += edges[state]
    return frozenset(reached)


def _refusal(machine: type[Machine[Any]], name: str, state: object) -> Exception:
    if not isinstance(state, machine.states):
        return _unknown_state(machine, state)
    return IllegalTransition(machine.__name__, name, state, machine.allowed(state))


def _unknown_state(machine: type[Machine[Any]], value: object) -> UnknownName:
    return unknown(machine.states, value, f"{machine.__name__}.state")


def _ordered(states: Iterable[State]) -> list[State]:
    wanted = frozenset(states)
    return [state for kind in {type(s) for s in wanted} for state in kind if state in wanted]
