"""A compute node: one hypervisor host, what it has and what is taken; and the service that speaks for it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from novastate.objects.base import Record, record, value
from novastate.objects.marks import Count, IpAddress, LegacyStr, Note, Ratio, Revision, Uuid
from novastate.objects.pci import PciDevicePool
from novastate.objects.persistent import PersistentRecord, PersistentValue
from novastate.objects.values import UNSET, Unset
from novastate.objects.vocabulary import Architecture, HVType, VMMode

__all__ = ["ComputeNode", "HVSpec", "Service"]


@value
class HVSpec(Record):
    """A kind of guest that a hypervisor can run. Nova's HVSpec 1.2."""

    arch: Architecture
    hv_type: HVType
    vm_mode: VMMode


@record
class ComputeNode(PersistentRecord):
    """What a host has and what is taken of it. Nova's ComputeNode 1.19.

    *memory_mb*: MiB; *local_gb*: GiB; *cpu_info*, *metrics* and *numa_topology* are JSON texts, as in Nova. An
    allocation ratio of 0 is "not set".

    >>> ComputeNode(host="cmp-a", vcpus=8, memory_mb=32768, local_gb=200).vcpus_used
    0
    """

    id: int | Unset = UNSET
    uuid: Uuid | Unset = UNSET
    service_id: int | None = None
    host: LegacyStr
    hypervisor_hostname: str | None = None
    hypervisor_type: str | Unset = UNSET
    hypervisor_version: int | Unset = UNSET
    host_ip: IpAddress | None = None
    vcpus: Count
    vcpus_used: Count = 0
    memory_mb: Count
    memory_mb_used: Count = 0
    local_gb: Count = 0
    local_gb_used: Count = 0
    free_ram_mb: int | None = None
    free_disk_gb: int | None = None
    disk_available_least: int | None = None
    current_workload: int | None = None
    running_vms: int | None = None
    cpu_allocation_ratio: Ratio = 0.0
    ram_allocation_ratio: Ratio = 0.0
    disk_allocation_ratio: Ratio = 0.0
    cpu_info: str | None = None
    metrics: str | None = None
    stats: Mapping[str, str | None] | None = None
    numa_topology: str | None = None
    supported_hv_specs: Sequence[HVSpec] | Unset = UNSET
    pci_device_pools: Annotated[Sequence[PciDevicePool], Note.BOXED] | None = None
    mapped: Count = 0
    revision: Revision = 0


@value
class Service(PersistentValue):
    """A process of the control plane, and when it was last heard of. Nova's Service 1.22."""

    id: int | Unset = UNSET
    uuid: Uuid | Unset = UNSET
    host: str | None = None
    binary: str | None = None
    topic: str | None = None
    report_count: Count = 0
    disabled: bool = False
    disabled_reason: str | None = None
    availability_zone: str | Unset | None = UNSET
    compute_node: ComputeNode | Unset = UNSET
    last_seen_up: datetime | None = None
    forced_down: bool = False
    version: int | Unset = UNSET
