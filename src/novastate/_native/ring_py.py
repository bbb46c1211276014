"""The ring of the pre-copy twin: what of the memory is unsent, by class, from the scan's position on.

Part of `precopy_py`, which says what it is for. With memory armed in parts (``chunks`` above 1) a page that is sent was not
watched from the sync on, but from when its part's first page was sent: KVM with manual protection of its dirty log (QEMU
accel/kvm/kvm-all.c kvm_log_clear, migration/ram.c migration_clear_memory_region_dirty_bitmap; parts of 1 GiB). Over m
parts armed evenly in a round of T seconds the mean of 1 - exp(-a (1 - j/m)), j = 0 to m - 1, with a = r T / N, is
1 - q (1 - q^m) / (m (1 - q)), q = exp(-a/m).

A class written in sequence is a circle of N pages, which the scan and the writer go round in the same direction. Its unsent pages
are arcs, kept as distances from the scan's position: what is sent leaves at the front, and a sync adds the arc that was
written since the last one, from where the writer was to where it is.
"""

from __future__ import annotations

import math
from array import array

from novastate._native.precopy_fields import CLASS_FIELDS

__all__ = ["ARCS", "SEGMENTS", "Ring"]

#: The ring has at most so many segments (more are merged, oldest kept apart).
SEGMENTS = 64
#: The unsent pages of a sequential class are at most so many arcs (of more, the gap to a neighbour is closed).
ARCS = 8


class Ring:
    """What is unsent, by class: the segments from the scan's position on, and the arcs of sequential classes."""

    __slots__ = (
        "arcs",
        "at",
        "behind",
        "chunks",
        "dens",
        "dirty",
        "held",
        "k",
        "mass",
        "ordered",
        "passed",
        "rate",
        "size",
        "width",
    )

    def __init__(self, classes: array[float], chunks: float, phase: float) -> None:
        self.chunks = chunks  # parts of the memory that are armed anew just before they are sent; 1: all at the sync
        self.k = len(classes) // CLASS_FIELDS
        self.size = [classes[CLASS_FIELDS * i] for i in range(self.k)]
        self.rate = [classes[CLASS_FIELDS * i + 1] for i in range(self.k)]
        self.ordered = [classes[CLASS_FIELDS * i + 2] > 0.0 for i in range(self.k)]
        self.passed = [0.0] * self.k  # share of a class that was sent since the last sync
        self.held = [0.0] * self.k  # unsent pages of a sequential class
        self.arcs: list[list[list[float]]] = [[] for _ in range(self.k)]  # of a sequential class: from, to
        self.at = [
            phase * n if ordered else 0.0 for n, ordered in zip(self.size, self.ordered, strict=True)
        ]  # its writer
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
                if self.held[i] > 0.0:  # those that were written last
                    self.arcs[i].append([0.0, self.held[i]])
                    self.at[i] = self.held[i]
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
            for i in range(self.k):
                if self.ordered[i]:
                    self._lay(i, 0.0, self.size[i] * ahead)
                    self._count(i)
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
                found = 1.0
                if self.chunks > 1.0 and self.passed[i] > 0.0:
                    found = 1.0 - self.passed[i] * (0.5 - 0.5 / self.chunks)
                self.passed[i] = 0.0
                before = self.held[i]
                self._write(i, self.rate[i] * factor * span, found)
                fresh_all = fresh_all + (self.held[i] - before)
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

    def _write(self, i: int, pages: float, found: float) -> None:
        """The writer of class *i* goes on for *pages*, of which the share *found* is seen, the last ones."""
        n, at = self.size[i], self.at[i]
        end = at + pages
        length = min(pages * found, n)
        if length >= n or end >= n + n or pages >= n:
            end = math.fmod(end, n)
            if length >= n:
                self.arcs[i] = [[0.0, n]]
            elif length > end:
                self._lay(i, end - length + n, n)
                self._lay(i, 0.0, end)
            else:
                self._lay(i, end - length, end)
        else:
            low = at if found >= 1.0 else end - length
            if end <= n:
                self._lay(i, low, end)
            else:
                self._lay(i, low, n)
                self._lay(i, max(0.0, low - n), end - n)
                end = end - n
        self.at[i] = end
        self._count(i)

    def _lay(self, i: int, low: float, high: float) -> None:
        """Makes the arc of class *i* from *low* to *high* unsent."""
        if not low < high:
            return
        arcs = self.arcs[i]
        first = 0
        while first < len(arcs) and arcs[first][1] < low:
            first = first + 1
        last = first
        while last < len(arcs) and arcs[last][0] <= high:
            low = min(low, arcs[last][0])
            high = max(high, arcs[last][1])
            last = last + 1
        if first == last and len(arcs) == ARCS:
            if first > 0:
                arcs[first - 1][1] = high
            else:
                arcs[0][0] = low
            return
        arcs[first:last] = [[low, high]]

    def _count(self, i: int) -> None:
        held = 0.0
        for low, high in self.arcs[i]:
            held = held + (high - low)
        self.held[i] = held

    def _pass(self, i: int, n: float, everything: bool) -> None:
        """The scan sends *n* of the unsent pages of class *i*, or all."""
        arcs = self.arcs[i]
        moved = 0.0
        gone = 0
        while gone < len(arcs) and (everything or arcs[gone][1] - arcs[gone][0] <= n):
            n = n - (arcs[gone][1] - arcs[gone][0])
            moved = arcs[gone][1]
            gone = gone + 1
        if gone < len(arcs) and n > 0.0:
            moved = arcs[gone][0] + n
            arcs[gone][0] = moved
        del arcs[:gone]
        for arc in arcs:
            arc[0] = arc[0] - moved
            arc[1] = arc[1] - moved
        self.at[i] = self.at[i] - moved
        if self.at[i] < 0.0:
            self.at[i] = self.at[i] + self.size[i]
        self._count(i)

    @property
    def place(self) -> float:
        """Where the writers in sequence are, seen from the scan: the sum of the distances."""
        place = 0.0
        for i in range(self.k):
            place = place + self.at[i]
        return place

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
            if self.held[i] > 0.0:
                due = due - self.held[i] * share
                self._pass(i, self.held[i] * share, share >= 1.0)
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
