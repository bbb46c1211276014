"""What post-copy does to the guest: as many faults as pages that are written before they come."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate.convergence import DirtyClass, DirtyCurve, Guest, Limits, Link, Rules, forecast
from novastate.convergence.postcopy import post_copy_of
from novastate.errors import ConvergenceError

MIB = 1 << 20
LINK = Link(limit=64 * MIB, line_rate=1.25e9)
SWITCHES = Rules.qemu("10.0", post_copy=True)


def guest(*classes, pages=100_000):
    return Guest(pages * 4096, 20_000, 4096, DirtyCurve(tuple(classes), pages), busy=0.5)


def cost(one, rules=SWITCHES, **more):
    return post_copy_of(forecast(one, LINK, Limits(downtime=0.01), rules), **more)


def test_where_it_does_not_come_to_the_switch_there_is_no_cost():
    idle = guest(DirtyClass(50, 10))
    assert not forecast(idle, LINK, Limits(downtime=0.01), SWITCHES).post_copied  # it converges at the very sync
    assert cost(idle) is None
    assert cost(guest(DirtyClass(30_000, 60_000)), Rules.qemu("10.0")) is None


def test_a_page_that_is_written_all_the_time_is_asked_for_and_one_that_is_not_hardly_ever():
    hot, cold = cost(guest(DirtyClass(20_000, 2e8))), cost(guest(DirtyClass(80_000, 20_000)))
    assert hot.faults == pytest.approx(hot.pages, rel=0.2)
    assert cold.faults < 0.1 * cold.pages
    assert hot.lasts == pytest.approx(hot.pages * 2 * 4104 / 1.25e9)
    assert hot.waited == pytest.approx(hot.faults * SWITCHES.fault(1.25e9))


def test_preemption_shortens_the_wait_and_a_huge_page_comes_whole():
    one = guest(DirtyClass(20_000, 2e6))
    plain = cost(one)
    preempt = cost(one, Rules.qemu("10.0", post_copy=True, post_copy_preempt=True))
    assert preempt.wait < 0.2 * plain.wait
    assert preempt.faults == plain.faults
    huge = cost(one, host_page=2 * MIB)
    assert huge.faults <= one.memory / (2 * MIB)
    assert huge.wait > plain.wait
    with pytest.raises(ConvergenceError, match="host_page"):
        cost(one, host_page=12345)


def test_a_writer_in_sequence_meets_half_of_what_it_would_reach():
    one = cost(guest(DirtyClass(40_000, 1e9, sequential=True)))
    assert 0 < one.faults <= 0.5 * one.pages


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(1, 20_000), st.floats(1e-3, 1e8), st.booleans()), max_size=4), st.integers(1, 5),
    st.sampled_from([4096, 2 * MIB]),
)  # fmt: skip
def test_every_cost_is_finite_and_no_more_faults_than_pages(classes, after, host_page):
    one = guest(*(DirtyClass(size, rate, sequential) for size, rate, sequential in classes))
    found = cost(one, Rules.qemu("10.0", post_copy=True, post_copy_after=after), host_page=host_page)
    if found is not None:
        values = (found.pause, found.pages, found.lasts, found.faults, found.wait, found.waited)
        assert all(math.isfinite(value) and value >= 0 for value in values)
        assert found.faults <= found.pages * (1 + 1e-9)
