"""The facts that the other tests stand on are the real Nova's: its classes, their fields, and how it reads and writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nova.compare import difference

DATA = Path(__file__).resolve().parents[1] / "objects" / "data"
RECORDED = json.loads((DATA / "nova_objects.json").read_text())["objects"]
#: Never sent as itself: Nova does not register it.
RECORDED.pop("LiveMigrateData")
SEEDS = range(20)


def kind(field):
    """A recorded type, with that of its elements, as the peer writes it."""
    inner = kind(field["element"]) if "element" in field else field.get("object", "")
    return field["type"] + (f"({inner})" if inner else "")


def test_the_peer_is_the_release_that_was_recorded(peer):
    versions = peer.ask("classes")
    assert {name: recorded["version"] for name, recorded in RECORDED.items()} == {
        name: versions[name] for name in RECORDED
    }


@pytest.mark.parametrize("cls", RECORDED)
def test_the_recorded_fields_are_novas(schema, cls):
    recorded = {name: (kind(field), field["nullable"]) for name, field in RECORDED[cls]["fields"].items()}
    assert recorded == {name: (field["repr"], field["nullable"]) for name, field in schema.fields[cls].items()}


def test_nova_reads_and_writes_as_the_comparison_says(peer, schema):
    for cls in schema.fields:
        made = peer.ask_many("make", [[cls, seed] for seed in SEEDS])
        written = peer.ask_many("roundtrip", [[one] for one in made])
        for seed, one, again in zip(SEEDS, made, written, strict=True):
            assert not difference(schema.settled(schema.canonical(one)), schema.canonical(again)), (cls, seed)


def test_random_objects_hold_every_field_and_changes(peer, schema):
    """The reverse tests see each field of each class at least once, set, and objects with changes and without."""
    for cls, fields in schema.fields.items():
        made = peer.ask_many("make", [[cls, seed] for seed in SEEDS])
        assert {name for one in made for name in one["nova_object.data"]} == fields.keys(), cls
        assert {"nova_object.changes" in one for one in made} == ({True, False} if fields else {False}), cls
