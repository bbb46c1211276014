"""Migration contexts are applied and flavors kept as the real Nova does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate.objects import Flavor, MigrationContext, migration_context, nova
from novastate.objects.resize import save_flavor_info
from novastate.testing import strategies

MANY = settings(max_examples=100, deadline=None)
STEPS = {"apply": migration_context.apply, "revert": migration_context.revert}


@MANY
@given(
    strategies.instances(
        migration_context=st.none()
        | strategies.records(MigrationContext, partial=True, instance_uuid=strategies.uuids()),
        **dict.fromkeys(migration_context.MOVED),
    ),
    st.sampled_from(sorted(STEPS)),
)
def test_an_instance_has_what_novas_would_have(peer, server, step):
    novas = peer.ask("migration_context", nova.dump(server), step)
    STEPS[step](server)
    data = nova.dump(server)["nova_object.data"]
    assert {name: without_changes(data.get(name)) for name in migration_context.MOVED} == without_changes(novas)


def without_changes(primitive):
    """A primitive without its notes on what has changed; sets and other lists of scalars in one order."""
    if isinstance(primitive, dict):
        return {name: without_changes(held) for name, held in primitive.items() if name != "nova_object.changes"}
    if isinstance(primitive, (list, tuple)):
        held = [without_changes(one) for one in primitive]
        return held if any(isinstance(one, (dict, list)) for one in held) else sorted(held, key=repr)
    return primitive


@pytest.mark.parametrize("revert", [False, True])
@MANY
@given(context=strategies.records(MigrationContext, instance_uuid=strategies.uuids()))
def test_devices_are_matched_as_nova_matches_them(peer, context, revert):
    ours = migration_context.pci_mapping(context, revert=revert)
    assert {old: new.address for old, new in ours.items()} == peer.ask("pci_mapping", nova.dump(context), revert)


@MANY
@given(
    st.integers(1, 99), st.integers(0, 9999), st.none() | st.integers(0, 5),
    st.dictionaries(st.sampled_from(["hw:numa_cpus.0", "hw:numa_mem.1", "hw:cpu_policy", "hw:numa_nodes"]), st.text(max_size=3)),
    st.sampled_from(["", "old_", "new_"]),
)  # fmt: skip
def test_a_flavor_is_kept_under_novas_keys(peer, vcpus, memory_mb, weight, specs, prefix):
    own = {
        "id": 1, "name": "n", "flavorid": "f", "vcpus": vcpus, "memory_mb": memory_mb, "root_gb": 1, "ephemeral_gb": 0,
        "swap": 0, "rxtx_factor": 1.0, "vcpu_weight": weight, "extra_specs": specs,
    }  # fmt: skip
    assert save_flavor_info({}, Flavor(**own), prefix) == peer.ask("save_flavor_info", own, prefix)
