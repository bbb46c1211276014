"""PCI devices: what a guest asks for, what it holds, what a host has to give."""

from collections.abc import Mapping, Sequence

from novastate.objects.base import Record, value
from novastate.objects.marks import Count, Uuid
from novastate.objects.persistent import PersistentValue
from novastate.objects.values import EMPTY, UNSET, Unset
from novastate.objects.vocabulary import PciDeviceStatus, PciDeviceType, PCINUMAAffinityPolicy

__all__ = ["InstancePCIRequest", "InstancePCIRequests", "PciDevice", "PciDevicePool"]


@value
class InstancePCIRequest(Record):
    """So many devices that match one of *spec*. Nova's InstancePCIRequest 1.4."""

    count: Count
    spec: Sequence[Mapping[str, str | None]] = ()
    alias_name: str | None = None
    is_new: bool = False
    numa_policy: PCINUMAAffinityPolicy | None = None
    request_id: Uuid | None = None
    requester_id: str | None = None


@value
class InstancePCIRequests(Record):
    """All PCI requests of a guest. Nova's InstancePCIRequests 1.1."""

    instance_uuid: Uuid | Unset = UNSET
    requests: Sequence[InstancePCIRequest] = ()


@value
class PciDevice(PersistentValue):
    """One device of a host. Nova's PciDevice 1.7."""

    id: int | Unset = UNSET
    uuid: Uuid | Unset = UNSET
    compute_node_id: int | None = None
    address: str
    vendor_id: str
    product_id: str
    dev_type: PciDeviceType
    status: PciDeviceStatus
    dev_id: str | None = None
    label: str | None = None
    instance_uuid: str | None = None
    request_id: str | None = None
    extra_info: Mapping[str, str] = EMPTY
    numa_node: int | None = None
    parent_addr: str | None = None


@value
class PciDevicePool(Record):
    """Devices of a host that are alike, counted. Nova's PciDevicePool 1.1."""

    vendor_id: str
    product_id: str
    numa_node: int | None = None
    tags: Mapping[str, str | None] = EMPTY
    count: Count
