"""Policies: what a control plane does to a running live migration. Here is Nova's own, exactly.

Rules (nova/virt/libvirt/migration.py: ``downtime_steps``, ``update_downtime``, ``should_abort``; asked at
every poll of the monitor, 0.5 s apart):

- *downtime steps*: the downtime limit rises from ``downtime / steps`` to ``downtime`` in *steps* equal
  rises, ``int(downtime_delay * data_gb)`` seconds apart. The last step whose time is strictly below the
  elapsed time holds; it is set only where it differs from the limit now.
- *completion timeout*: ``int(completion_timeout * data_gb)`` seconds; at any poll strictly later the
  timeout action is asked for, each time anew (there is no latch), but never once the migration is in
  post-copy. 0 switches it off.
- *data_gb*: the flavor's memory in GiB, at least 2, plus, for a block migration, each migrated local disk
  in GiB, at least 2 each.

A policy is pure: it holds no clock and remembers nothing, so one object serves all migrations.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol, runtime_checkable

import attrs

from novastate.convergence import bounds
from novastate.errors import ConvergenceError

__all__ = ["Advice", "FixedPolicy", "NovaPolicy", "Policy", "Situation", "SituationLike", "data_gb", "horizon"]

#: What to do with the job: leave it, abort it, or make it complete (post-copy where permitted, else pause).
JobAction = Literal["none", "abort", "force_complete"]
#: What Nova does when the completion timeout has passed.
TimeoutAction = Literal["abort", "force_complete"]


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


#: The largest number of GiB, of seconds, and of milliseconds; and of downtime steps.
_MOST, _MOST_STEPS = 1e9, 100_000


def _is_flag(_: object, attribute: attrs.Attribute[bool], value: object) -> None:
    bounds.flag(attribute.name, value)


@attrs.frozen
class Situation:
    """How one live migration stands: *elapsed* in s, *post_copy*, *data_gb* in GiB, *current_downtime* in ms.

    Raises `ConvergenceError` for a negative number, NaN, and more than 1e9.
    """

    elapsed: float = attrs.field(validator=bounds.valid(0, _MOST))
    post_copy: bool = attrs.field(default=False, validator=_is_flag)
    data_gb: float = attrs.field(default=2.0, validator=bounds.valid(0, _MOST))
    current_downtime: int | None = attrs.field(default=None, validator=bounds.valid(0, _MOST, optional=True))


@attrs.frozen
class Advice:
    """What a policy wants done now.

    `downtime_ms` is the downtime limit to set, or None to leave it; `action` is for the job; `reason` is one
    sentence for the operator.
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


def data_gb(memory_mb: float, disk_bytes: Iterable[float] = ()) -> float:
    """Nova's measure of what a migration moves, in GiB.

    *memory_mb* is the flavor's memory in MiB; *disk_bytes* are the sizes of the local disks that a block
    migration copies. Memory and each disk count as 2 GiB at least.

    >>> data_gb(512)
    2.0
    >>> data_gb(4096, [10 * 2**30, 1])
    16.0
    """
    ram = max(2.0, bounds.number("memory_mb", memory_mb) / 1024.0)
    return ram + sum(max(2.0, bounds.number("disk_bytes", size) / 2.0**30) for size in disk_bytes)


def horizon(policy: Policy, data_gb: float) -> float | None:
    """Seconds after which *policy* gives up, or forces, a migration of *data_gb* GiB; None where it never does, or does not say."""
    if isinstance(policy, NovaPolicy):
        return policy.timeout(data_gb)
    return policy.timeout if isinstance(policy, FixedPolicy) else None


def _known_action(_: object, attribute: attrs.Attribute[TimeoutAction], value: TimeoutAction) -> None:
    if value not in ("abort", "force_complete"):
        raise ConvergenceError(attribute.name, value, "is no action", ("abort", "force_complete"))


@attrs.frozen
class NovaPolicy:
    """Nova's rules for a live migration under way; the defaults and least values are Nova's options.

    *downtime* in ms (``live_migration_downtime``), *downtime_steps* (``…_steps``), *downtime_delay* in
    s per GiB (``…_delay``), *completion_timeout* in s per GiB (0: none), *timeout_action* ``"abort"`` or
    ``"force_complete"``. Raises `ConvergenceError` for a value that Nova's option would refuse, for more than
    100 000 steps, and for any other number above 1e9.

    >>> NovaPolicy(downtime=400, downtime_delay=30).steps(3)[:3]
    [(0, 40), (90, 76), (180, 112)]
    >>> NovaPolicy().decide(Situation(elapsed=1601, data_gb=2, current_downtime=500)).action
    'abort'
    """

    downtime: int = attrs.field(default=500, validator=bounds.valid(100, _MOST, integer=True))
    downtime_steps: int = attrs.field(default=10, validator=bounds.valid(3, _MOST_STEPS, integer=True))
    downtime_delay: int = attrs.field(default=75, validator=bounds.valid(3, _MOST, integer=True))
    completion_timeout: int = attrs.field(default=800, validator=bounds.valid(0, _MOST, integer=True))
    timeout_action: TimeoutAction = attrs.field(default="abort", validator=_known_action)

    def steps(self, data_gb: float) -> list[tuple[int, int]]:
        """The downtime steps for *data_gb* GiB: (from this many seconds on, limit in ms), rising."""
        delay = int(self.downtime_delay * bounds.number("data_gb", data_gb, 0, _MOST))
        base = self.downtime / self.downtime_steps
        offset = (self.downtime - base) / self.downtime_steps
        return [(int(delay * i), int(base + offset * i)) for i in range(self.downtime_steps + 1)]

    def timeout(self, data_gb: float) -> int | None:
        """Seconds until the timeout action for *data_gb* GiB, or None where there is no timeout."""
        size = bounds.number("data_gb", data_gb, 0, _MOST)
        return int(self.completion_timeout * size) if self.completion_timeout else None

    def decide(self, outlook: SituationLike) -> Advice:
        """What Nova's monitor would do at this poll: a new downtime limit, the timeout action, both, or neither."""
        step = self._step(outlook)
        limit = self.timeout(outlook.data_gb)
        if limit is not None and outlook.elapsed > limit and not outlook.post_copy:
            return Advice(
                step,
                self.timeout_action,
                f"not complete after {outlook.elapsed:.0f} s, the completion timeout is {limit} s",
            )
        if step is not None:
            return Advice(step, "none", f"after {outlook.elapsed:.0f} s the pause may last {step} ms")
        return Advice(None, "none", "the present downtime limit holds")

    def _step(self, outlook: SituationLike) -> int | None:
        due = [ms for start, ms in self.steps(outlook.data_gb) if start < outlook.elapsed]
        return due[-1] if due and due[-1] != outlook.current_downtime else None


@attrs.frozen
class FixedPolicy:
    """Leaves the downtime limit as it was set, and acts once after *timeout* seconds (None: never; 1e9 at most).

    >>> FixedPolicy(timeout=20).decide(Situation(elapsed=21)).action
    'abort'
    """

    timeout: float | None = attrs.field(default=None, validator=bounds.valid(0, _MOST, optional=True))
    timeout_action: TimeoutAction = attrs.field(default="abort", validator=_known_action)

    def decide(self, outlook: SituationLike) -> Advice:
        """The timeout action once its time has come, else nothing."""
        if self.timeout is not None and outlook.elapsed > self.timeout and not outlook.post_copy:
            return Advice(None, self.timeout_action, f"not complete after {self.timeout:g} s")
        return Advice(None, "none", "the downtime limit is fixed")
