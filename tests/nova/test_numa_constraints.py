"""What a flavor and an image ask for is what the real Nova understands; what it refuses is refused."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nova.client import NovaError
from nova.test_numa import lies
from novastate.errors import InvalidField
from novastate.objects import Flavor, ImageMeta, ImageMetaProps
from novastate.objects.cpu_spec import MOST, parse_cpu_spec
from novastate.objects.numa_constraints import numa_topology_of
from novastate.objects.totals import resources

MANY = settings(max_examples=1000, deadline=None)

SPECS = {
    "hw:numa_nodes": ["1", "2", "2", "4", "0", "-1", "two"],
    "hw:numa_cpus.0": ["0-1", "0-3", "0-3,^2", "0,2", "0-9"],
    "hw:numa_cpus.1": ["2-3", "1,3", "3"],
    "hw:numa_mem.0": ["512", "256", "1024", "x"],
    "hw:numa_mem.1": ["512", "768"],
    "hw:cpu_policy": ["dedicated", "dedicated", "mixed", "mixed", "shared", "pinned"],
    "hw:cpu_thread_policy": ["prefer", "isolate", "require", "none"],
    "hw:emulator_threads_policy": ["share", "isolate", "keep"],
    "hw:cpu_dedicated_mask": ["0-1", "^0", "0-3", "7", "^0-3"],
    "hw:cpu_realtime": ["yes", "no", "True"],
    "hw:cpu_realtime_mask": ["^0", "2-3", "0-9"],
    "hw:mem_page_size": ["small", "large", "any", "2048", "2MB", "1GiB", "1.5KB", "2 MB", "huge", "0"],
    "hw:pmem": ["4GB", " , "],
    "hw:locked_memory": ["true", "false"],
    "resources:VCPU": ["4", "0", "x"],
    "resources1:PCPU": ["4", "5", "2"],
    "trait:HW_CPU_HYPERTHREADING": ["required", "forbidden"],
}
PROPERTIES = {
    "hw_numa_nodes": [1, 2, 0],
    "hw_numa_cpus": [[[0, 1], [2, 3]], [[0, 1, 2, 3]], [[0], [0, 1, 2, 3]]],
    "hw_numa_mem": [[512, 512], [1024], [256, 256]],
    "hw_cpu_policy": ["dedicated", "mixed", "shared"],
    "hw_cpu_thread_policy": ["prefer", "isolate", "require"],
    "hw_cpu_realtime_mask": ["^0", "1"],
    "hw_mem_page_size": ["large", "2048", "1GB"],
    "hw_locked_memory": [True, False],
    "traits_required": [["HW_CPU_HYPERTHREADING"], []],
}


def some(of, most):
    """A few of the names, each with one of its values."""
    names = st.sets(st.sampled_from(sorted(of)), max_size=most)
    return names.flatmap(
        lambda chosen: st.fixed_dictionaries({name: st.sampled_from(of[name]) for name in sorted(chosen)})
    )


CELLS = {
    "hw:numa_nodes": "2",
    "hw:numa_cpus.0": "0-1",
    "hw:numa_cpus.1": "2-3",
    "hw:numa_mem.0": "512",
    "hw:numa_mem.1": "512",
}
BEGUN = st.sampled_from(
    [{}, {}, CELLS, {"hw:cpu_policy": "mixed"}, {"hw:cpu_policy": "dedicated"}, {"hw:mem_page_size": "any"}]
)


@MANY
@given(st.sampled_from([4, 4, 3]), BEGUN, some(SPECS, 3), some(PROPERTIES, 2))
def test_flavor_and_image_ask_for_what_nova_understands(peer, vcpus, begun, specs, properties):
    specs = begun | specs
    flavor = Flavor(vcpus=vcpus, memory_mb=1024, extra_specs=specs)
    try:
        asked = numa_topology_of(flavor, ImageMeta(properties=ImageMetaProps(**properties)))
    except InvalidField as refused:
        ours = refused
    else:
        ours = asked and {
            "cells": [
                plain | {"cpu_policy": cell.cpu_policy, "cpu_thread_policy": cell.cpu_thread_policy}
                for plain, cell in zip(lies(asked), asked.cells, strict=True)
            ],
            "emulator_threads_policy": asked.emulator_threads_policy,
        }
    (novas,) = peer.ask_many("numa_constraints", [[vcpus, 1024, specs, properties]])
    if isinstance(ours, InvalidField) or isinstance(novas, NovaError):
        assert isinstance(ours, InvalidField), novas
        assert isinstance(novas, NovaError), ours
    else:
        assert ours == novas


ASKED = {
    name: SPECS[name]
    for name in ("hw:cpu_policy", "hw:cpu_dedicated_mask", "hw:emulator_threads_policy", "hw:cpu_realtime")
}
ASKED |= {
    "resources:VCPU": ["0", "3", "x", "-1"],
    "resources:MEMORY_MB": ["512"],
    "resources_x:MEMORY_MB": ["1"],
    "resources:DISK_GB": ["0", "7"],
    "resources1:VGPU": ["1"],
    "resources2:VGPU": ["1"],
}


@MANY
@given(
    some(ASKED, 3),
    some({"hw_cpu_policy": PROPERTIES["hw_cpu_policy"]}, 1),
    st.sampled_from([0, 1, 1024, 1500]),
    st.booleans(),
)
def test_a_guest_takes_what_nova_asks_placement_for(peer, specs, properties, swap, volume_backed):
    own = {"vcpus": 4, "memory_mb": 1024, "root_gb": 20, "ephemeral_gb": 1, "swap": swap, "extra_specs": specs}
    (novas,) = peer.ask_many("resources", [[own, properties, volume_backed]])
    try:
        ours = resources(Flavor(**own), ImageMeta(properties=ImageMetaProps(**properties)), volume_backed=volume_backed)
    except InvalidField:
        ours = None
    assert ours == (None if isinstance(novas, NovaError) else novas)


#: No greater numbers: Nova would count up to them.
PARTS = st.text(alphabet="0123-^ ", max_size=6) | st.sampled_from(["0-3", "^2", "8 - 9", "^1-2", "12", "3-1", "^"])


@MANY
@given(st.lists(PARTS, max_size=4).map(",".join))
def test_cpus_are_read_as_nova_reads_them(peer, text):
    (novas,) = peer.ask_many("cpu_spec", [[text]])
    try:
        ours = sorted(parse_cpu_spec(text))
    except InvalidField:
        assert isinstance(novas, NovaError) or max(novas, default=0) > MOST
    else:
        assert ours == novas
