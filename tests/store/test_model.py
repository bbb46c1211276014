"""Whatever is done to a store, in whatever order: it stays what a dict with the rules would be."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from novastate.errors import AlreadyExists, NotFound, StaleState
from novastate.objects import Instance
from novastate.store import Drop, MemoryStore, Put, SqlStore
from novastate.testing.store_conformance import sample

NUMBERS = st.integers(0, 3)
HOSTS = st.sampled_from([None, "alpha", "beta"])


class StoreModel(RuleBasedStateMachine):
    """The model: `rows` by key as (revision, host), `last` the highest revision a key had, `lines` of history."""

    make = None
    copies = Bundle("copies")

    def __init__(self):
        super().__init__()
        self.store = type(self).make()
        self.rows, self.last, self.lines = {}, {}, {}

    def teardown(self):
        self.store.close()

    def verdict(self, change):
        """The error that the rules give a change, None if it is allowed."""
        vm = change.obj
        there = self.rows.get(vm.uuid)
        if there is None:
            if vm.revision or isinstance(change, Drop):
                return NotFound
            return StaleState if change.expect else None
        if isinstance(change, Put) and vm.revision == 0:
            return AlreadyExists
        expected = change.expect.get("host", [there[1]]) if isinstance(change, Put) else [there[1]]
        return None if vm.revision == there[0] and there[1] in expected else StaleState

    def apply(self, change):
        vm = change.obj
        old = self.rows.pop(vm.uuid, (0, None))
        if isinstance(change, Put):
            self.last[vm.uuid] = self.last.get(vm.uuid, 0) + 1
            self.rows[vm.uuid] = (self.last[vm.uuid], vm.host)
        new = self.rows.get(vm.uuid, (0, None))
        if old[1] != new[1]:
            self.lines.setdefault(vm.uuid, []).append((old[1], new[1]))

    def commit(self, *changes):
        revisions = [change.obj.revision for change in changes]
        verdicts = [verdict for change in changes if (verdict := self.verdict(change))]
        if verdicts:
            with pytest.raises(tuple(verdicts)):
                self.store.commit(*changes)
            assert [change.obj.revision for change in changes] == revisions
            return
        self.store.commit(*changes)
        for change in changes:
            self.apply(change)
            if isinstance(change, Put):
                assert change.obj.revision == self.rows[change.obj.uuid][0]

    @rule(target=copies, number=NUMBERS, host=HOSTS)
    def create(self, number, host):
        vm = sample(Instance, number, host=host)
        self.commit(Put(vm))
        return vm

    @rule(target=copies, number=NUMBERS)
    def load(self, number):
        key = sample(Instance, number).uuid
        if key in self.rows:
            vm = self.store.load(Instance, key)
            assert (vm.revision, vm.host) == self.rows[key]
            return vm
        with pytest.raises(NotFound):
            self.store.load(Instance, key)
        return multiple()

    @rule(vm=copies, host=HOSTS)
    def put(self, vm, host):
        vm.host = host
        self.commit(Put(vm))

    @rule(vm=copies, host=HOSTS, expected=st.lists(HOSTS))
    def put_if(self, vm, host, expected):
        vm.host = host
        self.commit(Put(vm, {"host": expected}))

    @rule(vm=copies)
    def drop(self, vm):
        self.commit(Drop(vm))

    @rule(one=copies, other=copies, host=HOSTS, gone=st.booleans())
    def put_both(self, one, other, host, gone):
        if one.uuid != other.uuid:
            one.host = other.host = host
            self.commit(Put(one), Drop(other) if gone else Put(other))

    @invariant()
    def what_is_found_is_what_is_there(self):
        found = {vm.uuid: (vm.revision, vm.host) for vm in self.store.find(Instance)}
        assert found == self.rows
        assert list(found) == sorted(found)
        for host in (None, "alpha", "beta"):
            assert [vm.uuid for vm in self.store.find(Instance, host=host)] == sorted(
                key for key, row in self.rows.items() if row[1] == host
            )

    @invariant()
    def history_tells_every_change(self):
        for key, lines in self.lines.items():
            told = [(line.old, line.new) for line in self.store.history(key) if line.field == "host"]
            assert told == lines


@pytest.mark.parametrize("make", [MemoryStore, lambda: SqlStore("sqlite://")], ids=["memory", "sqlite"])
def test_a_store_is_its_model(make):
    machine = type("Model", (StoreModel,), {"make": staticmethod(make)})
    profile = settings()
    run_state_machine_as_test(
        machine, settings=settings(profile, max_examples=min(profile.max_examples, 60), stateful_step_count=25)
    )


def test_the_model_finds_a_store_that_forgets_to_compare():
    class Careless(MemoryStore):
        def commit(self, *changes):
            for change in changes:
                stored = self.find(Instance, display_name=change.obj.display_name)
                if stored and change.obj.revision:
                    object.__setattr__(change.obj, "revision", stored[0].revision)
            super().commit(*changes)

    machine = type("Model", (StoreModel,), {"make": Careless})
    found = settings(max_examples=200, database=None, phases=[Phase.generate])
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run_state_machine_as_test(machine, settings=found)
