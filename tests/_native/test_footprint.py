"""The footprint kernels and their twin find the same free lengths, pages and hashes, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate._native import footprint, footprint_py
from novastate.errors import ConvergenceError


@pytest.fixture(params=footprint.variants(), autouse=True, scope="module")
def isa(request):
    before = footprint.isa()
    footprint.force_isa(request.param)
    yield request.param
    footprint.force_isa(before)


@st.composite
def traces(draw):
    """Pages, times, start, rate, slots, page_count, windows."""
    n = draw(st.one_of(st.integers(0, 20), st.integers(500, 1600)))
    page_count = draw(st.sampled_from([1, 2, 7, 1000, 70_000]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pages = rng.integers(0, page_count, n).astype(draw(st.sampled_from(["i4", "u4", "i8", "u8"])))
    kind = draw(st.sampled_from([None, "i4", "u4", "i8", "u8", "f8"]))
    times = None if kind is None else np.sort(rng.integers(3, 3 + draw(st.sampled_from([1, 50, 5000])), n)).astype(kind)
    slots = n + 1 if times is None else int(times[-1] if n else 3) - 3 + draw(st.integers(1, 100))
    rate = 1.0 if times is None or draw(st.booleans()) else 0.125
    windows = draw(st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 300), max_size=80, unique=True).map(sorted))
    return pages, times, 0.0 if times is None else 3.0, rate, slots, page_count, np.array(windows, np.uint32)


@settings(max_examples=40, deadline=None)
@given(traces())
def test_the_free_lengths_are_the_twins(trace):
    assert footprint.lengths(*trace) == footprint_py.lengths(*trace)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
def test_a_window_of_every_size_is_counted_as_well_as_a_few(seed):
    pages = np.random.default_rng(seed).integers(0, 3000, 9000)
    every = np.arange(1, 9001, dtype=np.uint32)
    trace = (pages, None, 0.0, 1.0, 9000, 3000, every)
    assert footprint.lengths(*trace) == footprint_py.lengths(*trace)


@settings(max_examples=40, deadline=None)
@given(traces(), st.data())
def test_a_bad_write_is_refused_with_its_number(trace, data):
    pages, times, start, rate, slots, page_count, windows = trace
    if not pages.size:
        return
    at = data.draw(st.integers(0, pages.size - 1))
    if data.draw(st.booleans()) or times is None:
        pages[at] = page_count if pages.dtype.kind == "u" or data.draw(st.booleans()) else -1
    else:
        times[at] = 2 if data.draw(st.booleans()) else start + slots / rate
    said = []
    for module in (footprint, footprint_py):
        with pytest.raises(ConvergenceError, match=r"pages\[|times\[") as caught:
            module.lengths(pages, times, start, rate, slots, page_count, windows)
        said.append(str(caught.value))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("pages", "times", "field"),
    [
        (np.zeros(2, np.int16), None, "pages"),
        (np.zeros(2), None, "pages"),
        (np.zeros((2, 2), np.int64), None, "pages"),
        (np.zeros(2, np.int64), np.zeros(3), "times"),
        (np.zeros(2, np.int64), np.zeros(2, "f4"), "times"),
        (np.zeros(2, np.int64), np.array([0, np.nan]), r"times\[1\]"),
        (np.zeros(2, np.int64), np.array([0, np.inf]), r"times\[1\]"),
    ],
)
@pytest.mark.parametrize("module", [footprint, footprint_py])
def test_columns_that_are_none_are_refused_by_name(module, pages, times, field):
    with pytest.raises(ConvergenceError, match=field):
        module.lengths(pages, times, 0.0, 1.0, 4, 4, np.array([1], np.uint32))


def test_lengths_near_the_end_of_32_bits_do_not_overflow():
    most = 2**32 - 2
    trace = (np.array([0, 0, 1]), np.array([0, most - 1, most - 1]), 0.0, 1.0, most, 2, np.array([1, 2**31], np.uint32))
    counts, sums, distinct = footprint.lengths(*trace)
    assert (counts, sums, distinct) == ([3, 0, 2], [3, 0, 2 * most - 1], 2)
    assert (counts, sums, distinct) == footprint_py.lengths(*trace)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=100), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_the_chosen_pages_are_the_twins(pages, seed, limit):
    column = np.array(pages, np.uint64)
    for given_pages, first in ((column, 0), (None, 2**40)):
        kernel, twin = np.full(len(pages), 7, np.uint8), np.full(len(pages), 9, np.uint8)
        footprint.choose(given_pages, first, seed, limit, kernel)
        footprint_py.choose(given_pages, first, seed, limit, twin)
        assert kernel.tolist() == twin.tolist()


def test_the_hash_is_splitmix():
    # The generator's published first output for seed 1234567 (Vigna, splitmix64.c) is the hash of page 1234567 with seed 1.
    chosen = np.zeros(2, np.uint8)
    first = 6457827717110365317
    footprint.choose(np.array([1234567], np.uint64), 0, 1, first + 1, chosen[:1])
    footprint.choose(np.array([1234567], np.uint64), 0, 1, first, chosen[1:])
    assert chosen.tolist() == [1, 0]
