"""The Python twin of the simulator's kernels: the same bits, numbers and counts; scan.c says the method.

Bitmaps are rows of uint64, one bit a page, lowest bit first. *bits* holds four of them: dirty, zero, sent before, written.
*costs* are two rows, bytes and time, of four kinds of pages: sent for the first time, again, zero, as a difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from novastate._native.gone_py import POLYNOMIAL as Q
from novastate._native.gone_py import WHOLE
from novastate._native.tables_py import force_isa, isa, variants

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Words = npt.NDArray[np.uint64]
    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

__all__ = [
    "census", "draw", "fill", "fill_scattered", "force_isa", "isa", "mark", "merge", "mix", "random_at", "scan", "scan_cached",
    "scatter", "variants",
]  # fmt: skip

_FIRST, _AGAIN, _BLANK, _DELTA = range(4)
_ALL = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_M1, _M2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
#: Words that are looked at in one go; writes that are drawn, and words of pages that are filled.
_BLOCK, _MANY = 256, 1 << 20


# --- random numbers


def mix(x: int) -> int:
    """One number of 64 bits from another."""
    x = ((x ^ (x >> 30)) * _M1) & _ALL
    x = ((x ^ (x >> 27)) * _M2) & _ALL
    return x ^ (x >> 31)


def random_at(key: int, i: int) -> int:
    """The *i*-th random number of *key*."""
    return mix((key + i * _GOLDEN) & _ALL)


def _randoms(key: int, counters: Words) -> Words:
    return _mixed(np.uint64(key) + counters * np.uint64(_GOLDEN))


def _mixed(x: Words) -> Words:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_M1)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_M2)
    return x ^ (x >> np.uint64(31))


def _high_product(x: Words, y: Words) -> Words:
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    x0, x1, y0, y1 = x & low, x >> half, y & low, y >> half
    middle = x1 * y0 + ((x0 * y0) >> half)
    other = x0 * y1 + (middle & low)
    product: Words = x1 * y1 + (middle >> half) + (other >> half)
    return product


def scatter(ranks: Words, order: Words) -> Words:
    """The page of each rank: *order* is the number of pages, rows and columns of a grid that holds them, and two keys."""
    pages, rows, columns, key, other = order
    if not rows:
        return ranks
    found = np.empty_like(ranks)
    todo = np.arange(len(ranks))
    row, column = ranks // columns, ranks % columns
    while len(todo):
        row = _shifted(row, column, key, rows)
        column = _shifted(column, row, other, columns)
        x = row * columns + column
        inside = x < pages
        found[todo[inside]] = x[inside]
        todo, row, column = todo[~inside], row[~inside], column[~inside]
    return found


def _shifted(x: Words, y: Words, key: np.uint64, n: np.uint64) -> Words:
    """(x + something that y decides) modulo n, for x < n."""
    half = np.uint64(32)
    return (x + ((((y + key) * np.uint64(_GOLDEN)) >> half) * n >> half)) % n


# --- bits


def _unpacked(words: Words) -> Bools:
    return np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little").view(np.bool_)


def _packed(flags: Bools) -> Words:
    return np.packbits(flags, bitorder="little").view("<u8").astype(np.uint64)


def mark(written: Words, pages: Integers) -> None:
    """Sets the bits of *pages*. Raises ValueError for a page that is not there."""
    if not len(pages):
        return
    first, last = int(pages.min()) >> 6, int(pages.max()) >> 6
    if first < 0 or last >= len(written):
        raise ValueError("pages: must be there")
    part = written[first : last + 1]
    flags = _unpacked(part)
    flags[pages - first * 64] = True
    part[:] = _packed(flags)


def _count(flags: Bools) -> int:
    return int(np.count_nonzero(flags))


def merge(bits: Words, pages: int) -> int:
    """Takes the written pages over into the dirty ones, which are zero no more; how many were not dirty before."""
    _check(bits, pages)
    dirty, zero, _, written = bits
    fresh = _count(_unpacked(written & ~dirty))
    dirty |= written
    zero &= ~written
    written[:] = 0
    return fresh


def census(bits: Words, pages: int, counts: Integers) -> None:
    """Writes the number of dirty pages of each kind into *counts*."""
    _check(bits, pages)
    dirty, zero, again, _ = bits
    blank = dirty & zero
    old = dirty & again & ~blank
    blanks, olds = _count(_unpacked(blank)), _count(_unpacked(old))
    counts[:] = (_count(_unpacked(dirty)) - blanks - olds, olds, blanks, 0)


def _check(bits: Words, pages: int) -> None:
    if pages < 1 or bits.shape[0] < 4 or bits.shape[1] != (pages + 63) // 64:
        raise ValueError("bits: must be four bitmaps of the pages")


# --- the scan


def scan(
    bits: Words, pages: int, cursor: int, left: int, room: int, patience: int, costs: Integers, counts: Integers
) -> int:
    """Sends dirty pages from *cursor* on, round and round, until the page that uses up *room* bytes or *patience* time has
    gone out, or all *left* dirty pages have; adds them to *counts* by kind. The page after the last one sent.
    """
    _check(bits, pages)
    dirty, zero, again, _ = bits
    words = bits.shape[1]
    cursor = 0 if cursor >= pages else cursor
    start = cursor >> 6
    runs = [(at, min(at + _BLOCK, words)) for at in range(start, words, _BLOCK)]
    runs += [(at, min(at + _BLOCK, start + 1)) for at in range(0, start + 1, _BLOCK)]
    skip = cursor & 63
    for begin, end in runs:
        if left <= 0 or room <= 0 or patience <= 0:
            break
        part = slice(begin, end)
        if dirty[part].any():
            found = np.flatnonzero(_unpacked(dirty[part]))
            found = found[found >= skip][:left]
            blank, old = _unpacked(zero[part])[found], _unpacked(again[part])[found]
            kinds = np.where(blank, _BLANK, np.where(old, _AGAIN, _FIRST))
            used, spent = costs[0][kinds].cumsum(), costs[1][kinds].cumsum()
            stop = min(int(np.searchsorted(used, room)), int(np.searchsorted(spent, patience))) + 1
            gone = found[:stop]
            if len(gone):
                counts += np.bincount(kinds[:stop], minlength=4)
                flags = np.zeros((end - begin) * 64, dtype=np.bool_)
                flags[gone] = True
                taken = _packed(flags)
                dirty[part] &= ~taken
                again[part] |= taken
                left -= len(gone)
                room -= int(used[len(gone) - 1])
                patience -= int(spent[len(gone) - 1])
                cursor = begin * 64 + int(gone[-1]) + 1
        skip = 0
    return cursor


def scan_cached(
    bits: Words,
    pages: int,
    cache: Integers,
    now: int,
    cursor: int,
    left: int,
    room: int,
    patience: int,
    costs: Integers,
    counts: Integers,
) -> int:
    """The same with a direct-mapped cache: *cache* is two rows, the page in each slot (-1: none) and when it was last used."""
    _check(bits, pages)
    dirty, zero, again, _ = (_unpacked(row) for row in bits)
    cursor = 0 if cursor >= pages else cursor
    found = np.flatnonzero(dirty)
    for page in np.roll(found, -int(np.searchsorted(found, cursor))).tolist():
        if left <= 0 or room <= 0 or patience <= 0:
            break
        kind = _BLANK if zero[page] else _AGAIN if again[page] else _FIRST
        slot = page & (cache.shape[1] - 1)
        if kind != _BLANK:
            if cache[0, slot] == page:
                kind = _DELTA
                cache[1, slot] = now
            elif cache[0, slot] < 0 or cache[1, slot] + 2 <= now:
                cache[:, slot] = page, now
        room -= int(costs[0, kind])
        patience -= int(costs[1, kind])
        left -= 1
        counts[kind] += 1
        dirty[page], again[page] = False, True
        cursor = page + 1
    bits[0], bits[2] = _packed(dirty), _packed(again)
    return cursor


# --- the writes


def draw(
    written: Words,
    early: Words,
    first: int,
    key: int,
    counter: int,
    count: int,
    base: int,
    groups: Words,
    ratios: Floats,
    guide: npt.NDArray[np.int32],  # noqa: ARG001  (only the compiled search starts there)
    shift: int,  # noqa: ARG001
    order: Words,
    since: Words,
    part: int,
) -> None:
    """Draws *count* writes to pages from *first* on, by the random numbers of *key* from *counter* on.

    *groups* are rows of start, last, low: a random number of start to last falls on page low + (number - start) / 2048 * ratio,
    with a ratio of each group in *ratios*, or on the last page; *guide* is the group at which to look first, by the number's bits
    from *shift* on. Numbers are drawn from *base* on. A write comes at any time as likely; what comes in the first *since* / 2**32
    of the time, a number for each 2**part pages, is marked in *early*; none of these (empty): all in *written*.
    """
    _check_marks(written, early, since, part, first + int(order[0]) if first >= 0 else -1)
    for start in range(0, count, _MANY):
        some = min(_MANY, count - start)
        drawn = _randoms(key, np.uint64(counter) + np.arange(start, start + some, dtype=np.uint64))
        times = _mixed(drawn + np.uint64(_GOLDEN)) >> np.uint64(32)
        if base:
            drawn = np.uint64(base) + _high_product(drawn, np.full(1, (1 << 64) - base, dtype=np.uint64))
        at = np.searchsorted(groups[:, 1], drawn)
        rows = groups[at]
        past = ((drawn - rows[:, 0]) >> np.uint64(11)).astype(np.float64) * ratios[at]
        ranks = np.minimum(rows[:, 2] + past.astype(np.uint64), order[0] - np.uint64(1))
        pages = scatter(ranks, order).astype(np.int64) + first
        late = times >= since[pages >> part] if len(since) else np.ones(some, dtype=np.bool_)
        mark(written, pages[late])
        mark(early, pages[~late])


def fill(written: Words, early: Words, first: int, key: int, counter: int, groups: Words) -> None:
    """Writes each page low to low + size - 1 of each of *groups* (low, size, chance, late) with probability chance / 2**32.

    Of what is written, late / 2**32 is marked in *written* and the rest in *early*, which may be empty where there is no rest.
    """
    low, size, chance, late = groups.T
    most = int((low + size).max(initial=np.uint64(0)))
    if first < 0 or first + most > len(written) * 64:
        raise ValueError("first: its pages must be there")
    if len(early) != len(written) and (late >> np.uint64(32) == 0).any():
        raise ValueError("early: must be a bitmap of the pages")
    for row, past, at in _words_of(size, counter, 64):
        hit = _biased(key, at, chance[row]) & _below(size[row] - past)
        kept = _biased(key, at + np.uint64(32), late[row])
        for marks, words in ((written, hit & kept), (early, hit & ~kept)):
            found = np.flatnonzero(_unpacked(words))
            word = found >> 6
            mark(marks, (low[row] + past)[word].astype(np.int64) + (found & 63) + first)


def fill_scattered(
    written: Words,
    early: Words,
    first: int,
    key: int,
    counter: int,
    groups: Words,
    paces: Floats,
    order: Words,
    left: Floats,
    part: int,
) -> None:
    """Writes each page of rank low to low + size - 1 of each of *groups* (low, size, chance) with probability chance / 2**32.

    The last write to a page that is written comes in the last *left* seconds, a number for each 2**part pages, with
    probability (1 - 2**(pace * left)) / (chance / 2**32), *paces* being one of each group, not above 0: if it does it is marked in
    *written*, else in *early*. With *left* empty all is marked in *written*.
    """
    _check_marks(written, early, left, part, first + int(order[0]) if first >= 0 else -1)
    low, size, chance = groups.T
    for row, past, at in _words_of(size, counter, 32):
        found = np.flatnonzero(_unpacked(_biased(key, at, chance[row]) & _below(size[row] - past)))
        word, bit = found >> 6, (found & 63).astype(np.uint64)
        group = row[word]
        pages = scatter((low[row] + past)[word] + bit, order).astype(np.int64) + first
        late = np.ones(len(pages), dtype=np.bool_)
        if len(left):
            drawn = (_randoms(mix(key), at[word] * np.uint64(2) + bit) >> np.uint64(11)).astype(np.float64) * 2.0**-53
            late = drawn * (chance[group].astype(np.float64) * 2.0**-32) < _gone(paces[group] * left[pages >> part])
        mark(written, pages[late])
        mark(early, pages[~late])


def _words_of(size: Words, counter: int, stride: int) -> Iterator[tuple[Integers, Words, Words]]:
    """Of each word of 64 pages, group by group: its group, its first page in that, and the counter of its random numbers."""
    words = (size + np.uint64(63)) >> np.uint64(6)
    ends = np.cumsum(words)
    count, most = int(words.sum()), max(1, _MANY >> 6)
    for start in range(0, count, most):
        at = np.arange(start, min(start + most, count), dtype=np.uint64)
        row = np.searchsorted(ends, at, side="right")
        yield row, (at - (ends - words)[row]) * np.uint64(64), np.uint64(counter) + at * np.uint64(stride)


def _below(count: Words) -> Words:
    """The lowest *count* bits; all where there are not so many."""
    return np.where(count < 64, (np.uint64(1) << (count & np.uint64(63))) - np.uint64(1), np.uint64(_ALL))


def _check_marks(written: Words, early: Words, parts: Words | Floats, part: int, last: int) -> None:
    if last < 0 or last > len(written) * 64:
        raise ValueError("first: its pages must be there")
    if len(parts) and (len(early) != len(written) or not 6 <= part < 64 or len(parts) << part < last):
        raise ValueError("early: must be a bitmap of the pages, each of them in a part")


def _biased(key: int, counters: Words, chances: Words) -> Words:
    """Of 64 pages a word, whether a number of 32 random digits is below the chance: the first digit that differs decides."""
    hit = np.where(chances >> np.uint64(32) > 0, np.uint64(_ALL), np.uint64(0))
    todo = ~hit
    for digit in range(31, -1, -1):
        if not todo.any():
            break
        drawn = _randoms(key, counters + np.uint64(digit))
        one = np.uint64(0) - (chances >> np.uint64(digit) & np.uint64(1))
        hit |= todo & ~drawn & one
        todo &= drawn ^ ~one
    return hit


def _gone(t: Floats) -> Floats:
    """1 - 2**t for t <= 0, as `gone_py.gone`."""
    t = np.maximum(t, -1022.0)
    n = (t + WHOLE) - WHOLE
    f = t - n
    f2 = f * f
    a = (Q[0] + Q[1] * f) + (Q[2] + Q[3] * f) * f2
    b = (Q[4] + Q[5] * f) + (Q[6] + Q[7] * f) * f2
    scale = np.ldexp(1.0, n.astype(np.int64))
    found: Floats = (1.0 - scale) - scale * (f * (a + b * (f2 * f2)))
    return found
