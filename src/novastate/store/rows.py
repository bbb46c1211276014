"""From objects to rows and back: the part of the rules that is the same in every store.

Rules of this file:

1. A commit is planned before any row is read: objects are serialised; what can be refused without looking is.
2. A planned step is judged against the row that is there (:meth:`Step.judge`). Judging changes nothing.
3. The revision of a row is the store's, not the body's: a body may hold any revision, it is not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints

import attrs
from attrs import frozen

from novastate.errors import AlreadyExists, InvalidField, NotFound, StaleState, StoreError, UnknownName
from novastate.objects import UNSET, convert
from novastate.objects.tracking import mark_saved
from novastate.store.base import KINDS, Change, Kind, Put, Transition, kind_of

__all__ = [
    "Row",
    "Step",
    "as_text",
    "check_page",
    "check_revision",
    "check_text",
    "decode",
    "document_text",
    "now",
    "plan",
    "selection",
    "settle",
]

T = TypeVar("T")

#: The first number that no database counts to.
_ENDLESS = 1 << 63

#: The store takes any class that is in KINDS; all of these are records.
_loads: Callable[[type[Any], bytes], Any] = convert.loads


@frozen
class Row:
    """A stored object: its revision, its serialised body, and the fields that are kept beside it."""

    revision: int
    body: bytes
    columns: Mapping[str, str | None]


@frozen
class Step:
    """One change of a commit, serialised. `row` is what to write, None: delete; `revision` was read."""

    change: Change
    kind: Kind
    key: str
    owner: str
    revision: int
    row: Row | None
    expect: Mapping[str, Collection[object]]

    def judge(self, found: Row | None) -> None:
        """Raises what forbids this step where *found* is stored; returns if nothing does."""
        if found is None:
            if self.row is None or self.revision:
                raise NotFound(self.kind.name, self.key)
            if self.expect:
                raise self._stale({"revision": 0})
            return
        if self.row is not None and not self.revision:
            raise AlreadyExists(self.kind.name, self.key)
        if found.revision == self.revision and not self.expect:
            return
        stored = decode(self.kind.cls, self.key, found)
        there = {name: getattr(stored, name) for name in (*self.kind.watched, *self.expect)}
        if found.revision != self.revision or any(
            as_text(there[name]) not in set(map(as_text, allowed)) for name, allowed in self.expect.items()
        ):
            raise self._stale({"revision": found.revision, **there})

    def lines(self, found: Row | None, revision: int, at: datetime) -> Iterable[Transition]:
        """The history that this step makes where *found* was stored."""
        for name in self.kind.watched:
            old = None if found is None else found.columns[name]
            new = None if self.row is None else self.row.columns[name]
            if old != new:
                yield Transition(self.kind.name, self.key, revision, at, name, old, new)

    def _stale(self, found: Mapping[str, object]) -> StaleState:
        expected = {"revision": self.revision, **{name: tuple(may) for name, may in self.expect.items()}}
        return StaleState(self.kind.name, self.key, expected, found)


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def as_text(value: object) -> str | None:
    """A field's value as it is indexed and told: of a state its value, or its name if that is a number."""
    if value is None or value is UNSET:
        return None
    if isinstance(value, Enum):
        value = value.name if isinstance(value.value, int) else value.value
    return None if value is None else str(value)


def decode(cls: type[T], key: str, row: Row) -> T:
    """The object of *row*, a new one; :class:`~novastate.errors.StoreError` if its body cannot be read."""
    try:
        obj: T = _loads(cls, row.body)
    except Exception as error:  # whatever a converter says of a damaged body
        raise StoreError(f"{kind_of(cls).name} {key}: what is stored cannot be read: {error}") from error
    object.__setattr__(obj, "revision", row.revision)
    return obj


def plan(changes: Iterable[Change]) -> tuple[Step, ...]:
    """The steps of a commit, in the order given; raises what can be said of them without reading a row."""
    steps = tuple(map(_step, changes))
    seen = set[tuple[str, str]]()
    for step in steps:
        if (step.kind.name, step.key) in seen:
            raise StoreError(f"{step.kind.name} {step.key}: changed twice in one commit")
        seen.add((step.kind.name, step.key))
    return steps


def _step(change: Change) -> Step:
    obj: Any = change.obj
    kind = kind_of(obj)
    for part in kind.key:
        if not as_text(getattr(obj, part)):
            raise InvalidField(f"{kind.name}.{part}", getattr(obj, part), "is part of the key and must be set")
    key, revision = check_text(f"{kind.name}.{kind.key[0]}", kind.key_of(obj)), int(obj.revision)
    if not isinstance(change, Put):
        return Step(change, kind, key, kind.owner_of(obj), revision, None, {})
    for name, allowed in change.expect.items():
        if not hasattr(obj, name):
            raise UnknownName(f"field of {kind.name}", name, (a.name for a in attrs.fields(kind.cls)))
        if isinstance(allowed, str | bytes) or not isinstance(allowed, Collection):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidField(f"expect.{name}", allowed, "must be a collection of values")
        for value in allowed:
            _check_member(kind, name, value)
    columns = {name: as_text(getattr(obj, name)) for name in (*kind.indexed, *kind.watched)}
    for name, value in columns.items():
        check_text(f"{kind.name}.{name}", value or "")
    try:
        row = Row(revision, convert.dumps(obj), columns)
    except UnicodeError as error:
        raise InvalidField(kind.name, key, f"holds text that is none ({error})") from error
    return Step(change, kind, key, kind.owner_of(obj), revision, row, change.expect)


def settle(steps: Iterable[Step], revisions: Iterable[int]) -> None:
    """After a commit: each object that was put learns its revision (frozen ones too, it is the store's), and has no changes."""
    for step, revision in zip(steps, revisions, strict=True):
        if step.row is not None:
            object.__setattr__(step.change.obj, "revision", revision)
            mark_saved(step.change.obj)


def selection(kind: Kind, equals: Mapping[str, object]) -> dict[str, str | None]:
    """What to look for, as text, by indexed field; :class:`~novastate.errors.UnknownName` for any other."""
    for name in equals:
        if name not in kind.indexed:
            raise UnknownName(f"indexed field of {kind.name}", name, kind.indexed)
    for name, value in equals.items():
        _check_member(kind, name, value)
        check_text(name, as_text(value) or "")
    return {name: as_text(value) for name, value in equals.items()}


@cache
def _members(kind: str, name: str) -> frozenset[str | None]:
    """What the text of a field may be that holds an enum; nothing for any other field."""
    hint = next(get_type_hints(cls).get(name) for cls, its in KINDS.items() if its.name == kind)
    enums = [part for part in (hint, *get_args(hint)) if isinstance(part, type) and issubclass(part, Enum)]
    return frozenset(as_text(member) for enum in enums if enum is not type(UNSET) for member in enum)


def _check_member(kind: Kind, name: str, value: object) -> None:
    """Raises UnknownName for a value that no member of the field's enum has: it would never be found."""
    known, text = _members(kind.name, name), as_text(value)
    if known and text is not None and text not in known:
        raise UnknownName(name, value, (member for member in known if member is not None))


def check_text(name: str, value: object) -> str:
    """The value, if it is text that can be written down; half a surrogate pair cannot."""
    if not isinstance(value, str):
        raise InvalidField(name, value, "must be text")
    try:
        value.encode()
    except UnicodeError:
        raise InvalidField(name, value, "must be text that UTF-8 can hold") from None
    return value


def check_revision(revision: object) -> None:
    """A revision is a whole number, and 0 where there is nothing."""
    if isinstance(revision, bool) or not isinstance(revision, int) or not 0 <= revision < _ENDLESS:
        raise InvalidField("revision", revision, "must be a whole number, not negative")


def document_text(name: str, body: Mapping[str, Any]) -> str:
    """The body of a document as JSON; :class:`~novastate.errors.InvalidField` if it is none."""
    check_text("name", name)
    if not isinstance(body, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidField(f"document {name}", body, "must be a mapping")
    try:
        return json.dumps(body, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidField(f"document {name}", body, f"must be JSON ({error})") from error


def check_page(limit: int, skipped: int = 0) -> None:
    """A page has an end: a negative number would mean the whole table to some databases."""
    for name, number in (("limit", limit), ("after", skipped)):
        if type(number) is not int or not 0 <= number < _ENDLESS:
            raise InvalidField(name, number, "must be a whole number of 63 bits, not negative")
