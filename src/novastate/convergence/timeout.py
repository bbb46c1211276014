"""What a timeout ends, by the rules of the hypervisor.

Rule: QEMU knows no timeout, nor does Cloud Hypervisor before 52; whoever watches the migration gives it up when the time is over. From
52 on Cloud Hypervisor looks itself, but only at the end of a round, and asks first whether what is dirty fits the pause. So a migration
is given up only at a look past the timeout that finds too much: one that converges at a look does so however late that is, if the
look before it came before the timeout. With ``ignore`` it is never given up: there the guest is stopped at such a look.

Source: Cloud Hypervisor 52 vmm/src/lib.rs (do_memory_iterations, is_precopy_converged).
"""

from __future__ import annotations

import math

from novastate.convergence.guest import Limits
from novastate.convergence.rules import Rules

__all__ = ["asks_first", "deadline_of", "decided", "looked_at"]


def asks_first(rules: Rules) -> bool:
    """Whether the timeout ends only what has not converged at a look past it."""
    return rules.family != "qemu" and not rules.most_rounds and not rules.ignores_timeout


def looked_at(limits: Limits, rules: Rules) -> float:
    """When the timeout of the hypervisor itself is over, s from its start; 0: it has none."""
    own = rules.ignores_timeout or asks_first(rules)
    return max(limits.timeout - rules.begin, 1e-3) if limits.timeout and own else 0.0


def deadline_of(limits: Limits, rules: Rules, elapsed: float | None = None) -> float:
    """When the guest is stopped whatever remains, s from the hypervisor's start, or from *elapsed* s after the request on; 0: never."""
    if not rules.ignores_timeout or not limits.timeout:
        return 0.0
    return looked_at(limits, rules) if elapsed is None else max(limits.timeout - elapsed, 1e-3)


def decided(rules: Rules, total: float, pause: float, last_round: float) -> float:
    """What must not be later than the timeout: the end, *total*, or the last look but that which ended it.

    *total* may be infinite (never), *pause* is in s, as *last_round*, which is the time between those two looks. Minus infinity where
    nothing is given up.
    """
    if rules.ignores_timeout and total < math.inf:
        return -math.inf
    return total - pause - last_round if asks_first(rules) else total
