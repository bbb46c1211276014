"""The devices of a guest that its user tagged, and where they are plugged.

Nova checks how the address on a USB, SCSI, IDE or Xen bus begins, and no more (AddressBase in its ``objects/fields.py``): the
libvirt driver's ``0:0:0:1`` is an IDE address. So do we.
"""

from collections.abc import Sequence
from typing import Annotated

from novastate.objects.base import Record, value
from novastate.objects.marks import Count, MacAddress, Note, Pattern
from novastate.objects.values import UNSET, Unset

__all__ = [
    "DeviceBus",
    "DeviceMetadata",
    "DiskMetadata",
    "IDEDeviceBus",
    "InstanceDeviceMetadata",
    "NetworkInterfaceMetadata",
    "PCIDeviceBus",
    "SCSIDeviceBus",
    "ShareMetadata",
    "USBDeviceBus",
    "XenDeviceBus",
]


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

    address: Annotated[str, Pattern(r"[a-f0-9]+:[a-f0-9]+(?s:.*)", "a USB address")]


@value
class SCSIDeviceBus(DeviceBus):
    """A SCSI address. Nova's SCSIDeviceBus 1.0."""

    address: Annotated[str, Pattern(r"[a-f0-9]+:[a-f0-9]+:[a-f0-9]+:[a-f0-9]+(?s:.*)", "a SCSI address")]


@value
class IDEDeviceBus(DeviceBus):
    """An IDE address. Nova's IDEDeviceBus 1.0."""

    address: Annotated[str, Pattern(r"[0-1]:[0-1](?s:.*)", "an IDE address")]


@value
class XenDeviceBus(DeviceBus):
    """A Xen address. Nova's XenDeviceBus 1.0."""

    address: Annotated[str, Pattern(r"((00[0-9]{2}00)|[1-9][0-9]+)(?s:.*)", "a Xen address")]


@value
class DeviceMetadata(Record):
    """A device and the tags that the user gave it. Nova's DeviceMetadata 1.0."""

    bus: Annotated[DeviceBus, Note.POLYMORPHIC] | Unset = UNSET
    tags: Sequence[str] | Unset = UNSET


@value
class NetworkInterfaceMetadata(DeviceMetadata):
    """A tagged network interface. Nova's NetworkInterfaceMetadata 1.2."""

    mac: MacAddress
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
