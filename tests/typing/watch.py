"""What a type checker sees of watching a migration: any object with the statistics will do, and every policy takes an outlook."""

from __future__ import annotations

from typing import assert_type

from novastate.convergence import (
    Advice,
    DirtyCurve,
    ForecastPolicy,
    Guest,
    Link,
    NovaPolicy,
    Outlook,
    Policy,
    Stall,
    Watch,
)
from novastate.convergence.policies.base import Foreseen
from novastate.drivers import JobStats, JobType

watch = Watch(Guest(2**30, 0, 4096, DirtyCurve((), 2**18)), Link(None), policy=NovaPolicy())
seen = watch.observe(JobStats(JobType.UNBOUNDED), downtime=0.3)
assert_type(seen, Outlook)
assert_type(seen.eta, float | None)
assert_type(seen.eta_interval, tuple[float, float] | None)
assert_type(seen.stalled, Stall | None)
assert_type(seen.advice, Advice)
assert_type(watch.learnt, Guest)

foreseen: Foreseen = seen
policies: list[Policy] = [NovaPolicy(), ForecastPolicy()]
assert_type(ForecastPolicy().decide(seen), Advice)
assert_type(NovaPolicy().decide(foreseen), Advice)
