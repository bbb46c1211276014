"""Laying a guest's NUMA cells on a host's: what always holds, each rule by its smallest case, and why a guest does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import numa_cases as cases
from novastate.errors import InvalidField
from novastate.objects import (
    InstanceNUMACell,
    InstanceNUMATopology,
    InstancePCIRequest,
    InstancePCIRequests,
    NetworkMetadata,
    NUMACell,
    NUMAPagesTopology,
    NUMATopology,
    NUMATopologyLimits,
    PciDevicePool,
    evolve,
)
from novastate.objects.numa_fit import fit, why_not
from novastate.objects.numa_usage import free, unplace, use

THREADS = [{0, 4}, {1, 5}, {2, 6}, {3, 7}]


def host(*cells):
    return NUMATopology(cells=cells)


def cell(number=0, siblings=THREADS, pinned=(), cpuset=(), memory=1024, **more):
    cpus = frozenset().union(*siblings)
    return NUMACell(
        id=number, pcpuset=cpus, cpuset=cpuset, siblings=siblings, pinned_cpus=pinned, memory=memory, **more
    )


def guest(*cells, **more):
    return InstanceNUMATopology(cells=cells, **more)


def pinned(cpus=2, threads=None, memory=128, number=0, **more):
    cpus = set(range(cpus)) if isinstance(cpus, int) else cpus
    return InstanceNUMACell(
        id=number, pcpuset=cpus, cpu_policy="dedicated", cpu_thread_policy=threads, memory=memory, **more
    )


def floating(cpus=2, memory=128, number=0, **more):
    return InstanceNUMACell(id=number, cpuset=set(range(cpus)), memory=memory, **more)


# --- what always holds


@given(cases.hosts(), cases.guests())
def test_no_cpu_is_used_twice_and_none_that_is_taken(on, who):
    placed = fit(on, who)
    if placed is None:
        return
    assert len({one.id for one in placed.cells}) == len(who.cells)
    for one, wanted in zip(placed.cells, who.cells, strict=True):
        pins = list((one.cpu_pinning_raw or {}).values()) + sorted(one.cpuset_reserved or ())
        assert len(pins) == len(set(pins))
        assert set(pins) <= on.cell(one.id).free_pcpus
        assert {int(cpu) for cpu in one.cpu_pinning_raw or {}} == wanted.pcpuset


@given(cases.hosts(), cases.guests())
def test_thread_policies_are_kept(on, who):
    placed = fit(on, who)
    for one in placed.cells if placed else ():
        pins = set((one.cpu_pinning_raw or {}).values())
        cores = sorted(len(core & pins) for core in on.cell(one.id).siblings if core & pins)
        if one.cpu_thread_policy == "isolate":
            assert set(cores) <= {1}
        if one.cpu_thread_policy == "require":
            assert all(many > 1 for many in cores[1:])  # only the last core may be left with one


@given(cases.hosts(), cases.guests())
def test_what_was_used_is_given_back(on, who):
    placed = fit(on, who)
    if placed is not None:
        assert free(use(on, placed), placed) == on


@given(cases.hosts(), cases.guests())
def test_what_is_used_is_what_the_guest_has(on, who):
    placed = fit(on, who)
    if placed is None:
        return
    used = use(on, placed)
    assert sum(c.memory_usage for c in used.cells) - sum(c.memory_usage for c in on.cells) == sum(
        c.memory for c in who.cells
    )
    assert sum(c.cpu_usage for c in used.cells) - sum(c.cpu_usage for c in on.cells) == sum(
        len(c.cpuset) for c in who.cells
    )
    for before, after in zip(on.cells, used.cells, strict=True):
        assert (
            all(pages.free >= 0 for pages in after.mempages)
            or any(p.free < 0 for p in before.mempages)
            or (
                who.cells[0].pagesize is None  # the smallest pages may be overcommitted
            )
        )


@given(cases.hosts(), cases.guests())
def test_a_host_is_full_after_so_many_pinned_guests_as_it_has_cpus(on, who):
    if not all(one.pcpuset for one in who.cells):
        return
    for _ in range(len(on.free_pcpus)):
        placed = fit(on, who)
        if placed is None:
            return
        on = use(on, placed)
    assert fit(on, who) is None


@given(cases.hosts(), cases.guests(), st.none() | cases.limits())
def test_there_is_a_reason_where_there_is_no_fit(on, who, limits):
    assert (why_not(on, who, limits) == ()) == (fit(on, who, limits) is not None)


# --- pinning


@pytest.mark.parametrize(
    ("threads", "siblings", "taken", "cpus", "pins"),
    [
        (None, THREADS, (), 2, [0, 4]),
        ("prefer", THREADS, (), 2, [0, 4]),
        ("require", THREADS, (), 2, [0, 4]),
        ("require", THREADS, (), 3, [0, 4, 1]),
        ("prefer", THREADS, {0}, 2, [1, 5]),
        ("prefer", THREADS, {0, 1, 2}, 4, [4, 5, 6, 3]),  # one whole core is not enough for four
        ("prefer", THREADS, {0, 1, 2}, 5, [4, 5, 6, 3, 7]),  # the last way: any CPU
        ("prefer", THREADS, {0, 1, 2, 3}, 4, [4, 5, 6, 7]),
        ("require", THREADS, {0, 1, 2}, 3, None),
        ("require", [{0}, {1}], (), 2, None),
        ("isolate", [{0}, {1}, {2}], (), 2, [0, 1]),
        ("isolate", [{0}, {1}, {2}], {0}, 2, [1, 2]),
        ("isolate", THREADS, (), 2, None),  # its siblings could be given to another guest
        (None, [{8, 1}, {2, 9}], (), 4, [1, 8, 2, 9]),
    ],
)
def test_cpus_are_pinned_by_the_thread_policy(threads, siblings, taken, cpus, pins):
    placed = fit(host(cell(siblings=siblings, pinned=taken)), guest(pinned(cpus, threads)))
    assert (placed and list(placed.cells[0].cpu_pinning_raw.values())) == pins


def test_an_old_host_leaves_the_siblings_of_an_isolated_guest_idle():
    old = host(cell(cpuset=set(range(8))))
    placed = fit(old, guest(pinned(2, "isolate")))
    assert placed.cells[0].cpu_pinning_raw == {"0": 0, "1": 1}
    used = use(old, placed)
    assert used.cells[0].pinned_cpus == {0, 4, 1, 5}
    assert free(used, placed) == old


@pytest.mark.parametrize(
    ("cpus", "threads", "siblings", "pins", "reserved"),
    [
        (2, None, THREADS, [0, 4], {1}),
        (3, None, THREADS, [0, 4, 1], {5}),
        (8, None, THREADS, None, None),
        (2, "isolate", [{0}, {1}, {2}], [0, 1], {2}),
        (3, "isolate", [{0}, {1}, {2}], None, None),
    ],
)
def test_isolated_emulator_threads_get_a_cpu_beside_the_first_cell(cpus, threads, siblings, pins, reserved):
    placed = fit(host(cell(siblings=siblings)), guest(pinned(cpus, threads), emulator_threads_policy="isolate"))
    if pins is None:
        assert placed is None
    else:
        assert list(placed.cells[0].cpu_pinning_raw.values()) == pins
        assert placed.cells[0].cpuset_reserved == reserved


def test_isolated_emulator_threads_of_an_isolated_guest_get_a_core_that_can_be_claimed():
    who = guest(pinned(1, "isolate"), emulator_threads_policy="isolate")
    on = host(cell(cpuset=set(range(8)), pinned={4}))  # of core {0, 4} a part is taken
    placed = fit(on, who)
    assert (placed.cells[0].cpu_pinning_raw, placed.cells[0].cpuset_reserved) == ({"0": 1}, {2})
    assert use(on, placed).cells[0].pinned_cpus == {4, 1, 5, 2, 6}


def test_a_mixed_guest_floats_and_is_pinned():
    mixed = InstanceNUMACell(id=0, cpuset={0}, pcpuset={1, 2}, cpu_policy="mixed", memory=1)
    on = host(cell(siblings=[{2}, {3}], cpuset={0, 1}))
    placed = fit(on, guest(mixed))
    assert placed.cells[0].cpu_pinning_raw == {"1": 2, "2": 3}
    used = use(on, placed)
    assert (used.cells[0].cpu_usage, used.cells[0].pinned_cpus) == (1, {2, 3})


# --- memory

PAGES = [
    NUMAPagesTopology(size_kb=4, total=65536),
    NUMAPagesTopology(size_kb=2048, total=128, used=64),
    NUMAPagesTopology(size_kb=1048576, total=2),
]


@pytest.mark.parametrize(
    ("asked", "memory", "chosen"),
    [
        (None, 256, None),
        (-1, 256, 4),
        (-1, 257, False),
        (-2, 1024, 1048576),
        (-2, 128, 2048),  # not a multiple of 1 GiB
        (-2, 130, False),
        (-3, 130, 4),
        (-3, 2048, 1048576),
        (4, 256, 4),
        (2048, 128, 2048),
        (2048, 129, False),
        (65536, 64, False),  # the host has none
    ],
)
def test_memory_is_taken_in_pages_of_the_size_that_was_asked_for(asked, memory, chosen):
    on = host(cell(cpuset={0, 1, 2}, memory=4096, mempages=PAGES))
    placed = fit(on, guest(floating(memory=memory, pagesize=asked)))
    assert (placed.cells[0].pagesize if placed else False) == chosen


def test_who_asks_for_no_page_size_holds_the_smallest_pages():
    on = host(cell(cpuset={0, 1}, mempages=PAGES))
    used = use(on, fit(on, guest(floating(memory=1))))
    assert [pages.used for pages in used.cells[0].mempages] == [256, 64, 0]


@pytest.mark.parametrize(
    ("policy", "memory", "used", "fits"),
    [
        (None, 1024, 512, True),
        ("shared", 1024, 512, True),
        (None, 1025, 0, False),
        ("dedicated", 512, 512, True),
        ("dedicated", 513, 512, False),
    ],
)
def test_pinned_guests_do_not_overcommit_memory_and_others_not_against_themselves(policy, memory, used, fits):
    cpus = {"pcpuset": {0}} if policy == "dedicated" else {"cpuset": {0}}
    one = InstanceNUMACell(id=0, memory=memory, cpu_policy=policy, **cpus)
    assert (fit(host(cell(cpuset={0}, memory_usage=used)), guest(one)) is not None) == fits


@pytest.mark.parametrize(
    ("cpu", "ram", "fits"), [(1.0, 1.0, True), (0.5, 1.0, False), (1.0, 0.5, False), (16.0, 16.0, True)]
)
def test_limits_bound_what_all_guests_of_a_cell_have(cpu, ram, fits):
    limits = NUMATopologyLimits(cpu_allocation_ratio=cpu, ram_allocation_ratio=ram)
    on = host(cell(cpuset={0, 1, 2, 3}, cpu_usage=2, memory_usage=896))
    assert (fit(on, guest(floating()), limits) is not None) == fits


# --- which cells


def test_the_emptiest_cells_are_taken_or_with_pack_the_fullest():
    on = host(
        cell(0, cpuset={0, 1}, memory_usage=512), cell(1, cpuset={0, 1}), cell(2, cpuset={0, 1}, memory_usage=256)
    )
    assert [c.id for c in fit(on, guest(floating(), floating(number=1))).cells] == [1, 2]
    assert [c.id for c in fit(on, guest(floating(), floating(number=1)), pack=True).cells] == [0, 2]


def test_cells_with_devices_are_kept_for_who_asks_for_them():
    on = host(cell(0, cpuset={0, 1}), cell(1, cpuset={0, 1}))
    pools = [PciDevicePool(vendor_id="10de", product_id="1eb8", numa_node=0, count=1, tags={})]
    gpu = InstancePCIRequests(requests=[InstancePCIRequest(count=1, spec=[{"vendor_id": "10de"}])])
    assert fit(on, guest(floating()), pools=pools).cells[0].id == 1
    assert fit(on, guest(floating()), pools=pools, requests=gpu).cells[0].id == 0


def test_networks_keep_a_guest_to_the_cells_that_have_them():
    red = NetworkMetadata(physnets={"red"}, tunneled=True)
    on = host(cell(0, cpuset={0, 1}), cell(1, cpuset={0, 1}, network_metadata=red))
    for wanted, place in [
        (NetworkMetadata(physnets={"red"}), 1),
        (NetworkMetadata(tunneled=True), 1),
        (NetworkMetadata(physnets={"blue"}), 0),  # on no cell: near all
    ]:
        limits = NUMATopologyLimits(cpu_allocation_ratio=1, ram_allocation_ratio=1, network_metadata=wanted)
        assert fit(on, guest(floating()), limits).cells[0].id == place
    full = host(on.cells[0], evolve(on.cells[1], memory=0))
    limits = NUMATopologyLimits(cpu_allocation_ratio=1, ram_allocation_ratio=1, network_metadata=red)
    assert why_not(full, guest(floating()), limits) == (
        "guest cell 0 on host cell 1: 128 MiB needed, the cell has 0",
        "host cell 0: network red is on host cell 1",
    )


def test_what_was_tried_in_vain_does_not_spoil_what_fits():
    on, who = cases.MISLEADING
    assert [one.id for one in fit(on, who).cells] == [0, 1]


def test_many_cells_that_cannot_be_arranged_are_refused_in_time():
    cells = [cell(number, cpuset={0, 1}, socket=None) for number in range(12)]
    pools = [PciDevicePool(vendor_id="10de", product_id="1eb8", numa_node=99, count=1, tags={})]
    far = InstancePCIRequests(requests=[InstancePCIRequest(count=1, spec=[{"vendor_id": "10de"}])])
    who = guest(*(floating(number=number) for number in range(6)))
    assert fit(host(*cells), who, pools=pools, requests=far) is None  # 665,280 arrangements, 924 sets of cells


# --- why not


@pytest.mark.parametrize(
    ("on", "who", "why"),
    [
        (host(), guest(), "the guest has no NUMA cells"),
        (host(cell()), guest(pinned(), pinned()), "2 NUMA cells needed, the host has 1"),
        (host(cell(pinned={0})), guest(pinned(8)), "8 dedicated CPUs needed, 7 free"),
        (host(cell(cpuset={0})), guest(floating()), "2 CPUs needed, the cell has 1"),
        (host(cell(memory_usage=1000)), guest(pinned()), "128 MiB needed, 24 free"),
        (host(cell(mempages=PAGES)), guest(pinned(memory=512)), "512 MiB needed, 256 free in pages of 4 KiB"),
        (
            host(cell(mempages=PAGES)),
            guest(pinned(pagesize=-2, memory=130)),
            "130 MiB in large pages needed, 65536 of 4 KiB, 64 of 2048 KiB, 2 of 1048576 KiB free",
        ),
        (host(cell()), guest(pinned(pagesize=4)), "128 MiB in 4 KiB pages needed, no pages free"),
        (host(cell()), guest(pinned(threads="isolate")), "thread policy isolate: the host has threads"),
        (host(cell(pinned={0, 1, 2, 3})), guest(pinned(threads="isolate")), "no core is wholly free"),
        (host(cell(siblings=[{0}, {1}])), guest(pinned(threads="require")), "the host has no threads"),
        (
            host(cell(pinned={0, 1, 2})),
            guest(pinned(3, threads="require")),
            "thread policy require: free siblings for 3 CPUs needed, there are {4}, {5}, {6}, {3, 7}",
        ),
        (
            host(NUMACell(id=0, pcpuset={0, 1}, memory=1024)),
            guest(pinned()),
            "the host does not say which CPUs share a core",
        ),
    ],
)
def test_a_refusal_says_what_was_needed_and_what_there_is(on, who, why):
    (said,) = why_not(on, who)
    assert why in said


# --- usage


def test_a_cpu_is_not_pinned_twice_nor_freed_twice():
    on = host(cell())
    placed = fit(on, guest(pinned()))
    used = use(on, placed)
    with pytest.raises(InvalidField, match=r"pinned already on cell 0, got \[0, 4\]") as refused:
        use(used, placed)
    assert refused.value.allowed == (1, 2, 3, 5, 6, 7)
    with pytest.raises(InvalidField, match="not pinned on cell 0"):
        free(on, placed)
    with pytest.raises(InvalidField, match="not dedicated CPUs of cell 0"):
        use(host(cell(siblings=[{0}])), placed)


def test_a_guest_that_gives_up_its_place_keeps_what_it_wants():
    wanted = guest(pinned(), pinned(number=1, threads="require"))
    placed = fit(host(cell(0), cell(1, siblings=[{8, 9}])), wanted)
    again = unplace(placed)
    assert [(one.id, one.cpu_pinning_raw) for one in again.cells] == [(-1, {}), (-1, {})]
    assert [one.pcpuset for one in again.cells] == [one.pcpuset for one in wanted.cells]


def test_devices_that_are_nowhere_are_missed_before_cells_are_arranged():
    twenty = NUMATopology(
        cells=[NUMACell(id=n, cpuset={n}, pcpuset=set(), memory=64, siblings=[{n}]) for n in range(20)]
    )
    ten = InstanceNUMATopology(cells=[InstanceNUMACell(id=n, cpuset={n}, memory=1) for n in range(10)])
    wish = InstancePCIRequests(requests=[InstancePCIRequest(count=1, spec=[{"vendor_id": "10de"}])])
    reasons = why_not(twenty, ten, pools=(), requests=wish)
    assert len(reasons) == 1  # among 184,756 choices of cells there would be as many


def test_where_no_two_threads_are_free_together_each_core_gives_one():
    cores = NUMATopology(cells=[NUMACell(id=0, pcpuset={0, 8, 1, 2}, siblings=[{0, 8}, {1}, {2}], memory=64)])
    three = InstanceNUMATopology(cells=[InstanceNUMACell(id=0, pcpuset={0, 1, 2}, cpu_policy="dedicated", memory=1)])
    assert fit(cores, three).cells[0].cpu_pinning_raw == {"0": 0, "1": 1, "2": 2}
