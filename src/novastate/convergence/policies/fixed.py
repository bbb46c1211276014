"""The policy of one's own timeout: nothing is changed, and then it is ended."""

from __future__ import annotations

from typing import get_args

import attrs

from novastate.convergence import bounds
from novastate.convergence.policies.base import MOST, Advice, SituationLike, TimeoutAction, check_situation, overdue

__all__ = ["FixedPolicy"]


@attrs.frozen
class FixedPolicy:
    """Leaves the downtime limit as it was set, and acts at every look later than *timeout* s (None: never; 1e9 at most).

    *timeout_action*: ``"abort"`` or ``"force_complete"``. Raises `ConvergenceError` naming the field.

    >>> from novastate.convergence import Situation
    >>> FixedPolicy(timeout=20).decide(Situation(elapsed=21)).action
    'abort'
    """

    timeout: float | None = attrs.field(default=None, validator=bounds.valid(0, MOST, optional=True))
    timeout_action: TimeoutAction = attrs.field(default="abort", validator=bounds.one_of(*get_args(TimeoutAction)))

    def decide(self, outlook: SituationLike) -> Advice:
        """The timeout action once its time has come, else nothing."""
        check_situation(outlook)
        if overdue(outlook, self.timeout):
            return Advice(None, self.timeout_action, f"not complete after {self.timeout:g} s")
        return Advice(None, "none", "the downtime limit is fixed")
