"""The dirty curve is increasing and concave, whatever it was made from, and says when it cannot be."""

from __future__ import annotations

import itertools
import math

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate.convergence import DirtyClass, DirtyCurve, Guest, Limits, Link, Verdict, forecast
from novastate.errors import ConvergenceError

MIB = 1 << 20
#: What QEMU looks at, nothing said of it, and all pages.
GIVEN: tuple[dict[str, float | None], ...] = ({"samples": 512}, {}, {"samples": None})
TAUS = (0.25, 0.5, 1.0, 2.0, 4.0)


@st.composite
def laws(draw):
    """A mixture of classes, as {tau: pages} and as a function."""
    rows = [
        (draw(st.floats(200, 30_000)), draw(st.floats(0.02, 20)))
        for _ in range(draw(st.integers(1, 3)))
    ]  # fmt: skip

    def w(tau):
        return sum(size * -math.expm1(-rate * tau) for size, rate in rows)

    return w


@settings(max_examples=60, deadline=None)
@given(laws())
def test_a_curve_is_increasing_concave_and_goes_through_its_points(w):
    curve = DirtyCurve.from_windows({tau: w(tau) for tau in TAUS}, page_count=200_000)
    grid = [0.02 * 1.3**i for i in range(30)]
    pages = [curve.pages(tau) for tau in grid]
    rates = [curve.rate(tau) for tau in grid]
    assert curve.pages(0) == 0
    assert all(a <= b * (1 + 1e-12) for a, b in itertools.pairwise(pages))
    assert all(a >= b * (1 - 1e-12) for a, b in itertools.pairwise(rates))
    assert max(pages) <= 200_000
    for tau in TAUS:
        assert curve.pages(tau) == pytest.approx(w(tau), rel=0.02)


@settings(max_examples=60, deadline=None)
@given(laws())
def test_five_windows_tell_the_tenth_of_a_second_within_a_few_percent(w):
    curve = DirtyCurve.from_windows({tau: w(tau) for tau in TAUS}, page_count=200_000)
    # A tenth is not measured: W there lies between the chord (concave, from 0) and the first point.
    assert w(0.25) * 0.4 * 0.97 <= curve.pages(0.1) <= w(0.25) * 1.02


def test_a_guest_that_writes_in_sequence_is_known_by_its_straight_curve():
    curve = DirtyCurve.from_windows({0.25: 4095, 0.5: 8190, 1: 16362, 2: 16384, 4: 16384}, page_count=98304)
    (only,) = curve.classes
    assert only.sequential
    assert only.size == 16384
    assert curve.pages(0.1) == pytest.approx(1638)


def test_an_idle_guest_has_an_empty_curve():
    curve = DirtyCurve.from_windows({1: 0, 2: 0}, page_count=1000)
    assert curve.classes == ()
    assert curve.pages(100) == 0
    assert curve.rate(0) == 0


def test_dirty_rates_are_windows_divided_by_their_time():
    truth = DirtyCurve.from_windows({0.25: 2956, 0.5: 5379, 1.0: 9003, 2.0: 13055}, page_count=98304)
    rates = [(tau, int(truth.rate(tau) * 4096 / MIB) * MIB) for tau in (0.25, 0.5, 1.0, 2.0)]
    curve = DirtyCurve.from_dirty_rates(rates, memory=384 * MIB, samples=None)
    assert curve.pages(1.0) == pytest.approx(9003, rel=0.03)
    assert curve.spread >= 0.03
    assert curve.lower.pages(1.0) < curve.pages(1.0) < curve.upper.pages(1.0)


def test_measurements_that_disagree_make_a_wider_curve():
    calm = DirtyCurve.from_dirty_rates([(1, 50 * MIB), (1, 51 * MIB), (2, 40 * MIB)], 384 * MIB, samples=None)
    wild = DirtyCurve.from_dirty_rates([(1, 10 * MIB), (1, 91 * MIB), (2, 40 * MIB)], 384 * MIB, samples=None)
    assert wild.spread > 2 * calm.spread


def test_more_classes_take_only_the_room_that_is_left():
    curve = DirtyCurve.from_windows({1: 900, 2: 990}, page_count=1000)
    fuller = curve.with_classes(DirtyClass(10_000, 500), DirtyClass(10, 1))
    assert sum(row.size for row in fuller.classes) <= 1000 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("windows", "field"),
    [
        ({}, "windows"),
        ({math.nan: 1}, "tau"),
        ({0: 1}, "tau"),
        ({-1: 1}, "tau"),
        ({1: math.nan}, r"windows\[1\]"),
        ({1: math.inf}, r"windows\[1\]"),
        ({1: -1}, r"windows\[1\]"),
        ({1: "many"}, r"windows\[1\]"),
        ({1: 5000}, r"windows\[1"),
        ({1: 100, 2: 250}, r"windows\[2.0\]: is not concave"),
        ({1: 900, 2: 400}, r"windows\[2.0\]: must not fall"),
    ],
)
def test_windows_that_no_curve_can_have_are_refused_by_name(windows, field):
    with pytest.raises(ConvergenceError, match=field):
        DirtyCurve.from_windows(windows, page_count=4096)


@pytest.mark.parametrize(
    ("rates", "memory", "field"),
    [([], MIB, "rates"), ([(1, math.nan)], MIB, "rates"), ([(1, 1)], 0, "memory"), ([(1, 9 * MIB)], MIB, "rates"),
     ([(0, 1)], MIB, "tau"), ([(1, 10 * MIB), (2, 90 * MIB)], 1024 * MIB, "not concave")],
)  # fmt: skip
def test_dirty_rates_that_no_guest_can_have_are_refused_by_name(rates, memory, field):
    with pytest.raises(ConvergenceError, match=field):
        DirtyCurve.from_dirty_rates(rates, memory)


@pytest.mark.parametrize("tau", [-1, math.nan, math.inf])
def test_a_window_that_is_no_time_is_refused(tau):
    curve = DirtyCurve.from_windows({1: 10}, page_count=100)
    with pytest.raises(ConvergenceError, match="tau"):
        curve.pages(tau)


def test_slow_classes_that_would_not_fit_into_memory_do_not_crowd_out_the_fast_ones():
    # Rounding makes the long windows look straighter than they are: no class may be larger than memory.
    rates = [(0.25, 45 * MIB), (0.5, 43 * MIB), (1.0, 34 * MIB), (2.0, 26 * MIB)]
    curve = DirtyCurve.from_dirty_rates(rates, memory=384 * MIB, samples=None)
    assert curve.pages(0.25) == pytest.approx(45.5 * 64, rel=0.1)
    assert curve.pages(2.0) == pytest.approx(26.5 * 512, rel=0.1)
    assert curve.spread < 0.2


def test_the_write_rate_tells_what_the_shortest_window_does_not():
    # A hot set that is written fifteen times a second has saturated within a quarter of one.
    hot, cold = DirtyClass(1868, 29_000), DirtyClass(35_000, 1500)
    windows = {tau: hot.pages(tau) + cold.pages(tau) for tau in TAUS}
    pinned = DirtyCurve.from_windows(windows, 98304, write_rate=30_500)
    assert pinned.pages(0.1) == pytest.approx(hot.pages(0.1) + cold.pages(0.1), rel=0.03)


def test_bands_are_widest_where_nothing_was_measured():
    rates = [(0.5, 43 * MIB), (1.0, 34 * MIB), (2.0, 26 * MIB)]
    curve = DirtyCurve.from_dirty_rates(rates, memory=384 * MIB, samples=16384)

    def width(tau):
        low, high = curve.lower.pages(tau), curve.upper.pages(tau)
        assert low <= curve.pages(tau) <= high
        return high / low

    assert width(1.0) < 1.25
    assert width(0.1) > 1.2 * width(1.0)
    assert width(8.0) > 1.2 * width(1.0)


def test_the_fewer_pages_were_sampled_the_less_is_known():
    rates = [(0.5, 43 * MIB), (1.0, 34 * MIB), (2.0, 26 * MIB)]
    few, many = (DirtyCurve.from_dirty_rates(rates, memory=384 * MIB, samples=n) for n in (512, 16384))
    assert few.spread > 1.5 * many.spread
    with pytest.raises(ConvergenceError, match="samples"):
        DirtyCurve.from_dirty_rates(rates, memory=384 * MIB, samples=0)


def test_what_is_taken_is_what_qemu_looks_at():
    rates = [(0.5, 43 * MIB), (1.0, 34 * MIB), (2.0, 26 * MIB)]
    told, unsaid, exact = (DirtyCurve.from_dirty_rates(rates, 384 * MIB, **given) for given in GIVEN)
    assert unsaid == told
    assert exact.spread < 0.5 * told.spread


def _measured(law, page_count, samples, draw):
    """What QEMU answers (migration/dirtyrate.c): of the pages that it draws those that have changed, in whole MiB/s."""
    looked_at = max(1, samples * page_count * 4096 // 2**30)
    for tau in (0.1, 0.5, 2.0):
        changed = int(draw.binomial(looked_at, min(1.0, sum(row.pages(tau) for row in law) / page_count)))
        yield tau, changed * (page_count * 4096 // MIB) * 1000 // looked_at // round(tau * 1000) * MIB


@pytest.mark.parametrize("memory", [384 * MIB, 2**30, 2**34])
@pytest.mark.parametrize("samples", [128, 512, 4096])
def test_no_honest_measurement_is_refused(monkeypatch, memory, samples):
    # What is made of the points is not asked here.
    monkeypatch.setattr(DirtyCurve, "_likely", staticmethod(lambda points, _: points))
    draw, page_count = np.random.default_rng(samples), memory // 4096
    for _ in range(400):
        law = [
            DirtyClass(float(draw.uniform(0.001, 0.3)) * page_count, float(draw.lognormal(np.log(0.1 * page_count), 2)))
            for _ in range(2)
        ]
        rates = list(_measured(law, page_count, samples, draw))
        assert DirtyCurve.from_dirty_rates(rates, memory, samples=samples), rates


@pytest.mark.parametrize(
    ("rates", "samples", "what"),
    [([(0.1, 0), (2, 90 * MIB)], 16384, "is not concave"), ([(0.1, 0), (2, 90 * MIB)], None, "is not concave"),
     ([(0.5, 900 * MIB), (2, 8 * MIB)], 512, "must not fall")],
)  # fmt: skip
def test_what_no_chance_explains_is_still_refused(rates, samples, what):
    with pytest.raises(ConvergenceError, match=what):
        DirtyCurve.from_dirty_rates(rates, 2**30, samples=samples)


def test_none_of_few_sampled_pages_in_a_short_window_is_a_measurement():
    curve = DirtyCurve.from_dirty_rates([(0.1, 0), (0.5, 8 * MIB), (2.0, 10 * MIB)], 384 * MIB, samples=512)
    assert curve.pages(2.0) == pytest.approx(5120, rel=0.4)


def test_one_bitmap_is_no_law_that_is_known():
    """A window of each length, or two: what the next one would be is all but open; many say more than few."""
    draw = np.random.default_rng(3).random((64, 4096)) < 0.1
    bitmaps = np.packbits(draw, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    one, two, many = (DirtyCurve.from_bitmaps(bitmaps[:count], 0.1) for count in (1, 2, 64))
    assert (one.spread, one.upper.pages(0.1) > 2 * one.pages(0.1)) == (1.0, True)
    assert 0.5 < two.spread <= 1.0
    assert many.spread < 0.05


@pytest.mark.parametrize("rates", [[(1.0, 2e8), (2.0, 2e6)], [(1.0, 2e6), (2.0, 2e8)]])
def test_rates_that_fall_or_are_not_concave_are_refused_as_rates(rates):
    with pytest.raises(ConvergenceError) as caught:
        DirtyCurve.from_dirty_rates(rates, 2**30)
    assert caught.value.field == "rates[2.0]"


def test_a_single_window_says_little_of_the_others():
    curve = DirtyCurve.from_windows({1.0: 9000}, 98304)
    assert curve.spread > 0.1
    near, below, above = (curve.upper.pages(tau) / curve.lower.pages(tau) for tau in (1.0, 0.1, 8.0))
    assert 1.2 < 1.3 * near < min(below, above)


def test_the_law_is_known_by_many_windows_over_a_wide_range_and_by_the_write_rate():
    truth = DirtyCurve((DirtyClass(2000, 1e4), DirtyClass(30_000, 3000)), 98304)

    def seen(*taus, **more):
        return DirtyCurve.from_windows({tau: truth.pages(tau) for tau in taus}, 98304, **more)

    for known in (seen(0.1, 0.5, 1, 2), seen(*TAUS, write_rate=13_000)):
        assert (known.spread, known.others) == (0.0, ())
    for few in (seen(*TAUS), seen(0.1, 0.5, 2), seen(0.05, 0.1, 0.5, 1), seen(1, 2, write_rate=13_000)):
        assert few.others
        assert few.spread > 0
    # It tells what lies below the shortest window, though not above the longest.
    told, untold = seen(1, 2, write_rate=13_000), seen(1, 2)
    width = [c.upper.pages(0.1) / c.lower.pages(0.1) for c in (told, untold)]
    assert width[0] < 0.6 * width[1]


def test_two_exact_windows_make_no_sure_verdict_of_what_lies_below_them():
    # The hot pages are all written again in each slot, so it never ends; the windows of 1 and 2 s do not show it.
    truth = DirtyCurve((DirtyClass(3000, 1e6), DirtyClass(20_000, 4000)), 98304)
    curve = DirtyCurve.from_windows({tau: truth.pages(tau) for tau in (1.0, 2.0)}, 98304)
    guest, link, limits = Guest(98304 * 4096, 30_000, 4096, truth), Link(64 * MIB), Limits(0.15)
    assert forecast(guest, link, limits).verdict is Verdict.NEVER
    assert 0.1 < forecast(attrs.evolve(guest, curve=curve), link, limits).probability < 0.9
