"""What is asked of a running migration's statistics, and what no migration can say.

Rules: bytes, seconds, pages; a number that no migration has, that goes backwards, or that is plainly of another unit, is a
`ConvergenceError` that names the field. Counters of QEMU (``query-migrate``, libvirt's job statistics) only grow: time, bytes sent,
zero pages, bitmap syncs.

Where bitmap syncs are not counted (KubeVirt's metrics have no count), the fewest are taken that explain the rest: until the first sync what
remains falls by all that is sent, and by zero pages, which are hardly any bytes; so what has gone by more than that was zero, and
where it has gone by less, or rises, a bitmap was synced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from novastate.convergence import bounds
from novastate.errors import ConvergenceError

__all__ = ["Sample", "Statistics", "in_milliseconds", "job_over"]

#: Devices migrate besides the guest's memory; by more than this factor it is another unit, or another guest.
_OTHER_UNIT = 8.0
#: What `type` says of a job that runs no more (libvirt's VIR_DOMAIN_JOB_*), in words; "none" also of one that has not begun.
_OVER = {"completed", "failed", "cancelled", "none"}
_GROWING = ("elapsed", "memory_processed", "iteration", "constant")
#: Bytes on the wire of a page's header, and of a zero page (migration/ram.c).
_HEADER, _ZERO = 8, 9
#: By how much bytes sent and bytes that remain may disagree by themselves: what multifd's channels hold, and a share for headers.
_SLACK, _SLACK_SHARE = 4 << 20, 1 / 256
#: How much less is sent than in the time there is, where that time is in ms; bandwidths and looks are not as steady as clocks.
_MILLISECONDS = (600.0, 1700.0)


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
        """Bitmap syncs so far, the first included; 0 where they are not counted, though bytes were sent: then they are inferred."""
        ...

    @property
    def constant(self) -> int:
        """Pages sent as zero pages; 0 where neither they nor syncs are counted."""
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
    """`Statistics` at one moment, checked; *counted*: whether *iteration* and *constant* were told, else they are inferred."""

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
    counted: bool = True

    @classmethod
    def of(cls, stats: Statistics, memory: float, before: Sample | None = None, page: int = 4096) -> Sample:
        """*stats* of a guest of *memory* bytes in pages of *page*, after *before*; raises `ConvergenceError` that names what cannot be."""

        def number(field: str, high: float = 2.0**63) -> float:
            return bounds.number(f"stats.{field}", getattr(stats, field), 0, high)

        if isinstance(stats, Mapping) or not hasattr(stats, "elapsed"):
            why = "must be statistics: JobStats.from_libvirt makes them of libvirt's dictionary, JobStats.from_qmp of query-migrate's"
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
        if not sample.iteration and sample.memory_processed and sample.memory_remaining < total:
            sample = sample._inferred(before, page)
        for field in () if before is None else sample.fallen(before):
            raise ConvergenceError(
                f"stats.{field}", getattr(stats, field), f"must not fall: it was {getattr(before, field)} before"
            )
        return sample

    def fallen(self, before: Sample) -> tuple[str, ...]:
        """The counters that are lower than at *before*; none where this is a later moment of the same migration."""
        told = _GROWING if self.counted and before.counted else _GROWING[:2]
        return tuple(field for field in told if getattr(self, field) < getattr(before, field))

    def _inferred(self, before: Sample | None, page: int) -> Sample:
        """The same where syncs are not counted: as many as there were at least; after *before*, unless those were counted."""
        if before is not None and before.iteration and before.counted:
            return self
        last = before if before is not None and before.iteration else None
        gone, sent = self.memory_total - self.memory_remaining, self.memory_processed
        syncs = 2 if _more(sent, gone) else 1
        if last is not None:
            again = _more(sent - last.memory_processed, last.memory_remaining - self.memory_remaining)
            syncs = max(syncs, last.iteration + again)
        constant = self.constant or (0.0 if last is None else last.constant)
        if syncs == 1 and not self.constant:
            zero = (gone / page * (page + _HEADER) - sent) / (page + _HEADER - _ZERO)
            constant = max(constant, min(zero, gone / page))
        return attrs.evolve(self, iteration=syncs, constant=constant, counted=False)


def _more(sent: float, gone: float) -> bool:
    """Whether more bytes were *sent* than have *gone* from what remains: a sync has found some."""
    return sent * (1.0 - _SLACK_SHARE) - _SLACK > gone


def in_milliseconds(before: Sample, now: Sample) -> bool | None:
    """Whether the time between two looks is a thousand times of what the bytes took that were sent in it; None where nothing was, or where
    it is not known how fast.
    """
    sent, took = now.memory_processed - before.memory_processed, now.elapsed - before.elapsed
    pace = min(before.memory_bps, now.memory_bps)
    if sent <= 0 or took <= 0 or pace <= 0:
        return None
    return _MILLISECONDS[0] <= pace * took / sent <= _MILLISECONDS[1]


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
