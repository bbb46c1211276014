"""What a migration that runs tells of its guest and its link: how much is written, how fast it is sent.

Rules:

1. Between two looks, the pages that were newly dirtied are known exactly: what remains more, and what was sent meanwhile. Sent pages:
   (bytes - 9 * zero pages) / (page + 8) + zero pages.
2. A bitmap is synced where less remains than the threshold; from that the time of a sync is known to a slot, and the window in
   which those pages were written.
3. The write law known before is trusted as far as its spread says; but with three chances in ten it is plainly wrong (an instrument
   that compares contents does not see equal bytes, and guests have phases). What was counted decides which: two normal distributions
   of the logarithm of the rate, weighed by how well each explains the counts (Bayes).
4. A law that is wrong by more than a factor of two is not only scaled: what it misses is a class of pages of its own.
5. Counts lose half of their weight in `HALF` seconds, or three rounds: guests have phases. And those of rounds about as long as the
   last ones count most: a law is never wrong by the same factor at all windows, and what comes next is as long as the last.
6. How busy a guest is says what a throttle does to it: of several values the one under which the counts agree best.
7. What was counted in rounds of one length says less of how much is written in rounds of another, the more they differ: for those the
   spread of before remains.

Sources: QEMU 10.0 migration/ram.c (migration_bitmap_sync, ram_counters), migration/migration.c (migration_iteration_run).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar

import attrs

from novastate.convergence.curve import DirtyClass, DirtyCurve
from novastate.convergence.throttle import left

__all__ = ["DOUBT", "WRONG", "Counted", "Counts", "Pace"]

#: Seconds in which a count loses half of its weight; or so many rounds, where they are longer.
HALF, _HALF_ROUNDS = 6.0, 3.0
#: Deviation (of the logarithm): of one count, of what no number of counts makes better, and of a law that is wrong.
_COUNT, _UNSTEADY, WRONG = 0.06, 0.03, 1.0
#: The chance that a law is plainly wrong: of 77 recorded migrations 24 counted more than a quarter more or less than what was measured
#: before said, by 0.75 in the mean (root of the squares of the logarithm).
DOUBT = 0.3
#: How alike two windows must be to tell of each other (deviation of the logarithm), and what the others still count.
_ALIKE, _OTHERS = 0.7, 0.05
#: Rounds that differ by a factor of five tell three fifths of each other (deviation of the logarithm).
_TELLING = math.log(5.0)
#: Pages that are added to both sides of a ratio.
_FEW = 16.0
#: A law may be scaled so much, without a class of its own for the rest.
_SCALED = 2.0
_MOST_COUNTS, _MOST_RATIOS = 64, 512
#: Fewer differences say nothing of how steady rounds are.
_ENOUGH = 3
#: Rounds that differ by more than this are of different kinds.
_WILD = 0.15


@attrs.frozen
class Counted:
    """*new* pages dirtied in *rounds* rounds that lasted *span* s together and ended at *at* s; *unsent*: pages that were unsent at
    each sync, of the memory's *pages* in the *first* pass, else of those that are written; *throttle*: share of vCPU
    time withheld; *jitter*: s by which *span* may be wrong.
    """

    at: float
    span: float
    rounds: int
    new: float
    unsent: float
    throttle: float
    jitter: float
    pages: float
    first: bool = False

    @property
    def window(self) -> float:
        """Seconds of one round."""
        return self.span / self.rounds

    @property
    def seen(self) -> tuple[float, float, float]:
        """One round as `DirtyCurve.from_rounds` takes it."""
        unsent = min(self.unsent, self.pages)
        return self.window, min(self.new / self.rounds, self.pages - unsent), unsent

    @property
    def sureness(self) -> float:
        """One by the variance of the logarithm of `new` around a law that only has the right shape."""
        return 1.0 / (_WILD**2 + 1.0 / (self.new + 1.0) + (self.jitter / self.span) ** 2)

    def expected(self, curve: DirtyCurve, busy: float) -> float:
        """The pages that a guest as *busy* as that, with *curve*, would have dirtied newly: none that was unsent still."""
        window = self.window * left(self.throttle, busy)
        parts = [row.pages(window) for row in curve.classes]
        whole = sum(parts)
        if whole <= 0.0:
            return 0.0
        if self.first:
            return self.rounds * whole * (1.0 - min(1.0, self.unsent / self.pages))
        fresh = 0.0
        for row, part in zip(curve.classes, parts, strict=True):
            held = min(row.size, self.unsent * part / whole)
            fresh += min(part, row.size - held) if row.sequential else part * (1.0 - held / row.size)
        return self.rounds * fresh


@attrs.define
class Counts:
    """All counts of one migration, and what they make of a write law."""

    rows: list[Counted] = attrs.field(factory=list)
    #: Rounds that were counted, also those that are kept no longer.
    rounds: int = 0
    #: By curve (its id, and itself) and busy: of each of `rows` the logarithm of its ratio to what was expected; rows never change.
    _ratios: dict[tuple[int, float], tuple[DirtyCurve, list[float]]] = attrs.field(
        factory=dict, init=False, repr=False, eq=False
    )

    def add(self, row: Counted) -> None:
        """One more."""
        self.rows.append(row)
        self.rounds += row.rounds
        while len(self.rows) > _MOST_COUNTS:
            del self.rows[0]
            for _, logs in self._ratios.values():
                del logs[:1]

    def corrected(
        self, curve: DirtyCurve, now: float, busy: float = 1.0, *, window: float | None = None, spread: float = 0.0
    ) -> DirtyCurve:
        """*curve* as the counts leave it at *now* s, with the spread that remains in place of `others` and `band` of before.

        *window*: s of the rounds that decide, and the *spread* with which these were known: rule 7.
        """
        if not self.rows:
            return curve
        ratio, deviation = self._ratio(curve, now, busy)
        factor = math.exp(ratio)
        found = curve.scaled(min(factor, _SCALED))
        if factor > _SCALED:
            found = self._completed(found, now, busy)
        if window is not None:
            alike = math.exp(-0.5 * (math.log(self.rows[-1].window / window) / _TELLING) ** 2)
            deviation = math.hypot(deviation, spread * math.sqrt(1.0 - alike**2))
        return attrs.evolve(found, spread=min(1.0, deviation))

    def evidence(self, curve: DirtyCurve, now: float, busy: float) -> float:
        """How well *curve* explains the counts, beside other curves: its weight."""
        if not self.rows:
            return 1.0
        return sum(part[0] for part in self._parts(curve, now, busy)[2])

    def wrong(self, curve: DirtyCurve, now: float, busy: float) -> float:
        """The chance that *curve* is plainly wrong, by what was counted."""
        if not self.rows:
            return DOUBT
        right, wrong = (part[0] for part in self._parts(curve, now, busy)[2])
        return wrong / (right + wrong) if right + wrong > 0.0 else 1.0

    def agrees(self, curve: DirtyCurve, busy: float) -> tuple[float, float]:
        """What *curve* is to be multiplied with to agree with the counts of all windows, and the logarithm of how likely they are then."""
        weights = [row.sureness for row in self.rows]
        mean, scatter = _spread(weights, self._logs(curve, busy))
        return math.exp(mean), -0.5 * scatter * sum(weights)

    def busy(self, curve: DirtyCurve, now: float, least: float, most: float) -> float:
        """How busy a guest is between *least* and *most*: *most*, unless counts under a throttle say otherwise."""
        if least >= most or not any(row.throttle > 0.0 for row in self.rows):
            return most
        tried: list[float] = [most * (least / most) ** (k / 8) for k in range(9)]
        weights = [self._weight(row, now) for row in self.rows]
        return min(tried, key=lambda busy: _spread(weights, self._logs(curve, busy))[1])

    @property
    def scatter(self) -> float:
        """By how much the new pages of single rounds differ (deviation of the logarithm): by chance, or as was seen, if less than 15 %."""
        rows = [row for row in self.rows[-9:] if row.rounds == 1]
        chance = 1.0 / math.sqrt(min((row.new / row.rounds for row in self.rows[-3:]), default=0.0) + 1.0)
        rates = [math.log((row.new + _FEW) / row.window) for row in rows]
        steps = sorted(abs(b - a) for a, b in pairwise(rates))
        seen = steps[len(steps) // 2] if len(steps) >= _ENOUGH else 0.0
        return max(chance, seen if seen < _WILD else 0.0)

    def _weight(self, row: Counted, now: float) -> float:
        age = max(0.0, now - row.at)
        error = math.hypot(_COUNT, 1.0 / math.sqrt(row.new + 1.0), row.jitter / row.span)
        half: float = max(HALF, _HALF_ROUNDS * row.window)
        alike = math.exp(-0.5 * (math.log(row.window / self.rows[-1].window) / _ALIKE) ** 2)
        fading = math.exp(-math.log(2.0) * age / half)
        return fading * row.rounds * (_OTHERS + (1.0 - _OTHERS) * alike) / error**2

    def _logs(self, curve: DirtyCurve, busy: float) -> list[float]:
        """Of each count the logarithm of its ratio to what was expected; each is worked out once."""
        key = (id(curve), busy)
        if key not in self._ratios or self._ratios[key][0] is not curve:
            if len(self._ratios) >= _MOST_RATIOS:
                self._ratios.clear()
            self._ratios[key] = (curve, [])
        logs = self._ratios[key][1]
        logs += [math.log((row.new + _FEW) / (row.expected(curve, busy) + _FEW)) for row in self.rows[len(logs) :]]
        return logs

    def _own(self, curve: DirtyCurve, now: float, busy: float) -> tuple[float, float]:
        """The variance of what the counts say, and what they say: the logarithm of their ratio to *curve*."""
        weights, logs = [self._weight(row, now) for row in self.rows], self._logs(curve, busy)
        mean, scatter = _spread(weights, logs)
        # Guests have phases: counts that differ say how steady it is, not only how well it is known.
        return 1.0 / sum(weights) + scatter / len(logs) + _UNSTEADY**2, mean

    def _parts(
        self, curve: DirtyCurve, now: float, busy: float
    ) -> tuple[float, float, list[tuple[float, float, float]]]:
        """`_own`; and rule 3: where the curve is right, and where it is wrong, how likely the counts are, and mean and variance then."""
        own, mean = self._own(curve, now, busy)
        parts: list[tuple[float, float, float]] = []
        for chance, variance in ((1.0 - DOUBT, max(_UNSTEADY, curve.spread) ** 2), (DOUBT, WRONG**2)):
            evidence = chance * math.exp(-0.5 * mean**2 / (variance + own)) / math.sqrt(variance + own)
            parts.append((evidence, mean * variance / (variance + own), variance * own / (variance + own)))
        return own, mean, parts

    def _ratio(self, curve: DirtyCurve, now: float, busy: float) -> tuple[float, float]:
        """The logarithm of what the rates are to be multiplied with, and its deviation."""
        own, mean, parts = self._parts(curve, now, busy)
        total = sum(part[0] for part in parts)
        if total <= 0.0:  # so far off that neither explains it: the counts are right
            return mean, math.sqrt(own)
        centre = sum(evidence * value for evidence, value, _ in parts) / total
        spread = sum(evidence * (variance + (value - centre) ** 2) for evidence, value, variance in parts) / total
        return centre, math.sqrt(spread)

    def _completed(self, curve: DirtyCurve, now: float, busy: float) -> DirtyCurve:
        """*curve* with a class of the pages that it misses, at the windows that were counted."""
        span = missing = whole = 0.0
        for row in self.rows:
            weight = self._weight(row, now)
            whole += weight
            span += weight * math.log(row.window * left(row.throttle, busy) + 1e-6)
            missing += weight * max(0.0, row.new - row.expected(curve, busy)) / row.rounds
        missing /= whole
        if missing <= 1.0:
            return curve
        # Neither all new nor all again: one window writes 1 - 1/e of the class.
        size = missing / -math.expm1(-1.0)
        return curve.with_classes(DirtyClass(size, size / math.exp(span / whole)))


def _spread(weights: list[float], logs: list[float]) -> tuple[float, float]:
    """Mean and variance of *logs* by their *weights*."""
    whole = sum(weights)
    mean = sum(w * log for w, log in zip(weights, logs, strict=True)) / whole
    return mean, sum(w * (log - mean) ** 2 for w, log in zip(weights, logs, strict=True)) / whole


@attrs.define
class Pace:
    """How much longer sending takes than it should: 1 as expected; by the last `WINDOW` seconds in which bytes flowed.

    Silence of more than `BLIP` seconds is no pace: it is left out, and is the business of `stalls`. Nor is what a sync waits for while
    the vCPU of a throttled guest sleeps, during which nothing is sent (QEMU 10.0 system/cpu-throttle.c, accel/kvm): as much of it as
    explains a look is left out, until bytes flow again.
    """

    WINDOW: ClassVar[float] = 2.0
    BLIP: ClassVar[float] = 0.5
    _rows: list[tuple[float, float]] = attrs.field(factory=list)
    _silent: float = 0.0
    _naps: float = 0.0

    def add(self, took: float, expected: float, *, syncs: int = 0, nap: float = 0.0) -> None:
        """*took* s for what should take *expected* (0: nothing was sent); *syncs* came in it, each of which may wait for a *nap* of s."""
        self._naps += syncs * nap
        if expected <= 0.0:
            self._silent += took
            return
        waited, self._silent = self._silent, 0.0
        slept = min(self._naps, max(0.0, waited + took - expected))
        self._naps = min(self._naps - slept, nap) if syncs else 0.0
        took, waited = took - max(0.0, slept - waited), max(0.0, waited - slept)
        self._rows.append((took + (waited if waited <= self.BLIP else 0.0), expected))
        while len(self._rows) > 1 and sum(row[0] for row in self._rows[1:]) >= self.WINDOW:
            del self._rows[0]

    @property
    def slowness(self) -> float | None:
        """None where too little was seen."""
        took = sum(row[0] for row in self._rows)
        expected = sum(row[1] for row in self._rows)
        return took / expected if took >= 0.5 * self.WINDOW and expected > 0.0 else None
