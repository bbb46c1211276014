"""Nova's policy, exactly.

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
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import attrs

from novastate.convergence import bounds
from novastate.convergence.policies.base import MOST, Advice, SituationLike, TimeoutAction, check_situation, overdue

__all__ = ["NovaPolicy", "data_gb", "downtime_steps"]

#: The most downtime steps; Nova's defaults: their number, and seconds per GiB between them.
_MOST_STEPS, _STEPS, _DELAY = 100_000, 10, 75


def data_gb(memory_mb: float, disk_bytes: Iterable[float] = ()) -> float:
    """Nova's measure of what a migration moves, in GiB.

    *memory_mb* is the flavor's memory in MiB; *disk_bytes* are the sizes of the local disks that a block
    migration copies. Memory and each disk count as 2 GiB at least.

    >>> data_gb(512)
    2.0
    >>> data_gb(4096, [10 * 2**30, 1])
    16.0
    """
    disks = bounds.entries("disk_bytes", disk_bytes, object)
    ram = max(2.0, bounds.number("memory_mb", memory_mb) / 1024.0)
    return ram + sum(max(2.0, bounds.number("disk_bytes", size) / 2.0**30) for size in disks)


def downtime_steps(downtime: float, size: float, count: int = _STEPS, delay: int = _DELAY) -> list[tuple[int, int]]:
    """The rises up to *downtime* ms for *size* GiB: (from this many seconds on, limit in ms)."""
    wait = int(delay * bounds.number("data_gb", size, 0, MOST))
    base = downtime / count
    offset = (downtime - base) / count
    return [(wait * i, int(base + offset * i)) for i in range(count + 1)]


@attrs.frozen
class NovaPolicy:
    """Nova's rules for a live migration under way; the defaults and least values are Nova's options.

    *downtime* in ms (``live_migration_downtime``), *downtime_steps* (``…_steps``), *downtime_delay* in
    s per GiB (``…_delay``), *completion_timeout* in s per GiB (0: none), *timeout_action* ``"abort"`` or
    ``"force_complete"``. Raises `ConvergenceError` for a value that Nova's option would refuse, for more than
    100 000 steps, and for any other number above 1e9.

    >>> from novastate.convergence import Situation
    >>> NovaPolicy(downtime=400, downtime_delay=30).steps(3)[:3]
    [(0, 40), (90, 76), (180, 112)]
    >>> NovaPolicy().decide(Situation(elapsed=1601, data_gb=2, current_downtime=500)).action
    'abort'
    """

    downtime: int = attrs.field(default=500, validator=bounds.valid(100, MOST, integer=True))
    downtime_steps: int = attrs.field(default=_STEPS, validator=bounds.valid(3, _MOST_STEPS, integer=True))
    downtime_delay: int = attrs.field(default=_DELAY, validator=bounds.valid(3, MOST, integer=True))
    completion_timeout: int = attrs.field(default=800, validator=bounds.valid(0, MOST, integer=True))
    timeout_action: TimeoutAction = attrs.field(default="abort", validator=bounds.one_of(*get_args(TimeoutAction)))

    def steps(self, data_gb: float) -> list[tuple[int, int]]:
        """The downtime steps for *data_gb* GiB: (from this many seconds on, limit in ms), rising."""
        return downtime_steps(self.downtime, data_gb, self.downtime_steps, self.downtime_delay)

    def timeout(self, data_gb: float) -> int | None:
        """Seconds until the timeout action for *data_gb* GiB, or None where there is no timeout."""
        size = bounds.number("data_gb", data_gb, 0, MOST)
        return int(self.completion_timeout * size) if self.completion_timeout else None

    def decide(self, outlook: SituationLike) -> Advice:
        """What Nova's monitor would do at this poll: a new downtime limit, the timeout action, both, or neither."""
        check_situation(outlook)
        step = self._step(outlook)
        limit = self.timeout(outlook.data_gb)
        if overdue(outlook, limit):
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
