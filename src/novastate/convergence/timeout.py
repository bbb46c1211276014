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


def deadline_of(limits: Limits, rules: Rules) -> float:
    """When the guest is stopped whatever remains, s from the hypervisor's start; 0: never."""
    return looked_at(limits, rules) if rules.ignores_timeout else 0.0


def decided(rules: Rules, total: float, pause: float, last_round: float) -> float:
    """What must not be later than the timeout: the end, *total*, or the last look but that which ended it.

    *total* may be infinite (never), *pause* is in s, as *last_round*, which is the time between those two looks. 0 where nothing is
    given up.
    """
    if rules.ignores_timeout and total < math.inf:
        return 0.0
    return total - pause - last_round if asks_first(rules) else total
