"""What a driver may declare to be able to do: one table of names.

Rules of this file: what every driver must do has no name here. Each name says what is asked of a driver that declares it, and which
calls raise :class:`~novastate.errors.NotSupported` in one that does not. A name that is not declared counts as False; a declared
name that is not in the table is a mistake, and :class:`~novastate.testing.DriverConformance` refuses it. Names are Nova's where Nova
has one (``nova/virt/driver.py``, ``ComputeDriver.capabilities``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from novastate.drivers.base import ComputeDriver

__all__ = ["CAPABILITIES", "Capability", "supports"]


@frozen
class Capability:
    """What it *means* to declare a capability, and how it is *asked* for: the call that raises NotSupported without it."""

    means: str
    asked: str


#: Every capability by its name.
CAPABILITIES: Mapping[str, Capability] = MappingProxyType(
    {
        "supports_live_migration": Capability(
            "a running or paused guest moves to another host of the same driver, and can be rolled back until it runs there",
            "every call of live migration",
        ),
        "supports_block_migration": Capability(
            "a live migration copies local disks that the two hosts do not share",
            "check_can_live_migrate_destination(block_migration=True)",
        ),
        "supports_post_copy": Capability(
            "a live migration that permits it can be switched to post-copy",
            "live_migration(post_copy=True), live_migration_post_copy",
        ),
        "supports_post_copy_recovery": Capability(
            "post-copy that has lost its link goes on over a new one; without it, its loss is the guest's end",
            "live_migration, called again while JobStats.broken",
        ),
        "supports_auto_converge": Capability(
            "a guest that writes too fast for the link is throttled", "live_migration(auto_converge=True)"
        ),
        "supports_parallel_migration": Capability(
            "memory goes over several connections", "live_migration(parallel_connections=2)"
        ),
        "supports_measure": Capability(
            "a guest is measured, and its live migration forecast", "measure, link, forecast"
        ),
    }
)


def supports(driver: ComputeDriver | type[ComputeDriver], name: str) -> bool:
    """Whether *driver* declares the capability *name*; a name that it does not declare it has not."""
    return bool(driver.capabilities.get(name, False))
