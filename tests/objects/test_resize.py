"""Flavors on resize: as fields, and as the texts of old instances."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.errors import InvalidField
from novastate.objects import UNSET, Flavor, evolve
from novastate.objects.resize import (
    begin_resize,
    confirm_resize,
    delete_flavor_info,
    extract_flavor_info,
    finish_resize,
    revert_resize,
    save_flavor_info,
)
from novastate.testing import strategies
from object_records import instance

SMALL = Flavor(id=1, flavorid="s", name="small", vcpus=1, memory_mb=512, root_gb=10, ephemeral_gb=1)
LARGE = Flavor(id=2, flavorid="l", name="large", vcpus=8, memory_mb=8192, root_gb=80, swap=512)


def sizes(server):
    return (server.instance_type_id, server.vcpus, server.memory_mb, server.root_gb, server.ephemeral_gb)


def resized():
    server = instance(flavor=SMALL)
    begin_resize(server, LARGE)
    finish_resize(server)
    return server


def test_a_resize_that_has_begun_changes_nothing_yet():
    server = instance(flavor=SMALL)
    begin_resize(server, LARGE)
    assert (server.flavor, server.old_flavor, server.new_flavor) == (SMALL, UNSET, LARGE)


def test_a_finished_resize_keeps_what_was():
    server = resized()
    assert (server.flavor, server.old_flavor, server.new_flavor) == (LARGE, SMALL, LARGE)
    assert sizes(server) == (2, 8, 8192, 80, 0)


def test_finishing_twice_does_not_forget_the_old_flavor():
    server = resized()
    finish_resize(server)
    assert server.old_flavor == SMALL


def test_a_cold_migration_keeps_its_flavor_as_the_old_one_too():
    server = instance(flavor=SMALL)
    begin_resize(server, SMALL)
    finish_resize(server)
    assert (server.flavor, server.old_flavor) == (SMALL, SMALL)


def test_a_confirmed_resize_leaves_the_new_flavor_alone():
    server = resized()
    confirm_resize(server)
    assert (server.flavor, server.old_flavor, server.new_flavor) == (LARGE, None, None)


def test_a_reverted_resize_leaves_the_old_flavor_alone():
    server = resized()
    revert_resize(server)
    assert (server.flavor, server.old_flavor, server.new_flavor) == (SMALL, None, None)
    assert sizes(server) == (1, 1, 512, 10, 1)


@pytest.mark.parametrize("step", [finish_resize, revert_resize])
@pytest.mark.parametrize("held", [None, UNSET])
def test_a_step_without_its_flavor_is_refused_and_changes_nothing(step, held):
    server = instance(flavor=SMALL, old_flavor=held, new_flavor=held)
    with pytest.raises(InvalidField, match=r"instance\.(old|new)_flavor"):
        step(server)
    assert server == instance(flavor=SMALL, old_flavor=held, new_flavor=held)


# --- in system_metadata

KEPT = {"id", "name", "memory_mb", "vcpus", "root_gb", "ephemeral_gb", "flavorid", "swap", "rxtx_factor", "vcpu_weight"}


@given(strategies.flavors(), st.sampled_from(["", "old_", "new_"]))
def test_what_is_saved_is_found_again(flavor, prefix):
    saved = save_flavor_info({"image_min_disk": "1"}, flavor, prefix)
    found = extract_flavor_info(saved, prefix)
    kept = {k: v for k, v in flavor.extra_specs.items() if k.startswith(("hw:numa_cpus.", "hw:numa_mem."))}
    for name in KEPT - {"rxtx_factor", "vcpu_weight", "name"}:
        assert (getattr(found, name) or None) == (getattr(flavor, name) or None)
    assert found.extra_specs == kept
    assert delete_flavor_info(saved, prefix) == {"image_min_disk": "1"}


def test_the_keys_are_novas():
    specs = {"hw:numa_mem.0": "512", "hw:numa_cpus.0": "0-1", "hw:cpu_policy": "dedicated"}
    saved = save_flavor_info({}, evolve(SMALL, extra_specs=specs), "old_")
    assert saved == {
        "old_instance_type_id": "1",
        "old_instance_type_name": "small",
        "old_instance_type_memory_mb": "512",
        "old_instance_type_vcpus": "1",
        "old_instance_type_root_gb": "10",
        "old_instance_type_ephemeral_gb": "1",
        "old_instance_type_flavorid": "s",
        "old_instance_type_swap": "0",
        "old_instance_type_rxtx_factor": "1.0",
        "old_instance_type_vcpu_weight": None,
        "old_instance_type_extra_hw:numa_mem.0": "512",
        "old_instance_type_extra_hw:numa_cpus.0": "0-1",
    }


def test_a_flavor_that_is_saved_replaces_the_one_before():
    first = save_flavor_info({}, evolve(SMALL, extra_specs={"hw:numa_mem.0": "512"}))
    assert extract_flavor_info(save_flavor_info(first, LARGE)).extra_specs == {}


def test_each_flavor_has_its_place():
    kept = save_flavor_info(save_flavor_info(save_flavor_info({}, SMALL), LARGE, "new_"), SMALL, "old_")
    assert extract_flavor_info(kept).name == "small"
    assert extract_flavor_info(kept, "new_").name == "large"
    left = delete_flavor_info(kept, "old_", "new_")
    assert extract_flavor_info(left, "old_") is None
    assert extract_flavor_info(left).name == "small"
    assert delete_flavor_info(left) == left


def test_a_text_that_is_no_number_is_named():
    with pytest.raises(
        InvalidField, match=r"system_metadata\['old_instance_type_vcpus'\]: must be a number, got 'two'"
    ):
        extract_flavor_info({"old_instance_type_vcpus": "two"}, "old_")


@pytest.mark.parametrize("lacking", ["vcpus", "memory_mb"])
def test_half_a_flavor_is_refused(lacking):
    saved = save_flavor_info({}, SMALL)
    del saved[f"instance_type_{lacking}"]
    with pytest.raises(InvalidField, match=f"instance_type_{lacking}"):
        extract_flavor_info(saved)


def test_the_extra_specs_of_numa_cells_come_back_with_their_values():
    small = Flavor(
        vcpus=1, memory_mb=64, extra_specs={"hw:numa_mem.0": "512", "hw:numa_cpus.0": "0-1", "quota:cpu": "1"}
    )
    saved = save_flavor_info({}, small, "new_")
    assert extract_flavor_info(saved, "new_").extra_specs == {"hw:numa_mem.0": "512", "hw:numa_cpus.0": "0-1"}
