"""What comes of a policy in the simulator."""

from __future__ import annotations

import pytest

from novastate.convergence import ForecastPolicy, Guest, Limits, Link, Rules, Watch, WriteLaw
from novastate.convergence.online.trial import try_policy
from novastate.convergence.simulation.setup import SimulationSetup
from novastate.convergence.simulation.simulator import PreCopySimulation


def test_a_watch_takes_what_a_simulation_says_of_itself():
    law, link, limits = WriteLaw.uniform(2000, 5000), Link(3e7), Limits(0.3)
    guest = Guest(2**28, 0, 4096, law.curve(2**16))
    run = PreCopySimulation(guest.pages, law, SimulationSetup.of(link, limits, Rules.qemu()))
    watch = Watch(guest, link, limits)
    for at in (1.0, 2.0, 4.0):
        run.advance(at)
        told = watch.observe(run.statistics)
    run.advance(60.0)
    assert told.elapsed + told.eta == pytest.approx(run.finished_at, rel=0.03)


def test_a_pause_longer_than_the_budget_is_foreseen_and_the_limit_lowered():
    guest = Guest(2**31, 0, 4096, WriteLaw.uniform(20_000, 60_000).curve(2**19))
    trial = try_policy(guest, Link(None, 2e8), ForecastPolicy(longest_pause=0.15), limits=Limits(1.0))
    assert trial.completed
    assert 0.05 < trial.pause <= 0.15
    assert trial.actions[0][1].downtime_ms < 150


def test_a_migration_in_its_last_half_second_is_left_alone():
    law = WriteLaw.sequential(17_755, 85_215).with_background()
    guest = Guest(2**28, int((2**16 - law.pages) * 0.3), 4096, law.curve(2**16), busy=1.0)
    policy = ForecastPolicy(longest_pause=0.05, latest_end=60)
    rules = Rules.qemu("10.0", auto_converge=True)
    trial = try_policy(guest, Link(2**25, 1.25e9), policy, limits=Limits(1.0), rules=rules, seed=0)
    assert (trial.completed, trial.actions) == (True, ())
    assert trial.pause < 0.05
