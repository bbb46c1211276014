"""Laws that change over time: phases and replayed traces."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.convergence.simulation.laws import WriteLaw
from novastate.convergence.simulation.timed import PhasedLaw, TraceLaw
from novastate.convergence.simulation.writers import Marks, writer_of
from novastate.errors import ConvergenceError

TWO = PhasedLaw([(2, WriteLaw.idle()), (0.5, WriteLaw.uniform(100, 1e6))])


def written(writer, seconds):
    words = np.zeros(64, dtype=np.uint64)
    writer.write(words, seconds)
    writer.flush(Marks(words, words[:0], np.zeros(0), 18))
    return set(np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist())


def test_phases_follow_one_another_over_and_over():
    writer = writer_of(TWO, 10, 1)
    seen = [len(written(writer, 0.25)) for _ in range(25)]
    assert seen == [0] * 8 + [100] * 2 + [0] * 8 + [100] * 2 + [0] * 5


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=4), st.floats(0, 1e4))
def test_all_time_is_spent_in_phases(lengths, now):
    law = PhasedLaw([(seconds, WriteLaw.idle()) for seconds in lengths])
    assert math.fsum(law.spent(at, now) for at in range(len(lengths))) == pytest.approx(now, abs=1e-6)


def test_phases_write_the_same_memory():
    law = PhasedLaw([(1, WriteLaw.hotcold(2000, 300, 0.1, 1.0)), (1, WriteLaw.hotcold(2000, 3000, 0.1, 1.0))])
    writer = writer_of(law, 0, 5)
    slow, fast = written(writer, 1), written(writer, 1)
    assert len(fast) > 190
    assert slow <= fast | written(writer, 2)
    assert law.pages == 2000
    assert law.rate == 1650


@given(
    st.lists(
        st.tuples(st.floats(1e-3, 1e6), st.sampled_from([WriteLaw.idle(), WriteLaw.zipf(9, 2.5), WriteLaw((), 0.5)])),
        min_size=1,
        max_size=4,
    )
)
def test_the_text_of_a_phased_law_reads_back_as_the_law(phases):
    law = PhasedLaw(phases)
    assert PhasedLaw.parse(str(law)) == law


@pytest.mark.parametrize("text", ["", "1", "x: idle", "1: idle | ", "1: nonsense", "nan: idle", "0: idle", "1e9: idle"])
def test_a_text_that_is_no_phased_law_is_refused(text):
    with pytest.raises(ConvergenceError):
        PhasedLaw.parse(text)


TRACE = TraceLaw([5, 7, 5, 9], [0.0, 1.0, 1.5, 2.5], period=3.0)


def test_a_trace_is_replayed_at_its_times():
    writer = writer_of(TRACE, 100, 1)
    assert [written(writer, seconds) for seconds in (0.5, 1.0, 1.0, 1.0, 1.0)] == [{5}, {7}, {5}, {9, 5}, {7}]
    assert written(writer, 30) == {5, 7, 9}


def test_a_trace_without_a_period_ends():
    writer = writer_of(TraceLaw([1, 2], [0.0, 1.0]), 0, 1)
    assert [written(writer, 5), written(writer, 5)] == [{1, 2}, set()]
    assert TraceLaw([], []).pages == 0
    assert TRACE.pages == 10


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: TraceLaw([1, 2], [0.0]), "times"),
        (lambda: TraceLaw([1, 2], [1.0, 0.5]), "times"),
        (lambda: TraceLaw([1], [math.nan]), "times"),
        (lambda: TraceLaw([1], [-1.0]), "times"),
        (lambda: TraceLaw([1], [math.inf]), "times"),
        (lambda: TraceLaw([-1], [1.0]), "pages"),
        (lambda: TraceLaw([2**40], [1.0]), "pages"),
        (lambda: TraceLaw([0.5], [1.0]), "pages"),
        (lambda: TraceLaw([1], [1.0], period=1.0), "period"),
        (lambda: TraceLaw([1], [1.0], period=math.nan), "period"),
        (lambda: TraceLaw([1], [1.0], busy=2), "busy"),
        (lambda: PhasedLaw([]), "phases"),
        (lambda: PhasedLaw([(math.nan, WriteLaw.idle())]), "phases.seconds"),
        (lambda: PhasedLaw([(1, "idle")]), "phases.law"),
    ],
)
def test_impossible_laws_are_refused_by_name(make, field):
    with pytest.raises(ConvergenceError) as refused:
        make()
    assert refused.value.field == field
