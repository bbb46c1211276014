"""A forecast has a verdict for every guest there can be, and moves the way the world does."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate._native import NATIVE
from novastate.convergence import DirtyClass, DirtyCurve, Guest, Limits, Link, Rules, Verdict, forecast
from novastate.errors import ConvergenceError

MIB = 1 << 20
UNIFORM = {0.25: 2956, 0.5: 5379, 1.0: 9003, 2.0: 13055, 4.0: 15674}


def guest(factor=1.0, pages=98434, zero=32079, **more):
    curve = DirtyCurve.from_windows(UNIFORM, page_count=pages)
    rows = tuple(DirtyClass(row.size, row.rate * factor) for row in curve.classes)
    return Guest(pages * 4096, zero, 4096, DirtyCurve(rows, pages), **more)


SLOW = Link(limit=64 * MIB)


@st.composite
def any_guest(draw):
    pages = draw(st.integers(1, 2**26))
    rows = []
    room = float(pages)
    for _ in range(draw(st.integers(0, 5))):
        size = draw(st.floats(0.001, 0.9)) * room
        rows.append(DirtyClass(size, size * 10 ** draw(st.floats(-4, 3)), draw(st.booleans())))
        room -= size
    return Guest(
        memory=pages * 4096,
        zero_pages=draw(st.floats(0, 1)) * pages,
        page_size=4096,
        curve=DirtyCurve(tuple(rows), pages, draw(st.floats(0, 1))),
        busy=draw(st.floats(0.01, 1)),
        zero_error=draw(st.floats(0, 1)) * pages,
    )


@settings(max_examples=120 if NATIVE else 25, deadline=None)
@given(
    any_guest(),
    st.sampled_from([None, 0, 1e3, 1e7, 1e9, 1e12]),
    st.sampled_from([0.0, 0.03, 0.3, 100.0]),
    st.sampled_from([None, 1.0, 800.0]),
    st.booleans(),
    st.booleans(),
)
def test_every_guest_gets_a_verdict_whose_numbers_are_numbers(who, limit, downtime, timeout, throttle, post_copy):
    rules = Rules.qemu("10.0", auto_converge=throttle, post_copy=post_copy)
    result = forecast(who, Link(limit), Limits(downtime, timeout), rules)
    assert 0.02 <= result.probability <= 0.98
    assert result.reason.endswith(".")
    assert "nan" not in result.reason
    numbers = (result.total, result.downtime, result.transferred)
    if result.verdict is Verdict.CONVERGES:
        assert all(number is not None and math.isfinite(number) and number >= 0 for number in numbers)
        low, high = result.total_interval
        assert 0 <= low <= result.total <= high < math.inf
        assert timeout is None or result.total <= timeout
    else:
        assert numbers == (None, None, None)
        assert result.total_interval is None
        assert (result.unlimited_total is None) is (result.verdict is Verdict.NEVER)
    assert all(math.isfinite(row.remaining) for row in result.rounds)


def test_a_guest_that_writes_more_than_the_link_carries_never_converges():
    result = forecast(guest(4.0), SLOW, Limits(downtime=0.05))
    assert result.verdict is Verdict.NEVER
    assert result.probability < 0.1
    assert "MiB" in result.reason


def test_what_would_take_too_long_times_out_and_says_how_long():
    result = forecast(guest(), SLOW, Limits(downtime=0.3, timeout=5))
    assert result.verdict is Verdict.TIMES_OUT
    assert result.unlimited_total == pytest.approx(5.7, abs=0.2)
    assert "given up after 5 s" in result.reason


def test_a_guest_at_the_boundary_is_a_probability():
    # The write rate at which the verdict flips lies between these two, 10 % apart on either side.
    rates = [0.7 + 0.02 * i for i in range(60)]
    verdicts = [forecast(guest(rate), SLOW).verdict is Verdict.CONVERGES for rate in rates]
    flips = verdicts.index(False)
    at = forecast(guest(rates[flips - 1]), SLOW)
    assert 0.1 < at.probability < 0.9
    low, high = at.total_interval
    assert high - low > 0.2 * at.total
    assert "likely to complete" in at.reason


@settings(max_examples=25, deadline=None)
@given(st.floats(0.05, 1.0), st.floats(1.05, 2.0))
def test_a_faster_link_never_makes_it_worse(factor, more):
    slow = forecast(guest(factor), SLOW)
    fast = forecast(guest(factor), Link(limit=64 * MIB * more))
    if slow.verdict is Verdict.CONVERGES:
        assert fast.verdict is Verdict.CONVERGES
        # A round more or less costs a slot or two.
        assert fast.total <= slow.total + 0.3


def test_the_pause_knows_the_line_rate_not_the_limit():
    result = forecast(guest(), SLOW, Limits(downtime=0.3))
    assert result.downtime < 0.05  # remaining / limit would be 0.3


def test_zero_pages_cost_next_to_nothing():
    empty = forecast(guest(0.01, zero=90_000), SLOW)
    full = forecast(guest(0.01, zero=0), SLOW)
    assert full.transferred > 5 * empty.transferred
    assert full.total > 3 * empty.total


def test_throttling_brings_a_busy_writer_to_the_end_and_leaves_an_idle_one_alone():
    rules = Rules.qemu("10.0", auto_converge=True)
    busy = forecast(guest(3.0, busy=1.0), SLOW, Limits(0.3), rules)
    paced = forecast(guest(3.0, busy=0.06), SLOW, Limits(0.3), rules)
    assert busy.verdict is Verdict.CONVERGES
    assert 20 <= busy.throttle < 99
    assert paced.throttle == 99  # nothing less touches a guest that sleeps anyway
    assert forecast(guest(3.0), SLOW).verdict is Verdict.NEVER


@pytest.mark.parametrize("pages", [60, 100, 300])
def test_post_copy_ends_a_guest_whose_rounds_all_fit_into_one_slot(pages):
    small = Guest(10_000 * 4096, 0, 4096, DirtyCurve((DirtyClass(pages, 2e6),), 10_000))
    result = forecast(small, Link(28e6), Limits(0.006), Rules.qemu("10.0", post_copy=True))
    assert result.verdict is Verdict.CONVERGES
    assert result.post_copied


@pytest.mark.parametrize("after", [5, 20, 300])
def test_post_copy_is_waited_for_by_a_guest_that_goes_round(after):
    result = forecast(guest(4.0), SLOW, Limits(0.05), Rules.qemu("10.0", post_copy=True, post_copy_after=after))
    assert result.verdict is Verdict.CONVERGES
    assert result.post_copied
    assert result.syncs > after


def test_post_copy_ends_what_pre_copy_never_would():
    result = forecast(guest(4.0), SLOW, Limits(0.05), Rules.qemu("10.0", post_copy=True))
    assert result.verdict is Verdict.CONVERGES
    assert result.post_copied
    assert "post-copy" in result.reason
    assert result.downtime < 0.01


def test_xbzrle_makes_pages_that_are_sent_again_small():
    limits = Limits(downtime=0.1)
    plain = forecast(guest(1.2), SLOW, limits)
    small = forecast(guest(1.2), SLOW, limits, Rules.qemu("10.0", xbzrle_cache=128 * MIB))
    assert small.verdict is Verdict.CONVERGES
    assert plain.verdict is Verdict.NEVER or small.total < plain.total


def test_a_switchover_bandwidth_of_0_is_qemus_way_to_say_that_it_is_measured():
    assert (
        Rules.qemu("7.2", switchover_bandwidth=0) == Rules.qemu("7.2", switchover_bandwidth=None) == Rules.qemu("7.2")
    )
    for none in (False, -0.5):
        with pytest.raises(ConvergenceError, match="switchover_bandwidth"):
            Rules.qemu(switchover_bandwidth=none)


def test_an_announced_switchover_bandwidth_replaces_the_measured_one():
    rules = Rules.qemu("10.0", switchover_bandwidth=256 * MIB)
    assert forecast(guest(), SLOW, Limits(0.3), rules).syncs < forecast(guest(), SLOW, Limits(0.3)).syncs


def test_a_writer_in_sequence_that_keeps_up_with_the_link_never_converges():
    curve = DirtyCurve((DirtyClass(16384, 17_000, sequential=True),), 98434)
    result = forecast(Guest(98434 * 4096, 32000, 4096, curve), SLOW, Limits(0.3))
    assert result.verdict is Verdict.NEVER


def test_rounds_tell_the_story_of_the_total():
    result = forecast(guest(), SLOW, Limits(0.3))
    assert len(result.rounds) == result.syncs - 2
    starts = [row.start for row in result.rounds]
    assert starts == sorted(starts)
    assert result.rounds[-1].remaining * 4096 < 0.3 * 68.3e6
    assert sum(row.sent for row in result.rounds) <= result.transferred


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: guest(zero=math.nan), "zero_pages"),
        (lambda: guest(zero=98435), "zero_pages"),
        (lambda: guest(busy=-0.1), "busy"),
        (lambda: Guest(4096, 0, 4096, DirtyCurve((), 2)), "curve"),
        (lambda: Guest(-1, 0, 4096, DirtyCurve((), 0)), "memory"),
        (lambda: Guest(4096, 0, 1000, DirtyCurve((), 0)), "page_size"),
        (lambda: Link(limit=-1), "limit"),
        (lambda: Link(limit=math.nan), "limit"),
        (lambda: Link(limit=1, line_rate=0), "line_rate"),
        (lambda: Limits(downtime=math.nan), "downtime"),
        (lambda: Limits(timeout=0), "timeout"),
        (lambda: Rules.qemu("6.2"), "version"),
        (lambda: Rules.qemu("new"), "version"),
        (lambda: Rules.qemu("8.1", switchover_bandwidth=1e9), "switchover_bandwidth"),
        (lambda: Rules.qemu(initial=0), "initial"),
        (lambda: Rules.qemu(device=math.nan), "device"),
        (lambda: Rules.qemu(speed=1), "speed"),
        (lambda: DirtyCurve((DirtyClass(5, math.inf),), 10), "rate"),
        (lambda: DirtyCurve((DirtyClass(50, 1),), 10), "classes"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, field):
    with pytest.raises(ConvergenceError, match=field) as caught:
        make()
    assert field in caught.value.field


def test_an_interval_ends_where_the_timeout_does():
    result = forecast(guest(0.95), SLOW, Limits(downtime=0.3, timeout=9))
    assert result.verdict is Verdict.CONVERGES
    assert result.total_interval[1] <= 9
    assert result.otherwise is None
    close = forecast(guest(0.95), SLOW, Limits(downtime=0.3, timeout=5.7))
    assert close.total_interval[1] == 5.7
    assert close.otherwise == "not before the timeout of 5.7 s"
    assert ", or not before the timeout of 5.7 s" in close.reason


def test_an_interval_without_an_end_says_never_and_one_with_an_end_nothing():
    rates = [0.7 + 0.02 * i for i in range(60)]
    found = [forecast(guest(rate), SLOW) for rate in rates]
    last = [result for result in found if result.verdict is Verdict.CONVERGES][-1]
    assert last.otherwise == "never"
    assert ", or never (close:" in last.reason
    assert forecast(guest(0.3), SLOW, Limits(0.3, 800)).otherwise is None
    assert forecast(guest(4.0), SLOW, Limits(0.05)).otherwise is None


def test_the_reason_counts_the_rounds_of_the_table():
    result = forecast(guest(), SLOW, Limits(0.3))
    assert f"after {len(result.rounds)} rounds" in result.reason


def test_what_the_daemons_take_widens_the_interval_as_it_varies():
    curve = DirtyCurve.from_windows({0.25: 2956, 0.5: 5379, 1.0: 9003, 2.0: 13055}, page_count=98304)
    guest = Guest(memory=384 * 2**20, zero_pages=32079, page_size=4096, curve=curve)
    steady = forecast(guest, Link(limit=64 * 2**20), rules=Rules.qemu("10.0", begin=0.5))
    varied = forecast(guest, Link(limit=64 * 2**20), rules=Rules.qemu("10.0", begin=0.5, begin_error=0.4))
    assert varied.total == steady.total
    assert varied.total_interval[0] == pytest.approx(steady.total_interval[0] + 0.03 - 0.66)
    assert varied.total_interval[1] == pytest.approx(steady.total_interval[1] - 0.16 + 0.66)
