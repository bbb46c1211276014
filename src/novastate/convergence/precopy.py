"""Will it converge: a pre-copy migration forecast by the hypervisor's real rules.

Rule: a forecast is one run of the recursion (`novastate._native.precopy`) on the guest as it is known, which gives
verdict, time, pause and bytes; and a handful of runs on guests a little different from it, which give the probability
and the interval. Near the boundary of convergence one page more or less is a whole round more: there the
probability says so, and the point alone would be dishonest.

`total` counts as libvirt's job does, from the request: it holds `Rules.begin` (libvirt's own phases
before QEMU starts); `Forecast.hypervisor_total` is QEMU's part alone.

Sources: see `novastate.convergence.rules` and the kernel.
"""

from __future__ import annotations

import enum
import math
from array import array
from functools import cached_property, lru_cache

import attrs

from novastate._native import precopy as kernel
from novastate._native.precopy_fields import NEVER, OUT_FIELDS, POSTCOPY, ROUND_FIELDS, SCENARIO_FIELDS
from novastate.convergence import bounds
from novastate.convergence.curve import kernel_rows
from novastate.convergence.ensemble import Ensemble
from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.hostpages import besides, latest, whole
from novastate.convergence.rules import SLOT, TURN, Rules
from novastate.convergence.throttle import LOST, SLOWED, WAKE, limited
from novastate.convergence.timeout import deadline_of, decided

__all__ = ["Forecast", "Round", "Verdict", "check_kinds", "forecast"]

_ROUNDS = 256
_POINT = array("d", [1.0, 1.0, 1.0, 0.0])
_NO_ROUNDS = array("d")


class Verdict(enum.Enum):
    """How a migration will end."""

    #: It completes, and is not given up at the timeout before.
    CONVERGES = "converges"
    #: It would complete, but later than the timeout.
    TIMES_OUT = "times_out"
    #: It goes round for ever.
    NEVER = "never"


@attrs.frozen
class Round:
    """One round: *start* s after the hypervisor began, bytes *sent* in it, pages *dirtied* meanwhile and *remaining*
    at its end, *throttle* in percent from then on.
    """

    start: float
    sent: float
    dirtied: float
    remaining: float
    throttle: int


@attrs.frozen
class Forecast:
    """What a migration will do; made by `forecast`.

    `verdict`; `total` s from the request to the end, `downtime` s of pause, `transferred` bytes (None where the
    verdict leaves none); `throttle` percent, the highest. `syncs` counts bitmap syncs as the hypervisor's dirty-sync-count
    does: the one that starts the first round, one a round, and one more when the guest is stopped.
    `probability` of completing within the timeout, `total_interval` and `downtime_interval` (s, 90 %), `rounds` and `reason`
    are worked out when first asked for. `guest`, `link`, `limits` and `rules` are what it was made from.
    """

    verdict: Verdict
    total: float | None
    downtime: float | None
    transferred: float | None
    syncs: int
    throttle: int
    #: When it would complete if it had the time; None where it never does.
    unlimited_total: float | None
    guest: Guest = attrs.field(repr=False)
    link: Link = attrs.field(repr=False)
    limits: Limits = attrs.field(repr=False)
    rules: Rules = attrs.field(repr=False)
    _scenario: array[float] = attrs.field(repr=False, eq=False)
    _pending: float = attrs.field(repr=False)
    _switched: bool = attrs.field(default=False, repr=False)

    def as_json(self) -> dict[str, object]:
        """As plain data, in s and bytes; null where the verdict leaves no number."""
        return {
            "verdict": self.verdict.value,
            "total_s": self.total,
            "total_interval": None if self.total_interval is None else list(self.total_interval),
            "hypervisor_total_s": self.hypervisor_total,
            "downtime_s": self.downtime,
            "downtime_interval": None if self.downtime_interval is None else list(self.downtime_interval),
            "transferred_bytes": None if self.transferred is None else round(self.transferred),
            "syncs": self.syncs,
            "throttle": self.throttle,
            "probability": self.probability,
            "reason": self.reason,
        }

    @property
    def hypervisor_total(self) -> float | None:
        """`total` without what the management layer takes before the hypervisor starts."""
        return None if self.total is None else self.total - self.rules.begin

    @property
    def post_copied(self) -> bool:
        """Whether it completes by switching to post-copy."""
        return self._switched and self.total is not None

    @property
    def missing(self) -> float:
        """Pages that are still to come as it switches to post-copy, of huge pages of the host all; 0 where it does not."""
        return whole(self.guest, self._pending, self.guest.host_page) if self.post_copied else 0.0

    @property
    def unsent(self) -> float:
        """Of `missing`, those that the destination does not have as they are."""
        return self._pending if self.post_copied else 0.0

    @cached_property
    def _ensemble(self) -> Ensemble:
        return Ensemble(
            scenario=self._scenario,
            classes=rows_of(self.guest),
            speed=speed_of(self.guest),
            guest=self.guest,
            link=self.link,
            limits=attrs.evolve(self.limits, timeout=None) if self.rules.ignores_timeout else self.limits,
            rules=self.rules,
            total=self.total,
            pause=self.downtime,
            throttle=self.throttle,
            switched=self._switched,
        )

    @cached_property
    def probability(self) -> float:
        """That it completes within the timeout (or at all, without one): 0.02 to 0.98."""
        return self._ensemble.probability

    @cached_property
    def total_interval(self) -> tuple[float, float] | None:
        """`total` lies in this interval with 90 % probability, given that it completes; None where it does not.

        Where it may not complete in time the interval ends at the timeout (not that of Cloud Hypervisor, which completes what has
        converged however late that is), and `otherwise` says so.
        """
        return self._ensemble.interval

    @cached_property
    def downtime_interval(self) -> tuple[float, float] | None:
        """`downtime` lies in this interval with 90 % probability, given that it completes in time; None where it does not."""
        return self._ensemble.pause_interval

    @property
    def otherwise(self) -> str | None:
        """What may well happen instead, in words: not before the timeout, or given up past it, or never, or by post-copy, or without;
        None: nothing.
        """
        return self._ensemble.otherwise

    @property
    def in_time(self) -> bool:
        """Whether it is sure enough to complete in time for `total_interval` to hold all that may well happen."""
        return self.total is not None and self._ensemble.late is None

    @cached_property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds of the point forecast, up to the timeout; of a long migration the first 256."""
        out = array("d", bytes(8 * OUT_FIELDS))
        rows = array("d", bytes(8 * ROUND_FIELDS * _ROUNDS))
        point = array("d", [speed_of(self.guest), 1.0, 1.0, 0.0])
        count = kernel.run(self._scenario, rows_of(self.guest), point, out, rows)
        limit = math.inf if self.limits.timeout is None else self.limits.timeout - self.rules.begin
        found = (rows[at : at + 5] for at in range(0, count * ROUND_FIELDS, ROUND_FIELDS))
        return tuple(
            Round(start, sent, dirtied, remaining, round(100 * throttle))
            for start, sent, dirtied, remaining, throttle in found
            if start < limit
        )

    @cached_property
    def reason(self) -> str:
        """Why, in one sentence, and where it does not converge what would help. Only made when asked for: it takes more forecasts."""
        from novastate.convergence.reasons import reason_of  # noqa: PLC0415  (it asks for forecasts)

        return reason_of(self)

    def _repr_html_(self) -> str:
        """For notebooks: a table, with a picture where matplotlib is installed."""
        from novastate.convergence.pictures.html import forecast_html  # noqa: PLC0415  (it draws forecasts)

        return forecast_html(self)


def rows_of(guest: Guest) -> array[float]:
    """The kernel's rows of the guest's write law; to be read only."""
    return kernel_rows(guest.curve)


def speed_of(guest: Guest) -> float:
    return SLOWED if guest.busy > 0.9 else 1.0


@lru_cache(maxsize=1024)
def _setting(link: Link, limits: Limits, rules: Rules, size: int) -> array[float]:
    """The kernel's numbers, in the order of its SCENARIO_FIELDS, but for those of the guest."""
    wire, again = rules.wire(size), rules.wire_again(size)
    on_line = wire / link.line_rate
    units = size / 4096.0  # the host's constants are those of a page of 4 KiB
    bandwidth = rules.switchover_bandwidth
    values: dict[str, float] = {
        "page": size,
        "wire": wire,
        "wire_again": again,
        "cache": rules.cached_pages(size),
        "wire_zero": rules.wire_zero(size),
        "quota": rules.quota(link.limit),
        "first": max(on_line, rules.touch * units, 1e-9),
        "again": max(on_line, rules.rewrite * units, 1e-9),
        "delta": max(again / link.line_rate, rules.rewrite * units, 1e-9),
        "blank": max(rules.blank * units, 1e-9),
        "downtime": limits.downtime,
        "switchover": bandwidth / 1000.0 if bandwidth else 0.0,
        "device": rules.device,
        "slot": SLOT,
        "turn": TURN,
        "throttling": rules.auto_converge or rules.dirty_limit > 0.0,
        "initial": rules.initial,
        "increment": rules.increment,
        "most": rules.most,
        "trigger": rules.trigger,
        "lost": LOST,
        "wake": WAKE,
        "postcopy": rules.post_copy_after if rules.post_copy else 0,
        "tailslow": rules.tailslow,
        "resync": rules.background_sync,
        "family": 0.0 if rules.family == "qemu" else 1.0,
        "most_rounds": rules.most_rounds,
        "phase": 0.5,  # as good as any
    }
    return array("d", (values.get(field, 0.0) for field in SCENARIO_FIELDS))


_PAGES, _ZERO, _TAIL, _TAIL_ZERO, _BUSY, _CHUNKS, _LIMITED, _LAG, _DEADLINE = (
    SCENARIO_FIELDS.index(field)
    for field in ("pages", "zero", "tail", "tail_zero", "busy", "chunks", "limited", "lag", "deadline")
)


def scenario_of(guest: Guest, link: Link, limits: Limits, rules: Rules, elapsed: float | None = None) -> array[float]:
    """The kernel's scenario (``SCENARIO_FIELDS``); *elapsed*: s since the request, where it is run from a state of that moment."""
    scenario = _setting(link, limits, rules, guest.page_size)[:]
    scenario[_PAGES] = guest.pages
    scenario[_ZERO] = guest.zero_pages
    scenario[_TAIL] = guest.tail
    scenario[_TAIL_ZERO] = guest.tail_zero
    scenario[_BUSY] = guest.busy
    scenario[_CHUNKS] = rules.chunks(guest.memory)
    scenario[_LAG] = latest(guest, link, rules)
    scenario[_DEADLINE] = deadline_of(limits, rules, elapsed)
    if rules.dirty_limit:
        scenario[_LIMITED] = limited(guest.curve.pages, rules.dirty_limit / guest.page_size)
    return scenario


def check_kinds(guest: object, link: object, limits: object, rules: object) -> None:
    """Raises `ConvergenceError` that names what of these is not of its type."""
    if not (
        isinstance(guest, Guest) and isinstance(link, Link) and isinstance(limits, Limits) and isinstance(rules, Rules)
    ):
        bounds.instance("guest", guest, Guest)
        bounds.instance("link", link, Link)
        bounds.instance("limits", limits, Limits)
        bounds.instance("rules", rules, Rules)


def forecast(guest: Guest, link: Link, limits: Limits = Limits(), rules: Rules = Rules.qemu()) -> Forecast:
    """What a migration of *guest* over *link* within *limits* will do by *rules*.

    Whatever `Guest`, `Link`, `Limits` and `Rules` accept has a verdict, in bounded time; `ConvergenceError` for what is none of these.

    >>> from novastate.convergence import DirtyCurve
    >>> curve = DirtyCurve.from_windows({0.25: 2956, 0.5: 5379, 1.0: 9003, 2.0: 13055}, page_count=98304)
    >>> guest = Guest(memory=384 * 2**20, zero_pages=32079, page_size=4096, curve=curve)
    >>> result = forecast(guest, Link(limit=64 * 2**20), Limits(downtime=0.3, timeout=800))
    >>> result.verdict.value, result.probability > 0.9
    ('converges', True)
    """
    check_kinds(guest, link, limits, rules)
    scenario = scenario_of(guest, link, limits, rules)
    out = array("d", bytes(8 * OUT_FIELDS))
    point = _POINT if guest.busy <= 0.9 else array("d", [SLOWED, 1.0, 1.0, 0.0])
    kernel.run(scenario, rows_of(guest), point, out, _NO_ROUNDS)
    end, total, pause, sent, syncs, throttle, pending, last_round = out
    more = besides(scenario, guest, end, pending)
    would: float | None = None if end == NEVER else total + more.seconds + rules.begin
    percent = round(100.0 * throttle)
    # The hypervisor counts one sync more at the stop.
    timeout = math.inf if limits.timeout is None else limits.timeout
    if would is None or decided(rules, would, pause, last_round) > timeout:
        verdict = Verdict.NEVER if would is None else Verdict.TIMES_OUT
        return Forecast(
            verdict, None, None, None, int(syncs) + 1, percent, would, guest, link, limits, rules, scenario, pending
        )
    return Forecast(
        Verdict.CONVERGES,
        would,
        pause,
        sent + more.sent,
        int(syncs) + 1,
        percent,
        would,
        guest,
        link,
        limits,
        rules,
        scenario,
        pending,
        end == POSTCOPY,
    )
