"""Footprints of a trace are those of brute force, to the last bit, and the curve through them stays near."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate.convergence import DirtyCurve
from novastate.convergence.curves.footprints import Footprint
from novastate.convergence.curves.traces import Trace, footprint, page_set
from novastate.errors import ConvergenceError


def brute(pages, slots, count, window):
    """The mean over all places of the window, by definition."""
    found = [
        len({p for p, s in zip(pages, slots, strict=True) if at <= s < at + window}) for at in range(count - window + 1)
    ]
    return sum(found) / len(found)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=40), st.booleans())
def test_footprints_are_those_of_brute_force(writes, timed):
    pages = [page for page, _ in writes]
    times = np.cumsum([0, *(step for _, step in writes[1:])]) + 17
    slots = (times - 17).tolist() if timed else list(range(len(pages)))
    count = slots[-1] + 1
    windows = list(range(count, 0, -1))
    found = footprint(pages, times if timed else None, page_count=10, windows=windows)
    assert found == [brute(pages, slots, count, w) for w in windows]


def test_very_many_pages_that_are_hardly_written_need_no_table_of_them():
    pages = np.array([2**40 - 1, 5, 2**39, 5], np.uint64)
    assert footprint(pages, page_count=2**40, windows=[1, 3, 4]) == [1.0, 2.5, 3.0]
    curve = DirtyCurve.from_trace(pages, [0.0, 0.1, 0.2, 0.3], 2**40)
    assert curve.page_count == 2**40
    with pytest.raises(ConvergenceError, match=r"pages\[0\]"):
        footprint(pages, page_count=2**40 - 1, windows=[1])


def test_traces_of_no_write_and_of_one():
    assert footprint([], page_count=4, windows=[]) == []
    assert footprint([3], page_count=4, windows=[1]) == [1.0]
    idle = DirtyCurve.from_trace([], [], 4, start=0, end=10)
    assert idle.pages(1.0) == 0
    once = DirtyCurve.from_trace([0], [5.0], 1, start=0, end=10)
    assert 0.05 < once.pages(1.0) < 0.2


def test_a_long_record_of_few_writes_takes_no_more_memory_than_a_short_one():
    def most(end):
        tracemalloc.start()
        DirtyCurve.from_trace([1, 2, 3], [0.0, 1.0, 2.0], 10, end=end, resolution=1e-4)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    most(4.0)
    assert most(20_000.0) < 2 * most(4.0) + 100_000


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40), st.integers(0, 100))
def test_windows_are_counted_as_brute_force_counts_them(writes, more):
    pages, slots = [page for page, _ in writes], np.cumsum([step for _, step in writes])
    trace = Trace.made(pages, slots, 10, start=0, end=slots[-1] + more, resolution=1)
    for w, (counts, times) in enumerate(trace.separate(range(1, trace.slots + 1)), 1):
        first = range(0, trace.slots - w + 1, w)
        found = [len({p for p, s in zip(pages, slots, strict=True) if at <= s < at + w}) for at in first]
        assert np.repeat(counts, times).tolist() == sorted(found)
        by_times, one_by_one = Footprint(1.0, 3.0, counts, times), Footprint(1.0, 3.0, found)
        assert by_times.error == pytest.approx(one_by_one.error)
        assert by_times.quantile(0.05) == pytest.approx(one_by_one.quantile(0.05))
        assert by_times.quantile(0.95) == pytest.approx(one_by_one.quantile(0.95))


def test_a_record_of_a_moment_says_little_of_a_second_and_one_without_length_nothing():
    brief = DirtyCurve.from_trace([1, 2], [0.0, 1e-6], 100_000)
    assert brief.spread > 0.5
    assert brief.upper.pages(1.0) > 100 * max(1.0, brief.lower.pages(1.0))
    for writes in ([1], [1, 2, 3]):
        with pytest.raises(ConvergenceError, match="times: must"):
            DirtyCurve.from_trace(writes, [5.0] * len(writes), 10)
    few = DirtyCurve.from_trace([1, 2], [0.0, 1.0], 10, end=20)
    assert few.spread > 0.5


def poisson(classes, seconds, seed=0):
    """Writes of (size, rate, sequential), rates of all together a second."""
    rng = np.random.default_rng(seed)
    pages, times, base = [], [], 0
    for size, rate, ordered in classes:
        at = np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds)))
        pages.append(base + (np.arange(at.size) % size if ordered else rng.integers(0, size, at.size)))
        times.append(at)
        base += size
    order = np.argsort(np.concatenate(times))
    return np.concatenate(pages)[order], np.concatenate(times)[order], base


GUESTS = {
    "uniform": [(20_000, 4000, False)],
    "hot and cold": [(800, 9000, False), (30_000, 1500, False)],
    "three": [(100, 5000, False), (2000, 3000, False), (40_000, 1000, False)],
    "in order": [(16_000, 4000, True)],
}


@pytest.mark.parametrize("classes", GUESTS.values(), ids=GUESTS)
def test_the_curve_is_within_two_percent_of_the_exact_footprints(classes):
    pages, times, count = poisson(classes, 20)
    curve = DirtyCurve.from_trace(pages, times, count)
    taus = np.geomspace(0.002, 9, 12).round(3)
    exact = footprint(pages, times, page_count=count, windows=taus, resolution=0.001)
    for tau, pages_there in zip(taus.tolist(), exact, strict=True):
        assert curve.pages(tau) == pytest.approx(pages_there, rel=0.02), tau


def test_a_guest_with_phases_has_a_wide_band_and_a_steady_one_a_narrow_one():
    pages, times, count = poisson([(50_000, 4000, False)], 30)
    steady = DirtyCurve.from_trace(pages, times, count)
    # Half of the time nearly nothing is written: what came in three seconds comes in the first half of one.
    bunched = np.sort(np.where(times % 6 > 3, times - 2.5, times))
    phased = DirtyCurve.from_trace(pages, bunched, count)
    for curve in (steady, phased):
        assert curve.lower.pages(0.5) <= curve.pages(0.5) * 1.001
        assert curve.pages(0.5) <= curve.upper.pages(0.5) * 1.001
    width = [(c.upper.pages(0.5) - c.lower.pages(0.5)) / c.pages(0.5) for c in (steady, phased)]
    assert width[0] < 0.2
    assert width[1] > 3 * width[0]


def test_the_curve_remembers_what_it_was_made_from():
    pages, times, count = poisson([(1000, 500, False)], 10)
    curve = DirtyCurve.from_trace(pages, times, count)
    assert len(curve.observations) > 20
    for tau, seen, error in curve.observations:
        assert curve.pages(tau) == pytest.approx(seen, rel=0.05, abs=1)
        assert 0 <= error < count


def test_times_may_be_whole_nanoseconds():
    pages, times, count = poisson([(1000, 500, False)], 10)
    seconds = DirtyCurve.from_trace(pages, times, count)
    nanoseconds = DirtyCurve.from_trace(pages, (times * 1e9).astype(np.int64), count, unit=1e-9)
    assert nanoseconds.pages(1.0) == pytest.approx(seconds.pages(1.0), rel=1e-3)


BAD = [
    (([0], None, 4), {}, "times"),
    (([0], [1.0, 2.0], 4), {}, "times"),
    (([], [], 4), {}, "times"),
    (([[0]], [[1.0]], 4), {}, "pages"),
    (([0.5], [1.0], 4), {}, "pages"),
    ((["a"], [1.0], 4), {}, "pages"),
    (([4], [1.0], 4), {"end": 2}, r"pages\[0\]"),
    (([0, -1], [1.0, 2.0], 4), {}, r"pages\[1\]"),
    (([0, 1, 2], [1.0, 3.0, 2.0], 4), {"end": 9}, r"times\[2\]"),
    (([0, 1], [1.0, math.nan], 4), {"end": 9}, r"times\[1\]"),
    (([0, 1], [1.0, math.nan], 4), {}, "end|times"),
    (([0], [1.0], 4), {"start": 2}, "times"),
    (([0], [1.0], 4), {"unit": 0}, "unit"),
    (([0], [1.0], 4), {"end": 2, "resolution": 0}, "resolution"),
    (([0, 1], [0.0, 1e6], 4), {"resolution": 1e-6}, "resolution"),
    (([0], [1.0], -1), {}, "page_count"),
    (([0], [1.0], 0), {}, "page_count"),
    (([0], [1.0], 2**40 + 1), {}, "page_count"),
]


@pytest.mark.parametrize(("arguments", "options", "field"), BAD)
def test_traces_that_are_none_are_refused_by_name(arguments, options, field):
    with pytest.raises(ConvergenceError, match=field):
        DirtyCurve.from_trace(*arguments, **options)


@pytest.mark.parametrize("window", [0, 5, 1.5, -1, math.nan])
def test_windows_that_are_none_are_refused_by_name(window):
    with pytest.raises(ConvergenceError, match=r"windows\[1\]"):
        footprint([0, 1, 2, 3], page_count=4, windows=[1, window])


def test_a_page_set_is_the_same_again_and_as_big_as_its_share():
    first = page_set(200_000, 0.1, seed=3)
    assert first.tolist() == page_set(200_000, 0.1, seed=3).tolist()
    assert first.tolist() != page_set(200_000, 0.1, seed=4).tolist()
    assert first.size == pytest.approx(20_000, rel=0.05)
    assert set(page_set(100_000, 0.1, seed=3)) == {page for page in first if page < 100_000}
    assert page_set(70_000, 1.0).size == pytest.approx(70_000, abs=1)
    assert page_set(70_000, 0.0).size == page_set(0, 1.0).size == 0
    for bad in (
        {"page_count": 2**40, "share": 0.1},
        {"page_count": 1, "share": 1.1},
        {"page_count": 1, "share": 1, "seed": -1},
    ):
        with pytest.raises(ConvergenceError):
            page_set(**bad)
