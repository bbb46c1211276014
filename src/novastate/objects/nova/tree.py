"""Which objects an object of Nova holds, by field: the edges along which versions and backports go.

Rules of this file: a row names the fields that hold an object, or a list of objects, of a declared kind; where a subclass
may stand (a bus, a device, a resource's metadata), the kind is the base, as Nova declares it. An object called ``…List``
is a box: it holds what it is named for in ``objects``, and has no row.

Source: the fields of the classes in ``nova/objects/*.py`` of Nova 34.0.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

__all__ = ["BOX", "EDGES", "copied", "edges"]

#: The field in which a box holds its objects.
BOX: Final = "objects"

#: Object: field: the object it holds. Boxes are left out.
EDGES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "BlockDeviceMapping": {"instance": "Instance"},
        "BuildRequest": {"block_device_mappings": "BlockDeviceMappingList", "instance": "Instance", "tags": "TagList"},
        "ComputeNode": {"pci_device_pools": "PciDevicePoolList", "supported_hv_specs": "HVSpec"},
        "Destination": {"cell": "CellMapping"},
        "DeviceMetadata": {"bus": "DeviceBus"},
        "Diagnostics": {
            "cpu_details": "CpuDiagnostics",
            "disk_details": "DiskDiagnostics",
            "memory_details": "MemoryDiagnostics",
            "nic_details": "NicDiagnostics",
        },
        "DiskMetadata": {"bus": "DeviceBus"},
        "HostMapping": {"cell_mapping": "CellMapping"},
        "HyperVLiveMigrateData": {"migration": "Migration", "vifs": "VIFMigrateData"},
        "ImageMeta": {"properties": "ImageMetaProps"},
        "Instance": {
            "device_metadata": "InstanceDeviceMetadata",
            "ec2_ids": "EC2Ids",
            "fault": "InstanceFault",
            "flavor": "Flavor",
            "info_cache": "InstanceInfoCache",
            "keypairs": "KeyPairList",
            "migration_context": "MigrationContext",
            "new_flavor": "Flavor",
            "numa_topology": "InstanceNUMATopology",
            "old_flavor": "Flavor",
            "pci_devices": "PciDeviceList",
            "pci_requests": "InstancePCIRequests",
            "resources": "ResourceList",
            "security_groups": "SecurityGroupList",
            "services": "ServiceList",
            "tags": "TagList",
            "trusted_certs": "TrustedCerts",
            "vcpu_model": "VirtCPUModel",
        },
        "InstanceDeviceMetadata": {"devices": "DeviceMetadata"},
        "InstanceMapping": {"cell_mapping": "CellMapping"},
        "InstanceNUMACell": {"cpu_topology": "VirtCPUTopology"},
        "InstanceNUMATopology": {"cells": "InstanceNUMACell"},
        "InstancePCIRequests": {"requests": "InstancePCIRequest"},
        "LibvirtLiveMigrateData": {
            "bdms": "LibvirtLiveMigrateBDMInfo",
            "dst_numa_info": "LibvirtLiveMigrateNUMAInfo",
            "migration": "Migration",
            "vifs": "VIFMigrateData",
        },
        "MigrationContext": {
            "new_numa_topology": "InstanceNUMATopology",
            "new_pci_devices": "PciDeviceList",
            "new_pci_requests": "InstancePCIRequests",
            "new_resources": "ResourceList",
            "old_numa_topology": "InstanceNUMATopology",
            "old_pci_devices": "PciDeviceList",
            "old_pci_requests": "InstancePCIRequests",
            "old_resources": "ResourceList",
        },
        "NUMACell": {"mempages": "NUMAPagesTopology", "network_metadata": "NetworkMetadata"},
        "NUMATopology": {"cells": "NUMACell"},
        "NUMATopologyLimits": {"network_metadata": "NetworkMetadata"},
        "NetworkInterfaceMetadata": {"bus": "DeviceBus"},
        "RequestSpec": {
            "flavor": "Flavor",
            "image": "ImageMeta",
            "instance_group": "InstanceGroup",
            "limits": "SchedulerLimits",
            "network_metadata": "NetworkMetadata",
            "numa_topology": "InstanceNUMATopology",
            "pci_requests": "InstancePCIRequests",
            "request_level_params": "RequestLevelParams",
            "requested_destination": "Destination",
            "requested_networks": "NetworkRequestList",
            "requested_resources": "RequestGroup",
            "retry": "SchedulerRetries",
            "security_groups": "SecurityGroupList",
        },
        "Resource": {"metadata": "ResourceMetadata"},
        "SchedulerLimits": {"numa_topology": "NUMATopologyLimits"},
        "SchedulerRetries": {"hosts": "ComputeNodeList"},
        "Selection": {"limits": "SchedulerLimits"},
        "Service": {"compute_node": "ComputeNode"},
        "ShareMetadata": {"bus": "DeviceBus"},
        "VMwareLiveMigrateData": {"migration": "Migration", "vifs": "VIFMigrateData"},
        "VirtCPUModel": {"features": "VirtCPUFeature", "topology": "VirtCPUTopology"},
    }
)

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def edges(name: str) -> Mapping[str, str]:
    """The fields of the object *name* that hold objects, each with the declared kind of what it holds.

    >>> edges("SchedulerLimits")
    {'numa_topology': 'NUMATopologyLimits'}
    >>> edges("InstanceList")
    {'objects': 'Instance'}
    """
    if name.endswith("List"):
        return {BOX: name.removesuffix("List")}
    return EDGES.get(name, _NONE)


#: What has no inside.
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def copied(primitive: Any) -> Any:
    """A copy of a primitive, whose containers are new; :class:`RecursionError` where it is nested too deeply."""
    if isinstance(primitive, Mapping):
        return {key: held if held.__class__ in _PLAIN else copied(held) for key, held in primitive.items()}
    if isinstance(primitive, list | tuple):
        return [held if held.__class__ in _PLAIN else copied(held) for held in primitive]
    return primitive
