"""The real Nova's instance on a move: its migration context, and flavors kept as texts."""

from nova.compute import flavors
from nova.objects.base import NovaObject

from nova import objects


def migration_context(primitive, step):
    """What an instance has after its context was applied or reverted: the four fields, as primitives."""
    instance = NovaObject.obj_from_primitive(primitive)
    getattr(instance, f"{step}_migration_context")()
    data = instance.obj_to_primitive()["nova_object.data"]
    return {name: data.get(name) for name in ("numa_topology", "pci_requests", "pci_devices", "resources")}


def pci_mapping(primitive, revert):
    """For each address the address of the device that takes its place."""
    context = NovaObject.obj_from_primitive(primitive)
    return {old: new.address for old, new in context.get_pci_mapping_for_migration(revert).items()}


def save_flavor_info(flavor, prefix):
    """A flavor as texts; Nova's database makes them of what this holds."""
    saved = flavors.save_flavor_info({}, objects.Flavor(**flavor), prefix)
    return {name: None if held is None else str(held) for name, held in saved.items()}


OPS = {f.__name__: f for f in (migration_context, pci_mapping, save_flavor_info)}
