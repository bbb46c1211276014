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


#: Around a vector, a strip of 256 words and a block of eight bitmaps.
WORDS = [0, 1, 2, 3, 7, 8, 9, 63, 255, 256, 257, 300]
ROWS = [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 63, 64, 65, 129, 260]


def made(rows: int, words: int, seed: int, sparse: int) -> bitmaps.Words:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**64, (rows, words), dtype=np.uint64)
    for _ in range(sparse):
        bits &= rng.integers(0, 2**64, (rows, words), dtype=np.uint64)
    return bits


some = st.builds(made, st.sampled_from(ROWS), st.sampled_from(WORDS), st.integers(0, 2**32), st.integers(0, 8))


@settings(max_examples=40, deadline=None)
@given(some, st.just(8) | st.integers(1, bitmaps.LEVELS), st.booleans())
def test_the_sums_are_the_twins(bits, levels, fresh):
    assert bitmaps.sums(bits, levels, fresh) == bitmaps_py.sums(bits, levels, fresh)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sets(st.integers(0, 130)), max_size=12), st.integers(1, 5))
def test_the_sums_are_those_of_sets(written, levels):
    bits = np.zeros((len(written), 3), np.uint64)
    for row, pages in zip(bits, written, strict=True):
        for page in pages:
            row[page // 64] |= np.uint64(1 << page % 64)
    footprints, fresh = [0] * levels, [0] * levels
    for level in range(levels):
        k = 1 << level
        for i in range(len(written)):
            if i + 1 >= k:
                footprints[level] += len(set().union(*written[i + 1 - k : i + 1]))
            if i >= k:
                fresh[level] += len(written[i].difference(*written[i - k : i]))
    assert bitmaps.sums(bits, levels, False) == tuple(footprints)
    assert bitmaps.sums(bits, levels, True) == tuple(fresh)


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
        module.sums(rows, 0, False)
    with pytest.raises(ValueError, match="levels"):
        module.sums(rows, bitmaps.LEVELS + 1, False)
    with pytest.raises(ValueError, match="a number for each bitmap"):
        module.gaps(rows, row, row, np.zeros(1, np.uint64))
