"""The pages of a simulated guest as bitmaps: which are unsent, zero, sent before, written since the last sync.

Rules: sending goes round and round by address; a page that was sent is unsent again only by a sync, which takes over what was
written. With an XBZRLE cache a page that it holds goes out as a difference, once the first round is over; another page may take
its slot if it was not used in this round or the one before (QEMU migration/page_cache.c, migration/ram.c).

A guest of more than 1 GiB on KVM is watched anew in parts of 1 GiB, each when its first page is sent after a sync: what was unsent
at the sync and is written before that is not written again (`PageMap.arm`; migration_clear_memory_region_dirty_bitmap).

Memory: half a byte a page (a quarter more in parts), and 16 bytes a slot of the cache, of which there are no more than pages. At most
2**30 pages (4 TiB).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from novastate._native import scan
from novastate.convergence.simulation.writers import Marks, mark_range

if TYPE_CHECKING:
    import numpy.typing as npt

    from novastate.convergence.simulation.setup import SimulationSetup

    Words = npt.NDArray[np.uint64]
    Integers = npt.NDArray[np.int64]

__all__ = ["MOST", "PageMap", "Sent"]

#: Pages of the largest guest that is simulated.
MOST = 1 << 30
#: Integers, so that sums are exact: half bytes, and picoseconds of at most an hour a page.
_HALF, _PICO, _LONGEST = 2, 1e12, 1 << 52
_ENDLESS = 1 << 62
#: Pages that are watched anew together, as a power of two.
_PART = 18


class Sent(NamedTuple):
    """Pages that went out: for the first time, again, zero, as a difference; their *bytes*, and *seconds* at line rate."""

    first: int
    again: int
    blank: int
    delta: int
    bytes: int
    seconds: float

    @property
    def pages(self) -> int:
        """All of them."""
        return self.first + self.again + self.blank + self.delta


class PageMap:
    """*pages* pages, all unsent; *zero* are the ranges (start, end) of those that are zero."""

    def __init__(self, pages: int, zero: list[tuple[int, int]], setup: SimulationSetup) -> None:
        self._pages = self.left = pages
        self._bits: Words = np.zeros((4, (pages + 63) // 64), dtype=np.uint64)
        mark_range(self._bits[0], 0, pages)
        for start, end in zero:
            mark_range(self._bits[1], start, end)
        sizes = (setup.wire, setup.wire, setup.wire_zero, setup.wire_delta)
        times = (setup.first, setup.again, setup.blank, setup.again_delta)
        self._costs: Integers = np.array(
            [
                [round(min(size * _HALF, _LONGEST)) for size in sizes],
                [max(1, round(min(time * _PICO, _LONGEST))) for time in times],
            ],
            dtype=np.int64,
        )
        self._cursor = 0
        self._round = 1
        self._first_round = True
        self._cache: Integers | None = None
        self._entered: list[int] = []
        #: What was not unsent at the last sync, when each part was watched anew since, and what was last written before; empty where all is
        #: watched at the sync.
        parts = -(-pages >> _PART) if setup.rearm and pages > 1 << _PART else 0
        self._arms, self._armed = 0, np.zeros(parts, dtype=np.float64)
        self._clean = ~self._bits[0] if parts else self._bits[0][:0]
        self._early = np.zeros_like(self._clean)
        if setup.cache_pages >= 1:
            slots = 1 << min(int(setup.cache_pages).bit_length() - 1, (pages - 1).bit_length())
            self._cache = np.vstack((np.full(slots, -1), np.zeros(slots, dtype=np.int64)))

    @property
    def written(self) -> Words:
        """The bitmap in which writers mark what they write."""
        row: Words = self._bits[3]
        return row

    @property
    def marks(self) -> Marks:
        """Where writers mark what they have written since the last sync."""
        return Marks(self._bits[3], self._early, self._armed, _PART)

    @property
    def unsent(self) -> Words:
        """The bitmap of what is to be sent."""
        row: Words = self._bits[0]
        return row

    def ahead(self, each: int) -> int:
        """Unsent pages from the scan's position on to the end of that part of *each* pages (a multiple of 64) in which the next lies."""
        row, words, at = self._bits[0], each >> 6, self._cursor % self._pages
        end = ((at >> 6) // words + 1) * words
        found = (int(row[at >> 6]) >> (at & 63)).bit_count() + _set(row[(at >> 6) + 1 : end])
        while not found and self.left:
            begin = end if end < len(row) else 0
            end = begin + words
            found = _set(row[begin:end])
        return found

    def complete(self, each: int) -> None:
        """Makes every part of *each* pages (a multiple of 64) unsent of which a page is."""
        row = self._bits[0]
        starts = np.arange(0, len(row), each >> 6)
        some = np.bitwise_or.reduceat(row, starts) != 0
        for start in starts[some].tolist():
            mark_range(row, start << 6, min(self._pages, (start << 6) + each))
        self.left = _set(row)

    def send(self, room: float, patience: float, most: int | None = None) -> Sent:
        """Sends until the page that uses up *room* bytes or *patience* seconds has gone out, or *most* have, or nothing is left."""
        left = self.left if most is None else min(most, self.left)
        counts: Integers = np.zeros(4, dtype=np.int64)
        budget = _whole(room * _HALF), _whole(patience * _PICO)
        before = self._cursor
        if self._cache is None or self._first_round:
            self._cursor = scan.scan(self._bits, self._pages, before, left, *budget, self._costs, counts)
        else:
            self._cursor = scan.scan_cached(
                self._bits, self._pages, self._cache, self._round, before, left, *budget, self._costs, counts
            )
        sent = self._sent(counts)
        self._first_round = self._first_round and self._cursor > before
        self.left -= sent.pages
        self._entered = self._parts(before) if len(self._armed) else []
        return sent

    def _parts(self, before: int) -> list[int]:
        """The parts that the scan has come to, from *before* on, for the first time since the sync."""
        first, last = before >> _PART, (self._cursor - 1) >> _PART
        count = len(self._armed)
        passed = range(first, last + (1 if self._cursor > before else count + 1))
        return [at % count for at in passed if not self._armed[at % count]]

    @property
    def entered(self) -> bool:
        """Whether the last sending came to parts that are now to be watched anew."""
        return bool(self._entered)

    def arm(self) -> None:
        """Watches the parts anew that the last sending came to; writers must have gone on to then."""
        self._arms += 1
        for at in self._entered:
            words = slice(at << (_PART - 6), (at + 1) << (_PART - 6))
            self._bits[3, words] &= self._clean[words]
            self._armed[at] = self._arms
        self._entered = []

    def sync(self) -> int:
        """Takes over what was written; how many pages were not unsent before."""
        if self._early.any():
            self._early &= self._clean
            self._bits[3] |= self._early
            self._early[:] = 0
        fresh = scan.merge(self._bits, self._pages)
        self.left += fresh
        self._round += 1
        self._arms, self._armed[:] = 0, 0
        if len(self._clean):
            np.invert(self._bits[0], out=self._clean)
        return fresh

    def rest(self) -> Sent:
        """What is left, as if it were sent now."""
        counts: Integers = np.zeros(4, dtype=np.int64)
        scan.census(self._bits, self._pages, counts)
        if self._cache is not None and not self._first_round:
            words = self._bits[0] & ~self._bits[1]
            found = np.flatnonzero(np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little"))
            held = int(np.count_nonzero(self._cache[0, found & (self._cache.shape[1] - 1)] == found))
            counts += (0, -held, 0, held)
        return self._sent(counts)

    def _sent(self, counts: Integers) -> Sent:
        size, time = (int(total) for total in self._totals(counts))
        first, again, blank, delta = counts.tolist()
        return Sent(first, again, blank, delta, size // _HALF, time / _PICO)

    def _totals(self, counts: Integers) -> tuple[int, int]:
        # Python's integers: a terabyte at an hour a page is more than 64 bits hold.
        rows = self._costs.tolist()
        found = [sum(cost * count for cost, count in zip(row, counts.tolist(), strict=True)) for row in rows]
        return found[0], found[1]


def _set(words: Words) -> int:
    """How many bits are set in all."""
    return (
        sum(map(int.bit_count, words.tolist())) if len(words) < 64 else int(np.unpackbits(words.view(np.uint8)).sum())
    )


def _whole(amount: float) -> int:
    """The least integer that is not below *amount*: sums of integers are below the one if they are below the other."""
    return _ENDLESS if amount >= _ENDLESS else max(1, -int(-amount // 1))
