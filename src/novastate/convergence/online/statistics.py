"""What is asked of a running migration's statistics, and what no migration can say.

Rules: bytes, seconds, pages; a number that no migration has, that goes backwards, or that is plainly of another unit, is a
`ConvergenceError` that names the field. Counters of QEMU (``query-migrate``, libvirt's job statistics) only grow: time, bytes sent,
zero pages, bitmap syncs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from novastate.convergence import bounds
from novastate.errors import ConvergenceError

__all__ = ["Sample", "Statistics", "job_over"]

#: Devices migrate besides the guest's memory; by more than this factor it is another unit, or another guest.
_OTHER_UNIT = 8.0
#: What `type` says of a job that runs no more (libvirt's VIR_DOMAIN_JOB_*), in words; "none" also of one that has not begun.
_OVER = {"completed", "failed", "cancelled", "none"}
_GROWING = ("elapsed", "memory_processed", "iteration", "constant")


class Statistics(Protocol):
    """A moment of a migration: bytes, seconds, pages (`novastate.drivers.JobStats` is one)."""

    @property
    def elapsed(self) -> float:
        """Seconds since the request."""
        ...

    @property
    def memory_total(self) -> int:
        """Bytes of memory that migrate; 0 while that is not known."""
        ...

    @property
    def memory_processed(self) -> int:
        """Bytes that memory has taken on the wire."""
        ...

    @property
    def memory_remaining(self) -> int:
        """Bytes that are known to be unsent."""
        ...

    @property
    def memory_bps(self) -> int:
        """Bytes a second on the wire; 0 where it is not known."""
        ...

    @property
    def disk_remaining(self) -> int:
        """Bytes of disk that go out before the memory."""
        ...

    @property
    def dirty_rate(self) -> int:
        """Pages newly dirtied a second; 0 where it is not known."""
        ...

    @property
    def iteration(self) -> int:
        """Bitmap syncs so far, the first included."""
        ...

    @property
    def constant(self) -> int:
        """Pages sent as zero pages."""
        ...

    @property
    def throttle(self) -> float:
        """Share of vCPU time withheld."""
        ...

    @property
    def post_copy(self) -> bool:
        """Whether the guest runs on the destination already."""
        ...


@attrs.frozen
class Sample:
    """`Statistics` at one moment, checked."""

    elapsed: float
    memory_total: float
    memory_processed: float
    memory_remaining: float
    memory_bps: float
    disk_remaining: float
    dirty_rate: float
    iteration: int
    constant: float
    throttle: float
    post_copy: bool

    @classmethod
    def of(cls, stats: Statistics, memory: float, before: Sample | None = None) -> Sample:
        """*stats* of a guest of *memory* bytes, after *before*; raises `ConvergenceError` that names what cannot be."""

        def number(field: str, high: float = 2.0**63) -> float:
            return bounds.number(f"stats.{field}", getattr(stats, field), 0, high)

        if isinstance(stats, Mapping) or not hasattr(stats, "elapsed"):
            why = "must be statistics; JobStats.from_libvirt makes them of libvirt's dictionary"
            raise ConvergenceError("stats", stats, why)
        bounds.flag("stats.post_copy", stats.post_copy)
        sample = cls(
            elapsed=number("elapsed", bounds.LONGEST),
            memory_total=number("memory_total"),
            memory_processed=number("memory_processed"),
            memory_remaining=number("memory_remaining"),
            memory_bps=number("memory_bps"),
            disk_remaining=number("disk_remaining"),
            dirty_rate=number("dirty_rate"),
            iteration=bounds.whole("stats.iteration", stats.iteration, 0, 2**31),
            constant=number("constant"),
            throttle=number("throttle", 1.0),
            post_copy=stats.post_copy,
        )
        total = sample.memory_total
        if total and not memory / _OTHER_UNIT <= total <= memory * _OTHER_UNIT:
            raise ConvergenceError(
                "stats.memory_total", stats.memory_total, f"is not the memory of this guest, {memory:.0f} bytes"
            )
        if total and sample.memory_remaining > total:
            raise ConvergenceError(
                "stats.memory_remaining", stats.memory_remaining, f"is more than memory_total, {total:.0f} bytes"
            )
        for field in () if before is None else sample.fallen(before):
            raise ConvergenceError(
                f"stats.{field}", getattr(stats, field), f"must not fall: it was {getattr(before, field)} before"
            )
        return sample

    def fallen(self, before: Sample) -> tuple[str, ...]:
        """The counters that are lower than at *before*; none where this is a later moment of the same migration."""
        return tuple(field for field in _GROWING if getattr(self, field) < getattr(before, field))


def job_over(stats: Statistics, *, seen: bool) -> str | None:
    """As what the job of *stats* has ended: "completed", "failed", "cancelled", or "none", there is no job any more; None while it
    runs, where the statistics have no `type`, and where there is none yet: nothing counted, and nothing *seen* before.
    """
    kind = getattr(stats, "type", None)
    kind = getattr(kind, "value", kind)
    if not isinstance(kind, str) or kind not in _OVER:
        return None
    begun = seen or stats.memory_processed > 0 or stats.iteration > 0
    return kind if begun or kind != "none" else None
