"""One migration in the simulator, from its start to its end: what a forecast is held against."""

from __future__ import annotations

from novastate.convergence import bounds
from novastate.convergence.guest import Limits, Link
from novastate.convergence.precopy import Verdict
from novastate.convergence.rules import Rules
from novastate.convergence.simulation.laws import PAGE
from novastate.convergence.simulation.setup import SimulationResult, SimulationSetup, Status
from novastate.convergence.simulation.simulator import PreCopySimulation
from novastate.convergence.simulation.timed import Law
from novastate.convergence.timeout import asks_first

__all__ = ["PATIENCE", "patience_of", "simulate"]

#: How long a migration without a timeout is followed after its first pass before it counts as one that never ends, in simulated
#: seconds; and as long again as that pass takes.
PATIENCE = 3600.0


def patience_of(setup: SimulationSetup, pages: int, zero_pages: int) -> float:
    """How long, in s, a migration by *setup* without a timeout is followed, its first pass of *pages* included."""
    full = pages - zero_pages
    first = max(
        (full * setup.wire + zero_pages * setup.wire_zero) / setup.quota * setup.slot,
        full * setup.first + zero_pages * setup.blank,
    )
    return min(PATIENCE + 2.0 * first, bounds.LONGEST)


def simulate(
    *,
    pages: int,
    law: Law,
    link: Link,
    limits: Limits | None = None,
    rules: Rules | None = None,
    seed: int = 0,
    zero_pages: int = 0,
    tail_pages: int | None = None,
    tail_zero: int = 215,
    host_page: int = PAGE,
) -> SimulationResult:
    """Runs one migration of a guest of *pages* pages that writes by *law*, to its end or its timeout.

    *link*, *limits* and *rules* as in `forecast`, with its defaults; *zero_pages*, *tail_pages*, *tail_zero* and *seed* as in
    `PreCopySimulation`; *host_page*: bytes of the pages that back the memory (4 KiB, 2 MiB or 1 GiB).
    The verdict without a timeout is NEVER where the first pass, as long again, and :data:`PATIENCE` simulated seconds were not enough
    (after the timeout, where Cloud Hypervisor only looks then: `Rules.cloud_hypervisor`).
    Pages are 4096 bytes, and at most 2**30 (4 TiB: every page has its bits; a forecast takes 2**40). Raises `ConvergenceError` for
    numbers that cannot be.

    >>> from novastate.convergence import WriteLaw
    >>> link = Link(limit=64 * 2**20)
    >>> result = simulate(pages=98304, law=WriteLaw.uniform(16384, 4096), link=link, zero_pages=32074, seed=1)
    >>> result.verdict.value, 4.6 < result.total < 5.1, result.downtime < 0.05
    ('converges', True, True)
    """
    limits = Limits() if limits is None else limits
    rules = Rules.qemu() if rules is None else rules
    for field, value, kind in (("link", link, Link), ("limits", limits, Limits), ("rules", rules, Rules)):
        bounds.instance(field, value, kind)
    setup = SimulationSetup.of(link, limits, rules, host_page=host_page)
    run = PreCopySimulation(
        pages, law, setup, zero_pages=zero_pages, tail_pages=tail_pages, tail_zero=tail_zero, seed=seed
    )
    # At a timeout that is ignored only the guest is stopped; and one may be looked at at the end of a round only.
    endless = limits.timeout is None or rules.ignores_timeout or asks_first(rules)
    patience = patience_of(setup, run.pages, zero_pages) if endless else -rules.begin
    status = run.advance((limits.timeout or 0.0) + patience)
    done = status is Status.COMPLETED
    late = status is Status.CANCELLED or not endless
    verdict = Verdict.CONVERGES if done else Verdict.TIMES_OUT if late else Verdict.NEVER
    end = run.finished_at if done else None
    return SimulationResult(
        verdict=verdict,
        total=None if end is None else end + rules.begin,
        hypervisor_total=end,
        downtime=run.downtime if done else None,
        transferred=run.statistics.processed if done else None,
        syncs=run.syncs,
        throttle=round(100 * run.highest),
        rounds=tuple(run.rounds),
        post_copy=run.post_copy if done else None,
    )
