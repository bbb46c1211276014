"""The NUMA cells of a host, and what is free in them."""

from __future__ import annotations

import pytest
from hypothesis import given

import numa_cases as cases
from novastate.errors import InvalidField, WireError
from novastate.objects import (
    UNSET,
    ComputeNode,
    InstanceNUMACell,
    InstanceNUMATopology,
    NUMACell,
    NUMAPagesTopology,
    NUMATopology,
    evolve,
    numa_fit,
    numa_usage,
)
from novastate.objects.host_numa import set_topology, topology_of

CELL = NUMACell(
    id=0,
    cpuset={0, 1},
    pcpuset={2, 3, 4, 5},
    pinned_cpus={2},
    siblings=[{0, 1}, {2, 3}, {4, 5}],
    memory=4096,
    memory_usage=1024,
    mempages=[
        NUMAPagesTopology(size_kb=4, total=524_288),
        NUMAPagesTopology(size_kb=2048, total=1024, used=512, reserved=12),
    ],
)


def test_what_is_free_is_what_is_there_less_what_is_taken():
    assert CELL.free_pcpus == {3, 4, 5}
    assert CELL.avail_pcpus == 3
    assert CELL.free_siblings == (frozenset(), {3}, {4, 5})
    assert CELL.avail_memory == 3072


def test_reserved_pages_are_not_free():
    huge = CELL.mempages[1]
    assert (huge.free, huge.free_kb, huge.total_kb) == (500, 1_024_000, 2_097_152)


@pytest.mark.parametrize(
    ("size", "memory_kb", "free", "total"),
    [
        (2048, 1_024_000, True, True),
        (2048, 1_026_048, False, True),
        (2048, 2_097_152, False, True),
        (2048, 2_099_200, False, False),
        (2048, 2049, False, False),  # no whole pages
        (4, 2_097_152, True, True),
        (4, 0, True, True),
    ],
)
def test_memory_fits_into_whole_pages(size, memory_kb, free, total):
    assert CELL.can_fit_pagesize(size, memory_kb) is free
    assert CELL.can_fit_pagesize(size, memory_kb, use_free=False) is total


def test_pages_of_a_size_that_is_not_there_are_refused_with_those_that_are():
    with pytest.raises(InvalidField, match="no pages of this size") as refused:
        CELL.can_fit_pagesize(1_048_576, 1)
    assert refused.value.allowed == (2048, 4)


def test_threads_are_seen():
    assert CELL.has_threads
    assert not NUMACell(id=1, pcpuset={0, 1}, siblings=[{0}, {1}], memory=1).has_threads
    assert NUMATopology(cells=[CELL]).has_threads
    assert not NUMATopology().has_threads


def test_a_topology_finds_its_cells():
    host = NUMATopology(cells=[CELL])
    assert host.cell(0) is CELL
    assert host.free_pcpus == {3, 4, 5}
    with pytest.raises(InvalidField, match="no such cell"):
        host.cell(1)


@pytest.mark.parametrize("pagesize", [None, -1, -2, -3, 4, 1_048_576])
def test_a_guest_asks_for_a_page_size_or_for_a_kind_of_it(pagesize):
    assert InstanceNUMACell(id=0, memory=1, pagesize=pagesize).pagesize == pagesize


def test_there_is_no_fourth_kind_of_page_size():
    with pytest.raises(InvalidField, match="pagesize"):
        InstanceNUMACell(id=0, memory=1, pagesize=-4)


def node(**fields):
    return ComputeNode(host="cmp-a", vcpus=8, memory_mb=4096, **fields)


@given(cases.hosts())
def test_a_node_keeps_its_topology_as_a_text(host):
    kept = node()
    set_topology(kept, host)
    assert topology_of(kept) == host
    assert '"nova_object.name":"NUMATopology"' in kept.numa_topology


def test_a_node_without_a_topology_has_none():
    kept = node(numa_topology="{}")
    set_topology(kept, None)
    assert kept.numa_topology is None
    assert topology_of(kept) is None


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[",
        '{"nova_object.name":"Flavor","nova_object.namespace":"nova","nova_object.version":"1.2","nova_object.data":{}}',
    ],
)
def test_a_text_that_is_no_topology_is_refused(text):
    with pytest.raises(WireError):
        topology_of(node(numa_topology=text))


def test_a_host_of_which_a_part_was_never_loaded_is_refused_by_its_field():
    host = NUMATopology(cells=[evolve(NUMACell(id=0, cpuset={0}, memory=64), mempages=UNSET)])
    guest = InstanceNUMATopology(cells=[InstanceNUMACell(id=0, cpuset={0}, memory=1)])
    for ask in (numa_fit.fit, numa_fit.why_not, numa_usage.use, numa_usage.free):
        with pytest.raises(InvalidField, match=r"numa_topology\.cells\[0\]\.mempages: was never loaded"):
            ask(host, guest)
