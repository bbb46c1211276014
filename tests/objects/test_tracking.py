"""What has changed in an object since it was loaded or saved, and what keeps that, and what does not look at it."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.errors import NovastateError, StaleState
from novastate.machines import MigrationStatus, VMState
from novastate.objects import (
    UNSET,
    BlockDeviceMapping,
    BuildRequest,
    Flavor,
    InstanceInfoCache,
    InstanceList,
    InstanceNUMACell,
    InstanceNUMATopology,
    LibvirtLiveMigrateData,
    RequestSpec,
    ServiceList,
    Tag,
    changes,
    dumps,
    evolve,
    loads,
    make_converter,
    mark_saved,
    nova,
)
from novastate.objects.base import declared, fields, is_mutable, tracked
from novastate.objects.past import Box
from novastate.store import KINDS, MemoryStore, Put, SqlStore, kind_of
from novastate.testing import strategies
from object_records import OTHER, UUID, compute_node, flavor, instance, migration, request_spec

NONE = frozenset()
CONVERTER = make_converter()


def plain(obj):
    return loads(type(obj), dumps(obj))


def by_cattrs(obj):
    return CONVERTER.loads(CONVERTER.dumps(obj), type(obj))


def by_nova(obj):
    mark_saved(saved := copy.deepcopy(obj))
    return nova.loads(nova.dumps(saved))


def marked(obj):
    mark_saved(obj)
    return obj


#: Every way to an object that has no changes.
UNCHANGED = [plain, by_cattrs, by_nova, marked]


# --- built


def test_what_was_built_here_is_all_change():
    built = instance(host="cmp-a", fault=None)
    assert changes(built) == {n for n in tracked(type(built)) if getattr(built, n) is not UNSET}
    assert {"host", "fault", "flavor", "deleted"} <= changes(built)
    assert "tags" not in changes(built)
    assert changes(Flavor(vcpus=1, memory_mb=64)) == set(fields(Flavor)) - {"id", "flavorid", "projects"}


@pytest.mark.parametrize("cls", declared().values(), ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_every_class_has_no_changes_once_it_was_saved_or_read(cls, data):
    obj = data.draw(strategies.records(cls, partial=True))
    assert changes(obj) == {n for n in tracked(cls) if getattr(obj, n) is not UNSET}
    assert changes(plain(obj)) == NONE
    mark_saved(obj)
    assert changes(obj) == NONE


def test_the_revision_is_the_stores_and_no_change():
    server = marked(instance())
    object.__setattr__(server, "revision", 7)
    assert changes(server) == NONE
    assert "revision" not in changes(instance())


# --- assigned


@pytest.mark.parametrize("saved", UNCHANGED)
def test_an_assignment_is_a_change_until_it_is_undone(saved):
    server = saved(instance(host="cmp-a"))
    assert changes(server) == NONE
    server.host = "cmp-b"
    server.vm_state = VMState.ACTIVE
    assert changes(server) == {"host", "vm_state"}
    server.host = "cmp-a"
    assert changes(server) == {"vm_state"}


@pytest.mark.parametrize("saved", UNCHANGED)
def test_none_is_a_change_and_what_is_no_longer_known_is_none_to_tell(saved):
    server = saved(instance(host="cmp-a"))
    server.host = UNSET
    assert changes(server) == frozenset()
    server.host = None
    assert changes(server) == {"host"}
    server.tags = []
    assert changes(server) == {"host", "tags"}
    server.tags = UNSET
    assert changes(server) == {"host"}


def test_an_assignment_that_is_refused_is_no_change():
    server = marked(instance())
    for name, wrong in (("host", 7), ("vm_state", VMState.SHELVED), ("flavor", None)):
        with pytest.raises(NovastateError):
            setattr(server, name, wrong)
    assert changes(server) == NONE


def test_the_same_value_again_is_no_change():
    server = marked(instance(host="cmp-a", metadata={"a": "b"}))
    server.host = "cmp-" + "a"
    server.metadata = {"a": "b"}
    assert changes(server) == NONE


def test_a_trigger_is_a_change():
    move = marked(migration())
    move.status = MigrationStatus.QUEUED
    assert changes(move) == {"status"}


# --- objects within


@pytest.mark.parametrize("saved", UNCHANGED)
def test_another_value_within_is_a_change_of_its_field(saved):
    server = saved(instance())
    server.flavor = evolve(server.flavor, vcpus=4)
    assert changes(server) == {"flavor"}
    assert changes(server.flavor) == {"vcpus"}


@pytest.mark.parametrize("saved", UNCHANGED)
def test_a_change_in_a_record_within_is_a_change_of_each_one_around_it(saved):
    request = saved(BuildRequest(instance_uuid=UUID, instance=instance(), block_device_mappings=[]))
    request.instance.host = "cmp-b"
    assert changes(request) == {"instance"}
    assert changes(request.instance) == {"host"}
    request.instance.host = None
    assert changes(request) == NONE


@pytest.mark.parametrize("saved", UNCHANGED)
def test_a_change_in_an_element_is_a_change_of_the_list(saved):
    servers = saved(InstanceList(objects=[instance(), instance(uuid=OTHER)]))
    servers[1].host = "cmp-b"
    assert changes(servers) == {"objects"}
    mark_saved(servers)
    assert changes(servers) == changes(servers[1]) == NONE


@pytest.mark.parametrize("saved", UNCHANGED)
def test_a_boxed_list_changes_as_any_other(saved):
    server = saved(instance(tags=[Tag(resource_id=UUID, tag="a")]))
    server.tags = [*server.tags, Tag(resource_id=UUID, tag="b")]
    assert changes(server) == {"tags"}
    server.tags = server.tags[:1]
    assert changes(server) == NONE


def test_what_a_box_said_is_forgotten_when_it_is_saved():
    envelope = nova.dump(marked(instance(tags=[Tag(resource_id=UUID, tag="a")])))
    tags = envelope["nova_object.data"]["tags"]
    tags["nova_object.changes"] = ["objects"]
    server = nova.load(envelope)
    assert isinstance(server.tags, Box)
    assert "nova_object.changes" in nova.dump(server)["nova_object.data"]["tags"]
    mark_saved(server)
    assert "nova_object.changes" not in nova.dump(server)["nova_object.data"]["tags"]


def test_a_record_deep_within_is_saved_with_the_whole():
    mapping = BlockDeviceMapping(source_type="volume", instance=instance())
    request = marked(BuildRequest(instance_uuid=UUID, instance=instance(), block_device_mappings=[mapping]))
    mapping.instance.host = "cmp-b"
    assert changes(request) == {"block_device_mappings"}
    assert changes(mapping) == {"instance"}
    mark_saved(request)
    assert changes(request) == changes(mapping) == changes(mapping.instance) == NONE


# --- from Nova


def test_what_nova_says_is_changed_stays_so_until_it_is_saved():
    envelope = nova.dump(marked(instance(host="cmp-a")))
    envelope["nova_object.changes"] = ["host"]
    server = nova.load(envelope)
    assert changes(server) == {"host"}
    server.host = "cmp-b"
    server.host = "cmp-a"
    assert changes(server) == {"host"}
    mark_saved(server)
    assert changes(server) == NONE


@given(strategies.instances(partial=True))
def test_nova_is_told_what_has_changed(server):
    told = nova.load(nova.dump(server))
    assert changes(told) >= changes(server)
    mark_saved(server)
    assert changes(nova.load(nova.dump(server))) == NONE


# --- evolve


@pytest.mark.parametrize("saved", UNCHANGED)
def test_what_evolve_changes_counts_where_it_differs(saved):
    small = saved(flavor())
    assert changes(evolve(small)) == NONE
    assert changes(evolve(small, vcpus=small.vcpus)) == NONE
    large = evolve(small, vcpus=8, name=small.name)
    assert changes(large) == {"vcpus"}
    assert changes(evolve(large, disabled=True)) == {"vcpus", "disabled"}
    assert changes(small) == NONE
    assert changes(marked(large)) == NONE


def test_what_evolve_makes_of_a_built_one_is_all_change():
    assert changes(evolve(flavor(), vcpus=8)) == changes(flavor())


@pytest.mark.parametrize("saved", UNCHANGED)
def test_what_evolve_makes_of_a_record_is_told_by_its_fields(saved):
    server = saved(instance(host="cmp-a"))
    other = evolve(server, host="cmp-b")
    assert (changes(other), changes(server)) == ({"host"}, NONE)
    other.host = "cmp-a"
    assert changes(other) == NONE


# --- a store


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqlStore(f"sqlite:///{tmp_path}/s.db")
    yield made
    made.close()


SAMPLES = {type(obj): obj for obj in (instance(), migration(), request_spec(), compute_node())}


@pytest.mark.parametrize("cls", SAMPLES, ids=lambda cls: cls.__name__)
def test_what_a_store_has_saved_and_what_it_loads_is_unchanged(store, cls):
    obj = copy.deepcopy(SAMPLES[cls])
    assert changes(obj)
    store.commit(Put(obj))
    assert changes(obj) == NONE
    loaded = store.load(cls, kind_of(cls).key_of(obj))
    assert changes(loaded) == NONE
    name, other = (
        ("ignore_hosts", ["cmp-b"]) if cls is RequestSpec else ("deleted_at", datetime(2026, 8, 1, tzinfo=UTC))
    )
    setattr(loaded, name, other)
    assert changes(loaded) == {name}
    store.commit(Put(loaded))
    assert changes(loaded) == NONE


def test_every_stored_kind_is_tried():
    assert {cls for cls in KINDS if is_mutable(cls)} == set(SAMPLES)


def test_what_is_within_is_saved_too(store):
    server = instance()
    store.commit(Put(server))
    server.info_cache = InstanceInfoCache(instance_uuid=UUID, network_info=[])
    server.flavor = evolve(server.flavor, vcpus=4)
    assert changes(server) == {"info_cache", "flavor"}
    store.commit(Put(server))
    assert changes(server) == changes(server.flavor) == changes(server.info_cache) == NONE


def test_a_save_that_fails_leaves_the_changes(store):
    server = instance()
    store.commit(Put(server))
    stale = store.load(type(server), UUID)
    server.host = "cmp-a"
    store.commit(Put(server))
    stale.host = "cmp-b"
    other = instance(uuid=OTHER)
    with pytest.raises(StaleState):
        store.commit(Put(other), Put(stale))
    assert changes(stale) == {"host"}
    assert "host" in changes(other)


# --- copies


def through_pickle(obj):
    return pickle.loads(pickle.dumps(obj))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, through_pickle])
@pytest.mark.parametrize("saved", UNCHANGED)
def test_a_copy_keeps_the_past(copied, saved):
    server = saved(instance(host="cmp-a", tags=[Tag(resource_id=UUID, tag="a")]))
    assert changes(copied(server)) == NONE
    server.host = "cmp-b"
    twin = copied(server)
    assert changes(twin) == {"host"}
    twin.host = "cmp-a"
    assert (changes(twin), changes(server)) == (NONE, {"host"})


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, through_pickle])
def test_a_copy_of_what_was_built_is_all_change(copied):
    for built in (instance(), flavor(), LibvirtLiveMigrateData(migration=migration())):
        assert changes(copied(built)) == changes(built)


@pytest.mark.parametrize("copied", [copy.deepcopy, through_pickle])
def test_a_whole_copy_has_a_past_of_its_own_within(copied):
    request = marked(BuildRequest(instance_uuid=UUID, instance=instance(), block_device_mappings=[]))
    twin = copied(request)
    twin.instance.host = "cmp-b"
    assert (changes(twin), changes(request)) == ({"instance"}, NONE)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, through_pickle])
def test_a_copy_keeps_what_nova_said(copied):
    envelope = nova.dump(marked(instance(tags=[Tag(resource_id=UUID, tag="a")])))
    envelope["nova_object.changes"] = ["host"]
    envelope["nova_object.data"]["tags"]["nova_object.changes"] = ["objects"]
    server = nova.load(envelope)
    assert nova.dump(copied(server)) == nova.dump(server)


# --- who does not look


@pytest.mark.parametrize("saved", UNCHANGED)
@pytest.mark.parametrize("build", [instance, flavor, lambda: ServiceList(objects=[])])
def test_no_comparison_hash_or_repr_looks_at_the_past(saved, build):
    built, other = build(), saved(build())
    assert changes(built) != changes(other)
    assert built == other
    assert repr(built) == repr(other)
    assert dumps(built) == dumps(other)
    if not is_mutable(type(built)):
        assert len({built, other}) == 1
        assert hash(built) == hash(other)


def test_a_change_in_a_plain_list_of_objects_is_no_change_of_the_field_as_in_nova():
    cell = InstanceNUMACell(id=0, memory=64)
    topology = nova.load(nova.dump(InstanceNUMATopology(cells=[cell])) | {"nova_object.changes": []})
    assert [changes(inner) for inner in topology.cells] != [frozenset()]
    assert changes(topology) == frozenset()
    assert "nova_object.changes" not in nova.dump(topology)
