"""What state a guest is in, as libvirt says it.

Rules of this file:

1. Power states are those of ``virDomainState`` (:data:`novastate.machines.LIBVIRT_POWER_STATES`), save that a guest which is off and
   has saved memory (``virDomainHasManagedSaveImage``) is SUSPENDED.
2. A live migration is told by the reason of PAUSED, and by who answers for its job: a destination refuses to give statistics
   ("available only on the source host", libvirt: src/qemu/qemu_driver.c ``qemuDomainGetJobStatsInternal``).

The numbers are those of ``virDomainState`` and ``virDomainPausedReason`` (libvirt/libvirt-domain.h).
"""

from __future__ import annotations

from typing import Any

from novastate.drivers.base import GuestInfo
from novastate.drivers.libvirt.binding import libvirt
from novastate.machines import PowerState
from novastate.machines.power import from_libvirt

__all__ = ["MIGRATION_OUT", "info", "is_migrating", "job"]

#: VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
MIGRATION_OUT = 5
_PAUSED = 3  # VIR_DOMAIN_PAUSED
_OFF = 5  # VIR_DOMAIN_SHUTOFF
_MIGRATION = 2  # VIR_DOMAIN_PAUSED_MIGRATION: at a destination, or at a source that switches over
_STARTING_UP = 11  # VIR_DOMAIN_PAUSED_STARTING_UP: at a destination, or on any start
#: VIR_DOMAIN_PAUSED_POSTCOPY, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: the other half of the guest is, or was, on another host.
_POSTCOPY = frozenset({12, 13})


def info(domain: Any) -> GuestInfo:
    """The guest of *domain*, a ``virDomain``; to be called within a call."""
    state, reason, saved = _state(domain)
    _, most_memory, _, vcpus, _ = domain.info()
    power = from_libvirt(state)
    incoming = outgoing = False
    if state == _PAUSED and (reason in _POSTCOPY or reason in {_MIGRATION, _STARTING_UP}):
        incoming, _ = job(domain)
        outgoing = reason in _POSTCOPY and not incoming
    elif (
        state == _OFF and not reason and not domain.isPersistent()
    ):  # a transient guest exists only while it is on its way
        incoming = True
    elif saved:
        power = PowerState.SUSPENDED
    if incoming:
        power = PowerState.PAUSED
    return GuestInfo(
        uuid=domain.UUIDString(),
        name=domain.name(),
        power_state=power,
        memory_mb=most_memory // 1024,
        vcpus=vcpus,
        incoming=incoming,
        outgoing=outgoing,
    )


def job(domain: Any) -> tuple[bool, dict[str, Any]]:
    """Whether a live migration brings the guest here, and libvirt's statistics of one that takes it away: none if none does (rule 2).

    To be called within a call; it may wait while the daemon ends a job.
    """
    try:
        raw = dict(domain.jobStats())
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        if code in {libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_SUPPORT}:  # off; no jobs at all
            return False, {}
        if code == libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
            return True, {}
        raise
    return False, raw if raw.get("type") and raw.get("operation") == MIGRATION_OUT else {}


def is_migrating(domain: Any) -> bool:
    """Whether a live migration of the guest goes on, from here or to here."""
    arrives, leaves = job(domain)
    return arrives or bool(leaves)


def _state(domain: Any) -> tuple[int, int, bool]:
    """State, reason, and whether it is off with saved memory: as they were at one time, though a start may use the memory up."""
    while True:
        state, reason = domain.state()
        if state != _OFF:
            return state, reason, False
        saved = _saved(domain)
        if saved or domain.state()[0] == _OFF:
            return state, reason, saved


def _saved(domain: Any) -> bool:
    try:
        return bool(domain.hasManagedSaveImage())
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return False
