"""Rounds that are alike: what came of them says what may come of the next one, whatever the write law says.

Rules:

1. Rounds are alike since what a sync left unsent last fell to a new low (by 5 %, as in `stalls`), under one throttle.
2. None of n alike rounds was the last one. The chance q of the next is unknown, but the same for all (Jeffreys' prior, Beta(1/2, 1/2)):
   of n + 1 rounds c + 1/2 are the last, c of them that would have been so under the present limit. Where what was left differs so
   little that the limit is far below (normal distribution of the logarithm), the chance is less; but guests have phases, and it
   is never nothing.
3. The law said before each of these rounds how likely it would be the last. So did rule 2. Whichever was more surprised is believed less
   (Bayes; looks are not independent, so that each counts half).
"""

from __future__ import annotations

import math

import attrs

from novastate.convergence.online.learning import DOUBT

__all__ = ["Alike"]

#: A new low is this share of the one before.
_GAIN = 0.95
#: So many alike rounds say something of the next; so many are looked at one by one.
_ENOUGH, _KEPT = 3, 64
#: The chance that the law is wrong, before it promised anything, and the furthest that promises move it, as log odds.
_FIRST, _FURTHEST = math.log(DOUBT / (1.0 - DOUBT)), 4.0
#: What one surprise counts, and the most that it is taken for: the logarithm of a chance of 2 %.
_HALF, _BROKEN = 0.5, math.log(0.02)
#: Jeffreys' prior; and what is left of it where what was seen leaves no chance.
_PRIOR, _LEAST = 0.5, 0.02


@attrs.define
class Alike:
    """The rounds of a migration since it last gained: what each left unsent, and how far the write law's promises are to be believed."""

    #: Of each look its rounds, and the logarithm of the pages that they left, at least what the pause had room for.
    _rows: list[tuple[int, float]] = attrs.field(factory=list)
    rounds: int = 0
    _span: float = 0.0
    _lowest: float = math.inf
    _throttle: float = 0.0
    _odds: float = _FIRST

    def add(self, *, left: float, room: float, rounds: int, span: float, throttle: float, promised: float) -> None:
        """*rounds* more of *span* s together left *left* pages each, more than the *room* of the limit: the law had said that one of
        them would be the last with a chance of *promised*.
        """
        if throttle != self._throttle:
            self._odds = _FIRST
        else:
            self._odds += _HALF * (
                max(_BROKEN, self._lasting(room, rounds)) - max(_BROKEN, math.log1p(-min(1.0 - 1e-9, promised)))
            )
            self._odds = min(_FURTHEST, max(-_FURTHEST, self._odds))
        left = max(left, room, 1.0)
        if left < _GAIN * self._lowest or throttle != self._throttle:
            self._rows, self.rounds, self._span = [], 0, 0.0
            self._lowest, self._throttle = left, throttle
        self._rows = [*self._rows[1 - _KEPT :], (rounds, math.log(left))]
        self.rounds += rounds
        self._span += span

    @property
    def weight(self) -> float:
        """The chance that the law is wrong, as its promises were kept: what `ends` says is to count so much. 0: too little was seen."""
        return 1.0 / (1.0 + math.exp(-self._odds)) if self.rounds >= _ENOUGH else 0.0

    @property
    def pages(self) -> float:
        """What an alike round leaves."""
        return math.exp(self._level[0]) if self._rows else 0.0

    def within(self, room: float, seconds: float) -> float:
        """The chance to end within *seconds* where the limit has *room* for so many pages."""
        return -math.expm1(self._lasting(room, seconds / self._window))

    def ends(self, room: float, count: int = 16) -> list[float]:
        """Seconds to the end, in ascending order: *count* values that are as likely; infinite where it is that of no time."""
        a, b = self._posterior(room)
        found: list[float] = []
        for k in range(count):
            survival = 1.0 - (k + 0.5) / count
            power = -math.log(survival) / a  # (b / (b + n))^a, near enough
            found.append(self._window * (0.5 + b * math.expm1(power)) if power < 50.0 else math.inf)
        return found

    @property
    def _window(self) -> float:
        return max(1e-3, self._span / max(1, self.rounds))

    @property
    def _level(self) -> tuple[float, float]:
        """Mean and deviation of the logarithm of what one round leaves."""
        whole = sum(rounds for rounds, _ in self._rows)
        mean = sum(rounds * value for rounds, value in self._rows) / whole
        if len(self._rows) == 1:
            return mean, 1.0
        scatter = sum(rounds * (value - mean) ** 2 for rounds, value in self._rows) / (len(self._rows) - 1)
        return mean, math.sqrt(scatter + math.exp(-mean))

    def _posterior(self, room: float) -> tuple[float, float]:
        """Rule 2: the two numbers of the Beta distribution of q."""
        if not self._rows:
            return _PRIOR, _PRIOR
        count = float(self.rounds)
        mean, scatter = self._level
        kept = sum(rounds for rounds, _ in self._rows)
        would = sum(rounds for rounds, value in self._rows if value < math.log(max(room, 1.0))) * count / kept
        near = 0.5 * math.erfc((mean - math.log(max(room, 1.0))) / scatter / math.sqrt(2.0 * (1.0 + 1.0 / count)))
        ended = min(would + _PRIOR, max(would, _LEAST, near * (count + 1.0)))
        return ended, count + 1.0 - ended

    def _lasting(self, room: float, rounds: float) -> float:
        """The logarithm of the chance that none of so many more rounds is the last."""
        a, b = self._posterior(room)
        return min(0.0, math.lgamma(b + rounds) + math.lgamma(a + b) - math.lgamma(b) - math.lgamma(a + b + rounds))
