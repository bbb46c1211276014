"""Opening a database: which URLs, with which settings, and what each failure means.

Rules of this file:

1. Nothing is written to a database before its meta table has said that it is ours and of a version we know.
   A new one is made in one transaction: the whole schema or none of it.
2. No wait is without an end: for a lock, a pooled connection or a server, *timeout* seconds.
3. Whatever a database says becomes one :class:`~novastate.errors.StoreError` of one line, without parameters and
   without the URL's password.

SQLite runs in WAL mode with ``synchronous=FULL``: what was committed survives a loss of power, and readers do not
wait for the writer. Its module would begin transactions late, at the first write; here it does not begin any
(``isolation_level=None``), and a transaction that is going to write says ``BEGIN IMMEDIATE``, so that it can only
wait at its start, never fail half-way.
"""

from __future__ import annotations

import math
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import frozen
from sqlalchemy import Connection, Engine, create_engine, event, exc, insert, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import QueuePool, StaticPool

from novastate.errors import StoreError
from novastate.store.schema import META, METADATA, PRODUCT, SCHEMA

__all__ = ["Target", "at_path", "open_database", "parse", "translated", "writing"]

#: The execution option of a connection whose transaction is going to write.
_WRITE = "novastate_write"

#: What the primary result codes of SQLite mean to somebody who has a file.
_MEANINGS = {
    sqlite3.SQLITE_BUSY: "locked by another process for longer than {timeout:g} s",
    sqlite3.SQLITE_LOCKED: "locked by another process for longer than {timeout:g} s",
    sqlite3.SQLITE_READONLY: "cannot be written: the file or its directory is read-only",
    sqlite3.SQLITE_IOERR: "cannot be read or written (input/output error)",
    sqlite3.SQLITE_CORRUPT: "is corrupt; nothing was changed",
    sqlite3.SQLITE_FULL: "the disk is full; nothing was changed",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database, or is corrupt; nothing was changed",
}


@frozen
class Target:
    """What a URL names: a file, a server, or, with neither, a new database in memory. Errors call it *where*."""

    where: str
    path: Path | None = None
    server: URL | None = None

    @property
    def in_memory(self) -> bool:
        """Whether it is gone when it is closed."""
        return self.path is None and self.server is None


def parse(url: str) -> Target:
    """What *url* names; raises :class:`~novastate.errors.StoreError` for one that no store is behind.

    What follows ``sqlite:///`` is the path as it is, with no character escaped.
    """
    known = "known are sqlite:///PATH and postgresql://HOST/DATABASE"
    scheme, colon, rest = url.partition("://")
    if not colon:
        hint = f" (write sqlite:///{url})" if url and "@" not in url else ""  # who knows what is before an @
        raise StoreError(f"not a database URL{hint}; {known}")
    if scheme in {"sqlite", "sqlite+pysqlite"}:
        if rest in {"", "/", "/:memory:"}:
            return Target(":memory:")
        if not rest.startswith("/") or "?" in rest:
            raise StoreError("an SQLite URL has a path and nothing else (with three slashes: sqlite:///PATH)")
        return at_path(rest[1:])
    if scheme not in {"postgresql", "postgresql+psycopg"}:
        raise StoreError(f"unknown URL scheme {scheme!r}; {known}")
    try:
        server = make_url(url).set(drivername="postgresql+psycopg")
    except (exc.ArgumentError, ValueError):  # the latter for a port that is no number
        raise StoreError(f"not a database URL; {known}") from None
    shown = server.set(drivername="postgresql", query={})  # options may hold a password, too
    return Target(shown.render_as_string(hide_password=True), server=server)


def at_path(path: str | os.PathLike[str]) -> Target:
    """The SQLite file at *path*, taken as it is."""
    path = os.fspath(path)
    if "\0" in path:
        raise StoreError("a path holds no NUL character")
    return Target(path if path.isprintable() else repr(path), path=Path(path))


def open_database(target: Target, *, create: bool, timeout: float) -> Engine:
    """An engine on a database that is known to be ours; it is made if there is none and *create* says so."""
    if target.path is not None:
        return _open_file(target.path, target.where, create=create, timeout=timeout)
    if target.server is None and not create:
        raise StoreError(f"{target.where}: there is nothing in a new database in memory, and create is False")
    with translated(target.where, timeout):
        if target.server is not None:
            engine = _postgresql(target.server, timeout)
        else:
            engine = _sqlite(lambda: _connect(":memory:", timeout), StaticPool)
        return _checked(engine, target.where, timeout=timeout, create=create)


def _open_file(path: Path, where: str, *, create: bool, timeout: float) -> Engine:
    fresh = _inspect_path(path, where, create=create)
    readonly = not fresh and not (_may(path, os.W_OK) and _may(path.absolute().parent, os.W_OK | os.X_OK))
    uri = f"file:{quote(os.fsencode(path.absolute()))}?{_reading(path) if readonly else 'mode=rwc' if fresh else 'mode=rw'}"
    try:
        with translated(where, timeout):
            engine = _sqlite(lambda: _connect(uri, timeout), QueuePool, pool_timeout=timeout)
            return _checked(engine, where, timeout=timeout, create=create and not readonly, readonly=readonly)
    except StoreError as error:
        # SQLite makes an empty file before its first transaction. If that failed for want of room, take it away;
        # but not from under another process that is making it.
        if fresh and "locked" not in str(error) and path.exists() and not path.stat().st_size:
            path.unlink()
        raise


def _reading(path: Path) -> str:
    """How to open a file that may not be written.

    A log beside it means that its owner is at work, and is read with it. Without one there is nothing to wait for, and
    SQLite would need to write the log's index: it is told that nobody writes.
    """
    log = path.with_name(f"{path.name}-wal")
    return "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"


@contextmanager
def translated(where: str, timeout: float) -> Generator[None]:
    """Turns what a database, its driver or its pool raises into a :class:`~novastate.errors.StoreError`."""
    try:
        yield
    except exc.DBAPIError as error:
        raise StoreError(f"{where}: {_meaning(error.orig, timeout)}") from error
    except sqlite3.Error as error:
        raise StoreError(f"{where}: {_meaning(error, timeout)}") from error
    except exc.TimeoutError as error:
        raise StoreError(f"{where}: no free connection within {timeout:g} s") from error
    except (exc.SQLAlchemyError, UnicodeError, OverflowError) as error:
        raise StoreError(f"{where}: {_one_line(error)}") from error


def writing(connection: Connection) -> Connection:
    """The connection, its next transaction one that writes."""
    return connection.execution_options(**{_WRITE: True})


def _meaning(error: BaseException | None, timeout: float) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    known = None if code is None else _MEANINGS.get(code & 0xFF)
    return known.format(timeout=timeout) if known else _one_line(error)


def _one_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _inspect_path(path: Path, where: str, *, create: bool) -> bool:
    """Whether the file is to be made; raises what can be said of the path by looking at it.

    The file is not opened: closing it again would take away the locks that another store of this process holds.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:
        raise StoreError(f"{where}: {error.strerror}") from error
    home = path.absolute().parent
    problem = None
    if mode is not None and stat.S_ISDIR(mode):
        problem = "is a directory"
    elif mode is not None and not stat.S_ISREG(mode):
        problem = "is not a regular file"
    elif mode is None and not home.is_dir():
        problem = f"the directory {home} does not exist"
    elif mode is None and not create:
        problem = "does not exist"
    elif mode is not None and not _may(path, os.R_OK):
        problem = "cannot be read: permission denied"
    elif mode is None and not _may(home, os.W_OK | os.X_OK):
        problem = "cannot be written: the file or its directory is read-only"
    if problem:
        raise StoreError(f"{where}: {problem}")
    return mode is None


def _may(path: Path, wanted: int) -> bool:
    return os.access(path, wanted, effective_ids=os.access in os.supports_effective_ids)


def _connect(database: str, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        database,
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,  # the pool gives a connection to one thread at a time
    )
    # What is not UTF-8 is to be read as far as it goes, so that who reads it can say where it stands.
    connection.text_factory = lambda data: data.decode(errors="surrogateescape")
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _sqlite(connect: Callable[[], sqlite3.Connection], pool: type[Any], **options: Any) -> Engine:
    engine = create_engine("sqlite://", creator=connect, poolclass=pool, hide_parameters=True, **options)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        immediate = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _postgresql(url: URL, timeout: float) -> Engine:
    milliseconds = max(1, math.ceil(timeout * 1000))  # 0 would be: for ever
    try:
        return create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_timeout=timeout,
            connect_args={
                "connect_timeout": max(2, math.ceil(timeout)),  # libpq takes no less
                "tcp_user_timeout": milliseconds,  # a server that has vanished
                "options": f"-c lock_timeout={milliseconds} -c statement_timeout={2 * milliseconds}",
            },
        )
    except ImportError as error:
        raise StoreError("PostgreSQL needs psycopg: pip install 'psycopg[binary]'") from error


def _write_ahead(connection: Connection, timeout: float) -> None:
    """Switches a file to WAL mode, which it then keeps: later openings only ask. Memory has no such mode.

    The switch reads before it locks, and a lock that is wanted so late SQLite asks for once only, whatever the timeout
    (two that wait for each other would wait for ever): it is asked for again from here.
    """
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    deadline = time.monotonic() + timeout
    while raw.execute("PRAGMA journal_mode").fetchone() == ("delete",):
        try:
            raw.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)


def _checked(engine: Engine, where: str, *, timeout: float, create: bool, readonly: bool = False) -> Engine:
    """The engine, if its database is ours, or has been made so."""
    try:
        with engine.connect() as connection:
            ready = _ready(connection, where, create=create)
        if not ready:
            with engine.connect() as connection, writing(connection).begin():
                _make(connection, where)
        if engine.dialect.name == "sqlite" and not readonly:
            with engine.connect() as connection:
                _write_ahead(connection, timeout)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _make(connection: Connection, where: str) -> None:
    """Makes the schema, unless somebody else just did."""
    if connection.dialect.name == "postgresql":  # where two may make the same tables at once
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('novastate schema'))"))
    if not _ready(connection, where, create=True):
        METADATA.create_all(connection)
        meta = {"product": PRODUCT, "schema": str(SCHEMA)}
        connection.execute(insert(META), [{"name": name, "value": value} for name, value in meta.items()])


def _ready(connection: Connection, where: str, *, create: bool) -> bool:
    """Whether the schema is there (nothing is, if not); raises if what is there cannot be used as it is."""
    names = set(inspect(connection).get_table_names())
    if META.name not in names:
        if names and connection.dialect.name == "sqlite":
            raise StoreError(f"{where}: is an SQLite database, but not one of {PRODUCT}; nothing was changed")
        if not create:
            raise StoreError(f"{where}: is empty, and create is False")
        return False
    meta = {row.name: row.value for row in connection.execute(select(META.c.name, META.c.value))}
    version = str(meta.get("schema"))
    if meta.get("product") != PRODUCT or not version.isdecimal() or len(version) > 9:
        raise StoreError(f"{where}: does not say that it is of {PRODUCT}; nothing was changed")
    if int(version) > SCHEMA:
        raise StoreError(
            f"{where}: written by a newer {PRODUCT} (schema {version}, this one knows up to {SCHEMA}); "
            "nothing was changed"
        )
    missing = sorted(set(METADATA.tables) - names)
    if missing:
        raise StoreError(f"{where}: is damaged: without {', '.join(missing)}; nothing was changed")
    return True
