"""A drain tried out page by page: fair shares of links, and the plan beside what one does without it."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.convergence import (
    DirtyClass,
    DirtyCurve,
    DrainGuest,
    DrainHost,
    Guest,
    Limits,
    Rules,
    SharedLink,
    WriteLaw,
    naive_plan,
    plan_drain,
    simulate_drain,
)
from novastate.convergence.drain.trial import fair_shares
from novastate.errors import ConvergenceError

MIB = 1 << 20
LINE = 125e6
HOSTS = [DrainHost("a", outgoing=None), DrainHost("b", memory=1 << 36)]
LINKS = [SharedLink("line", LINE, ["a"])]


def guest(name, rate=0.0, wss=8192, mib=256):
    pages = mib * 256
    classes = (DirtyClass(wss, rate),) if rate else ()
    return DrainGuest(name, Guest(mib * MIB, pages / 4, 4096, DirtyCurve(classes, pages)), "a")


GUESTS = [
    guest("idle"),
    guest("slow", 1500),
    guest("busy", 8000),
    guest("alone", 28000, 14000),
    guest("too", 28000, 14000),
]


def plan(guests=GUESTS, timeout=40.0):
    return plan_drain(guests, HOSTS, LINKS, Limits(0.3, timeout))


@st.composite
def flows(draw):
    links = draw(st.integers(1, 4))
    capacities = draw(st.lists(st.floats(0.0, 1e9), min_size=links, max_size=links))
    path = st.lists(st.integers(0, links - 1), min_size=1, max_size=links, unique=True)
    paths = draw(st.lists(path, max_size=6))
    demands = draw(st.lists(st.floats(0.0, 1e9), min_size=len(paths), max_size=len(paths)))
    return demands, paths, capacities


@given(flows())
def test_shares_are_max_min_fair(drawn):
    demands, paths, capacities = drawn
    given_ = fair_shares(demands, paths, capacities)
    used = [
        sum(share for share, path in zip(given_, paths, strict=True) if at in path) for at in range(len(capacities))
    ]
    for at, capacity in enumerate(capacities):
        assert used[at] <= capacity * (1 + 1e-9) + 1e-6
    for share, demand, path in zip(given_, demands, paths, strict=True):
        assert 0 <= share <= demand
        # Who gets less than it wants crosses a full link on which nobody gets more.
        assert share >= demand * (1 - 1e-9) or any(
            used[at] >= capacities[at] * (1 - 1e-9) - 1e-6
            and share >= max(one for one, other in zip(given_, paths, strict=True) if at in other) * (1 - 1e-9) - 1e-6
            for at in path
        )


def test_a_plan_goes_as_it_was_forecast():
    planned = plan()
    outcome = simulate_drain(planned, seed=1)
    assert outcome.failed == ()
    assert outcome.makespan == pytest.approx(planned.makespan, rel=0.05)
    assert outcome.transferred == pytest.approx(planned.transferred, rel=0.05)
    assert {move.name: move.destination for move in outcome.moves} == {one.name: "b" for one in GUESTS}


def test_it_is_sooner_over_than_all_at_once_and_no_later_than_one_by_one():
    planned = plan()
    outcome, single, together = (
        simulate_drain(one, seed=1) for one in (planned, naive_plan(planned, 1), naive_plan(planned))
    )
    assert together.failed == ("alone", "too")
    assert single.failed == outcome.failed == ()
    assert outcome.makespan <= single.makespan * 1.03
    assert outcome.makespan < together.makespan / 2
    assert outcome.transferred < together.transferred


@pytest.mark.parametrize("at_once", [1, 2, None])
def test_the_times_of_what_is_compared_with_are_those_of_its_order(at_once):
    naive = naive_plan(plan([guest(f"g{at}") for at in range(4)]), at_once)
    each = [step.forecast.total for step in naive.steps]
    assert [step.end - step.start for step in naive.steps] == pytest.approx(each)
    assert naive.makespan == pytest.approx({1: sum(each), 2: 2 * each[0], None: each[0]}[at_once])
    assert max(step.end for step in naive.steps) == naive.makespan


def test_places_hold_in_those_times_too():
    hosts = [DrainHost("a", outgoing=2), DrainHost("b", memory=1 << 36)]
    naive = naive_plan(plan_drain([guest(f"g{at}") for at in range(4)], hosts, LINKS))
    assert naive.makespan == pytest.approx(2 * naive.steps[0].forecast.total)


def test_what_may_not_leave_is_not_moved_by_what_is_compared_with_either():
    hosts = [DrainHost("a", outgoing=0), DrainHost("b", memory=1 << 36)]
    naive = naive_plan(plan_drain([guest("web")], hosts, LINKS))
    assert (naive.steps, naive.makespan, list(naive.unmovable)) == ((), 0.0, ["web"])


def test_links_carry_no_more_than_they_can():
    together = naive_plan(plan([guest(f"g{at}") for at in range(5)]))
    outcome = simulate_drain(together)
    assert outcome.transferred <= LINE * outcome.makespan
    # Equal guests on equal shares are over together, and their pauses share the line.
    assert max(move.end for move in outcome.moves) - min(move.end for move in outcome.moves) < 1.0
    one = simulate_drain(naive_plan(plan([guest("g0")])))
    assert outcome.moves[0].downtime > 2 * one.moves[0].downtime


def test_places_hold_whatever_the_order():
    planned = plan()
    hosts = (attrs.evolve(planned.hosts[0], outgoing=2), *planned.hosts[1:])
    outcome = simulate_drain(naive_plan(attrs.evolve(planned, hosts=hosts)))
    for move in outcome.moves:
        assert sum(one.start <= move.start < one.end for one in outcome.moves) <= 2


def test_it_writes_as_the_law_says_and_not_as_the_curve():
    planned = plan([guest("slow", 1500)])
    outcome = simulate_drain(planned, {"slow": WriteLaw.uniform(30000, 300000)})
    assert outcome.failed == ("slow",)
    assert outcome.makespan == pytest.approx(40.0)
    assert outcome.downtime == 0.0


def test_equal_arguments_give_equal_outcomes():
    assert simulate_drain(plan(), seed=3) == simulate_drain(plan(), seed=3)
    assert simulate_drain(plan([])).makespan == 0.0


def test_what_is_not_moved_is_tried_all_the_same_without_a_plan():
    planned = plan([guest("idle"), guest("never", 90000, 24000)], timeout=5.0)
    assert list(planned.unmovable) == ["never"]
    outcome = simulate_drain(naive_plan(planned))
    assert outcome.failed == ("never",)


def test_what_cannot_be_is_refused_by_its_field():
    with pytest.raises(ConvergenceError, match="laws"):
        simulate_drain(plan(), {"nobody": WriteLaw.idle()})
    with pytest.raises(ConvergenceError, match="paths"):
        fair_shares([1.0], [], [1.0])
    huge = DrainGuest("huge", Guest(1 << 30, 0, 1 << 21, DirtyCurve((), 512)), "a")
    with pytest.raises(ConvergenceError, match="page_size"):
        simulate_drain(plan([huge]))
    with pytest.raises(ConvergenceError, match="family"):
        simulate_drain(plan_drain([guest("idle")], HOSTS, LINKS, rules=Rules.cloud_hypervisor()))


@pytest.mark.parametrize("at_once", [0, -1, 1.5, True])
def test_so_many_at_once_is_a_whole_number_from_one(at_once):
    with pytest.raises(ConvergenceError) as caught:
        naive_plan(plan(), at_once)
    assert caught.value.field == "at_once"
