"""Writing as a write law says: each writer sets the bits of the pages that are written in a time.

Rules: a writer is deterministic by its seed; what is left of a write is carried over. Pages with few writes each in the
time are drawn write by write. Of pages with more, each is written with the probability 1 - exp(-writes), which is the same
and costs no more than the pages. The ranks of a zipf law, and the hot pages of a hot-and-cold one, are scattered over its pages.

What is written at random is drawn once for all the time between two syncs, however often memory is watched anew in between: of a
page it matters only whether it is written, and whether its last write comes before or after its part is watched anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from novastate._native import scan
from novastate._native.gone_py import LOG2E
from novastate.convergence.simulation.laws import Part, WriteLaw
from novastate.convergence.simulation.shares import shares_of
from novastate.convergence.simulation.timed import PhasedLaw, TraceLaw
from novastate.convergence.throttle import limited

if TYPE_CHECKING:
    import numpy.typing as npt

    from novastate.convergence.simulation.timed import Law

    Words = npt.NDArray[np.uint64]
    Floats = npt.NDArray[np.float64]

__all__ = ["Marks", "Randoms", "Writer", "limited_share", "mark_range", "place_of", "writer_of"]

_ALL = (1 << 64) - 1
#: Writes a page from which it is cheaper to draw the pages than the writes: 64 at a time, or each where it was scattered to.
_OFTEN, _OFTEN_SCATTERED = 0.125, 0.5
#: The random numbers that say where the written pages lie.
_PLACE = 1 << 32


class Randoms:
    """Random numbers by a counter: a seed gives many of these, and each gives its numbers in any order."""

    def __init__(self, seed: int, name: int) -> None:
        self.key = scan.random_at(scan.mix(seed & _ALL), name)
        self._counter = 0

    def take(self, count: int) -> int:
        """Reserves *count* numbers; the counter of the first."""
        first = self._counter
        self._counter = (first + count) & _ALL
        return first

    def random(self) -> float:
        """The next number, from 0 to less than 1."""
        return (scan.random_at(self.key, self.take(1)) >> 11) / (1 << 53)


class Marks(NamedTuple):
    """Where writes are marked: the pages in *written*, or in *early* if their last write comes before their part is watched.

    *armed* is when each part of 2**part pages is, as a number of calls of `Writer.write` since the last `Writer.flush`; empty where
    all is watched from that on. With *until* it is rather until when: *written* has the pages whose first write comes before.
    """

    written: Words
    early: Words
    armed: Floats
    part: int
    until: bool = False


class Writer(Protocol):
    """Something that writes pages."""

    def write(self, written: Words, seconds: float) -> None:
        """Goes on for *seconds* more of unthrottled writing; sets the bits of what is written in an order, the rest with the flush."""
        ...

    def flush(self, marks: Marks) -> None:
        """Marks what was written at random since the last flush."""
        ...


def place_of(law: Law, room: int, seed: int) -> int:
    """The first of the pages of *law*, which lie together anywhere in the first *room* pages; 0 for a trace, and where they fill them."""
    if isinstance(law, TraceLaw):
        return 0
    return int(Randoms(seed, _PLACE).random() * (max(0, room - law.pages) + 1))


def writer_of(law: Law, first: int, seed: int) -> Writer:
    """The writer of *law*, whose pages begin at page *first* (but those of a trace are where they are)."""
    return _writer(law, first, seed, [0])


def _writer(law: Law, first: int, seed: int, names: list[int]) -> Writer:
    if isinstance(law, TraceLaw):
        return _Replay(law)
    if isinstance(law, PhasedLaw):
        return _Phases(law, [_writer(part, first, seed, names) for _, part in law.phases])
    writers: list[Writer] = []
    for part in law.parts:
        names[0] += 1
        randoms = Randoms(seed, names[0])
        if part.pattern == "sequential":
            writers.append(_InOrder(part, first, randoms))
        else:
            # Where a part lies decides the order of its pages, so that it has the same hot pages in every phase.
            writers.append(_AtRandom(part, first, randoms, Randoms(seed, first ^ (part.pages << 40) ^ (1 << 63))))
        first += part.pages
    return _Together(writers)


class _Together:
    def __init__(self, writers: list[Writer]) -> None:
        self._writers = writers

    def write(self, written: Words, seconds: float) -> None:
        for writer in self._writers:
            writer.write(written, seconds)

    def flush(self, marks: Marks) -> None:
        for writer in self._writers:
            writer.flush(marks)


class _AtRandom:
    """One part, whose writes are drawn."""

    def __init__(self, part: Part, first: int, randoms: Randoms, scatter: Randoms) -> None:
        self._first, self._rate, self._randoms = first, part.rate, randoms
        self._shares = shares_of(part)
        self._rarer = -self._shares.each
        self._carry = 0.0
        self._scattered = part.pattern != "uniform"
        rows = math.isqrt(part.pages - 1) + 1 if self._scattered else 0
        columns = -(-part.pages // rows) if rows else 0
        keys = [scan.random_at(scatter.key, i) for i in range(2)]
        self._pages = part.pages
        self._order = np.array([part.pages, rows, columns, *keys], dtype=np.uint64)
        #: Seconds of writing since the last flush, after each call.
        self._spent = [0.0]

    def write(self, written: Words, seconds: float) -> None:  # noqa: ARG002  (nothing is marked before the flush)
        self._spent.append(self._spent[-1] + seconds)

    def flush(self, marks: Marks) -> None:
        spent, self._spent = self._spent, [0.0]
        lasts, shares = spent[-1], self._shares
        writes = self._rate * lasts
        if writes <= 0:
            return
        since = np.clip(np.interp(marks.armed, np.arange(len(spent)), spent), 0.0, lasts)
        if marks.until:
            # First writes are to the beginning what last ones are to the end.
            since = lasts - since
        elif not since.any():
            since = since[:0]
        often = int(np.searchsorted(self._rarer, -(_OFTEN_SCATTERED if self._scattered else _OFTEN) / writes))
        if often and self._scattered:
            self._fill_scattered(marks, often, writes, lasts - since)
        elif often:
            self._fill(marks, writes, since / lasts)
        self._carry += writes * float(shares.above[often])
        count = math.floor(self._carry)
        self._carry -= count
        if count and often < len(shares.sizes):
            scan.draw(
                marks.written,
                marks.early,
                self._first,
                self._randoms.key,
                self._randoms.take(count),
                count,
                int(shares.groups[often, 0]),
                shares.groups,
                shares.ratios,
                shares.guide,
                shares.shift,
                self._order,
                _of_32_bits(since / lasts),
                marks.part,
            )

    def _fill(self, marks: Marks, writes: float, since: Floats) -> None:
        """Pages that are all alike, from part to part."""
        first, each = self._first, writes / self._pages
        lows, late = np.zeros(1, dtype=np.int64), np.ones(1)
        if len(since):
            parts = np.arange(first >> marks.part, ((first + self._pages - 1) >> marks.part) + 1)
            lows = np.maximum(parts << marks.part, first) - first
            late = np.expm1(-each * (1 - since[parts])) / np.expm1(-each)
        rows = np.empty((len(lows), 4), dtype=np.uint64)
        rows[:, 0], rows[:, 1] = lows, np.diff(np.append(lows, self._pages))
        rows[:, 2], rows[:, 3] = _of_32_bits(-np.expm1(np.full(1, -each))), _of_32_bits(late)
        count = int(((rows[:, 1] + np.uint64(63)) >> np.uint64(6)).sum()) * 64
        scan.fill(marks.written, marks.early, first, self._randoms.key, self._randoms.take(count), rows)

    def _fill_scattered(self, marks: Marks, often: int, writes: float, left: Floats) -> None:
        """The pages of the first *often* groups, *left* being the seconds in which each part is watched."""
        shares, randoms = self._shares, self._randoms
        rows = np.empty((often, 3), dtype=np.uint64)
        rows[:, 0], rows[:, 1] = shares.groups[:often, 2], shares.sizes[:often]
        rows[:, 2] = _of_32_bits(-np.expm1(-writes * shares.each[:often]))
        paces = -self._rate * shares.each[:often] * LOG2E
        count = int(((shares.sizes[:often] + 63) >> 6).sum()) * 32
        at = randoms.take(count)
        scan.fill_scattered(
            marks.written, marks.early, self._first, randoms.key, at, rows, paces, self._order, left, marks.part
        )


def _of_32_bits(shares: Floats) -> Words:
    """Shares, 0 to 1, in parts of 2**32."""
    words: Words = np.floor(np.clip(shares, 0.0, 1.0) * 2.0**32).astype(np.uint64)
    return words


class _InOrder:
    """One part, whose pages are written one after the other; where it is when the migration starts is chance."""

    def __init__(self, part: Part, first: int, randoms: Randoms) -> None:
        self._part, self._first, self._carry = part, first, 0.0
        self._at = int(randoms.random() * part.pages)

    def write(self, written: Words, seconds: float) -> None:
        pages = self._part.pages
        self._carry += self._part.rate * seconds
        count = math.floor(self._carry)
        self._carry -= count
        end = self._at + min(count, pages)
        mark_range(written, self._first + self._at, self._first + min(end, pages))
        mark_range(written, self._first, self._first + end - pages)
        self._at = (self._at + count) % pages

    def flush(self, marks: Marks) -> None:
        """All is marked."""


class _Replay:
    """A trace, from its beginning on; what was written in a window as long as the trace is all of it."""

    def __init__(self, law: TraceLaw) -> None:
        self._law, self._now = law, 0.0

    def write(self, written: Words, seconds: float) -> None:
        law, start = self._law, self._now
        self._now = end = start + seconds
        if law.period is None:
            self._between(written, start, end)
        elif seconds >= law.period:
            scan.mark(written, law.page_numbers)
        else:
            self._now = end = end % law.period
            start %= law.period
            if start <= end:
                self._between(written, start, end)
            else:
                self._between(written, start, math.inf)
                self._between(written, 0.0, end)

    def flush(self, marks: Marks) -> None:
        """All is marked."""

    def _between(self, written: Words, start: float, end: float) -> None:
        first, last = np.searchsorted(self._law.times, (start, end))
        scan.mark(written, self._law.page_numbers[first:last])


class _Phases:
    """One law after the other; in a window each has its share of the time, in whatever order, for a bit is set once."""

    def __init__(self, law: PhasedLaw, writers: list[Writer]) -> None:
        self._law, self._writers, self._now = law, writers, 0.0

    def write(self, written: Words, seconds: float) -> None:
        start, end = self._now, self._now + seconds
        self._now = end
        for at, writer in enumerate(self._writers):
            writer.write(written, max(0.0, self._law.spent(at, end) - self._law.spent(at, start)))

    def flush(self, marks: Marks) -> None:
        for writer in self._writers:
            writer.flush(marks)


def limited_share(law: Law, most: float) -> float:
    """By what all writes of *law* are to be multiplied so that no more than *most* pages are written in a second."""
    if not isinstance(law, WriteLaw):
        return min(1.0, most / law.rate) if law.rate > 0 else 1.0
    return limited(law.written, most)


def mark_range(written: Words, start: int, end: int) -> None:
    """Sets the bits of the pages from *start* to before *end*; none where there are none."""
    if end <= start:
        return
    first, last = start >> 6, (end - 1) >> 6
    head = np.uint64(_ALL << (start & 63) & _ALL)
    tail = np.uint64(_ALL >> (63 - ((end - 1) & 63)))
    if first == last:
        written[first] |= head & tail
        return
    written[first] |= head
    written[first + 1 : last] = np.uint64(_ALL)
    written[last] |= tail
