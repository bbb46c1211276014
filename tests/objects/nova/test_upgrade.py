"""What an older peer, or an old record, said, as the present version has it: the golden files in ``nova_upgrades``."""

from __future__ import annotations

import json

import pytest

from novastate.errors import WireError
from novastate.objects.nova.backport import backport
from novastate.objects.nova.upgrade import DEFAULTS, STEPS, upgrade
from novastate.objects.nova.versions import CURRENT, HISTORY, current, parse, versions
from objects.nova.primitives import DATA, FIELDS, data, full, wrap

GOLDEN = sorted((DATA / "nova_upgrades").glob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_old_data_reads_as_the_golden_file_says(path):
    golden = json.loads(path.read_text())
    before = json.dumps(golden["before"])
    assert upgrade(golden["name"], golden["version"], golden["before"]) == golden["after"], golden["what"]
    assert json.dumps(golden["before"]) == before
    assert upgrade(golden["name"], current(golden["name"]), golden["after"]) == golden["after"]


def test_there_is_a_golden_file_for_all_that_is_more_than_leaving_fields_unset():
    names = {json.loads(path.read_text())["name"] for path in GOLDEN}
    gone = {name for name, steps in HISTORY.items() if any(step.removes for step in steps)}
    assert {*DEFAULTS, *STEPS, *gone} <= names


@pytest.mark.parametrize("name", CURRENT)
def test_what_a_version_did_not_have_stays_absent(name):
    for version in versions(name):
        old = data(backport(full(name), version))
        made = upgrade(name, version, old)
        moved = {"InstanceGroup": {"policy"}, "InstanceNUMACell": {"pcpuset"}}.get(name, set())
        assert made.keys() - old.keys() <= DEFAULTS.get(name, {}).keys() | moved
        assert made.keys() <= FIELDS[name].keys()


def test_defaults_are_the_recorded_ones():
    """But for counts and for what an object, or a set, is: those are written out."""
    for name, defaults in DEFAULTS.items():
        for field, default in defaults.items():
            known = FIELDS[name][field]
            assert known.get("default", default) == default or known["type"] == "Object", (name, field)


def test_what_is_filled_in_is_new():
    upgrade("RequestGroup", "1.0", {})["resources"]["VCPU"] = 1
    upgrade("Diagnostics", "1.0", {})["memory_details"]["nova_object.data"]["used"] = 1
    assert upgrade("RequestGroup", "1.0", {})["resources"] == {}
    assert upgrade("Diagnostics", "1.0", {})["memory_details"]["nova_object.data"] == {}


def test_deep_nesting_inside_is_not_walked():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert upgrade("Flavor", "1.0", {"extra_specs": deep})["extra_specs"] is deep
    while deep:  # taken apart by hand: a destructor would be as deep
        deep = deep.pop()


@pytest.mark.parametrize("name", CURRENT)
def test_another_major_version_is_refused(name):
    major, _ = parse(current(name))
    for other in (major - 1, major + 1):
        with pytest.raises(WireError, match="another major version"):
            upgrade(name, f"{other}.0", {})


@pytest.mark.parametrize("version", ["", "1", "1.2.3", "one", None, 1.2])
def test_what_is_no_version_is_refused(version):
    with pytest.raises(WireError, match="must be a version"):
        upgrade("Flavor", version, {})


def test_an_unknown_object_is_refused_with_what_may_have_been_meant():
    with pytest.raises(WireError) as refused:
        upgrade("Migrations", "1.0", {})
    assert "Migration" in refused.value.allowed


@pytest.mark.parametrize("policy", ["affinity", None])
@pytest.mark.parametrize("version", versions("InstanceGroup"))
def test_a_group_from_an_older_peer_goes_back_to_it_whole(policy, version):
    sent = backport(wrap("InstanceGroup", "1.11", name="g", policy=policy), version)
    read = sent | {"nova_object.version": "1.11", "nova_object.data": upgrade("InstanceGroup", version, data(sent))}
    assert data(backport(read, version)) == data(sent)
