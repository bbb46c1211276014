"""What an older peer gets. The files ``backport_*.json`` are Nova's own answers; the rest is checked by enumeration and rule by rule."""

from __future__ import annotations

import contextlib
import itertools
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.errors import WireError
from novastate.objects.nova.backport import backport
from novastate.objects.nova.backport_rules import RULES, SEALED
from novastate.objects.nova.tree import edges
from novastate.objects.nova.versions import CURRENT, HISTORY, current, manifest, parse, versions
from objects.nova.primitives import data, full, recorded, wrap

EVERY_VERSION = [(name, version) for name in CURRENT for version in versions(name)]


def same(one, other):
    """Equal but for the order of changes."""
    made, meant = ({**p, "nova_object.changes": sorted(p.get("nova_object.changes", ()))} for p in (one, other))
    return made == meant


# --- Nova's own answers


@pytest.mark.parametrize(
    ("original", "version"),
    [("migration_lm_running", "1.4"), ("migration_lm_running", "1.7"), ("flavor_extra_specs", "1.1")],
)
def test_an_older_peer_gets_what_nova_sends_it(original, version):
    answer = recorded(f"backport_{original}_to_{version.replace('.', '_')}")
    assert same(backport(recorded(original), version), answer)


def test_live_migrate_data_of_an_older_version_holds_what_nova_sends():
    """The original of this answer has a vTPM, which Nova does not send back to 1.9; what came since is put in again here."""
    answer = recorded("backport_libvirt_live_migrate_data_to_1_9")
    newer = json.loads(json.dumps(answer)) | {"nova_object.version": "1.14"}
    held = data(full("LibvirtLiveMigrateData"))
    data(newer).update({field: value for field, value in held.items() if field not in data(answer)})
    assert same(backport(newer, "1.9"), answer)


# --- every version of every object


@pytest.mark.parametrize(("name", "version"), EVERY_VERSION)
def test_an_object_goes_back_to_each_version_and_stays_there(name, version):
    original = full(name)
    kept = json.dumps(original)
    made = backport(original, version)
    assert made["nova_object.version"] == version
    assert (made["nova_object.name"], made["nova_object.namespace"]) == (name, "nova")
    assert backport(made, version) == made
    assert json.dumps(original) == kept


#: What Nova sends to old peers and not to newer ones: an old form of what is there, and the tags that it forgets to take out.
BACK_AGAIN = {"InstanceGroup": {"metadetails"}, "BuildRequest": {"tags"}}


@pytest.mark.parametrize("name", CURRENT)
def test_each_version_has_the_fields_of_the_one_before(name):
    sets = [set(data(backport(full(name), version))) for version in versions(name)]
    for older, newer in itertools.pairwise(sets):
        assert older - newer <= BACK_AGAIN.get(name, set())
    assert sets[-1] == data(full(name)).keys()


@pytest.mark.parametrize(("name", "version"), EVERY_VERSION)
def test_a_version_lacks_just_what_came_later(name, version):
    missing = data(full(name)).keys() - data(backport(full(name), version)).keys()
    later = [s for s in HISTORY.get(name, ()) if parse(s.version) > parse(version)]
    added = {field for step in later for field in step.adds if "vtpm" not in field}
    assert added <= missing <= added | {field for step in later for field in step.sends}
    if name not in RULES:
        assert missing == added


@pytest.mark.parametrize("name", CURRENT)
def test_newer_versions_and_other_majors_are_refused(name):
    major, minor = parse(current(name))
    for version in (f"{major}.{minor + 1}", f"{major}.999999"):
        with pytest.raises(WireError, match="is newer than"):
            backport(full(name), version)
    for version in (f"{major + 1}.0", f"{major - 1}.9"):
        with pytest.raises(WireError, match="another major version"):
            backport(full(name), version)


def test_a_primitive_goes_forward_to_no_version():
    with pytest.raises(WireError, match=r"newer than what Migration has, 1\.4"):
        backport(recorded("backport_migration_lm_running_to_1_4"), "1.5")


# --- what is inside


def test_what_is_inside_gets_the_version_of_the_manifest():
    spec = recorded("request_spec_simple")
    made = backport(spec, "1.15", manifest("RequestSpec", release="2023.1") | {"Flavor": "1.1"})
    assert data(made)["flavor"]["nova_object.version"] == "1.1"
    assert "description" not in data(data(made)["flavor"])
    assert data(data(made)["image"])["properties"]["nova_object.version"] == "1.34"


def test_without_a_manifest_the_inside_keeps_its_version():
    made = backport(recorded("request_spec_simple"), "1.13")
    assert data(made)["flavor"] == data(recorded("request_spec_simple"))["flavor"]
    assert "requested_networks" not in data(made)


def test_what_the_manifest_does_not_name_goes_as_it_is_but_from_a_box_as_1_0():
    assert data(backport(full("Selection"), "1.1", {}))["limits"] == full("SchedulerLimits")
    assert data(backport(full("TagList"), "1.0", {}))["objects"][0]["nova_object.version"] == "1.0"


def test_a_box_of_another_major_is_not_sent_as_1_0():
    with pytest.raises(WireError, match=re.escape("$.objects[0]: is of another major version")):
        backport(full("InstanceList"), "2.0", {})


def test_a_subclass_gets_the_version_of_the_base_that_its_field_names():
    nic = wrap("NetworkInterfaceMetadata", "1.2", vlan=4, vf_trusted=True, mac="52:54:00:00:00:01")
    devices = wrap("InstanceDeviceMetadata", "1.0", devices=[nic])
    made = backport(devices, "1.0", manifest("InstanceDeviceMetadata"))
    assert data(made)["devices"] == [wrap("NetworkInterfaceMetadata", "1.0", mac="52:54:00:00:00:01")]


@pytest.mark.parametrize("name", sorted(SEALED))
def test_nova_leaves_the_inside_of_these_as_it_is(name):
    oldest = {kind: versions(kind)[0] for kind in manifest(name)}
    made, original = data(backport(full(name), versions(name)[-2], oldest)), data(full(name))
    inside = edges(name).keys() & made.keys()
    assert inside
    assert all(made[field] == original[field] for field in inside)


# --- changes


def test_changes_name_only_fields_that_are_left_but_inside_they_stay():
    flavor = full("Flavor") | {"nova_object.changes": ["description"]}
    spec = wrap("RequestSpec", "1.15", flavor=flavor, is_bfv=True) | {"nova_object.changes": ["is_bfv", "flavor"]}
    made = backport(spec, "1.10", {"Flavor": "1.1"})
    assert made["nova_object.changes"] == ["flavor"]
    assert data(made)["flavor"]["nova_object.changes"] == ["description"]
    assert "nova_object.changes" not in backport(flavor, "1.1")


# --- rules


def refused(primitive, version, field):
    with pytest.raises(WireError) as found:
        backport(primitive, version)
    assert found.value.field == field
    return str(found.value)


REFUSED = [
    (name, field, value, step.version)
    for name, steps in HISTORY.items()
    for step in steps
    for field, values in step.values.items()
    for value in values
]


@pytest.mark.parametrize(("name", "field", "value", "version"), REFUSED)
def test_a_value_is_refused_to_each_peer_that_came_before_it(name, field, value, version):
    primitive = wrap(name, current(name), **{field: value})
    for older in versions(name):
        if parse(older) < parse(version):
            assert value in refused(primitive, older, f"$.{field}")
        else:
            assert data(backport(primitive, older))[field] == value


@pytest.mark.parametrize("field", ["vtpm_secret_uuid", "vtpm_secret_value"])
@pytest.mark.parametrize("version", versions("LibvirtLiveMigrateData")[:-1])
def test_a_vtpm_is_never_left_behind_and_its_secret_not_told(field, version):
    for value in ("s3cret", None):
        assert "s3cret" not in refused(wrap("LibvirtLiveMigrateData", "1.14", **{field: value}), version, f"$.{field}")


def test_pinned_cpus_go_back_into_cpuset():
    def cell(policy):
        return wrap("InstanceNUMACell", "1.6", cpuset=[0], pcpuset=[2, 3], cpu_policy=policy)

    assert data(backport(cell("dedicated"), "1.4")) == {"cpuset": [2, 3], "cpu_policy": "dedicated"}
    assert data(backport(cell("dedicated"), "1.2")) == {"cpuset": [2, 3]}
    assert data(backport(cell("dedicated"), "1.5")) == data(cell("dedicated"))
    assert data(backport(cell("shared"), "1.4")) == {"cpuset": [0], "cpu_policy": "shared"}
    assert data(backport(cell(None), "1.4")) == {"cpuset": [0], "cpu_policy": None}


def test_a_pinned_cell_without_its_pinned_cpus_is_refused():
    refused(wrap("InstanceNUMACell", "1.6", cpuset=[], cpu_policy="dedicated"), "1.4", "$.pcpuset")


@pytest.mark.parametrize(("policy", "policies"), [("affinity", ["affinity"]), (None, []), ("", [])])
def test_the_policy_of_a_group_was_a_list(policy, policies):
    group = wrap("InstanceGroup", "1.11", policy=policy, _rules={})
    assert data(backport(group, "1.10")) == {"policies": policies, "_rules": {}}
    assert data(backport(group, "1.6")) == {"policies": policies, "_rules": {}, "metadetails": {}}
    assert data(backport(wrap("InstanceGroup", "1.11"), "1.10")) == {"policies": []}


def test_a_node_had_to_have_a_service():
    for service in ({"service_id": None}, {}):
        assert data(backport(wrap("ComputeNode", "1.19", **service), "1.12"))["service_id"] == -1
        assert data(backport(wrap("ComputeNode", "1.19", **service), "1.13")) == service
    assert data(backport(wrap("ComputeNode", "1.19", service_id=4), "1.12"))["service_id"] == 4


def test_vz_was_parallels():
    assert data(backport(wrap("HVSpec", "1.2", hv_type="vz"), "1.0"))["hv_type"] == "parallels"
    assert data(backport(wrap("HVSpec", "1.2", hv_type="vz"), "1.1"))["hv_type"] == "vz"
    assert data(backport(wrap("HVSpec", "1.2", hv_type="kvm"), "1.0"))["hv_type"] == "kvm"


def test_a_disabled_watchdog_was_not_named():
    for action, left in (("disabled", {}), ("reset", {"hw_watchdog_action": "reset"})):
        assert data(backport(wrap("ImageMetaProps", "1.44", hw_watchdog_action=action), "1.15")) == left
    assert data(backport(wrap("ImageMetaProps", "1.44", hw_watchdog_action="disabled"), "1.16"))


def test_a_virtual_functions_parent_was_a_note():
    device = wrap("PciDevice", "1.7", parent_addr="0000:06:00.0", extra_info={"a": "b"}, status="unavailable")
    assert data(backport(device, "1.3")) == {
        "extra_info": {"a": "b", "phys_function": "0000:06:00.0"},
        "status": "unavailable",
    }
    assert data(device)["extra_info"] == {"a": "b"}
    refused(device, "1.4", "$.status")
    assert data(backport(device, "1.5")) == data(device)
    assert data(backport(wrap("PciDevice", "1.7", parent_addr=None), "1.3")) == {}
    assert data(backport(wrap("PciDevice", "1.7", status="unclaimable"), "1.4")) == {"status": "unclaimable"}


def test_fields_of_a_migration_that_came_together_go_together():
    assert data(backport(wrap("Migration", "1.8", migration_type="resize", hidden=False), "1.1")) == {}
    assert data(backport(wrap("Migration", "1.8", hidden=False), "1.1")) == {"hidden": False}
    assert data(backport(wrap("Migration", "1.8", memory_total=1, disk_total=2), "1.3")) == {}
    assert data(backport(wrap("Migration", "1.8", disk_total=2), "1.3")) == {"disk_total": 2}


def test_tags_of_a_build_request_stay_beside_block_devices():
    both = wrap("BuildRequest", "1.3", block_device_mappings=None, tags=None)
    assert data(backport(both, "1.0")) == {"tags": None}
    assert data(backport(both, "1.1")) == {"block_device_mappings": None}
    assert data(backport(wrap("BuildRequest", "1.3", tags=None), "1.0")) == {}


# --- what is no primitive


@pytest.mark.parametrize(
    ("primitive", "field"),
    [
        (None, "$"),
        ([], "$"),
        ({}, "$.nova_object.name"),
        (wrap("Instanze", "2.8"), "$.nova_object.name"),
        (wrap(["Flavor"], "1.2"), "$.nova_object.name"),
        (wrap("Flavor", "1.2") | {"nova_object.data": []}, "$.nova_object.data"),
        (wrap("Flavor", 1.2), "$.nova_object.version"),
        (wrap("Flavor", "1.3"), "$.nova_object.version"),
        (wrap("Flavor", "2.0"), "$.nova_object.version"),
        (wrap("Flavor", "1.2") | {"nova_object.changes": 3}, "$.nova_object.changes"),
        (wrap("Flavor", "1.2") | {"nova_object.changes": [["name"]]}, "$.nova_object.changes"),
        (wrap("Instance", "2.8", flavor="small"), "$.flavor"),
        (wrap("Instance", "2.8", flavor=wrap("Flavour", "1.2")), "$.flavor.nova_object.name"),
        (wrap("TagList", "1.1", objects=[wrap("Tag", "1.1"), 3]), "$.objects[1]"),
    ],
)
def test_what_is_no_object_is_refused_where_it_stands(primitive, field):
    held = primitive.get("nova_object.version") if isinstance(primitive, dict) else None
    with pytest.raises(WireError) as found:
        backport(primitive, "2.0" if held == "2.8" else "1.0")
    assert found.value.field == field


def test_a_manifest_must_hold_versions():
    with pytest.raises(WireError) as found:
        backport(wrap("Instance", "2.8"), "2.7", {"Instance": "2.7", "Flavor": "old"})
    assert found.value.field == "manifest.Flavor"


def test_a_primitive_that_is_nested_too_deeply_is_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(WireError, match="nested too deeply"):
        backport(wrap("Flavor", "1.2", extra_specs=deep), "1.1")
    while deep:  # taken apart by hand: a destructor would be as deep
        deep = deep.pop()


# --- anything


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from([*CURRENT]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
ORIGINALS = {
    name: json.dumps(full(name))
    for name in ("InstanceNUMACell", "LibvirtLiveMigrateData", "PciDeviceList", "RequestSpec")
}


@st.composite
def spoilt(draw):
    """A full primitive, one place in which holds anything."""
    made = json.loads(ORIGINALS[draw(st.sampled_from(sorted(ORIGINALS)))])
    place = made
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 4)):
            place = place[key]
        else:
            place[key] = draw(JSON)
            return made


@given(spoilt(), st.sampled_from(["1.0", "1.3", "1.6", "1.14"]), st.booleans())
def test_whatever_is_in_a_primitive_it_goes_back_or_is_refused(primitive, version, old_inside):
    kept = json.dumps(primitive)
    spoken = {name: versions(name)[0] for name in CURRENT} if old_inside else None
    with contextlib.suppress(WireError):
        assert backport(primitive, version, spoken)["nova_object.version"] == version
    assert json.dumps(primitive) == kept
