"""The small parts that instances and requests are made of: tags, keys, groups, faults, devices, resources."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from novastate.objects.base import Record, value
from novastate.objects.marks import Count, Note, Pattern, SecretStr, Uuid, Wire
from novastate.objects.network import VIF
from novastate.objects.persistent import PersistentValue
from novastate.objects.values import EMPTY, UNSET, Unset

__all__ = [
    "DeviceBus",
    "DeviceMetadata",
    "DiskMetadata",
    "EC2Ids",
    "IDEDeviceBus",
    "InstanceDeviceMetadata",
    "InstanceFault",
    "InstanceGroup",
    "InstanceInfoCache",
    "KeyPair",
    "LibvirtVPMEMDevice",
    "NetworkInterfaceMetadata",
    "PCIDeviceBus",
    "Resource",
    "ResourceMetadata",
    "SCSIDeviceBus",
    "SecurityGroup",
    "ShareMetadata",
    "Tag",
    "TrustedCerts",
    "USBDeviceBus",
    "XenDeviceBus",
]


@value
class EC2Ids(Record):
    """The names of the instance in the EC2 API. Nova's EC2Ids 1.0."""

    instance_id: str
    ami_id: str | Unset | None = UNSET
    kernel_id: str | Unset | None = UNSET
    ramdisk_id: str | Unset | None = UNSET


@value
class InstanceFault(PersistentValue):
    """What went wrong with an instance. Nova's InstanceFault 1.2."""

    id: int | Unset = UNSET
    instance_uuid: Uuid
    code: int
    message: str | None = None
    details: str | None = None
    host: str | None = None


@value
class InstanceInfoCache(PersistentValue):
    """The network interfaces of an instance, as last seen. Nova's InstanceInfoCache 1.5."""

    instance_uuid: Uuid
    network_info: Sequence[VIF] | None = None


@value
class KeyPair(PersistentValue):
    """A key pair of a user. Nova's KeyPair 1.4."""

    id: int | Unset = UNSET
    name: str
    user_id: str | None = None
    fingerprint: str | None = None
    public_key: SecretStr | None = None
    type: str = "ssh"


@value
class SecurityGroup(PersistentValue):
    """A security group. Nova's SecurityGroup 1.2."""

    id: int | Unset = UNSET
    uuid: Uuid | Unset = UNSET
    name: str | Unset = UNSET
    description: str | Unset = UNSET
    user_id: str | Unset = UNSET
    project_id: str | Unset = UNSET


@value
class Tag(Record):
    """A tag on a resource. Nova's Tag 1.1."""

    resource_id: str
    tag: str


@value
class TrustedCerts(Record):
    """The certificates that the image's signature is checked against. Nova's TrustedCerts 1.0."""

    ids: Sequence[str] = ()


@value
class InstanceGroup(PersistentValue):
    """Servers that belong together or apart. Nova's InstanceGroup 1.11."""

    id: int | Unset = UNSET
    uuid: Uuid | Unset = UNSET
    user_id: str | None = None
    project_id: str | None = None
    name: str | None = None
    policies: Sequence[str] | Unset | None = UNSET
    members: Sequence[str] | Unset | None = UNSET
    hosts: Sequence[str] | Unset | None = UNSET
    policy: str | None = None
    rules: Annotated[Mapping[str, str], Wire("_rules")] = EMPTY


# --- devices and where they are plugged


@value
class DeviceBus(Record):
    """Where a device is plugged. Nova's DeviceBus 1.0."""


@value
class PCIDeviceBus(DeviceBus):
    """A PCI address. Nova's PCIDeviceBus 1.0."""

    address: Annotated[str, Pattern(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-1][0-9a-f].[0-7]", "a PCI address")]


@value
class USBDeviceBus(DeviceBus):
    """A USB address. Nova's USBDeviceBus 1.0."""

    address: Annotated[str, Pattern(r"[a-f0-9]+:[a-f0-9]+", "a USB address")]


@value
class SCSIDeviceBus(DeviceBus):
    """A SCSI address. Nova's SCSIDeviceBus 1.0."""

    address: Annotated[str, Pattern(r"[a-f0-9]+:[a-f0-9]+:[a-f0-9]+:[a-f0-9]+", "a SCSI address")]


@value
class IDEDeviceBus(DeviceBus):
    """An IDE address. Nova's IDEDeviceBus 1.0."""

    address: Annotated[str, Pattern(r"[0-1]:[0-1]", "an IDE address")]


@value
class XenDeviceBus(DeviceBus):
    """A Xen address. Nova's XenDeviceBus 1.0."""

    address: Annotated[str, Pattern(r"(00[0-9]{2}00)|[1-9][0-9]+", "a Xen address")]


@value
class DeviceMetadata(Record):
    """A device and the tags that the user gave it. Nova's DeviceMetadata 1.0."""

    bus: Annotated[DeviceBus, Note.POLYMORPHIC] | Unset = UNSET
    tags: Sequence[str] | Unset = UNSET


@value
class NetworkInterfaceMetadata(DeviceMetadata):
    """A tagged network interface. Nova's NetworkInterfaceMetadata 1.2."""

    mac: Annotated[str, Pattern(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", "a MAC address")]
    vlan: Count | Unset = UNSET
    vf_trusted: bool = False


@value
class DiskMetadata(DeviceMetadata):
    """A tagged disk. Nova's DiskMetadata 1.0."""

    serial: str | Unset | None = UNSET
    path: str | Unset | None = UNSET


@value
class ShareMetadata(DeviceMetadata):
    """A tagged file share. Nova's ShareMetadata 1.0."""

    share_id: str | Unset | None = UNSET
    tag: str | Unset | None = UNSET


@value
class InstanceDeviceMetadata(Record):
    """All tagged devices of an instance. Nova's InstanceDeviceMetadata 1.0."""

    devices: Sequence[Annotated[DeviceMetadata, Note.POLYMORPHIC]] = ()


# --- resources that are counted one by one


@value
class ResourceMetadata(Record):
    """What a driver needs to know of a resource. Nova's ResourceMetadata 1.0."""


@value
class LibvirtVPMEMDevice(ResourceMetadata):
    """A virtual persistent memory namespace; *size* and *align* in bytes. Nova's LibvirtVPMEMDevice 1.0."""

    label: str
    name: str
    devpath: str
    size: Count
    align: Count


@value
class Resource(Record):
    """One resource of a provider, given to an instance. Nova's Resource 1.0."""

    provider_uuid: Uuid
    resource_class: Annotated[str, Pattern(r"[A-Z0-9_]+", "a resource class")]
    identifier: str
    metadata: Annotated[ResourceMetadata, Note.POLYMORPHIC] | Unset = UNSET
