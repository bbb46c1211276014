"""Every field of Nova's objects is declared once, with Nova's type, nullability and default."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from novastate.machines import MigrationStatus, MigrationType, PowerState, TaskState, VMState
from novastate.objects import UNSET
from novastate.objects.base import declared, fields

NOVA = json.loads((Path(__file__).parent / "data" / "objects.json").read_text())["objects"]
CELLS = [(cls, name) for cls, nova in NOVA.items() for name in nova["fields"]]

#: Nova's type -> kinds that mean the same.
KINDS = {
    "Integer": {"int"},
    "Float": {"float"},
    "Boolean": {"bool"},
    "FlexibleBoolean": {"bool"},
    "DateTime": {"datetime"},
    "List": {"seq"},
    "Set": {"set"},
    "Dict": {"map"},
    "NetworkModel": {"seq"},
    "NetworkVIFModel": {"record"},
}
TEXTS = {
    "String",
    "SensitiveString",
    "UUID",
    "IPAddress",
    "IPV4Address",
    "IPV6Address",
    "MACAddress",
    "VersionPredicate",
    "ResourceClass",
    "PCIAddress",
    "USBAddress",
    "SCSIAddress",
    "IDEAddress",
    "XenAddress",
}
#: Where Nova keeps a bare string or number, and we the state itself; None is a state of its own, or never there.
STATES = {
    ("Instance", "vm_state"): VMState,
    ("Instance", "task_state"): TaskState,
    ("Instance", "power_state"): PowerState,
    ("Migration", "status"): MigrationStatus,
    ("Migration", "migration_type"): MigrationType,
}


def by_wire_name(cls):
    return {field.wire: field for field in fields(declared()[cls]).values() if field.wire}


def test_the_objects_are_whole():
    assert {cls: len(NOVA[cls]["fields"]) for cls in ("Instance", "Migration", "LibvirtLiveMigrateData")} == {
        "Instance": 73,
        "Migration": 27,
        "LibvirtLiveMigrateData": 33,
    }


@pytest.mark.parametrize("cls", NOVA)
def test_there_is_no_field_that_nova_has_not(cls):
    assert by_wire_name(cls).keys() == NOVA[cls]["fields"].keys()


@pytest.mark.parametrize(("cls", "name"), CELLS, ids=".".join)
def test_the_type_is_novas(cls, name):
    nova, kind = NOVA[cls]["fields"][name], by_wire_name(cls)[name].kind
    if (cls, name) in STATES:
        assert kind.args == (STATES[cls, name],)
        return
    same(nova, kind)


def same(nova, kind):
    if nova["type"] == "Object" and nova["object"].endswith("List"):
        assert kind.tag == "seq"
        assert kind.args[0].args[0].__name__ == nova["object"].removesuffix("List")
    elif nova["type"] == "Object":
        assert kind.tag in {"record", "any record"}
        assert kind.args[0].__name__ == nova["object"]
    elif "enum" in nova:
        assert kind.tag == "literal"
        assert kind.args == tuple(nova["enum"])
    elif nova["type"] in TEXTS:
        assert kind.tag == "str"
    else:
        assert kind.tag in KINDS[nova["type"]]
        if "element" in nova:
            same(nova["element"], kind.args[-1])


@pytest.mark.parametrize(("cls", "name"), CELLS, ids=".".join)
def test_none_is_taken_where_nova_takes_it(cls, name):
    nova, field = NOVA[cls]["fields"][name], by_wire_name(cls)[name]
    assert field.nullable == (nova["nullable"] and (cls, name) not in STATES)


@pytest.mark.parametrize(("cls", "name"), CELLS, ids=".".join)
def test_the_default_is_novas(cls, name):
    nova, field = NOVA[cls]["fields"][name], by_wire_name(cls)[name]
    if "default" in nova:
        default = field.default
        plain = list(default) if isinstance(default, tuple | frozenset) else default
        assert plain == nova["default"]
    elif nova["nullable"] and (cls, name) not in STATES and not field.required:
        assert field.default in {None, UNSET}


@pytest.mark.parametrize("cls", declared())
def test_a_default_is_a_value_that_the_field_takes(cls):
    for field in fields(declared()[cls]).values():
        if field.default is not UNSET and field.default is not None:
            assert field.kind.check(field.default) == field.default
            assert type(field.kind.check(field.default)) is type(field.default)
        if field.default is None:
            assert field.nullable


@pytest.mark.parametrize("cls", declared())
def test_a_field_that_may_be_unset_says_so_by_its_type(cls):
    for field in fields(declared()[cls]).values():
        assert field.optional == (field.default is UNSET and not field.required), field


@pytest.mark.parametrize("cls", ["Instance", "Migration", "RequestSpec", "ComputeNode", "Allocation"])
def test_what_is_stored_counts_its_revisions_and_nova_does_not(cls):
    field = fields(declared()[cls])["revision"]
    assert field.wire == ""
    assert field.default == 0
