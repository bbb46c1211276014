"""What every record can do: UNSET, frozen containers, equality, copies, pickles, and what attrs sees."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
import weakref

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate import objects
from novastate.objects import (
    UNSET,
    Flavor,
    FrozenDict,
    ImageMetaProps,
    Instance,
    InstanceNUMACell,
    LibvirtLiveMigrateData,
    Migration,
    Record,
    Unset,
    VirtCPUTopology,
    evolve,
    nova,
    unset,
)
from novastate.objects.base import declared, fields, record
from novastate.testing import strategies
from object_records import UUID, compute_node, flavor, instance, migration, request_spec


def test_unset_is_one_falsy_and_not_none():
    assert UNSET is Unset.UNSET
    assert not UNSET
    assert UNSET is not None
    assert UNSET != None  # noqa: E711
    assert repr(UNSET) == str(UNSET) == f"{UNSET}" == "UNSET"
    assert copy.deepcopy(UNSET) is UNSET
    assert pickle.loads(pickle.dumps(UNSET)) is UNSET


def test_what_was_never_loaded_is_unset_and_what_is_nothing_is_none():
    server = instance()
    assert server.fault is UNSET
    assert server.host is None
    assert server.tags is UNSET
    assert "fault" in unset(server)
    assert "host" not in unset(server)
    server.fault = None
    assert server.fault is None
    assert "fault" not in unset(server)
    assert server != instance()


def test_any_field_of_a_partial_record_may_be_unset():
    server = instance(flavor=UNSET, vm_state=UNSET, deleted=UNSET)
    assert {"flavor", "vm_state", "deleted"} <= set(unset(server))


def test_a_minimal_instance_is_a_fresh_one():
    server = instance()
    assert (str(server.vm_state), str(server.task_state), str(server.power_state)) == ("building", "idle", "NOSTATE")
    assert server.revision == 0
    assert not server.deleted


def test_the_hypervisors_name_is_novas():
    assert instance(id=42).name == "instance-0000002a"
    assert instance().name == UUID
    with pytest.raises(AttributeError, match="no setter"):
        instance().name = "web"


def test_a_repr_shows_what_differs_from_the_default():
    assert repr(flavor()) == "Flavor(name='m1.small', vcpus=2, memory_mb=2048, root_gb=20)"
    assert repr(flavor(vcpus=UNSET)) == "Flavor(name='m1.small', memory_mb=2048, root_gb=20)"


@pytest.mark.parametrize("cls", declared().values(), ids=lambda cls: cls.__name__)
def test_every_record_has_slots_and_a_sentence(cls):
    assert not hasattr(cls.__new__(cls), "__dict__")
    assert inspect.getdoc(cls)
    taken = inspect.signature(cls).parameters
    assert taken.keys() == fields(cls).keys()
    assert all(taken[a.name].annotation == a.type for a in attrs.fields(cls))


def test_a_value_cannot_be_changed():
    small = flavor()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        small.vcpus = 4
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del small.vcpus
    assert small == flavor()


def test_values_hash_and_records_do_not():
    assert len({flavor(extra_specs={"a": "b"}), flavor(extra_specs={"a": "b"}), flavor()}) == 2
    assert hash(InstanceNUMACell(id=0, memory=1, cpuset={1}, cpu_pinning_raw={"1": 1}))
    for obj in (instance(), migration(), request_spec(), compute_node()):
        with pytest.raises(TypeError, match="unhashable"):
            hash(obj)


def test_equal_is_same_class_and_same_fields():
    assert instance() == instance()
    assert instance() != instance(host="cmp-a")
    assert instance() != instance(revision=1)
    assert instance() != flavor()
    assert instance() != "web"


def test_containers_are_frozen_on_entry_and_stay_with_their_owner():
    specs, projects, cpus = {"a": "b"}, ["p"], {1, 2}
    small = flavor(extra_specs=specs, projects=projects)
    cell = InstanceNUMACell(id=0, memory=1, cpuset=cpus)
    specs["a"], projects[0] = "c", "q"
    cpus.clear()
    assert small.extra_specs == {"a": "b"}
    assert small.projects == ("p",)
    assert cell.cpuset == frozenset({1, 2})


def test_a_frozen_dict_refuses_every_change():
    frozen = FrozenDict(a=1)
    for change in (
        lambda: frozen.__setitem__("a", 2),
        lambda: frozen.__delitem__("a"),
        lambda: frozen.__ior__({"a": 2}),
        frozen.clear,
        lambda: frozen.pop("a"),
        frozen.popitem,
        lambda: frozen.setdefault("b", 1),
        lambda: frozen.update(b=1),
    ):
        with pytest.raises(TypeError, match="frozen"):
            change()
    assert frozen == {"a": 1}
    assert copy.copy(frozen) is copy.deepcopy(frozen) is frozen
    assert pickle.loads(pickle.dumps(frozen)) == frozen
    assert hash(frozen) == hash(FrozenDict(a=1))
    assert {**frozen, "b": 2} == {"a": 1, "b": 2}


@given(strategies.instances(partial=True))
def test_copies_and_pickles_are_equal_and_apart(server):
    for twin in (copy.copy(server), copy.deepcopy(server), pickle.loads(pickle.dumps(server)), evolve(server)):
        assert twin == server
        assert twin is not server
        twin.display_name = "another" if server.display_name != "another" else "other"
        assert twin != server


def test_evolve_makes_a_new_one_and_checks_it():
    small = flavor()
    large = evolve(small, vcpus=8, extra_specs={"a": "b"})
    assert (large.vcpus, large.memory_mb, small.vcpus) == (8, 2048, 2)
    assert evolve(small) == small
    data = evolve(LibvirtLiveMigrateData(filename="x"), block_migration=True)
    assert (data.filename, data.block_migration) == ("x", True)


@pytest.mark.parametrize(
    "obj", [instance(host="a"), flavor(), migration(), request_spec(), compute_node()], ids=lambda o: type(o).__name__
)
def test_attrs_knows_every_record(obj):
    cls = type(obj)
    assert attrs.has(cls)
    assert [a.name for a in attrs.fields(cls)] == list(fields(cls))
    assert attrs.asdict(obj, recurse=False) == {name: getattr(obj, name) for name in fields(cls)}
    assert attrs.evolve(obj) == obj


def test_a_record_can_be_weakly_held():
    server = instance()
    assert weakref.ref(server)() is server


def test_a_record_of_ones_own():
    @record
    class Pool(Record):
        name: str
        size: int = 0

    @record
    class BigPool(Pool):
        limit: int | None = None

    Pool(name="a")
    big = BigPool(name="b", limit=3)
    assert repr(big) == "BigPool(name='b', limit=3)"
    big.size = 4
    assert big == BigPool(name="b", size=4, limit=3)

    class Undeclared(Record):
        name: str

    with pytest.raises(TypeError, match="no arguments"):
        Undeclared(name="a")


def test_a_plain_subclass_of_a_record_works():
    class Server(Instance):
        __slots__ = ("extra",)

    server = Server(uuid=UUID, flavor=flavor())
    server.host = "cmp-a"
    assert repr(server).startswith("Server(uuid=")
    assert server == Server(uuid=UUID, flavor=flavor(), host="cmp-a")
    assert server != instance(host="cmp-a")


@pytest.mark.parametrize("cls", [Instance, Flavor, Migration, ImageMetaProps, VirtCPUTopology])
@given(data=st.data())
def test_a_strategy_makes_what_its_fields_take(cls, data):
    obj = data.draw(strategies.records(cls, partial=True))
    rebuilt = cls(**{name: getattr(obj, name) for name in fields(cls)})
    assert rebuilt == obj


def test_strategies_take_values_and_strategies():
    @given(strategies.migrations(migration_type="resize", source_compute=st.sampled_from("ab")))
    def check(move):
        assert move.migration_type.value == "resize"
        assert move.source_compute in "ab"

    check()


@given(data=st.data(), cls=st.sampled_from([*declared().values()]))
def test_hypothesis_knows_the_type(data, cls):
    assert isinstance(data.draw(st.from_type(cls)), cls)


def test_a_family_is_loaded_when_it_is_used():
    code = "import novastate.objects as o, sys; o.Flavor; print('novastate.objects.instance' in sys.modules, *dir(o))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.startswith("False ")
    assert set(objects.__all__) <= set(said.stdout.split())
    with pytest.raises(AttributeError, match="Instanc'"):
        objects.Instanc  # noqa: B018


def test_importing_the_objects_loads_no_converter():
    code = "from novastate.objects import Instance; import sys; print({'cattrs', 'orjson', 'hypothesis'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.strip() == "set()"


def test_a_field_cannot_be_deleted():
    server = instance()
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del server.host
    assert server == instance()


if sys.version_info >= (3, 13):  # there is no copy.replace before

    def test_python_can_replace_fields():
        assert copy.replace(flavor(), vcpus=4) == flavor(vcpus=4)


def test_a_value_that_is_assigned_to_says_what_to_do():
    with pytest.raises(attrs.exceptions.FrozenInstanceError, match=r"vcpus of a Flavor .* evolve"):
        flavor().vcpus = 4


def test_a_partial_record_is_shown_in_a_line():
    part = nova.load({
        "nova_object.name": "Instance", "nova_object.namespace": "nova", "nova_object.version": "2.8",
        "nova_object.data": {"host": "cmp-a"},
    })  # fmt: skip
    assert repr(part) == "Instance(host='cmp-a', UNSET=<54 fields>)"
    assert "root_gb=UNSET" in repr(evolve(flavor(), root_gb=UNSET))
