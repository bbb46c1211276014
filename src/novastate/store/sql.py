"""A store in an SQL database: SQLite for one machine, PostgreSQL for a fleet.

Rules of this file:

1. A commit reads the rows that it is about to change, under lock, judges all of them, then writes, with
   ``UPDATE ... WHERE key = ? AND revision = ?``. History is written in the same transaction.
2. Rows are locked in the order of kind and key, so two commits never wait for each other in a ring.
3. A new row is inserted before the revision that its key once had is looked up: whoever inserts holds the key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import groupby
from os import PathLike
from threading import Lock
from typing import Any, Self, TypeVar

from novastate.errors import AlreadyExists, NotFound, StaleState, StoreError
from novastate.store.base import Change, Transition, kind_of
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

try:
    from sqlalchemy import Connection, delete, exc, insert, or_, select, update

    from novastate.store.engine import Target, at_path, open_database, parse, translated, writing
    from novastate.store.schema import DOCUMENTS, DROPPED, HISTORY, MAILBOX, TABLES
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "sqlalchemy":
        raise
    raise StoreError("SqlStore needs SQLAlchemy: pip install 'novastate[sql]'") from error

__all__ = ["SqlStore"]

T = TypeVar("T")

#: Keys that one SELECT asks for; SQLite takes 32,766 parameters.
_CHUNK = 500


class SqlStore:
    """A :class:`~novastate.store.Store` in the database at *url*.

    *url* is ``sqlite:///relative/path``, ``sqlite:////absolute/path``, ``sqlite://`` (in memory, gone when closed)
    or ``postgresql://user@host/database``. Without *create*, a database that is not there yet is an error.
    *timeout* is how many seconds to wait for a lock or a connection; *clock* tells the time of history lines.
    Raises :class:`~novastate.errors.StoreError`, and has then changed nothing.

    A file that may be read and not written, or whose directory may not be, is opened for reading: what writes raises
    StoreError. What others write to it meanwhile is then seen by opening it again.

    >>> store = SqlStore("sqlite://")
    >>> store.put_document("lab", {"hosts": 3}, 0)
    1
    >>> store.close()
    """

    def __init__(
        self,
        url: str | Target,
        *,
        create: bool = True,
        timeout: float = 5.0,
        clock: Callable[[], datetime] = now,
    ) -> None:
        target = parse(url) if isinstance(url, str) else url
        self._where = target.where
        self._timeout = timeout
        self._clock = clock
        self._closed = False
        # SQLite has one writer at a time (and in memory one connection): threads queue here, which is fair,
        # and not in SQLite's busy handler, which sleeps.
        self._writers = None if target.server else Lock()
        self._readers = self._writers if target.in_memory else None
        self._engine = open_database(target, create=create, timeout=timeout)

    @classmethod
    def at(
        cls,
        path: str | PathLike[str],
        *,
        create: bool = True,
        timeout: float = 5.0,
        clock: Callable[[], datetime] = now,
    ) -> Self:
        """The store in the SQLite file at *path*, whatever characters that has; else as the class itself."""
        return cls(at_path(path), create=create, timeout=timeout, clock=clock)

    def __repr__(self) -> str:
        return f"<SqlStore {self._where}>"

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Generator[Connection]:
        if self._closed:
            raise StoreError(f"{self._where}: the store is closed")
        with ExitStack() as stack:
            stack.enter_context(translated(self._where, self._timeout))
            turn = self._writers if write else self._readers
            if turn is not None:
                if not turn.acquire(timeout=self._timeout):
                    raise StoreError(f"{self._where}: locked by another thread for longer than {self._timeout:g} s")
                stack.callback(turn.release)
            connection = stack.enter_context(self._engine.connect())
            stack.enter_context((writing(connection) if write else connection).begin())
            yield connection

    def load(self, cls: type[T], key: str) -> T:
        """The object of that key, a copy of its own."""
        kind = kind_of(cls)
        check_text("key", key)
        table = TABLES[kind.name]
        query = select(table.c.revision, table.c.body).where(table.c.key == key)
        with self._transaction() as connection:
            found = connection.execute(query).first()
        if found is None:
            raise NotFound(kind.name, key)
        return decode(cls, key, _row(kind.name, key, found))

    def find(self, cls: type[T], *, limit: int = 100, after: str = "", **equals: object) -> list[T]:
        """Up to *limit* objects whose indexed fields equal *equals*, in the order of their keys."""
        kind = kind_of(cls)
        check_page(limit)
        check_text("after", after)
        table = TABLES[kind.name]
        query = select(table.c.key, table.c.revision, table.c.body).where(table.c.key > after)
        wanted = selection(kind, equals)
        for place, name in enumerate(sorted(wanted, key=kind.indexed.index)):
            # SQLite knows no sizes and takes any of several indexes: an expression leaves it the one to take.
            column = table.c[name].concat("") if place and self._writers else table.c[name]
            query = query.where(column == wanted[name])  # None: IS NULL
        with self._transaction() as connection:
            found = connection.execute(query.order_by(table.c.key).limit(limit)).all()
        return [decode(cls, row.key, _row(kind.name, row.key, row)) for row in found]

    def commit(self, *changes: Change) -> None:
        """All of *changes* or none."""
        steps = plan(changes)
        if not steps:
            return
        at = self._clock()
        with self._transaction(write=True) as connection:
            found = _lock(connection, steps)
            for step in steps:
                step.judge(found.get((step.kind.name, step.key)))
            revisions = [_write(connection, step) for step in steps]
            lines = [
                _line(step.owner, line)
                for step, revision in zip(steps, revisions, strict=True)
                for line in step.lines(found.get((step.kind.name, step.key)), revision, at)
            ]
            if lines:
                connection.execute(insert(HISTORY), lines)
        settle(steps, revisions)

    def history(self, key: str, *, limit: int = 1000, after: int = 0) -> list[Transition]:
        """Up to *limit* lines of history of the object with this key, oldest first, *after* skipped."""
        check_page(limit, after)
        check_text("key", key)
        told = or_(HISTORY.c.owner == key, HISTORY.c.key == key)
        query = select(HISTORY).where(told).order_by(HISTORY.c.id).limit(limit).offset(after)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        try:
            "".join(str(value) for row in rows for value in row).encode()  # UTF-8, or an error
            return [
                Transition(r.kind, r.key, r.revision, datetime.fromisoformat(r.at), r.field, r.old, r.new) for r in rows
            ]
        except (TypeError, ValueError) as error:
            raise StoreError(f"history of {key}: what is stored cannot be read: {error}") from error

    def post(self, topic: str, message: str) -> None:
        """Leaves a message for whoever takes from *topic* next."""
        check_text("topic", topic)
        check_text("message", message)
        with self._transaction(write=True) as connection:
            connection.execute(insert(MAILBOX), {"topic": topic, "message": message})

    def take(self, topic: str) -> str | None:
        """Takes the oldest message of *topic*; None if there is none."""
        check_text("topic", topic)
        oldest = select(MAILBOX.c.id, MAILBOX.c.message).where(MAILBOX.c.topic == topic).order_by(MAILBOX.c.id).limit(1)
        # Asking is frequent and taking is rare: only who sees a message takes the writer's turn.
        with self._transaction() as connection:
            if connection.execute(oldest).first() is None:
                return None
        with self._transaction(write=True) as connection:
            found = connection.execute(oldest.with_for_update(skip_locked=True)).first()
            if found is None:
                return None
            connection.execute(delete(MAILBOX).where(MAILBOX.c.id == found.id))
            message = str(found.message)
            message.encode()  # UTF-8, or an error
            return message

    def get_document(self, name: str) -> tuple[int, dict[str, Any]]:
        """The revision and body of a document; ``(0, {})`` if there is none."""
        check_text("name", name)
        query = select(DOCUMENTS.c.revision, DOCUMENTS.c.body).where(DOCUMENTS.c.name == name)
        with self._transaction() as connection:
            found = connection.execute(query).first()
        if found is None:
            return 0, {}
        row = _row("document", name, found)
        try:
            return row.revision, dict(json.loads(row.body))
        except (TypeError, ValueError, RecursionError) as error:
            raise StoreError(f"document {name}: what is stored cannot be read: {error}") from error

    def put_document(self, name: str, body: Mapping[str, Any], revision: int) -> int:
        """Replaces the document read at *revision*; returns its new revision."""
        check_revision(revision)
        row = {"revision": revision + 1, "body": document_text(name, body)}
        there = DOCUMENTS.c.name == name
        with self._transaction(write=True) as connection:
            found = connection.execute(select(DOCUMENTS.c.revision).where(there).with_for_update()).scalar()
            if (found or 0) != revision:
                raise StaleState("document", name, {"revision": revision}, {"revision": found or 0})
            if found is not None:
                connection.execute(update(DOCUMENTS).where(there).values(row))
                return revision + 1
            try:
                connection.execute(insert(DOCUMENTS), {"name": name, **row})
            except exc.IntegrityError as error:  # somebody else's first one, a moment ago
                raise StaleState("document", name, {"revision": 0}, {"revision": 1}) from error
        return revision + 1

    def close(self) -> None:
        """Gives connections and files back."""
        self._closed = True
        self._engine.dispose()


def _lock(connection: Connection, steps: Sequence[Step]) -> dict[tuple[str, str], Row]:
    """The rows that *steps* are about, locked, by kind and key."""
    found: dict[tuple[str, str], Row] = {}
    for name, group in groupby(sorted(steps, key=lambda s: (s.kind.name, s.key)), key=lambda s: s.kind.name):
        table = TABLES[name]
        keys = [step.key for step in group]
        for start in range(0, len(keys), _CHUNK):
            page = table.c.key.in_(keys[start : start + _CHUNK])
            query = select(table).where(page).order_by(table.c.key).with_for_update()
            for row in connection.execute(query):
                found[name, row.key] = _row(name, row.key, row)
    return found


def _write(connection: Connection, step: Step) -> int:
    """Writes a step that has been judged; the revision that it leads to."""
    table = TABLES[step.kind.name]
    if step.row is not None and not step.revision:
        return _create(connection, step, step.row)
    this = (table.c.key == step.key) & (table.c.revision == step.revision)
    if step.row is None:
        revision, written = step.revision, connection.execute(delete(table).where(this))
        dropped = {"kind": step.kind.name, "key": step.key, "revision": revision}
        connection.execute(insert(DROPPED), dropped)
    else:
        revision = step.revision + 1
        written = connection.execute(update(table).where(this).values(_values(step.row, revision)))
    if written.rowcount != 1:  # the row was locked, so this is a database that does not lock
        step.judge(_lock(connection, [step]).get((step.kind.name, step.key)))
        raise StoreError(f"{step.kind.name} {step.key}: changed while it was locked; nothing was written")
    return revision


def _create(connection: Connection, step: Step, row: Row) -> int:
    table = TABLES[step.kind.name]
    try:
        connection.execute(insert(table), {"key": step.key, **_values(row, 1)})
    except exc.IntegrityError as error:
        raise AlreadyExists(step.kind.name, step.key) from error
    past = (DROPPED.c.kind == step.kind.name) & (DROPPED.c.key == step.key)
    last = connection.execute(select(DROPPED.c.revision).where(past)).scalar()
    if last is None:
        return 1
    connection.execute(delete(DROPPED).where(past))
    connection.execute(update(table).where(table.c.key == step.key).values(revision=last + 1))
    return int(last) + 1


def _row(kind: str, key: str, found: Any) -> Row:
    """The row of a result; SQLite keeps any type in any column, so a damaged file may hold anything."""
    columns = dict(found._mapping)  # noqa: SLF001  (SQLAlchemy's public name for it)
    revision, body = columns.pop("revision"), columns.pop("body")
    if not isinstance(revision, int) or not isinstance(body, str):
        raise StoreError(f"{kind} {key}: what is stored cannot be read: its revision or body is of the wrong type")
    try:
        return Row(revision, body.encode(), columns)
    except UnicodeError as error:
        raise StoreError(f"{kind} {key}: what is stored cannot be read: it is not UTF-8") from error


def _values(row: Row, revision: int) -> dict[str, Any]:
    return {"revision": revision, "body": row.body.decode(), **row.columns}


def _line(owner: str, line: Transition) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "key": line.key,
        "owner": owner,
        "revision": line.revision,
        "at": line.at.isoformat(),
        "field": line.field,
        "old": line.old,
        "new": line.new,
    }
