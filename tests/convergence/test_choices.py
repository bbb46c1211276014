"""What one can do about a migration is forecast row by row, from its start and from the middle, and the mildest that does is recommended."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate._native import NATIVE
from novastate.convergence import DirtyClass, DirtyCurve, Guest, Limits, Link, Rules, Verdict, forecast
from novastate.convergence.choices import ACTIONS, compare
from novastate.convergence.precopy import scenario_of
from novastate.convergence.resume import State, state_now
from novastate.errors import ConvergenceError

MIB = 1 << 20
PAGES = 98434
LINK = Link(64 * MIB, 1e9)


def guest(rate=1.0, busy=1.0):
    rows = (DirtyClass(16000, 15000 * rate), DirtyClass(60, 2400))
    return Guest(PAGES * 4096, 32079, 4096, DirtyCurve(rows, PAGES), busy=busy)


CALM, BUSY = guest(0.2), guest(4.0)
#: So much that no pause limit up to a minute, and no line, ends it within 20 s.
WILD = Guest(2.0**34, 0, 4096, DirtyCurve((DirtyClass(3e6, 1e9),), 2**22), busy=0.05)


def job(**more):
    now = dict(
        elapsed=6.0, memory_total=PAGES * 4096, memory_processed=0, memory_remaining=30 * MIB, memory_bps=64 * MIB,
        disk_remaining=0, dirty_rate=0, iteration=4, constant=32079, throttle=0.0, post_copy=False,
    )  # fmt: skip
    return SimpleNamespace(**(now | more))


def actions(found):
    return [row.action for row in found]


def test_to_wait_is_what_the_forecast_says():
    result = forecast(CALM, LINK, Limits(0.3, 800))
    row = compare(CALM, LINK, Limits(0.3, 800))["wait"]
    assert (row.total, row.downtime, row.transferred) == (result.total, result.downtime, result.transferred)
    assert (row.probability, row.withheld, row.degraded) == (result.probability, 0.0, 0.0)


def test_what_converges_is_left_alone():
    found = compare(CALM, LINK)
    assert found.recommended == "wait"
    assert actions(found) == ["wait", "post_copy", "pause", "abort"]


def test_what_never_converges_has_every_way_out():
    found = compare(BUSY, LINK, Limits(0.05))
    assert actions(found) == list(ACTIONS)
    assert found["wait"].total is None
    for action in ("more_bandwidth", "raise_downtime", "throttle", "post_copy", "pause"):
        row = found[action]
        assert math.isfinite(row.total)
        assert row.total > 0
        assert row.transferred > 0
        assert row.risk
    assert found.recommended == "more_bandwidth"
    assert found["pause"].downtime > 0.5


@pytest.mark.parametrize(
    ("among", "pause", "expected"),
    [
        (ACTIONS, None, "more_bandwidth"),
        (("wait", "raise_downtime", "post_copy"), None, "raise_downtime"),
        (("wait", "throttle", "post_copy"), None, "throttle"),
        (("wait", "post_copy", "pause"), None, "post_copy"),
        (("wait", "pause"), None, "abort"),
        (("wait", "pause"), 10.0, "pause"),
        ((), None, "abort"),
    ],
)
def test_the_mildest_that_is_allowed_is_recommended(among, pause, expected):
    found = compare(BUSY, LINK, Limits(0.07), longest_pause=pause, among=among)
    assert found.recommended == expected
    assert found.why.startswith(
        expected.replace("_", " ").replace("raise downtime", "raise the pause limit").replace("post copy", "post-copy")
    )


def test_what_is_set_does_what_its_row_says():
    found = compare(BUSY, LINK, Limits(0.05))
    row = found["more_bandwidth"]
    faster = forecast(BUSY, Link(row.setting, 1e9), Limits(0.05))
    assert (row.total, row.probability) == (faster.total, faster.probability)
    assert faster.probability >= 0.9
    row = found["raise_downtime"]
    longer = forecast(BUSY, LINK, Limits(row.setting))
    assert (row.total, row.downtime) == (longer.total, longer.downtime)
    throttled = forecast(BUSY, LINK, Limits(0.05), Rules.qemu(auto_converge=True))
    row = found["throttle"]
    assert (row.total, row.throttle) == (pytest.approx(throttled.total), throttled.throttle / 100)
    assert 0 < row.withheld < row.throttle
    row = found["post_copy"]
    assert row.total == forecast(BUSY, LINK, Limits(0.05), Rules.qemu(post_copy=True)).total
    assert 0 < row.degraded < row.total


def test_a_pause_lasts_as_long_as_what_the_first_pass_left_takes():
    result = forecast(BUSY, LINK, Limits(0.05))
    left = result.rounds[0].remaining * 4104
    row = compare(BUSY, LINK, Limits(0.05))["pause"]
    assert row.downtime == pytest.approx(left / (64 * MIB), rel=0.15)
    assert row.total == pytest.approx(row.downtime + 4.4, abs=0.2)


@pytest.mark.parametrize(
    ("rules", "gone"),
    [
        (Rules.qemu(auto_converge=True), {"throttle"}),
        (Rules.qemu(post_copy=True), {"post_copy", "more_bandwidth", "raise_downtime"}),
        (Rules.qemu("10.0", multifd=4), {"post_copy"}),
        (Rules.qemu("10.0", dirty_limit=1e9, accelerator="kvm-dirty-ring"), {"throttle"}),
        (Rules.cloud_hypervisor(), {"throttle", "post_copy"}),
    ],
)
def test_what_would_change_nothing_is_no_choice(rules, gone):
    assert not gone & set(actions(compare(BUSY, LINK, Limits(0.05, 20), rules)))
    assert "more_bandwidth" not in compare(BUSY, Link(None), Limits(0.001))
    assert "post_copy" in compare(BUSY, LINK, Limits(0.05, 20), Rules.qemu("10.1", multifd=4))


def test_a_throttle_that_never_sets_in_is_no_choice_and_one_that_does_is():
    for one in (CALM, guest(0.5), guest(1.0), guest(2.0), BUSY):
        found = compare(one, LINK)
        assert (
            "throttle" not in found
            or found["throttle"].throttle
            or found["throttle"].probability > found["wait"].probability
        )
    assert "throttle" in found


HARSH = Guest(128 * MIB, 9830, 4096, DirtyCurve((DirtyClass(3276.8, 37741.0),), 32768))


@pytest.mark.parametrize(
    ("one", "link", "limits", "rules", "more", "fault"),
    [
        (HARSH, Link(8 * MIB), Limits(0.3, 300), Rules.qemu("9.0", auto_converge=True), {}, "To wait would slow the guest down by up to 99%."),
        (BUSY, LINK, Limits(0.07), Rules.qemu(), {}, "To wait does not complete in time."),
        (CALM, LINK, Limits(0.3), Rules.qemu(), {"among": ["pause"], "longest_pause": 9.0}, "To wait is not allowed."),
        (CALM, LINK, Limits(0.1), Rules.qemu(), {"longest_pause": 0.012, "among": ["wait", "post_copy"]}, "To wait has a pause of "),
    ],
)  # fmt: skip
def test_what_is_wrong_with_waiting_is_told_where_something_else_is_recommended(one, link, limits, rules, more, fault):
    found = compare(one, link, limits, rules, **more)
    assert found.recommended not in {"wait", "abort"}
    assert fault in found.why
    if "slow" in fault:
        assert found["wait"].risk == "the guest slows down by up to 99%"


def test_the_devices_are_not_counted_against_the_limit_of_the_pause():
    found = compare(CALM, LINK, Limits(0.004))
    assert found["wait"].downtime > 0.004
    assert found.recommended == "wait"
    assert compare(CALM, LINK, Limits(0.004), longest_pause=0.002).recommended == "abort"


def test_where_nothing_does_it_is_aborted():
    found = compare(WILD, Link(64 * MIB, 1e8), Limits(0.3, 20))
    assert found.recommended == "abort"
    assert found["abort"].total == 0
    assert all(row.total is None for row in found if row.action != "abort")
    assert "within 20 s" in found.why
    with pytest.raises(KeyError):
        found["raise_downtime"]


def test_a_harsh_throttle_is_not_recommended():
    paced = guest(3.0, busy=0.06)
    found = compare(paced, LINK, Limits(0.3), among=("throttle",))
    assert found["throttle"].throttle > 0.8
    assert found.recommended == "abort"


# --- from the middle


def test_from_the_middle_waiting_ends_when_the_rest_does():
    whole = forecast(CALM, LINK)
    at = whole.rounds[1]
    state = state_now(
        scenario_of(CALM, LINK, Limits(), Rules.qemu()), CALM, remaining=whole.rounds[0].remaining, syncs=2, since=0.0
    )
    row = compare(CALM, LINK, since=state)["wait"]
    assert row.total == pytest.approx(whole.total - whole.rules.begin - at.start, abs=0.35)
    assert row.downtime == pytest.approx(whole.downtime, abs=0.01)
    assert row.probability > 0.9


def test_a_state_goes_by_the_classes_of_its_own_curve_whatever_else_is_as_likely():
    other = DirtyCurve((DirtyClass(100, 10),), PAGES)
    who = attrs.evolve(BUSY, curve=attrs.evolve(BUSY.curve, others=(other, other)))
    assert compare(who, LINK, since=State([5000.0, 10.0], syncs=3))["wait"].probability < 0.1
    assert compare(who, LINK, since=job())["wait"].probability > 0.9  # that knows its pages for any curve


def test_statistics_of_a_running_job_will_do():
    found = compare(BUSY, LINK, Limits(0.05), since=job())
    assert set(actions(found)) == set(ACTIONS)
    assert found["wait"].total is None
    for action in ("more_bandwidth", "raise_downtime"):
        assert found[action].probability >= 0.9
        assert found[action].total < 10
    # At once: 30 MiB, and what was written since the last sync.
    assert 30 / 64 < found["pause"].downtime < 1.5
    assert found["post_copy"].total < 0.3
    assert found["post_copy"].degraded == pytest.approx(found["post_copy"].total, abs=0.01)


def test_a_timeout_counts_from_the_request():
    slow = compare(
        CALM, LINK, Limits(0.3, 20.0), since=job(memory_remaining=200 * MIB, iteration=1, constant=100, elapsed=2.5)
    )
    late = compare(
        CALM, LINK, Limits(0.3, 20.0), since=job(memory_remaining=200 * MIB, iteration=1, constant=100, elapsed=19.0)
    )
    assert slow["wait"].total < 5
    assert slow["wait"].probability > 0.9
    assert late["wait"].total is None
    assert late["wait"].probability < 0.1
    assert late["pause"].total is None


def test_a_throttle_that_is_on_is_counted_from_now():
    auto = Rules.qemu(auto_converge=True)
    row = compare(BUSY, LINK, Limits(0.05), auto, since=job(throttle=0.5))["wait"]
    assert row.throttle >= 0.5
    assert 0.5 <= row.withheld <= row.throttle


def test_before_memory_goes_out_the_disks_and_the_daemons_pass_first():
    now = dict(memory_remaining=0, iteration=0, constant=0, elapsed=0.105)
    soon = compare(CALM, LINK, since=job(**now))["wait"]
    assert soon.total == pytest.approx(forecast(CALM, LINK).total - 0.105, abs=0.15)
    later = compare(CALM, LINK, since=job(**now, disk_remaining=640 * MIB))["wait"]
    assert later.total == pytest.approx(soon.total + 10, abs=0.01)


def test_after_the_switch_there_is_no_way_back():
    found = compare(BUSY, LINK, since=job(post_copy=True, memory_bps=10 * MIB))
    assert actions(found) == ["wait"]
    assert found.recommended == "wait"
    assert found["wait"].total == pytest.approx(3.0)
    assert compare(BUSY, LINK, since=job(post_copy=True, memory_bps=0))["wait"].total < 0.1


@settings(max_examples=25 if NATIVE else 3, deadline=None)
@given(
    st.floats(0.01, 20),
    st.sampled_from([None, 8 * MIB, 64 * MIB]),
    st.sampled_from([None, 20.0]),
    st.booleans(),
    st.none()
    | st.builds(
        job, memory_remaining=st.integers(0, PAGES * 4096), iteration=st.integers(0, 9), constant=st.integers(0, PAGES)
    ),
)
def test_no_row_holds_a_number_that_is_none(rate, limit, timeout, auto, since):
    found = compare(guest(rate), Link(limit, 1e9), Limits(0.1, timeout), Rules.qemu(auto_converge=auto), since=since)
    for row in found:
        for value in (row.total, row.downtime, row.transferred, row.withheld, row.degraded, row.probability):
            assert value is None or (math.isfinite(value) and value >= 0)
        assert row.total is None or row.downtime <= row.total + 1e-9
        assert timeout is None or row.total is None or row.total <= timeout
        assert 0 <= row.withheld <= 0.99
    assert found.recommended in found
    json.dumps(found.as_json(), allow_nan=False)


def test_it_reads_as_a_table_and_as_json():
    found = compare(BUSY, LINK, Limits(0.05))
    lines = str(found).splitlines()
    assert len(lines) == len(found) + 2
    assert sum(line.startswith("* ") for line in lines) == 2
    assert lines[-1] == f"* {found.why}"
    assert all(len(line) < 150 for line in lines)
    plain = found.as_json()
    assert [row["action"] for row in plain["choices"]] == actions(found)
    assert plain["choices"][0] == {
        "action": "wait", "setting": None, "total_s": None, "downtime_s": None, "transferred_bytes": None, "withheld": 0.0,
        "degraded_s": 0.0, "throttle": 0.0, "probability": found["wait"].probability, "risk": found["wait"].risk,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "field"),
    [
        (dict(longest_pause=-1), "longest_pause"),
        (dict(likely=0.4), "likely"),
        (dict(likely=math.nan), "likely"),
        (dict(among=["hope"]), "among"),
        (dict(since=job(elapsed=math.nan)), "since.elapsed"),
        (dict(since=job(disk_remaining=-1)), "since.disk_remaining"),
        (dict(since=job(memory_remaining=-5)), "since.memory_remaining"),
        (dict(since=job(throttle=2)), "since.throttle"),
        (dict(since=job(iteration=-1)), "since.iteration"),
        (dict(since=job(constant=-1)), "since.constant"),
        (dict(since=State([0.0])), "since.held"),
    ],
)
def test_bad_numbers_are_refused_by_name(more, field):
    with pytest.raises(ConvergenceError) as caught:
        compare(BUSY, LINK, **more)
    assert caught.value.field == field


def test_a_guest_that_converges_at_once_needs_no_pause():
    idle = attrs.evolve(CALM, curve=DirtyCurve((), PAGES))
    found = compare(idle, LINK)
    assert found["wait"].downtime < 0.1
    assert forecast(idle, LINK).verdict is Verdict.CONVERGES
    assert found["pause"].total == pytest.approx(found["wait"].total, abs=0.3)
