"""What goes in as Nova wrote it comes out as Nova wrote it; what was changed on the way is told, what cannot be is refused."""

from __future__ import annotations

import copy
import json
import warnings

import attrs
import pytest

from novastate.errors import IllegalTransition, NewerVersionWarning, WireError
from novastate.machines import MIGRATION_MACHINES, VMState
from novastate.objects import (
    UNSET,
    Flavor,
    Instance,
    InstanceDeviceMetadata,
    InstanceList,
    LibvirtLiveMigrateData,
    Migration,
    ShareMetadata,
    Tag,
    changes,
    dumps,
    evolve,
    loads,
    mark_saved,
    nova,
)
from novastate.objects.base import value
from objects.nova.primitives import DATA, FIELDS, data, recorded, wrap

RECORDED = sorted(path.stem for path in (DATA / "nova_primitives").glob("*.json"))
CHANGES = "nova_object.changes"
EXAMPLE = DATA.parents[2] / "examples" / "payloads" / "live_migration.json"


def canonical(primitive):
    """With sets and changes in order, and JSON texts parsed, by what was recorded of Nova's fields."""
    if not isinstance(primitive, dict) or "nova_object.name" not in primitive:
        return primitive
    made = {**primitive, CHANGES: sorted(primitive.get(CHANGES, ()))}
    fields = FIELDS[primitive["nova_object.name"]]
    made["nova_object.data"] = {name: _canonical(fields[name]["type"], held) for name, held in data(primitive).items()}
    return made


def _canonical(kind, held):
    if held is None:
        return None
    match kind:
        case "Set":
            return sorted(held)
        case "List":
            return [canonical(one) for one in held]
        case "NetworkModel" | "NetworkVIFModel":
            return json.loads(held)
        case _:
            return canonical(held)


def test_there_are_primitives():
    assert len(RECORDED) > 30


@pytest.mark.parametrize("name", [name for name in RECORDED if not name.startswith("backport_")])
def test_what_nova_wrote_comes_out_as_it_came_in(name):
    primitive = recorded(name)
    kept = copy.deepcopy(primitive)
    obj = nova.load(primitive)
    assert canonical(nova.dump(obj)) == canonical(primitive)
    assert primitive == kept
    assert nova.loads(nova.dumps(obj)) == obj


@pytest.mark.parametrize("name", [name for name in RECORDED if name.startswith("backport_")])
def test_what_nova_wrote_for_an_older_peer_is_read_and_written_for_it_again(name):
    primitive = recorded(name)
    obj = nova.load(primitive)
    assert canonical(nova.dump(obj, primitive["nova_object.version"])) == canonical(primitive)


def test_a_message_that_nova_sent_comes_out_as_it_came_in():
    """The payload of the example: three objects."""
    args = json.loads(json.loads(EXAMPLE.read_text())["oslo.message"])["args"]
    for name in ("instance", "migration", "migrate_data"):
        assert canonical(nova.dump(nova.load(args[name]))) == canonical(args[name])


# --- what has changed


def test_what_a_machine_has_moved_is_told_and_nothing_else():
    migration = nova.load(recorded("migration_lm_accepted"), Migration)
    MIGRATION_MACHINES[migration.migration_type].queue(migration)
    out = nova.dump(migration)
    assert (out[CHANGES], data(out)["status"]) == (["status"], "queued")
    with pytest.raises(IllegalTransition):
        MIGRATION_MACHINES[migration.migration_type].complete(migration)
    assert nova.dump(migration) == out


def test_changes_travel_and_stay_until_saved():
    came = recorded("migration_lm_failed_dirty")
    migration = nova.load(came)
    assert changes(migration) == set(came[CHANGES])
    again = nova.loads(nova.dumps(migration))
    assert changes(again) == set(came[CHANGES])
    mark_saved(again)
    assert CHANGES not in nova.dump(again)


def test_a_field_is_no_change_for_an_older_peer_that_does_not_know_it():
    migration = nova.load(recorded("migration_lm_accepted"), Migration)
    migration.dest_compute_id = 7
    assert nova.dump(migration)[CHANGES] == ["dest_compute_id"]
    assert CHANGES not in nova.dump(migration, release="2023.1")


# --- versions


@pytest.mark.parametrize("version", ["", "1", "1.8 ", "v1.8", "1.-1", 1.8, True, 0])
def test_what_is_no_version_is_refused(version):
    migration = nova.load(recorded("migration_lm_accepted"))
    with pytest.raises(WireError) as caught:
        nova.dump(migration, version)
    assert caught.value.field == "version"


def test_the_version_that_is_named_goes_before_that_of_the_release():
    live = LibvirtLiveMigrateData(migration=nova.load(recorded("migration_lm_accepted"), Migration))
    made = nova.dump(live, "1.9", release="2023.1")
    assert (made["nova_object.version"], data(made)["migration"]["nova_object.version"]) == ("1.9", "1.7")


@pytest.mark.parametrize("release", nova.releases())
def test_every_release_gets_the_versions_of_its_manifest(release):
    instance = nova.load(recorded("instance_active"))
    made = nova.dump(instance, release=release)
    known = nova.manifest("Instance", release=release)
    assert made["nova_object.version"] == known["Instance"]
    assert data(made)["flavor"]["nova_object.version"] == known["Flavor"]
    assert data(made)["tags"]["nova_object.version"] == known["TagList"]
    assert made == nova.dump(instance, manifest=known)


def newer():
    return {**recorded("migration_lm_accepted"), "nova_object.version": "1.99"}


def test_a_newer_minor_version_is_kept_whole():
    primitive = newer()
    data(primitive)["reason"] = {"any": ["thing"]}
    primitive[CHANGES] = ["reason"]
    with pytest.warns(NewerVersionWarning, match="Migration 1.99 is newer than 1.8; unknown fields are kept: reason"):
        migration = nova.load(primitive, Migration)
    assert nova.dump(migration) == primitive
    migration.memory_total = 1
    again = nova.dump(migration)
    assert sorted(again[CHANGES]) == ["memory_total", "reason"]
    older = nova.dump(migration, "1.8")
    assert older[CHANGES] == ["memory_total"]
    assert "reason" not in data(older)


def test_a_newer_object_inside_keeps_its_version_and_the_outer_one_its_own():
    primitive = wrap("InstanceList", "2.6", objects=[recorded("instance_active")])
    flavor = data(primitive["nova_object.data"]["objects"][0])["flavor"]
    flavor["nova_object.version"] = "1.99"
    data(flavor)["cost"] = 3
    with pytest.warns(NewerVersionWarning):
        servers = nova.load(primitive, InstanceList)
    assert canonical_flavor(nova.dump(servers)) == flavor
    assert "cost" not in data(canonical_flavor(nova.dump(servers, release="2026.2")))


def canonical_flavor(listed):
    return data(data(listed)["objects"][0])["flavor"]


def test_a_known_version_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nova.load(recorded("migration_lm_accepted"))


@pytest.mark.parametrize("version", ["0.9", "2.0", "10.0"])
def test_another_major_version_is_refused(version):
    with pytest.raises(WireError, match="another major version"):
        nova.load({**recorded("migration_lm_accepted"), "nova_object.version": version})


# --- parts


def test_a_part_stays_a_part():
    primitive = wrap("Instance", "2.8", uuid="00001111-0001-4001-8001-000000001ef0", vm_state="active")
    part = nova.load(primitive, Instance)
    assert (part.vm_state, part.flavor, part.host) == (VMState.ACTIVE, UNSET, UNSET)
    assert nova.dump(part) == primitive
    assert nova.dump(part, release="2023.1") == {**primitive, "nova_object.version": "2.7"}
    part.host = "cmp-a"
    assert nova.dump(part)[CHANGES] == ["host"]
    part.host = UNSET
    assert nova.dump(part) == primitive


def test_a_value_that_was_evolved_tells_what_differs():
    live = nova.load(recorded("libvirt_live_migrate_data_minimal"), LibvirtLiveMigrateData)
    assert nova.dump(evolve(live, filename="other", block_migration=live.block_migration))[CHANGES] == ["filename"]


# --- what is none


@pytest.mark.parametrize("primitive", [None, 3, "text", [], {}, [recorded("service")], {"nova_object.name": []}, b"{}"])
def test_what_is_no_envelope_is_refused_at_its_root(primitive):
    with pytest.raises(WireError) as caught:
        nova.load(primitive)
    assert caught.value.field.startswith("$")


def test_another_class_than_the_expected_is_refused():
    with pytest.raises(WireError, match="is no Instance, got 'Migration'"):
        nova.load(recorded("migration_lm_accepted"), Instance)
    assert isinstance(nova.load(recorded("migration_lm_accepted"), Migration), Migration)


def test_a_payload_is_read_and_written_as_a_whole():
    instance = json.loads((DATA / "nova_primitives" / "instance_active.json").read_text())
    migration = json.loads((DATA / "nova_primitives" / "migration_lm_running.json").read_text())
    payload = {
        "method": "live_migration",
        "args": {"instance": instance, "migrations": [migration, None], "block": False},
    }
    read = nova.load_all(payload)
    assert read["args"]["instance"] == nova.load(instance)
    assert read["args"]["migrations"] == [nova.load(migration), None]
    assert nova.load_all(nova.dump_all(read)) == read
    older = nova.dump_all(read, release="2023.1")["args"]
    assert older["instance"]["nova_object.version"] == "2.7"
    assert older["migrations"][0]["nova_object.version"] == nova.manifest("Migration", release="2023.1")["Migration"]


def test_a_payload_that_cannot_be_read_says_where():
    payload = {"args": [{"tag": nova.dump(Tag(resource_id="a", tag="b"))}]}
    payload["args"][0]["tag"]["nova_object.data"]["tag"] = 7
    with pytest.raises(WireError, match=r"^\$\.args\[0\]\.tag\.tag: must be text"):
        nova.load_all(payload)
    deep = leaf = []
    for _ in range(10_000):
        leaf.append([])
        leaf = leaf[0]
    with pytest.raises(WireError, match="too deep"):
        nova.load_all(deep)


def test_a_subclass_of_ones_own_goes_as_what_nova_knows_of_it():
    @value
    class OurTag(Tag):
        colour: str = "red"

    assert nova.dump(OurTag(resource_id="a", tag="b")) == nova.dump(Tag(resource_id="a", tag="b"))


def test_a_subclass_without_slots_is_read_too():
    class Ours(Flavor):
        pass

    read = loads(Ours, b'{"vcpus":1,"memory_mb":1}')
    assert type(read) is Ours
    assert read == Ours(vcpus=1, memory_mb=1)
    assert nova.dump(read)["nova_object.name"] == "Flavor"


def test_a_subclass_that_was_not_made_for_it_is_told_so():
    @attrs.define(kw_only=True)
    class Ours(Instance):
        colour: str = "red"

    with pytest.raises(TypeError, match=r"colour is no checked field"):
        dumps(Ours(uuid="00001111-0001-4001-8001-00000000f779", flavor=Flavor(vcpus=1, memory_mb=1)))


def newer_box():
    tags = wrap("TagList", "1.9", objects=[], extra=7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NewerVersionWarning)
        return nova.load(wrap("Instance", "2.8", host="a", tags=tags), Instance)


def test_what_a_newer_list_says_is_kept_by_what_is_made_of_its_owner():
    for part in (newer_box(), evolve(newer_box(), host="b"), copy.deepcopy(newer_box())):
        tags = nova.dump(part)["nova_object.data"]["tags"]
        assert (tags["nova_object.version"], tags["nova_object.data"]["extra"]) == ("1.9", 7)


def test_changes_of_fields_that_went_are_no_reason_to_refuse_an_older_object():
    older = wrap("InstanceGroup", "1.6", name="g") | {CHANGES: ["metadetails", "name"]}
    assert changes(nova.load(older)) == {"name"}


def test_changes_are_what_the_envelope_tells():
    tags = wrap("TagList", "1.1", objects=[]) | {CHANGES: ["objects"]}
    part = nova.load(wrap("Instance", "2.8", host="a", tags=tags) | {CHANGES: ["node"]}, Instance)
    assert changes(part) == set(nova.dump(part)[CHANGES]) == {"tags"}
    part.host = UNSET
    assert changes(part) == set(nova.dump(part)[CHANGES]) == {"tags"}


def test_an_inner_object_that_a_release_does_not_have_is_not_sent_to_it():
    metadata = InstanceDeviceMetadata(devices=[ShareMetadata(share_id="a", tag="b")])
    with pytest.raises(WireError, match=r"^\$\.devices\[0\]: was no object of Nova 2023.1 yet"):
        nova.dump(metadata, release="2023.1")
    assert nova.dump(Tag(resource_id="a", tag="b"), release=27) == nova.dump(
        Tag(resource_id="a", tag="b"), release="2023.1"
    )


def test_the_text_of_a_payload_is_guarded_as_that_of_an_object():
    text = nova.dumps(Tag(resource_id="a", tag="b"))
    assert nova.loads_all(b'[{"tag":' + text + b"}]") == [{"tag": Tag(resource_id="a", tag="b")}]
    with pytest.raises(WireError, match="given twice"):
        nova.loads_all(b'{"a":1,"a":2}')
    with pytest.raises(WireError, match="too long"):
        nova.loads_all(text, limit=10)
