"""The storage check before a live migration: are disks copied, and may they be?

Rules of this file:

1. Disks that both hosts see are never copied: block migration of shared storage would copy a disk onto
   itself.
2. Disks that only the source sees are always copied: without, the guest would wake up without its disk.
3. Who does not say gets what the storage needs.

Theory. Storage is shared when the instance's directory is (NFS and the like), or when every disk is on block
storage that both hosts reach (RBD; a volume-backed instance without local disks). Twenty-four cases fold
into the six rows of :data:`STORAGE`: booting from a volume matters only through the second
(nova/virt/libvirt/driver.py, ``check_can_live_migrate_source``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from novastate.errors import InvalidField, InvalidLocalStorage, InvalidSharedStorage

__all__ = ["STORAGE", "check_storage"]

#: By (block migration asked for, storage is shared): whether disks are copied, or the error.
STORAGE: Mapping[tuple[bool | None, bool], type[InvalidLocalStorage | InvalidSharedStorage] | bool] = MappingProxyType(
    {
        (None, False): True,
        (None, True): False,
        (True, False): True,
        (True, True): InvalidLocalStorage,
        (False, False): InvalidSharedStorage,
        (False, True): False,
    }
)

_WHY = {
    InvalidLocalStorage: "block migration was asked for, but source and destination share its storage",
    InvalidSharedStorage: "a migration without block copy was asked for, but its storage is not shared",
}


def check_storage(
    block_migration: bool | None,
    *,
    shared_instance_path: bool,
    shared_block_storage: bool,
    boot_from_volume: bool = False,
    uuid: object = "(no uuid)",
) -> bool:
    """Whether a live migration copies disks: the effective ``block_migration``.

    *block_migration* is what was asked for; None leaves it to the storage. *boot_from_volume* alone changes
    nothing: an instance all of whose disks are volumes counts as *shared_block_storage*. Raises
    :class:`~novastate.errors.InvalidLocalStorage` or :class:`~novastate.errors.InvalidSharedStorage`, and
    :class:`~novastate.errors.InvalidField` where *block_migration* is neither of the three.

    >>> check_storage(None, shared_instance_path=False, shared_block_storage=False)
    True
    """
    del boot_from_volume  # Named, so that a caller who has it need not know that it is subsumed.
    try:
        outcome = STORAGE[block_migration, bool(shared_instance_path or shared_block_storage)]
    except (KeyError, TypeError):
        problem = "must be True, False, or None for what the storage needs"
        raise InvalidField("block_migration", block_migration, problem) from None
    if isinstance(outcome, bool):
        return outcome
    raise outcome(f"instance {uuid}: {_WHY[outcome]}")
