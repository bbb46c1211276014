"""Holding room on a host: what a request needs, what a host has left, and the record that says so.

Rules of this file:

1. What a host has is its total times its allocation ratio; what is taken is the sum of its allocations (L3).
2. A claim that does not fit changes nothing.
3. A consumer holds at most one allocation on a host; claiming twice takes nothing more.

Pure: these functions change the objects they are given and nothing else. Whoever keeps the objects saves node and allocation
in one commit, guarded by their revisions, and tries again when it loses.

Ratios: the node's own where it is set and not zero, else Nova's initial ones (``nova/conf/compute.py``: 4 for CPU, 1 for RAM and
disk). The root disk of a volume-backed server takes no room on its host.
"""

from __future__ import annotations

from attrs import frozen

from novastate.errors import ClaimFailed
from novastate.objects import Allocation, ComputeNode, RequestSpec
from novastate.objects.totals import disk_gb

__all__ = ["INITIAL_RATIOS", "Room", "claim", "hold", "needs", "release", "room"]

#: Nova's ``initial_*_allocation_ratio``.
INITIAL_RATIOS = {"vcpus": 4.0, "memory_mb": 1.0, "disk_gb": 1.0}

#: Placement's names, as an operator reads them in an error.
_RESOURCE_CLASS = {"vcpus": "VCPU", "memory_mb": "MEMORY_MB", "disk_gb": "DISK_GB"}


@frozen
class Room:
    """An amount of each resource. *vcpus*: count; *memory_mb*: MiB; *disk_gb*: GiB."""

    vcpus: int
    memory_mb: int
    disk_gb: int

    def lacking(self, needed: Room) -> tuple[str, int, int] | None:
        """The first resource of which less is here than *needed*: (field, needed, here), or None."""
        for name in _RESOURCE_CLASS:
            here, want = getattr(self, name), getattr(needed, name)
            if want > here:
                return name, want, here
        return None


def needs(spec: RequestSpec) -> Room:
    """What one instance of *spec* takes on its host."""
    flavor = spec.flavor
    return Room(flavor.vcpus, flavor.memory_mb, disk_gb(flavor, volume_backed=spec.is_bfv))


def room(node: ComputeNode) -> Room:
    """What is left on *node*; negative where more is taken than there is."""

    def left(total: int, ratio: float | None, resource: str, used: int) -> int:
        return int(total * (ratio or INITIAL_RATIOS[resource])) - used

    return Room(
        left(node.vcpus, node.cpu_allocation_ratio, "vcpus", node.vcpus_used),
        left(node.memory_mb, node.ram_allocation_ratio, "memory_mb", node.memory_mb_used),
        left(node.local_gb, node.disk_allocation_ratio, "disk_gb", node.local_gb_used),
    )


def claim(node: ComputeNode, consumer: str, spec: RequestSpec) -> Allocation:
    """Takes the room of *spec* on *node* for *consumer*: changes the node's usage, returns the allocation.

    Raises :class:`~novastate.errors.ClaimFailed`, and then the node is as it was.
    """
    needed = needs(spec)
    lacking = room(node).lacking(needed)
    if lacking is not None:
        name, want, here = lacking
        raise ClaimFailed(node.host, _RESOURCE_CLASS[name], want, here)
    return hold(node, consumer, spec)


def hold(node: ComputeNode, consumer: str, spec: RequestSpec) -> Allocation:
    """The same for a guest that is on *node* already: whether there is room is not asked any more."""
    needed = needs(spec)
    _use(node, needed, +1)
    return Allocation(
        consumer=consumer,
        host=node.host,
        vcpus=needed.vcpus,
        memory_mb=needed.memory_mb,
        disk_gb=needed.disk_gb,
    )


def release(node: ComputeNode, allocation: Allocation) -> None:
    """Gives the room of *allocation* back to *node*."""
    _use(node, Room(allocation.vcpus, allocation.memory_mb, allocation.disk_gb), -1)


def _use(node: ComputeNode, amount: Room, sign: int) -> None:
    node.vcpus_used += sign * amount.vcpus
    node.memory_mb_used += sign * amount.memory_mb
    node.local_gb_used += sign * amount.disk_gb
    node.running_vms = (node.running_vms or 0) + sign
