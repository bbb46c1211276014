"""Watching a migration that runs: when it will be done, with what pause, whether at all, and what to do about it.

Rules:

1. It starts from what is known now, and runs the rules of the hypervisor on from there (`novastate.convergence.online.tracking`); what no
   statistics tell, the guest and the link as they were known before tell.
2. What is counted while it runs corrects the write law, the zero pages and the pace (`novastate.convergence.online.learning`).
3. A verdict changes when the other one has been likelier for a while, so that one look says little: nothing flaps.
4. The interval is the shortest that nine of ten runs end in, those of other write laws among them (`novastate.convergence.online.doubt`);
   the verdict and its probability are of the law as it is known, corrected by what was counted, and of rule 6.
5. Every time is finite and not negative. A migration that goes round for ever has none, and the reason says so.
6. A law that said of round after round that it would be the last is believed less, and what such rounds are worth is believed instead
   (`novastate.convergence.online.alike`).
"""

from __future__ import annotations

import math

import attrs

from novastate.convergence import bounds
from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.online.ahead import Ahead, Outlook
from novastate.convergence.online.stalls import Stall, Stalls
from novastate.convergence.online.statistics import Sample, Statistics, in_milliseconds, job_over
from novastate.convergence.online.tracking import Tracker
from novastate.convergence.policies.base import Advice, Policy, advised, check_policy
from novastate.convergence.policies.forecast import ForecastPolicy
from novastate.convergence.policies.nova import data_gb
from novastate.convergence.precopy import Forecast, check_kinds
from novastate.convergence.resume import Run
from novastate.convergence.rules import Rules
from novastate.convergence.timeout import asks_first, looked_at
from novastate.errors import ConvergenceError

__all__ = ["Watch", "outlook"]

_MIB = 1 << 20
#: What no state tells: where in its slot the migration is, s; and how steady a pace is: under a limit, without, throttled.
_PHASE, _UNSTEADY, _UNLIMITED, _THROTTLED = 0.12, 0.02, 0.06, 0.08
#: Seconds for which the other verdict must be likelier before it is taken over: where it is certain, and where it is not.
_SURE_AFTER, _LIKELY_AFTER = 1.0, 3.0
_SURE = 0.95
#: A migration that completes with less probability than this has no time at which it does.
_HARDLY = 0.05
#: After so many looks at times that seem to be in ms they are taken to be.
_LATE = 3
#: What is said of a job that is over and not complete.
_OVER = {
    "failed": "The job is over: it has failed.",
    "cancelled": "The job is over: it was cancelled.",
    "none": "The job is over: there is none any more.",
}


class Watch:
    """One migration, watched: give `observe` its statistics every now and then (every 50 ms, or every few seconds).

    *guest*, *link*, *limits* and *rules* are what a forecast would be made from, with its defaults; *policy* is asked for its advice
    at every look (by default a `ForecastPolicy` of just those limits); *size* is what moves, in GiB as `data_gb` counts it (by
    default the guest's memory). Raises `ConvergenceError` naming what is none of these.

    >>> from novastate.convergence import DirtyCurve
    >>> from novastate.drivers import JobStats, JobType
    >>> curve = DirtyCurve.from_windows({0.25: 2956, 0.5: 5379, 1.0: 9003, 2.0: 13055}, page_count=98304)
    >>> guest = Guest(384 * 2**20, zero_pages=32079, page_size=4096, curve=curve)
    >>> watch = Watch(guest, Link(limit=64 * 2**20), Limits(downtime=0.3))
    >>> now = JobStats(JobType.UNBOUNDED, elapsed=2.3, memory_total=384 * 2**20, memory_processed=128 * 2**20,
    ...                memory_remaining=256 * 2**20, iteration=1, constant=80)
    >>> found = watch.observe(now)
    >>> found.converges, 3 < found.eta < 4, found.advice.action
    (True, True, 'none')
    """

    def __init__(
        self,
        guest: Guest,
        link: Link,
        limits: Limits | None = None,
        rules: Rules | None = None,
        *,
        policy: Policy | None = None,
        size: float | None = None,
    ) -> None:
        self.guest, self.link = guest, link
        self.limits = Limits() if limits is None else limits
        self.rules = Rules.qemu() if rules is None else rules
        check_kinds(guest, link, self.limits, self.rules)
        if policy is None:
            policy = ForecastPolicy(
                # What the limit bounds is the pages' part of the pause; the devices' comes on top.
                longest_pause=min(bounds.LONGEST_PAUSE, max(self.limits.downtime, 0.001) + self.rules.device),
                # A hypervisor that looks itself ends at its timeout what is to end there, and completes the rest.
                latest_end=None if looked_at(self.limits, self.rules) else self.limits.timeout,
                throttle=self.rules.auto_converge,
                post_copy=self.rules.post_copy,
            )
        check_policy(policy)
        self.policy = policy
        self.size = data_gb(guest.memory / _MIB) if size is None else bounds.number("size", size, 0, 1e9)
        self._start()

    def _start(self) -> None:
        self._tracker = Tracker(self.guest, self.link, self.limits, self.rules)
        self._stalls = Stalls()
        self._last: Sample | None = None
        #: A look whose counters fell: it, or the one before it, is wrong.
        self._refused: Sample | None = None
        #: Looks, one after the other, whose times seem to be in ms.
        self._late = 0
        self._verdict: bool | None = None
        self._since = 0.0
        self._doubted: float | None = None

    def observe(self, stats: Statistics, *, downtime: float | None = None, running: bool = True) -> Outlook:
        """What *stats*, taken later than those before, mean.

        *downtime*: the present limit of the pause, s, where it is not that of the limits; *running*: False where the guest was
        paused, so that it writes nothing. Raises `ConvergenceError` for numbers that no migration has, and for counters
        that go backwards; what was seen before is then kept. But where the next look goes on from the refused one, the one before
        was wrong, or it is another attempt: it is watched anew, from what was known at first. Of a job that is over (*stats* may have a
        `type`, as `JobStats` has) nothing is learnt, nor is the policy asked. Raises it too where the policy gives no advice.
        """
        limit = (
            self.limits.downtime if downtime is None else bounds.number("downtime", downtime, 0, bounds.LONGEST_PAUSE)
        )
        bounds.flag("running", running)
        over = job_over(stats, seen=self._last is not None)
        if over is not None:
            return self._ended(stats, over, limit)
        sample = self._taken(stats)
        self._timed(sample)
        self._last, self._refused = sample, None
        stalled = self._stalls.observe(sample)
        self._tracker.learn(sample, limit)
        post_copy = sample.post_copy
        found = (
            self._post_copied(sample, limit, stalled)
            if post_copy
            else self._ahead(sample, limit, stalled, running=running)
        )
        return attrs.evolve(found, advice=advised(self.policy, found))

    def _taken(self, stats: Statistics) -> Sample:
        try:
            return Sample.of(stats, self.guest.memory, self._last, self.guest.page_size)
        except ConvergenceError:
            alone, refused = Sample.of(stats, self.guest.memory, page=self.guest.page_size), self._refused
            if refused is None or alone.elapsed <= refused.elapsed or alone.fallen(refused):
                self._refused = alone
                raise
        self._start()
        return alone

    def _timed(self, sample: Sample) -> None:
        """Refuses times that are in ms: only where several looks, one after the other, say so; a job may well have waited."""
        found = None if self._last is None else in_milliseconds(self._last, sample)
        if found is not None:
            self._late = self._late + 1 if found else 0
        if self._late >= _LATE:
            why = f"must be in s: by memory_bps, what was sent in the last {_LATE} looks took a thousandth of the time between them"
            raise ConvergenceError("stats.elapsed", sample.elapsed, why)

    @property
    def learnt(self) -> Guest:
        """The guest as what was counted leaves it: its write law, how busy it is, and its zero pages."""
        if self._last is None:
            return self.guest
        at, counts, guest = self._last.elapsed, self._tracker.counts, self._tracker.present(self._last)[0]
        busy = counts.busy(self.guest.curve, at, guest.least_busy or guest.busy, guest.busy)
        return attrs.evolve(guest, curve=counts.corrected(self.guest.curve, at, busy), busy=busy)

    @property
    def counted(self) -> tuple[tuple[float, float, float], ...]:
        """The last rounds in which the guest was not throttled, as `DirtyCurve.from_rounds` takes them."""
        return tuple(row.seen for row in self._tracker.counts.rows if not row.throttle)

    def _ahead(self, sample: Sample, limit: float, stalled: Stall | None, *, running: bool) -> Outlook:
        tracker, timeout = self._tracker, self.limits.timeout
        before = tracker.before(sample)
        left = math.inf if timeout is None else timeout - sample.elapsed - before
        runs = tracker.runs(sample, limit, running=running)
        point = runs[0][0]
        tracker.promise(runs)
        runs = tracker.with_alike(runs, limit) if running else runs
        probability = tracker.likely(runs, left, limit)
        converges = self._settled(sample.elapsed, probability)
        doubt = tracker.doubted(sample, limit, running=running)
        eta, interval, pause = self._when(sample, runs, doubt, before, limit)
        if probability < _HARDLY and not (point.ends and tracker.alike.weight < 0.5):
            eta = interval = pause = None
        shown = sample.elapsed / (sample.elapsed + eta) if eta is not None and sample.elapsed + eta > 0 else None
        return Outlook(
            elapsed=sample.elapsed,
            progress=self._copied(sample) if shown is None else shown,
            eta=eta,
            eta_interval=interval,
            downtime=pause,
            converges=converges,
            probability=probability,
            steady=sample.elapsed - self._since,
            stalled=stalled,
            throttle=point.throttle,
            rounds=tracker.counts.rounds,
            reason=self._reason(sample, eta, pause, probability, stalled),
            data_gb=self.size,
            current_downtime=max(1, round(1000 * limit)),
            future=_Future(tracker, sample, before, left, running=running),
        )

    def _when(
        self,
        sample: Sample,
        runs: list[tuple[Run, float]],
        doubt: tuple[float, list[tuple[Run, float]]],
        before: float,
        limit: float,
    ) -> tuple[float | None, tuple[float, float] | None, float | None]:
        """The time that is left, its interval, and the pause; all None where no run ends."""
        ends = sorted((run.seconds, weight, run.pause) for run, weight in runs if run.ends)
        point, timeout = runs[0][0], self.limits.timeout
        if not ends:
            return None, None, None
        middle, pause = _median(ends)
        lucky = self._tracker.lucky_after(point, limit)
        if point.ends and self._tracker.alike.weight < 0.5:
            middle, pause = point.seconds, point.pause
        elif math.isfinite(lucky):
            middle = max(middle, lucky)
        eta = before + middle
        mixed, every = _mixed(ends, *doubt)
        low, high = _shortest(mixed, 0.9 * every)
        low, high = before + low, before + high
        slack = _THROTTLED if point.throttle else _UNSTEADY if self.link.limit else _UNLIMITED
        low, high = min(eta, max(0.0, low * (1 - slack) - _PHASE)), max(eta, high * (1 + slack) + _PHASE)
        whole = sum(weight for _, weight in runs)
        if sum(weight for run, weight in runs if not run.ends) > 0.05 * whole:
            # It may go on for ever: until it is given up, where it is.
            high = 2 * high if timeout is None else max(high, timeout - sample.elapsed)
        return eta, (low, high), pause

    def _post_copied(self, sample: Sample, limit: float, stalled: Stall | None) -> Outlook:
        """The guest runs on the destination: what goes out now says more than the line could carry."""
        page = self.guest.page_size
        each = max(self.rules.wire(page) / self.link.line_rate, self.rules.touch * page / 4096)
        alone = sample.memory_remaining / page * each
        eta = sample.memory_remaining / sample.memory_bps if sample.memory_bps else alone
        interval = (max(0.0, min(eta, alone) * (1 - _UNSTEADY) - _PHASE), eta * (1 + _UNSTEADY) + _PHASE)
        return Outlook(
            elapsed=sample.elapsed, progress=self._copied(sample), eta=eta, eta_interval=interval, downtime=None, converges=True,
            probability=1.0, steady=0.0, stalled=stalled, throttle=0.0, rounds=self._tracker.counts.rounds, post_copy=True,
            reason=f"The guest runs on the destination; the rest follows in {eta:.1f} s.",
            data_gb=self.size, current_downtime=max(1, round(1000 * limit)),
        )  # fmt: skip

    def _ended(self, stats: Statistics, over: str, limit: float) -> Outlook:
        """The job is over, as *over* says: complete, or it will never be."""
        elapsed, last = bounds.number("stats.elapsed", stats.elapsed, 0, bounds.LONGEST), self._last
        complete = over == "completed"
        reason = "It is complete." if complete else _OVER[over]
        return Outlook(
            elapsed=elapsed if last is None else max(elapsed, last.elapsed),
            progress=1.0 if complete else 0.0 if last is None else self._copied(last),
            eta=0.0 if complete else None,
            eta_interval=(0.0, 0.0) if complete else None,
            downtime=None,
            converges=complete,
            probability=float(complete),
            steady=0.0,
            stalled=None,
            throttle=0.0,
            rounds=self._tracker.counts.rounds,
            reason=reason,
            data_gb=self.size,
            current_downtime=max(1, round(1000 * limit)),
            advice=Advice(None, "none", reason),
        )

    def _copied(self, sample: Sample) -> float:
        total = sample.memory_total or self.guest.memory
        return min(1.0, max(0.0, 1.0 - sample.memory_remaining / total)) if sample.iteration else 0.0

    def _settled(self, at: float, probability: float) -> bool:
        """Rule 3: the verdict, which does not change for one look."""
        likelier = probability >= 0.5
        if self._verdict is None:
            self._verdict, self._since = likelier, at
        elif likelier is self._verdict:
            self._doubted = None
        else:
            self._doubted = at if self._doubted is None else self._doubted
            patience = _LIKELY_AFTER if 1 - _SURE < probability < _SURE else _SURE_AFTER
            if at - self._doubted >= patience:
                self._verdict, self._since, self._doubted = likelier, self._doubted, None
        return self._verdict

    def _reason(
        self, sample: Sample, eta: float | None, pause: float | None, probability: float, stalled: Stall | None
    ) -> str:
        if stalled is Stall.NO_BYTES:
            return f"Nothing has been sent for {self._stalls.silent:.0f} s: the link or the destination stands still."
        if eta is None or pause is None:
            return "It does not converge: in each round the guest writes more than the pause limit has room for."
        text = f"Done in {eta:.1f} s with a pause of {1000 * pause:.0f} ms"
        timeout = self.limits.timeout
        given_up = not self.rules.ignores_timeout and (not asks_first(self.rules) or probability < 0.5)
        if timeout is not None and sample.elapsed + eta > timeout and given_up:
            text += f", if it were not given up after {timeout:g} s"
        if not 0.1 <= probability <= 0.9:
            return f"{text}."
        return f"{text} (close: {probability:.0%} likely{'' if timeout is None else ' in time'})."


@attrs.frozen
class _Future:
    """What would come under another limit: *before* s until the memory's turn, *left* s until it is given up."""

    tracker: Tracker
    sample: Sample
    before: float
    left: float
    running: bool = attrs.field(kw_only=True)

    def __call__(self, downtime: float) -> Ahead:
        runs = self.tracker.runs(self.sample, downtime, running=self.running, few=True)
        runs = self.tracker.with_alike(runs, downtime) if self.running else runs
        point, likely = runs[0][0], self.tracker.likely(runs, self.left, downtime)
        seconds, pause = point.seconds, point.pause
        ends = sorted((run.seconds, weight, run.pause) for run, weight in runs if run.ends)
        if self.running and self.tracker.alike.weight >= 0.5 and ends:
            seconds, pause = _median(ends)
        elif not point.ends:
            return Ahead(None, None, likely, point.throttle)
        return Ahead(self.before + seconds, pause, likely, point.throttle)


def _mixed(
    ends: list[tuple[float, float, float]], chance: float, others: list[tuple[Run, float]]
) -> tuple[list[tuple[float, float, float]], float]:
    """*ends* and those of *others*, which weigh *chance* of all, in ascending order; and the weight of all, those too that never end."""
    own, other = sum(row[1] for row in ends), sum(weight for _, weight in others)
    if own <= 0.0 or other <= 0.0:
        return ends, own
    mixed = [(value, (1.0 - chance) * weight / own, pause) for value, weight, pause in ends]
    mixed += [(run.seconds, chance * weight / other, run.pause) for run, weight in others if run.ends]
    return sorted(mixed), 1.0


def _shortest(ends: list[tuple[float, float, float]], weight: float) -> tuple[float, float]:
    """The shortest interval that so much *weight* of *ends*, in ascending order, lies in; all of them where they do not weigh as much."""
    best, inside, first = (ends[0][0], ends[-1][0]), 0.0, 0
    for high, more, _ in ends:
        inside += more
        while inside - ends[first][1] >= weight:
            inside -= ends[first][1]
            first += 1
        if inside >= weight and high - ends[first][0] < best[1] - best[0]:
            best = (ends[first][0], high)
    return best


def _median(ends: list[tuple[float, float, float]]) -> tuple[float, float]:
    """Of (s, weight, pause) in ascending order the s and the pause of the one at half of the weight; of no weight the last."""
    left = 0.5 * sum(weight for _, weight, _ in ends)
    for value, weight, pause in ends:
        left -= weight
        if left <= 0 and weight > 0:
            return value, pause
    return ends[-1][0], ends[-1][2]


def outlook(forecast: Forecast, stats: Statistics, *, downtime: float | None = None) -> Outlook:
    """What one look at *stats* says of the migration that *forecast* was made for, without those before.

    *downtime* in s, and the errors raised: as `Watch.observe`.
    """
    bounds.instance("forecast", forecast, Forecast)
    return Watch(forecast.guest, forecast.link, forecast.limits, forecast.rules).observe(stats, downtime=downtime)
