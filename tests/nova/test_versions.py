"""Every class has Nova's version and tree, and an older peer gets from us what it gets from Nova."""

from __future__ import annotations

import pytest

from nova.client import NovaError
from nova.compare import difference
from novastate.errors import WireError
from novastate.objects.nova.backport import backport
from novastate.objects.nova.versions import CURRENT, manifest, release_versions, releases, versions

SEEDS = range(6)
#: Nova deletes these fields of an old Migration without a look whether they are there; we send what is left.
CRASH = {"hidden", "memory_processed", "memory_remaining", "disk_total", "disk_processed", "disk_remaining"}


def test_the_versions_are_novas(peer):
    assert dict(CURRENT) == peer.ask("classes")


def test_the_manifests_are_novas(peer):
    trees = peer.ask_many("tree", [[cls] for cls in CURRENT])
    assert {cls: manifest(cls) for cls in CURRENT} == dict(zip(CURRENT, trees, strict=True))


def sent(primitive, version, spoken):
    """What we send, or why we refuse."""
    try:
        return backport(primitive, version, spoken)
    except WireError as error:
        return error


def same_backport(peer, schema, primitives, version, spoken):
    """Nova and we send the same to a peer that speaks *version*, or both refuse."""
    theirs = peer.ask_many("backport", [[one, version, spoken] for one in primitives])
    for one, other in zip(primitives, theirs, strict=True):
        ours = sent(one, version, spoken)
        if isinstance(other, NovaError) and other.name == "KeyError" and other.message.strip("'") in CRASH:
            continue  # it says nothing of the rest
        if isinstance(ours, WireError) or isinstance(other, NovaError):
            assert isinstance(ours, WireError), f"only Nova refuses {version}: {other}"
            assert isinstance(other, NovaError), f"only we refuse {version}: {ours}"
        else:
            assert not difference(schema.canonical(ours), schema.canonical(other)), version


def written(peer, cls):
    """Random objects of *cls* as Nova writes those that it has read."""
    made = peer.ask_many("make", [[cls, seed] for seed in SEEDS])
    return peer.ask_many("roundtrip", [[one] for one in made])


@pytest.mark.parametrize("cls", CURRENT)
def test_every_older_version_is_novas(peer, schema, cls):
    primitives = written(peer, cls)
    for version in versions(cls):
        same_backport(peer, schema, primitives, version, manifest(cls, version))


@pytest.mark.parametrize("release", releases())
def test_every_release_gets_what_nova_sends_it(peer, schema, release):
    spoken = release_versions(release)
    for cls in CURRENT.keys() & spoken.keys():
        same_backport(peer, schema, written(peer, cls), spoken[cls], manifest(cls, release=release))
