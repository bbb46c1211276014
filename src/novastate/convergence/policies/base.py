"""What a policy sees, what it says, and what holds for every one.

A policy is pure: it holds no clock and remembers nothing, so one object serves all migrations. What must not flap is steady in
the outlook (`Foreseen.steady`), or goes one way only.
"""

from __future__ import annotations

from typing import Literal, Protocol, cast, runtime_checkable

import attrs

from novastate.convergence import bounds
from novastate.convergence.online.stalls import Stall
from novastate.errors import ConvergenceError

__all__ = [
    "MOST",
    "Advice",
    "Foreseen",
    "JobAction",
    "Policy",
    "Prospect",
    "Situation",
    "SituationLike",
    "TimeoutAction",
    "advised",
    "check_policy",
    "check_situation",
    "overdue",
]

#: What to do with the job: leave it, abort it, or make it complete (post-copy where permitted, else pause).
JobAction = Literal["none", "abort", "force_complete"]
#: What is done when a time has passed.
TimeoutAction = Literal["abort", "force_complete"]
#: The largest number of GiB, of seconds, and of milliseconds.
MOST = 1e9


class SituationLike(Protocol):
    """What a policy looks at. `Situation` is one; the outlook of an estimator that watches is another."""

    @property
    def elapsed(self) -> float:
        """Seconds since the migration started."""
        ...

    @property
    def post_copy(self) -> bool:
        """Whether the guest already runs on the destination (status ``running (post-copy)``)."""
        ...

    @property
    def data_gb(self) -> float:
        """What has to move, in GiB, as `data_gb` counts it."""
        ...

    @property
    def current_downtime(self) -> int | None:
        """The downtime limit that was set last, in ms; None before the first."""
        ...


class Prospect(Protocol):
    """How a migration will end under one downtime limit."""

    @property
    def eta(self) -> float | None:
        """Seconds until it is done; None where it never is."""
        ...

    @property
    def downtime(self) -> float | None:
        """The pause, s; None where there is none any more, or never will be."""
        ...

    @property
    def probability(self) -> float:
        """That it completes (within the timeout, where there is one)."""
        ...

    @property
    def throttle(self) -> float:
        """The highest share of vCPU time that will be withheld."""
        ...


@runtime_checkable
class Foreseen(SituationLike, Prospect, Protocol):
    """A situation of which it is known what will come (`novastate.convergence.Outlook`)."""

    @property
    def stalled(self) -> Stall | None:
        """Whether it gets nowhere, and why."""
        ...

    @property
    def steady(self) -> float:
        """Seconds for which it was said to converge, or not to, without a break."""
        ...

    @property
    def rounds(self) -> int:
        """Whole rounds whose written pages were counted."""
        ...

    def under(self, downtime: float) -> Prospect:
        """What would come with a downtime limit of *downtime* s."""
        ...


@attrs.frozen
class Situation:
    """How one live migration stands: *elapsed* in s, *post_copy*, *data_gb* in GiB, *current_downtime* in ms.

    Raises `ConvergenceError` for a negative number, NaN, and more than 1e9.
    """

    elapsed: float = attrs.field(validator=bounds.valid(0, MOST))
    post_copy: bool = attrs.field(default=False, validator=bounds.flagged)
    data_gb: float = attrs.field(default=2.0, validator=bounds.valid(0, MOST))
    current_downtime: int | None = attrs.field(default=None, validator=bounds.valid(0, MOST, optional=True))


@attrs.frozen
class Advice:
    """What a policy wants done now.

    `downtime_ms` is the downtime limit to set, in ms, or None to leave it; `action` is for the job: ``"none"``, ``"abort"`` or
    ``"force_complete"`` (post-copy where permitted, else the guest is paused); `reason` is one sentence for the operator.
    """

    downtime_ms: int | None
    action: JobAction
    reason: str


@runtime_checkable
class Policy(Protocol):
    """Anything that answers `decide`."""

    def decide(self, outlook: SituationLike) -> Advice:
        """What to do now."""
        ...


def check_policy(policy: object) -> None:
    """Raises `ConvergenceError` for what is no `Policy`, a class among it."""
    if isinstance(policy, type) or not callable(getattr(policy, "decide", None)):
        raise ConvergenceError("policy", policy, "must be a policy: an object with a method decide")


def check_situation(outlook: object) -> None:
    """Raises `ConvergenceError` for what is no situation (`SituationLike`)."""
    if not all(hasattr(outlook, field) for field in ("elapsed", "post_copy", "data_gb", "current_downtime")):
        raise ConvergenceError("outlook", outlook, "must be a Situation, or an Outlook")


def advised(policy: Policy, outlook: SituationLike) -> Advice:
    """What *policy* says of *outlook*; raises `ConvergenceError` where that is no `Advice`."""
    advice = cast("object", policy.decide(outlook))
    if not isinstance(advice, Advice):
        raise ConvergenceError(
            "policy", policy, f"must give advice (novastate.convergence.Advice), it gave {advice!r:.60}"
        )
    return advice


def overdue(outlook: SituationLike, end: float | None) -> bool:
    """Whether *end*, s, has passed (strictly) of a migration that can still be ended; None never passes, nor does any in post-copy."""
    return end is not None and outlook.elapsed > end and not outlook.post_copy
