"""Rounds that did not end say what the next ones may do, and how far the law's promises are to be believed."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.convergence import (
    ForecastPolicy,
    Guest,
    Limits,
    Link,
    PreCopySimulation,
    Rules,
    SimulationSetup,
    Watch,
    WriteLaw,
)
from novastate.convergence.online.alike import Alike
from novastate.convergence.online.stalls import Stall

MIB = 1 << 20


def gone_round(count, *, left=1100.0, room=1000.0, promised=0.0, throttle=0.0):
    rounds = Alike()
    for _ in range(count):
        rounds.add(left=left, room=room, rounds=1, span=0.1, throttle=throttle, promised=promised)
    return rounds


def test_of_nothing_nothing_is_said():
    assert Alike().weight == 0.0
    assert Alike().pages == 0.0
    assert gone_round(2, promised=0.98).weight == 0.0  # too few


def test_a_law_whose_promises_are_broken_is_believed_less_and_less():
    told = [gone_round(count, promised=0.98).weight for count in range(3, 12)]
    assert told == sorted(told)
    assert told[0] > 0.5
    assert told[-1] > 0.95


def test_a_law_that_says_rightly_that_no_round_is_the_last_is_believed_more_and_more():
    told = [gone_round(count, left=1e6).weight for count in range(3, 40)]
    assert told == sorted(told, reverse=True)
    assert told[0] < 0.3


def test_rounds_that_differ_by_more_than_the_limit_is_away_may_end_by_chance_the_less_the_more_of_them_there_were():
    """Jeffreys: of n rounds that were none, the next is the last with a chance of (1/2) / (n + 1)."""
    rounds = Alike()
    for k in range(40):
        rounds.add(left=(1000.0, 1400.0)[k % 2], room=1000.0, rounds=1, span=0.1, throttle=0.0, promised=0.0)
    assert rounds.within(1000.0, 0.1) == pytest.approx(0.5 / 41, rel=1e-6)
    assert rounds.within(1000.0, 4.0) == pytest.approx(1 - 0.5**0.5, abs=0.01)  # as many again


def test_where_what_is_left_hardly_differs_and_is_too_much_little_is_hoped_for_but_never_nothing():
    rounds = gone_round(50, left=2000.0)
    assert 0.0 < rounds.within(1000.0, 60.0) < 0.2


def test_a_longer_limit_is_judged_by_what_those_rounds_left():
    rounds = gone_round(50, left=1100.0)
    assert rounds.within(2000.0, 0.2) > 0.95
    assert rounds.ends(2000.0)[8] < 0.3


def test_a_new_low_begins_anew():
    rounds = gone_round(20, left=2000.0)
    rounds.add(left=1200.0, room=1000.0, rounds=1, span=0.1, throttle=0.0, promised=0.0)
    assert (rounds.rounds, rounds.weight, rounds.pages) == (1, 0.0, pytest.approx(1200.0))


def test_under_another_throttle_all_begins_anew():
    rounds = gone_round(20, promised=0.98)
    rounds.add(left=1100.0, room=1000.0, rounds=1, span=0.1, throttle=0.2, promised=0.98)
    assert rounds.rounds == 1
    for _ in range(2):
        rounds.add(left=1100.0, room=1000.0, rounds=1, span=0.1, throttle=0.2, promised=0.0)
    assert rounds.weight < 0.3


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e12), st.floats(1, 1e12), st.integers(1, 10**6), st.floats(1e-3, 1e6), st.sampled_from([0.0, 0.2, 0.99]), st.floats(0, 1)
        ),
        max_size=100,
    ),
    st.floats(1, 1e12),
    st.floats(0, 1e9),
)  # fmt: skip
def test_whatever_the_rounds_were_all_numbers_are_in_bounds(seen, room, seconds):
    rounds = Alike()
    for left, had, count, span, throttle, promised in seen:
        rounds.add(left=left, room=had, rounds=count, span=span, throttle=throttle, promised=promised)
    assert 0.0 <= rounds.weight < 1.0
    assert 0.0 <= rounds.within(room, seconds) <= 1.0
    ends = rounds.ends(room)
    assert ends == sorted(ends)
    assert all(end > 0.0 for end in ends)
    assert not any(math.isnan(end) for end in ends)


# --- in a watch


def watched(factor, downtime, seconds, policy=None):
    """A guest of a known law, known wrongly by *factor*, near the limit of what converges; it goes round for ever under 358 ms."""
    law = WriteLaw(WriteLaw.uniform(4265, 21594).with_background().parts, 1.0)
    pages, link, limits, rules = 256 * 256, Link(32 * MIB), Limits(downtime), Rules.qemu("10.0")
    simulation = PreCopySimulation(pages, law, SimulationSetup.of(link, limits, rules), zero_pages=18324, seed=45)
    guest = Guest(256 * MIB, 18324, 4096, law.curve(pages).scaled(factor))
    watch = Watch(guest, link, limits, rules, policy=policy)
    found = []
    for at in range(1, 2 * seconds):
        if simulation.advance(at / 2).ended:
            break
        stats = simulation.statistics
        found.append(watch.observe(attrs.evolve(stats, elapsed=stats.elapsed + rules.begin)))
    return found


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_a_watch_whose_promises_are_broken_promises_less(factor):
    last = watched(factor, 0.358, 60)[-1]
    assert last.stalled is Stall.NO_GAIN
    assert last.probability < 0.6
    assert last.eta is None or last.eta_interval[1] > 10.0


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_the_policy_raises_a_limit_that_was_promised_to_do_and_does_not(factor):
    policy = ForecastPolicy(longest_pause=0.5, latest_end=600)
    looks = watched(factor, 0.358, 60, policy)
    raised = [look for look in looks if look.advice.downtime_ms]
    assert raised
    assert raised[0].elapsed < 30
    assert 358 < raised[0].advice.downtime_ms <= 600
