"""What an older peer, or an old record, said: the data of an older minor version as the present one has it.

Rules of this file:

1. Nova's ``obj_from_primitive`` takes the fields that it knows; what the older version did not have stays absent, that is,
   unset. Fields that are gone are dropped.
2. Three kinds of objects never leave a field with a default unset (Nova's ``NovaEphemeralObject``): :data:`DEFAULTS` says
   what such a field holds. A box without objects is empty.
3. A field that changed its meaning is brought over by a step of :data:`STEPS`.

Left unset here are two things that are no facts about the sender: what Nova only answers when asked for an unset field
(``obj_load_attr``), and its own service version, which it writes into a Service that came without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from novastate.errors import WireError
from novastate.objects.nova.history import HISTORY
from novastate.objects.nova.tree import BOX, copied, edges
from novastate.objects.nova.versions import current, parse

__all__ = ["DEFAULTS", "STEPS", "upgrade"]

_EMPTY_MEMORY: Final = {
    "nova_object.name": "MemoryDiagnostics",
    "nova_object.namespace": "nova",
    "nova_object.version": "1.0",
    "nova_object.data": {},
}

#: Object: field: what it holds where nothing was said.
DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "Diagnostics": {
            "memory_details": _EMPTY_MEMORY,
            "cpu_details": [],
            "nic_details": [],
            "disk_details": [],
            "num_cpus": 0,
            "num_nics": 0,
            "num_disks": 0,
        },
        "InstanceNUMACell": {
            "cpuset_reserved": None,
            "pagesize": None,
            "cpu_pinning_raw": None,
            "cpu_policy": None,
            "cpu_thread_policy": None,
        },
        "RequestGroup": {
            "use_same_provider": True,
            "resources": {},
            "required_traits": [],
            "forbidden_traits": [],
            "aggregates": [],
            "forbidden_aggregates": [],
            "requester_id": None,
            "provider_uuids": [],
            "in_tree": None,
        },
    }
)


def _instance_numa_cell(data: dict[str, Any], version: tuple[int, int]) -> None:
    """From 1.5 on, pinned CPUs are in pcpuset, and cpuset holds the others. Before 1.4 nobody can tell which they are.

    What Nova does to a stored topology: ``_migrate_legacy_dedicated_instance_cpuset`` in ``nova/objects/instance_numa.py``.
    """
    if not (1, 4) <= version < (1, 6):
        return
    policy = data.get("cpu_policy")
    if policy == "dedicated" and not data.get("pcpuset"):
        if version < (1, 5) and "cpuset" in data:
            data["pcpuset"], data["cpuset"] = data["cpuset"], []
    elif policy in (None, "shared"):
        data["pcpuset"] = []


def _instance_group(data: dict[str, Any], version: tuple[int, int]) -> None:
    """Before 1.11 the policy was the one element of policies; Nova reads both as they are, and knows no policy then.

    The inverse of what an older peer is sent, so a group from one goes back to it whole.
    """
    policies = data.get("policies")
    if version < (1, 11) and "policy" not in data and isinstance(policies, list) and len(policies) == 1:
        data["policy"] = policies[0]


#: Object: what brings its data over, in place, from an older version.
STEPS: Final[Mapping[str, Callable[[dict[str, Any], tuple[int, int]], None]]] = MappingProxyType(
    {
        "InstanceGroup": _instance_group,
        "InstanceNUMACell": _instance_numa_cell,
    }
)


def upgrade(name: str, version: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """New data: *data* of the object *name*, written in *version*, as the present version has it. *data* is not changed.

    What is inside is left alone, and shared: objects there have versions of their own. Data of a newer minor version is only copied.

    Raises :class:`~novastate.errors.WireError` for a version that is no ``"N.N"`` or of another major, and for an object
    that Nova does not have.

    >>> upgrade("InstanceNUMACell", "1.4", {"id": 0, "cpuset": [0, 1], "cpu_policy": "dedicated"})["pcpuset"]
    [0, 1]
    """
    present = parse(current(name))
    said = parse(version, "version")
    if said[0] != present[0]:
        raise WireError("version", version, f"is of another major version than {name} has here, {current(name)}")
    made = dict(data)
    if said > present:
        return made
    gone = {field for step in HISTORY.get(name, ()) if said < parse(step.version) for field in step.removes}
    for field in gone:
        made.pop(field, None)
    if said < present and name in STEPS:
        STEPS[name](made, said)
    for field, default in DEFAULTS.get(name, {}).items():
        made.setdefault(field, copied(default))
    if BOX in edges(name):
        made.setdefault(BOX, [])
    return made
