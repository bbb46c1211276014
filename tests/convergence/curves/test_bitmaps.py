"""Curves of dirty bitmaps: both kernels, and bitmaps one by one, agree with sets of pages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate.convergence import DirtyCurve
from novastate.convergence.curves import bitmaps as module
from novastate.convergence.curves.bitmaps import BitmapWindows, bitmap_footprints
from novastate.errors import ConvergenceError


def rows_of(written, page_count):
    bits = np.zeros((len(written), (page_count + 63) // 64), np.uint64)
    for row, pages in zip(bits, written, strict=True):
        for page in pages:
            row[page // 64] |= np.uint64(1 << page % 64)
    return bits


@pytest.mark.parametrize("limit", [0.0, 2.0], ids=["dense", "sparse"])
@settings(max_examples=40, deadline=None)
@given(written=st.lists(st.sets(st.integers(0, 199)), min_size=1, max_size=20))
def test_footprints_are_those_of_sets(limit, written):
    before, module.SPARSE, module.FEWEST = (module.SPARSE, module.FEWEST), limit, 0
    try:
        found = bitmap_footprints(rows_of(written, 200), 0.1, 200)
    finally:
        module.SPARSE, module.FEWEST = before
    assert [row.tau for row in found] == pytest.approx([0.1 * 2**level for level in range(len(written).bit_length())])
    for level, row in enumerate(found):
        k = 1 << level
        unions = [len(set().union(*written[i : i + k])) for i in range(len(written) - k + 1)]
        assert row.mean == sum(unions) / len(unions)
        assert list(row.counts) == unions[::k]


def test_bitmaps_one_by_one_are_not_kept_nor_changed():
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 2**64, (37, 5), dtype=np.uint64)
    before = rows.copy()
    windows, buffer = BitmapWindows(320, 0.1), np.zeros(5, np.uint64)
    for row in rows:
        buffer[:] = row
        windows.add(buffer)
    assert (rows == before).all()
    assert [list(row.counts) for row in windows.footprints()] == [list(r.counts) for r in bitmap_footprints(rows, 0.1)]


def bitmaps_of(size, rate, interval, count, seed=2):
    rng = np.random.default_rng(seed)
    return rows_of([set(rng.integers(0, size, rng.poisson(rate * interval)).tolist()) for _ in range(count)], size)


def test_the_curve_is_that_of_the_writer_from_either_source():
    rows = bitmaps_of(6400, 3000, 0.05, 160)
    curve = DirtyCurve.from_bitmaps(rows, interval=0.05)
    windows = BitmapWindows(6400, 0.05)
    for row in rows:
        windows.add(row)
    for found in (curve, DirtyCurve.from_bitmaps(windows, interval=0.05)):
        assert found.page_count == 6400
        for tau in (0.05, 0.2, 1.0, 3.0):
            assert found.pages(tau) == pytest.approx(6400 * -math.expm1(-3000 * tau / 6400), rel=0.03)
            assert found.lower.pages(tau) <= found.pages(tau) * 1.01 <= found.upper.pages(tau) * 1.02
    assert [round(tau, 6) for tau, _, _ in curve.observations] == [0.05 * 2**level for level in range(8)]


def test_a_guest_that_writes_nothing_and_one_of_one_page():
    assert DirtyCurve.from_bitmaps(np.zeros((4, 2), np.uint64), 0.1).pages(10) == 0
    assert DirtyCurve.from_bitmaps(np.ones((1, 1), np.uint64), 0.1, 1).pages(0.1) == pytest.approx(1, rel=0.01)


BAD = [
    ((np.zeros((0, 2), np.uint64), 0.1), "bitmaps"),
    ((np.zeros(2, np.uint64), 0.1), "bitmaps"),
    ((np.zeros((2, 2)), 0.1), "bitmaps"),
    ((np.zeros((2, 2), np.uint32), 0.1), "bitmaps"),
    ((np.zeros((2, 2), np.uint64), 0.0), "interval"),
    ((np.zeros((2, 2), np.uint64), math.nan), "interval"),
    ((np.zeros((2, 2), np.uint64), 0.1, 129), "bitmaps"),
    ((np.zeros((2, 2), np.uint64), 0.1, -1), "page_count"),
    ((np.full((2, 2), 2**63, np.uint64), 0.1, 127), "bitmaps"),
    ((BitmapWindows(64, 0.1), 0.1), "bitmaps"),
    ((BitmapWindows(64, 0.1), 0.2), "interval"),
]


@pytest.mark.parametrize(("arguments", "field"), BAD)
def test_bitmaps_that_are_none_are_refused_by_name(arguments, field):
    with pytest.raises(ConvergenceError, match=field):
        DirtyCurve.from_bitmaps(*arguments)


@pytest.mark.parametrize("bitmap", [np.zeros(2, np.uint64), np.zeros(1), np.full(1, 2**63, np.uint64)])
def test_a_bitmap_that_does_not_fit_is_refused_and_changes_nothing(bitmap):
    windows = BitmapWindows(63, 0.1)
    windows.add(np.ones(1, np.uint64))
    with pytest.raises(ConvergenceError, match="bitmap"):
        windows.add(bitmap)
    assert [row.mean for row in windows.footprints()] == [1.0]
