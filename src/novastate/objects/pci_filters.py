"""Out of which pools of PCI devices one request may be met.

Rules of this file (Nova's ``PciDeviceStats._filter_pools``, nova/pci/stats.py):

1. A request passes through the filters in the table below, in order; the first that leaves too few is the reason.
2. Where any of its specs matches a pool, the pool will do: texts without regard to case, ``dev_type``, ``physical_network``
   and other tags like ``vendor_id``.
3. NUMA policies, from ``required``, on the guest's own cells, through ``legacy``, also of no cell, to ``preferred``, anywhere,
   but near where that is enough; ``socket``: on the sockets of the guest's cells.
4. Physical functions, vDPA devices and remote-managed ones are given only to who asks for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import frozen

from novastate.objects.host_numa import NUMATopology
from novastate.objects.pci import InstancePCIRequest, PciDevicePool
from novastate.objects.topology import InstanceNUMACell

__all__ = ["Wish", "provider", "split", "suitable"]

#: Of a spec: met by placement, or by the filter of placement.
_NOT_MATCHED = frozenset({"resource_class", "traits", "rp_uuids"})
_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})


@frozen
class Wish:
    """One request, and what its filters look at."""

    request: InstancePCIRequest
    cells: Sequence[InstanceNUMACell]
    host: NUMATopology | None
    #: How many devices placement gave of each provider.
    given: Counter[str]

    @classmethod
    def of(
        cls,
        request: InstancePCIRequest,
        cells: Sequence[InstanceNUMACell],
        host: NUMATopology | None,
        providers: Mapping[str, Sequence[str]] | None = None,
    ) -> Wish:
        """*request* of a guest on *cells*, and what placement gave for it."""
        return cls(request, cells, host, Counter(_given(request, providers)))

    def specs(self, key: str) -> list[str | None]:
        """What each spec says of *key*."""
        return [spec.get(key) for spec in self.request.spec]

    @property
    def name(self) -> str:
        """How a reason names the request."""
        request = self.request
        return (
            f"PCI request {request.alias_name or request.request_id or dict(request.spec[0] if request.spec else {})}"
        )


def suitable(pools: Iterable[PciDevicePool], wish: Wish) -> list[PciDevicePool] | str:
    """The pools out of which a request may be met, the best first; or why they are too few."""
    left = list(pools)
    there = sum(pool.count for pool in left)
    if there < wish.request.count:
        return f"{wish.name}: {wish.request.count} devices needed, there are {there}"
    for problem, keep in _FILTERS:
        before, left = sum(pool.count for pool in left), keep(left, wish)
        here = sum(pool.count for pool in left)
        if here < wish.request.count:
            return f"{wish.name}: {wish.request.count} devices needed, {here} left of {before}: {problem}"
    return left or f"{wish.name}: no pool is left"


def provider(pool: PciDevicePool) -> str:
    """Placement's name of the device, or devices, of a pool; empty where it knows none."""
    return pool.tags.get("rp_uuid") or ""


def split(pools: Iterable[PciDevicePool]) -> str | None:
    """A provider that has more than one pool; placement's numbers cannot be followed then."""
    counted = Counter(filter(None, map(provider, pools)))
    return next((uuid for uuid, many in counted.items() if many > 1), None)


def _given(request: InstancePCIRequest, providers: Mapping[str, Sequence[str]] | None) -> Iterable[str]:
    """The provider of each device that placement gave for *request*; none if it was not asked."""
    if request.alias_name is None:  # a Neutron port's
        return ()
    if providers:
        own = str(request.request_id)
        return [uuids[0] for group, uuids in providers.items() if group.startswith(own)]
    named = request.spec[0].get("rp_uuids") if request.spec else None
    return named.split(",") if named else ()


# --- the filters


def _spec(pools: list[PciDevicePool], wish: Wish) -> list[PciDevicePool]:
    specs = [{k: _plain(v) for k, v in spec.items() if k not in _NOT_MATCHED} for spec in wish.request.spec]
    return [pool for pool in pools if any(all(_plain(_of(pool, k)) == v for k, v in spec.items()) for spec in specs)]


def _of(pool: PciDevicePool, key: str) -> str | None:
    own = {"vendor_id": pool.vendor_id, "product_id": pool.product_id}
    return pool.tags.get(key, own.get(key))


def _plain(text: str | None) -> str | None:
    return text if text is None else text.lower()


def _numa(pools: list[PciDevicePool], wish: Wish) -> list[PciDevicePool]:
    if not wish.cells:
        return pools
    policy, count = wish.request.numa_policy or "legacy", wish.request.count
    own = {cell.id for cell in wish.cells}
    near = [pool for pool in pools if pool.numa_node in own]
    if policy == "required" or sum(pool.count for pool in near) >= count:
        return near
    if policy == "socket":
        return [pool for pool in pools if pool.numa_node in _same_socket(wish.host, own)]
    near = [pool for pool in pools if pool.numa_node is None or pool.numa_node in own]
    if policy == "legacy" or sum(pool.count for pool in near) >= count:
        return near
    return near + [pool for pool in pools if pool not in near]


def _same_socket(host: NUMATopology | None, cells: set[int]) -> set[int]:
    """The cells on the sockets of *cells*; none where the host does not tell all its sockets."""
    if host is None or any(cell.socket is None for cell in host.cells):
        return set()
    sockets = {cell.socket for cell in host.cells if cell.id in cells}
    return {cell.id for cell in host.cells if cell.socket in sockets}


def _only_if_asked(device: str) -> Callable[[list[PciDevicePool], Wish], list[PciDevicePool]]:
    """Keeps devices of a type for those who ask for it."""

    def keep(pools: list[PciDevicePool], wish: Wish) -> list[PciDevicePool]:
        asked = device in wish.specs("dev_type")
        return pools if asked else [pool for pool in pools if pool.tags.get("dev_type") != device]

    return keep


def _remote_managed(pools: list[PciDevicePool], wish: Wish) -> list[PciDevicePool]:
    asked = any(map(_truth, wish.specs("remote_managed")))
    return pools if asked else [pool for pool in pools if not _truth(pool.tags.get("remote_managed"))]


def _truth(text: str | None) -> bool:
    return text is not None and text.strip().lower() in _TRUE


def _placement(pools: list[PciDevicePool], wish: Wish) -> list[PciDevicePool]:
    if not wish.given:
        return pools
    return [pool for pool in pools if 0 < wish.given[provider(pool)] <= pool.count]


def _live_migratable(pools: list[PciDevicePool], wish: Wish) -> list[PciDevicePool]:
    asked = set(wish.specs("live_migratable"))
    if asked not in ({"true"}, {"false"}):
        return pools
    return [pool for pool in pools if pool.tags.get("live_migratable") in asked]


#: What is wrong with the devices that a filter drops, and the filter; in Nova's order.
_FILTERS: tuple[tuple[str, Callable[[list[PciDevicePool], Wish], list[PciDevicePool]]], ...] = (
    ("the others do not match", _spec),
    ("the others are on the wrong NUMA cell", _numa),
    ("the others are physical functions", _only_if_asked("type-PF")),
    ("the others are vDPA devices", _only_if_asked("vdpa")),
    ("the others are remote-managed", _remote_managed),
    ("the others are not what placement gave", _placement),
    ("the others cannot be live-migrated as asked", _live_migratable),
)
