"""Plain JSON: what comes back equals what went out; whatever else comes is refused with its full path."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import attrs
import cattrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.errors import InvalidField, WireError
from novastate.objects import (
    UNSET,
    VIF,
    DiskMetadata,
    Flavor,
    Instance,
    InstanceDeviceMetadata,
    InstanceNUMACell,
    PCIDeviceBus,
    RequestSpec,
    configure,
    convert,
    dumps,
    json_text,
    loads,
    make_converter,
)
from novastate.objects.base import declared, fields
from novastate.testing import strategies
from object_records import UUID, flavor, instance, request_spec

SIX = [
    strategies.instances,
    strategies.migrations,
    strategies.request_specs,
    strategies.flavors,
    strategies.compute_nodes,
    strategies.live_migrate_data,
    strategies.allocations,
]
PRESETS = ["json", "orjson", "msgspec"]


@pytest.fixture(params=["json", "orjson"])
def codec(request, monkeypatch):
    """The module's own functions on either JSON library."""
    if request.param == "json":
        encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        monkeypatch.setattr(
            json_text, "_codec", lambda: (lambda data: encoder.encode(data).encode(), json_text._strict)
        )
    else:
        import orjson

        monkeypatch.setattr(json_text, "_codec", lambda: (orjson.dumps, orjson.loads))
    return request.param


@pytest.mark.parametrize("make", SIX, ids=lambda make: make.__name__)
@pytest.mark.parametrize("partial", [False, True])
@given(data=st.data())
def test_what_comes_back_equals_what_went_out(make, partial, data):
    obj = data.draw(make(partial=partial))
    back = loads(type(obj), dumps(obj))
    assert back == obj
    assert dumps(back) == dumps(obj)


@pytest.mark.parametrize("cls", declared().values(), ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_every_record_comes_back(cls, data):
    obj = data.draw(strategies.records(cls, partial=True))
    back = loads(cls, dumps(obj))
    assert back == obj
    assert [type(getattr(back, name)) for name in fields(cls)] == [type(getattr(obj, name)) for name in fields(cls)]


CONVERTERS = {preset: make_converter(preset) for preset in PRESETS} | {"fast": make_converter("orjson", detailed=False)}


@pytest.mark.parametrize("preset", CONVERTERS)
@given(obj=st.one_of([make(partial=True) for make in SIX]))
def test_a_cattrs_converter_writes_and_reads_the_same(preset, obj):
    converter = CONVERTERS[preset]
    assert converter.unstructure(obj) == convert.unstructure(obj)
    assert converter.loads(converter.dumps(obj), type(obj)) == obj


@given(strategies.instances(partial=True))
def test_both_json_libraries_read_what_the_other_writes(server):
    plain = convert.unstructure(server)
    assert json.loads(dumps(server)) == plain
    assert loads(Instance, json.dumps(plain)) == server


def test_unset_is_left_out_and_none_is_null(codec):
    written = json.loads(dumps(instance(fault=None)))
    assert written["fault"] is None
    assert "tags" not in written
    assert "$unset" not in written


def test_unset_where_a_whole_record_has_a_value_is_told(codec):
    server = instance(deleted=UNSET, flavor=UNSET)
    written = json.loads(dumps(server))
    assert written["$unset"] == ["deleted", "flavor"]
    assert loads(Instance, dumps(server)) == server


def test_the_plain_form(codec):
    server = instance(
        launched_at=datetime(2026, 8, 1, tzinfo=UTC),
        numa_topology=UNSET,
        power_state=1,
        device_metadata=InstanceDeviceMetadata(devices=[DiskMetadata(bus=PCIDeviceBus(address="0000:00:01.0"))]),
    )
    written = json.loads(dumps(server))
    assert written["launched_at"] == "2026-08-01T00:00:00+00:00"
    assert (written["vm_state"], written["task_state"], written["power_state"]) == ("building", None, 1)
    bus = {"$type": "PCIDeviceBus", "address": "0000:00:01.0"}
    assert written["device_metadata"] == {"devices": [{"$type": "DiskMetadata", "bus": bus}]}
    assert written["flavor"]["extra_specs"] == {}
    assert json.loads(dumps(InstanceNUMACell(id=0, memory=1, cpuset={3, 1, 2})))["cpuset"] == [1, 2, 3]


def test_a_time_is_read_in_any_form_of_iso_8601(codec):
    for text in ("2026-08-01T00:00:00Z", "2026-08-01T02:00:00+02:00", "2026-08-01T00:00:00", "2026-08-01"):
        plain = {**convert.unstructure(instance()), "launched_at": text}
        assert loads(Instance, json.dumps(plain)).launched_at == datetime(2026, 8, 1, tzinfo=UTC)


FLAVOR = {"vcpus": 1, "memory_mb": 64}
SPEC = {"instance_uuid": UUID, "flavor": FLAVOR}
SERVER = {"uuid": UUID, "flavor": FLAVOR}

REFUSED = [
    (RequestSpec, {**SPEC, "flavor": {**FLAVOR, "vcpus": "7"}}, "request_spec.flavor.vcpus"),
    (RequestSpec, {**SPEC, "flavor": {**FLAVOR, "vcpus": True}}, "request_spec.flavor.vcpus"),
    (RequestSpec, {**SPEC, "flavor": {**FLAVOR, "vcpus": 7.0}}, "request_spec.flavor.vcpus"),
    (RequestSpec, {**SPEC, "flavor": {**FLAVOR, "vcpu": 7}}, "request_spec.flavor.vcpu"),
    (RequestSpec, {**SPEC, "flavor": {"vcpus": 7}}, "request_spec.flavor.memory_mb"),
    (RequestSpec, {**SPEC, "flavor": None}, "request_spec.flavor"),
    (RequestSpec, {**SPEC, "flavor": []}, "request_spec.flavor"),
    (RequestSpec, {"flavor": FLAVOR}, "request_spec.instance_uuid"),
    (RequestSpec, {**SPEC, "ignore_hosts": "cmp-a"}, "request_spec.ignore_hosts"),
    (
        RequestSpec,
        {**SPEC, "retry": {"hosts": [{"host": "a", "vcpus": 1, "memory_mb": -1}]}},
        "request_spec.retry.hosts[0].memory_mb",
    ),
    (
        RequestSpec,
        {**SPEC, "numa_topology": {"cells": [{"id": 0, "memory": 1}, {"id": 1}]}},
        "request_spec.numa_topology.cells[1].memory",
    ),
    (
        RequestSpec,
        {**SPEC, "pci_requests": {"requests": [{"count": 1, "spec": [{"a": 1}]}]}},
        "request_spec.pci_requests.requests[0].spec[0]['a']",
    ),
    (Instance, {**SERVER, "vm_state": "actve"}, "instance.vm_state"),
    (Instance, {**SERVER, "power_state": True}, "instance.power_state"),
    (Instance, {**SERVER, "launched_at": "yesterday"}, "instance.launched_at"),
    (Instance, {**SERVER, "launched_at": 7}, "instance.launched_at"),
    (Instance, {**SERVER, "keypairs": [{"name": "k", "created_at": "x"}]}, "instance.keypairs[0].created_at"),
    (
        Instance,
        {**SERVER, "device_metadata": {"devices": [{"$type": "Disk"}]}},
        "instance.device_metadata.devices[0].$type",
    ),
    (Instance, {**SERVER, "device_metadata": {"devices": [{"$type": 7}]}}, "instance.device_metadata.devices[0].$type"),
    (Instance, {**SERVER, "device_metadata": {"devices": [7]}}, "instance.device_metadata.devices[0]"),
    (Instance, {**SERVER, "$unset": ["hosst"]}, "instance.hosst"),
    (Instance, {**SERVER, "$unset": ["uuid"]}, "instance.uuid"),
    (Instance, {**SERVER, "$unset": "host"}, "instance.$unset"),
    (Instance, {**SERVER, "$unset": [[]]}, "instance.$unset"),
    (Instance, [], "instance"),
    (Instance, None, "instance"),
    (Flavor, "flavor", "flavor"),
    (Flavor, {**FLAVOR, "$type": "Instance"}, "flavor.$type"),
]


@pytest.mark.parametrize(("cls", "plain", "path"), REFUSED)
def test_what_cannot_be_read_is_refused_by_its_full_path(codec, cls, plain, path):
    with pytest.raises(WireError) as refused:
        loads(cls, json.dumps(plain))
    assert refused.value.field == path


@pytest.mark.parametrize(("cls", "plain", "path"), REFUSED)
@pytest.mark.parametrize("preset", CONVERTERS)
def test_a_cattrs_converter_refuses_the_same(preset, cls, plain, path):
    with pytest.raises(WireError) as refused:
        CONVERTERS[preset].structure(plain, cls)
    assert refused.value.field == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nul",
        '{"vcpus": NaN, "memory_mb": 1}',
        '{"vcpus": 1e999, "memory_mb": 1}',
        b"\xff",
        "[" * 100_000,
        "\ud800",
    ]
    + ['{"vcpus": ' + "9" * digits + ', "memory_mb": 1}' for digits in (20, 10_000)],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_no_json_or_no_number_is_refused(codec, text):
    with pytest.raises(WireError):
        loads(Flavor, text)


def test_an_unknown_key_is_told_with_the_near_ones():
    with pytest.raises(WireError, match="allowed: memory_mb") as refused:
        loads(Flavor, json.dumps({**FLAVOR, "memory": 1}))
    assert "memory_mb" in refused.value.allowed


def tried(cls, plain):
    try:
        return convert.structure(cls, plain), None
    except WireError as error:
        return None, error


@given(
    st.sampled_from([Instance, Flavor, RequestSpec, VIF]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*fields(Instance), *fields(RequestSpec), "$type", "$unset", "x"]), inner, max_size=6
            )
        ),
        max_leaves=20,
    ),
)
def test_any_json_is_read_or_refused(cls, plain):
    read, error = tried(cls, plain)
    assert type(read) is cls or error.field.split(".")[0] == convert.root(cls)


@given(strategies.instances(), st.data())
def test_one_spoilt_member_is_refused_or_means_the_same(server, data):
    plain = convert.unstructure(server)
    name = data.draw(st.sampled_from(sorted(plain)))
    plain[name] = data.draw(st.sampled_from([None, 7, -1, "7", 7.5, True, [], {}, [7], {"a": 7}]))
    _, error = tried(Instance, plain)
    assert error is None or error.field.startswith(f"instance.{name}")


@attrs.frozen
class Rack:
    name: str
    servers: list[Instance]
    spec: RequestSpec | None = None


@pytest.mark.parametrize("preset", PRESETS)
def test_a_class_of_ones_own_may_hold_records(preset):
    rack = Rack("r1", [instance(), instance(host="cmp-a")], request_spec())
    converter = make_converter(preset)
    assert converter.loads(converter.dumps(rack), Rack) == rack
    plain = converter.unstructure(rack)
    plain["servers"][1]["flavor"]["vcpus"] = "7"
    with pytest.raises(ExceptionGroup) as refused:
        converter.structure(plain, Rack)
    assert refused.group_contains(WireError, match=r"instance\.flavor\.vcpus")
    with pytest.raises(WireError, match=r"instance\.flavor\.vcpus"):
        make_converter(preset, detailed=False).structure(plain, Rack)
    with pytest.raises(ExceptionGroup):
        converter.structure({"name": "r1", "servers": [], "extra": 1}, Rack)


def test_a_hook_of_ones_own_goes_before():
    converter = cattrs.Converter()
    configure(converter)
    converter.register_unstructure_hook(Flavor, lambda flavor: flavor.name)
    converter.register_structure_hook(Flavor, lambda name, _: flavor(name=name))
    plain = converter.unstructure(instance())
    assert plain["flavor"] == "m1.small"
    assert converter.structure(plain, Instance) == instance()


def test_an_unknown_preset_is_refused():
    with pytest.raises(InvalidField, match="allowed: json, orjson"):
        make_converter("yaml")


def test_json_values_come_back_as_they_were():
    vif = VIF(details={"a": [1, 1.0, None, {"b": True}]}, profile=[], meta={"x": "y"})
    back = loads(VIF, dumps(vif))
    assert back == vif
    assert [type(part) for part in back.details["a"][:2]] == [int, float]
