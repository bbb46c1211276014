"""What a simulated migration is set up with, and what can be seen of it.

Rules: times in seconds, sizes in bytes, rates in bytes a second, throttles as shares of vCPU time. Nothing here computes; the rules of
QEMU are in `novastate.convergence.simulator`.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any, NamedTuple

from attrs import evolve, field, frozen

from novastate.convergence.laws import PAGE

__all__ = ["Round", "SimulationSetup", "Statistics", "Status"]


class Status(Enum):
    """Where a migration stands; the values are QEMU's (``query-migrate``)."""

    ACTIVE = "active"
    DEVICE = "device"
    POSTCOPY = "postcopy-active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in {Status.COMPLETED, Status.CANCELLED, Status.FAILED}


@frozen
class SimulationSetup:
    """The numbers of one migration: times in s, sizes in bytes, rates in bytes a second, throttles as shares of vCPU time.

    *limit* 0 is none. *first*, *again*, *blank*: time to send a page that the destination touches first, one that it has already,
    a zero page. *device*: pause besides the pages. *switchover_bandwidth* replaces the measured one in the threshold, if not 0.
    *slow_slots*: share of the slots that last 101 ms.
    """

    limit: float = 0.0
    downtime: float = 0.3
    first: float = 10.5e-6
    again: float = 1.8e-6
    blank: float = 0.5e-6
    device: float = 0.011
    auto_converge: bool = False
    throttle_initial: float = 0.20
    throttle_increment: float = 0.10
    throttle_max: float = 0.99
    throttle_trigger: float = 0.50
    post_copy: bool = False
    switchover_bandwidth: float = 0.0
    wire: int = PAGE + 8
    wire_zero: int = 9
    flush_pages: int = 32
    slot: float = 0.1
    turn: float = 0.05
    slow_slots: float = 0.04

    @classmethod
    def of(cls, *, limit: float, line_rate: float, **rest: Any) -> SimulationSetup:
        """The numbers for a link: a page takes at least the time that it takes on the wire at *line_rate*."""
        least = (PAGE + 8) / line_rate
        base = cls(limit=limit, **rest)
        return evolve(base, first=max(base.first, least), again=max(base.again, least))

    @property
    def quota(self) -> float:
        """Bytes that go out in one slot: whole flushes; infinite without a limit."""
        if self.limit <= 0:
            return math.inf
        flush = self.flush_pages * self.wire
        return math.ceil(self.limit * self.slot / flush) * flush


class Round(NamedTuple):
    """What lay between two syncs: *start* s, bytes *sent*, pages *dirtied* and then *remaining*, *throttle* after it."""

    start: float
    sent: int
    dirtied: int
    remaining: int
    throttle: float


@frozen
class Statistics:
    """What QEMU would answer now: *elapsed* s, *processed*, *remaining* and *total* bytes, *bandwidth* bytes a second in the last slot,
    *dirty_rate* pages a second (refreshed by a sync more than 1 s after the previous refresh), *iteration* syncs.
    """

    status: Status
    elapsed: float
    processed: int
    remaining: int
    total: int
    iteration: int
    dirty_rate: int = 0
    bandwidth: float = 0.0
    throttle: float = 0.0
    normal: int = 0
    constant: int = 0
    expected_downtime: float = field(default=0.3)
