"""Policies: what a control plane does to a running live migration: Nova's own, exactly; and one that acts on what is foreseen.

Rules of `NovaPolicy` (nova/virt/libvirt/migration.py: ``downtime_steps``, ``update_downtime``, ``should_abort``; asked at
every poll of the monitor, 0.5 s apart):

- *downtime steps*: the downtime limit rises from ``downtime / steps`` to ``downtime`` in *steps* equal
  rises, ``int(downtime_delay * data_gb)`` seconds apart. The last step whose time is strictly below the
  elapsed time holds; it is set only where it differs from the limit now.
- *completion timeout*: ``int(completion_timeout * data_gb)`` seconds; at any poll strictly later the
  timeout action is asked for, each time anew (there is no latch), but never once the migration is in
  post-copy. 0 switches it off.
- *data_gb*: the flavor's memory in GiB, at least 2, plus, for a block migration, each migrated local disk
  in GiB, at least 2 each.

Rules of `ForecastPolicy`, which keeps an operator's budget (longest pause, latest end, throttling, post-copy):

- while the migration will end within the budget, nothing is done;
- where the pause would be too long, the downtime limit is lowered at once: to one that brings it within the budget, or else to one
  under which it does not pause so long, though it then hardly ends;
- else the limit is raised, to the least that brings it within the budget;
- where no limit does, it switches to post-copy if it may, or else does what the operator chose: abort at once, wait until the latest
  end, or pause the guest. For that the outlook must have been the same for `patience` seconds, after whole rounds were counted;
- while no bytes flow nothing is decided, but for the latest end;
- where nothing is foreseen the limit rises in Nova's steps (the default number and delay) up to the longest pause, and the latest
  end counts.

A policy is pure: it holds no clock and remembers nothing, so one object serves all migrations. What must not flap is steady in
the outlook (`Foreseen.steady`), or goes one way only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, get_args, runtime_checkable

import attrs

from novastate.convergence import bounds
from novastate.convergence.online.stalls import Stall
from novastate.errors import ConvergenceError

if TYPE_CHECKING:
    from novastate.convergence.precopy import Forecast

__all__ = [
    "Advice",
    "FixedPolicy",
    "ForecastPolicy",
    "Foreseen",
    "NovaPolicy",
    "Observer",
    "Policy",
    "Prospect",
    "Situation",
    "SituationLike",
    "advised",
    "check_policy",
    "check_situation",
    "data_gb",
    "horizon",
    "observer",
]

#: What to do with the job: leave it, abort it, or make it complete (post-copy where permitted, else pause).
JobAction = Literal["none", "abort", "force_complete"]
#: What Nova does when the completion timeout has passed.
TimeoutAction = Literal["abort", "force_complete"]
#: What `ForecastPolicy` does with a migration that will not end within its budget, where it may not switch to post-copy.
Otherwise = Literal["abort", "wait", "pause"]


class SituationLike(Protocol):
    """What a policy looks at. `Situation` is one; the outlook of an estimator that watches is another."""

    @property
    def elapsed(self) -> float:
        """Seconds since the migration started."""
        ...

    @property
    def post_copy(self) -> bool:
        """Whether the guest already runs on the destination (status ``running (post-copy)``)."""
        ...

    @property
    def data_gb(self) -> float:
        """What has to move, in GiB, as `data_gb` counts it."""
        ...

    @property
    def current_downtime(self) -> int | None:
        """The downtime limit that was set last, in ms; None before the first."""
        ...


class Prospect(Protocol):
    """How a migration will end under one downtime limit."""

    @property
    def eta(self) -> float | None:
        """Seconds until it is done; None where it never is."""
        ...

    @property
    def downtime(self) -> float | None:
        """The pause, s; None where there is none any more, or never will be."""
        ...

    @property
    def probability(self) -> float:
        """That it completes (within the timeout, where there is one)."""
        ...

    @property
    def throttle(self) -> float:
        """The highest share of vCPU time that will be withheld."""
        ...


@runtime_checkable
class Foreseen(SituationLike, Prospect, Protocol):
    """A situation of which it is known what will come (`novastate.convergence.Outlook`)."""

    @property
    def stalled(self) -> Stall | None:
        """Whether it gets nowhere, and why."""
        ...

    @property
    def steady(self) -> float:
        """Seconds for which it was said to converge, or not to, without a break."""
        ...

    @property
    def rounds(self) -> int:
        """Whole rounds whose written pages were counted."""
        ...

    def under(self, downtime: float) -> Prospect:
        """What would come with a downtime limit of *downtime* s."""
        ...


#: The largest number of GiB, of seconds, and of milliseconds; and of downtime steps.
_MOST, _MOST_STEPS = 1e9, 100_000
#: Nova's defaults: downtime steps, and seconds per GiB between them.
_NOVA_STEPS, _NOVA_DELAY = 10, 75


@attrs.frozen
class Situation:
    """How one live migration stands: *elapsed* in s, *post_copy*, *data_gb* in GiB, *current_downtime* in ms.

    Raises `ConvergenceError` for a negative number, NaN, and more than 1e9.
    """

    elapsed: float = attrs.field(validator=bounds.valid(0, _MOST))
    post_copy: bool = attrs.field(default=False, validator=bounds.flagged)
    data_gb: float = attrs.field(default=2.0, validator=bounds.valid(0, _MOST))
    current_downtime: int | None = attrs.field(default=None, validator=bounds.valid(0, _MOST, optional=True))


@attrs.frozen
class Advice:
    """What a policy wants done now.

    `downtime_ms` is the downtime limit to set, or None to leave it; `action` is for the job; `reason` is one
    sentence for the operator.
    """

    downtime_ms: int | None
    action: JobAction
    reason: str


@runtime_checkable
class Policy(Protocol):
    """Anything that answers `decide`."""

    def decide(self, outlook: SituationLike) -> Advice:
        """What to do now."""
        ...


def check_policy(policy: object) -> None:
    """Raises `ConvergenceError` for what is no `Policy`, a class among it."""
    if isinstance(policy, type) or not callable(getattr(policy, "decide", None)):
        raise ConvergenceError("policy", policy, "must be a policy: an object with a method decide")


def check_situation(outlook: object) -> None:
    """Raises `ConvergenceError` for what is no situation (`SituationLike`)."""
    if not all(hasattr(outlook, field) for field in ("elapsed", "post_copy", "data_gb", "current_downtime")):
        raise ConvergenceError("outlook", outlook, "must be a Situation, or an Outlook")


def advised(policy: Policy, outlook: SituationLike) -> Advice:
    """What *policy* says of *outlook*; raises `ConvergenceError` where that is no `Advice`."""
    advice = cast("object", policy.decide(outlook))
    if not isinstance(advice, Advice):
        raise ConvergenceError(
            "policy", policy, f"must give advice (novastate.convergence.Advice), it gave {advice!r:.60}"
        )
    return advice


def data_gb(memory_mb: float, disk_bytes: Iterable[float] = ()) -> float:
    """Nova's measure of what a migration moves, in GiB.

    *memory_mb* is the flavor's memory in MiB; *disk_bytes* are the sizes of the local disks that a block
    migration copies. Memory and each disk count as 2 GiB at least.

    >>> data_gb(512)
    2.0
    >>> data_gb(4096, [10 * 2**30, 1])
    16.0
    """
    disks = bounds.entries("disk_bytes", disk_bytes, object)
    ram = max(2.0, bounds.number("memory_mb", memory_mb) / 1024.0)
    return ram + sum(max(2.0, bounds.number("disk_bytes", size) / 2.0**30) for size in disks)


class Observer(Protocol):
    """Makes a situation of a job's statistics, one look after the other (`novastate.convergence.Watch`)."""

    def observe(self, stats: Any, *, downtime: float | None = None, running: bool = True) -> SituationLike:
        """How it stands now; raises `ConvergenceError` for statistics that no migration has."""
        ...


def observer(policy: Policy, forecast: Forecast | None, size: float) -> Observer | None:
    """What *policy* needs to know of a migration of *size* GiB of which *forecast* was made; None where the time is enough."""
    if forecast is None or not isinstance(policy, ForecastPolicy):
        return None
    from novastate.convergence.online.watch import Watch  # noqa: PLC0415  (it loads numpy, as the forecast did)

    return Watch(forecast.guest, forecast.link, forecast.limits, forecast.rules, policy=policy, size=size)


def horizon(policy: Policy, data_gb: float) -> float | None:
    """Seconds after which *policy* gives up, or forces, a migration of *data_gb* GiB; None where it never does, or does not say."""
    if isinstance(policy, NovaPolicy):
        return policy.timeout(data_gb)
    if isinstance(policy, ForecastPolicy):
        return policy.end(data_gb)
    return policy.timeout if isinstance(policy, FixedPolicy) else None


def _steps(downtime: float, count: int, delay: int) -> list[tuple[int, int]]:
    """Nova's rises up to *downtime* ms: (from this many seconds on, limit in ms)."""
    base = downtime / count
    offset = (downtime - base) / count
    return [(delay * i, int(base + offset * i)) for i in range(count + 1)]


@attrs.frozen
class NovaPolicy:
    """Nova's rules for a live migration under way; the defaults and least values are Nova's options.

    *downtime* in ms (``live_migration_downtime``), *downtime_steps* (``…_steps``), *downtime_delay* in
    s per GiB (``…_delay``), *completion_timeout* in s per GiB (0: none), *timeout_action* ``"abort"`` or
    ``"force_complete"``. Raises `ConvergenceError` for a value that Nova's option would refuse, for more than
    100 000 steps, and for any other number above 1e9.

    >>> NovaPolicy(downtime=400, downtime_delay=30).steps(3)[:3]
    [(0, 40), (90, 76), (180, 112)]
    >>> NovaPolicy().decide(Situation(elapsed=1601, data_gb=2, current_downtime=500)).action
    'abort'
    """

    downtime: int = attrs.field(default=500, validator=bounds.valid(100, _MOST, integer=True))
    downtime_steps: int = attrs.field(default=_NOVA_STEPS, validator=bounds.valid(3, _MOST_STEPS, integer=True))
    downtime_delay: int = attrs.field(default=_NOVA_DELAY, validator=bounds.valid(3, _MOST, integer=True))
    completion_timeout: int = attrs.field(default=800, validator=bounds.valid(0, _MOST, integer=True))
    timeout_action: TimeoutAction = attrs.field(default="abort", validator=bounds.one_of(*get_args(TimeoutAction)))

    def steps(self, data_gb: float) -> list[tuple[int, int]]:
        """The downtime steps for *data_gb* GiB: (from this many seconds on, limit in ms), rising."""
        size = bounds.number("data_gb", data_gb, 0, _MOST)
        return _steps(self.downtime, self.downtime_steps, int(self.downtime_delay * size))

    def timeout(self, data_gb: float) -> int | None:
        """Seconds until the timeout action for *data_gb* GiB, or None where there is no timeout."""
        size = bounds.number("data_gb", data_gb, 0, _MOST)
        return int(self.completion_timeout * size) if self.completion_timeout else None

    def decide(self, outlook: SituationLike) -> Advice:
        """What Nova's monitor would do at this poll: a new downtime limit, the timeout action, both, or neither."""
        check_situation(outlook)
        step = self._step(outlook)
        limit = self.timeout(outlook.data_gb)
        if limit is not None and outlook.elapsed > limit and not outlook.post_copy:
            return Advice(
                step,
                self.timeout_action,
                f"not complete after {outlook.elapsed:.0f} s, the completion timeout is {limit} s",
            )
        if step is not None:
            return Advice(step, "none", f"after {outlook.elapsed:.0f} s the pause may last {step} ms")
        return Advice(None, "none", "the present downtime limit holds")

    def _step(self, outlook: SituationLike) -> int | None:
        due = [ms for start, ms in self.steps(outlook.data_gb) if start < outlook.elapsed]
        return due[-1] if due and due[-1] != outlook.current_downtime else None


@attrs.frozen
class FixedPolicy:
    """Leaves the downtime limit as it was set, and acts once after *timeout* seconds (None: never; 1e9 at most).

    >>> FixedPolicy(timeout=20).decide(Situation(elapsed=21)).action
    'abort'
    """

    timeout: float | None = attrs.field(default=None, validator=bounds.valid(0, _MOST, optional=True))
    timeout_action: TimeoutAction = attrs.field(default="abort", validator=bounds.one_of(*get_args(TimeoutAction)))

    def decide(self, outlook: SituationLike) -> Advice:
        """The timeout action once its time has come, else nothing."""
        check_situation(outlook)
        if self.timeout is not None and outlook.elapsed > self.timeout and not outlook.post_copy:
            return Advice(None, self.timeout_action, f"not complete after {self.timeout:g} s")
        return Advice(None, "none", "the downtime limit is fixed")


#: The limits that are tried: each so many times the one before, then twice halfway back.
_STEP, _LADDER, _BACK = 1.5, 12, 2
#: A new limit must make it as likely as this, and its pause this share of the longest one.
_LIKELY, _WITHIN = 0.8, 0.8
#: QEMU's largest downtime limit, s.
_MOST_DOWNTIME = 2000.0


@attrs.frozen
class ForecastPolicy:
    """Keeps an operator's budget by what is foreseen (a `Foreseen` situation; in any other it goes by Nova's steps and the time).

    *longest_pause* s; *latest_end* s since the request (None: whenever), for each GiB that moves where *per_gib*; *throttle*,
    whether a guest may be throttled for it; *post_copy*, whether it may switch; *otherwise*: ``"abort"`` at once, ``"wait"`` until
    the latest end, or ``"pause"`` the guest; *patience*: seconds for which a bad outlook must last. Raises `ConvergenceError`
    for a number out of bounds.

    The limit that the hypervisor is given may be longer than *longest_pause*: it is reckoned with the bandwidth limit, which the pause
    itself does not know (migration.c sends the rest at line rate). What counts is the pause that is foreseen: a limit under which
    that is longer is not set, and one that is set is lowered.

    >>> ForecastPolicy(latest_end=60, otherwise="wait").decide(Situation(elapsed=61)).action
    'abort'
    """

    longest_pause: float = attrs.field(default=0.5, validator=bounds.valid(0, _MOST_DOWNTIME, above=True))
    latest_end: float | None = attrs.field(default=None, validator=bounds.valid(0, _MOST, optional=True))
    per_gib: bool = attrs.field(default=False, validator=bounds.flagged)
    throttle: bool = attrs.field(default=True, validator=bounds.flagged)
    post_copy: bool = attrs.field(default=False, validator=bounds.flagged)
    otherwise: Otherwise = attrs.field(default="abort", validator=bounds.one_of(*get_args(Otherwise)))
    patience: float = attrs.field(default=5.0, validator=bounds.valid(0, _MOST))

    def end(self, data_gb: float) -> float | None:
        """The latest end of a migration of *data_gb* GiB, s since the request; None where there is none."""
        size = bounds.number("data_gb", data_gb, 0, _MOST)
        return None if self.latest_end is None else self.latest_end * (size if self.per_gib else 1.0)

    def decide(self, outlook: SituationLike) -> Advice:
        """What to do now, with the reason in one sentence."""
        check_situation(outlook)
        if outlook.post_copy:
            return Advice(None, "none", "the guest runs on the destination already")
        end = self.end(outlook.data_gb)
        if end is not None and outlook.elapsed > end:
            return self._end(f"not complete after {end:g} s, its latest end", wait="abort")
        if not isinstance(outlook, Foreseen):
            return self._unforeseen(outlook)
        if outlook.stalled is Stall.NO_BYTES:
            return Advice(None, "none", "nothing is sent: the link is waited for")
        if self._fits(outlook, outlook, self.longest_pause, 0.5):
            return Advice(None, "none", f"done in {outlook.eta:.1f} s, within the budget")
        problem = self._problem(outlook)
        too_long = self._too_long(outlook, self.longest_pause)
        if too_long:
            limit, found = self._lower(outlook)
            if found is not None:
                return Advice(limit, "none", f"{problem}; with a limit of {limit} ms {_told(found)}")
        elif outlook.rounds < 1:
            return Advice(None, "none", f"{problem}, by what was known before; a whole round is waited for")
        else:
            limit, found = self._least(outlook)
            if found is not None:
                return Advice(limit, "none", f"{problem}; with a limit of {limit} ms {_told(found)}")
        # What still may end in time is left alone.
        hopeless = too_long or outlook.eta is None or self._late(outlook, outlook) or self._forbidden(outlook)
        waits = outlook.steady < self.patience or outlook.rounds < 2
        soon = too_long and outlook.eta is not None and outlook.eta <= self.patience
        if not hopeless or (waits and not soon):
            return Advice(None, "none", f"{problem}, and no limit helps; it is watched a little longer")
        return self._end(
            f"{problem}, and no limit within {1000 * self.longest_pause:.0f} ms of pause helps", wait="none"
        )

    def _unforeseen(self, outlook: SituationLike) -> Advice:
        size = bounds.number("data_gb", outlook.data_gb, 0, _MOST)
        steps = _steps(1000 * self.longest_pause, _NOVA_STEPS, int(_NOVA_DELAY * size))
        limit = max((max(1, ms) for start, ms in steps if start < outlook.elapsed), default=0)
        if limit <= (outlook.current_downtime or 0):
            return Advice(None, "none", "nothing is foreseen of it: the present downtime limit holds")
        return Advice(
            limit, "none", f"nothing is foreseen of it: after {outlook.elapsed:.0f} s the limit is {limit} ms"
        )

    def _end(self, why: str, wait: JobAction) -> Advice:
        if self.post_copy:
            return Advice(None, "force_complete", f"{why}: it switches to post-copy")
        if self.otherwise == "pause":
            return Advice(None, "force_complete", f"{why}: the guest is paused until it is done")
        action: JobAction = "abort" if self.otherwise == "abort" else wait
        return Advice(None, action, f"{why}: it is {'given up' if action == 'abort' else 'waited for'}")

    def _late(self, prospect: Prospect, now: SituationLike) -> bool:
        end = self.end(now.data_gb)
        return end is not None and prospect.eta is not None and now.elapsed + prospect.eta > end

    def _forbidden(self, prospect: Prospect) -> bool:
        return prospect.throttle > 0 and not self.throttle

    def _too_long(self, prospect: Prospect, pause: float) -> bool:
        return (prospect.downtime or 0.0) > pause

    def _fits(self, prospect: Prospect, now: SituationLike, pause: float, likely: float) -> bool:
        if prospect.eta is None or prospect.probability < likely or self._forbidden(prospect):
            return False
        return not self._too_long(prospect, pause) and not self._late(prospect, now)

    def _problem(self, outlook: Foreseen) -> str:
        if outlook.eta is None:
            return "it does not converge"
        if self._too_long(outlook, self.longest_pause):
            return f"its pause would be {1000 * (outlook.downtime or 0.0):.0f} ms"
        if self._forbidden(outlook):
            return f"it converges only by throttling the guest ({outlook.throttle:.0%})"
        if self._late(outlook, outlook):
            return f"it would end after {outlook.elapsed + outlook.eta:.0f} s, later than its latest end"
        return f"it is {outlook.probability:.0%} likely to converge"

    def _lower(self, outlook: Foreseen) -> tuple[int, Prospect | None]:
        """A downtime limit below the present one, ms, that brings it within the budget, else one that at least keeps its pause within
        it; and what comes of it, None where no limit does.

        First those no longer than the longest pause, which no pause passes by much whatever the chance; then longer ones.
        """
        now, sure = outlook.current_downtime or 1, max(1, int(1000 * _WITHIN * self.longest_pause))
        short = _down(min(sure, now - 1))
        tried: list[tuple[int, Prospect]] = []
        for limit in (*short, *reversed([one for one in _down(now - 1) if one > sure])):
            found = outlook.under(limit / 1000)
            if self._fits(found, outlook, _WITHIN * self.longest_pause, _LIKELY):
                return limit, found
            tried.append((limit, found))
        for limit, found in tried[: len(short)]:
            if not self._too_long(found, self.longest_pause):
                return limit, found
        return now, None

    def _least(self, outlook: Foreseen) -> tuple[int, Prospect | None]:
        """The least downtime limit, ms, that brings it within the budget; and what comes of it, None where no limit does."""
        now = outlook.current_downtime or 1

        def tried(limit: int) -> Prospect | None:
            found = outlook.under(limit / 1000)
            return found if self._fits(found, outlook, _WITHIN * self.longest_pause, _LIKELY) else None

        low = now
        for step in range(1, _LADDER + 1):
            high = round(min(max(now * _STEP**step, now + step), 1000 * _MOST_DOWNTIME))
            found = tried(high)
            if found is None:
                low = high
                continue
            for _ in range(_BACK):
                middle = (low + high) // 2
                other = tried(middle) if low < middle < high else None
                low, high, found = (low, middle, other) if other is not None else (middle, high, found)
            return high, found
        return now, None


def _down(top: int) -> list[int]:
    """Limits from *top* ms down to 1, each `_STEP` times shorter than the one before."""
    found: list[int] = []
    while top >= 1:
        found.append(top)
        top = int(top / _STEP)
    return found


def _told(prospect: Prospect) -> str:
    if prospect.probability < _LIKELY or prospect.eta is None or prospect.downtime is None:
        return "it does not pause so long, but hardly converges either"
    return f"it is done in {prospect.eta:.1f} s with a pause of {1000 * prospect.downtime:.0f} ms"
