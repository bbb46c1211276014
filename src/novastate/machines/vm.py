"""vm_state: the last stable condition of an instance."""

from __future__ import annotations

from novastate.machines.table import State

__all__ = ["VMState"]


class VMState(State):
    """The twelve values of Nova's ``vm_state``."""

    ACTIVE = "active"
    BUILDING = "building"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    RESCUED = "rescued"
    RESIZED = "resized"
    SOFT_DELETED = "soft-delete"
    DELETED = "deleted"
    ERROR = "error"
    SHELVED = "shelved"
    SHELVED_OFFLOADED = "shelved_offloaded"
