"""Which devices of a host a guest gets for its PCI requests, and giving them back.

Rules of this file (Nova's ``PciDeviceStats.consume_requests``, ``PciDevice.claim`` and ``free``):

1. Devices are taken by the pools of :mod:`novastate.objects.pci_match`, out of a pool from the highest address down.
2. A physical function and its virtual ones exclude each other: who is given the one makes the others unclaimable. The
   physical function is free again when the last of its virtual ones is.
3. Values: the devices that were given are not changed. All requests are met, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import define

from novastate.objects.base import evolve
from novastate.objects.host_numa import NUMATopology
from novastate.objects.pci import InstancePCIRequests, PciDevice, PciDevicePool
from novastate.objects.pci_filters import Wish, provider, split, suitable
from novastate.objects.topology import InstanceNUMACell

__all__ = ["Tags", "claim", "free", "pools_of"]

#: What a host's configuration (Nova's ``[pci]device_spec``) says of a device; None: it is not to be given away.
Tags = Callable[[PciDevice], Mapping[str, str | None] | None]

_VIRTUAL = frozenset({"type-VF", "vdpa"})
_TAKEN = frozenset({"claimed", "allocated"})
_BLOCKED = frozenset({"unclaimable", "unavailable"})
#: Tags that placement matches, or that are found out, and that make no pool of their own.
_NO_POOL = frozenset({"resource_class", "traits", "rp_uuid"})


def _plain(_: PciDevice) -> Mapping[str, str | None]:
    return {}


def pools_of(devices: Iterable[PciDevice], tags: Tags = _plain) -> tuple[PciDevicePool, ...]:
    """The available *devices*, counted by kind, those kinds with fewer tags first.

    >>> ports = [PciDevice(address=f"0000:05:10.{n}", vendor_id="8086", product_id="10ed", dev_type="type-VF",
    ...     status="available", parent_addr="0000:05:00.0") for n in range(3)]
    >>> [(pool.count, pool.tags["dev_type"]) for pool in pools_of(ports)]
    [(3, 'type-VF')]
    """
    return tuple(kind.pool() for kind in _kinds(devices, tags))


def claim(
    devices: Sequence[PciDevice],
    requests: InstancePCIRequests,
    cells: Sequence[InstanceNUMACell] = (),
    *,
    host: NUMATopology | None = None,
    tags: Tags = _plain,
) -> tuple[PciDevice, ...] | None:
    """The *devices* of a host, in their order, when *requests* were met out of them; None where they cannot be.

    Those that the guest gets are ``claimed``, with its uuid and the request's id. *cells* and *host*: where the guest lies, as for
    :func:`~novastate.objects.pci_match.match`.
    """
    kinds = _kinds(devices, tags)
    given: dict[str, PciDevice] = {}
    for request in requests.requests:
        wish = Wish.of(request, cells, host)
        by_pool = {kind.pool(): kind for kind in kinds if kind.devices}
        found = suitable(tuple(by_pool), wish)
        if isinstance(found, str) or (wish.given and split(found)):
            return None
        left = request.count
        for pool in found:
            kind = by_pool[pool]
            count = wish.given[provider(pool)] if wish.given else left
            for _ in range(min(count, len(kind.devices))):
                device = kind.devices.pop()
                given[device.address] = evolve(
                    device,
                    status="claimed",
                    instance_uuid=requests.instance_uuid or None,
                    request_id=request.request_id,
                )
                _exclude(kinds, device)
                left -= 1
        if left > 0:
            return None
    return tuple(_settle(device, given) for device in devices)


@define
class _Kind:
    """Devices that are alike, the lowest address first; they are taken from the end."""

    like: PciDevicePool
    devices: list[PciDevice]

    def pool(self) -> PciDevicePool:
        """How many there are still."""
        return evolve(self.like, count=len(self.devices))


def _kinds(devices: Iterable[PciDevice], tags: Tags) -> list[_Kind]:
    """The available devices by kind, in Nova's order: by the number of tags, then by the first address."""
    kinds: dict[PciDevicePool, _Kind] = {}
    for device in sorted(devices, key=lambda device: device.address):
        said = tags(device) if device.status == "available" else None
        if said is not None:
            like = _like(device, said)
            kinds.setdefault(like, _Kind(like, [])).devices.append(device)
    return sorted(kinds.values(), key=lambda kind: len(kind.like.tags.keys() - _NO_POOL))


def _like(device: PciDevice, said: Mapping[str, str | None]) -> PciDevicePool:
    """The pool of a device, with nothing in it: placement knows a card, so cards are kept apart, not their virtual functions."""
    tags: dict[str, str | None] = {"dev_type": device.dev_type}
    tags |= {name: text for name, text in said.items() if name not in _NO_POOL}
    tags["address"] = device.parent_addr or device.address
    if name := device.extra_info.get("parent_ifname"):
        tags["parent_ifname"] = name
    if device.dev_type != "type-PCI" and tags.get("remote_managed") is None:
        tags["remote_managed"] = "false"
    if uuid := device.extra_info.get("rp_uuid"):
        tags["rp_uuid"] = uuid
    return PciDevicePool(
        vendor_id=device.vendor_id, product_id=device.product_id, numa_node=device.numa_node, tags=tags, count=0
    )


def _related(one: PciDevice, other: PciDevice) -> bool:
    """One is a physical function, and the other a virtual one of it."""
    for physical, virtual in ((one, other), (other, one)):
        if physical.dev_type == "type-PF" and virtual.dev_type in _VIRTUAL:
            return virtual.parent_addr == physical.address
    return False


def _exclude(kinds: Iterable[_Kind], taken: PciDevice) -> None:
    """Takes out what cannot be given any more, now that *taken* is."""
    for kind in kinds:
        kind.devices = [device for device in kind.devices if not _related(device, taken)]


def _settle(device: PciDevice, given: Mapping[str, PciDevice]) -> PciDevice:
    """*device* after some were *given*."""
    if device.address in given:
        return given[device.address]
    blocked = device.status == "available" and any(_related(device, taken) for taken in given.values())
    return evolve(device, status="unclaimable") if blocked else device


def free(devices: Sequence[PciDevice], instance_uuid: str) -> tuple[PciDevice, ...]:
    """The *devices* of a host, in their order, when those of a guest were given back."""
    own = [device for device in devices if device.instance_uuid == instance_uuid and device.status in _TAKEN]
    taken = [device for device in devices if device.status in _TAKEN and device not in own]
    freed: list[PciDevice] = []
    for device in devices:
        if device in own:
            freed.append(evolve(device, status="available", instance_uuid=None, request_id=None))
        elif (
            device.status in _BLOCKED
            and any(_related(device, gone) for gone in own)
            and not any(_related(device, other) for other in taken)
        ):
            freed.append(evolve(device, status="available"))
        else:
            freed.append(device)
    return tuple(freed)
