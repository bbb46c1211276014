"""What a store asks its database: pages, by index; and what it never writes there."""

from __future__ import annotations

from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import event

from novastate.machines import TaskState
from novastate.objects import Allocation, Instance, Migration
from novastate.objects.base import fields
from novastate.store import KINDS, Drop, MemoryStore, Put, SqlStore
from novastate.testing.store_conformance import sample

ROWS = 1200


@contextmanager
def statements(store):
    """The statements, with their parameters, that are executed inside."""
    seen = []

    def listen(connection, cursor, statement, parameters, context, many):
        if not statement.startswith(("BEGIN", "EXPLAIN")):
            seen.append((statement, parameters[0] if many else parameters))

    event.listen(store._engine, "before_cursor_execute", listen)
    yield seen
    event.remove(store._engine, "before_cursor_execute", listen)


def plans(store, seen):
    with store._engine.connect() as connection:
        for statement, parameters in seen:
            if not statement.startswith("INSERT"):
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                yield statement, [row[-1] for row in rows]


@pytest.fixture(scope="module")
def fleet():
    with closing(SqlStore("sqlite://")) as store:
        for start in range(0, ROWS, 300):
            store.commit(
                *(
                    Put(sample(Instance, n, host=f"host-{n % 3}", display_name=f"vm-{n % 2}"))
                    for n in range(start, start + 300)
                )
            )
        yield store


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_search_reads_an_index_in_order(fleet, kind):
    with statements(fleet) as seen:
        fleet.find(kind.cls, after="m")
        for name in kind.indexed:
            fleet.find(
                kind.cls, **{name: {"status": "error", "vm_state": "error", "task_state": "migrating"}.get(name, "x")}
            )
            fleet.find(kind.cls, **{name: None}, after="m", limit=7)
    assert len(seen) == 1 + 2 * len(kind.indexed)
    for statement, plan in plans(fleet, seen):
        assert len(plan) == 1, statement
        assert plan[0].startswith(f"SEARCH novastate_{kind.name} USING INDEX"), (statement, plan)
        assert "(key>?)" in plan[0] or " AND key>?)" in plan[0]


def test_a_search_by_several_fields_reads_the_most_telling_index(fleet):
    vm = sample(Instance, 1)
    with statements(fleet) as seen:
        fleet.find(Migration, status="completed", instance_uuid=vm.uuid)
        fleet.find(Instance, vm_state="active", host=None, task_state=None)
    (_, one), (_, two) = plans(fleet, seen)
    assert "novastate_migration_by_instance_uuid (instance_uuid=? AND key>?)" in one[0]
    assert "novastate_instance_by_host (host=? AND key>?)" in two[0]


def test_no_operation_reads_a_whole_table():
    with closing(SqlStore("sqlite://")) as store, statements(store) as seen:
        vm, move, room = sample(Instance, 1), sample(Migration, 2), sample(Allocation, 3)
        store.commit(Put(vm), Put(move), Put(room))
        vm.task_state = TaskState.SCHEDULING
        store.commit(Put(vm, {"task_state": [None]}), Drop(room))
        store.commit(Put(sample(Allocation, 3)))
        store.load(Instance, vm.uuid)
        store.history(vm.uuid)
        store.post("abort", "it")
        store.take("abort")
        store.put_document("lab", {}, store.put_document("lab", {}, 0))
        store.get_document("lab")
        checked = list(plans(store, seen))
    assert len(checked) >= 15
    for statement, plan in checked:
        assert not any("SCAN" in step for step in plan), (statement, plan)


@pytest.mark.parametrize("page", [1, 7, 100, ROWS, 5000])
def test_pages_give_every_row_once(fleet, page):
    keys, after = [], ""
    while found := fleet.find(Instance, limit=page, after=after, host="host-1"):
        assert len(found) <= page
        keys += [vm.uuid for vm in found]
        after = keys[-1]
    assert keys == [sample(Instance, n).uuid for n in range(1, ROWS, 3)]


def test_a_search_by_two_fields_gives_what_fits_both(fleet):
    found = fleet.find(Instance, host="host-1", display_name="vm-0", limit=ROWS)
    assert [vm.uuid for vm in found] == [sample(Instance, n).uuid for n in range(4, ROWS, 6)]


def test_both_stores_order_keys_alike():
    names = ["a", "B", "ä", "Z", "host-10", "host-9", "_", "~", "😀", "\uffff", "é", "e"]
    orders = []
    for store in (MemoryStore(), SqlStore("sqlite://")):
        with closing(store):
            rooms = [sample(Allocation, 1, host=name) for name in names]
            store.commit(*map(Put, rooms))
            orders.append([room.host for room in store.find(Allocation)])
    assert orders[0] == orders[1] == sorted(names)


@pytest.mark.parametrize("make", [MemoryStore, lambda **k: SqlStore("sqlite://", **k)], ids=["memory", "sqlite"])
def test_history_is_told_by_the_clock_that_was_given(make):
    at = datetime(2030, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    with closing(make(clock=lambda: at)) as store:
        store.commit(Put(vm := sample(Instance, 1)))
        assert {line.at for line in store.history(vm.uuid)} == {at}


def test_a_big_commit_is_one_commit():
    with closing(SqlStore("sqlite://")) as store:
        rooms = [sample(Allocation, n) for n in range(1100)]
        store.commit(*map(Put, rooms))
        store.commit(*map(Put, rooms))
        assert {room.revision for room in rooms} == {2}


# --- secrets


def test_no_stored_class_has_a_field_for_the_admin_password():
    for cls in KINDS:
        assert not {name for name in fields(cls) if "pass" in name}


def test_a_password_put_on_an_object_does_not_reach_the_file(tmp_path):
    path = tmp_path / "cloud.db"
    with closing(SqlStore(f"sqlite:///{path}")) as store:
        vm = sample(Instance, 1)
        with pytest.raises(AttributeError):
            vm.admin_pass = "correct horse"
        store.commit(Put(vm))
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        assert b"correct horse" not in data
        assert b"admin_pass" not in data


def test_what_is_stored_is_not_logged(tmp_path, caplog):
    caplog.set_level("DEBUG")
    with closing(SqlStore(f"sqlite:///{tmp_path}/cloud.db")) as store:
        vm = sample(Instance, 1, user_data="Y29ycmVjdCBob3JzZQ==")
        store.commit(Put(vm))
        object.__setattr__(vm, "display_name", "\ud800")  # what the database will refuse
        with pytest.raises(Exception, match=r".*") as caught:
            store.commit(Put(vm))
    shown, error = caplog.text, caught.value
    while error is not None:
        shown += f"{error}"
        error = error.__cause__ or error.__context__
    assert "Y29ycmVjdCBob3JzZQ" not in shown
