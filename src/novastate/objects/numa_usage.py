"""Taking a guest's NUMA cells out of a host's, and giving them back.

Rules of this file (Nova's ``numa_usage_from_instance_numa``):

1. ``free(use(host, guest), guest)`` is *host* again. Nothing goes below zero: a host may forget what it never counted.
2. Under thread policy ``isolate`` a guest holds every sibling of its CPUs.
3. A guest that did not ask for a page size holds pages of the host's smallest; part of a page is a whole one.
4. Values: the host that was given is not changed. CPUs that are taken already, or were not, raise InvalidField.
"""

from collections.abc import Set

from novastate.errors import InvalidField
from novastate.objects.base import evolve
from novastate.objects.host_numa import NUMACell, NUMATopology
from novastate.objects.topology import InstanceNUMACell, InstanceNUMATopology

__all__ = ["free", "unplace", "use"]


def use(host: NUMATopology, instance: InstanceNUMATopology) -> NUMATopology:
    """*host* with the cells of *instance* taken. Raises InvalidField where a CPU is pinned already, or is not dedicated."""
    return _count(host, instance, +1)


def free(host: NUMATopology, instance: InstanceNUMATopology) -> NUMATopology:
    """*host* with the cells of *instance* given back. Raises InvalidField where a CPU was not pinned."""
    return _count(host, instance, -1)


def unplace(instance: InstanceNUMATopology) -> InstanceNUMATopology:
    """*instance* as it was before it lay on a host: cells without place and pinning (Nova's ``clear_host_pinning``)."""
    return evolve(instance, cells=[evolve(cell, id=-1, cpu_pinning_raw={}) for cell in instance.cells])


def _count(host: NUMATopology, instance: InstanceNUMATopology, sign: int) -> NUMATopology:
    cells: list[NUMACell] = []
    for held in host.whole_cells:
        cell = held
        for guest in instance.cells:
            if guest.id == held.id:
                cell = _count_cell(cell, guest, sign)
        cells.append(cell)
    return evolve(host, cells=cells)


def _count_cell(host: NUMACell, guest: InstanceNUMACell, sign: int) -> NUMACell:
    size = guest.pagesize or min(host.page_sizes, default=0)
    return evolve(
        host,
        mempages=[
            evolve(pages, used=max(0, pages.used + sign * -(-guest.memory * 1024 // size)))
            if pages.size_kb == size
            else pages
            for pages in host.mempages
        ],
        memory_usage=max(0, host.memory_usage + sign * guest.memory),
        cpu_usage=max(0, host.cpu_usage + sign * len(guest.cpuset)),
        pinned_cpus=_pinned(host, guest, sign),
    )


def _pinned(host: NUMACell, guest: InstanceNUMACell, sign: int) -> Set[int]:
    """The pinned CPUs of *host* with, or without, those of *guest*."""
    if guest.cpu_policy in {None, "shared"}:
        return host.pinned_cpus
    cpus = frozenset((guest.cpu_pinning_raw or {}).values()) | frozenset(guest.cpuset_reserved or ())
    if guest.cpu_thread_policy == "isolate":
        cpus = frozenset[int]().union(*(core for core in host.siblings if core & cpus))
    if cpus - host.pcpuset:
        raise _wrong(cpus - host.pcpuset, f"not dedicated CPUs of cell {host.id}", host.pcpuset)
    if sign > 0:
        if cpus & host.pinned_cpus:
            raise _wrong(cpus & host.pinned_cpus, f"pinned already on cell {host.id}", host.free_pcpus)
        return host.pinned_cpus | cpus
    if cpus - host.pinned_cpus:
        raise _wrong(cpus - host.pinned_cpus, f"not pinned on cell {host.id}", host.pinned_cpus)
    return host.pinned_cpus - cpus


def _wrong(cpus: Set[int], problem: str, allowed: Set[int]) -> InvalidField:
    return InvalidField("numa_cell.pinned_cpus", sorted(cpus), problem, sorted(allowed))
