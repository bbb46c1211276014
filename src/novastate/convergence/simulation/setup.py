"""What a simulated migration is set up with, what can be seen of it, and how it ended.

Rules: times in seconds, sizes in bytes, rates in bytes a second, throttles as shares of vCPU time. Nothing here computes; the rules of
QEMU are in `novastate.convergence.simulation.simulator`, and their constants in `novastate.convergence.rules`.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

from attrs import evolve, field, fields, frozen

from novastate.convergence import bounds
from novastate.convergence.guest import Limits, Link
from novastate.convergence.postcopy import PostCopy
from novastate.convergence.precopy import Round, Verdict
from novastate.convergence.rules import SLOT, TURN, TURN_HEADER, Rules
from novastate.convergence.simulation.laws import PAGE
from novastate.convergence.throttle import LOST, WAKE
from novastate.convergence.timeout import asks_first, looked_at
from novastate.errors import ConvergenceError

__all__ = ["Answer", "SimulationResult", "SimulationSetup", "Status"]


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


#: Of the fields of a setup: least and most of the shares, and of what else may not be 0.
_SHARES = frozenset({"throttle_initial", "throttle_increment", "throttle_max", "lost", "wake", "slow_slots"})
_ABOVE = frozenset({"quota", "wire", "slot", "turn", "throttle_initial", "throttle_max"})
_HOST_PAGES = (PAGE, 1 << 21, 1 << 30)
_COUNTS = frozenset({"post_copy_after", "multifd", "turn_header", "most_rounds"})
#: The rules as they are unless told.
_RULES = Rules("")


def _rule(name: str) -> Any:
    """A field that is the rule *name* as it stands."""
    return field(default=getattr(_RULES, name), metadata={"rule": name})


@frozen
class SimulationSetup:
    """The numbers of one migration. Raises `ConvergenceError` for numbers that cannot be.

    *quota*: bytes that go out in one slot, infinite without a limit. *first*, *again*, *blank*: s to send a page that the destination
    touches first, one that it has already, a zero page. *device*: pause besides the pages. *switchover_bandwidth* replaces the
    measured one in the threshold, if not 0. *lost*, *wake*: what a throttle takes besides (shares of what is left, of vCPU time).
    *post_copy*: permitted; *post_copy_after*: the switch comes by itself when more bitmaps than this were synced, 0: never.
    *slow_slots*: share of the slots that last 101 ms. *wire*, *wire_zero*, *wire_delta*: bytes of a page, a zero page, a difference
    to a page of the XBZRLE cache, which holds *cache_pages* (0: no XBZRLE) and takes *again_delta* s; *turn_header*: of each turn.
    *multifd*: how many channels there are, 0 for one without packets. *tailslow*, *background_sync*, *rearm*, *most_rounds*: as in `Rules`;
    *dirty_limit*: pages that may be written a second once the guest is limited, 0: any. *whole_rounds*: the rules of Cloud Hypervisor,
    with *deadline*, s after which a look that finds too much stops the guest all the same, or gives up where it *cancels* (0: never).
    *fault*: s that a vCPU waits in post-copy for a page that it touches before it has come. *host_page*: bytes of the pages that back
    the memory, as in `Guest`: 4 KiB, 2 MiB or 1 GiB.
    """

    quota: float = math.inf
    downtime: float = Limits().downtime
    first: float = _RULES.touch
    again: float = _RULES.rewrite
    blank: float = _RULES.blank
    device: float = _rule("device")
    auto_converge: bool = False
    throttle_initial: float = _rule("initial")
    throttle_increment: float = _rule("increment")
    throttle_max: float = _rule("most")
    throttle_trigger: float = _rule("trigger")
    lost: float = LOST
    wake: float = WAKE
    post_copy: bool = _rule("post_copy")
    post_copy_after: int = 0
    switchover_bandwidth: float = 0.0
    wire: float = _RULES.wire()
    wire_zero: float = _RULES.wire_zero()
    wire_delta: float = _RULES.wire_again()
    again_delta: float = _RULES.rewrite
    cache_pages: float = 0
    multifd: int = _rule("multifd")
    turn_header: int = TURN_HEADER
    slot: float = SLOT
    turn: float = TURN
    slow_slots: float = 0.04
    tailslow: bool = _rule("tailslow")
    background_sync: float = _rule("background_sync")
    dirty_limit: float = 0.0
    rearm: bool = _rule("rearm")
    whole_rounds: bool = False
    most_rounds: int = _rule("most_rounds")
    deadline: float = 0.0
    cancels: bool = False
    fault: float = 0.0
    host_page: int = PAGE

    def __attrs_post_init__(self) -> None:
        for row in fields(SimulationSetup):
            name, value = row.name, getattr(self, row.name)
            if name == "host_page":
                if bounds.page_size(name, value) not in _HOST_PAGES:
                    raise ConvergenceError(name, value, "is not simulated", _HOST_PAGES)
            elif isinstance(row.default, bool):
                bounds.flag(name, value)
            elif name in _COUNTS:
                bounds.whole(name, value, 0, bounds.MOST_PAGES)
            elif name != "quota" or not isinstance(value, float) or value != math.inf:
                bounds.number(name, value, 0.0, 1.0 if name in _SHARES else bounds.FASTEST, above=name in _ABOVE)

    @classmethod
    def of(
        cls, link: Link, limits: Limits, rules: Rules, *, post_copy_after: int | None = None, host_page: int = PAGE
    ) -> SimulationSetup:
        """The numbers of a migration over *link* within *limits* by *rules*, of memory on pages of *host_page* bytes.

        *post_copy_after* instead of the rules': 0 leaves the switch to a command. Stated approximations, those of the forecast:
        each cached page of XBZRLE takes `Rules.xbzrle_delta` bytes; multifd overshoots its quota by one packet and a half.
        """
        for name, value, kind in (("link", link, Link), ("limits", limits, Limits), ("rules", rules, Rules)):
            bounds.instance(name, value, kind)
        whole = rules.family != "qemu"
        wire, delta, rate = rules.wire(), rules.wire_again(), link.line_rate
        automatic = rules.post_copy_after if post_copy_after is None else post_copy_after
        bounds.whole("post_copy_after", automatic, 0, bounds.MOST_PAGES)
        if whole and link.limit:
            rate = min(rate, link.limit)
        first = max(wire / rate, rules.touch)
        setup = cls(
            downtime=limits.downtime,
            first=first,
            again=max(wire / rate, rules.rewrite),
            blank=first if whole else rules.blank,
            auto_converge=rules.auto_converge or rules.dirty_limit > 0,
            post_copy_after=automatic if rules.post_copy else 0,
            switchover_bandwidth=rules.switchover_bandwidth or 0.0,
            wire=wire,
            wire_zero=rules.wire_zero(),
            wire_delta=delta,
            again_delta=max(delta / rate, rules.rewrite),
            cache_pages=rules.cached_pages(),
            turn_header=0 if rules.multifd or whole else TURN_HEADER,
            turn=SLOT if whole else TURN,
            dirty_limit=rules.dirty_limit / PAGE,
            whole_rounds=whole,
            deadline=looked_at(limits, rules),
            cancels=asks_first(rules),
            fault=rules.fault(link.line_rate, host_page),
            host_page=host_page,
            **{row.name: getattr(rules, row.metadata["rule"]) for row in fields(cls) if row.metadata},
        )
        return setup.limited(link.limit)

    def limited(self, limit: float | None) -> SimulationSetup:
        """The same with another bandwidth limit, bytes/s; none is 0 or None."""
        # The quota of the rules counts the header of one turn; here each turn adds its own.
        paced = bounds.limit("limit", limit) is not None and not self.whole_rounds
        quota = Rules("", multifd=self.multifd).quota(limit) - self.turn_header if paced else math.inf
        return evolve(self, quota=quota)


@frozen
class Answer:
    """What QEMU would answer now: *elapsed* s, *processed*, *remaining* and *total* bytes, *bandwidth* bytes a second in the last slot,
    *dirty_rate* pages a second (refreshed by a sync more than 1 s after the previous refresh), *iteration* syncs.

    A `Watch` takes them as they are, also by the names of a job's statistics; their time counts from the hypervisor's start.
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
    disk_remaining: int = 0

    @property
    def memory_total(self) -> int:
        """Bytes of memory that migrate."""
        return self.total

    @property
    def memory_processed(self) -> int:
        """Bytes that memory has taken on the wire."""
        return self.processed

    @property
    def memory_remaining(self) -> int:
        """Bytes that are known to be unsent."""
        return self.remaining

    @property
    def memory_bps(self) -> int:
        """Bytes a second on the wire in the last slot."""
        return int(self.bandwidth)

    @property
    def post_copy(self) -> bool:
        """Whether the guest runs on the destination already."""
        return self.status is Status.POSTCOPY


@frozen
class SimulationResult:
    """How a simulated migration ended; the fields are those of a `Forecast`.

    *total* s from the request, *downtime* s of pause, *transferred* bytes (None unless it converged), *syncs* as QEMU counts,
    *throttle* the highest in percent, *rounds*. *hypervisor_total*: without what the management layer takes before QEMU starts.
    *post_copy*: what it cost the guest to be switched, None where it was not.
    """

    verdict: Verdict
    total: float | None
    hypervisor_total: float | None
    downtime: float | None
    transferred: int | None
    syncs: int
    throttle: int
    rounds: tuple[Round, ...] = field(repr=False)
    post_copy: PostCopy | None = None

    @property
    def post_copied(self) -> bool:
        """Whether it has switched to post-copy."""
        return self.post_copy is not None
