"""What a move changes in an instance beside its host: applied when it arrives, reverted when it stays, dropped when all is done.

Rules of this file (Nova's Instance ``apply_migration_context`` and its kin):

1. Four fields move: *numa_topology*, *pci_devices*, *pci_requests*, *resources*. What the context does not know of becomes None.
2. An instance whose context is None is on no such move: nothing is changed. One whose context was never loaded (UNSET) is refused:
   Nova would load it now, and whoever holds a record alone cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from novastate.errors import InvalidField
from novastate.objects.instance import Instance
from novastate.objects.migration import MigrationContext
from novastate.objects.pci import PciDevice
from novastate.objects.values import UNSET, Unset

__all__ = ["MOVED", "apply", "drop", "pci_mapping", "revert"]

#: The fields of an instance that a move changes; a context has each with ``old_`` and with ``new_``.
MOVED: Final = ("numa_topology", "pci_requests", "pci_devices", "resources")


def apply(instance: Instance) -> bool:
    """*instance* has what it has on its destination; False if it has no context. Raises InvalidField for one that is UNSET."""
    return _take(instance, "new_")


def revert(instance: Instance) -> bool:
    """*instance* has what it had on its source; False if it has no context. Raises InvalidField for one that is UNSET."""
    return _take(instance, "old_")


def drop(instance: Instance) -> None:
    """The move is over, its context forgotten. Raises InvalidField where it was never loaded."""
    if _context(instance) is not None:
        instance.migration_context = None


def pci_mapping(context: MigrationContext, *, revert: bool = False) -> Mapping[str, PciDevice]:
    """For the address of each PCI device of a guest, the device that takes its place; *revert*: the other way.

    Devices belong together that were given for the same request (Nova's ``get_pci_mapping_for_migration``).
    """
    there, here = context.new_pci_devices or (), context.old_pci_devices or ()
    if revert:
        there, here = here, there
    return {old.address: new for old in here for new in there if old.request_id == new.request_id}


def _take(instance: Instance, which: str) -> bool:
    context = _context(instance)
    if context is None:
        return False
    for name in MOVED:
        held = getattr(context, which + name)
        setattr(instance, name, None if held is UNSET else held)
    return True


def _context(instance: Instance) -> MigrationContext | None:
    context = instance.migration_context
    if isinstance(context, Unset):
        raise InvalidField("instance.migration_context", context, "was never loaded: load it, or set it to None")
    return context
