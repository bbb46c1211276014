"""Converters of cattrs: records in other people's classes, containers and unions; every error with its whole path."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Annotated, Any

import attrs
import cattrs
import pytest
from cattrs.preconf import json as preconf_json
from cattrs.preconf import msgspec as preconf_msgspec
from cattrs.preconf import orjson as preconf_orjson
from hypothesis import given
from hypothesis import strategies as st

from novastate.errors import WireError
from novastate.objects import (
    DeviceBus,
    Flavor,
    Instance,
    InstanceList,
    PCIDeviceBus,
    RequestSpec,
    configure,
    convert,
    dumps,
    loads,
    make_converter,
    wire_errors,
)
from novastate.objects.base import Record, declared
from novastate.testing import strategies
from object_records import OTHER, flavor, instance, request_spec


def own(make: Callable[[], Any]) -> Any:
    converter = make()
    configure(converter)
    return converter


PRESETS = {
    f"{preset}{'' if detailed else ' in short'}": make_converter(preset, detailed=detailed)
    for preset in ("json", "orjson", "msgspec")
    for detailed in (True, False)
}
OWN = {
    "Converter": own(cattrs.Converter),
    "strict": own(lambda: cattrs.Converter(forbid_extra_keys=True, detailed_validation=False)),
    "GenConverter": own(cattrs.GenConverter),
    "BaseConverter": own(cattrs.BaseConverter),
    "preconf json": own(preconf_json.make_converter),
    "preconf orjson": own(preconf_orjson.make_converter),
    "preconf msgspec": own(preconf_msgspec.make_converter),
    "copied": own(cattrs.Converter).copy(),
}
ALL = PRESETS | OWN


# --- records


RECORDS = st.sampled_from(list(declared().values())).flatmap(lambda cls: strategies.records(cls, partial=True))


@pytest.mark.parametrize("preset", PRESETS)
@given(obj=RECORDS)
def test_a_record_comes_back(preset, obj):
    converter = PRESETS[preset]
    assert converter.loads(converter.dumps(obj), type(obj)) == obj


@pytest.mark.parametrize("name", ALL)
@given(obj=RECORDS)
def test_every_converter_writes_the_plain_form(name, obj):
    assert ALL[name].unstructure(obj) == convert.unstructure(obj)


@pytest.mark.parametrize("preset", ["json", "orjson", "msgspec"])
def test_a_converter_and_loads_read_what_the_other_wrote(preset):
    converter = make_converter(preset)
    server = instance(host="cmp-a")
    assert loads(Instance, converter.dumps(server)) == server
    assert converter.loads(dumps(server), Instance) == server


@pytest.mark.parametrize(
    ("kind", "held"),
    [
        (list[Instance], [instance(), instance(uuid=OTHER)]),
        (dict[str, Flavor], {"a": flavor(), "b": flavor(vcpus=8)}),
        (tuple[Flavor, ...], (flavor(),)),
        (Instance | None, None),
        (Instance | None, instance()),
        (Instance | RequestSpec, request_spec()),
        (Annotated[Flavor, "new"], flavor()),
        (InstanceList, InstanceList(objects=[instance()])),
        (list[dict[str, list[Flavor | None]]], [{"a": [None, flavor()]}]),
        (Record, flavor()),
        (list[Record], [flavor(), instance(), PCIDeviceBus(address="0000:00:01.0")]),
        (Record | None, flavor()),
        (DeviceBus, PCIDeviceBus(address="0000:00:01.0")),
        (DeviceBus, DeviceBus()),
        (list[DeviceBus], [PCIDeviceBus(address="0000:00:01.0"), DeviceBus()]),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", [name for name in ALL if name != "BaseConverter"])
def test_a_record_may_stand_anywhere(name, kind, held):
    converter = ALL[name]
    plain = json.loads(json.dumps(converter.unstructure(held, unstructure_as=kind)))
    read = converter.structure(plain, kind)
    assert read == held
    assert not isinstance(held, Record) or type(read) is type(held)


# --- classes of other people


@attrs.frozen
class Rack:
    name: str
    servers: list[Instance]
    flavors: dict[str, Flavor] = attrs.Factory(dict)
    spare: Instance | None = None
    anything: Record | None = None
    bus: DeviceBus | None = None


@attrs.frozen
class Room:
    racks: list[Rack]
    height: int = 1


ROOM = Room([
    Rack("r0", []),
    Rack(
        "r1", [instance(), instance(uuid=OTHER)], {"a": flavor()}, instance(), flavor(), PCIDeviceBus(address="0000:00:01.0")
    ),
])  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ALL if name != "BaseConverter"])
def test_classes_around_ours_come_back(name):
    converter = ALL[name]
    assert converter.structure(json.loads(json.dumps(converter.unstructure(ROOM))), Room) == ROOM


@pytest.mark.parametrize("preset", PRESETS)
def test_texts_of_classes_around_ours_come_back(preset):
    converter = PRESETS[preset]
    assert converter.loads(converter.dumps(ROOM), Room) == ROOM


def refused(converter, plain, cls=Room):
    with pytest.raises(Exception) as caught:
        converter.structure(plain, cls)
    return caught.value


def spoilt(converter):
    plain = converter.unstructure(ROOM)
    rack = plain["racks"][1]
    rack["servers"][1]["flavor"]["vcpus"] = "7"
    rack["flavors"]["a"]["memory_mb"] = -1
    rack["spare"]["hosst"] = "cmp-a"
    rack["anything"]["$type"] = "Flavour"
    del rack["bus"]["address"]
    return plain


PATHS = [
    "$.racks[1].servers[1].flavor.vcpus",
    "$.racks[1].flavors['a'].memory_mb",
    "$.racks[1].spare.hosst",
    "$.racks[1].anything.$type",
    "$.racks[1].bus.address",
]


@pytest.mark.parametrize("preset", ["json", "orjson", "msgspec"])
def test_all_that_is_refused_is_told_with_the_whole_path(preset):
    converter = make_converter(preset)
    errors = wire_errors(refused(converter, spoilt(converter)))
    assert sorted(error.field for error in errors) == sorted(PATHS)
    told = {error.field: str(error) for error in errors}
    assert told[PATHS[0]] == f"{PATHS[0]}: must be a whole number, got '7'"
    assert told[PATHS[2]].startswith(f"{PATHS[2]}: is no field of Instance, got 'hosst'; allowed: host")


@pytest.mark.parametrize("preset", ["json", "orjson", "msgspec"])
def test_in_short_the_first_that_is_refused_is_raised_as_it_is(preset):
    converter = make_converter(preset, detailed=False)
    plain = converter.unstructure(ROOM)
    plain["racks"][1]["servers"][1]["flavor"]["vcpus"] = "7"
    error = refused(converter, plain)
    assert type(error) is WireError
    assert error.field == "instance.flavor.vcpus"
    (one,) = wire_errors(error)
    assert one.field == "$.flavor.vcpus"


@pytest.mark.parametrize("preset", PRESETS)
def test_an_unknown_key_is_refused_at_every_level(preset):
    converter = PRESETS[preset]
    for path in ([], ["racks", 0], ["racks", 1, "servers", 0], ["racks", 1, "servers", 0, "flavor"]):
        plain = converter.unstructure(ROOM)
        place = plain
        for step in path:
            place = place[step]
        place["extra"] = 1
        errors = wire_errors(refused(converter, plain))
        assert len(errors) == 1
        assert errors[0].field.endswith(".extra")
        assert "is no field of" in errors[0].problem
        if "short" not in preset:
            assert (
                errors[0].field == "$" + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path) + ".extra"
            )


def test_what_others_refuse_is_told_in_the_words_of_cattrs():
    errors = wire_errors(
        refused(make_converter(), {"racks": [{"servers": 7}, {"name": "a", "servers": []}], "height": "x"})
    )
    assert [str(error) for error in errors] == [
        "$.racks[0].name: required field missing, got <nothing>",
        "$.racks[0].servers: invalid value for type, expected list, got <TypeError>",
        "$.height: invalid value for type, expected int, got <ValueError>",
    ]


def test_any_error_can_be_asked_for_its_paths():
    (none,) = wire_errors(refused(make_converter("orjson"), None, Room))
    assert none.field == "$"
    with pytest.raises(ValueError, match=r"JSON|end") as caught:
        make_converter("orjson").loads(b"{", Room)
    assert [error.field for error in wire_errors(caught.value)] == ["$"]
    both = ExceptionGroup("two", [WireError("flavor.vcpus", 7, "is wrong"), WireError("flavor", 7, "is wrong")])
    assert [error.field for error in wire_errors(both)] == ["$.vcpus", "$"]


def test_a_secret_is_no_part_of_an_error():
    plain = make_converter().unstructure(Rack("r", [instance()]))
    plain["servers"][0]["system_metadata"] = {"password_0": ["hunter2"]}
    (error,) = wire_errors(refused(make_converter(), plain, Rack))
    assert error.field.startswith("$.servers[0].system_metadata")
    assert "hunter2" not in str(error)


# --- any record


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("plain", [{}, {"vcpus": 1}, {"$type": "Record"}, {"$type": "Nothing"}, {"$type": 7}])
def test_what_may_be_any_record_must_name_its_class(name, plain):
    with pytest.raises(WireError) as caught:
        ALL[name].structure(plain, Record)
    assert caught.value.field == "record.$type"


@pytest.mark.parametrize("plain", [None, 7, [], "Flavor"])
def test_what_is_no_object_is_no_record(plain):
    with pytest.raises(WireError, match="record: must be an object"):
        make_converter().structure(plain, Record)


def test_what_is_no_record_is_not_written_as_one():
    with pytest.raises(WireError, match="record: must be a record"):
        make_converter().unstructure(7, unstructure_as=Record)


def test_a_class_that_does_not_fit_is_refused():
    with pytest.raises(WireError, match=r"device_bus\.\$type: is no such class"):
        make_converter().structure({"$type": "Flavor", "vcpus": 1, "memory_mb": 1}, DeviceBus)


# --- hooks of other people


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("make", [cattrs.Converter, cattrs.BaseConverter, preconf_orjson.make_converter])
def test_a_hook_of_theirs_goes_before_ours(make, first):
    converter = make()
    if first:
        configure(converter)
    converter.register_unstructure_hook(Flavor, lambda held: held.name)
    converter.register_structure_hook(Flavor, lambda name, _: flavor(name=name))
    if not first:
        configure(converter)
    for asked in (converter, converter.copy()):
        plain = asked.unstructure([instance(), request_spec()])
        assert [record["flavor"] for record in plain] == ["m1.small", "m1.small"]
        assert asked.structure(plain[0], Instance) == instance()


def test_a_hook_that_comes_late_is_seen():
    converter = make_converter()
    assert converter.unstructure(instance())["flavor"]["vcpus"] == 2
    converter.register_unstructure_hook(Flavor, lambda held: held.name)
    assert converter.unstructure(instance())["flavor"] == "m1.small"


def test_no_library_is_loaded_before_its_preset_is_asked_for():
    script = (
        "import sys, novastate.objects as o; o.make_converter; print({'cattrs', 'msgspec', 'orjson'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
