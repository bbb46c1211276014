"""What would come of a policy: one migration in the simulator, polled and acted upon as a control plane would.

Rules: the policy sees what a poll every `POLL` seconds shows (Nova's interval) and nothing else; `ForecastPolicy` gets the outlook of
a `Watch` that knows of the guest what it is given, every other policy the time. Its limits take effect at the next slot; a forced
completion switches to post-copy where the rules permit it, else pauses the guest.
"""

from __future__ import annotations

import math

import attrs

from novastate.convergence import bounds
from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.online.watch import Watch
from novastate.convergence.policies.base import Advice, Policy, Situation, SituationLike, advised, check_policy
from novastate.convergence.policies.forecast import ForecastPolicy
from novastate.convergence.policies.nova import data_gb
from novastate.convergence.rules import Rules
from novastate.convergence.simulation.laws import PAGE, WriteLaw
from novastate.convergence.simulation.setup import SimulationSetup, Status
from novastate.convergence.simulation.simulator import PreCopySimulation
from novastate.errors import ConvergenceError

__all__ = ["Trial", "try_policy"]

#: Seconds between two polls, and after which a migration that nobody ends is left (Nova's default timeout is 1600 s at least).
POLL, LONGEST = 0.5, 2000.0
_MIB = 1 << 20


@attrs.frozen
class Trial:
    """How it ended: *status*; *total* s from the request, *pause* s that the guest stood still (a pause that forced it included),
    *transferred* bytes until the end, also of an abort; *actions*: (s, what the policy had done).
    """

    status: Status
    total: float
    pause: float
    transferred: int
    actions: tuple[tuple[float, Advice], ...]

    @property
    def completed(self) -> bool:
        """Whether the guest has arrived."""
        return self.status is Status.COMPLETED


def try_policy(
    guest: Guest,
    link: Link,
    policy: Policy,
    *,
    limits: Limits | None = None,
    rules: Rules | None = None,
    known: Guest | None = None,
    seed: int = 1,
    longest: float = LONGEST,
) -> Trial:
    """Migrates *guest* in the simulator under *policy*, from *limits*' downtime on; a timeout there is none but the policy's.

    *known*: the guest as it was known before, where that is not how it is. Raises `ConvergenceError` for pages that are not of 4 KiB,
    which alone are simulated, and for what is no policy or gives no advice.
    """
    check_policy(policy)
    limits, rules = limits or Limits(), rules or Rules.qemu()
    if guest.page_size != PAGE:
        raise ConvergenceError("page_size", guest.page_size, f"is not simulated, {PAGE} is")
    bounds.number("longest", longest, 0, bounds.LONGEST)
    setup = SimulationSetup.of(link, attrs.evolve(limits, timeout=None), rules, post_copy_after=0)
    zero = min(round(guest.zero_pages), guest.pages)
    law = WriteLaw.from_curve(guest.curve, guest.busy)
    run = PreCopySimulation(guest.pages, law, setup, zero_pages=zero, seed=seed)
    size = data_gb(guest.memory / _MIB)
    watch: Watch | None = None
    if isinstance(policy, ForecastPolicy):
        patient = attrs.evolve(limits, timeout=policy.end(size))
        # A switch by itself is none of the policy's: it is told of one that it makes.
        plain = attrs.evolve(rules, post_copy=False)
        watch = Watch(known or guest, link, patient, plain, policy=policy, size=size)
    limit, running, forced = limits.downtime, True, math.inf
    actions: list[tuple[float, Advice]] = []
    now = 0.0
    while now < longest:
        now += POLL
        if run.advance(now).ended:
            break
        seen: SituationLike
        look = attrs.evolve(run.statistics, elapsed=run.statistics.elapsed + rules.begin)
        if watch is not None:
            seen = watch.observe(look, downtime=limit, running=running)
        else:
            seen = Situation(look.elapsed, look.post_copy, size, round(1000 * limit) if actions else None)
        advice = advised(policy, seen)
        if advice.downtime_ms is not None:
            limit = advice.downtime_ms / 1000
            run.set_downtime(limit)
            actions.append((look.elapsed, advice))
        if advice.action != "none" and running and not look.post_copy:
            actions += [(look.elapsed, advice)] if advice.downtime_ms is None else []
            if advice.action == "abort":
                run.abort()
            elif not run.start_post_copy():
                running, forced = False, now
                run.set_running(running=False)
    end = min(now, run.finished_at or now) if run.status.ended else now
    pause = run.downtime + max(0.0, end - run.downtime - forced)
    return Trial(run.status, end + rules.begin, pause, run.statistics.processed, tuple(actions))
