"""Domain objects: instances, migrations, requests and their parts, typed, checked, with Nova's fields.

Names are imported when first used, each with its family of classes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novastate.objects.allocation import Allocation
    from novastate.objects.base import Record, evolve, unset
    from novastate.objects.compute_node import ComputeNode, HVSpec, Service
    from novastate.objects.convert import configure, dumps, loads, make_converter
    from novastate.objects.flavor import Flavor
    from novastate.objects.host_numa import NUMACell, NUMAPagesTopology, NUMATopology
    from novastate.objects.image import ImageMeta, ImageMetaProps
    from novastate.objects.instance import Instance
    from novastate.objects.live_migrate_data import (
        LibvirtLiveMigrateBDMInfo,
        LibvirtLiveMigrateData,
        LibvirtLiveMigrateNUMAInfo,
        LiveMigrateData,
        VIFMigrateData,
    )
    from novastate.objects.migration import Migration, MigrationContext
    from novastate.objects.network import VIF, FixedIP, NetworkModel, Route, Subnet
    from novastate.objects.parts import (
        DeviceBus,
        DeviceMetadata,
        DiskMetadata,
        EC2Ids,
        IDEDeviceBus,
        InstanceDeviceMetadata,
        InstanceFault,
        InstanceGroup,
        InstanceInfoCache,
        KeyPair,
        LibvirtVPMEMDevice,
        NetworkInterfaceMetadata,
        PCIDeviceBus,
        Resource,
        ResourceMetadata,
        SCSIDeviceBus,
        SecurityGroup,
        ShareMetadata,
        Tag,
        TrustedCerts,
        USBDeviceBus,
        XenDeviceBus,
    )
    from novastate.objects.pci import InstancePCIRequest, InstancePCIRequests, PciDevice, PciDevicePool
    from novastate.objects.request_spec import (
        CellMapping,
        Destination,
        NetworkRequest,
        RequestGroup,
        RequestLevelParams,
        RequestSpec,
        SchedulerLimits,
        SchedulerRetries,
    )
    from novastate.objects.topology import (
        InstanceNUMACell,
        InstanceNUMATopology,
        NetworkMetadata,
        NUMATopologyLimits,
        VirtCPUFeature,
        VirtCPUModel,
        VirtCPUTopology,
    )
    from novastate.objects.values import UNSET, FrozenDict, Unset

__all__ = [
    "UNSET",
    "VIF",
    "Allocation",
    "CellMapping",
    "ComputeNode",
    "Destination",
    "DeviceBus",
    "DeviceMetadata",
    "DiskMetadata",
    "EC2Ids",
    "FixedIP",
    "Flavor",
    "FrozenDict",
    "HVSpec",
    "IDEDeviceBus",
    "ImageMeta",
    "ImageMetaProps",
    "Instance",
    "InstanceDeviceMetadata",
    "InstanceFault",
    "InstanceGroup",
    "InstanceInfoCache",
    "InstanceNUMACell",
    "InstanceNUMATopology",
    "InstancePCIRequest",
    "InstancePCIRequests",
    "KeyPair",
    "LibvirtLiveMigrateBDMInfo",
    "LibvirtLiveMigrateData",
    "LibvirtLiveMigrateNUMAInfo",
    "LibvirtVPMEMDevice",
    "LiveMigrateData",
    "Migration",
    "MigrationContext",
    "NUMACell",
    "NUMAPagesTopology",
    "NUMATopology",
    "NUMATopologyLimits",
    "NetworkInterfaceMetadata",
    "NetworkMetadata",
    "NetworkModel",
    "NetworkRequest",
    "PCIDeviceBus",
    "PciDevice",
    "PciDevicePool",
    "Record",
    "RequestGroup",
    "RequestLevelParams",
    "RequestSpec",
    "Resource",
    "ResourceMetadata",
    "Route",
    "SCSIDeviceBus",
    "SchedulerLimits",
    "SchedulerRetries",
    "SecurityGroup",
    "Service",
    "ShareMetadata",
    "Subnet",
    "Tag",
    "TrustedCerts",
    "USBDeviceBus",
    "Unset",
    "VIFMigrateData",
    "VirtCPUFeature",
    "VirtCPUModel",
    "VirtCPUTopology",
    "XenDeviceBus",
    "configure",
    "dumps",
    "evolve",
    "loads",
    "make_converter",
    "unset",
]

_HOMES = {
    "allocation": ("Allocation",),
    "base": ("Record", "evolve", "unset"),
    "compute_node": ("ComputeNode", "HVSpec", "Service"),
    "convert": ("configure", "dumps", "loads", "make_converter"),
    "flavor": ("Flavor",),
    "host_numa": ("NUMACell", "NUMAPagesTopology", "NUMATopology"),
    "image": ("ImageMeta", "ImageMetaProps"),
    "instance": ("Instance",),
    "live_migrate_data": (
        "LibvirtLiveMigrateBDMInfo",
        "LibvirtLiveMigrateData",
        "LibvirtLiveMigrateNUMAInfo",
        "LiveMigrateData",
        "VIFMigrateData",
    ),
    "migration": ("Migration", "MigrationContext"),
    "network": ("VIF", "FixedIP", "NetworkModel", "Route", "Subnet"),
    "parts": (
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
    ),
    "pci": ("InstancePCIRequest", "InstancePCIRequests", "PciDevice", "PciDevicePool"),
    "request_spec": (
        "CellMapping",
        "Destination",
        "NetworkRequest",
        "RequestGroup",
        "RequestLevelParams",
        "RequestSpec",
        "SchedulerLimits",
        "SchedulerRetries",
    ),
    "topology": (
        "InstanceNUMACell",
        "InstanceNUMATopology",
        "NetworkMetadata",
        "NUMATopologyLimits",
        "VirtCPUFeature",
        "VirtCPUModel",
        "VirtCPUTopology",
    ),
    "values": ("UNSET", "FrozenDict", "Unset"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
