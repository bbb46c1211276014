"""What libvirt tells of its own accord, as values.

Rules of this file: a value holds no object of libvirt; what an event means for a guest's life is said in
:mod:`novastate.drivers.libvirt.events`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from attrs import Factory, frozen

from novastate.drivers.libvirt.binding import libvirt

__all__ = ["EventKind", "HypervisorEvent", "register"]


class EventKind(Enum):
    """What an event is about."""

    #: A connection has been opened: what happened before it is not told.
    CONNECTED = "connected"
    #: VIR_DOMAIN_EVENT_ID_LIFECYCLE; *event* and *detail* are set.
    LIFECYCLE = "lifecycle"
    #: VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION; *iteration* is set.
    MIGRATION_ITERATION = "migration_iteration"
    #: VIR_DOMAIN_EVENT_ID_JOB_COMPLETED; *statistics* are set, as virDomainGetJobStats names them.
    JOB_COMPLETED = "job_completed"


@frozen
class HypervisorEvent:
    """One event of guest *uuid*. *event*, *detail*: virDomainEventType and its detail (libvirt/libvirt-domain.h).

    *domain_id*: the guest's, -1 if it does not run; *at*: when it came, on the machine's monotonic clock.
    """

    kind: EventKind
    uuid: str = ""
    event: int = -1
    detail: int = -1
    domain_id: int = -1
    iteration: int = 0
    statistics: Mapping[str, Any] = Factory(dict[str, Any])
    at: float = Factory(time.monotonic)


def register(connect: Any, tell: Callable[[HypervisorEvent], None]) -> list[int]:
    """Has libvirt call *tell* on its event loop's thread for each event of *connect* that there is a kind of.

    Returns what ends that (``domainEventDeregisterAny``): until then libvirt keeps the connection open.
    """

    def lifecycle(_connect: Any, domain: Any, event: int, detail: int, _opaque: object) -> None:
        tell(HypervisorEvent(EventKind.LIFECYCLE, domain.UUIDString(), event, detail, domain.ID()))

    def iteration(_connect: Any, domain: Any, iteration: int, _opaque: object) -> None:
        tell(HypervisorEvent(EventKind.MIGRATION_ITERATION, domain.UUIDString(), iteration=iteration))

    def completed(_connect: Any, domain: Any, statistics: Mapping[str, Any], _opaque: object) -> None:
        tell(HypervisorEvent(EventKind.JOB_COMPLETED, domain.UUIDString(), statistics=dict(statistics)))

    registered = list[int]()
    for number, callback in (
        (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle),
        (libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, iteration),
        (libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, completed),
    ):
        try:
            registered.append(connect.domainEventRegisterAny(None, number, callback, None))
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:  # a hypervisor without events
                raise
    return registered
