"""Hosts and guests with NUMA cells, small enough that a guest often fits and often does not."""

from __future__ import annotations

from hypothesis import strategies as st

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
    PciDevice,
    PciDevicePool,
)

REQUEST_IDS = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(4)]
PROVIDERS = ["rp-a", "rp-b"]


def subsets(of):
    return st.sets(st.sampled_from(sorted(of))) if of else st.just(set())


@st.composite
def networks(draw):
    return NetworkMetadata(physnets=draw(st.sets(st.sampled_from(["red", "blue"]))), tunneled=draw(st.booleans()))


@st.composite
def mempages(draw, *, roomy=False):
    sizes = draw(st.sampled_from([(), (4,), (4, 2048), (2048, 4), (4, 2048, 1048576), (65536,)]))
    made = []
    for size in sizes:
        total = draw(st.integers(6 if roomy else 0, 8)) * max(1, 131_072 // size)
        used = draw(st.integers(0, total // (8 if roomy else 1)))
        made.append(NUMAPagesTopology(size_kb=size, total=total, used=used, reserved=draw(st.integers(0, 1))))
    return made


@st.composite
def host_cells(draw, number, first, kinds=("split", "split", "dedicated", "shared", "legacy"), *, roomy=False):
    """Cell *number*, whose CPUs are numbered from *first*; legacy hosts pin and float on the same CPUs.

    A *roomy* cell has most of what it has still free.
    """
    threads, cores = draw(
        st.sampled_from([(2, 4), (1, 8)] if roomy else [(1, 4), (2, 2), (2, 3), (2, 1), (4, 2), (1, 1)])
    )
    apart = draw(st.booleans())  # siblings are c and c + cores, or c and c + 1
    place = (lambda core, thread: core + thread * cores) if apart else (lambda core, thread: core * threads + thread)
    siblings = [{first + place(core, thread) for thread in range(threads)} for core in range(cores)]
    every = set().union(*siblings)
    kind = draw(st.sampled_from(kinds))
    halves = st.sampled_from([set().union(*siblings[cores // 2 :]), {min(core) for core in siblings}])
    dedicated = draw(halves if roomy else subsets(every)) if kind == "split" else every if kind != "shared" else set()
    pages = [] if roomy and draw(st.booleans()) else draw(mempages(roomy=roomy))
    return NUMACell(
        id=number,
        cpuset=every if kind == "legacy" else every - dedicated,
        pcpuset=dedicated,
        pinned_cpus=draw(subsets(sorted(dedicated)[:2] if roomy else dedicated)),
        siblings=siblings,
        memory=4096 if roomy else draw(st.sampled_from([0, 256, 512, 1024])),
        memory_usage=draw(st.sampled_from([0, 0, 128, 512])),
        cpu_usage=draw(st.sampled_from([0, 0, 1, 5])),
        mempages=pages,
        socket=draw(st.sampled_from([0, 0, 1, None])),
        **draw(st.one_of(st.just({}), networks().map(lambda network: {"network_metadata": network}))),
    )


@st.composite
def hosts(draw, most=4):
    count = draw(st.sampled_from(range(1, most + 1)))
    kind = draw(st.sampled_from(["", "split", "dedicated", "legacy", "shared"]))
    how = {"kinds": (kind,), "roomy": True} if kind else {}
    return NUMATopology(cells=[draw(host_cells(number, number * 8, **how)) for number in range(count)])


@st.composite
def guests(draw, most=3):
    policy = draw(st.sampled_from(["dedicated", "dedicated", "mixed", "shared", None]))
    threads = draw(st.sampled_from([None, None, "prefer", "require", "isolate"]))
    pagesize = draw(st.sampled_from([*[None] * 9, -1, -2, -3, 4, 2048, 1048576]))
    cells, first = [], 0
    for number in range(draw(st.sampled_from(range(1, most + 1)))):
        size = draw(st.sampled_from([1, 2, 2, 3, 4]))
        cpus = set(range(first, first + size))
        first += size
        pinned = cpus if policy == "dedicated" else draw(subsets(cpus)) if policy == "mixed" else set()
        cells.append(
            InstanceNUMACell(
                id=number,
                cpuset=cpus - pinned,
                pcpuset=pinned,
                memory=draw(st.sampled_from([1, 128, 128, 256, 512])),
                pagesize=pagesize,
                cpu_policy=policy,
                cpu_thread_policy=threads if pinned else None,
            )
        )
    return InstanceNUMATopology(
        cells=cells,
        **draw(st.sampled_from([{}, *({"emulator_threads_policy": p} for p in ("share", "isolate", None))])),
    )


@st.composite
def limits(draw):
    network = draw(st.one_of(st.just({}), networks().map(lambda held: {"network_metadata": held})))
    ratios = st.sampled_from([0.5, 1.0, 2.0, 16.0])
    return NUMATopologyLimits(cpu_allocation_ratio=draw(ratios), ram_allocation_ratio=draw(ratios), **network)


@st.composite
def pools(draw, least=0):
    tags = {
        "dev_type": ["type-PCI", "type-PF", "type-VF", "vdpa"],
        "physical_network": ["red", "Blue"],
        "remote_managed": ["true", "false", "Yes"],
        "live_migratable": ["true", "false"],
        "rp_uuid": PROVIDERS,
    }
    made = []
    for _ in range(draw(st.integers(least, 6))):
        chosen = draw(st.sets(st.sampled_from(sorted(tags)), max_size=3))
        made.append(
            PciDevicePool(
                vendor_id=draw(st.sampled_from(["8086", "10de", "10DE"])),
                product_id=draw(st.sampled_from(["1eb8", "1EB8"])),
                numa_node=draw(st.sampled_from([None, 0, 0, 1, 2])),
                count=draw(st.integers(1, 3)),
                tags={name: draw(st.sampled_from(tags[name])) for name in sorted(chosen)},
            )
        )
    return made


@st.composite
def pci_requests(draw, least=0):
    says = {
        "vendor_id": ["8086", "10de"],
        "product_id": ["1eb8"],
        "dev_type": ["type-PCI", "type-PF", "type-VF", "vdpa"],
        "physical_network": ["red", "blue"],
        "remote_managed": ["true", "False"],
        "live_migratable": ["true", "false"],
        "resource_class": ["CUSTOM_GPU"],
        "rp_uuids": ["rp-a", "rp-b", "rp-a,rp-a", "rp-a,rp-b"],
    }
    made = []
    for number in range(draw(st.integers(least, 3))):
        specs = [
            {name: draw(st.sampled_from(says[name])) for name in sorted(chosen)}
            for chosen in draw(st.lists(st.sets(st.sampled_from(sorted(says)), max_size=2), min_size=1, max_size=2))
        ]
        made.append(
            InstancePCIRequest(
                count=draw(st.integers(1, 2)),
                spec=specs,
                alias_name=draw(st.sampled_from([None, "gpu"])),
                request_id=REQUEST_IDS[number],
                numa_policy=draw(st.sampled_from([None, "required", "legacy", "preferred", "socket"])),
            )
        )
    return InstancePCIRequests(requests=made)


@st.composite
def providers(draw):
    """What placement gave, by request group: ``{request_id}-{number}``."""
    groups = draw(st.lists(st.sampled_from([f"{uuid}-{n}" for uuid in REQUEST_IDS[:3] for n in range(2)]), unique=True))
    return {group: [draw(st.sampled_from(PROVIDERS))] for group in groups} or None


@st.composite
def devices(draw):
    """The PCI devices of a host, all available: plain ones, and ports with virtual functions."""
    made = []
    for card in range(draw(st.integers(1, 4))):
        like = {
            "vendor_id": draw(st.sampled_from(["8086", "10de"])),
            "product_id": "1eb8",
            "numa_node": draw(st.sampled_from([None, 0, 0, 1])),
            "status": "available",
        }
        info = draw(st.sampled_from([{}, {}, {"rp_uuid": PROVIDERS[card % 2]}, {"parent_ifname": "eth0"}]))
        address = f"0000:0{card}:00"
        kind = draw(st.sampled_from(["type-PCI", "type-VF", "type-VF", "vdpa"]))
        if kind == "type-PCI":
            functions = range(draw(st.integers(1, 3)))
            made += [PciDevice(address=f"{address}.{f}", dev_type=kind, extra_info=info, **like) for f in functions]
            continue
        if draw(st.booleans()):
            made.append(PciDevice(address=f"{address}.0", dev_type="type-PF", extra_info=info, **like))
        made += [
            PciDevice(
                address=f"0000:0{card}:10.{f}", dev_type=kind, parent_addr=f"{address}.0", extra_info=info, **like
            )
            for f in range(draw(st.integers(0, 4)))
        ]
    return draw(st.permutations(made))


def _dedicating(number, kind):
    cpus = {number * 2, number * 2 + 1}
    return NUMACell(
        id=number, cpuset=cpus, pcpuset=cpus if kind == "legacy" else (), siblings=[{cpu} for cpu in cpus], memory=1024
    )


#: A guest of a floating cell and a pinned one, on a host whose cell 1 alone can pin: it fits with its first cell elsewhere.
MISLEADING = (
    NUMATopology(cells=[_dedicating(0, "shared"), _dedicating(1, "legacy"), _dedicating(2, "shared")]),
    InstanceNUMATopology(
        cells=[
            InstanceNUMACell(id=0, cpuset={0}, memory=128, cpu_policy="mixed"),
            InstanceNUMACell(id=1, pcpuset={1}, memory=128, cpu_policy="mixed"),
        ]
    ),
)
