"""ForecastPolicy keeps a budget."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.convergence import ForecastPolicy, NovaPolicy, Situation
from novastate.convergence.online.stalls import Stall
from novastate.errors import ConvergenceError


@attrs.frozen
class Ahead:
    eta: float | None
    downtime: float | None
    probability: float = 1.0
    throttle: float = 0.0


@attrs.frozen
class Seen:
    """A situation of which it is known what will come: under limits from *needs* on it ends."""

    elapsed: float = 20.0
    post_copy: bool = False
    data_gb: float = 2.0
    current_downtime: int | None = 100
    eta: float | None = None
    downtime: float | None = None
    probability: float = 0.0
    throttle: float = 0.0
    stalled: Stall | None = None
    steady: float = 60.0
    rounds: int = 5
    needs: float | None = None
    pause: float = 0.05

    def under(self, downtime):
        if self.needs is None or downtime < self.needs:
            return Ahead(None, None, 0.0)
        return Ahead(2.0, self.pause)


GOOD = Seen(eta=5.0, downtime=0.03, probability=0.99)


def test_what_ends_within_the_budget_is_left_alone():
    advice = ForecastPolicy(longest_pause=0.05, latest_end=30).decide(GOOD)
    assert (advice.action, advice.downtime_ms) == ("none", None)


@pytest.mark.parametrize("needs", [0.101, 0.12, 0.3, 0.95, 7.0])
def test_the_limit_is_raised_to_what_is_needed_and_hardly_more(needs):
    advice = ForecastPolicy().decide(Seen(needs=needs))
    assert advice.action == "none"
    assert needs <= advice.downtime_ms / 1000 <= 1.15 * needs + 0.001
    assert f"with a limit of {advice.downtime_ms} ms" in advice.reason


@given(st.integers(1, 10_000), st.floats(0.0005, 100))
def test_the_limit_is_not_lowered_where_it_is_too_low(now, needs):
    advice = ForecastPolicy().decide(Seen(current_downtime=now, needs=needs))
    assert advice.downtime_ms is None or advice.downtime_ms > now


def test_a_limit_whose_pause_is_too_long_is_not_set():
    assert ForecastPolicy(longest_pause=0.3).decide(Seen(needs=0.2, pause=0.29)).action == "abort"
    assert ForecastPolicy(longest_pause=0.3).decide(Seen(needs=0.2, pause=0.2)).downtime_ms is not None


@attrs.frozen
class Long(Seen):
    """Its pause is a tenth longer than its limit; it ends under limits from *needs* on."""

    eta: float | None = 5.0
    probability: float = 0.99
    needs: float | None = 0.0

    @classmethod
    def now(cls, limit, **more):
        return cls(current_downtime=limit, downtime=1.1 * limit / 1000, **more)

    def under(self, downtime):
        return Ahead(None, None, 0.0) if downtime < self.needs else Ahead(5.0, 1.1 * downtime)


@given(st.integers(1, 10**6), st.integers(1, 2000))
def test_a_limit_under_which_the_pause_is_too_long_is_lowered_at_once(now, longest):
    policy, seen = ForecastPolicy(longest_pause=longest / 1000), Long.now(now, steady=0.0, rounds=0)
    advice = policy.decide(seen)
    if 1.1 * now <= longest:
        assert advice.downtime_ms is None
    elif longest >= 2:
        assert advice.action == "none"
        assert 0.5 * longest - 1 <= advice.downtime_ms <= 0.8 / 1.1 * longest
        assert f" ms; with a limit of {advice.downtime_ms} ms it is done in 5.0 s" in advice.reason
        assert policy.decide(Long.now(advice.downtime_ms)).downtime_ms is None


def test_where_no_lower_limit_converges_the_pause_is_kept_all_the_same_and_then_it_is_ended():
    policy, seen = ForecastPolicy(longest_pause=0.15), Long.now(1000, needs=0.5)
    advice = policy.decide(seen)
    assert advice.downtime_ms == 120
    assert "does not pause so long, but hardly converges" in advice.reason
    kept = Long(current_downtime=advice.downtime_ms, eta=None, downtime=None, probability=0.0, needs=0.5)
    ended = policy.decide(kept)
    assert (ended.action, ended.downtime_ms) == ("abort", None)
    assert "no limit within 150 ms of pause helps" in ended.reason


@pytest.mark.parametrize(("otherwise", "action"), [("abort", "abort"), ("wait", "none"), ("pause", "force_complete")])
def test_a_pause_that_no_limit_makes_short_enough_is_not_waited_for(otherwise, action):
    ends = Seen(eta=1.0, downtime=0.02, probability=1.0, needs=0.0, pause=0.02, steady=0.0)
    advice = ForecastPolicy(longest_pause=0.01, otherwise=otherwise).decide(ends)
    assert (advice.action, advice.downtime_ms) == (action, None)
    assert advice.reason.startswith("its pause would be 20 ms, and no limit")


@pytest.mark.parametrize(
    ("budget", "action"),
    [
        ({}, "abort"),
        ({"otherwise": "wait"}, "none"),
        ({"otherwise": "pause"}, "force_complete"),
        ({"post_copy": True}, "force_complete"),
        ({"post_copy": True, "otherwise": "wait"}, "force_complete"),
    ],
)
def test_what_never_converges_is_ended_as_the_operator_chose(budget, action):
    advice = ForecastPolicy(**budget).decide(Seen())
    assert advice.action == action
    assert advice.reason.startswith("it does not converge, and no limit")


@pytest.mark.parametrize("seen", [Seen(steady=4.9), Seen(rounds=0), Seen(rounds=1), Seen(stalled=Stall.NO_BYTES)])
def test_nothing_is_ended_for_one_look_one_round_or_a_silent_link(seen):
    assert ForecastPolicy().decide(seen).action == "none"


@pytest.mark.parametrize(("otherwise", "action"), [("abort", "abort"), ("wait", "abort"), ("pause", "force_complete")])
@pytest.mark.parametrize("seen", [Situation(elapsed=31), GOOD, Seen(stalled=Stall.NO_BYTES)])
def test_at_the_latest_end_it_is_over(seen, otherwise, action):
    late = attrs.evolve(seen, elapsed=30.1)
    budget = ForecastPolicy(latest_end=15, per_gib=True, otherwise=otherwise)
    assert budget.decide(late).action == action
    assert budget.decide(attrs.evolve(late, post_copy=True)).action == "none"
    assert budget.end(3) == 45


def test_what_would_end_too_late_is_helped_and_else_given_up_early():
    late = attrs.evolve(GOOD, eta=15.0)
    budget = ForecastPolicy(latest_end=30)
    assert budget.decide(late).action == "abort"
    assert budget.decide(attrs.evolve(late, needs=0.2)).downtime_ms is not None
    assert "later than its latest end" in budget.decide(late).reason


def test_a_guest_that_may_not_be_throttled_is_not_waited_for():
    throttled = attrs.evolve(GOOD, throttle=0.6)
    assert ForecastPolicy(throttle=True).decide(throttled).action == "none"
    advice = ForecastPolicy(throttle=False).decide(throttled)
    assert advice.action == "abort"
    assert "only by throttling the guest (60%)" in advice.reason


def test_of_a_situation_of_which_nothing_is_foreseen_only_the_time_counts():
    assert ForecastPolicy(latest_end=10).decide(Situation(elapsed=9)).action == "none"
    assert ForecastPolicy(latest_end=10).decide(Situation(elapsed=11)).action == "abort"


@pytest.mark.parametrize(
    ("field", "value"),
    [("longest_pause", 0), ("longest_pause", float("nan")), ("latest_end", -1), ("throttle", 1), ("post_copy", None),
     ("otherwise", "pray"), ("patience", -1), ("per_gib", 0)],
)  # fmt: skip
def test_a_budget_that_cannot_be_is_refused_by_name(field, value):
    with pytest.raises(ConvergenceError, match=field):
        ForecastPolicy(**{field: value})


def test_where_nothing_is_foreseen_the_limit_rises_in_nova_s_steps_to_the_longest_pause():
    policy = ForecastPolicy(longest_pause=0.4)
    nova = NovaPolicy(downtime=400, completion_timeout=0)
    for elapsed, now in ((1, 40), (160, 40), (160, 76), (1e6, 40)):
        seen = Situation(elapsed=elapsed, current_downtime=now)
        assert policy.decide(seen).downtime_ms == nova.decide(seen).downtime_ms
    assert policy.decide(Situation(elapsed=160, current_downtime=300)).downtime_ms is None  # never lowered
    brief = ForecastPolicy(longest_pause=0.001).decide(Situation(elapsed=0.1))
    assert (brief.downtime_ms, brief.action) == (1, "none")
