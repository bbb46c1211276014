"""From Nova to us and back: an object of the real Nova, read and written by us, is the same, unsaved changes and all."""

from __future__ import annotations

import json

import pytest

from nova.compare import CHANGES, difference
from novastate.objects import nova
from novastate.objects.base import evolve, is_mutable
from novastate.objects.nova.versions import CURRENT

#: A third of them have every field, half have unsaved changes (peer_make.py).
SEEDS = range(60)


@pytest.mark.parametrize("cls", CURRENT)
def test_what_nova_sends_we_send_back(peer, schema, cls):
    for seed, primitive in zip(SEEDS, peer.ask_many("make", [[cls, seed] for seed in SEEDS]), strict=True):
        ours = nova.dump(nova.load(primitive))
        assert not difference(schema.canonical(primitive), schema.canonical(ours)), seed


@pytest.mark.parametrize("cls", CURRENT)
def test_nova_reads_what_we_read_of_it(peer, schema, cls):
    made = peer.ask_many("make", [[cls, seed] for seed in SEEDS])
    ours = [json.loads(nova.dumps(nova.loads(json.dumps(one)))) for one in made]
    for seed, one, again in zip(SEEDS, made, peer.ask_many("roundtrip", [[one] for one in ours]), strict=True):
        assert not difference(schema.settled(schema.canonical(one)), schema.canonical(again)), seed


@pytest.mark.parametrize(
    ("cls", "field"), [("Instance", "display_name"), ("Migration", "source_node"), ("Service", "binary")]
)
def test_what_we_change_nova_finds_changed(peer, schema, cls, field):
    made = peer.ask_many("make", [[cls, seed] for seed in SEEDS])
    clean = next(one for one in made if CHANGES not in one)
    obj = nova.load(clean)
    if is_mutable(type(obj)):
        setattr(obj, field, "another")
    else:
        obj = evolve(obj, **{field: "another"})
    sent = nova.dump(obj)
    assert sent[CHANGES] == [field]
    written = peer.ask("roundtrip", sent)
    assert field in written[CHANGES]
    assert not difference(schema.settled(schema.canonical(sent)), schema.canonical(written))
