"""Write laws: what they write, as text, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.convergence import DirtyClass, DirtyCurve
from novastate.convergence.simulation.laws import WriteLaw
from novastate.convergence.simulation.writers import Marks, writer_of
from novastate.errors import ConvergenceError

LAWS = {
    "uniform": WriteLaw.uniform(4096, 8000),
    "zipf": WriteLaw.zipf(4096, 8000, 0.99),
    "zipf-1": WriteLaw.zipf(4096, 8000, 1.0),
    "hotcold": WriteLaw.hotcold(4096, 8000, 0.1, 0.9),
    "sequential": WriteLaw.sequential(4096, 8000),
    "two parts": WriteLaw.uniform(3000, 900) + WriteLaw.sequential(1000, 300),
    "background": WriteLaw.uniform(3000, 900).with_background(),
}


def drawn(law, seconds, rounds=40, steps=1):
    """The mean number of distinct pages that writers of *law* write in a window."""
    writer = writer_of(law, 100, 7)
    counts = []
    for _ in range(rounds):
        written = np.zeros(200, dtype=np.uint64)
        for _ in range(steps):
            writer.write(written, seconds / steps)
        writer.flush(Marks(written, written[:0], np.zeros(0), 18))
        counts.append(int(np.unpackbits(written.view(np.uint8)).sum()))
    return sum(counts) / len(counts)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("seconds", [0.05, 0.4, 3.0])
def test_simulated_writes_follow_the_curve_of_the_law(name, seconds):
    assert drawn(LAWS[name], seconds) == pytest.approx(LAWS[name].written(seconds), rel=0.02, abs=2)


@pytest.mark.parametrize("name", LAWS)
def test_a_window_drawn_in_steps_is_the_window(name):
    assert drawn(LAWS[name], 0.8, steps=8) == pytest.approx(LAWS[name].written(0.8), rel=0.02, abs=2)


@pytest.mark.parametrize("name", ["uniform", "zipf", "zipf-1", "hotcold"])
@pytest.mark.parametrize("seconds", [0.05, 0.8, 4.0])
@pytest.mark.parametrize("until", [False, True])
def test_what_is_written_before_its_part_is_watched_is_marked_apart(name, seconds, until):
    """Each part of 64 pages is watched from, or until, a quarter, a half or the end of the window."""
    law = LAWS[name]
    writer = writer_of(law, 100, 7)
    armed = np.resize([1.0, 2.0, 4.0], 200)
    expected = {False: (0.75, 0.5, 0.0), True: (0.25, 0.5, 1.0)}[until]
    counts = np.zeros((2, 3))
    for _ in range(60):
        written, early = np.zeros((2, 200), dtype=np.uint64)
        for _ in range(4):
            writer.write(written, seconds / 4)
        assert not written.any()
        writer.flush(Marks(written, early, armed, 6, until))
        assert not (written & early).any() or seconds < 1  # of pages with few writes some come before, some after
        for row, words in enumerate((written, early & ~written)):
            found = np.unpackbits(words.view(np.uint8)).reshape(200, 64).sum(axis=1)
            counts[row] += [found[at::3].sum() / 60 for at in range(3)]
    shares = np.array([law.written(seconds * share) for share in expected]) / 3
    assert counts[0] == pytest.approx(shares, rel=0.04, abs=4)
    assert counts.sum(axis=0) == pytest.approx(np.full(3, law.written(seconds) / 3), rel=0.04, abs=4)


def test_many_writes_a_page_are_drawn_as_pages():
    law = WriteLaw.uniform(500, 5000)
    assert drawn(law, 0.3) == pytest.approx(law.written(0.3), rel=0.02)
    law = WriteLaw.zipf(500, 5000, 0.8)
    assert drawn(law, 1.0) == pytest.approx(law.written(1.0), rel=0.02)


def test_an_idle_law_writes_nothing():
    assert WriteLaw.idle().written(100) == 0
    assert WriteLaw.idle().pages == 0
    assert str(WriteLaw.idle()) == "idle"


def test_zipf_classes_keep_the_sum_over_single_pages():
    pages, rate, s = 20_000, 5000.0, 0.9
    weights = [k**-s for k in range(1, pages + 1)]
    total = sum(weights)
    for seconds in (0.1, 2.0, 60.0):
        exact = sum(-math.expm1(-rate * seconds * weight / total) for weight in weights)
        assert WriteLaw.zipf(pages, rate, s).written(seconds) == pytest.approx(exact, rel=5e-3)


@given(
    st.lists(
        st.one_of(
            st.builds(WriteLaw.uniform, st.integers(1, 10**7), st.floats(0, 1e8)),
            st.builds(WriteLaw.sequential, st.integers(1, 10**7), st.floats(0, 1e8)),
            st.builds(WriteLaw.zipf, st.integers(1, 10**4), st.floats(0, 1e8), st.floats(0, 3)),
            st.builds(WriteLaw.hotcold, st.integers(1, 10**7), st.floats(0, 1e8), st.floats(0, 1), st.floats(0, 1)),
        ),
        max_size=3,
    ),
    st.floats(0, 1),
)
def test_the_text_of_a_law_reads_back_as_the_law(laws, busy):
    law = WriteLaw(tuple(part for law in laws for part in law.parts), busy)
    assert WriteLaw.parse(str(law)) == law


@given(st.sampled_from(sorted(LAWS)), st.lists(st.floats(0, 50), min_size=3, max_size=3))
def test_a_curve_is_increasing_concave_and_bounded(name, points):
    a, b, c = sorted(points)
    law = LAWS[name]
    wa, wb, wc = (law.written(t) for t in (a, b, c))
    assert 0 <= wa <= wb <= wc <= law.pages + 1e-6
    if c - a > 1e-6:
        chord = wa + (wc - wa) * (b - a) / (c - a)
        assert wb >= chord - 1e-6 * law.pages


def test_sizes_with_units_are_bytes_and_numbers_without_are_pages():
    law = WriteLaw.parse("uniform wss=64MiB rate=51MiB/s")
    assert law == WriteLaw.uniform(16384, 51 * 256)
    assert WriteLaw.parse("uniform pages=16384 rate=13056") == law
    assert WriteLaw.parse("uniform wss=4096KiB rate=1e3") == WriteLaw.uniform(1024, 1000)
    assert WriteLaw.parse("sequential wss=1GB rate=1MB/s").pages == round(1e9 / 4096)


@pytest.mark.parametrize("name", LAWS)
def test_the_curve_of_a_law_is_the_law(name):
    law = LAWS[name]
    curve = law.curve(8192)
    for seconds in (0.02, 0.3, 4.0):
        assert curve.pages(seconds) == pytest.approx(law.written(seconds), rel=1e-9)
    assert curve.spread == 0
    back = WriteLaw.from_curve(curve)
    assert back.written(0.3) == pytest.approx(law.written(0.3), rel=0.01)


def test_a_law_of_many_parts_has_a_curve_all_the_same():
    law = WriteLaw(tuple(part for k in range(60) for part in WriteLaw.uniform(10 + k, 10 * 1.1**k).parts))
    law += WriteLaw.sequential(50, 20)
    for seconds in (0.1, 1.0, 10.0):
        assert law.curve(10**5).pages(seconds) == pytest.approx(law.written(seconds), rel=0.01)


def test_a_curve_needs_the_pages_that_are_written():
    with pytest.raises(ConvergenceError, match="page_count"):
        LAWS["uniform"].curve(4095)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: WriteLaw.uniform(0, 5), "pages"),
        (lambda: WriteLaw.uniform(-1, 5), "pages"),
        (lambda: WriteLaw.uniform(5, -1), "rate"),
        (lambda: WriteLaw.uniform(5, math.nan), "rate"),
        (lambda: WriteLaw.uniform(5, math.inf), "rate"),
        (lambda: WriteLaw.uniform(True, 1), "pages"),
        (lambda: WriteLaw.zipf(5, 1, -1), "s"),
        (lambda: WriteLaw.hotcold(5, 1, 1.5, 0.5), "hot_fraction"),
        (lambda: WriteLaw.hotcold(5, 1, 0.5, -0.5), "hot_weight"),
        (lambda: WriteLaw(busy=1.1), "busy"),
        (lambda: WriteLaw.uniform(5, 1).written(-1), "seconds"),
        (lambda: WriteLaw.uniform(5, 1).written(math.nan), "seconds"),
    ],
)
def test_impossible_numbers_are_refused_by_name(make, field):
    with pytest.raises(ConvergenceError) as refused:
        make()
    assert refused.value.field == field


@pytest.mark.parametrize(
    "text",
    [
        "",
        "uniform",
        "uniform pages=5",
        "unifrom pages=5 rate=1",
        "uniform pages=5 rate=x",
        "uniform pages=5 rate=1 s=2",
        "uniform pages=5 rate=1 +",
        "uniform pages rate=1",
        "uniform pages=5 rate=1.2.3",
        "uniform pages=5 rate=1ZiB",
        "idle pages=3",
        "uniform pages=-5 rate=1",
    ],
)
def test_text_that_is_no_law_is_refused(text):
    with pytest.raises(ConvergenceError):
        WriteLaw.parse(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("uniform pages=0 rate=1", "pages: must be 1 or more"),
        ("uniform pages=1e30 rate=1", "pages: must be at most"),
        ("uniform pages=1 rate=1e300", "rate: must be at most"),
        ("uniform pages=1 rate=1 rate=2", "two values of rate"),
        ("uniform pages=1 wss=4KiB rate=1", "two values of pages"),
        ("idle rate=1", "idle takes nothing"),
        ("idle busy=0.5 pages=1", "idle takes nothing"),
    ],
)
def test_a_text_that_says_too_much_or_too_little_is_refused(text, problem):
    with pytest.raises(ConvergenceError, match=problem):
        WriteLaw.parse(text)


def test_idle_may_be_busy():
    assert WriteLaw.parse("idle busy=0.5") == WriteLaw((), 0.5)


@given(st.lists(st.tuples(st.floats(0.001, 40), st.floats(0, 100), st.booleans()), min_size=1, max_size=8))
def test_a_law_from_a_curve_fits_the_guest_and_is_right_to_half_a_page_a_class(rows):
    classes = tuple(DirtyClass(size, rate, order) for size, rate, order in rows)
    curve = DirtyCurve(classes, math.ceil(sum(size for size, _, _ in rows)))
    law = WriteLaw.from_curve(curve, 0.3)
    assert law.busy == 0.3
    assert law.pages <= curve.page_count
    written = sum(row.size for row in classes if row.rate > 0)
    assert law.pages == pytest.approx(written, abs=0.5 * len(rows))


def test_four_classes_of_eleven_pages_and_a_half_are_forty_six_pages():
    curve = DirtyCurve(tuple(DirtyClass(11.5, 1.0) for _ in range(4)), 46)
    assert WriteLaw.from_curve(curve).pages == 46
