"""What a flavor and an image ask for, and how a contradiction is named."""

from __future__ import annotations

import pytest

from novastate.errors import InvalidField
from novastate.objects import Flavor, ImageMeta, ImageMetaProps
from novastate.objects.numa_constraints import numa_topology_of

TWO = {
    "hw:numa_nodes": "2",
    "hw:numa_cpus.0": "0-2",
    "hw:numa_cpus.1": "3",
    "hw:numa_mem.0": "768",
    "hw:numa_mem.1": "256",
}


def asked(specs=(), **properties):
    flavor = Flavor(vcpus=4, memory_mb=1024, extra_specs=dict(specs))
    return numa_topology_of(flavor, ImageMeta(properties=ImageMetaProps(**properties)))


def only(specs=(), **properties):
    (cell,) = asked(specs, **properties).cells
    return cell


def test_who_asks_for_nothing_has_no_topology():
    assert numa_topology_of(Flavor(vcpus=1, memory_mb=1)) is None
    assert numa_topology_of(Flavor(vcpus=1, memory_mb=1), ImageMeta()) is None
    assert asked({"hw:cpu_policy": "shared", "hw:pmem": " "}) is None


def test_cells_share_evenly_or_as_they_are_told():
    assert [(c.cpuset, c.memory) for c in asked({"hw:numa_nodes": "2"}).cells] == [({0, 1}, 512), ({2, 3}, 512)]
    assert [(c.cpuset, c.memory) for c in asked(TWO).cells] == [({0, 1, 2}, 768), ({3}, 256)]


def test_an_image_asks_where_the_flavor_does_not():
    cells = asked(hw_numa_nodes=2, hw_numa_cpus=[{0}, {1, 2, 3}], hw_numa_mem=[512, 512]).cells
    assert [cell.cpuset for cell in cells] == [{0}, {1, 2, 3}]
    assert only(hw_cpu_policy="dedicated", hw_cpu_thread_policy="isolate").cpu_thread_policy == "isolate"


@pytest.mark.parametrize(
    ("specs", "pinned"),
    [
        ({"hw:cpu_policy": "dedicated"}, {0, 1, 2, 3}),
        ({"resources:PCPU": "4"}, {0, 1, 2, 3}),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"}, {1, 2, 3}),
        ({"hw:cpu_policy": "mixed", "hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "2-3"}, {2, 3}),
        ({"hw:pmem": "4GB"}, set()),
    ],
)
def test_cpus_are_pinned_or_float(specs, pinned):
    cell = only(specs)
    assert cell.pcpuset == pinned
    assert cell.cpuset == {0, 1, 2, 3} - pinned


@pytest.mark.parametrize(
    ("flavor", "image", "size"),
    [
        ("small", None, -1),
        ("large", None, -2),
        ("any", None, -3),
        ("2048", None, 2048),
        ("2MB", None, 2048),
        ("1GiB", None, 1048576),
        ("16Kb", None, 2),
        ("any", "large", -2),
        ("large", "1GB", 1048576),
    ],
)
def test_pages_have_a_size_or_a_kind(flavor, image, size):
    image = {} if image is None else {"hw_mem_page_size": image}
    assert only({"hw:mem_page_size": flavor}, **image).pagesize == size


@pytest.mark.parametrize(("trait", "policy"), [("required", "require"), ("forbidden", "isolate")])
def test_a_trait_on_threads_is_a_thread_policy(trait, policy):
    specs = {"hw:cpu_policy": "dedicated", "trait:HW_CPU_HYPERTHREADING": trait}
    assert only(specs).cpu_thread_policy == policy


PINNED = {"hw:cpu_policy": "dedicated"}


@pytest.mark.parametrize(
    ("specs", "properties", "field", "problem"),
    [
        ({"hw:cpu_policy": "pinned"}, {}, "flavor.extra_specs['hw:cpu_policy']", "allowed: dedicated, shared, mixed"),
        ({"hw:cpu_policy": "shared"}, {"hw_cpu_policy": "dedicated"}, "image_meta.properties.hw_cpu_policy", "the flavor's"),
        ({"hw:numa_nodes": "3"}, {}, "flavor.extra_specs['hw:numa_nodes']", "does not divide 4 vcpus and 1024 MiB"),
        ({"hw:numa_nodes": "0"}, {}, "flavor.extra_specs['hw:numa_nodes']", "1 or more"),
        ({}, {"hw_numa_nodes": 0}, "image_meta.properties.hw_numa_nodes", "1 or more"),
        ({"hw:numa_nodes": "2"}, {"hw_numa_nodes": 2}, "image_meta.properties.hw_numa_nodes", "the flavor's"),
        (TWO | {"hw:numa_nodes": "1"}, {}, "flavor.extra_specs['hw:numa_nodes']", "2 hw:numa_cpus.N"),
        (TWO | {"hw:numa_cpus.1": "3-4"}, {}, "flavor.extra_specs['hw:numa_cpus.1']", "has CPUs 4; the flavor has 0-3"),
        (TWO | {"hw:numa_cpus.1": "2-3"}, {}, "flavor.extra_specs['hw:numa_cpus.1']", "CPUs 2, which another cell has"),
        (TWO | {"hw:numa_cpus.0": "0"}, {}, "flavor.extra_specs['hw:numa_cpus.0']", "leave out CPUs 1-2"),
        (TWO | {"hw:numa_mem.0": "512"}, {}, "flavor.extra_specs['hw:numa_mem.0']", "make 768 MiB; the flavor has 1024"),
        (TWO | {"hw:numa_mem.0": "much"}, {}, "flavor.extra_specs['hw:numa_mem.0']", "whole number of MiB"),
        (PINNED | {"hw:cpu_dedicated_mask": "0"}, {}, "flavor.extra_specs['hw:cpu_dedicated_mask']", "needs hw:cpu_policy=mixed"),
        ({"hw:cpu_policy": "mixed"}, {}, "flavor.extra_specs['hw:cpu_policy']", "needs hw:cpu_dedicated_mask"),
        ({"hw:cpu_thread_policy": "isolate"}, {}, "flavor.extra_specs['hw:cpu_thread_policy']", "needs dedicated CPUs"),
        ({"hw:emulator_threads_policy": "isolate"}, {}, "flavor.extra_specs['hw:emulator_threads_policy']", "needs dedicated"),
        ({"resources:PCPU": "5"}, {}, "flavor.extra_specs['resources:PCPU']", "allowed: 4"),
        ({"hw:cpu_realtime": "yes"}, {}, "flavor.extra_specs['hw:cpu_realtime_mask']", "must leave a CPU out"),
        ({}, {"hw_mem_page_size": "large"}, "image_meta.properties.hw_mem_page_size", "only where the flavor says any or large"),
        ({"hw:mem_page_size": "huge"}, {}, "flavor.extra_specs['hw:mem_page_size']", "allowed: small, large, any"),
        ({"hw:mem_page_size": "2048"}, {"hw_mem_page_size": "4"}, "image_meta.properties.hw_mem_page_size", "the flavor's"),
        ({"hw:locked_memory": "true"}, {}, "flavor.extra_specs['hw:locked_memory']", "needs hw:mem_page_size"),
    ],
)  # fmt: skip
def test_a_contradiction_names_its_property(specs, properties, field, problem):
    with pytest.raises(InvalidField) as refused:
        asked(specs, **properties)
    assert refused.value.field == field
    assert problem in str(refused.value)
