"""A recorded migration, watched again as if it ran.

Rules: what is fed is what the job's statistics said, one look after the other, and nothing else of what happened; what was known before
the start comes from the same parts of the recording that a forecast uses. A recording holds its looks as ``job_stats`` (the names of
its fields once, then rows of numbers), or as ``samples``, an object each, in libvirt's own names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import attrs

from novastate.convergence import bounds
from novastate.convergence.guest import Guest
from novastate.convergence.online.ahead import Outlook
from novastate.convergence.online.watch import Watch
from novastate.convergence.policies.base import Advice, Policy
from novastate.convergence.recordings import Recording, Source
from novastate.errors import ConvergenceError

__all__ = ["Look", "Replay", "looks", "replay_recording"]

#: libvirt's names (virDomainGetJobStats) of what a look holds.
_NAMES = {
    "memory_total": "memory_total",
    "memory_processed": "memory_processed",
    "memory_remaining": "memory_remaining",
    "memory_bps": "memory_bps",
    "disk_remaining": "disk_remaining",
    "dirty_rate": "memory_dirty_rate",
    "iteration": "memory_iteration",
    "constant": "memory_constant",
}


@attrs.frozen
class Look:
    """One look at a recorded migration; a `Statistics`."""

    elapsed: float
    memory_total: int = 0
    memory_processed: int = 0
    memory_remaining: int = 0
    memory_bps: int = 0
    disk_remaining: int = 0
    dirty_rate: int = 0
    iteration: int = 0
    constant: int = 0
    throttle: float = 0.0
    post_copy: bool = False


@attrs.frozen
class Replay:
    """What would have been said at each look; *guest*: as it was known at the end, by what was counted; *total*: s that it took;
    *rounds*: those that were counted, as `DirtyCurve.from_rounds` takes them.
    """

    name: str
    outlooks: tuple[Outlook, ...] = attrs.field(repr=False)
    guest: Guest = attrs.field(repr=False)
    total: float | None
    rounds: tuple[tuple[float, float, float], ...] = attrs.field(default=(), repr=False)

    @property
    def actions(self) -> tuple[tuple[float, Advice], ...]:
        """Every advice to do something that was not given at the look before."""
        found = [(row.elapsed, row.advice) for row in self.outlooks]
        before = [Advice(None, "none", ""), *(advice for _, advice in found)]
        return tuple(
            (at, advice)
            for last, (at, advice) in zip(before, found, strict=False)
            if (advice.action, advice.downtime_ms) not in ((last.action, last.downtime_ms), ("none", None))
        )

    @property
    def flips(self) -> int:
        """How often the verdict changed."""
        return sum(one.converges is not other.converges for one, other in pairwise(self.outlooks))

    def at(self, share: float) -> Outlook | None:
        """The last outlook before *share* of the time had passed; None where it did not complete, or was not seen so early."""
        share = bounds.number("share", share)
        if self.total is None:
            return None
        seen = [row for row in self.outlooks if row.elapsed <= share * self.total]
        return seen[-1] if seen else None


def looks(recording: Recording) -> tuple[Look, ...]:
    """The looks of a recording, from the first to the last; raises `ConvergenceError` where it holds none, or no numbers."""
    found: list[Look] = []
    for at, row in enumerate(_rows(recording)):
        look = _look(at, row)
        if found and found[-1].memory_total and not look.memory_total:
            break  # the job is over: libvirt has no numbers of it any more
        found.append(look)
    if not found:
        raise ConvergenceError("samples", None, "must be statistics of the running migration")
    return tuple(found)


def _rows(recording: Recording) -> Iterator[Mapping[str, object]]:
    told = recording.data.get("job_stats")
    if isinstance(told, Mapping):
        fields, rows = told.get("fields"), told.get("rows")
        if not isinstance(fields, list) or not isinstance(rows, list):
            raise ConvergenceError("job_stats", None, "must hold fields and rows")
        for row in rows:
            if not isinstance(row, list) or len(row) != len(fields):
                raise ConvergenceError("job_stats.rows", row, f"must be rows of {len(fields)} numbers")
            yield dict(zip(map(str, fields), row, strict=True))
        return
    samples = recording.data.get("samples")
    switched = _switched(recording)
    for row in samples if isinstance(samples, list) else ():
        if isinstance(row, Mapping) and "time_elapsed" in row:
            at = row.get("t")
            yield {**row, "post_copy": isinstance(at, int | float) and at >= switched}


def _switched(recording: Recording) -> float:
    """When the source was stopped for post-copy (a libvirt lifecycle event: suspended, post-copy), s since the call."""
    events = recording.data.get("events")
    for row in events if isinstance(events, list) else ():
        if isinstance(row, list) and row[1:] == ["A", "lifecycle", [3, 7]] and isinstance(row[0], int | float):
            return float(row[0])
    return float("inf")


def _look(at: int, row: Mapping[str, object]) -> Look:
    def number(name: str) -> float:
        value = row.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -(2**63) < value < 2**63:
            raise ConvergenceError(f"samples[{at}].{name}", value, "must be a finite number")
        return value

    return Look(
        elapsed=number("time_elapsed") / 1000,
        throttle=number("auto_converge_throttle") / 100,
        post_copy=bool(row.get("post_copy", False)),
        **{field: int(number(name)) for field, name in _NAMES.items()},
    )


def replay_recording(
    recording: Recording, source: Source = "host", *, policy: Policy | None = None, seen: Iterable[Look] | None = None
) -> Replay:
    """Watches *recording* again, known before as *source* says, with *policy* asked at every look.

    Raises `ConvergenceError` that names the field for what the recording lacks, and for statistics that no migration has.
    """
    bounds.instance("recording", recording, Recording)
    watch = Watch(recording.guest(source), recording.link, recording.limits, recording.rules, policy=policy)
    outlooks = tuple(
        watch.observe(row) for row in (looks(recording) if seen is None else bounds.entries("seen", seen, Look))
    )
    outcome = recording.outcome
    total = None if outcome is None else outcome.total
    return Replay(recording.name, outlooks, watch.learnt, total, watch.counted)
