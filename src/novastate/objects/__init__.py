"""Domain objects: instances, migrations, requests and their parts, typed, checked, with Nova's fields.

Names are imported when first used, each with its family of classes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novastate.objects.aggregate import Aggregate
    from novastate.objects.allocation import Allocation
    from novastate.objects.base import Record, evolve, unset
    from novastate.objects.block_device import BlockDeviceMapping
    from novastate.objects.build_request import BuildRequest
    from novastate.objects.cells import CellMapping, HostMapping, InstanceMapping
    from novastate.objects.compute_node import ComputeNode, HVSpec, Service
    from novastate.objects.console import ConsoleAuthToken
    from novastate.objects.convert import dumps, loads
    from novastate.objects.converters import configure, make_converter, wire_errors
    from novastate.objects.devices import (
        DeviceBus,
        DeviceMetadata,
        DiskMetadata,
        IDEDeviceBus,
        InstanceDeviceMetadata,
        NetworkInterfaceMetadata,
        PCIDeviceBus,
        SCSIDeviceBus,
        ShareMetadata,
        USBDeviceBus,
        XenDeviceBus,
    )
    from novastate.objects.diagnostics import (
        CpuDiagnostics,
        Diagnostics,
        DiskDiagnostics,
        MemoryDiagnostics,
        NicDiagnostics,
    )
    from novastate.objects.ec2 import EC2Ids, EC2InstanceMapping, S3ImageMapping
    from novastate.objects.flavor import Flavor
    from novastate.objects.host_numa import NUMACell, NUMAPagesTopology, NUMATopology
    from novastate.objects.image import ImageMeta, ImageMetaProps
    from novastate.objects.instance import Instance
    from novastate.objects.instance_action import InstanceAction, InstanceActionEvent, InstanceExternalEvent
    from novastate.objects.lists import (
        AggregateList,
        BlockDeviceMappingList,
        BuildRequestList,
        CellMappingList,
        ComputeNodeList,
        FlavorList,
        HostMappingList,
        InstanceActionEventList,
        InstanceActionList,
        InstanceFaultList,
        InstanceGroupList,
        InstanceList,
        InstanceMappingList,
        KeyPairList,
        MigrationList,
        MonitorMetricList,
        NetworkRequestList,
        PciDeviceList,
        PciDevicePoolList,
        RecordList,
        ResourceList,
        SecurityGroupList,
        ServiceList,
        ShareMappingList,
        TagList,
        TaskLogList,
        VirtualInterfaceList,
    )
    from novastate.objects.live_migrate_data import (
        HyperVLiveMigrateData,
        LibvirtLiveMigrateBDMInfo,
        LibvirtLiveMigrateData,
        LibvirtLiveMigrateNUMAInfo,
        LiveMigrateData,
        VIFMigrateData,
        VMwareLiveMigrateData,
    )
    from novastate.objects.migration import Migration, MigrationContext
    from novastate.objects.monitor_metric import MonitorMetric
    from novastate.objects.network import VIF, FixedIP, NetworkModel, Route, Subnet
    from novastate.objects.parts import (
        InstanceFault,
        InstanceGroup,
        InstanceInfoCache,
        KeyPair,
        SecurityGroup,
        Tag,
        TrustedCerts,
    )
    from novastate.objects.pci import InstancePCIRequest, InstancePCIRequests, PciDevice, PciDevicePool
    from novastate.objects.quotas import Quotas, QuotasNoOp
    from novastate.objects.request_spec import (
        Destination,
        NetworkRequest,
        RequestGroup,
        RequestLevelParams,
        RequestSpec,
        SchedulerLimits,
        SchedulerRetries,
    )
    from novastate.objects.resources import LibvirtVPMEMDevice, Resource, ResourceMetadata
    from novastate.objects.selection import Selection
    from novastate.objects.share_mapping import ShareMapping
    from novastate.objects.topology import (
        InstanceNUMACell,
        InstanceNUMATopology,
        NetworkMetadata,
        NUMATopologyLimits,
        VirtCPUFeature,
        VirtCPUModel,
        VirtCPUTopology,
    )
    from novastate.objects.tracking import changes, mark_saved
    from novastate.objects.usage import TaskLog, VolumeUsage
    from novastate.objects.values import UNSET, FrozenDict, Unset
    from novastate.objects.virtual_interface import VirtualInterface

__all__ = [
    "UNSET",
    "VIF",
    "Aggregate",
    "AggregateList",
    "Allocation",
    "BlockDeviceMapping",
    "BlockDeviceMappingList",
    "BuildRequest",
    "BuildRequestList",
    "CellMapping",
    "CellMappingList",
    "ComputeNode",
    "ComputeNodeList",
    "ConsoleAuthToken",
    "CpuDiagnostics",
    "Destination",
    "DeviceBus",
    "DeviceMetadata",
    "Diagnostics",
    "DiskDiagnostics",
    "DiskMetadata",
    "EC2Ids",
    "EC2InstanceMapping",
    "FixedIP",
    "Flavor",
    "FlavorList",
    "FrozenDict",
    "HVSpec",
    "HostMapping",
    "HostMappingList",
    "HyperVLiveMigrateData",
    "IDEDeviceBus",
    "ImageMeta",
    "ImageMetaProps",
    "Instance",
    "InstanceAction",
    "InstanceActionEvent",
    "InstanceActionEventList",
    "InstanceActionList",
    "InstanceDeviceMetadata",
    "InstanceExternalEvent",
    "InstanceFault",
    "InstanceFaultList",
    "InstanceGroup",
    "InstanceGroupList",
    "InstanceInfoCache",
    "InstanceList",
    "InstanceMapping",
    "InstanceMappingList",
    "InstanceNUMACell",
    "InstanceNUMATopology",
    "InstancePCIRequest",
    "InstancePCIRequests",
    "KeyPair",
    "KeyPairList",
    "LibvirtLiveMigrateBDMInfo",
    "LibvirtLiveMigrateData",
    "LibvirtLiveMigrateNUMAInfo",
    "LibvirtVPMEMDevice",
    "LiveMigrateData",
    "MemoryDiagnostics",
    "Migration",
    "MigrationContext",
    "MigrationList",
    "MonitorMetric",
    "MonitorMetricList",
    "NUMACell",
    "NUMAPagesTopology",
    "NUMATopology",
    "NUMATopologyLimits",
    "NetworkInterfaceMetadata",
    "NetworkMetadata",
    "NetworkModel",
    "NetworkRequest",
    "NetworkRequestList",
    "NicDiagnostics",
    "PCIDeviceBus",
    "PciDevice",
    "PciDeviceList",
    "PciDevicePool",
    "PciDevicePoolList",
    "Quotas",
    "QuotasNoOp",
    "Record",
    "RecordList",
    "RequestGroup",
    "RequestLevelParams",
    "RequestSpec",
    "Resource",
    "ResourceList",
    "ResourceMetadata",
    "Route",
    "S3ImageMapping",
    "SCSIDeviceBus",
    "SchedulerLimits",
    "SchedulerRetries",
    "SecurityGroup",
    "SecurityGroupList",
    "Selection",
    "Service",
    "ServiceList",
    "ShareMapping",
    "ShareMappingList",
    "ShareMetadata",
    "Subnet",
    "Tag",
    "TagList",
    "TaskLog",
    "TaskLogList",
    "TrustedCerts",
    "USBDeviceBus",
    "Unset",
    "VIFMigrateData",
    "VMwareLiveMigrateData",
    "VirtCPUFeature",
    "VirtCPUModel",
    "VirtCPUTopology",
    "VirtualInterface",
    "VirtualInterfaceList",
    "VolumeUsage",
    "XenDeviceBus",
    "changes",
    "configure",
    "dumps",
    "evolve",
    "loads",
    "make_converter",
    "mark_saved",
    "unset",
    "wire_errors",
]

_HOMES = {
    "aggregate": ("Aggregate",),
    "allocation": ("Allocation",),
    "base": ("Record", "evolve", "unset"),
    "block_device": ("BlockDeviceMapping",),
    "build_request": ("BuildRequest",),
    "cells": ("CellMapping", "HostMapping", "InstanceMapping"),
    "tracking": ("changes", "mark_saved"),
    "compute_node": ("ComputeNode", "HVSpec", "Service"),
    "console": ("ConsoleAuthToken",),
    "convert": ("dumps", "loads"),
    "converters": ("configure", "make_converter", "wire_errors"),
    "devices": (
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
    ),
    "diagnostics": ("CpuDiagnostics", "Diagnostics", "DiskDiagnostics", "MemoryDiagnostics", "NicDiagnostics"),
    "ec2": ("EC2Ids", "EC2InstanceMapping", "S3ImageMapping"),
    "flavor": ("Flavor",),
    "host_numa": ("NUMACell", "NUMAPagesTopology", "NUMATopology"),
    "image": ("ImageMeta", "ImageMetaProps"),
    "instance": ("Instance",),
    "instance_action": ("InstanceAction", "InstanceActionEvent", "InstanceExternalEvent"),
    "lists": (
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
    ),
    "live_migrate_data": (
        "HyperVLiveMigrateData",
        "LibvirtLiveMigrateBDMInfo",
        "LibvirtLiveMigrateData",
        "LibvirtLiveMigrateNUMAInfo",
        "LiveMigrateData",
        "VIFMigrateData",
        "VMwareLiveMigrateData",
    ),
    "migration": ("Migration", "MigrationContext"),
    "monitor_metric": ("MonitorMetric",),
    "network": ("VIF", "FixedIP", "NetworkModel", "Route", "Subnet"),
    "parts": ("InstanceFault", "InstanceGroup", "InstanceInfoCache", "KeyPair", "SecurityGroup", "Tag", "TrustedCerts"),
    "pci": ("InstancePCIRequest", "InstancePCIRequests", "PciDevice", "PciDevicePool"),
    "quotas": ("Quotas", "QuotasNoOp"),
    "request_spec": (
        "Destination",
        "NetworkRequest",
        "RequestGroup",
        "RequestLevelParams",
        "RequestSpec",
        "SchedulerLimits",
        "SchedulerRetries",
    ),
    "resources": ("LibvirtVPMEMDevice", "Resource", "ResourceMetadata"),
    "selection": ("Selection",),
    "share_mapping": ("ShareMapping",),
    "topology": (
        "InstanceNUMACell",
        "InstanceNUMATopology",
        "NetworkMetadata",
        "NUMATopologyLimits",
        "VirtCPUFeature",
        "VirtCPUModel",
        "VirtCPUTopology",
    ),
    "usage": ("TaskLog", "VolumeUsage"),
    "values": ("UNSET", "FrozenDict", "Unset"),
    "virtual_interface": ("VirtualInterface",),
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
