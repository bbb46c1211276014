"""The compiled recursion and its twin are one function; it ends, and its numbers are numbers."""

from __future__ import annotations

import itertools
import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate._native import endless_py, precopy_py
from novastate._native.precopy_fields import (
    CONVERGED,
    MEMBER_FIELDS,
    NEVER,
    OUT_FIELDS,
    POSTCOPY,
    ROUND_FIELDS,
    SCENARIO_FIELDS,
    START_FIELDS,
)

try:
    from novastate._native import _precopy as compiled
except ImportError:  # no compiler here: the twin is all there is
    compiled = precopy_py

KERNELS = [precopy_py, compiled]


def numbers(low, high):
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


@st.composite
def scenarios(draw):
    pages = draw(st.sampled_from([0, 1, 300, 98434, 2**24, 2**40]))
    quota = draw(st.sampled_from([0.0, 131346.0, 6829074.0, 1e9]))
    wire = draw(st.sampled_from([4104.0, 65544.0]))
    values = {
        "pages": pages,
        "zero": draw(numbers(0, pages)),
        "tail": draw(numbers(0, 5000)),
        "tail_zero": draw(numbers(0, 300)),
        "page": wire - 8,
        "wire": wire,
        "wire_again": draw(st.sampled_from([40.0, wire - 1])),
        "cache": draw(st.sampled_from([0.0, 4096.0])),
        "wire_zero": 9.0,
        "quota": quota,
        "first": draw(numbers(1e-7, 1e-4)),
        "again": draw(numbers(1e-7, 1e-4)),
        "delta": draw(numbers(1e-7, 1e-5)),
        "blank": draw(numbers(1e-9, 1e-6)),
        "downtime": draw(st.sampled_from([0.0, 0.03, 0.3, 2.0])),
        "switchover": draw(st.sampled_from([0.0, 268435.0])),
        "device": 0.011,
        "slot": 0.1,
        "turn": 0.05,
        "throttling": draw(st.sampled_from([0.0, 1.0])),
        "initial": draw(numbers(0.01, 0.99)),
        "increment": draw(numbers(0.01, 0.5)),
        "most": draw(numbers(0.1, 0.99)),
        "trigger": draw(numbers(0.05, 1.0)),
        "busy": draw(numbers(0.02, 1.0)),
        "lost": 0.07,
        "wake": 0.0075,
        "postcopy": draw(st.sampled_from([0.0, 0.0, 1.0, 3.0])),
        "tailslow": draw(st.sampled_from([0.0, 1.0])),
        "resync": draw(st.sampled_from([0.0, 5.0])),
        "chunks": draw(st.sampled_from([0.0, 1.0, 64.0, 4096.0])),
        "limited": draw(st.sampled_from([0.0, 0.0, 0.3])),
        "family": draw(st.sampled_from([0.0, 0.0, 0.0, 1.0])),
        "most_rounds": draw(st.sampled_from([0.0, 5.0])),
        "deadline": draw(st.sampled_from([0.0, 60.0, 3600.0])),
        "phase": draw(st.sampled_from([0.0, 0.3, 1.0])),
        "lag": draw(st.sampled_from([0.0, 0.0, 2.0**21, 2.0**30])),
    }
    assert tuple(values) == SCENARIO_FIELDS
    return array("d", values.values())


@st.composite
def laws(draw):
    rows = array("d")
    for _ in range(draw(st.integers(0, 6))):
        size = draw(numbers(0.5, 200_000))
        rows.extend((size, size * 10 ** draw(numbers(-3, 2)), draw(st.sampled_from([0.0, 0.0, 1.0]))))
    return rows


@st.composite
def starts(draw, law, rows=1):
    found = array("d")
    for _ in range(rows):
        values = {
            "left": draw(st.sampled_from([0.0, 0.0, 1.0, 50_000.0])),
            "zero": draw(numbers(0, 60_000)),
            "tail": draw(numbers(0, 5000)),
            "tail_zero": draw(numbers(0, 300)),
            "front": draw(st.sampled_from([0.0, 60_000.0])),
            "behind": draw(numbers(0, 1)),
            "since": draw(numbers(0, 100)),
            "slot_age": draw(numbers(0, 0.2)),
            "slot_sent": draw(st.sampled_from([0.0, 1e6, 1e12])),
            "theta": draw(numbers(0, 1e9)),
            "syncs": draw(st.sampled_from([1.0, 7.0, 1990.0, 1e18])),
            "throttle": draw(st.sampled_from([0.0, 0.2, 0.99])),
            "high": draw(st.sampled_from([0.0, 1.0, 1e18])),
            "period_age": draw(numbers(0, 10)),
            "period_sent": draw(numbers(0, 1e12)),
            "period_dirty": draw(numbers(0, 1e8)),
            "cached": draw(numbers(0, 1e6)),
            "widest": draw(numbers(0, 1e6)),
        }
        assert tuple(values) == START_FIELDS
        found.extend(values.values())
        found.extend(draw(numbers(0, 2)) * size for size in law[0::3])
    return found


MEMBERS = array("d", [1.0, 1.0, 1.0, 0.0, 0.9, 0.99, 4.0, 200.0, 1.1, 1.0, 0.0, -1e9])


def run(kernel, scenario, law, members=MEMBERS, capacity=16, start=None):
    out = array("d", bytes(8 * OUT_FIELDS * (len(members) // MEMBER_FIELDS)))
    rounds = array("d", bytes(8 * ROUND_FIELDS * capacity))
    count = kernel.run(scenario, law, members, out, rounds, start)
    return count, out, rounds


@settings(max_examples=40, deadline=None)
@given(scenarios(), laws())
def test_the_compiled_kernel_and_its_twin_agree_to_the_last_bit(scenario, law):
    assert run(precopy_py, scenario, law) == run(compiled, scenario, law)


@settings(max_examples=40, deadline=None)
@given(scenarios(), laws(), st.data())
def test_from_the_middle_they_agree_too_and_end(scenario, law, data):
    start = data.draw(starts(law, data.draw(st.sampled_from([1, 3]))))
    found = run(compiled, scenario, law, start=start)
    assert run(precopy_py, scenario, law, start=start) == found
    assert all(math.isfinite(value) for value in (*found[1], *found[2]))
    assert all(value >= 0 for value in found[1])


def begin(law=(), **fields):
    values = dict.fromkeys(START_FIELDS, 0.0) | {"behind": 1.0, "syncs": 1.0} | fields
    return array("d", [*values.values(), *law])


@settings(max_examples=40, deadline=None)
@given(scenarios(), laws())
def test_a_start_at_the_beginning_is_no_start(scenario, law):
    pages, zero, tail, tail_zero = scenario[:4]
    zero, tail = min(zero, pages), min(tail, pages - min(zero, pages))
    block = zero - min(tail_zero, zero)
    first = {"left": pages, "zero": zero, "tail": tail, "tail_zero": tail_zero}
    start = begin([0.0] * (len(law) // 3), **first, front=pages - block - min(tail_zero, zero) - tail)
    point = array("d", [1.0, 1.0, 1.0, 0.0])
    assert run(compiled, scenario, law, point, start=start) == run(compiled, scenario, law, point)


@settings(max_examples=150, deadline=None)
@given(scenarios(), laws())
def test_it_ends_and_every_number_is_finite(scenario, law):
    count, out, rounds = run(compiled, scenario, law)
    assert 0 <= count <= 16
    assert all(math.isfinite(value) and value >= 0 for value in (*out, *rounds))
    assert {out[0], out[8], out[16]} <= {CONVERGED, POSTCOPY, NEVER}


@settings(max_examples=100, deadline=None)
@given(scenarios(), laws())
def test_what_remains_is_never_more_than_the_guest_has(scenario, law):
    pages = scenario[0]
    law_pages = sum(law[0::3])
    count, _, rounds = run(compiled, scenario, law)
    for at in range(0, count * ROUND_FIELDS, ROUND_FIELDS):
        assert rounds[at + 3] <= (pages + law_pages) * (1 + 1e-9) + 1e-6
        assert rounds[at + 2] <= law_pages * (1 + 1e-9)


def small(**fields):
    return dict.fromkeys(SCENARIO_FIELDS, 0.0) | {
        "pages": 10_000, "page": 4096, "wire": 4104, "wire_again": 4104, "wire_zero": 9, "quota": 52 * 131328 + 18,
        "first": 1e-5, "again": 2e-6, "delta": 2e-6, "blank": 1e-6, "downtime": 0.3, "device": 0.01, "slot": 0.1, "turn": 0.05,
        "most": 0.99, "trigger": 0.5, "busy": 1,
    } | fields  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
def test_from_the_middle_of_the_first_round_the_rest_is_as_it_would_have_been(kernel):
    scenario = array("d", small(pages=100_000).values())
    law = array("d", [6000, 9000, 0, 3000, 20_000, 1])
    point = array("d", [1, 1, 1, 0])
    _, whole, _ = run(kernel, scenario, law, point)
    slots, quota = 20, scenario[9]
    sent = slots * quota
    theta = quota / 100 * 300
    start = begin(
        [0, 0], left=100_000 - sent / 4104, front=100_000, since=2.0, theta=theta, period_age=2.0, period_sent=sent
    )
    _, rest, _ = run(kernel, scenario, law, point, start=start)
    assert whole[0] == rest[0] == CONVERGED
    assert whole[4] == rest[4] > 3
    assert rest[1] == pytest.approx(whole[1] - 2.0)
    assert rest[3] == pytest.approx(whole[3] - sent)


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
def test_what_is_held_is_what_remains_and_goes_in_its_time(kernel):
    scenario = array("d", small(downtime=0.0, pages=50_000).values())
    law = array("d", [8000, 1e-9, 0, 3000, 1e-9, 1])
    start = begin([4000, 2000], behind=0.25, syncs=4)
    count, out, _ = run(kernel, scenario, law, array("d", [1, 1, 1, 0]), start=start)
    # A threshold of nothing is never undercut: the guest is stopped as all is sent.
    assert (out[0], out[4], count) == (CONVERGED, 4, 1)
    assert out[3] == pytest.approx(6000 * 4104)
    scenario = array("d", small(downtime=0.05, pages=50_000).values())
    _, out, _ = run(kernel, scenario, law, array("d", [1, 1, 1, 0]), start=start)
    assert (out[0], out[4]) == (CONVERGED, 5)
    assert out[3] == pytest.approx(6000 * 4104)


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
def test_a_start_of_the_wrong_length_is_refused_by_name(kernel):
    with pytest.raises(ValueError, match=r"^start:"):
        run(kernel, array("d", small().values()), array("d", [1, 1, 0]), start=begin())


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
def test_an_idle_guest_is_sent_once(kernel):
    scenario = small()
    _, out, _ = run(kernel, array("d", scenario.values()), array("d"), array("d", [1, 1, 1, 0]))
    end, total, pause, sent, syncs, *_ = out
    assert (end, syncs) == (CONVERGED, 2)
    assert sent == pytest.approx(10_000 * 4104)
    # Four slots of 1664 pages bring 10,000 below the 5,002 of the threshold; the rest is the pause.
    assert total - pause == pytest.approx(0.4)


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
@pytest.mark.parametrize(("pages", "downtime"), [(10_000, 0.0), (1000, 0.0), (1000, 0.3)])
def test_without_a_threshold_the_guest_is_stopped_as_all_is_sent(kernel, pages, downtime):
    # QEMU: `!pending_size || pending_size < threshold_size`; with a limit of 0, or before the first slot of 0.1 s has ended.
    law = array("d", [500, 10_000, 0])
    out, rows = member(small(pages=pages, downtime=downtime), law, kernel)
    end, total, pause, sent, syncs, *_ = out
    last = total - pause
    assert last == pytest.approx(
        0.6 + 16 * 1e-5 if pages > 1664 else 1000 * 1e-5
    )  # six slots of 1664 pages, and 16 pages
    wrote = 500 * -math.expm1(-10_000 / 500 * last)
    assert (end, syncs, len(rows)) == (CONVERGED, 1, 1)
    assert pause == pytest.approx(0.01 + wrote * 2e-6)
    assert sent == pytest.approx((pages + wrote) * 4104)


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
@pytest.mark.parametrize("jumps", [True, False])
def test_a_look_that_comes_late_finds_less_and_never_goes_without_a_sync(kernel, jumps, monkeypatch):
    monkeypatch.setattr(precopy_py, "JUMPS", jumps)
    law = array("d", [40_000, 60_000, 0])
    theta, page = 52 * 131328 / 100 * 300, 4096

    def unsent(lag):
        """What was still unsent as the first round was synced, in bytes; how it ended, and when."""
        out, rows = member(small(pages=100_000, lag=lag), law, kernel)
        return (rows[0][3] - rows[0][2]) * page, out[0], rows[1][0]

    late, last = 0.7 * theta, theta * 10
    plain, less, none = unsent(0.0), unsent(late), unsent(last)
    assert theta - 52 * 131328 <= plain[0] <= theta
    assert late - 52 * 131328 <= less[0] <= late
    assert none[0] == pytest.approx(0, abs=1)
    # As much later as that takes to be sent.
    assert none[2] - plain[2] == pytest.approx(plain[0] / 6.83e7, abs=0.11)
    assert plain[1] == none[1] == NEVER
    assert theta - 1e5 - 52 * 131328 <= unsent(1e5)[0] <= theta


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
@pytest.mark.parametrize(
    ("sizes", "word"),
    [((3, 3, 4, 8), "scenario"), ((37, 4, 4, 8), "classes"), ((37, 99, 4, 8), "classes"), ((37, 3, 3, 8), "members"),
     ((37, 3, 0, 8), "members"), ((37, 3, 4, 7), "out")],
)  # fmt: skip
def test_a_buffer_of_the_wrong_length_is_refused_by_name(kernel, sizes, word):
    assert len(SCENARIO_FIELDS) == 37
    buffers = [array("d", bytes(8 * size)) for size in sizes]
    with pytest.raises(ValueError, match=f"^{word}:"):
        kernel.run(*buffers, array("d"))


def member(scenario, law, kernel=compiled, capacity=64):
    count, out, rounds = run(kernel, array("d", scenario.values()), law, array("d", [1, 1, 1, 0]), capacity)
    fields = ROUND_FIELDS
    return out, [rounds[at : at + fields] for at in range(0, count * fields, fields)]


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
def test_a_round_longer_than_five_seconds_is_synced_in_between(kernel):
    # 36,000 pages lie dirty after the first round: 22 s of sending at 1664 pages a slot.
    law = array("d", [360_000, 36_000, 0])
    base = small(pages=1_000_000, throttling=1, initial=0.2, increment=0.1)
    _, without = member(base, law, kernel)
    _, rows = member(base | {"resync": 5}, law, kernel)
    starts = [row[0] for row in rows]
    gaps = [later - sooner for sooner, later in itertools.pairwise(starts[1:])]
    assert max(gaps) <= 10.0 + 0.2 < without[2][0] - without[1][0]
    assert any(row[3] * 4096 > 0.3 * base["quota"] * 10 for row in rows[1:])  # synced with much unsent


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
def test_tailslow_takes_no_more_than_the_trigger_asks(kernel):
    law = array("d", [20_000, 40_000, 0])
    base = small(pages=60_000, throttling=1, initial=0.2, increment=0.5, downtime=0.1)
    steep = {row[4] for row in member(base, law, kernel)[1]}
    slow = {row[4] for row in member(base | {"tailslow": 1}, law, kernel)[1]}
    assert {0.0, 0.2, 0.7} <= steep
    assert 0.2 in slow
    assert 0.7 not in slow
    assert all(value == pytest.approx(round(100 * value) / 100) for value in slow)  # whole percents, as QEMU counts


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
@pytest.mark.parametrize("chunks", [1, 2, 64])
def test_memory_armed_in_parts_shows_less_of_what_is_written(kernel, chunks):
    _, rows = member(small(pages=100_000, chunks=chunks, downtime=0.001), array("d", [50_000, 5000, 0]), kernel)
    span = rows[0][0] + rows[1][0]  # of the first round, to whose end all of the memory is sent
    mean = sum(50_000 * -math.expm1(-0.1 * span * (part + 1) / chunks) for part in range(chunks)) / chunks
    assert rows[0][2] == pytest.approx(mean, rel=0.02)


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
def test_limited_writes_are_as_slow_as_the_limit_after_the_second_period(kernel):
    law = array("d", [20_000, 40_000, 0])
    base = small(pages=60_000, throttling=1, initial=0.2, downtime=0.1)
    assert member(base | {"throttling": 0}, law, kernel)[0][0] == NEVER
    out, rows = member(base | {"limited": 0.05}, law, kernel)
    assert out[0] == CONVERGED
    assert {row[4] for row in rows} == {0.0}


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
def test_whole_rounds_stop_by_budget_by_number_or_by_deadline(kernel):
    base = small(pages=60_000, zero=20_000, quota=0, first=1e-5, again=1e-5, family=1)
    law = array("d", [20_000, 40_000, 0])
    out, rows = member(base | {"downtime": 0.05}, law, kernel)
    # Rounds of 0.6, 0.14, 0.05 s: zero pages go out as any others, and W(0.6) is some 14,000 pages.
    assert rows[0][1] == 60_000 * 4104
    assert rows[0][2] == pytest.approx(20_000 * -math.expm1(-2 * 0.6))
    assert out[0] == CONVERGED
    assert out[2] <= 0.05 + 0.01 + 1e-9
    assert member(base | {"downtime": 0.0}, law, kernel)[0][0] == CONVERGED  # until nothing is dirty
    busy = array("d", [20_000, 4e6, 0])
    assert member(base, busy, kernel)[0][0] == CONVERGED  # 0.2 s is within 0.3 s
    assert member(base | {"downtime": 0.1}, busy, kernel)[0][0] == NEVER
    out, rows = member(base | {"downtime": 0.1, "most_rounds": 5}, busy, kernel)
    assert (out[0], len(rows)) == (CONVERGED, 6)
    out, _ = member(base | {"downtime": 0.1, "deadline": 60}, busy, kernel)
    assert out[0] == CONVERGED
    assert 60 <= out[1] <= 60.5
    assert out[2] == pytest.approx(0.21, rel=0.01)


POINT = array("d", [1.0, 1.0, 1.0, 0.0])


@st.composite
def migrations(draw):
    """Some thousand slots at most: a scenario and its write law."""
    pages = draw(st.sampled_from([3000, 98434, 2**20]))
    zero = draw(numbers(0, 0.9)) * pages
    quota = draw(st.sampled_from([0.0, 0.0, 1.0])) and math.ceil(draw(numbers(2.5e6, 3e8)) / 131328) * 131328 + 18.0
    first = draw(numbers(4e-6, 3e-5))
    throttling = draw(st.sampled_from([0.0, 0.0, 1.0]))
    scenario = small(
        pages=pages, zero=zero, tail=draw(numbers(0, 0.3)) * pages, tail_zero=draw(st.sampled_from([0.0, 215.0])),
        wire_again=4104.0, quota=quota, first=first, again=draw(numbers(1.7e-6, 1e-5)), blank=draw(numbers(2e-7, 2e-6)),
        downtime=draw(numbers(0.02, 1.0)), throttling=throttling, initial=0.2, increment=0.1,
        resync=draw(st.sampled_from([0.0, 5.0])), chunks=draw(st.sampled_from([1.0, 8.0])),
        switchover=draw(st.sampled_from([0.0, 0.0, 131072.0])),
    )  # fmt: skip
    speed = (quota or 0.1 / first * 4104) * 10 / 4104
    law = array("d")
    for _ in range(draw(st.integers(0, 3))):
        size = draw(numbers(0.01, 0.3)) * pages
        law.extend((size, speed * 10 ** draw(numbers(-3, -0.2)), draw(st.sampled_from([0.0, 0.0, 0.0, 1.0]))))
    return array("d", scenario.values()), law


@settings(max_examples=250, deadline=None)
@given(migrations())
def test_a_run_of_slots_in_one_step_is_the_run_slot_by_slot(migration):
    scenario, law = migration
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precopy_py, "JUMPS", False)
        patch.setattr(precopy_py, "TURNS", 1_000_000)
        count, slowly, rows = run(precopy_py, scenario, law, POINT)
    jumped, at_once, at_once_rows = run(precopy_py, scenario, law, POINT)
    assert (at_once[0], at_once[4], jumped) == (slowly[0], slowly[4], count)
    assert list(at_once) == pytest.approx(list(slowly), rel=1e-6, abs=1e-6)
    assert list(at_once_rows) == pytest.approx(list(rows), rel=1e-6, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(scenarios(), laws())
def test_the_bound_on_turns_ends_nothing(scenario, law):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precopy_py, "TURNS", 500_000)
        longer = run(precopy_py, scenario, law, POINT)
    assert run(precopy_py, scenario, law, POINT) == longer


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
@pytest.mark.parametrize("throttling", [0, 1])
@pytest.mark.parametrize("pages", [500 * 10**9 // 4096, 2**40])
def test_a_first_pass_of_days_has_an_end(kernel, pages, throttling):
    quota = 2 * 131328 + 18  # 2.5 MB/s
    for zero, tail, slow in ((0.5, 0.25, 0.5), (1.0, 0.0, 0.0), (0.0, 1.0, 1.0)):
        scenario = small(
            pages=pages, zero=zero * pages, tail=tail * pages, quota=quota, throttling=throttling, resync=5
        )
        out, _ = member(scenario, array("d", [300, 3, 0]), kernel)
        assert out[0] == CONVERGED
        assert out[4] >= 2
        lasts = (slow * pages * 4104 + (1 - slow) * pages * 9) / quota * 0.1
        assert out[1] == pytest.approx(lasts, rel=0.001)


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
@pytest.mark.parametrize("rate", [300, 500])
def test_a_round_of_hours_that_is_synced_every_five_seconds_has_an_end(kernel, rate):
    scenario = small(pages=4e7, quota=2 * 131328 + 18, throttling=1, initial=0.2, increment=0.1)  # 2.6 MB/s
    law = array("d", [2e7, rate, 0])  # more than 10,000 s of sending lie dirty after the first pass
    whole, rows = member(scenario, law, kernel)
    assert rows[1][0] - rows[0][0] > 10_000
    out, _ = member(scenario | {"resync": 5}, law, kernel)
    assert out[0] == whole[0] == CONVERGED
    assert out[4] > 2000
    assert out[1] == pytest.approx(whole[1], rel=0.2)


def test_beyond_three_hundred_years_there_is_no_end():
    scenario = array("d", small(pages=2.0**38, quota=131346, first=4104, again=4104).values())
    for speed in (0.9, 1.0, 1.1):
        members = array("d", [speed, 1, 1, 0])
        found = run(precopy_py, scenario, array("d", [2.0**30, 1e6, 0]), members)
        assert found[1][0] == NEVER
        assert run(compiled, scenario, array("d", [2.0**30, 1e6, 0]), members) == found


@settings(max_examples=120, deadline=None)
@given(migrations())
def test_what_is_said_to_go_round_for_ever_does(migration):
    scenario, law = migration
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endless_py, "BOUNDS", False)
        _, without, _ = run(precopy_py, scenario, law, POINT)
    _, out, _ = run(precopy_py, scenario, law, POINT)
    assert out[0] == without[0]
    assert out[0] == NEVER or out == without


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
@pytest.mark.parametrize("throttling", [0, 1])
@pytest.mark.parametrize("resync", [0, 5])
@pytest.mark.parametrize("chunks", [1, 4])
def test_one_that_goes_round_for_ever_is_known_soon(kernel, throttling, resync, chunks):
    scenario = small(
        pages=300_000, throttling=throttling, initial=0.2, increment=0.1, resync=resync, busy=0.01, chunks=chunks
    )
    out, _ = member(scenario, array("d", [60_000, 2e6, 0, 90_000, 30_000, 0]), kernel)
    assert out[0] == NEVER
    assert out[4] <= (200 if throttling else 20)
