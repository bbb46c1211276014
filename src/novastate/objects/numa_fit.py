"""Whether the NUMA cells of a guest fit on those of a host, and how they then lie.

Rules of this file (Nova's ``numa_fit_instance_to_host`` and ``_numa_fit_instance_cell``, nova/virt/hardware.py):

1. Each guest cell takes a host cell of its own. The first arrangement that fits is taken: arrangements are tried in the order
   of the host's cells, sorted first where the host has more cells than the guest: emptier ones to the front.
2. A guest never overcommits a cell against itself. Pinned guests do not overcommit at all; others may share, up to the *limits*.
3. PCI devices and networks are asked of the set of cells that was chosen.
4. Each pair of cells is judged by itself. (Nova marks its guest cells while it tries, and what it found out about one
   arrangement leaks into the next: it may then refuse a guest that fits, or pin it to CPUs of another cell.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from novastate.objects.base import evolve
from novastate.objects.host_numa import NUMACell, NUMATopology
from novastate.objects.numa_order import ordered
from novastate.objects.numa_pinning import pin
from novastate.objects.pci import InstancePCIRequests, PciDevicePool
from novastate.objects.pci_match import why_not as pci_why_not
from novastate.objects.topology import InstanceNUMACell, InstanceNUMATopology, NetworkMetadata, NUMATopologyLimits

__all__ = ["MEMPAGES_ANY", "MEMPAGES_LARGE", "MEMPAGES_SMALL", "fit", "why_not"]

#: Page sizes that a guest may ask for instead of a number of KiB: the smallest of the host, any larger one, any.
MEMPAGES_SMALL, MEMPAGES_LARGE, MEMPAGES_ANY = -1, -2, -3


def fit(
    host: NUMATopology,
    instance: InstanceNUMATopology,
    limits: NUMATopologyLimits | None = None,
    *,
    pools: Sequence[PciDevicePool] | None = None,
    requests: InstancePCIRequests | None = None,
    providers: Mapping[str, Sequence[str]] | None = None,
    pack: bool = False,
) -> InstanceNUMATopology | None:
    """*instance* as it lies on *host*: ids of host cells, CPUs pinned, page sizes chosen; None where it does not fit.

    *limits*: how far cells may be overcommitted, and the networks that are needed; None: no limit. *pools*, *requests* and
    *providers*: the host's PCI devices, what is asked of them, and what placement gave (:func:`~novastate.objects.pci_match.match`).
    *pack*: fill used cells first (Nova's ``packing_host_numa_cells_allocation_strategy``).

    >>> from novastate.objects import InstanceNUMACell, InstanceNUMATopology, NUMACell, NUMATopology
    >>> host = NUMATopology(cells=[NUMACell(id=0, pcpuset={0, 1, 8, 9}, siblings=[{0, 8}, {1, 9}], memory=4096)])
    >>> guest = InstanceNUMACell(id=0, pcpuset={0, 1}, cpu_policy="dedicated", memory=1024)
    >>> fit(host, InstanceNUMATopology(cells=[guest])).cells[0].cpu_pinning_raw
    {'0': 0, '1': 8}
    """
    found = _Search(host, instance, limits, pools, requests, providers, pack).run()
    return found if isinstance(found, InstanceNUMATopology) else None


def why_not(
    host: NUMATopology,
    instance: InstanceNUMATopology,
    limits: NUMATopologyLimits | None = None,
    *,
    pools: Sequence[PciDevicePool] | None = None,
    requests: InstancePCIRequests | None = None,
    providers: Mapping[str, Sequence[str]] | None = None,
    pack: bool = False,
) -> tuple[str, ...]:
    """Why *instance* does not fit on *host*: a sentence for each pair or set of cells that was tried; empty if it fits.

    >>> from novastate.objects import InstanceNUMACell, InstanceNUMATopology, NUMACell, NUMATopology
    >>> host = NUMATopology(cells=[NUMACell(id=0, cpuset={0, 1}, memory=4096)])
    >>> why_not(host, InstanceNUMATopology(cells=[InstanceNUMACell(id=0, cpuset={0}, memory=8192)]))
    ('guest cell 0 on host cell 0: 8192 MiB needed, the cell has 4096',)
    """
    found = _Search(host, instance, limits, pools, requests, providers, pack).run()
    return () if isinstance(found, InstanceNUMATopology) else found


class _Search:
    """Tries arrangements in order, and keeps what it found out about each pair and each set of cells."""

    def __init__(
        self,
        host: NUMATopology,
        instance: InstanceNUMATopology,
        limits: NUMATopologyLimits | None,
        pools: Sequence[PciDevicePool] | None,
        requests: InstancePCIRequests | None,
        providers: Mapping[str, Sequence[str]] | None,
        pack: bool,
    ) -> None:
        self.host, self.instance, self.limits = host, instance, limits
        self.pools, self.requests, self.providers = pools, requests, providers
        self.pack = pack
        self.pairs: dict[tuple[int, int], InstanceNUMACell | str] = {}
        #: Sets of host cells (their places) from which no arrangement goes on: what follows depends on the set alone.
        self.vain: set[frozenset[int]] = set()
        self.sets: dict[str, None] = {}

    def run(self) -> InstanceNUMATopology | tuple[str, ...]:
        """The guest as it lies on the host, or why it does not."""
        needed, there = len(self.instance.cells), len(self.host.whole_cells)
        if not needed:
            return ("the guest has no NUMA cells",)
        if there < needed:
            return (f"{needed} NUMA cells needed, the host has {there}",)
        self.hosts = ordered(self.host.cells, self.instance, self.pools, self.requests, pack=self.pack)
        for guest in range(needed):  # a cell that fits nowhere is found before anything is arranged
            judged = [self.pair(guest, place) for place in range(there)]
            if all(isinstance(found, str) for found in judged):
                return tuple(self.reasons(guest))
        hopeless = self.lacks_devices(())  # then no arrangement helps, and there may be very many
        if hopeless:
            return (hopeless,)
        chosen = self.arrange(())
        if chosen is None:
            return tuple([reason for guest in range(needed) for reason in self.reasons(guest)] + list(self.sets))
        return evolve(self.instance, cells=chosen)

    def reasons(self, guest: int) -> Iterator[str]:
        """Why a guest cell does not fit on host cells."""
        for place, host in enumerate(self.hosts):
            found = self.pair(guest, place)
            if isinstance(found, str):
                yield f"guest cell {self.instance.cells[guest].id} on host cell {host.id}: {found}"

    def pair(self, guest: int, place: int) -> InstanceNUMACell | str:
        """One guest cell on one host cell."""
        if (guest, place) not in self.pairs:
            # The emulator threads of the whole guest run beside its first cell.
            reserved = int(guest == 0 and self.instance.emulator_threads_policy == "isolate")
            self.pairs[guest, place] = _fit_cell(self.hosts[place], self.instance.cells[guest], self.limits, reserved)
        return self.pairs[guest, place]

    def arrange(self, places: tuple[int, ...]) -> list[InstanceNUMACell] | None:
        """The cells of the first arrangement that begins with *places*; in the order of ``itertools.permutations``."""
        if frozenset(places) in self.vain:
            return None
        guest = len(places)
        if guest == len(self.instance.cells):
            cells = [self.pair(number, place) for number, place in enumerate(places)]
            fitted = [cell for cell in cells if isinstance(cell, InstanceNUMACell)]
            problem = self.refuses(fitted, [self.hosts[place] for place in places])
            if problem is None:
                return fitted
            ids = sorted(cell.id for cell in fitted)
            self.sets[f"host cell{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}: {problem}"] = None
        else:
            for place in range(len(self.hosts)):
                if place not in places and not isinstance(self.pair(guest, place), str):
                    found = self.arrange((*places, place))
                    if found is not None:
                        return found
        self.vain.add(frozenset(places))
        return None

    def lacks_devices(self, cells: Sequence[InstanceNUMACell]) -> str | None:
        """Why the host's PCI devices do not do, near these cells; with none, wherever they are."""
        if not (self.requests and self.requests.requests) or self.pools is None:
            return None
        return pci_why_not(self.pools, self.requests, cells, host=self.host, providers=self.providers)

    def refuses(self, cells: Sequence[InstanceNUMACell], hosts: Sequence[NUMACell]) -> str | None:
        """Why the chosen cells cannot serve: their PCI devices or networks."""
        problem = self.lacks_devices(cells)
        if problem:
            return problem
        wanted = self.limits.network_metadata if self.limits else None
        return _networks(self.host, hosts, wanted) if wanted else None


def _fit_cell(
    host: NUMACell, cell: InstanceNUMACell, limits: NUMATopologyLimits | None, reserved: int
) -> InstanceNUMACell | str:
    """*cell* as it lies on *host*, or why it cannot."""
    pinned, floats = cell.cpu_policy in {"dedicated", "mixed"}, cell.cpu_policy != "dedicated"
    pagesize = _page_size(host, cell, pinned=pinned)
    if isinstance(pagesize, str):
        return pagesize
    fitted = evolve(cell, id=host.id, pagesize=pagesize or cell.pagesize)
    if floats and len(cell.cpuset) > len(host.cpuset):
        return f"{len(cell.cpuset)} CPUs needed, the cell has {len(host.cpuset)}"
    if pinned:
        needed = len(cell.pcpuset) + reserved
        if needed > host.avail_pcpus:
            return f"{needed} dedicated CPUs needed, {host.avail_pcpus} free"
        found = pin(host, cell, reserved)
        if isinstance(found, str):
            return found
        raw = {str(guest): cpu for guest, cpu in found.pairs} or cell.cpu_pinning_raw
        fitted = evolve(fitted, cpu_pinning_raw=raw, cpuset_reserved=found.reserved)
    return (_over(host, cell, limits) if floats and limits else None) or fitted


def _page_size(host: NUMACell, cell: InstanceNUMACell, *, pinned: bool) -> int | None | str:
    """The page size that the guest asked for, in KiB, None if it did not ask; or why its memory does not fit."""
    need = cell.memory * 1024
    sizes = host.page_sizes
    if cell.pagesize:
        some = {MEMPAGES_SMALL: sizes[-1:], MEMPAGES_LARGE: sizes[:-1], MEMPAGES_ANY: sizes}
        wanted = some.get(cell.pagesize, (cell.pagesize,))
        for size in wanted:
            if size in sizes and host.can_fit_pagesize(size, need):
                return size
        kind = {MEMPAGES_SMALL: "the smallest", MEMPAGES_LARGE: "large", MEMPAGES_ANY: "any"}
        asked = f"{kind.get(cell.pagesize, f'{cell.pagesize} KiB')} pages"
        free = ", ".join(f"{pages.free} of {pages.size_kb} KiB" for pages in host.mempages) or "no pages"
        return f"{cell.memory} MiB in {asked} needed, {free} free"
    if sizes:
        if host.can_fit_pagesize(sizes[-1], need, use_free=pinned):
            return None
        kb = sum(p.free_kb if pinned else p.total_kb for p in host.mempages if p.size_kb == sizes[-1])
        return f"{cell.memory} MiB needed, {kb // 1024} {'free ' if pinned else ''}in pages of {sizes[-1]} KiB"
    if pinned and cell.memory > host.avail_memory:
        return f"{cell.memory} MiB needed, {host.avail_memory} free"
    if cell.memory > host.memory:
        return f"{cell.memory} MiB needed, the cell has {host.memory}"
    return None


def _over(host: NUMACell, cell: InstanceNUMACell, limits: NUMATopologyLimits) -> str | None:
    """How the cell would be filled beyond its *limits*."""
    cpus, most = host.cpu_usage + len(cell.cpuset), len(host.cpuset) * limits.cpu_allocation_ratio
    if cpus > most:
        return f"{cpus} CPUs would be used, {most:g} are allowed"
    memory, most = host.memory_usage + cell.memory, host.memory * limits.ram_allocation_ratio
    if memory > most:
        return f"{memory} MiB would be used, {most:g} are allowed"
    return None


def _networks(host: NUMATopology, chosen: Sequence[NUMACell], wanted: NetworkMetadata) -> str | None:
    """Why the *chosen* cells are far from the networks that are *wanted*; a network that is near no cell is near all."""
    near = [cell.network_metadata for cell in chosen if cell.network_metadata]
    missing = set(wanted.physnets or ()).difference(*(network.physnets for network in near))
    for cell in host.cells:
        if cell.network_metadata and missing & cell.network_metadata.physnets:
            return f"network {', '.join(sorted(missing & cell.network_metadata.physnets))} is on host cell {cell.id}"
    if wanted.tunneled and not any(network.tunneled for network in near):
        for cell in host.cells:
            if cell.network_metadata and cell.network_metadata.tunneled:
                return f"tunneled networks are on host cell {cell.id}"
    return None
