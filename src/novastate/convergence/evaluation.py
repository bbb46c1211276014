"""How good the forecasts are: recorded migrations against what would have been said before each.

Rules: errors are relative to what happened, of completed migrations that were forecast to complete; percentiles
are of their absolute values. The textbook's errors are of recordings for which the forecast too has a number, and
``total_error_beside_textbook`` is the forecast's over just those for which the textbook has one. A verdict is
*decided* where its probability is outside 0.1 to 0.9. A migration
given up before its forecast end counts as right when it was forecast not to complete in time.

Beside each forecast stands the textbook: rounds V <- D V / R with D the dirty rate over one second and R the
bandwidth limit, so total = M / R (1 - lambda^n) / (1 - lambda), lambda = D / R (Clark et al., NSDI'05;
Liu et al., HPDC'11), which stops after 30 rounds or where a round fits the downtime limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs

from novastate.convergence import bounds
from novastate.convergence.precopy import Forecast, Verdict
from novastate.convergence.recordings import SOURCES, Outcome, Recording, Source
from novastate.errors import ConvergenceError

__all__ = ["Comparison", "Evaluation", "closed_form", "evaluate"]


@attrs.frozen
class Comparison:
    """One recording: its forecast beside what happened, and the textbook's total (None: never)."""

    name: str
    plain: bool
    forecast: Forecast = attrs.field(repr=False)
    outcome: Outcome
    textbook: float | None

    @property
    def right(self) -> bool:
        """Whether the verdict was."""
        return (self.forecast.verdict is Verdict.CONVERGES) == self.outcome.completed

    @property
    def decided(self) -> bool:
        """Whether the forecast was sure of it."""
        return not 0.1 <= self.forecast.probability <= 0.9

    @property
    def total_error(self) -> float | None:
        """Relative error of the total time, or None where there is nothing to compare."""
        return _relative(self.forecast.total, self.outcome.total)

    @property
    def hypervisor_error(self) -> float | None:
        """The same without what passes before the hypervisor starts."""
        if self.outcome.total is None or self.outcome.begin is None:
            return None
        return _relative(self.forecast.hypervisor_total, self.outcome.total - self.outcome.begin)

    @property
    def bytes_error(self) -> float | None:
        """Relative error of the bytes sent."""
        return _relative(self.forecast.transferred, self.outcome.transferred)

    @property
    def downtime_error(self) -> float | None:
        """Error of the pause, s."""
        if self.forecast.downtime is None or self.outcome.downtime is None:
            return None
        return self.forecast.downtime - self.outcome.downtime

    @property
    def textbook_error(self) -> float | None:
        """Relative error of the textbook's total; None where the forecast has no error to stand beside it."""
        return None if self.total_error is None else _relative(self.textbook, self.outcome.total)

    @property
    def covered(self) -> bool | None:
        """Whether the interval holds the total."""
        return _holds(self.forecast.total_interval, self.outcome.total)

    @property
    def pause_covered(self) -> bool | None:
        """Whether the interval of the pause holds it."""
        return _holds(self.forecast.downtime_interval, self.outcome.downtime)

    @property
    def half_width(self) -> float | None:
        """Half of the interval, as a share of the forecast."""
        interval, total = self.forecast.total_interval, self.forecast.total
        return None if interval is None or not total else (interval[1] - interval[0]) / 2 / total

    def as_json(self) -> dict[str, object]:
        """The row as plain data."""
        interval = self.forecast.total_interval
        return {
            "name": self.name,
            "plain": self.plain,
            "verdict": self.forecast.verdict.value,
            "probability": self.forecast.probability,
            "completed": self.outcome.completed,
            "right": self.right,
            "decided": self.decided,
            "total_s": self.forecast.total,
            "total_interval": None if interval is None else list(interval),
            "actual_total_s": self.outcome.total,
            "total_error": self.total_error,
            "hypervisor_error": self.hypervisor_error,
            "bytes_error": self.bytes_error,
            "downtime_error_s": self.downtime_error,
            "covered": self.covered,
            "downtime_covered": self.pause_covered,
            "textbook_total_s": self.textbook,
        }


@attrs.frozen
class Evaluation:
    """Comparisons in sum; `skipped` are the recordings that could not be forecast: (name, why)."""

    source: Source
    rows: tuple[Comparison, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def only(self, *, plain: bool) -> Evaluation:
        """The plain pre-copy recordings alone, or all others."""
        bounds.flag("plain", plain)
        return attrs.evolve(self, rows=tuple(row for row in self.rows if row.plain is plain), skipped=())

    @property
    def verdicts(self) -> dict[str, int]:
        """How many of each: ``completed/converges`` and so on; what happened first."""
        table: dict[str, int] = {}
        for row in self.rows:
            key = f"{'completed' if row.outcome.completed else 'aborted'}/{row.forecast.verdict.value}"
            table[key] = table.get(key, 0) + 1
        return dict(sorted(table.items()))

    def as_json(self) -> dict[str, object]:
        """The sums as plain data."""
        covered = [row.covered for row in self.rows if row.covered is not None]
        held = [row.pause_covered for row in self.rows if row.pause_covered is not None]
        pauses = [
            (row.downtime_error, row.outcome.downtime)
            for row in self.rows
            if row.downtime_error is not None and row.outcome.downtime is not None
        ]
        near = [abs(error) <= max(0.005, 0.15 * pause) for error, pause in pauses]
        wrong = [row for row in self.rows if not row.right]
        both = [row for row in self.rows if row.textbook_error is not None]
        return {
            "recordings": len(self.rows),
            "total_error": _summary(row.total_error for row in self.rows),
            "total_error_beside_textbook": _summary(row.total_error for row in both),
            "hypervisor_error": _summary(row.hypervisor_error for row in self.rows),
            "bytes_error": _summary(row.bytes_error for row in self.rows),
            "downtime_error_s": _summary(error for error, _ in pauses),
            "downtime_near_share": _share(near),
            "downtime_interval_coverage": _share(held),
            "interval_coverage": _share(covered),
            "interval_half_width": _summary(row.half_width for row in self.rows if row.covered is not None),
            "brier": _mean((row.forecast.probability - row.outcome.completed) ** 2 for row in self.rows),
            "verdicts": self.verdicts,
            "verdicts_wrong": [row.name for row in wrong],
            "verdicts_wrong_decided": [row.name for row in wrong if row.decided],
            "undecided": sum(not row.decided for row in self.rows),
            "textbook_error": _summary(row.textbook_error for row in both),
            "textbook_verdicts_wrong": sum(
                (row.textbook is not None and row.textbook <= (row.forecast.limits.timeout or math.inf))
                != row.outcome.completed
                for row in self.rows
            ),
        }


def evaluate(recordings: Iterable[Recording], source: Source = "host") -> Evaluation:
    """Forecasts every recording from *source* and compares; those that lack what it needs are named in `skipped`.

    *source*: ``"host"``, what the host observed of the guest, or ``"law"``, what it was told to write.
    Raises `ConvergenceError` for what is no recording, and for another source.
    """
    bounds.choice("source", source, SOURCES)
    rows: list[Comparison] = []
    skipped: list[tuple[str, str]] = []
    for recording in bounds.entries("recordings", recordings, Recording):
        outcome = recording.outcome
        if outcome is None:
            skipped.append((recording.name, "outcome: was not recorded"))
            continue
        try:
            result = recording.forecast(source)
            textbook = closed_form(result)
        except ConvergenceError as error:
            skipped.append((recording.name, f"{error.field}: {error.problem}"))
            continue
        rows.append(Comparison(recording.name, recording.plain, result, outcome, textbook))
    return Evaluation(source, tuple(rows), tuple(skipped))


def closed_form(result: Forecast) -> float | None:
    """The textbook's total for what *result* was made from, s; None where it says never."""
    guest, link, limits = result.guest, result.link, result.limits
    speed = link.limit or (guest.page_size / max(result.rules.touch, guest.page_size / link.line_rate))
    left = (guest.pages - guest.zero_pages) * guest.page_size
    ratio = guest.curve.pages(1.0) * guest.page_size / speed
    total = 0.0
    for _ in range(30):
        total += left / speed
        left *= ratio
        if left <= speed * limits.downtime:
            return total + left / speed
        if ratio >= 1.0:
            return None
    return total + left / speed


def _relative(forecast: float | None, actual: float | None) -> float | None:
    return None if forecast is None or not actual else forecast / actual - 1.0


def _holds(interval: tuple[float, float] | None, actual: float | None) -> bool | None:
    return None if interval is None or actual is None else interval[0] <= actual <= interval[1]


def _share(found: Sequence[bool]) -> float | None:
    return sum(found) / len(found) if found else None


def _mean(found: Iterable[float]) -> float | None:
    values = list(found)
    return sum(values) / len(values) if values else None


def _summary(errors: Iterable[float | None]) -> dict[str, float] | None:
    """Median, 90th percentile and largest of the absolute errors, and how many."""
    known = sorted(abs(error) for error in errors if error is not None)
    if not known:
        return None

    def at(share: float) -> float:
        place = share * (len(known) - 1)
        low = int(place)
        high = min(low + 1, len(known) - 1)
        return known[low] + (known[high] - known[low]) * (place - low)

    return {"median": at(0.5), "p90": at(0.9), "max": known[-1], "count": len(known)}
