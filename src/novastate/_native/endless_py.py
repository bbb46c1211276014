"""Whether a migration of the pre-copy twin goes round for ever.

Asked at each sync from which on the rules have nothing left to change: no throttle step, no switch to post-copy. It goes round
for ever where any of these holds:

- it comes back to where it was: pages pending, time of the round and place in the slot, and of those who
  write in sequence, three times since the sync that is compared with (the 8th, and ever later ones);
- every round is followed by one that leaves more (`outgrows`, tried at syncs 4, 8, 16, ...);
- under the highest throttle, what is pending, the least of `STRETCH` syncs, is no thousandth less than that of as many
  before: it would take thousands to fall to the threshold.

Part of `precopy_py`, which says what it is for.
"""

from __future__ import annotations

import math

from novastate._native.precopy_fields import Scenario, whole_ms
from novastate._native.ring_py import Ring

__all__ = ["BOUNDS", "STRETCH", "Endless", "outgrows"]

#: What is pending is compared with what was pending so many syncs before.
STRETCH = 32
#: Whether it is known by more than rounds that are all alike.
BOUNDS = True
_NONE_YET = 1e300


class Endless:
    """What was seen of the syncs so far. `changed` and `seen` are told of a sync; *syncs* counts it."""

    __slots__ = (
        "before", "check_at", "hits", "low", "low_before", "mark_at", "marked", "marked_at", "marked_place", "marked_span",
        "scenario", "stretch_at",
    )  # fmt: skip

    def __init__(self, scenario: Scenario, syncs: int) -> None:
        self.scenario = scenario
        self.mark_at = syncs + 7  # the sync that later ones are compared with
        self.marked = self.marked_span = self.marked_place = (
            0.0  # its pages pending, its round's time, how old its slot was
        )
        self.marked_at = 0.0  # and where its writers in sequence were
        self.hits = 0  # later syncs that were like it
        self.before = syncs - 1  # the syncs before this run
        self.check_at = syncs + 3  # when `outgrows` is tried next
        self.stretch_at = 0  # the last sync of this stretch; 0: none has begun
        self.low, self.low_before = _NONE_YET, 0.0  # the fewest pages pending in this stretch, and in the one before

    def changed(self, syncs: int) -> None:
        """The throttle has risen: what was seen before counts no more."""
        self.mark_at = syncs + 8
        self.check_at = syncs + 2
        self.stretch_at = 0

    def seen(
        self, syncs: int, ring: Ring, pending: float, span: float, place: float, theta: float, theta_factor: float, speed: float,
        plain: bool,
    ) -> bool:  # fmt: skip
        """Whether it goes round for ever, by one sync more with nothing left to change.

        After a round of *span* s *pending* pages are unsent, the slot is *place* s old, and the threshold is *theta* bytes; *speed* is
        the factor of the write rates. *plain*: the first pass is over, and all rounds are of one kind, as `outgrows` needs them.
        """
        if self._alike(syncs, pending, span, place, ring.place):
            return True
        if not BOUNDS:
            return False
        if syncs >= self.check_at:
            self.check_at = syncs + (syncs - self.before)
            if plain and outgrows(self.scenario, ring, theta_factor, speed, pending, span):
                return True
        return self.scenario.throttling > 0.0 and self._no_less(syncs, pending, theta)

    def _alike(self, syncs: int, pending: float, span: float, place: float, at: float) -> bool:
        if syncs == self.mark_at:
            self.marked = pending
            self.marked_span = span
            self.marked_place = place
            self.marked_at = at
            self.hits = 0
        elif syncs > self.mark_at:
            same_time = abs(span - self.marked_span) < 1e-6 and abs(place - self.marked_place) < 1e-6
            if same_time and abs(pending - self.marked) < 0.25 and abs(at - self.marked_at) < 0.25:
                self.hits = self.hits + 1
            if syncs >= 2 * self.mark_at:
                self.mark_at = syncs + 1
        return self.hits >= 3

    def _no_less(self, syncs: int, pending: float, theta: float) -> bool:
        if self.stretch_at == 0:
            self.stretch_at = syncs + STRETCH
            self.low, self.low_before = _NONE_YET, 0.0
        self.low = min(self.low, pending)
        if syncs < self.stretch_at:
            return False
        far = self.low * self.scenario.page > 1.05 * theta
        if self.low_before > 0.0 and self.low >= 0.999 * self.low_before and far:
            return True
        self.low, self.low_before = _NONE_YET, self.low
        self.stretch_at = syncs + STRETCH
        return False


def outgrows(s: Scenario, ring: Ring, theta_factor: float, speed: float, pending: float, span: float) -> bool:
    """Whether every round that leaves x pages or more is followed by one that leaves more than x.

    For an x between the threshold and what is *pending*, where only dirty pages are left and nothing about the rules will
    change. A round that begins with x pages is cut at the threshold, at whichever moment of its slot, u pages unsent: it lasts
    T, the time of x - u pages. What it leaves is bounded from below by `_least`.
    """
    per = s.slot_pages(s.wire, s.again)
    full = s.threshold(per * s.wire / whole_ms(s.slot), theta_factor) / s.page
    x = math.sqrt(pending * full)
    if not full < x < pending:
        return False
    paced = per < full and per * s.again <= s.turn and s.quota > 0.0 and per * s.wire >= s.quota * 0.9999999
    each = s.slot / per if paced else s.again
    # Where a slot ends between turns its bytes are over whole ms, up to a half too few.
    for unsent in (full if paced else 1.005 * full, max(0.0, full - per)):
        sent = max(0.0, x - unsent)
        lasts = sent * each
        if lasts > span or not _least(ring, speed, lasts, sent, unsent) >= x + 1.0:
            return False
    return True


def _least(ring: Ring, speed: float, lasts: float, sent: float, unsent: float) -> float:
    """The fewest pages that a round of *lasts* s leaves, in which *sent* pages were sent and *unsent* were not.

    W is concave: at least W(T) + u (W(2T) - W(T)) / W(T); W(T) where a class is sequential. Where memory is armed in parts,
    less what is lost of the pages that are sent, and armed, meanwhile, be they those by which most is lost: at most, for
    any level, that of each of them and what single classes lose above it.
    """
    once = twice = 0.0
    simple = ring.chunks <= 1.0
    lost = [0.0] * ring.k
    for i in range(ring.k):
        n = ring.size[i]
        if n <= 0.0:
            continue
        written = ring.rate[i] * speed * lasts
        if ring.ordered[i]:
            once = once + min(written, n)
            simple = False
            continue
        hit = 1.0 - math.exp(-written / n)
        late = hit
        if ring.chunks > 1.0 and hit > 0.0:
            step = -math.expm1(-written / n / ring.chunks)
            armed = 1.0 - (1.0 - step) * hit / (ring.chunks * step)
            late = min(hit, max(0.0, armed))
        lost[i] = hit - late
        once = once + n * hit
        twice = twice + n * (1.0 - (1.0 - hit) * (1.0 - hit))
    leaves = once
    if ring.chunks > 1.0:
        most = 0.0
        for i in range(ring.k):
            most = most + ring.size[i] * lost[i]
        for level in lost:
            found = level * sent
            for i in range(ring.k):
                found = found + ring.size[i] * max(0.0, lost[i] - level)
            most = min(most, found)
        leaves = leaves - most
    if simple and once > 0.0:
        leaves = leaves + unsent * ((twice - once) / once)
    return leaves
