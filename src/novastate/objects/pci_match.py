"""Whether a host's PCI devices meet what a guest asks for, and what is then left.

Rules of this file (Nova's ``PciDeviceStats.apply_requests``, nova/pci/stats.py):

1. Devices are counted in pools of like ones. Requests are met in order, each out of what the one before has left.
2. A request that placement has allocated (its spec names providers, or *providers* does) is met from the pools of those
   providers alone. A request for a Neutron port (it has no alias) is not in placement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from novastate.objects.base import evolve
from novastate.objects.host_numa import NUMATopology
from novastate.objects.pci import InstancePCIRequests, PciDevicePool
from novastate.objects.pci_filters import Wish, provider, split, suitable
from novastate.objects.topology import InstanceNUMACell

__all__ = ["match", "why_not"]

Pools = Sequence[PciDevicePool]


def match(
    pools: Pools,
    requests: InstancePCIRequests,
    cells: Sequence[InstanceNUMACell] = (),
    *,
    host: NUMATopology | None = None,
    providers: Mapping[str, Sequence[str]] | None = None,
) -> tuple[PciDevicePool, ...] | None:
    """The *pools* that are left when *requests* were met, those with fewer tags first; None where they cannot be.

    *cells*: the guest's, with the ids of the host cells they lie on; none: NUMA does not matter. *host*: for policy
    ``socket``. *providers*: the resource providers of each request group, from placement, before they stand in the specs.

    >>> from novastate.objects import InstancePCIRequest, InstancePCIRequests, PciDevicePool
    >>> pools = [PciDevicePool(vendor_id="10de", product_id="1eb8", count=2, tags={"dev_type": "type-PCI"})]
    >>> gpu = InstancePCIRequests(requests=[InstancePCIRequest(count=1, spec=[{"vendor_id": "10DE"}])])
    >>> [pool.count for pool in match(pools, gpu)]
    [1]
    """
    found = _apply(pools, requests, cells, host, providers)
    return None if isinstance(found, str) else found


def why_not(
    pools: Pools,
    requests: InstancePCIRequests,
    cells: Sequence[InstanceNUMACell] = (),
    *,
    host: NUMATopology | None = None,
    providers: Mapping[str, Sequence[str]] | None = None,
) -> str | None:
    """Which of *requests* the *pools* cannot meet, and which filter left too few; None where all are met."""
    found = _apply(pools, requests, cells, host, providers)
    return found if isinstance(found, str) else None


def _apply(
    pools: Pools,
    requests: InstancePCIRequests,
    cells: Sequence[InstanceNUMACell],
    host: NUMATopology | None,
    providers: Mapping[str, Sequence[str]] | None,
) -> tuple[PciDevicePool, ...] | str:
    left = sorted(pools, key=lambda pool: len(pool.tags))  # as Nova keeps them: the plainest are given away first
    for request in requests.requests:
        wish = Wish.of(request, cells, host, providers)
        found = suitable(left, wish)
        if isinstance(found, str):
            return found
        if wish.given and split(left):
            return f"{wish.name}: provider {split(left)} has more than one pool"
        left = _without(left, found, wish)
    return tuple(left)


def _without(pools: Sequence[PciDevicePool], found: Sequence[PciDevicePool], wish: Wish) -> list[PciDevicePool]:
    """*pools*, after a request was met out of those that were *found*, in their order."""
    left = list(pools)
    count = wish.request.count
    for pool in found:
        taken = wish.given[provider(pool)] if wish.given else min(count, pool.count)
        place = next(place for place, other in enumerate(left) if other is pool)
        left[place : place + 1] = [evolve(pool, count=pool.count - taken)] if taken < pool.count else []
        count -= taken
        if not count and not wish.given:
            break
    return left
