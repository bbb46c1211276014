"""The ring of the pre-copy twin: what of the memory is unsent, by class, from the scan's position on.

Part of `precopy_py`, which says what it is for. With memory armed in parts (``chunks`` above 1) a page that is sent was not
watched from the sync on, but from when its part's first page was sent: KVM with manual protection of its dirty log (QEMU
accel/kvm/kvm-all.c kvm_log_clear, migration/ram.c migration_clear_memory_region_dirty_bitmap; parts of 1 GiB). Over m
parts armed evenly in a round of T seconds the mean of 1 - exp(-a (1 - j/m)), j = 0 to m - 1, with a = r T / N, is
1 - q (1 - q^m) / (m (1 - q)), q = exp(-a/m).
"""

from __future__ import annotations

import math
from array import array

from novastate._native.precopy_fields import CLASS_FIELDS

__all__ = ["SEGMENTS", "Ring"]

#: The ring has at most so many segments (more are merged, oldest kept apart).
SEGMENTS = 64


class Ring:
    """What is unsent, by class: the segments from the scan's position on, and the counts of sequential classes."""

    __slots__ = ("behind", "chunks", "dens", "dirty", "held", "k", "mass", "ordered", "passed", "rate", "size", "width")

    def __init__(self, classes: array[float], chunks: float) -> None:
        self.chunks = chunks  # parts of the memory that are armed anew just before they are sent; 1: all at the sync
        self.k = len(classes) // CLASS_FIELDS
        self.size = [classes[CLASS_FIELDS * i] for i in range(self.k)]
        self.rate = [classes[CLASS_FIELDS * i + 1] for i in range(self.k)]
        self.ordered = [classes[CLASS_FIELDS * i + 2] > 0.0 for i in range(self.k)]
        self.passed = [0.0] * self.k  # share of a class that was sent since the last sync
        self.held = [0.0] * self.k  # unsent pages of a sequential class
        self.width: list[float] = []
        self.dens: list[list[float]] = []
        self.mass: list[float] = []  # pages of each segment
        self.behind = 1.0  # the share of addresses that is clean
        self.dirty = 0.0  # all unsent pages: the sum of `mass` and `held`

    def begin(self, behind: float, held: array[float]) -> None:
        """Puts *held* pages of each class on the addresses from *behind* on, evenly; on more of them where they need more."""
        behind = min(max(behind, 0.0), 1.0)
        for i in range(self.k):
            n = self.size[i]
            if n <= 0.0:
                continue
            if self.ordered[i]:
                self.held[i] = min(held[i], n)
            else:
                behind = min(behind, 1.0 - min(held[i] / n, 1.0))
        width = 1.0 - behind
        if width > 0.0:
            dens = [0.0] * self.k
            mass = 0.0
            for i in range(self.k):
                n = self.size[i]
                if n > 0.0 and not self.ordered[i]:
                    dens[i] = min(min(held[i] / n, 1.0) / width, 1.0)
                    mass = mass + n * width * dens[i]
            self.width.append(width)
            self.dens.append(dens)
            self.mass.append(mass)
            self.behind = behind
            for i in range(self.k):
                self.passed[i] = behind * dens[i]
        self._sum()

    def arm(self) -> None:
        """All that was passed since the last sync was unsent: the first pass."""
        for i in range(self.k):
            self.passed[i] = 1.0

    def sync(self, span: float, factor: float, ahead: float) -> float:
        """Adds what was written in *span* seconds; *ahead* is the share of addresses not yet sent at all."""
        if ahead > 0.0 and not self.width and self.behind > 0.0:
            # The first round is cut short: what it has not reached is dirty, and first in the ring.
            self.width.append(ahead)
            self.dens.append([0.0 if ordered else 1.0 for ordered in self.ordered])
            self.mass.append(0.0)
            self.behind = self.behind - ahead
        new = -1  # the segment of what was passed since the last sync
        share = self.behind
        if self.behind > 0.0:
            if len(self.width) == SEGMENTS:
                old = self.width[-1]
                self.width[-1] = old + self.behind
                last = self.dens[-1]
                for i in range(self.k):
                    last[i] = last[i] * (old / self.width[-1])
            else:
                self.width.append(self.behind)
                self.dens.append([0.0] * self.k)
                self.mass.append(0.0)
                new = len(self.width) - 1
            self.behind = 0.0
        fresh_all = 0.0
        for j in range(len(self.width)):
            self.mass[j] = 0.0
        for i in range(self.k):
            n = self.size[i]
            if n <= 0.0:
                continue
            if self.ordered[i]:
                fresh = min(self.rate[i] * factor * span, n - self.held[i])
                if self.chunks > 1.0 and self.passed[i] > 0.0:
                    fresh = fresh * (1.0 - self.passed[i] * (0.5 - 0.5 / self.chunks))
                self.passed[i] = 0.0
                self.held[i] = self.held[i] + fresh
                fresh_all = fresh_all + fresh
                continue
            hit = 1.0 - math.exp(-self.rate[i] * factor * span / n)
            late = hit
            if self.chunks > 1.0 and share > 0.0 and self.passed[i] > 0.0 and hit > 0.0:
                parts = max(1.0, self.chunks * share)
                step = -math.expm1(-self.rate[i] * factor * span / n / parts)
                armed = 1.0 - (1.0 - step) * hit / (parts * step)  # the mean over the parts, each armed in its turn
                late = hit - min(1.0, self.passed[i] / share) * (hit - min(hit, max(0.0, armed)))
            self.passed[i] = 0.0
            for j in range(len(self.width)):
                dens = self.dens[j][i]
                fresh = (1.0 - dens) * (late if j == new else hit)
                dens = dens + fresh
                self.dens[j][i] = dens
                self.mass[j] = self.mass[j] + n * self.width[j] * dens
                fresh_all = fresh_all + n * self.width[j] * fresh
        self._sum()
        return fresh_all

    def _sum(self) -> None:
        dirty = 0.0
        for j in range(len(self.width)):
            dirty = dirty + self.mass[j]
        for i in range(self.k):
            dirty = dirty + self.held[i]
        self.dirty = dirty

    def send(self, n: float) -> None:
        """Sends *n* of the dirty pages: from the ring in the order of the scan, of sequential classes their share."""
        share = n / self.dirty if self.dirty > 0.0 else 1.0
        share = min(share, 1.0)
        due = n
        for i in range(self.k):
            due = due - self.held[i] * share
            self.held[i] = self.held[i] * (1.0 - share)
        gone = 0
        for j in range(len(self.width)):
            if share < 1.0 and self.mass[j] > due:
                part = due / self.mass[j] if due > 0.0 else 0.0
                for i in range(self.k):
                    self.passed[i] = self.passed[i] + self.width[j] * part * self.dens[j][i]
                self.behind = self.behind + self.width[j] * part
                self.width[j] = self.width[j] * (1.0 - part)
                self.mass[j] = self.mass[j] * (1.0 - part)
                break
            due = due - self.mass[j]
            for i in range(self.k):
                self.passed[i] = self.passed[i] + self.width[j] * self.dens[j][i]
            self.behind = self.behind + self.width[j]
            gone = gone + 1
        del self.width[:gone], self.dens[:gone], self.mass[:gone]
        self._sum()
