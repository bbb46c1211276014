"""Which versions there are: of an object, of its tree, of a release."""

from __future__ import annotations

import itertools

import pytest

from novastate.errors import UnknownName, WireError
from novastate.objects.nova.tree import edges
from novastate.objects.nova.versions import (
    CURRENT,
    HISTORY,
    current,
    manifest,
    parse,
    release_versions,
    releases,
    versions,
)
from objects.nova.primitives import FIELDS, SCHEMA


def edges_of(name):
    """The recorded fields of *name* that hold objects, or lists of them."""
    found = {}
    for field, held in FIELDS[name].items():
        element = held.get("element", held)
        if element["type"] == "Object":
            found[field] = element["object"]
    return found


def test_every_object_has_its_recorded_version():
    assert {name: SCHEMA["objects"][name]["version"] for name in FIELDS} == CURRENT
    assert len(CURRENT) == 109


@pytest.mark.parametrize("name", FIELDS)
def test_the_edges_are_the_recorded_fields(name):
    assert dict(edges(name)) == edges_of(name)


@pytest.mark.parametrize("name", HISTORY)
def test_a_history_goes_up_to_the_present_and_names_real_fields(name):
    steps = [parse(step.version) for step in HISTORY[name]]
    assert steps == sorted(set(steps))
    assert steps[-1] <= parse(current(name))
    assert {step.version for step in HISTORY[name]} <= set(versions(name)[1:])
    gone = {field for step in HISTORY[name] for field in step.removes}
    told = [field for step in HISTORY[name] for field in (*step.adds, *step.sends)]
    also = {field for step in HISTORY[name] for field in (*step.values, *step.changes)}
    assert len(told) == len(set(told))
    assert set(told) | also <= FIELDS[name].keys()
    assert not gone & FIELDS[name].keys()


@pytest.mark.parametrize("name", HISTORY)
def test_new_values_are_values_of_their_field(name):
    for step in HISTORY[name]:
        for field, values in step.values.items():
            kind = FIELDS[name][field]
            assert set(values) <= set(SCHEMA["enums"].get(kind["type"], kind.get("enum", ())))


@pytest.mark.parametrize("name", CURRENT)
def test_a_manifest_holds_the_root_and_all_that_can_be_reached(name):
    made = manifest(name)
    assert next(iter(made)) == name
    reached = {name} | {kind for held in made for kind in edges_of(held).values()}
    assert made == {held: CURRENT[held] for held in reached}


def test_the_root_of_a_manifest_has_the_version_that_is_asked_for():
    assert manifest("Instance", "2.3") == manifest("Instance") | {"Instance": "2.3"}


def test_a_manifest_is_its_callers_own():
    manifest("Flavor")["Flavor"] = "0.0"
    assert manifest("Flavor") == {"Flavor": "1.2"}


def test_the_newest_release_speaks_the_present_versions():
    assert release_versions(releases()[-1]) == CURRENT


@pytest.mark.parametrize(
    ("release", "spoken"),
    [
        ("xena", {"Instance": "2.7", "Migration": "1.7", "ImageMetaProps": "1.30", "BlockDeviceMapping": "1.20"}),
        ("2023.1", {"Instance": "2.7", "Migration": "1.7", "LibvirtLiveMigrateData": "1.10", "RequestSpec": "1.14"}),
        ("2023.2", {"Instance": "2.8", "Migration": "1.8", "ImageMetaProps": "1.34"}),
        ("2025.1", {"LibvirtLiveMigrateData": "1.13", "ImageMetaProps": "1.39", "ShareMapping": "1.2"}),
        ("2026.1", {"LibvirtLiveMigrateData": "1.14", "ImageMetaProps": "1.42", "ShareMappingList": "1.0"}),
    ],
)
def test_a_release_speaks_the_versions_that_its_classes_had(release, spoken):
    found = release_versions(release)
    assert {name: found[name] for name in spoken} == spoken


@pytest.mark.parametrize(("older", "newer"), list(itertools.pairwise(releases())))
def test_no_release_speaks_an_older_version_than_the_one_before(older, newer):
    before, after = release_versions(older), release_versions(newer)
    assert before.keys() <= after.keys()
    assert all(parse(before[name]) <= parse(after[name]) for name in before)


def test_a_release_is_found_by_its_number_too():
    assert manifest("Instance", release="27") == manifest("Instance", release="2023.1")
    assert manifest("Instance", release="2023.1")["Instance"] == "2.7"


def test_an_object_that_a_release_did_not_have_is_refused():
    with pytest.raises(WireError, match="was no object of Nova zed yet"):
        manifest("ShareMapping", release="zed")


def test_an_unknown_release_is_refused_with_those_that_are_known():
    with pytest.raises(UnknownName, match=r"2023\.1"):
        manifest("Instance", release="2023.3")


@pytest.mark.parametrize("ask", [current, manifest, versions])
def test_an_unknown_object_is_refused_with_what_may_have_been_meant(ask):
    with pytest.raises(WireError) as refused:
        ask("Instanze")
    assert "Instance" in refused.value.allowed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.",
        ".1",
        "1.2.3",
        "01.2",
        "1.02",
        "-1.2",
        "1.2\n",
        " 1.2",
        "1.x",
        "\u0661.\u0662",
        "1." + "9" * 7,
        None,
        1.2,
        ["1.2"],
    ],
)
def test_only_two_numbers_and_a_dot_are_a_version(text):
    with pytest.raises(WireError, match="must be a version"):
        parse(text)
