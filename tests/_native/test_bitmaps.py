"""The bitmap kernels and their twin give the same numbers, on every instruction set, and those of the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate._native import bitmaps, bitmaps_py


@pytest.fixture(params=bitmaps.variants(), autouse=True, scope="module")
def isa(request):
    before = bitmaps.isa()
    bitmaps.force_isa(request.param)
    yield request.param
    bitmaps.force_isa(before)


#: Around a vector, a strip of 512 words and a block of sixteen bitmaps.
WORDS = [0, 1, 2, 3, 7, 8, 9, 63, 300, 511, 512, 513, 520, 1040]
ROWS = [0, 1, 2, 3, 5, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129, 260]


def made(rows: int, words: int, seed: int, sparse: int) -> bitmaps.Words:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**64, (rows, words), dtype=np.uint64)
    for _ in range(sparse):
        bits &= rng.integers(0, 2**64, (rows, words), dtype=np.uint64)
    return bits


some = st.builds(made, st.sampled_from(ROWS), st.sampled_from(WORDS), st.integers(0, 2**32), st.integers(0, 8))


@settings(max_examples=60, deadline=None)
@given(some, st.just(8) | st.integers(1, bitmaps.LEVELS))
def test_the_sums_are_the_twins(bits, levels):
    assert bitmaps.sums(bits, levels) == bitmaps_py.sums(bits, levels)


@pytest.mark.parametrize("shift", range(8))
@pytest.mark.parametrize("words", [5, 16, 23])
def test_the_sums_are_the_twins_wherever_the_memory_begins(words, shift):
    memory = made(1, 8 + 19 * words, shift, 2)[0]
    bits = memory[shift:][: 19 * words].reshape(19, words)
    assert bitmaps.sums(bits, 5) == bitmaps_py.sums(bits, 5)


@pytest.mark.parametrize("rows", [40_000, 65_537])
def test_windows_of_thousands_of_bitmaps_are_the_twins(rows):
    bits = made(rows, 1, rows, 6)
    assert bitmaps.sums(bits, bitmaps.LEVELS) == bitmaps_py.sums(bits, bitmaps.LEVELS)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sets(st.integers(0, 130)), max_size=12), st.integers(1, 5))
def test_the_sums_are_those_of_sets(written, levels):
    bits = np.zeros((len(written), 3), np.uint64)
    for row, pages in zip(bits, written, strict=True):
        for page in pages:
            row[page // 64] |= np.uint64(1 << page % 64)
    footprints = [0] * levels
    for level in range(levels):
        k = 1 << level
        for i in range(k - 1, len(written)):
            footprints[level] += len(set().union(*written[i + 1 - k : i + 1]))
    assert bitmaps.sums(bits, levels) == tuple(footprints)


@settings(max_examples=40, deadline=None)
@given(some)
def test_unions_counts_and_gaps_are_the_twins(bits):
    rows = len(bits)
    kernel, twin = ([np.zeros(rows, np.uint64) for _ in range(3)] for _ in range(2))
    bitmaps.gaps(bits, *kernel)
    bitmaps_py.gaps(bits, *twin)
    assert [x.tolist() for x in kernel] == [x.tolist() for x in twin]
    union, plain = np.zeros(bits.shape[1], np.uint64), np.zeros(bits.shape[1], np.uint64)
    for row in bits[:9]:
        assert bitmaps.merge(union, row) == bitmaps_py.merge(plain, row)
        assert bitmaps.count(row) == bitmaps_py.count(row)
    assert union.tolist() == plain.tolist()


def test_a_union_with_itself_changes_nothing():
    row = made(1, 300, 5, 1)[0]
    before = row.copy()
    assert bitmaps.merge(row, row) == 0
    assert row.tolist() == before.tolist()


@pytest.mark.parametrize("module", [bitmaps, bitmaps_py])
def test_what_does_not_fit_is_refused(module):
    row, rows = np.zeros(2, np.uint64), np.zeros((2, 2), np.uint64)
    with pytest.raises(ValueError, match="same number of words"):
        module.merge(row, np.zeros(3, np.uint64))
    with pytest.raises(ValueError, match="levels"):
        module.sums(rows, 0)
    with pytest.raises(ValueError, match="levels"):
        module.sums(rows, bitmaps.LEVELS + 1)
    with pytest.raises(ValueError, match="a number for each bitmap"):
        module.gaps(rows, row, row, np.zeros(1, np.uint64))
