"""Every object of Nova is here, with every field: its type, whether it may be None, its default, its form on the wire.

The facts are in ``data/nova_objects.json``; whatever differs is in a table here, with its reason.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import attrs
import pytest

from novastate import objects
from novastate.errors import InvalidField
from novastate.machines import MigrationStatus, MigrationType, PowerState, TaskState, VMState
from novastate.objects import UNSET
from novastate.objects.base import declared, fields
from novastate.objects.kinds import understand
from novastate.objects.lists import RecordList
from novastate.objects.marks import Ip, Note, Pattern

FACTS = json.loads((Path(__file__).parent / "data" / "nova_objects.json").read_text())
NOVA, ENUMS = FACTS["objects"], FACTS["enums"]
CELLS = [(cls, name) for cls, nova in NOVA.items() for name in nova["fields"]]
PATHS = [f"{cls}.{name}" for cls, name in CELLS]
LISTS = sorted(cls for cls in NOVA if cls.endswith("List"))

#: novastate's own, and the dictionaries of Nova's network model, which are no versioned objects.
OURS = {
    "Allocation",
    "FixedIP",
    "NetworkModel",
    "PersistentRecord",
    "PersistentValue",
    "Route",
    "Subnet",
    "TimestampedValue",
    "VIF",
}
#: Objects with a life of their own. All others are values.
MUTABLE = {"BlockDeviceMapping", "ComputeNode", "Instance", "Migration", "PersistentRecord", "RequestSpec"}

#: Where Nova keeps a bare text or number, and we the state itself.
STATES = {
    ("Instance", "vm_state"): VMState,
    ("Instance", "task_state"): TaskState,
    ("Instance", "power_state"): PowerState,
    ("Migration", "status"): MigrationStatus,
    ("Migration", "migration_type"): MigrationType,
}
#: Nova's column takes None, and no code of Nova's leaves it there: a state that is none is no state.
#: (``Instance.task_state`` is not here: None is its IDLE.)
NEVER_NONE = {("Instance", "vm_state"), ("Instance", "power_state"), ("Migration", "status")}

#: Nova's type -> kinds that mean the same.
KINDS = {
    "Integer": "int",
    "Float": "float",
    "Boolean": "bool",
    "FlexibleBoolean": "bool",
    "DateTime": "datetime",
    "List": "seq",
    "Set": "set",
    "Dict": "map",
    "NetworkModel": "seq",
    "NetworkVIFModel": "record",
    "SensitiveString": "str",
    "String": "str",
}
#: Nova's texts of a certain form -> what we call the form.
FORMS = {
    "UUID": "a UUID",
    "MACAddress": "a MAC address",
    "PCIAddress": "a PCI address",
    "USBAddress": "a USB address",
    "SCSIAddress": "a SCSI address",
    "IDEAddress": "an IDE address",
    "XenAddress": "a Xen address",
    "ResourceClass": "a resource class",
    "VersionPredicate": "a version predicate, e.g. '>=6.1, !=7.0'",
}
ADDRESSES = {"IPAddress": Ip(0), "IPV4Address": Ip(4), "IPV6Address": Ip(6)}
#: Written by the owner of an image, and Nova only warns when it is no UUID.
ANY_TEXT = {
    ("ImageMetaProps", "hw_ephemeral_encryption_secret_uuid"),
    ("ImageMetaProps", "img_signature_certificate_uuid"),
}

#: Where Nova's class has no default, ours is UNSET, None, or nothing at all (0, False, empty); or this, as in Nova's database and API.
OWN_DEFAULTS = {
    ("Flavor", "is_public"): True,
    ("Instance", "power_state"): PowerState.NOSTATE,
    ("Instance", "vm_state"): VMState.BUILDING,
    ("KeyPair", "type"): "ssh",
}

#: Whatever opens a door; of a mapping, what sounds like it.
SECRETS = {
    ("BlockDeviceMapping", "connection_info"),
    ("CellMapping", "database_connection"),
    ("CellMapping", "transport_url"),
    ("ConsoleAuthToken", "internal_access_path"),
    ("ConsoleAuthToken", "token"),
    ("Instance", "key_data"),
    ("Instance", "metadata"),
    ("Instance", "system_metadata"),
    ("Instance", "user_data"),
    ("KeyPair", "public_key"),
    ("LibvirtLiveMigrateBDMInfo", "connection_info_json"),
    ("LibvirtLiveMigrateData", "vtpm_secret_value"),
    ("ShareMapping", "access_key"),
}

#: Numbers below zero that a Nova sends, and what they mean there.
BELOW_ZERO = [
    ("BlockDeviceMapping", "boot_index", -1),  # never booted from
    ("ComputeNode", "current_workload", -1),  # counted down once too often (compute/stats.py)
    ("ComputeNode", "disk_available_least", -1),  # promised more than there is
    ("ComputeNode", "free_disk_gb", -1),  # the same
    ("ComputeNode", "free_ram_mb", -1),  # the same
    ("ComputeNode", "running_vms", -1),  # counted down once too often
    ("DiskDiagnostics", "errors_count", -1),  # libvirt does not know
    ("ImageMetaProps", "hw_video_ram", -1),  # whatever the owner of the image wrote
    ("InstanceNUMACell", "pagesize", -1),  # small pages
    ("InstanceNUMACell", "pagesize", -2),  # large pages
    ("InstanceNUMACell", "pagesize", -3),  # any pages
    ("LibvirtLiveMigrateData", "disk_available_mb", -1),  # promised more than there is
    ("VirtCPUTopology", "sockets", -1),  # any
    ("VolumeUsage", "curr_reads", -1),  # libvirt does not know
]


def by_wire_name(cls):
    return {field.wire: field for field in fields(declared()[cls]).values() if field.wire}


def marks(cls, field):
    return understand(getattr(attrs.fields(declared()[cls]), field.name).type).marks


def made(cls, **given):
    """An object of *cls* that knows only what it is given."""
    table = fields(declared()[cls])
    return declared()[cls](**{name: UNSET for name, field in table.items() if field.required} | given)


# --- the classes


def test_the_facts_are_whole():
    assert len(NOVA) == 110  # 109 are registered; LiveMigrateData is a base of three of them
    assert [cls for cls, nova in NOVA.items() if not nova.get("registered", True)] == ["LiveMigrateData"]
    assert len(LISTS) == 26
    assert len(CELLS) > 800


def test_every_object_of_nova_is_here_and_no_other():
    ours = {
        name for name, cls in declared().items() if cls.__module__.startswith("novastate.")
    }  # tests declare some too
    assert ours == NOVA.keys() | OURS
    assert set(objects.__all__) >= NOVA.keys()


@pytest.mark.parametrize("cls", NOVA)
def test_the_docstring_names_the_version(cls):
    version = re.escape(NOVA[cls]["version"])
    assert re.search(rf"Nova's {cls} {version}(?!\.?\d)", inspect.getdoc(declared()[cls]))


@pytest.mark.parametrize("cls", NOVA)
def test_the_bases_are_novas(cls):
    for base in NOVA[cls].get("bases", ()):
        bases = {"PersistentRecord", "PersistentValue"} if base == "NovaPersistentObject" else {base}
        assert bases & {ours.__name__ for ours in declared()[cls].__mro__}


@pytest.mark.parametrize("cls", declared())
def test_what_lives_is_mutable_and_all_else_is_a_value(cls):
    assert (declared()[cls].__hash__ is None) == (cls in MUTABLE)
    if cls in NOVA and NOVA[cls]["fields"]:
        obj = made(cls)
        name = next(iter(fields(type(obj))))
        if cls in MUTABLE:
            setattr(obj, name, UNSET)
        else:
            with pytest.raises(attrs.exceptions.FrozenInstanceError):
                setattr(obj, name, UNSET)


@pytest.mark.parametrize("cls", declared())
def test_there_are_slots_and_nothing_beside_them(cls):
    assert not hasattr(declared()[cls].__new__(declared()[cls]), "__dict__")


# --- the fields


@pytest.mark.parametrize("cls", NOVA)
def test_the_fields_are_novas(cls):
    assert by_wire_name(cls).keys() == NOVA[cls]["fields"].keys()


@pytest.mark.parametrize(("cls", "name"), CELLS, ids=PATHS)
def test_the_type_is_novas(cls, name):
    nova, kind = NOVA[cls]["fields"][name], by_wire_name(cls)[name].kind
    if (cls, name) in STATES:
        assert kind.args == (STATES[cls, name],)
    elif (cls, name) in ANY_TEXT:
        assert (nova["type"], kind.tag, kind.args) == ("UUID", "str", ())
    else:
        same(nova, kind)


def same(nova, kind):
    """*kind* takes what Nova's type takes, down to the elements."""
    type_ = nova["type"]
    if type_ == "Object" and nova["object"] in LISTS:
        assert kind.tag == "seq"
        same(NOVA[nova["object"]]["fields"]["objects"]["element"], kind.args[0])
    elif type_ == "Object":
        assert kind.tag == ("any record" if nova.get("subclasses") else "record")
        assert kind.args == (declared()[nova["object"]],)
    elif type_ in ENUMS or "enum" in nova:
        assert kind.tag == "literal"
        assert kind.args == tuple(dict.fromkeys(nova.get("enum") or ENUMS[type_]))
    elif type_ in ADDRESSES:
        assert (kind.tag, kind.args) == ("str", ADDRESSES[type_])
    elif type_ in FORMS:
        assert kind.tag == "str"
        assert isinstance(kind.args, Pattern)
        assert kind.args.called == FORMS[type_]
    else:
        assert kind.tag == KINDS[type_]
        assert kind.tag != "str" or not kind.args
        if "element" in nova:
            element = kind.args[-1]
            assert (element.tag == "nullable") == nova["element"].get("nullable", False)
            same(nova["element"], element.args[0] if element.tag == "nullable" else element)


@pytest.mark.parametrize(("cls", "name"), CELLS, ids=PATHS)
def test_none_is_taken_where_nova_takes_it(cls, name):
    nova, field = NOVA[cls]["fields"][name], by_wire_name(cls)[name]
    if nova["nullable"] and (cls, name) not in NEVER_NONE:
        held = getattr(made(cls, **{field.name: None}), field.name)
        assert held is None or held is TaskState.IDLE
    else:
        with pytest.raises(InvalidField, match=re.escape(field.path)):
            made(cls, **{field.name: None})


@pytest.mark.parametrize(("cls", "name"), CELLS, ids=PATHS)
def test_the_default_is_novas(cls, name):
    nova, field = NOVA[cls]["fields"][name], by_wire_name(cls)[name]
    default = field.default
    if "default" in nova and nova["type"] == "Object":
        assert default == (nova["default"] if nova["default"] is None else made(nova["object"], **nova["default"]))
    elif "default" in nova:
        assert not field.required
        assert (list(default) if isinstance(default, tuple | frozenset) else default) == nova["default"]
    elif (cls, name) in OWN_DEFAULTS:
        assert default == OWN_DEFAULTS[cls, name]
    else:
        assert not default
        assert default is not None or nova["nullable"]


@pytest.mark.parametrize(("cls", "name"), CELLS, ids=PATHS)
def test_the_form_on_the_wire_is_novas(cls, name):
    nova, form = NOVA[cls]["fields"][name], marks(cls, by_wire_name(cls)[name])
    boxed = nova.get("object") in LISTS
    assert (Note.BOXED in form) == boxed
    assert (Note.JSON_TEXT in form) == (nova["type"] in {"NetworkModel", "NetworkVIFModel"})
    if boxed:  # the box is called after what is in it
        assert nova["object"] == f"{by_wire_name(cls)[name].kind.args[0].args[0].__name__}List"


def test_secrets_are_known():
    assert {(cls, name) for cls in NOVA for name, field in by_wire_name(cls).items() if field.secret} == SECRETS
    sensitive = {(cls, name) for cls, name in CELLS if NOVA[cls]["fields"][name]["type"] == "SensitiveString"}
    assert sensitive <= SECRETS


@pytest.mark.parametrize(("cls", "name", "number"), BELOW_ZERO)
def test_a_number_below_zero_is_taken_where_nova_sends_it(cls, name, number):
    assert getattr(made(cls, **{name: number}), name) == number


@pytest.mark.parametrize(
    "text",
    ["1.0", "", ">=", ">=a", "=1", "~=1.0", ">=1.0,", ">=1.0;<2", ">=1.0.", ">=1 0", ">= 1.0+", "a >=1", "=>1.0"],
)
def test_what_nova_calls_no_version_predicate_is_none(text):
    with pytest.raises(InvalidField, match="img_hv_requested_version: must be a version predicate"):
        objects.ImageMetaProps(img_hv_requested_version=text)


@pytest.mark.parametrize("text", ["0:1", "0:0:0:1", "1:0.2"])
def test_nova_looks_at_the_beginning_of_a_bus_address_alone(text):
    assert objects.IDEDeviceBus(address=text).address == text
    with pytest.raises(InvalidField, match="must be an IDE address"):
        objects.IDEDeviceBus(address=f" {text}")


# --- the lists


@pytest.mark.parametrize("cls", LISTS)
def test_a_list_holds_its_class_alone(cls):
    ours, element = declared()[cls], NOVA[cls]["fields"]["objects"]["element"]["object"]
    assert issubclass(ours, RecordList)
    assert [*fields(ours)] == ["objects"]
    one = made(element)
    assert ours(objects=[one])[0] is one
    with pytest.raises(InvalidField, match=rf"objects\[1\]: must be an? {element}"):
        ours(objects=[one, objects.VirtCPUTopology()])
