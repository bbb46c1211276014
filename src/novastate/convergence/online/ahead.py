"""What a migration that runs has come to, and what is ahead of it: the answer of `novastate.convergence.online.watch`.

Rules: s, bytes, shares of 1. A number that there is not is None, never NaN; every other is finite and not negative.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from novastate.convergence import bounds
from novastate.convergence.online.stalls import Stall
from novastate.convergence.policies.base import Advice

__all__ = ["Ahead", "Outlook"]

_UNASKED = Advice(None, "none", "nothing was asked")


@attrs.frozen
class Ahead:
    """What would come under one downtime limit: *eta* s, *downtime* s of pause (None where it never converges), *probability*
    of completing (in time), the highest *throttle*, 0 to 1.
    """

    eta: float | None
    downtime: float | None
    probability: float
    throttle: float


@attrs.frozen
class Outlook:
    """What a migration has come to, and what is ahead of it.

    *elapsed* s since the request; *progress* 0 to 1, by time where there is an eta, else by memory; *eta*: s until it is done, if
    it comes to that, and *eta_interval*: where that lies with 90 % probability, what was known before being wrong now and then;
    *downtime*: the pause that is expected, s; all
    None where it hardly can (*downtime* as well where the pause is past). *converges*: whether it does, in time where there is a
    timeout; *probability* of that as it is now, 0.02 to 0.98 as a forecast's while it may still go either way, 0 or 1 once it is over
    and 1 in post-copy, which has no way back; *steady*: s for which *converges* was the same; *stalled*: whether it gets nowhere;
    *throttle*: the highest that it will need, 0 to 1; *rounds*: counted so far; *advice*: the policy's; *reason*: one sentence.
    *post_copy*, *data_gb* (GiB) and *current_downtime* (ms) as in `Situation`.
    """

    elapsed: float
    progress: float
    eta: float | None
    eta_interval: tuple[float, float] | None
    downtime: float | None
    converges: bool
    probability: float
    steady: float
    stalled: Stall | None
    throttle: float
    rounds: int
    reason: str
    post_copy: bool = False
    data_gb: float = 2.0
    current_downtime: int | None = None
    advice: Advice = _UNASKED
    _future: Callable[[float], Ahead] | None = attrs.field(default=None, alias="future", repr=False, eq=False)

    def under(self, downtime: float) -> Ahead:
        """What would come with a downtime limit of *downtime* s; raises `ConvergenceError` for one that cannot be."""
        limit = bounds.number("downtime", downtime, 0, bounds.LONGEST_PAUSE)
        if self._future is None:
            return Ahead(self.eta, self.downtime, self.probability, self.throttle)
        return self._future(limit)

    def as_json(self) -> dict[str, object]:
        """As plain data, in s; null where there is no number."""
        return {
            "elapsed_s": self.elapsed,
            "progress": self.progress,
            "eta_s": self.eta,
            "eta_interval": None if self.eta_interval is None else list(self.eta_interval),
            "downtime_s": self.downtime,
            "converges": self.converges,
            "probability": self.probability,
            "steady_s": self.steady,
            "stalled": None if self.stalled is None else self.stalled.value,
            "throttle": self.throttle,
            "rounds": self.rounds,
            "post_copy": self.post_copy,
            "advice": {
                "action": self.advice.action,
                "downtime_ms": self.advice.downtime_ms,
                "reason": self.advice.reason,
            },
            "reason": self.reason,
        }
