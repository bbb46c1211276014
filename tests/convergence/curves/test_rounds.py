"""Curves of a running migration: what its syncs found."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.convergence import DirtyClass, DirtyCurve
from novastate.convergence.curves.rounds import found_pages, new_pages, round_points
from novastate.errors import ConvergenceError

pages = st.integers(0, 10**6)


@given(remaining=pages, normal=pages, zero=pages, new=pages, before=st.tuples(pages, pages))
def test_new_pages_are_what_remains_more_and_what_was_sent(remaining, normal, zero, new, before):
    sent, blank = before
    start = {
        "memory_remaining": (remaining + normal + zero) * 4096,
        "memory_processed": sent * 4104 + blank * 9,
        "memory_constant": blank,
    }
    after = {
        "memory_remaining": (remaining + new) * 4096,
        "memory_processed": (sent + normal) * 4104 + (blank + zero) * 9,
        "memory_constant": blank + zero,
    }
    assert new_pages(start, after) == pytest.approx(new, abs=1e-6)


@given(remaining=st.integers(-(10**6), 10**6), normal=pages, zero=pages, wire=st.floats(4096, 8192))
def test_a_page_may_take_more_on_the_wire(remaining, normal, zero, wire):
    found = found_pages(remaining * 4096, normal * wire + 9 * zero, zero, 4096, wire)
    assert found == pytest.approx(max(0, remaining + normal + zero), abs=1e-6)


def test_what_was_unsent_already_is_made_up_for():
    law = DirtyClass(20_000, 8000)
    rounds = [(t, law.pages(t) * (1 - u / 50_000), u) for t, u in ((3.0, 0), (1.2, 4000), (0.5, 10_000), (0.2, 25_000))]
    assert [pages for _, pages, _ in round_points(rounds, 50_000)] == pytest.approx(
        [law.pages(t) for t, _, _ in rounds]
    )
    curve = DirtyCurve.from_rounds(rounds, 50_000)
    for tau in (0.2, 1.0, 3.0):
        assert curve.pages(tau) == pytest.approx(law.pages(tau), rel=0.1)
    assert len(curve.observations) == 4


def test_a_sync_at_which_all_was_unsent_says_nothing():
    assert len(round_points([(1.0, 0, 100), (1.0, 50, 0)], 100)) == 1
    with pytest.raises(ConvergenceError, match="rounds"):
        round_points([(1.0, 0, 100)], 100)


@pytest.mark.parametrize(
    ("rounds", "field"),
    [
        ([], "rounds"),
        ([(0, 1, 0)], r"rounds\[0\]\[0\]"),
        ([(1, 1, 0), (1, -1, 0)], r"rounds\[1\]\[1\]"),
        ([(1, math.nan, 0)], r"rounds\[0\]\[1\]"),
        ([(1, 60, 50)], r"rounds\[0\]\[1\]"),
        ([(1, 0, 101)], r"rounds\[0\]\[2\]"),
    ],
)
def test_rounds_that_are_none_are_refused_by_name(rounds, field):
    with pytest.raises(ConvergenceError, match=field):
        DirtyCurve.from_rounds(rounds, 100)


@pytest.mark.parametrize("field", ["memory_remaining", "memory_processed", "memory_constant"])
@pytest.mark.parametrize("value", [None, -1, math.nan, "x"])
def test_statistics_that_are_none_are_refused_by_name(field, value):
    good = {"memory_remaining": 0, "memory_processed": 8208, "memory_constant": 1}
    bad = {name: number for name, number in good.items() if name != field} | ({} if value is None else {field: value})
    with pytest.raises(ConvergenceError, match=field):
        new_pages(good, bad)


def test_statistics_in_the_wrong_order_are_refused():
    early = {"memory_remaining": 0, "memory_processed": 0, "memory_constant": 0}
    late = {"memory_remaining": 0, "memory_processed": 4104, "memory_constant": 1}
    for field in ("memory_processed", "memory_constant"):
        with pytest.raises(ConvergenceError, match=field):
            new_pages(late, {**late, field: early[field]})
