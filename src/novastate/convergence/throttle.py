"""What a throttle leaves of a guest's writes, and by how much a dirty limit slows it: one home for forecast, watch and simulator.

A vCPU that is throttled by a share p sleeps p of its time (QEMU system/cpu-throttle.c); it loses a little more than that, which is
measured. A dirty limit (QEMU softmmu/dirtylimit.c) holds the pages dirtied in a second below a number.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["LOST", "SLOWED", "WAKE", "left", "limited", "nap"]

#: What the throttled vCPU loses besides: a share of what is left, and a share of its time (measured on CPU-bound and on paced writers).
LOST, WAKE = 0.07, 0.0075
#: A migration that takes place slows a guest which never idles by this much.
SLOWED = 0.98


def left(throttle: float, busy: float, lost: float = LOST, wake: float = WAKE) -> float:
    """The share of its writes that a throttled guest makes which needs *busy* of its vCPU time for all of them."""
    if throttle <= 0.0 or busy <= 0.0:
        return 1.0
    return min(1.0, max(0.0, (1.0 - throttle) * (1.0 - lost) - wake) / busy)


def nap(throttle: float) -> float:
    """Seconds for which a throttled vCPU sleeps at a time, hence the longest that a sync waits for it: of every 10 ms that it runs so
    many that the share comes out (QEMU system/cpu-throttle.c, cpu_throttle_thread); at 99 % nearly a second.
    """
    return 0.01 * throttle / (1.0 - throttle) if 0.0 < throttle < 1.0 else 0.0


def limited(pages: Callable[[float], float], most: float) -> float:
    """By what all writes are to be multiplied so that no more than *most* pages are written in a second.

    *pages*: how many pages the guest writes in a window of so many seconds; it never falls.
    """
    if pages(1.0) <= most:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if pages(middle) > most else (middle, high)
    return high
