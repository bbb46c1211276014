"""The throttle of the pre-copy twin: auto-converge, and the limit of writes that takes its place.

Where at a sync, more than 1 s after the last such look, more was dirtied than the trigger's share of what was sent, and that for
the second time, the vCPU gets the first throttle or a step more. With tailslow a step is no larger than what brings the dirtied
bytes down to the trigger: cpu - floor(cpu trigger sent / dirtied), in whole percents. A throttled guest writes
min(1, awake / busy) as fast; the sync waits for its sleep. With `limited` the same trigger slows all writes by one factor instead.

Part of `precopy_py`, which says what it is for.
Sources: QEMU 10.0 migration/ram.c (migration_trigger_throttle, mig_throttle_guest_down, migration_dirty_limit_guest),
migration/cpu-throttle.c (cpu_throttle_thread).
"""

from __future__ import annotations

import math

from novastate._native.precopy_fields import Scenario, Start

__all__ = ["Throttle"]


class Throttle:
    """What the guest's writes are slowed by, and the period that is being looked at."""

    __slots__ = ("capped", "high", "period_dirty", "period_sent", "period_start", "scenario", "share")

    def __init__(self, scenario: Scenario, begin: Start) -> None:
        self.scenario = scenario
        self.share = begin.throttle  # of vCPU time that is taken
        self.capped = False  # the writes are limited
        self.high = int(min(begin.high, 1.0))  # periods that counted since the last step
        self.period_start = 0.0 - begin.period_age
        self.period_sent = 0.0 - begin.period_sent  # what was sent in all as the period began
        self.period_dirty = begin.period_dirty  # pages newly dirtied in it

    @property
    def settled(self) -> bool:
        """Whether it will not change any more."""
        return self.scenario.throttling <= 0.0 or self.share >= self.scenario.most or self.capped

    @property
    def nap(self) -> float:
        """Seconds that a sync waits for the throttled vCPU's sleep."""
        nap = 0.01 * self.share / (1.0 - self.share)
        return nap * 0.97 if self.share > 0.98 else nap * 0.5

    def slowed(self, speed: float) -> float:
        """The factor of the write rates, from that without a throttle."""
        s = self.scenario
        if self.capped:
            speed = speed * s.limited
        if self.share > 0.0 and s.busy > 0.0:
            speed = speed * min(1.0, max(0.0, (1.0 - self.share) * (1.0 - s.lost) - s.wake) / s.busy)
        return speed

    def look(self, now: float, sent: float, fresh: float) -> bool:
        """A sync has found *fresh* pages newly dirty, *sent* bytes having been sent in all: whether a throttle not settled rises."""
        s = self.scenario
        self.period_dirty = self.period_dirty + fresh
        if now <= self.period_start + 1.000000001:
            return False
        dirtied = self.period_dirty * s.page
        allowed = (sent - self.period_sent) * s.trigger
        self.period_start = now
        self.period_sent = sent
        self.period_dirty = 0.0
        if s.throttling <= 0.0 or dirtied <= allowed:
            return False
        self.high = self.high + 1
        if self.high < 2:
            return False
        self.high = 0
        rises = not self.settled
        if s.limited > 0.0:
            self.capped = True
        else:
            self.share = self._stepped(allowed / dirtied)
        return rises

    def _stepped(self, allowed: float) -> float:
        """The throttle after one step more; *allowed*: of the pages dirtied, the share that would not have been too many."""
        s = self.scenario
        if self.share <= 0.0:
            return min(s.most, s.initial)
        step = s.increment
        if s.tailslow > 0.0:
            cpu = math.floor(100.0 * (1.0 - self.share) + 0.5)
            step = min((cpu - math.floor(cpu * allowed)) / 100.0, step)
        return min(s.most, self.share + step)
