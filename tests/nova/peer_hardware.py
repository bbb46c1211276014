"""The real Nova's fits: NUMA topologies (nova.virt.hardware) and PCI requests (nova.pci.stats)."""

import contextlib
import copy
from types import SimpleNamespace

from nova.exception import PciDeviceRequestFailed
from nova.objects.numa import NUMACell
from nova.pci.manager import PciDevTracker
from nova.pci.stats import PciDeviceStats
from nova.scheduler.utils import ResourceRequest
from nova.virt import hardware

from nova import objects


def numa_fit(asked, *, forget=False):
    """How the guest lies on the host: its cells, or None.

    *forget*: Nova keeps nothing from one arrangement of cells to the next; what it does keep leaks into the answer.
    """
    host = host_of(asked["host"])
    stats = None if asked["pools"] is None else stats_of(host, asked["pools"])
    requests = asked["requests"] and [request_of(one) for one in asked["requests"]]
    with ascending(), packing(asked["pack"]), forgetful() if forget else contextlib.nullcontext():
        found = hardware.numa_fit_instance_to_host(
            host, guest_of(asked["guest"]), asked["providers"], limits_of(asked["limits"]), requests, stats
        )
    return found and [plain_guest(cell) for cell in found.cells]


def numa_fit_forgetful(asked):
    """The same, with nothing kept between arrangements."""
    return numa_fit(asked, forget=True)


def numa_usage(asked):
    """The host's cells with the guest taken, or given back."""
    found = hardware.numa_usage_from_instance_numa(host_of(asked["host"]), guest_of(asked["guest"]), asked["free"])
    return [plain_host(cell) for cell in found.cells]


def numa_constraints(vcpus, memory_mb, extra_specs, properties):
    """The cells that a flavor and an image ask for, and the policy of the emulator threads; or None."""
    flavor = objects.Flavor(name="f", vcpus=vcpus, memory_mb=memory_mb, extra_specs=extra_specs)
    if "hw_numa_cpus" in properties:
        properties = {**properties, "hw_numa_cpus": [set(cpus) for cpus in properties["hw_numa_cpus"]]}
    image = objects.ImageMeta(name="i", properties=objects.ImageMetaProps(**properties))
    found = hardware.numa_get_constraints(flavor, image)
    if found is None:
        return None
    cells = [
        plain_guest(cell) | {n: getattr(cell, n) for n in ("cpu_policy", "cpu_thread_policy")} for cell in found.cells
    ]
    return {"cells": cells, "emulator_threads_policy": found.emulator_threads_policy}


def resources(flavor, properties, volume_backed):
    """What a guest takes of its host, by placement's names."""
    image = objects.ImageMeta(name="i", properties=objects.ImageMetaProps(**properties))
    spec = objects.RequestSpec(flavor=objects.Flavor(name="f", **flavor), image=image, is_bfv=volume_backed)
    return ResourceRequest.from_request_spec(spec).merged_resources()


def cpu_spec(text):
    """The CPUs that a text names."""
    return sorted(hardware.parse_cpu_spec(text))


def pci_apply(asked):
    """The pools that are left, or None."""
    stats = stats_of(host_of(asked["host"]), asked["pools"])
    requests = [request_of(one) for one in asked["requests"]]
    cells = [objects.InstanceNUMACell(id=n, cpuset=set(), pcpuset=set(), memory=1) for n in asked["cells"]]
    possible = stats.support_requests(requests, asked["providers"], cells)
    if not possible:
        return None
    stats.apply_requests(requests, asked["providers"], cells)
    return [plain_pool(pool) for pool in stats.to_device_pools_obj()]


def pci_claim(asked):
    """The devices of a host after a guest has claimed its own, or None."""
    tracked = tracker_of(asked)
    requests = [request_of(one) for one in asked["requests"]]
    cells = [objects.InstanceNUMACell(id=n, cpuset=set(), pcpuset=set(), memory=1) for n in asked["cells"]]
    try:
        given = tracked.stats.consume_requests(requests, cells)
    except PciDeviceRequestFailed:
        return None
    for device in given:
        device.claim(asked["guest"])
    return plain_devices(tracked)


def pci_free(asked):
    """The devices of a host after a guest has given its own back."""
    tracked = tracker_of(asked)
    for device in tracked.pci_devs:
        if device.instance_uuid == asked["guest"]:
            device.free()
    return plain_devices(tracked)


# --- ours into Nova's, and back


class Filter:
    """Stands for the host's [pci]device_spec: every device may be given away, with the tags that were told."""

    def __init__(self, tags):
        self.tags = tags

    def get_devspec(self, device):
        return SimpleNamespace(get_tags=lambda: self.tags.get(device.address, {}))


def tracker_of(asked):
    """A host's devices as its tracker holds them, without its database."""
    made = []
    for number, device in enumerate(asked["devices"]):
        made.append(objects.PciDevice(**{**device, "id": number + 1}))
    tracked = PciDevTracker.__new__(PciDevTracker)
    tracked.pci_devs = objects.PciDeviceList(objects=made)
    tracked.stats = PciDeviceStats(host_of(asked["host"]), dev_filter=Filter(asked["tags"]))
    tracked._build_device_tree(tracked.pci_devs)
    tracked._initial_instance_usage()
    tracked.stats.populate_pools_metadata_from_assigned_devices()
    return tracked


def plain_devices(tracked):
    names = ("address", "status", "instance_uuid", "request_id")
    return [{name: getattr(device, name) for name in names} for device in tracked.pci_devs]


def host_of(host):
    return objects.NUMATopology(cells=[host_cell_of(cell) for cell in host])


def host_cell_of(cell):
    return objects.NUMACell(**{
        **cell,
        "cpuset": set(cell["cpuset"]),
        "pcpuset": set(cell["pcpuset"]),
        "pinned_cpus": set(cell["pinned_cpus"]),
        "siblings": [set(core) for core in cell["siblings"]],
        "mempages": [objects.NUMAPagesTopology(**pages) for pages in cell["mempages"]],
        **({"network_metadata": network_of(cell["network_metadata"])} if "network_metadata" in cell else {}),
    })  # fmt: skip


def network_of(network):
    return objects.NetworkMetadata(physnets=set(network["physnets"]), tunneled=network["tunneled"])


def guest_of(guest):
    cells = [guest_cell_of(cell) for cell in guest["cells"]]
    return objects.InstanceNUMATopology(**{**guest, "cells": cells})


def guest_cell_of(cell):
    reserved = cell["cpuset_reserved"]
    return objects.InstanceNUMACell(**{
        **cell,
        "cpuset": set(cell["cpuset"]),
        "pcpuset": set(cell["pcpuset"]),
        "cpuset_reserved": None if reserved is None else set(reserved),
    })  # fmt: skip


def limits_of(limits):
    if limits is None:
        return None
    network = {"network_metadata": network_of(limits["network_metadata"])} if "network_metadata" in limits else {}
    return objects.NUMATopologyLimits(**{**limits, **network})


def stats_of(host, pools):
    return PciDeviceStats(host, stats=objects.PciDevicePoolList(objects=[objects.PciDevicePool(**p) for p in pools]))


def request_of(request):
    return objects.InstancePCIRequest(**request)


def plain_guest(cell):
    return {
        "id": cell.id,
        "cpuset": sorted(cell.cpuset),
        "pcpuset": sorted(cell.pcpuset),
        "memory": cell.memory,
        "pagesize": cell.pagesize,
        "pinning": sorted(cell.cpu_pinning.items()) if cell.cpu_pinning else None,
        "reserved": sorted(cell.cpuset_reserved) if cell.cpuset_reserved else None,
    }


def plain_host(cell):
    return {
        "id": cell.id,
        "pinned_cpus": sorted(cell.pinned_cpus),
        "memory_usage": cell.memory_usage,
        "cpu_usage": cell.cpu_usage,
        "used": [pages.used for pages in cell.mempages],
    }


def plain_pool(pool):
    return {name: getattr(pool, name) for name in ("vendor_id", "product_id", "numa_node", "count", "tags")}


# --- Nova, held still


class Ascending(set):
    """A set that is gone through from the lowest up: Nova takes a core's CPUs in the order of a set, which is no order."""

    def __iter__(self):
        return iter(sorted(set.__iter__(self)))


class Forgetful(set):
    """A set that takes nothing in."""

    def add(self, _):
        pass


@contextlib.contextmanager
def ascending():
    plain = NUMACell.free_siblings
    NUMACell.free_siblings = property(lambda cell: [Ascending(core) for core in plain.fget(cell)])
    try:
        yield
    finally:
        NUMACell.free_siblings = plain


@contextlib.contextmanager
def packing(pack):
    """Nova fills used cells first, or empty ones."""
    option = "packing_host_numa_cells_allocation_strategy"
    hardware.CONF.set_override(option, pack, "compute")
    try:
        yield
    finally:
        hardware.CONF.clear_override(option, "compute")


@contextlib.contextmanager
def forgetful():
    """Nova's two memories are sets of pairs of ids, and what it writes onto the guest's cells."""
    real = hardware._numa_fit_instance_cell
    hardware._numa_fit_instance_cell = lambda host, guest, *how: real(host, copy.deepcopy(guest), *how)
    hardware.set = Forgetful
    try:
        yield
    finally:
        hardware._numa_fit_instance_cell = real
        del hardware.set


OPS = {
    f.__name__: f
    for f in (
        numa_constraints,
        resources,
        cpu_spec,
        numa_fit,
        numa_fit_forgetful,
        numa_usage,
        pci_apply,
        pci_claim,
        pci_free,
    )
}
