"""Time, as drivers and runners take it: a clock tells it and sleeps.

Rules: `now` is seconds since the epoch (1970-01-01 00:00 UTC), a float: deadlines and times of day that different processes write
down can be compared. A clock never goes back; `sleep` returns when at least that much has passed. Code that waits takes a clock,
so that a test of an hour takes a millisecond; a test may have a virtual clock begin at any time, by default at the epoch itself.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Protocol, runtime_checkable

from novastate.errors import InvalidField

__all__ = ["Clock", "RealClock", "VirtualClock"]


@runtime_checkable
class Clock(Protocol):
    """Anything that tells time and sleeps."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Returns when *seconds* have passed; at once for 0 or less."""
        ...


class VirtualClock:
    """Time that passes only when somebody sleeps, and then at once.

    *start*: seconds since the epoch that it begins at; ``VirtualClock(time.time())`` begins now.

    >>> clock = VirtualClock()
    >>> clock.sleep(3600)
    >>> clock.now()
    3600.0
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = _finite("start", start)
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since the epoch: what it was started at, and what was slept since."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Lets *seconds* pass at once."""
        seconds = _finite("seconds", seconds)
        with self._lock:
            self._now += max(0.0, seconds)

    def __repr__(self) -> str:
        return f"VirtualClock({self._now:g})"


class RealClock:
    """The time of day, *speed* times as fast: at speed 10 a sleep of 5 s takes half a second.

    *start*: seconds since the epoch that it begins at (default: the time of day when it is made). From there it follows the
    machine's monotonic clock, so that it does not jump when somebody sets the time.
    """

    def __init__(self, speed: float = 1.0, start: float | None = None) -> None:
        if not math.isfinite(speed) or speed <= 0:
            raise InvalidField("speed", speed, "must be a finite number above 0")
        self.speed = speed
        self._start = _finite("start", time.time() if start is None else start)
        self._origin = time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch: what it was started at, and what has passed since."""
        return self._start + (time.monotonic() - self._origin) * self.speed

    def sleep(self, seconds: float) -> None:
        """Sleeps *seconds* of this clock's time."""
        time.sleep(max(0.0, _finite("seconds", seconds)) / self.speed)

    def __repr__(self) -> str:
        return f"RealClock(speed={self.speed:g})"


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise InvalidField(name, value, "must be a finite number")
    return float(value)
