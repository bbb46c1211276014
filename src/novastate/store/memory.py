"""A store in memory: for tests, simulations and one-process tools.

Rules of this file:

1. It follows the rules of :mod:`novastate.store.base` to the letter, indexes included, so that what runs on
   it runs on a database. It only forgets everything when it is closed.
2. Rows are held serialised. Nothing that a caller holds is ever held here.
3. There is one lock, held for the time of a few look-ups and never while a caller's code runs.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from threading import Lock
from typing import Any, TypeVar

from novastate.errors import NotFound, StaleState, StoreError
from novastate.store.base import Change, Kind, Transition, kind_of
from novastate.store.rows import (
    Row,
    Step,
    check_page,
    check_revision,
    check_text,
    decode,
    document_text,
    now,
    plan,
    selection,
    settle,
)

__all__ = ["MemoryStore"]

T = TypeVar("T")


class _Table:
    """The rows of one kind, their keys in order, and for each indexed field the keys by value."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.rows: dict[str, Row] = {}
        self.keys: list[str] = []
        self.by: dict[str, defaultdict[str | None, list[str]]] = {f: defaultdict(list) for f in kind.indexed}
        #: The last revision of what was dropped: a key that comes back goes on from there.
        self.dropped: dict[str, int] = {}

    def write(self, key: str, row: Row | None) -> None:
        old = self.rows.pop(key, None)
        if old is None and row is not None:
            insort(self.keys, key)
        elif old is not None and row is None:
            _remove(self.keys, key)
        for name, index in self.by.items():
            if old is not None:
                _remove(index[old.columns[name]], key)
            if row is not None:
                insort(index[row.columns[name]], key)
        if row is not None:
            self.rows[key] = row
        elif old is not None:
            self.dropped[key] = old.revision

    def select(self, equals: Mapping[str, str | None], limit: int, after: str) -> list[tuple[str, Row]]:
        candidates = [self.by[name].get(value, []) for name, value in equals.items()]
        keys = min(candidates, key=len, default=self.keys)
        rows = ((key, self.rows[key]) for key in islice(keys, bisect_right(keys, after), None))
        fit = ((key, row) for key, row in rows if all(row.columns[name] == value for name, value in equals.items()))
        return list(islice(fit, limit))


def _remove(keys: list[str], key: str) -> None:
    del keys[bisect_left(keys, key)]


class MemoryStore:
    """A :class:`~novastate.store.Store` that lives as long as the process.

    *clock* tells the time of history lines; a simulation gives its own.

    >>> store = MemoryStore()
    >>> store.put_document("lab", {"hosts": 3}, 0)
    1
    >>> store.get_document("lab")
    (1, {'hosts': 3})
    """

    def __init__(self, *, clock: Callable[[], datetime] = now) -> None:
        self._clock = clock
        self._turn = Lock()
        self._closed = False
        self._tables: dict[str, _Table] = {}
        self._lines: list[Transition] = []
        self._told: defaultdict[str, list[int]] = defaultdict(list)  # by owner and by key: places in _lines
        self._mail: defaultdict[str, deque[str]] = defaultdict(deque)
        self._documents: dict[str, tuple[int, str]] = {}

    def load(self, cls: type[T], key: str) -> T:
        """The object of that key, a copy of its own."""
        kind = kind_of(cls)
        check_text("key", key)
        with self._lock():
            row = self._table(kind).rows.get(key)
        if row is None:
            raise NotFound(kind.name, key)
        return decode(cls, key, row)

    def find(self, cls: type[T], *, limit: int = 100, after: str = "", **equals: object) -> list[T]:
        """Up to *limit* objects whose indexed fields equal *equals*, in the order of their keys."""
        kind = kind_of(cls)
        check_page(limit)
        check_text("after", after)
        wanted = selection(kind, equals)
        with self._lock():
            rows = self._table(kind).select(wanted, limit, after)
        return [decode(cls, key, row) for key, row in rows]

    def commit(self, *changes: Change) -> None:
        """All of *changes* or none."""
        steps = plan(changes)
        at = self._clock()
        with self._lock():
            revisions = [self._judge(step) for step in steps]  # nothing is written until all have passed
            for step, revision in zip(steps, revisions, strict=True):
                self._write(step, revision, at)
        settle(steps, revisions)

    def _judge(self, step: Step) -> int:
        """The revision that the step leads to; raises what forbids it."""
        table = self._table(step.kind)
        found = table.rows.get(step.key)
        step.judge(found)
        last = table.dropped.get(step.key, 0) if found is None else found.revision
        return last if step.row is None else last + 1

    def _write(self, step: Step, revision: int, at: datetime) -> None:
        table = self._table(step.kind)
        for line in step.lines(table.rows.get(step.key), revision, at):
            for teller in {step.owner, step.key}:
                self._told[teller].append(len(self._lines))
            self._lines.append(line)
        table.write(step.key, step.row and Row(revision, step.row.body, step.row.columns))

    @contextmanager
    def _lock(self) -> Generator[None]:
        with self._turn:
            if self._closed:
                raise StoreError("the store is closed")
            yield

    def _table(self, kind: Kind) -> _Table:
        return self._tables.setdefault(kind.name, _Table(kind))

    def history(self, key: str, *, limit: int = 1000, after: int = 0) -> list[Transition]:
        """Up to *limit* lines of history of the object with this key, oldest first, *after* skipped."""
        check_page(limit, after)
        check_text("key", key)
        with self._lock():
            return [self._lines[place] for place in self._told.get(key, [])[after : after + limit]]

    def post(self, topic: str, message: str) -> None:
        """Leaves a message for whoever takes from *topic* next."""
        check_text("topic", topic)
        check_text("message", message)
        with self._lock():
            self._mail[topic].append(message)

    def take(self, topic: str) -> str | None:
        """Takes the oldest message of *topic*; None if there is none."""
        check_text("topic", topic)
        with self._lock():
            mail = self._mail.get(topic)
            return mail.popleft() if mail else None

    def get_document(self, name: str) -> tuple[int, dict[str, Any]]:
        """The revision and body of a document; ``(0, {})`` if there is none."""
        check_text("name", name)
        with self._lock():
            revision, body = self._documents.get(name, (0, "{}"))
        return revision, json.loads(body)

    def put_document(self, name: str, body: Mapping[str, Any], revision: int) -> int:
        """Replaces the document read at *revision*; returns its new revision."""
        check_revision(revision)
        text = document_text(name, body)
        with self._lock():
            found, _ = self._documents.get(name, (0, ""))
            if found != revision:
                raise StaleState("document", name, {"revision": revision}, {"revision": found})
            self._documents[name] = (revision + 1, text)
        return revision + 1

    def close(self) -> None:
        """Forgets everything."""
        with self._turn:
            self._closed = True
            for kept in (self._tables, self._lines, self._told, self._mail, self._documents):
                kept.clear()
