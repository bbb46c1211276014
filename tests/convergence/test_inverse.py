"""The least that converges is what trying every step finds, and holds for every step above it."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate._native import NATIVE
from novastate.convergence import (
    DirtyClass,
    DirtyCurve,
    Guest,
    Limits,
    Link,
    Rules,
    Verdict,
    forecast,
    required_bandwidth,
    required_downtime,
    required_throttle,
)
from novastate.convergence.inverse import _geometric, throttling
from novastate.errors import ConvergenceError

MIB = 1 << 20
PAGES = 98434
STEP = 0.01 if NATIVE else 0.05
EXAMPLES = 30 if NATIVE else 6


def guest(rate=1.0, busy=1.0, **more):
    rows = (DirtyClass(15000, 13000 * rate), DirtyClass(60, 2400))
    return Guest(PAGES * 4096, 32079, 4096, DirtyCurve(rows, PAGES), busy=busy, **more)


IDLE = Guest(PAGES * 4096, 32079, 4096, DirtyCurve((), PAGES))


@st.composite
def guests(draw):
    rows = []
    room = 0.7 * PAGES
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.floats(0.001, 0.9)) * room
        rows.append(DirtyClass(size, size * 10 ** draw(st.floats(-3, 1.5)), draw(st.booleans())))
        room -= size
    zero = draw(st.floats(0, 1)) * PAGES
    curve = DirtyCurve(tuple(rows), PAGES, draw(st.sampled_from([0.0, 0.3])))
    return Guest(PAGES * 4096, zero, 4096, curve, busy=draw(st.sampled_from([0.06, 1.0])))


limits = st.builds(Limits, st.sampled_from([0.03, 0.3, 2.0]), st.sampled_from([None, 8.0, 60.0, 800.0]))


def scan(values, at):
    """By trying every value: the least of the highest stretch that converges, and the highest of it; or None."""
    good = [at(value).verdict is Verdict.CONVERGES for value in values]
    if True not in good:
        return None
    start = good.index(True)
    end = next((i for i in range(start, len(good)) if not good[i]), len(good))
    return values[end - 1], values[start]


def same(found, scanned):
    assert (found is None) == (scanned is None)
    if found is not None:
        assert (found.value, found.up_to) == pytest.approx(scanned, rel=1e-12)
        assert found.forecast.verdict is Verdict.CONVERGES


@settings(max_examples=EXAMPLES, deadline=None)
@given(guests(), limits, st.booleans())
def test_least_bandwidth_is_what_a_scan_finds(who, limit, throttle):
    rules = Rules.qemu("10.0", auto_converge=throttle)
    count = math.ceil(math.log(1.25e9 / MIB) / math.log(1 + STEP))
    values = [1.25e9 / (1 + STEP) ** k for k in range(count)] + [float(MIB)]
    found = required_bandwidth(who, limit, rules, resolution=STEP)
    same(found, scan(values, lambda value: forecast(who, Link(value), limit, rules)))
    if found is not None:
        assert found.gaps == (found.up_to != 1.25e9)
        assert found.forecast.link.limit == found.value


@settings(max_examples=EXAMPLES, deadline=None)
@given(guests(), st.sampled_from([2.0, 20.0, 200.0, None]), st.sampled_from([None, 20.0]))
def test_least_downtime_limit_is_what_a_scan_finds(who, mib, timeout):
    link = Link(mib and mib * MIB)
    found = required_downtime(who, link, timeout=timeout, resolution=0.05)
    count = math.ceil(math.log(2e6) / math.log(1.05))
    values = [math.ceil(2e6 / 1.05**k - 1e-6) / 1000 for k in range(count)] + [0.001]
    same(found, scan(values, lambda value: forecast(who, link, Limits(value, timeout))))
    if found is not None:
        assert found.forecast.limits == Limits(found.value, timeout)
        assert round(found.value * 1000) == pytest.approx(found.value * 1000)


@settings(max_examples=15 if NATIVE else 1, deadline=None)
@given(guests(), st.sampled_from([10.0, 40.0, 120.0]), limits)
def test_least_throttle_is_what_a_scan_finds(who, mib, limit):
    link = Link(mib * MIB)
    found = required_throttle(who, link, limit)
    if forecast(who, link, limit).verdict is Verdict.CONVERGES:
        assert found.value == 0
        assert not found.forecast.rules.auto_converge
        return
    values = [percent / 100 for percent in range(99, 19, -1)]  # from the first step on
    same(found, scan(values, lambda most: forecast(who, link, limit, Rules.qemu(auto_converge=True, most=most))))


@settings(max_examples=EXAMPLES, deadline=None)
@given(guests(), st.floats(0.1, 10))
def test_who_writes_faster_needs_no_less_bandwidth(who, factor):
    """Of writers all over their pages; one that goes through them in order may meet the scan elsewhere, and need less."""
    slower, faster = (
        Guest(
            who.memory,
            who.zero_pages,
            4096,
            DirtyCurve(tuple(DirtyClass(row.size, row.rate * more) for row in who.curve.classes), PAGES),
            busy=who.busy,
        )
        for more in (1.0, 1.0 + factor)
    )
    slow, fast = (required_bandwidth(one, Limits(0.3), resolution=0.05) for one in (slower, faster))
    if slow is None:
        assert fast is None
    elif fast is not None:
        assert fast.value >= slow.value * 0.95  # a step of the grid


def test_likely_needs_more_than_just_so():
    step = 0.01 if NATIVE else 0.05
    just = required_bandwidth(guest(), resolution=step)
    likely = required_bandwidth(guest(), probability=0.97, resolution=step)
    assert just.probability < 0.97 <= likely.probability
    assert just.value < likely.value < 2 * just.value
    link = Link(20 * MIB)
    least, longer = (required_downtime(guest(), link, probability=p, resolution=step) for p in (None, 0.97))
    assert least.value < longer.value


def test_likely_needs_more_throttle_than_just_so():
    link, rules = Link(20 * MIB), Rules.qemu(increment=0.05)
    least, more = (required_throttle(guest(), link, rules=rules, probability=p) for p in (None, 0.9))
    assert 0.2 <= least.value <= more.value  # QEMU takes the first step whole
    assert more.probability >= 0.9


def test_an_idle_guest_needs_the_least_there_is():
    assert required_bandwidth(IDLE, resolution=0.1).value == MIB
    assert required_downtime(IDLE, Link(64 * MIB), resolution=0.1).value == 0.001
    assert required_throttle(IDLE, Link(64 * MIB)).value == 0


def test_what_no_line_carries_needs_none():
    wild = Guest(PAGES * 4096, 0, 4096, DirtyCurve((DirtyClass(60000, 1e8),), PAGES))
    assert required_bandwidth(wild, Limits(0.03), resolution=1.0) is None
    small = Guest(2000 * 4096, 0, 4096, DirtyCurve((DirtyClass(1500, 1e8),), 2000))
    assert required_throttle(small, Link(64 * MIB), Limits(0.001)) is None
    assert required_bandwidth(guest(), Limits(0.3, timeout=0.5), resolution=0.2) is None


def test_auto_converge_is_turned_on_as_the_version_does_it():
    for version in ("7.2", "8.2", "9.2", "10.0"):
        for more in ({}, {"xbzrle_cache": 64 * MIB}):
            rules = Rules.qemu(version, **more)
            assert throttling(rules) == Rules.qemu(version, auto_converge=True, **more)
            assert throttling(throttling(rules)) == throttling(rules)
    limited = Rules.qemu(dirty_limit=1e9, accelerator="kvm-dirty-ring")
    assert throttling(limited) is throttling(Rules.cloud_hypervisor()) is None
    assert required_throttle(guest(99.0), Link(MIB), Limits(0.05), limited) is None
    assert throttling(Rules("of my own")) == Rules("of my own", auto_converge=True)


def test_who_does_not_throttle_needs_no_throttle_or_has_none():
    rules = Rules.cloud_hypervisor()
    assert required_throttle(IDLE, Link(64 * MIB), rules=rules).value == 0
    assert required_throttle(guest(4.0), Link(64 * MIB), Limits(0.05), rules) is None


def test_the_line_rate_is_the_most_that_is_tried():
    least = required_bandwidth(guest(), line_rate=1e9, resolution=0.1).value
    assert required_bandwidth(guest(), line_rate=0.5 * least, resolution=0.1) is None
    assert required_bandwidth(IDLE, line_rate=9e5).value == 9e5  # less than the least limit


def test_a_link_without_a_limit_needs_a_downtime_limit_too():
    found = required_downtime(guest(), Link(None), resolution=0.1)
    assert 0.001 <= found.value < 0.1
    assert found.forecast.downtime < 0.2


def test_the_pause_is_less_than_the_limit_that_is_needed_for_it():
    found = required_downtime(guest(), Link(20 * MIB))
    assert found.forecast.downtime < 0.2 * found.value


def test_values_that_hold_by_chance_below_the_answer_are_told():
    from novastate.convergence.inverse import _least

    base = forecast(guest(), Link(64 * MIB))
    bad = forecast(guest(9.0), Link(MIB), Limits(0.03))
    holds = {9: True, 8: False, 7: True, 6: True, 5: False, 4: True, 3: False, 2: True}
    found = _least(
        (9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0), lambda value: base if holds[int(value)] else bad, None, 0.01
    )
    assert (found.value, found.up_to, found.gaps, found.lucky) == (9.0, 9.0, False, 6.0)
    found = _least((8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0), lambda value: base if holds[int(value)] else bad, None, 0.01)
    assert (found.value, found.up_to, found.gaps, found.lucky) == (6.0, 7.0, True, 4.0)


@given(st.floats(1e-3, 1e12), st.floats(1.0, 1e6), st.floats(0.01, 1.0))
def test_the_grid_falls_from_the_top_to_the_bottom_in_its_steps(bottom, ratio, step):
    grid = list(_geometric(bottom * ratio, bottom, step))
    assert (grid[0], grid[-1]) == (pytest.approx(bottom * ratio), bottom)
    assert all(low <= high <= low * (1 + step) * (1 + 1e-9) for high, low in itertools.pairwise(grid))


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: required_bandwidth(guest(), line_rate=0), "line_rate"),
        (lambda: required_bandwidth(guest(), line_rate=math.nan), "line_rate"),
        (lambda: required_bandwidth(guest(), probability=0.99), "probability"),
        (lambda: required_bandwidth(guest(), resolution=0.0), "resolution"),
        (lambda: required_downtime(guest(), Link(None), resolution=2.0), "resolution"),
        (lambda: required_downtime(guest(), Link(None), timeout=-1.0), "timeout"),
        (lambda: required_downtime(guest(), Link(None), probability=math.nan), "probability"),
        (lambda: required_throttle(guest(), Link(None), probability=-0.1), "probability"),
    ],
)
def test_bad_numbers_are_refused_by_name(call, field):
    with pytest.raises(ConvergenceError) as caught:
        call()
    assert caught.value.field == field
