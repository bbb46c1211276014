"""Nova's lists: what travels where it sends several objects of one class.

Rules of this file:

1. A list is a value with one field, *objects*, and a sequence that cannot change. A slice of it is a list of the same class.
2. A field of another object that Nova keeps in such a list is a plain sequence of ours (``server.tags[0].tag``), marked
   :data:`~novastate.objects.marks.Note.BOXED`.

They have a file of their own, so that who has instances need not load whatever else there are lists of.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self, TypeVar, overload

from novastate.objects.aggregate import Aggregate
from novastate.objects.base import Record, value
from novastate.objects.block_device import BlockDeviceMapping
from novastate.objects.build_request import BuildRequest
from novastate.objects.cells import CellMapping, HostMapping, InstanceMapping
from novastate.objects.compute_node import ComputeNode, Service
from novastate.objects.flavor import Flavor
from novastate.objects.instance import Instance
from novastate.objects.instance_action import InstanceAction, InstanceActionEvent
from novastate.objects.migration import Migration
from novastate.objects.monitor_metric import MonitorMetric
from novastate.objects.parts import InstanceFault, InstanceGroup, KeyPair, SecurityGroup, Tag
from novastate.objects.pci import PciDevice, PciDevicePool
from novastate.objects.request_spec import NetworkRequest
from novastate.objects.resources import Resource
from novastate.objects.share_mapping import ShareMapping
from novastate.objects.usage import TaskLog
from novastate.objects.virtual_interface import VirtualInterface

__all__ = [
    "AggregateList",
    "BlockDeviceMappingList",
    "BuildRequestList",
    "CellMappingList",
    "ComputeNodeList",
    "FlavorList",
    "HostMappingList",
    "InstanceActionEventList",
    "InstanceActionList",
    "InstanceFaultList",
    "InstanceGroupList",
    "InstanceList",
    "InstanceMappingList",
    "KeyPairList",
    "MigrationList",
    "MonitorMetricList",
    "NetworkRequestList",
    "PciDeviceList",
    "PciDevicePoolList",
    "RecordList",
    "ResourceList",
    "SecurityGroupList",
    "ServiceList",
    "ShareMappingList",
    "TagList",
    "TaskLogList",
    "VirtualInterfaceList",
]

T = TypeVar("T", bound=Record)


class RecordList(Record, Sequence[T]):
    """Several objects of one class, in order; the base of Nova's lists.

    >>> tags = TagList(objects=[Tag(resource_id="a", tag="web"), Tag(resource_id="a", tag="blue")])
    >>> len(tags), tags[1].tag, [tag.tag for tag in tags[:1]]
    (2, 'blue', ['web'])
    >>> tags[:1]
    TagList(objects=(Tag(resource_id='a', tag='web'),))
    """

    __slots__ = ()

    if TYPE_CHECKING:
        objects: Sequence[T]

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> "T | Self":
        if isinstance(index, slice):
            return type(self)(objects=self.objects[index])  # type: ignore[call-arg]
        return self.objects[index]

    def __len__(self) -> int:
        return len(self.objects)


@value
class AggregateList(RecordList[Aggregate]):
    """Host aggregates. Nova's AggregateList 1.3."""

    objects: Sequence[Aggregate] = ()


@value
class BlockDeviceMappingList(RecordList[BlockDeviceMapping]):
    """The disks of one instance or of several. Nova's BlockDeviceMappingList 1.18."""

    objects: Sequence[BlockDeviceMapping] = ()


@value
class BuildRequestList(RecordList[BuildRequest]):
    """Build requests. Nova's BuildRequestList 1.0."""

    objects: Sequence[BuildRequest] = ()


@value
class CellMappingList(RecordList[CellMapping]):
    """Cells. Nova's CellMappingList 1.1."""

    objects: Sequence[CellMapping] = ()


@value
class ComputeNodeList(RecordList[ComputeNode]):
    """Hosts. Nova's ComputeNodeList 1.17."""

    objects: Sequence[ComputeNode] = ()


@value
class FlavorList(RecordList[Flavor]):
    """Flavors. Nova's FlavorList 1.1."""

    objects: Sequence[Flavor] = ()


@value
class HostMappingList(RecordList[HostMapping]):
    """Hosts and their cells. Nova's HostMappingList 1.1."""

    objects: Sequence[HostMapping] = ()


@value
class InstanceActionEventList(RecordList[InstanceActionEvent]):
    """The steps of an action. Nova's InstanceActionEventList 1.1."""

    objects: Sequence[InstanceActionEvent] = ()


@value
class InstanceActionList(RecordList[InstanceAction]):
    """The actions of an instance. Nova's InstanceActionList 1.1."""

    objects: Sequence[InstanceAction] = ()


@value
class InstanceFaultList(RecordList[InstanceFault]):
    """What went wrong with instances. Nova's InstanceFaultList 1.2."""

    objects: Sequence[InstanceFault] = ()


@value
class InstanceGroupList(RecordList[InstanceGroup]):
    """Groups of servers. Nova's InstanceGroupList 1.8."""

    objects: Sequence[InstanceGroup] = ()


@value
class InstanceList(RecordList[Instance]):
    """Instances. Nova's InstanceList 2.6."""

    objects: Sequence[Instance] = ()


@value
class InstanceMappingList(RecordList[InstanceMapping]):
    """Instances and their cells. Nova's InstanceMappingList 1.3."""

    objects: Sequence[InstanceMapping] = ()


@value
class KeyPairList(RecordList[KeyPair]):
    """Key pairs. Nova's KeyPairList 1.3."""

    objects: Sequence[KeyPair] = ()


@value
class MigrationList(RecordList[Migration]):
    """Migrations. Nova's MigrationList 1.5."""

    objects: Sequence[Migration] = ()


@value
class MonitorMetricList(RecordList[MonitorMetric]):
    """The readings of the monitors of a host. Nova's MonitorMetricList 1.1."""

    objects: Sequence[MonitorMetric] = ()


@value
class NetworkRequestList(RecordList[NetworkRequest]):
    """The networks that a user asked for. Nova's NetworkRequestList 1.1."""

    objects: Sequence[NetworkRequest] = ()


@value
class PciDeviceList(RecordList[PciDevice]):
    """PCI devices. Nova's PciDeviceList 1.3."""

    objects: Sequence[PciDevice] = ()


@value
class PciDevicePoolList(RecordList[PciDevicePool]):
    """PCI devices of a host, counted by kind. Nova's PciDevicePoolList 1.1."""

    objects: Sequence[PciDevicePool] = ()


@value
class ResourceList(RecordList[Resource]):
    """Resources that are counted one by one. Nova's ResourceList 1.0."""

    objects: Sequence[Resource] = ()


@value
class SecurityGroupList(RecordList[SecurityGroup]):
    """Security groups. Nova's SecurityGroupList 1.1."""

    objects: Sequence[SecurityGroup] = ()


@value
class ServiceList(RecordList[Service]):
    """Services. Nova's ServiceList 1.19."""

    objects: Sequence[Service] = ()


@value
class ShareMappingList(RecordList[ShareMapping]):
    """The file shares of an instance. Nova's ShareMappingList 1.1."""

    objects: Sequence[ShareMapping] = ()


@value
class TagList(RecordList[Tag]):
    """The tags of an instance. Nova's TagList 1.1."""

    objects: Sequence[Tag] = ()


@value
class TaskLogList(RecordList[TaskLog]):
    """Runs of periodic tasks. Nova's TaskLogList 1.0."""

    objects: Sequence[TaskLog] = ()


@value
class VirtualInterfaceList(RecordList[VirtualInterface]):
    """Virtual interfaces. Nova's VirtualInterfaceList 1.0."""

    objects: Sequence[VirtualInterface] = ()
