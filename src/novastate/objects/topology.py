"""How a guest's CPUs and memory lie: sockets, cores, threads, NUMA cells."""

from collections.abc import Mapping, Sequence, Set
from typing import Annotated

from novastate.objects.base import Record, value
from novastate.objects.marks import I64, Count, CountOrMinus1, Range, Uuid
from novastate.objects.values import UNSET, Unset
from novastate.objects.vocabulary import (
    Architecture,
    CPUAllocationPolicy,
    CPUEmulatorThreadsPolicy,
    CPUFeaturePolicy,
    CPUMatch,
    CPUMode,
    CPUThreadAllocationPolicy,
)

__all__ = [
    "InstanceNUMACell",
    "InstanceNUMATopology",
    "NUMATopologyLimits",
    "NetworkMetadata",
    "PageSize",
    "VirtCPUFeature",
    "VirtCPUModel",
    "VirtCPUTopology",
]

#: A page size in KiB; until one was chosen -1 (small), -2 (large) or -3 (any): the MEMPAGES of Nova's virt/hardware.py.
PageSize = Annotated[int, Range(-3, I64 - 1)]


@value
class VirtCPUTopology(Record):
    """Sockets, cores a socket, threads a core; -1 is "any". Nova's VirtCPUTopology 1.0."""

    sockets: CountOrMinus1 | None = 1
    cores: CountOrMinus1 | None = 1
    threads: CountOrMinus1 | None = 1


@value
class VirtCPUFeature(Record):
    """One CPU feature and what is to be done about it. Nova's VirtCPUFeature 1.0."""

    name: str
    policy: CPUFeaturePolicy | Unset | None = UNSET


@value
class VirtCPUModel(Record):
    """The CPU that the guest sees. Nova's VirtCPUModel 1.0."""

    arch: Architecture | Unset | None = UNSET
    vendor: str | Unset | None = UNSET
    model: str | Unset | None = UNSET
    mode: CPUMode | Unset | None = UNSET
    match: CPUMatch | Unset | None = UNSET
    topology: VirtCPUTopology | Unset | None = UNSET
    features: Sequence[VirtCPUFeature] = ()


@value
class InstanceNUMACell(Record):
    """One NUMA cell of a guest. Nova's InstanceNUMACell 1.6.

    *memory*: MiB; *pagesize*: KiB, or -1 for the smallest that the host has, -2 for a larger one, -3 for any. *cpuset* are
    guest CPUs that float, *pcpuset* those that are pinned; *cpu_pinning_raw* maps a guest CPU (as text, as on Nova's wire)
    to its host CPU; *cpuset_reserved*: host CPUs that the hypervisor keeps for this guest.
    """

    id: int
    cpuset: Set[int] = frozenset()
    pcpuset: Set[int] = frozenset()
    cpuset_reserved: Set[int] | None = None
    memory: Count
    pagesize: Annotated[int, Range(-3, I64 - 1)] | None = None
    cpu_topology: VirtCPUTopology | Unset | None = UNSET
    cpu_pinning_raw: Mapping[str, int] | None = None
    cpu_policy: CPUAllocationPolicy | None = None
    cpu_thread_policy: CPUThreadAllocationPolicy | None = None


@value
class InstanceNUMATopology(Record):
    """The NUMA cells of a guest. Nova's InstanceNUMATopology 1.3."""

    id: int | Unset = UNSET
    instance_uuid: Uuid | Unset = UNSET
    cells: Sequence[InstanceNUMACell] = ()
    emulator_threads_policy: CPUEmulatorThreadsPolicy | Unset | None = UNSET


@value
class NetworkMetadata(Record):
    """The physical networks a guest needs, and whether it needs tunnels. Nova's NetworkMetadata 1.0."""

    physnets: Set[str] = frozenset()
    tunneled: bool = False


@value
class NUMATopologyLimits(Record):
    """How far a host's NUMA cells may be overcommitted. Nova's NUMATopologyLimits 1.1."""

    cpu_allocation_ratio: float
    ram_allocation_ratio: float
    network_metadata: NetworkMetadata | Unset = UNSET
