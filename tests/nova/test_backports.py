"""Backports under any manifest: what is inside in any version, or not named, gets from us what it gets from Nova."""

from __future__ import annotations

import random

import pytest

from nova.test_versions import same_backport, written
from novastate.objects.nova.versions import CURRENT, HISTORY, current, manifest, parse, versions

MANIFESTS = 8
#: Objects that Nova would send as 1.0 out of a box that the manifest does not name, where 1.0 is another major: we refuse.
OTHER_MAJOR = {name for name in CURRENT if not current(name).startswith("1.")}

REFUSED = [
    (name, step.version, field, value)
    for name, steps in HISTORY.items()
    for step in steps
    for field, values in step.values.items()
    for value in values
]


def some_manifest(cls, rng):
    """Every object of the tree in some version that it had, and now and then one that is not named."""
    tree = manifest(cls)
    return {name: rng.choice(versions(name)) for name in tree if name in OTHER_MAJOR or rng.random() < 0.9}


@pytest.mark.parametrize("cls", CURRENT)
def test_any_manifest_is_followed_as_nova_follows_it(peer, schema, cls):
    rng = random.Random(cls)
    primitives = written(peer, cls)
    for _ in range(MANIFESTS):
        same_backport(peer, schema, primitives, rng.choice(versions(cls)), some_manifest(cls, rng))


@pytest.mark.parametrize(("cls", "came", "field", "value"), REFUSED)
def test_nova_refuses_the_same_values_to_the_same_versions(peer, schema, cls, came, field, value):
    primitive = peer.ask("roundtrip", peer.ask("make", cls, 0) | {"nova_object.data": {field: value}})
    older = [version for version in versions(cls) if parse(version) < parse(came)]
    for version in (*older, came):
        same_backport(peer, schema, [primitive], version, manifest(cls, version))
