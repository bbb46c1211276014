"""What comes of a policy in the simulator."""

from __future__ import annotations

from novastate.convergence import ForecastPolicy, Guest, Limits, Link, WriteLaw
from novastate.convergence.trial import try_policy


def test_a_pause_longer_than_the_budget_is_foreseen_and_the_limit_lowered():
    guest = Guest(2**31, 0, 4096, WriteLaw.uniform(20_000, 60_000).curve(2**19))
    trial = try_policy(guest, Link(None, 2e8), ForecastPolicy(longest_pause=0.15), limits=Limits(1.0))
    assert trial.completed
    assert 0.05 < trial.pause <= 0.15
    assert trial.actions[0][1].downtime_ms < 150
