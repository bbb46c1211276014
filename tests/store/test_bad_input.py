"""A database that cannot be used: one clear line, and nothing changed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.errors import InvalidField, NovastateError, StoreError
from novastate.objects import ComputeNode, Instance
from novastate.store import KINDS, Put, SqlStore, kind_of
from novastate.testing.store_conformance import sample


@pytest.fixture
def path(tmp_path):
    """A store with two instances in it, closed."""
    path = tmp_path / "cloud.db"
    with closing(SqlStore(f"sqlite:///{path}")) as store:
        store.commit(Put(sample(Instance, 1)), Put(sample(Instance, 2)))
    return path


def snapshot(directory: Path):
    return {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file()}


@contextmanager
def refused(text: str, directory: Path | None = None):
    """A StoreError of one line with *text* in it, and *directory* is afterwards as it was before."""
    before = None if directory is None else snapshot(directory)
    with pytest.raises(StoreError) as caught:
        yield caught
    message = str(caught.value)
    assert text in message
    assert "\n" not in message
    assert "Traceback" not in message
    assert len(message) < 500
    if directory is not None:
        assert snapshot(directory) == before


# --- what is at the path


def test_a_text_file_is_not_a_store(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("the quick brown fox\n" * 400)
    with refused("is not an SQLite database, or is corrupt", tmp_path):
        SqlStore(f"sqlite:///{path}")


def test_a_truncated_store_is_refused(path):
    path.write_bytes(path.read_bytes()[:6000])
    with refused("is corrupt", path.parent):
        SqlStore(f"sqlite:///{path}")


def test_a_store_with_damaged_pages_is_refused_and_not_changed(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with refused("is corrupt", path.parent):
        SqlStore(f"sqlite:///{path}")


def test_a_damaged_body_is_named(path):
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE novastate_instance SET body = substr(body, 1, 40)")
    uuid = sample(Instance, 1).uuid
    with closing(SqlStore(f"sqlite:///{path}")) as store:
        with refused(f"instance {uuid}: what is stored cannot be read"):
            store.load(Instance, uuid)
        with refused("cannot be read"):
            store.find(Instance)


def test_a_damaged_document_is_named(path):
    with closing(SqlStore(f"sqlite:///{path}")) as store:
        store.put_document("lab", {"hosts": 3}, 0)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE novastate_documents SET body = '{'")
    with closing(SqlStore(f"sqlite:///{path}")) as store, refused("document lab: what is stored cannot be read"):
        store.get_document("lab")


@pytest.mark.parametrize("value", ["'text'", "7", "x'ff00'", "1.5", "'[1]'", "cast(x'ff' AS TEXT)"])
@pytest.mark.parametrize(
    "place",
    [
        *("instance.body", "instance.revision", "instance.host", "history.at", "history.revision", "mailbox.message"),
        *("documents.body", "documents.revision", "meta.value"),
    ],
)
def test_a_value_of_another_type_raises_nothing_but_ours(place, value, path):
    table, column = place.split(".")
    with closing(SqlStore(f"sqlite:///{path}")) as store:
        store.put_document("lab", {"hosts": 3}, 0)
        store.post("abort", "it")
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(f"UPDATE novastate_{table} SET {column} = {value}")
    with contextlib.suppress(NovastateError), closing(SqlStore(f"sqlite:///{path}")) as store:
        vm = sample(Instance, 1, revision=1)
        for use in (
            lambda: store.find(Instance),
            lambda: store.load(Instance, vm.uuid),
            lambda: store.commit(Put(vm, {"host": [None]})),
            lambda: store.history(vm.uuid),
            lambda: store.take("abort"),
            lambda: store.put_document("lab", *store.get_document("lab")[::-1]),
        ):
            with contextlib.suppress(NovastateError):
                use()


def test_a_newer_store_is_not_touched(path):
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE novastate_meta SET value = '2' WHERE name = 'schema'")
    with refused("written by a newer novastate (schema 2, this one knows up to 1)", path.parent):
        SqlStore(f"sqlite:///{path}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE novastate_meta SET value = 'soon' WHERE name = 'schema'",
        "UPDATE novastate_meta SET value = 'cinder' WHERE name = 'product'",
        "DELETE FROM novastate_meta",
    ],
)
def test_a_store_that_does_not_say_whose_it_is_is_refused(path, statement):
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(statement)
    with refused("does not say that it is of novastate", path.parent):
        SqlStore(f"sqlite:///{path}")


def test_a_store_without_a_table_is_refused(path):
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DROP TABLE novastate_history")
    with refused("is damaged: without novastate_history", path.parent):
        SqlStore(f"sqlite:///{path}")


def test_a_database_of_something_else_is_not_touched(tmp_path):
    with closing(sqlite3.connect(tmp_path / "places.sqlite")) as raw, raw:
        raw.execute("CREATE TABLE bookmarks (url TEXT)")
    with refused("not one of novastate", tmp_path):
        SqlStore(f"sqlite:///{tmp_path}/places.sqlite")


def test_a_directory_is_no_store(tmp_path):
    with refused("is a directory", tmp_path):
        SqlStore(f"sqlite:///{tmp_path}")


def test_a_pipe_is_no_store(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with refused("is not a regular file", tmp_path):
        SqlStore(f"sqlite:///{tmp_path}/pipe")


def test_a_missing_directory_is_not_made(tmp_path):
    with refused("the directory", tmp_path):
        SqlStore(f"sqlite:///{tmp_path}/no/such/cloud.db")
    (tmp_path / "file").touch()
    with refused("Not a directory", tmp_path):
        SqlStore(f"sqlite:///{tmp_path}/file/cloud.db")
    with refused("File name too long"):
        SqlStore(f"sqlite:///{tmp_path}/{'x' * 300}.db")


def test_a_missing_store_is_only_made_if_asked(tmp_path):
    with refused("does not exist", tmp_path):
        SqlStore(f"sqlite:///{tmp_path}/cloud.db", create=False)
    with refused("create is False"):
        SqlStore("sqlite://", create=False)
    (tmp_path / "empty.db").touch()
    with refused("is empty, and create is False", tmp_path):
        SqlStore(f"sqlite:///{tmp_path}/empty.db", create=False)
    SqlStore(f"sqlite:///{tmp_path}/empty.db").close()
    SqlStore(f"sqlite:///{tmp_path}/empty.db", create=False).close()


@pytest.mark.parametrize(
    "name", ["with space.db", "100%41#.db", "a'b\";--.db", "ü.db", "\udcff.db", "file:x&mode=memory", "two\nlines.db"]
)
def test_a_path_may_hold_any_character(name, tmp_path):
    with closing(SqlStore(f"sqlite:///{tmp_path}/{name}")) as store:
        store.put_document("here", {}, 0)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    (tmp_path / name).write_text("no database")
    with refused("is not an SQLite database"):
        SqlStore(f"sqlite:///{tmp_path}/{name}")
    with refused("a path holds no NUL character"):
        SqlStore(f"sqlite:///{tmp_path}/\0.db")


# --- who may write


@contextmanager
def unprivileged(directory: Path):
    """The directory and what is in it read-only, and we nobody special."""
    me = os.geteuid()
    for item in (*directory.iterdir(), directory):
        item.chmod(0o555 if item.is_dir() else 0o444)
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if me == 0:
            os.seteuid(0)
        directory.chmod(0o755)


@pytest.fixture
def open_path(path):
    """The store in a directory that any user can reach."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    shutil.copy(path, directory / "cloud.db")
    yield directory / "cloud.db"
    shutil.rmtree(directory)


@contextmanager
def nobody():
    """We, and nobody special."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if me == 0:
            os.seteuid(0)


def look(path):
    """Reading works, with all that is there; writing says why not."""
    vm = sample(Instance, 1)
    with closing(SqlStore.at(path)) as store:
        loaded = store.load(Instance, vm.uuid)
        assert store.find(Instance, vm_state="building")[0].uuid == vm.uuid
        assert store.history(vm.uuid)
        assert store.get_document("lab") == (0, {})
        assert store.take("abort") is None
        for write in (
            lambda: store.commit(Put(loaded)),
            lambda: store.post("abort", "it"),
            lambda: store.put_document("lab", {}, 0),
        ):
            with refused("cannot be written"):
                write()
        return len(store.find(Instance))


def test_what_is_in_a_read_only_directory_can_be_read(open_path):
    with unprivileged(open_path.parent):
        before = snapshot(open_path.parent)
        assert look(open_path) == 2
        assert snapshot(open_path.parent) == before


def test_a_read_only_file_can_be_read(open_path):
    with unprivileged(open_path.parent):
        pass
    open_path.parent.chmod(0o777)
    with nobody():
        before = snapshot(open_path.parent)
        assert look(open_path) == 2
        assert snapshot(open_path.parent) == before


def test_what_its_owner_has_just_written_is_read_too(open_path):
    with closing(SqlStore.at(open_path)) as owner:
        owner.commit(Put(sample(Instance, 3)))
        open_path.chmod(0o644)
        if os.geteuid() != 0:
            pytest.skip("needs another user")
        with nobody():
            assert look(open_path) == 3
        owner.commit(Put(sample(Instance, 4)))


def test_in_a_read_only_directory_nothing_is_made(open_path):
    with unprivileged(open_path.parent), refused("read-only", open_path.parent):
        SqlStore(f"sqlite:///{open_path.parent}/new.db")


def test_an_empty_file_that_is_read_only_is_refused(tmp_path):
    directory = Path(tempfile.mkdtemp())
    (directory / "empty.db").touch()
    directory.chmod(0o755)
    with unprivileged(directory), refused("is empty", directory):
        SqlStore.at(directory / "empty.db")
    shutil.rmtree(directory)


# --- any path


@pytest.mark.parametrize("name", ["a?b.sqlite", "a#b%20c.sqlite", ":memory:", "a b", "é", "sqlite:///x?mode=ro"])
def test_a_path_is_taken_as_it_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    for path in (name, Path(name)):
        with closing(SqlStore.at(path)) as store:
            revision, _ = store.get_document("lab")
            store.put_document("lab", {}, revision)
    assert Path(name).is_file()
    with closing(SqlStore.at(name, create=False)) as store:
        assert store.get_document("lab") == (2, {})


@pytest.mark.parametrize(("path", "text"), [("", "is a directory"), ("a\0b", "NUL"), ("/no/such/x.db", "not exist")])
def test_a_path_that_cannot_be_is_refused(path, text):
    with refused(text):
        SqlStore.at(path)


# --- whatever the kind


BODIES = ["'{'", "'{}'", "'[]'", "'null'", "'5'", "''", "x'ff'", "cast(x'ff' AS TEXT)", "5", '\'{"vcpus": "many"}\'']


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("cls", KINDS)
def test_a_damaged_row_of_any_kind_is_named(cls, body, tmp_path):
    path = tmp_path / "cloud.db"
    obj = sample(cls, 1)
    kind = kind_of(cls)
    with closing(SqlStore.at(path)) as store:
        store.commit(Put(obj))
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(f"UPDATE novastate_{kind.name} SET body = {body}")
    with closing(SqlStore.at(path)) as store:
        for use in (lambda: store.load(cls, kind.key_of(obj)), lambda: store.find(cls)):
            with refused("cannot be read") as caught:
                use()
            assert f"{kind.name} {kind.key_of(obj)}" in str(caught.value)


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path, statement: str):
    """Another process keeps the lock that *statement* takes."""
    command = [sys.executable, "-c", HOLDER, str(path), statement]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        yield
        other.stdin.close()


def test_a_lock_is_waited_for_only_so_long(path):
    with closing(SqlStore(f"sqlite:///{path}", timeout=0.05)) as store:
        first = store.load(Instance, sample(Instance, 1).uuid)
        with held(path, "BEGIN IMMEDIATE"):
            with refused("locked by another process for longer than 0.05 s"):
                store.commit(Put(first))
            with refused("locked"):
                store.post("abort", "it")
            assert store.load(Instance, first.uuid) == first  # who reads does not wait for who writes
            assert store.take("abort") is None
            SqlStore(f"sqlite:///{path}", timeout=0.05).close()
        assert first.revision == 1
        store.commit(Put(first))
        assert first.revision == 2


def test_a_switch_to_write_ahead_mode_waits_for_the_one_who_writes(path):
    """SQLite itself would not: there a lock is not asked for again once a transaction has begun."""
    with held(path, "PRAGMA journal_mode = DELETE"):
        pass
    with held(path, "BEGIN IMMEDIATE"), refused("locked by another process for longer than 0.05 s"):
        SqlStore(f"sqlite:///{path}", timeout=0.05)
    with ThreadPoolExecutor(1) as pool:
        with held(path, "BEGIN IMMEDIATE"):
            opening = pool.submit(lambda: SqlStore(f"sqlite:///{path}", timeout=60))
            with pytest.raises(TimeoutError):
                opening.result(0.3)
        with closing(opening.result(60)) as store:
            assert len(store.find(Instance)) == 2


def test_a_new_store_is_not_made_over_a_lock(tmp_path):
    path = tmp_path / "cloud.db"
    with held(path, "BEGIN EXCLUSIVE"), refused("locked by another process"):
        SqlStore(f"sqlite:///{path}", timeout=0.05)
    SqlStore(f"sqlite:///{path}").close()


# --- no room


def test_a_full_disk_loses_nothing(path):
    with closing(SqlStore(f"sqlite:///{path}")) as store:
        with store._engine.connect() as raw:  # the one connection of the pool
            pages = raw.exec_driver_sql("PRAGMA page_count").scalar()
            raw.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        nodes = [sample(ComputeNode, n, cpu_info="x" * 5000) for n in range(100)]
        with refused("the disk is full; nothing was changed"):
            store.commit(*map(Put, nodes))
        assert {node.revision for node in nodes} == {0}
        assert store.find(ComputeNode) == []
        assert len(store.find(Instance)) == 2
        with store._engine.connect() as raw:
            raw.exec_driver_sql("PRAGMA max_page_count = 1000000")
        store.commit(*map(Put, nodes))


def test_a_store_that_cannot_be_made_whole_is_not_made(tmp_path):
    program = """
import resource, sys
from novastate.errors import StoreError
from novastate.store import SqlStore
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    SqlStore(sys.argv[1])
except StoreError as error:
    print(error)
"""
    for room in (0, 2000, 9000, 40000):
        command = [sys.executable, "-c", program, f"sqlite:///{tmp_path}/cloud.db", str(room)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.count("\n") == 1, done
        assert "cloud.db: " in done.stdout
        assert list(tmp_path.iterdir()) == []


# --- the URL


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("cloud.db", "write sqlite:///cloud.db"),
        ("", "not a database URL"),
        ("nova:hunter2@host/cloud", "not a database URL"),
        ("://nova:hunter2@host", "unknown URL scheme ''"),
        ("mysql://nova:hunter2@host/cloud", "unknown URL scheme 'mysql'"),
        ("sqlite+aiosqlite:///cloud.db", "unknown URL scheme 'sqlite+aiosqlite'"),
        ("postgresql+asyncpg://nova:hunter2@host/cloud", "unknown URL scheme 'postgresql+asyncpg'"),
        ("no-such-scheme:///cloud.db", "unknown URL scheme 'no-such-scheme'"),
        ("sqlite://cloud.db", "three slashes"),
        ("sqlite://nova:hunter2@host/cloud.db", "three slashes"),
        ("sqlite:///cloud.db?mode=memory", "three slashes"),
        ("postgresql://nova:hunter2@host:port/cloud", "not a database URL"),
    ],
)
def test_a_url_that_no_store_is_behind_is_refused(url, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused(text, tmp_path) as caught:
        SqlStore(url)
    assert "hunter2" not in str(caught.value)


def without(module: str, program: str) -> str:
    """What *program* prints where *module* is not installed."""
    program = f"import sys\nsys.modules[{module!r}] = None\n{program}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_without_sqlalchemy_the_error_says_what_to_install():
    said = without(
        "sqlalchemy",
        """
from novastate.errors import StoreError
from novastate.store import MemoryStore
MemoryStore().post("abort", "")
for statement in ("from novastate.store import SqlStore", "import novastate.store.sql"):
    try:
        exec(statement)
    except StoreError as error:
        print(error)
""",
    )
    assert said.splitlines() == ["SqlStore needs SQLAlchemy: pip install 'novastate[sql]'"] * 2


def test_without_psycopg_the_error_says_what_to_install():
    said = without(
        "psycopg",
        """
from novastate.store import SqlStore
try:
    SqlStore("postgresql://nova:hunter2@localhost/cloud")
except Exception as error:
    print(type(error).__name__, error)
""",
    )
    assert said == "StoreError PostgreSQL needs psycopg: pip install 'psycopg[binary]'\n"


def test_naming_the_store_package_does_not_import_sqlalchemy():
    program = "import sys, novastate.store; print(any(m.startswith('sqlalchemy') for m in sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


# --- values


def test_what_a_database_cannot_hold_is_refused():
    with closing(SqlStore("sqlite://")) as store:
        for call in (
            lambda: store.load(Instance, "\ud800"),
            lambda: store.post("abort", "\ud800"),
            lambda: store.history("nobody", after=2**70),
            lambda: store.put_document("lab", {}, 2**70),
            lambda: store.put_document("lab", {"a": object()}, 0),
            lambda: store.put_document("lab", {"a": float("nan")}, 0),
        ):
            with pytest.raises(NovastateError):
                call()
        assert store.get_document("lab") == (0, {})


def test_a_key_must_be_set():
    with closing(SqlStore("sqlite://")) as store:
        node = sample(ComputeNode, 1)
        object.__setattr__(node, "host", None)
        with pytest.raises(InvalidField, match=r"compute_node\.host"):
            store.commit(Put(node))


@given(damage=st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 255)), min_size=1, max_size=30))
def test_whatever_bytes_are_damaged_only_our_errors_are_raised(damage, whole_store):
    path = whole_store.with_name("damaged.db")
    data = bytearray(whole_store.read_bytes())
    for place, byte in damage:
        data[place % len(data)] = byte
    path.write_bytes(data)
    try:
        with closing(SqlStore(f"sqlite:///{path}", timeout=0.05)) as store:
            for vm in store.find(Instance):
                store.history(vm.uuid)
                store.commit(Put(vm))
            store.take("abort")
    except NovastateError:
        pass
    for left in path.parent.glob("damaged.db*"):
        left.unlink()


@pytest.fixture(scope="module")
def whole_store(tmp_path_factory):
    path = tmp_path_factory.mktemp("damage") / "whole.db"
    with closing(SqlStore(f"sqlite:///{path}")) as store:
        store.commit(*(Put(sample(Instance, n)) for n in range(20)))
        store.post("abort", "it")
    return path
