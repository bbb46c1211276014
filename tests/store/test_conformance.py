"""Each rule of the protocol, on each store."""

from __future__ import annotations

from itertools import count

import pytest

from novastate.errors import NovastateError
from novastate.store import MemoryStore, SqlStore, Store
from novastate.testing.store_conformance import StoreConformance


@pytest.fixture(params=["memory", "sqlite in memory", "sqlite file"])
def kit(request, tmp_path):
    if request.param == "memory":
        return StoreConformance(MemoryStore)
    if request.param == "sqlite in memory":
        return StoreConformance(lambda: SqlStore("sqlite://"))
    numbers = count()

    def make() -> Store:
        return SqlStore(f"sqlite:///{tmp_path}/{next(numbers)}.db", timeout=60)

    def again(store: Store) -> Store:
        assert isinstance(store, SqlStore)
        return SqlStore(f"sqlite:///{store._where}", create=False, timeout=60)

    return StoreConformance(make, again)


@pytest.mark.parametrize("name", StoreConformance.names())
def test_conforms(kit, name):
    kit.check(name)


def test_the_protocol_is_what_isinstance_asks_for():
    assert isinstance(MemoryStore(), Store)
    assert issubclass(SqlStore, Store)
    assert not isinstance(object(), Store)


def test_the_kit_runs_without_a_test_framework():
    StoreConformance(MemoryStore).run()


def test_the_kit_finds_a_store_that_loses_updates():
    class Careless(MemoryStore):
        def commit(self, *changes):
            for change in changes:  # one at a time: not atomic
                super().commit(change)

    failed = []
    for name in StoreConformance.names():
        try:
            StoreConformance(Careless).check(name)
        except (AssertionError, NovastateError):
            failed.append(name)
    assert "store_changes_all_or_none" in failed
    assert "store_gives_back_what_was_put" not in failed
