"""What an older peer, or an old record, said reads here as it does in Nova."""

from __future__ import annotations

import itertools

import pytest

from nova.client import NovaError
from nova.compare import DATA, NAME, difference
from nova.test_versions import written
from novastate.objects.nova.upgrade import upgrade
from novastate.objects.nova.versions import CURRENT, manifest, versions

#: Moved as Nova moves them in its records (see below); what comes over the wire Nova leaves as it is.
STEPPED = {"InstanceNUMACell"}
#: Nova reads an old group without its policy; we take it from its policies.
FOUND = {"InstanceGroup": {"policy"}}
#: Nova's own service version, which it writes into a Service that came without one; we leave it unset.
OWN = {"Service": {"version"}}


@pytest.mark.parametrize("cls", sorted(CURRENT.keys() - STEPPED))
def test_an_older_version_reads_as_nova_reads_it(peer, schema, cls):
    """Nova's version of what an older peer sends, read and written by Nova, beside our data of it."""
    primitives = written(peer, cls)
    for version in versions(cls):
        sent = peer.ask_many("backport", [[one, version, manifest(cls, version)] for one in primitives])
        sent = [one for one in sent if not isinstance(one, NovaError)]
        for old, read in zip(sent, peer.ask_many("roundtrip", [[one] for one in sent]), strict=True):
            for field in OWN.get(cls, set()) - old[DATA].keys():
                del read[DATA][field]
            ours = {**old, DATA: upgrade(cls, version, old[DATA])}
            for field in FOUND.get(cls, set()) - old[DATA].keys():
                ours[DATA].pop(field, None)
            assert not difference(schema.canonical(ours)[DATA], schema.canonical(read)[DATA]), version


@pytest.mark.parametrize("cls", ["Diagnostics", "RequestGroup"])
def test_what_is_filled_in_is_what_nova_fills_in(peer, schema, cls):
    (read,) = peer.ask_many(
        "roundtrip", [[{NAME: cls, "nova_object.namespace": "nova", "nova_object.version": "1.0", DATA: {}}]]
    )
    ours = {**read, DATA: upgrade(cls, "1.0", {})}
    assert schema.canonical(ours) == schema.canonical(read)


def cells():
    """Cells of a stored topology: with each policy, with and without pinned CPUs."""
    for policy, pinned in itertools.product(("dedicated", "shared", "mixed", None), (None, [], [2, 3])):
        cell = {"id": 0, "cpuset": [0, 1], "memory": 512, "cpu_policy": policy}
        yield cell if pinned is None else cell | {"pcpuset": pinned, "cpuset": [] if pinned else [0, 1]}


@pytest.mark.parametrize("version", versions("InstanceNUMACell"))
def test_pinned_cpus_are_moved_as_nova_moves_them_in_its_records(peer, schema, version):
    moved = 0
    for cell in cells():
        if version in {"1.5", "1.6"} and "pcpuset" not in cell:
            continue  # these versions always have it, and Nova takes that for granted
        primitive = {
            NAME: "InstanceNUMACell",
            "nova_object.namespace": "nova",
            "nova_object.version": version,
            DATA: cell,
        }
        topology = primitive | {NAME: "InstanceNUMATopology", "nova_object.version": "1.3"}
        topology[DATA] = {"cells": [primitive], "instance_uuid": "6c2b9f0e-5d0a-4b0e-9a53-3f6f5b0c7d11"}
        read = peer.ask("stored", topology)[DATA]["cells"][0]
        ours = primitive | {DATA: upgrade("InstanceNUMACell", version, cell)}
        assert schema.canonical(ours)[DATA] == schema.canonical(read)[DATA], cell
        moved += ours[DATA].get("pcpuset") != cell.get("pcpuset")
    assert bool(moved) == (version in {"1.4", "1.5"})
