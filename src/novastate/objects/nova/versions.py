"""The versions that Nova's objects have: now, before, in each release, and in the tree that an object is.

Rules of this file:

1. A version is a text ``"N.N"``: major and minor. Within a major, each minor only adds; between majors nothing is promised.
2. The versions here are those of Nova 34.0.0. What each one brought is in :data:`HISTORY`, what holds what in :mod:`tree`.
3. A manifest says for an object and all that it may hold which version is meant; it is what a Nova service sends along
   when it asks for an older form (``obj_tree_get_versions`` of oslo.versionedobjects).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Final

from novastate.errors import UnknownName, WireError, near
from novastate.objects.nova.history import HISTORY, Step
from novastate.objects.nova.tree import edges

__all__ = ["CURRENT", "HISTORY", "Step", "current", "manifest", "parse", "release_versions", "releases", "versions"]

#: The version of each object.
CURRENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Aggregate": "1.3",
        "AggregateList": "1.3",
        "BlockDeviceMapping": "1.21",
        "BlockDeviceMappingList": "1.18",
        "BuildRequest": "1.3",
        "BuildRequestList": "1.0",
        "CellMapping": "1.1",
        "CellMappingList": "1.1",
        "ComputeNode": "1.19",
        "ComputeNodeList": "1.17",
        "ConsoleAuthToken": "1.3",
        "CpuDiagnostics": "1.0",
        "Destination": "1.4",
        "DeviceBus": "1.0",
        "DeviceMetadata": "1.0",
        "Diagnostics": "1.0",
        "DiskDiagnostics": "1.0",
        "DiskMetadata": "1.0",
        "EC2Ids": "1.0",
        "EC2InstanceMapping": "1.0",
        "Flavor": "1.2",
        "FlavorList": "1.1",
        "HVSpec": "1.2",
        "HostMapping": "1.0",
        "HostMappingList": "1.1",
        "HyperVLiveMigrateData": "1.5",
        "IDEDeviceBus": "1.0",
        "ImageMeta": "1.8",
        "ImageMetaProps": "1.44",
        "Instance": "2.8",
        "InstanceAction": "1.2",
        "InstanceActionEvent": "1.4",
        "InstanceActionEventList": "1.1",
        "InstanceActionList": "1.1",
        "InstanceDeviceMetadata": "1.0",
        "InstanceExternalEvent": "1.5",
        "InstanceFault": "1.2",
        "InstanceFaultList": "1.2",
        "InstanceGroup": "1.11",
        "InstanceGroupList": "1.8",
        "InstanceInfoCache": "1.5",
        "InstanceList": "2.6",
        "InstanceMapping": "1.2",
        "InstanceMappingList": "1.3",
        "InstanceNUMACell": "1.6",
        "InstanceNUMATopology": "1.3",
        "InstancePCIRequest": "1.4",
        "InstancePCIRequests": "1.1",
        "KeyPair": "1.4",
        "KeyPairList": "1.3",
        "LibvirtLiveMigrateBDMInfo": "1.1",
        "LibvirtLiveMigrateData": "1.14",
        "LibvirtLiveMigrateNUMAInfo": "1.0",
        "LibvirtVPMEMDevice": "1.0",
        "MemoryDiagnostics": "1.0",
        "Migration": "1.8",
        "MigrationContext": "1.2",
        "MigrationList": "1.5",
        "MonitorMetric": "1.1",
        "MonitorMetricList": "1.1",
        "NUMACell": "1.5",
        "NUMAPagesTopology": "1.1",
        "NUMATopology": "1.2",
        "NUMATopologyLimits": "1.1",
        "NetworkInterfaceMetadata": "1.2",
        "NetworkMetadata": "1.0",
        "NetworkRequest": "1.3",
        "NetworkRequestList": "1.1",
        "NicDiagnostics": "1.0",
        "PCIDeviceBus": "1.0",
        "PciDevice": "1.7",
        "PciDeviceList": "1.3",
        "PciDevicePool": "1.1",
        "PciDevicePoolList": "1.1",
        "Quotas": "1.3",
        "QuotasNoOp": "1.3",
        "RequestGroup": "1.3",
        "RequestLevelParams": "1.1",
        "RequestSpec": "1.15",
        "Resource": "1.0",
        "ResourceList": "1.0",
        "ResourceMetadata": "1.0",
        "S3ImageMapping": "1.0",
        "SCSIDeviceBus": "1.0",
        "SchedulerLimits": "1.0",
        "SchedulerRetries": "1.1",
        "SecurityGroup": "1.2",
        "SecurityGroupList": "1.1",
        "Selection": "1.1",
        "Service": "1.22",
        "ServiceList": "1.19",
        "ShareMapping": "1.2",
        "ShareMappingList": "1.1",
        "ShareMetadata": "1.0",
        "Tag": "1.1",
        "TagList": "1.1",
        "TaskLog": "1.0",
        "TaskLogList": "1.0",
        "TrustedCerts": "1.0",
        "USBDeviceBus": "1.0",
        "VIFMigrateData": "1.0",
        "VMwareLiveMigrateData": "1.1",
        "VirtCPUFeature": "1.0",
        "VirtCPUModel": "1.0",
        "VirtCPUTopology": "1.0",
        "VirtualInterface": "1.3",
        "VirtualInterfaceList": "1.0",
        "VolumeUsage": "1.0",
        "XenDeviceBus": "1.0",
    }
)

_VERSION: Final = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")
_LONGEST: Final = len("999999.999999")


def current(name: str) -> str:
    """The version of the object *name*; :class:`~novastate.errors.WireError` where Nova has no such object.

    >>> current("Instance")
    '2.8'
    """
    return CURRENT[_known(name, "name")]


def parse(version: object, at: str = "version") -> tuple[int, int]:
    """*version* as (major, minor); :class:`~novastate.errors.WireError`, named *at*, where it is no ``"N.N"`` text.

    >>> parse("1.10") > parse("1.9")
    True
    """
    # What is longer is no version, and nothing to remember.
    found = _numbers(version) if isinstance(version, str) and len(version) <= 13 else None
    if found is None:
        raise WireError(
            at, version if isinstance(version, str) else type(version).__name__, 'must be a version, as "1.8"'
        )
    return found


@lru_cache(maxsize=1024)
def _numbers(version: str) -> tuple[int, int] | None:
    found = _VERSION.fullmatch(version)
    return found and (int(found[1]), int(found[2]))


def versions(name: str) -> tuple[str, ...]:
    """Every version of the object *name* in its present major, oldest first.

    >>> versions("Flavor")
    ('1.0', '1.1', '1.2')
    """
    major, minor = parse(current(name))
    return tuple(f"{major}.{old}" for old in range(minor + 1))


def manifest(name: str, version: str | None = None, *, release: str | None = None) -> dict[str, str]:
    """The versions of the object *name* and of all that it may hold.

    They are the present ones, or with *release* those of that release of Nova (see :func:`releases`); objects that the
    release did not have are left out. The root's own is *version*, where it is given.

    Raises :class:`~novastate.errors.WireError` for an object that Nova (or that release) does not have, and
    :class:`~novastate.errors.UnknownName` for a release that is not known.

    >>> manifest("SchedulerLimits", "1.0")
    {'SchedulerLimits': '1.0', 'NUMATopologyLimits': '1.1', 'NetworkMetadata': '1.0'}
    >>> manifest("Migration", release="2023.1")
    {'Migration': '1.7'}
    """
    spoken = CURRENT if release is None else release_versions(release)
    if _known(name, "name") not in spoken:
        raise WireError("name", name, f"was no object of Nova {release} yet")
    tree = {held: spoken[held] for held in _tree(name) if held in spoken}
    if version is not None:
        parse(version)
        tree[name] = version
    return tree


@cache
def _tree(name: str) -> tuple[str, ...]:
    """*name* and all that it may hold, each once, in the order in which they are met."""
    found: dict[str, None] = {}
    ahead = [name]
    while ahead:
        held = ahead.pop()
        if held not in found:
            found[held] = None
            ahead.extend(reversed(tuple(edges(held).values())))
    return tuple(found)


def releases() -> tuple[str, ...]:
    """The releases of Nova whose versions are known, oldest first: by name, as OpenStack calls them.

    >>> releases()[-1]
    '2026.2'
    """
    from novastate.objects.nova.release_table import RELEASES  # noqa: PLC0415  (read when asked for)

    return tuple(RELEASES)[::-1]


def release_versions(release: str) -> dict[str, str]:
    """What the release spoke: each object that it had, with its version.

    *release* is a name of :func:`releases`, or the number of the release (``"27"`` is ``"2023.1"``).
    """
    from novastate.objects.nova.release_table import NUMBERS, RELEASES  # noqa: PLC0415  (read when asked for)

    wanted = NUMBERS.get(str(release), str(release).lower())
    if wanted not in RELEASES:
        raise UnknownName("release of Nova", release, (*RELEASES, *NUMBERS))
    spoken = dict(CURRENT)
    for older, differences in RELEASES.items():
        for name, version in differences.items():
            if version is None:
                spoken.pop(name, None)
            else:
                spoken[name] = version
        if older == wanted:
            break
    return spoken


def _known(name: str, at: str) -> str:
    if name not in CURRENT:
        raise WireError(at, name, "is no object of Nova", near(name[:80], CURRENT))
    return name
