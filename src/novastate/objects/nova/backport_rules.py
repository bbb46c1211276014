"""What an older peer gets beyond fields that are left out: one small function for each object that has such a rule.

Rules of this file:

1. A rule is given the data of an object, a copy that it may change, the version that is asked for, and the path of the
   object for its errors. It runs after the refusals of new values and before the new fields are left out
   (:data:`~novastate.objects.nova.history.HISTORY` says which).
2. It does what ``obj_make_compatible`` of the class in ``nova/objects`` does, without a database: where Nova looks
   something up, it gives what Nova gives when nothing is found.
3. Where Nova refuses, or fails, :class:`~novastate.errors.WireError` names the field and the version that would do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from novastate.errors import WireError

__all__ = ["RULES", "SEALED", "Rule"]

Rule = Callable[[dict[str, Any], tuple[int, int], str], None]

#: Objects whose inner objects Nova sends as they are, whatever the manifest says: their classes do not pass the question on.
SEALED: Final = frozenset({"BlockDeviceMapping", "MigrationContext", "NetworkInterfaceMetadata"})


def _build_request(data: dict[str, Any], target: tuple[int, int], _at: str) -> None:
    """Tags are kept from 1.0 only where it has no block devices: Nova tests the two in one chain."""
    if target < (1, 3) and not (target < (1, 1) and "block_device_mappings" in data):
        data.pop("tags", None)


def _compute_node(data: dict[str, Any], target: tuple[int, int], _at: str) -> None:
    """Before 1.13 a node needs the id of its service; -1 stands for one that is not found."""
    if target < (1, 13) and data.get("service_id") is None:
        data["service_id"] = -1


def _hv_spec(data: dict[str, Any], target: tuple[int, int], _at: str) -> None:
    """What is vz now was parallels."""
    if target < (1, 1) and data.get("hv_type") == "vz":
        data["hv_type"] = "parallels"


def _image_meta_props(data: dict[str, Any], target: tuple[int, int], _at: str) -> None:
    """A watchdog that is disabled was one that is not named."""
    if target < (1, 16) and data.get("hw_watchdog_action") == "disabled":
        del data["hw_watchdog_action"]


def _instance_group(data: dict[str, Any], target: tuple[int, int], _at: str) -> None:
    """One policy was a list of policies, with at most one in it; before 1.7 there were empty metadetails."""
    if target < (1, 11):
        policy = data.get("policy")
        data["policies"] = [policy] if policy else []
    if target < (1, 7):
        data["metadetails"] = {}


def _instance_numa_cell(data: dict[str, Any], target: tuple[int, int], at: str) -> None:
    """Before 1.5 pinned CPUs were in cpuset; cpu_policy says whether a cell's are."""
    if target < (1, 5) and data.get("cpu_policy") == "dedicated":
        if "pcpuset" not in data:
            raise WireError(
                f"{at}.pcpuset", None, "must be set for a version before 1.5, since cpu_policy is dedicated"
            )
        data["cpuset"] = data["pcpuset"]


def _libvirt_live_migrate_data(data: dict[str, Any], target: tuple[int, int], at: str) -> None:
    """A vTPM cannot be left behind: who does not know it cannot take the guest."""
    for field in ("vtpm_secret_uuid", "vtpm_secret_value"):
        if target < (1, 14) and field in data:
            raise WireError(f"{at}.{field}", "***", "is set: a guest with a vTPM needs a peer of version 1.14")


#: Version: the field of Migration that came with it, and those that are left out only together with that one.
_MIGRATION: Final = (
    ((1, 2), "migration_type", ("hidden",)),
    (
        (1, 4),
        "memory_total",
        ("memory_processed", "memory_remaining", "disk_total", "disk_processed", "disk_remaining"),
    ),
)


def _migration(data: dict[str, Any], target: tuple[int, int], _at: str) -> None:
    """Two groups of fields came together, and Nova asks only for the first of each whether to leave them out."""
    for version, first, others in _MIGRATION:
        if target < version and first in data:
            for field in others:
                data.pop(field, None)


def _pci_device(data: dict[str, Any], target: tuple[int, int], at: str) -> None:
    """A virtual function's parent was a note in extra_info; two statuses are refused before 1.5, to those that know of parents."""
    parent, notes = data.get("parent_addr"), data.get("extra_info")
    if target < (1, 4) and parent is not None and isinstance(notes, dict):
        notes["phys_function"] = parent
    if (1, 4) <= target < (1, 5) and "parent_addr" in data and data.get("status") in ("unclaimable", "unavailable"):
        raise WireError(f"{at}.status", data["status"], "is not known before version 1.5")


#: Object: its rule.
RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "BuildRequest": _build_request,
        "ComputeNode": _compute_node,
        "HVSpec": _hv_spec,
        "ImageMetaProps": _image_meta_props,
        "InstanceGroup": _instance_group,
        "InstanceNUMACell": _instance_numa_cell,
        "LibvirtLiveMigrateData": _libvirt_live_migrate_data,
        "Migration": _migration,
        "PciDevice": _pci_device,
    }
)
