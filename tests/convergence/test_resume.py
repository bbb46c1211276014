"""A forecast from the middle on: it agrees with the forecast from the start, and ends whatever the state."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from novastate.convergence import DirtyCurve, Guest, Limits, Link, Rules, forecast
from novastate.convergence.precopy import rows_of, scenario_of
from novastate.convergence.resume import State, run_from, state_now
from novastate.errors import ConvergenceError

CURVE = DirtyCurve.from_windows({0.25: 2956, 0.5: 5379, 1.0: 9003, 2.0: 13055, 4.0: 15500}, page_count=98304)
GUEST = Guest(memory=384 * 2**20, zero_pages=32079, page_size=4096, curve=CURVE, busy=0.5)
LINK, LIMITS = Link(limit=64 * 2**20), Limits(downtime=0.1)
RULES = Rules.qemu("10.0", begin=0.0)
SCENARIO, CLASSES = scenario_of(GUEST, LINK, LIMITS, RULES), rows_of(GUEST)
SLOT = RULES.quota(LINK.limit)


def test_at_the_beginning_it_is_the_forecast():
    whole = forecast(GUEST, LINK, LIMITS, RULES)
    state = state_now(SCENARIO, GUEST, remaining=GUEST.pages, syncs=1)
    (run,) = run_from(SCENARIO, CLASSES, state)
    assert run.seconds == pytest.approx(whole.total)
    assert run.sent == pytest.approx(whole.transferred)
    assert run.syncs + 1 == whole.syncs


@pytest.mark.parametrize("slots", [5, 20, 35])
def test_in_the_first_pass_the_rest_is_what_the_forecast_leaves(slots):
    whole = forecast(GUEST, LINK, LIMITS, RULES)
    state = state_now(SCENARIO, GUEST, remaining=GUEST.pages - slots * SLOT / 4104, syncs=1)
    (run,) = run_from(SCENARIO, CLASSES, state)
    assert run.seconds == pytest.approx(whole.total - 0.1 * slots, abs=0.11)


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_after_a_sync_the_rest_is_near_what_the_forecast_leaves(at):
    whole = forecast(GUEST, LINK, LIMITS, RULES)
    row, after = whole.rounds[at], whole.rounds[at + 1]
    state = state_now(SCENARIO, GUEST, remaining=row.remaining, syncs=at + 2, since=0.0)
    (run,) = run_from(SCENARIO, CLASSES, state)
    assert state.remaining == pytest.approx(row.remaining)
    assert run.seconds == pytest.approx(whole.total - after.start, rel=0.15, abs=0.2)


@settings(max_examples=100, deadline=None)
@given(
    remaining=st.integers(0, GUEST.pages),
    syncs=st.integers(-1, 10**6),
    constant=st.integers(0, 10**6),
    since=st.none() | st.floats(0, 1e7),
    throttle=st.floats(0, 0.99),
    speed=st.floats(0, 100),
)
@example(remaining=1, syncs=2, constant=0, since=None, throttle=0.0, speed=5e-324)
def test_every_state_has_what_remains_and_an_end(remaining, syncs, constant, since, throttle, speed):
    state = state_now(
        SCENARIO,
        GUEST,
        remaining=remaining,
        syncs=syncs,
        constant=constant,
        since=since,
        throttle=throttle,
        speed=speed,
    )
    assert state.remaining == pytest.approx(remaining, rel=1e-9, abs=1e-6)
    for run in run_from(SCENARIO, CLASSES, state, [(speed, 1.0, 1.0, 0.0), (1.0, 0.99, 4.0, -500.0)]):
        assert all(math.isfinite(value) and value >= 0 for value in (run.seconds, run.pause, run.sent, run.pending))


def test_each_member_may_have_its_own_state():
    states = [state_now(SCENARIO, GUEST, remaining=pages, syncs=3) for pages in (9000, 20_000)]
    members = [(1.0, 1.0, 1.0, 0.0)] * 2
    runs = run_from(SCENARIO, CLASSES, states, members)
    assert runs == [run_from(SCENARIO, CLASSES, state)[0] for state in states]
    assert runs[0].seconds < runs[1].seconds
    with pytest.raises(ConvergenceError, match="state"):
        run_from(SCENARIO, CLASSES, states)


@pytest.mark.parametrize(
    ("field", "value"),
    [("remaining", math.nan), ("remaining", GUEST.pages + 1), ("constant", -1), ("since", math.inf), ("speed", -1),
     ("throttle", 1.0)],
)  # fmt: skip
def test_what_no_migration_can_be_in_is_refused_by_name(field, value):
    with pytest.raises(ConvergenceError, match=field):
        state_now(SCENARIO, GUEST, **({"remaining": 5, "syncs": 2} | {field: value}))


def test_a_state_of_another_law_is_refused():
    with pytest.raises(ConvergenceError, match="held"):
        run_from(SCENARIO, CLASSES, State([1.0]))
    with pytest.raises(ConvergenceError, match=r"held\[0\]"):
        State([-1.0])
