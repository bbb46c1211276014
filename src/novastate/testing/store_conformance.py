"""What every store must do: each rule of :mod:`novastate.store.base` as a check over any store.

    def make() -> Store: ...                    # a new, empty store
    StoreConformance(make).run()                # all checks, the first that fails raises

    @pytest.mark.parametrize("name", StoreConformance.names())
    def test_my_store_conforms(name):           # or one test a rule
        StoreConformance(make).check(name)

Rules of this file:

1. Plain functions and assertions, no test framework: a store is checked where its author's tests run.
2. A check is a sentence about stores. It is given an empty store, and uses nothing but the protocol.
3. No sleeps and no clocks: threads are only ever joined, and every wait has an end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from novastate.errors import AlreadyExists, InvalidField, NotFound, NovastateError, StaleState, StoreError, UnknownName
from novastate.machines import MigrationStatus, MigrationType, PowerState, TaskState, VMState
from novastate.objects import Allocation, ComputeNode, Flavor, Instance, Migration, RequestSpec, evolve
from novastate.store.base import KINDS, Change, Drop, Put, Store, kind_of

__all__ = ["StoreConformance", "sample"]

T = TypeVar("T")
E = TypeVar("E", bound=NovastateError)

#: Seconds after which a thread of a check counts as stuck.
_PATIENCE = 60.0
_FLAVOR = Flavor(name="m1.small", vcpus=1, memory_mb=2048, root_gb=20)


def sample(cls: type[T], number: int, **fields: Any) -> T:
    """An unsaved object of a stored kind; keys are in the order of *number*."""
    uuid = str(UUID(int=number))
    given: dict[type[Any], dict[str, Any]] = {
        Instance: {"uuid": uuid, "display_name": f"vm-{number}", "flavor": _FLAVOR},
        Migration: {
            "uuid": uuid,
            "instance_uuid": str(UUID(int=0)),
            "migration_type": MigrationType.LIVE_MIGRATION,
            "status": MigrationStatus.ACCEPTED,
            "source_compute": "alpha",
        },
        RequestSpec: {"instance_uuid": uuid, "flavor": _FLAVOR},
        ComputeNode: {"host": f"host-{number:06}", "vcpus": 64, "memory_mb": 65536},
        Allocation: {"consumer": uuid, "host": "alpha", "vcpus": 1, "memory_mb": 2048},
    }
    return cls(**(given[cls] | fields))


class StoreConformance:
    """The checks. *make* gives an empty store; *again* another handle on what a store keeps (default: itself)."""

    def __init__(self, make: Callable[[], Store], again: Callable[[Store], Store] | None = None) -> None:
        self._make = make
        self._again = again or (lambda store: store)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the checks, in the order of their writing."""
        return tuple(n for c in reversed(cls.__mro__) for n in vars(c) if n.startswith("store_"))

    def check(self, name: str) -> None:
        """Runs one check on a store of its own."""
        store = self._make()
        try:
            getattr(self, name)(store)
        finally:
            store.close()

    def run(self) -> None:
        """Runs all checks."""
        for name in self.names():
            self.check(name)

    # --- loading and saving

    def store_gives_back_what_was_put(self, store: Store) -> None:
        """Of every kind."""
        for cls in KINDS:
            obj: Any = sample(cls, 1)
            store.commit(Put(obj))
            assert store.load(cls, kind_of(cls).key_of(obj)) == obj

    def store_says_what_is_not_there(self, store: Store) -> None:
        """NotFound names kind and key; a class that is not kept is an unknown name."""
        assert _refused(NotFound, lambda: store.load(Instance, "nobody")).key == "nobody"
        _refused(UnknownName, lambda: store.load(Flavor, "nobody"))
        _refused(UnknownName, lambda: store.commit(Put(_FLAVOR)))

    def store_keeps_no_object_of_its_caller(self, store: Store) -> None:
        """Changing an object after it was saved or loaded changes no store."""
        saved = _saved(store, sample(Instance, 1, display_name="web"))
        saved.display_name = "changed after it was saved"
        loaded = store.load(Instance, saved.uuid)
        assert loaded.display_name == "web"
        loaded.display_name = "changed after it was loaded"
        assert store.load(Instance, saved.uuid).display_name == "web"
        assert store.find(Instance)[0] is not store.find(Instance)[0]

    def store_counts_revisions(self, store: Store) -> None:
        """One up with every save, set on the object (a frozen one, too), and found again by who loads it."""
        kinds: tuple[type[Any], ...] = (Instance, Allocation)
        for cls in kinds:
            obj = sample(cls, 1)
            assert obj.revision == 0
            for revision in (1, 2, 3):
                store.commit(Put(obj))
                assert obj.revision == revision
            assert store.load(cls, kind_of(cls).key_of(obj)).revision == revision

    def store_ignores_an_empty_commit(self, store: Store) -> None:
        """As a flow with nothing to save makes it."""
        store.commit()

    # --- compare-and-swap

    def store_refuses_to_create_twice(self, store: Store) -> None:
        """AlreadyExists, and the first one stays."""
        first = _saved(store, sample(Instance, 1, display_name="first"))
        second = sample(Instance, 1, display_name="second")
        assert _refused(AlreadyExists, lambda: store.commit(Put(second))).key == first.uuid
        assert second.revision == 0
        assert store.load(Instance, first.uuid) == first

    def store_tells_the_loser_who_won(self, store: Store) -> None:
        """The loser of a compare-and-swap changes nothing, learns what is there, and may try again."""
        winner = _saved(store, sample(Instance, 1))
        loser = store.load(Instance, winner.uuid)
        winner.task_state = TaskState.SCHEDULING
        store.commit(Put(winner))
        loser.display_name = "lost"
        error = _refused(StaleState, lambda: store.commit(Put(loser)))
        assert (error.expected["revision"], error.found["revision"]) == (1, 2)
        assert error.found["task_state"] is TaskState.SCHEDULING
        assert loser.revision == 1
        assert store.load(Instance, winner.uuid) == winner
        assert len(store.history(winner.uuid)) == len(store.history(winner.uuid, limit=4)) == 3
        _refused(StaleState, lambda: store.commit(Drop(loser)))
        store.commit(Put(store.load(Instance, winner.uuid)))

    def store_refuses_a_row_that_never_was(self, store: Store) -> None:
        """A revision of another store, or a row that was dropped: NotFound, for Put and for Drop."""
        obj = sample(Instance, 1, revision=3)
        _refused(NotFound, lambda: store.commit(Put(obj)))
        _refused(NotFound, lambda: store.commit(Drop(obj)))
        _refused(NotFound, lambda: store.commit(Drop(sample(Instance, 1))))
        assert obj.revision == 3
        assert not store.find(Instance)

    def store_never_gives_a_revision_twice(self, store: Store) -> None:
        """Not to a row that was dropped and created again: an old copy must not pass for it."""
        old = _saved(store, sample(Allocation, 1))
        store.commit(Drop(store.load(Allocation, kind_of(old).key_of(old))))
        _refused(NotFound, lambda: store.commit(Put(old)))
        for _ in range(3):
            new = _saved(store, sample(Allocation, 1, vcpus=8))
            assert new.revision > old.revision
            for change in (Put(old), Drop(old)):
                _refused(StaleState, partial(store.commit, change))
            store.commit(Drop(new))
            old = new

    def store_holds_to_what_was_expected(self, store: Store) -> None:
        """Values as objects or as text; what does not fit is refused with what is there, at the same revision."""
        obj = _saved(store, sample(Instance, 1))
        idle: Any
        for idle in (TaskState.IDLE, None):
            store.commit(Put(obj, {"task_state": [idle], "vm_state": {VMState.BUILDING, VMState.ACTIVE}}))
        store.commit(Put(obj, {"vm_state": ["building"], "host": [None], "launch_index": [None]}))
        before = obj.revision
        error = _refused(
            StaleState,
            lambda: store.commit(Put(obj, {"vm_state": [VMState.BUILDING], "task_state": [TaskState.SPAWNING]})),
        )
        assert error.found["task_state"] is TaskState.IDLE
        assert error.expected == {
            "revision": before,
            "vm_state": (VMState.BUILDING,),
            "task_state": (TaskState.SPAWNING,),
        }
        _refused(StaleState, lambda: store.commit(Put(obj, {"host": []})))
        _refused(StaleState, lambda: store.commit(Put(sample(Instance, 2), {"host": [None]})))
        assert obj.revision == before
        assert store.load(Instance, obj.uuid).revision == before

    def store_refuses_an_expectation_that_cannot_be_meant(self, store: Store) -> None:
        """A field that the kind has not, or one text where values belong."""
        obj = _saved(store, sample(Instance, 1))
        assert "vm_state" in _refused(UnknownName, lambda: store.commit(Put(obj, {"vm_stat": ["active"]}))).near
        _refused(InvalidField, lambda: store.commit(Put(obj, {"vm_state": "building"})))
        assert store.load(Instance, obj.uuid).revision == obj.revision == 1

    # --- all or none

    def store_changes_all_or_none(self, store: Store) -> None:
        """Whatever stands in a commit before or after a change that is refused, nothing of it is done."""
        good, gone, stale = (_saved(store, sample(Instance, n)) for n in (1, 2, 3))
        store.commit(Put(store.load(Instance, stale.uuid)))
        new = sample(Migration, 4, instance_uuid=good.uuid)
        good.task_state = TaskState.SCHEDULING
        good.host = "alpha"
        rest: list[Change] = [Put(good), Put(new), Drop(gone)]
        before = store.history(good.uuid)
        for place in range(4):
            changes = [*rest[:place], Put(stale), *rest[place:]]
            _refused(StaleState, partial(store.commit, *changes))
        assert [good.revision, new.revision, gone.revision, stale.revision] == [1, 0, 1, 1]
        assert store.load(Instance, good.uuid).host is None
        assert store.load(Instance, gone.uuid) == gone
        assert store.find(Instance, host="alpha") == store.find(Migration) == []
        assert store.history(good.uuid) == before
        store.commit(*rest)
        assert [good.revision, new.revision] == [2, 1]
        assert store.find(Instance, host="alpha") == [good]

    def store_refuses_two_changes_of_one_row(self, store: Store) -> None:
        """In one commit they would contradict each other."""
        obj = sample(Instance, 1)
        _refused(StoreError, lambda: store.commit(Put(obj), Put(sample(Instance, 1))))
        _refused(StoreError, lambda: store.commit(Put(obj), Drop(obj)))
        assert not store.find(Instance)

    # --- history

    def store_tells_every_change_of_a_state(self, store: Store) -> None:
        """In order, with the time; of an instance with its migrations', and nothing of what did not change."""
        vm = sample(Instance, 1)
        store.commit(Put(vm))
        vm.task_state = TaskState.SCHEDULING
        move = sample(Migration, 2, instance_uuid=vm.uuid)
        store.commit(Put(vm), Put(move))
        move.status = MigrationStatus.QUEUED
        store.commit(Put(move))
        vm.display_name = "nothing that is told"
        store.commit(Put(vm))
        vm.task_state = TaskState.IDLE
        vm.power_state = PowerState.RUNNING
        store.commit(Put(vm))
        store.commit(Put(sample(Instance, 3)), Put(sample(Migration, 4, instance_uuid=str(UUID(int=3)))))
        told = [
            ("instance", 1, "vm_state", None, "building"),
            ("instance", 1, "power_state", None, "NOSTATE"),
            ("instance", 2, "task_state", None, "scheduling"),
            ("migration", 1, "status", None, "accepted"),
            ("migration", 2, "status", "accepted", "queued"),
            ("instance", 4, "task_state", "scheduling", None),
            ("instance", 4, "power_state", "NOSTATE", "RUNNING"),
        ]
        lines = store.history(vm.uuid)
        assert [(t.kind, t.revision, t.field, t.old, t.new) for t in lines] == told
        assert {t.key for t in lines} == {vm.uuid, move.uuid}
        assert all(t.at.tzinfo is UTC for t in lines)
        assert [t.at for t in lines] == sorted(t.at for t in lines)
        assert store.history(move.uuid) == [t for t in lines if t.kind == "migration"]
        assert store.history(vm.uuid, limit=3, after=2) == lines[2:5]
        assert store.history(vm.uuid, after=7) == store.history(vm.uuid, limit=0) == store.history("nobody") == []
        _refused(InvalidField, lambda: store.history(vm.uuid, limit=-1))
        _refused(InvalidField, lambda: store.history(vm.uuid, after=-1))

    def store_remembers_what_was_dropped(self, store: Store) -> None:
        """History ends with the states' going, and is still there."""
        vm = _saved(store, sample(Instance, 1))
        store.commit(Drop(vm))
        assert [(t.field, t.old, t.new) for t in store.history(vm.uuid)][-2:] == [
            ("vm_state", "building", None),
            ("power_state", "NOSTATE", None),
        ]

    # --- finding

    def store_finds_by_indexed_fields(self, store: Store) -> None:
        """By one, by several, by None; what has changed is found by its new values alone."""
        vms = [sample(Instance, n, host=("alpha", "beta", None)[n % 3]) for n in range(9)]
        store.commit(*map(Put, reversed(vms)))
        assert store.find(Instance) == vms
        assert store.find(Instance, host="beta") == vms[1::3]
        assert store.find(Instance, host=None) == vms[2::3]
        assert store.find(Instance, host="beta", display_name="vm-4") == [vms[4]]
        assert store.find(Instance, task_state=TaskState.IDLE, vm_state=VMState.BUILDING, host="alpha") == vms[::3]
        assert store.find(Instance, vm_state="building", limit=4) == vms[:4]
        vms[4].host = "gamma"
        store.commit(Put(vms[4]), Drop(vms[7]))
        assert store.find(Instance, host="beta") == [vms[1]]
        assert store.find(Instance, host="gamma") == [vms[4]]
        assert store.find(Instance, host="nowhere") == store.find(Migration) == []

    def store_pages_by_key(self, store: Store) -> None:
        """Each row once, whatever is dropped between two pages."""
        nodes = [sample(ComputeNode, n) for n in range(20)]
        store.commit(*map(Put, nodes))
        assert [n.host for n in _pages(store, ComputeNode, 7)] == [n.host for n in nodes]
        first = store.find(ComputeNode, limit=10)
        store.commit(Drop(first[-1]), Drop(nodes[12]))
        rest = store.find(ComputeNode, after=first[-1].host)
        assert [n.host for n in rest] == [n.host for n in nodes[10:] if n is not nodes[12]]
        assert store.find(ComputeNode, limit=0) == store.find(ComputeNode, after="z") == []

    def store_refuses_a_search_without_an_index(self, store: Store) -> None:
        """It would read the whole table; and so would a limit below nothing."""
        error = _refused(UnknownName, lambda: store.find(Instance, power_state=PowerState.RUNNING))
        assert "host" in error.known
        _refused(InvalidField, lambda: store.find(Instance, limit=-1))

    def store_refuses_a_value_that_no_row_can_have(self, store: Store) -> None:
        """A state that its enum has not would be found nowhere, and expected in vain."""
        vm = _saved(store, sample(Instance, 1))
        assert "building" in _refused(UnknownName, lambda: store.find(Instance, vm_state="buildng")).near
        assert "accepted" in _refused(UnknownName, lambda: store.find(Migration, status="acepted")).near
        _refused(UnknownName, lambda: store.commit(Put(vm, {"vm_state": ["building", "junk"]})))
        assert store.find(Instance, vm_state="building", task_state=None) == [vm]
        assert vm.revision == 1

    def store_refuses_what_cannot_be_written_down(self, store: Store) -> None:
        """Numbers that are none or have no end, text that is none: InvalidField, and nothing is changed."""
        half: Any = "half a pair: \ud800"
        wrong: Any
        for wrong in (1.5, 10**30, True, "1", None):
            for page in ({"limit": wrong}, {"after": wrong}):
                _refused(InvalidField, partial(store.history, "it", **page))
            _refused(InvalidField, partial(store.find, Instance, limit=wrong))
            _refused(InvalidField, partial(store.put_document, "lab", {}, wrong))
        for wrong in (5, None, b"it", half):
            for use in (store.history, store.take, store.get_document, partial(store.load, Instance)):
                _refused(InvalidField, partial(use, wrong))
            for what in ((wrong, "message"), ("topic", wrong)):
                _refused(InvalidField, partial(store.post, *what))
            _refused(InvalidField, partial(store.find, Instance, after=wrong))
            _refused(InvalidField, partial(store.put_document, wrong, {}, 0))
        _refused(InvalidField, partial(store.find, Instance, host=half))
        _refused(InvalidField, lambda: store.commit(Put(sample(ComputeNode, 1, host=half))))
        assert store.take("topic") is None
        assert not store.find(ComputeNode)

    # --- messages and documents

    def store_delivers_each_message_once(self, store: Store) -> None:
        """In order, by topic."""
        assert store.take("abort") is None
        for message in ("1", "2", "3"):
            store.post("abort", message)
        store.post("other", "4")
        assert [store.take("abort") for _ in range(4)] == ["1", "2", "3", None]
        assert [store.take("other"), store.take("other")] == ["4", None]

    def store_swaps_documents(self, store: Store) -> None:
        """By compare-and-swap, as everything."""
        assert store.get_document("lab") == (0, {})
        body = {"hosts": {"alpha": [1, 2.5, None, True]}, "ключ": "значение"}
        assert store.put_document("lab", body, 0) == 1
        assert store.get_document("lab") == (1, body)
        error = _refused(StaleState, lambda: store.put_document("lab", {}, 0))
        assert (error.expected, error.found) == ({"revision": 0}, {"revision": 1})
        _refused(StaleState, lambda: store.put_document("other", {}, 1))
        assert store.put_document("lab", {}, 1) == 2
        assert store.get_document("lab") == (2, {})
        assert store.get_document("other") == (0, {})

    # --- more than one

    def store_loses_no_update(self, store: Store) -> None:
        """Threads that each read, add one and save until they win: the sum is right, through two handles."""
        threads, times = 6, 10
        host = _saved(store, sample(ComputeNode, 1)).host
        handles = [store, self._again(store)]

        def add(handle: Store) -> None:
            for _ in range(times):
                while True:
                    node = handle.load(ComputeNode, host)
                    try:
                        handle.commit(Put(evolve(node, vcpus_used=node.vcpus_used + 1)))
                        break
                    except StaleState:
                        continue

        _together(*(lambda h=handles[n % 2]: add(h) for n in range(threads)))
        node = store.load(ComputeNode, host)
        assert (node.vcpus_used, node.revision) == (threads * times, threads * times + 1)
        if handles[1] is not store:
            handles[1].close()

    def store_lets_one_of_many_create(self, store: Store) -> None:
        """Of threads that create the same row, one succeeds and the others are told."""
        other = self._again(store)

        def create(handle: Store) -> int:
            try:
                handle.commit(Put(sample(Instance, 1)), Put(sample(RequestSpec, 1)))
            except AlreadyExists:
                return 0
            return 1

        assert sum(_together(*(lambda h=h: create(h) for h in (store, other) * 3))) == 1
        assert len(store.find(Instance)) == len(store.find(RequestSpec)) == 1
        if other is not store:
            other.close()

    def store_gives_a_message_to_one_of_many(self, store: Store) -> None:
        """However many take at once, each message is taken once."""
        messages = [str(n) for n in range(24)]
        for message in messages:
            store.post("work", message)

        def drain() -> list[str]:
            taken: list[str] = []
            while (message := store.take("work")) is not None:
                taken.append(message)
            return taken

        taken = _together(*[drain] * 4)
        assert sorted((m for some in taken for m in some), key=int) == messages
        assert all(some == sorted(some, key=int) for some in taken)

    def store_shows_a_commit_whole(self, store: Store) -> None:
        """Who reads while another commits sees all of a commit or none: two rows written together stay equal."""
        pair = [_saved(store, sample(ComputeNode, n)) for n in (1, 2)]

        def write() -> None:
            for _ in range(40):
                for node in pair:
                    node.vcpus_used += 1
                store.commit(*map(Put, pair))

        def read() -> None:
            for _ in range(40):
                one, two = store.find(ComputeNode)
                assert (one.vcpus_used, one.revision) == (two.vcpus_used, two.revision)

        _together(write, read, read)

    def store_is_shared_by_its_handles(self, store: Store) -> None:
        """What one has committed the other sees at once."""
        other = self._again(store)
        obj = _saved(store, sample(Instance, 1))
        assert other.load(Instance, obj.uuid) == obj
        assert other.history(obj.uuid) == store.history(obj.uuid)
        other.post("abort", obj.uuid)
        assert store.take("abort") == obj.uuid
        if other is not store:
            other.close()
            store.commit(Put(obj))

    # --- the end

    def store_is_closed_once(self, store: Store) -> None:
        """Closing again is nothing; a closed store answers nothing."""
        obj = _saved(store, sample(Instance, 1))
        store.close()
        store.close()
        for use in (
            lambda: store.load(Instance, obj.uuid),
            lambda: store.find(Instance),
            lambda: store.commit(Put(obj)),
            lambda: store.history(obj.uuid),
            lambda: store.post("abort", ""),
            lambda: store.take("abort"),
            lambda: store.get_document("lab"),
            lambda: store.put_document("lab", {}, 0),
        ):
            _refused(StoreError, use)


def _saved(store: Store, obj: T) -> T:
    store.commit(Put(obj))
    return obj


def _pages(store: Store, cls: type[ComputeNode], size: int) -> Iterator[ComputeNode]:
    after = ""
    while page := store.find(cls, limit=size, after=after):
        yield from page
        after = page[-1].host


def _refused(error: type[E], call: Callable[[], object]) -> E:
    """The error of this class that *call* raises; that it raises none is a failure."""
    try:
        result = call()
    except error as raised:
        return raised
    raise AssertionError(f"{error.__name__} expected, but the call returned {result!r}")


def _together(*calls: Callable[[], T]) -> list[T]:
    """The results of *calls*, each of a thread of its own."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(_PATIENCE) for future in [pool.submit(call) for call in calls]]
