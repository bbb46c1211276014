"""In which order the cells of a host are tried for a guest.

Rules of this file (Nova's ``numa_fit_instance_to_host``):

1. Where the guest takes every cell, the order of the host stands. Else cells are sorted, each sort stable on the one before:
   by free memory, by free CPUs of the guest's kind, by PCI devices.
2. Emptier cells first; with *pack*, fuller ones. PCI devices are always saved for those who ask for them.
"""

from collections import Counter
from collections.abc import Sequence

from novastate.objects.host_numa import NUMACell
from novastate.objects.pci import InstancePCIRequests, PciDevicePool
from novastate.objects.topology import InstanceNUMATopology

__all__ = ["ordered"]


def ordered(
    cells: Sequence[NUMACell],
    instance: InstanceNUMATopology,
    pools: Sequence[PciDevicePool] | None = None,
    requests: InstancePCIRequests | None = None,
    *,
    pack: bool = False,
) -> tuple[NUMACell, ...]:
    """The host's *cells* in the order in which they are tried for *instance*."""
    if len(cells) <= len(instance.cells):
        return tuple(cells)
    found = sorted(cells, key=lambda cell: cell.avail_memory, reverse=not pack)
    if instance.cells[0].cpu_policy in {None, "shared"}:  # all cells of a guest have one policy
        found.sort(key=lambda cell: cell.cpu_usage, reverse=pack)
    else:
        found.sort(key=lambda cell: cell.avail_pcpus, reverse=not pack)
    if pools is not None:
        devices: Counter[int | None] = Counter()
        for pool in pools:
            devices[pool.numa_node] += pool.count
        found.sort(key=lambda cell: devices[cell.id], reverse=bool(requests and requests.requests))
    return tuple(found)
