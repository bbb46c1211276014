"""A live migration as it is shown: its forecast, then one moving line on a terminal or plain lines elsewhere, then its end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TextIO

from novastate.drivers import JobStats, JobType
from novastate.errors import ConvergenceError
from novastate.flows.live_migration_monitor import stats_json

if TYPE_CHECKING:
    from novastate.convergence import Forecast, Outlook, Watch

__all__ = ["Progress", "describe", "describe_forecast", "describe_outlook"]

_MIB = 1 << 20

#: What else a reader should know of, as it happens.
_WORTH_A_LINE = frozenset(
    {
        "live_migration.refused",
        "live_migration.unforeseen",
        "live_migration.untidy",
        "live_migration.abort",
        "live_migration.force-complete",
    }
)

#: What is to come is looked at anew when so much longer has passed: a migration that goes on for hours changes slowly.
_LATER = 1.03
#: On plain output, a line each time the progress has grown by this much, in percent.
_STEP = 10


def describe(stats: JobStats, downtime_ms: int, ahead: Outlook | None = None) -> str:
    """One moment of a migration in one line; *ahead*: what is to come."""
    text = (
        f"{stats.progress:3d} %  {stats.elapsed:6.1f} s  {stats.memory_remaining / _MIB:7.1f} MiB left"
        f"  {stats.memory_bps / _MIB:6.1f} MiB/s  {stats.iteration:2d} syncs  pause limit {downtime_ms} ms"
    )
    if stats.throttle:
        text += f"  throttled {stats.throttle:.0%}"
    if stats.post_copy:
        text += "  post-copy"
    return text if ahead is None else f"{text}  {describe_outlook(ahead)}"


def describe_outlook(ahead: Outlook) -> str:
    """``ETA 3.2 s (2.8 to 4.1), pause 120 ms``, or that there is none."""
    if ahead.stalled is not None and ahead.stalled.value == "no bytes":
        return "no ETA: nothing is sent"
    if ahead.eta is None or ahead.eta_interval is None:
        return "no ETA: it does not converge"
    low, high = ahead.eta_interval
    pause = "" if ahead.downtime is None else f", pause {1000 * ahead.downtime:.0f} ms"
    return f"ETA {ahead.eta:.1f} s ({low:.1f} to {high:.1f}){pause}"


def describe_forecast(expected: Forecast) -> str:
    """A forecast in one or two lines."""
    if expected.total is None:
        return f"forecast: {expected.verdict.value}; {expected.reason}"
    low, high = expected.total_interval or (expected.total, expected.total)
    return (
        f"forecast: {expected.verdict.value} in {expected.total:.1f} s ({low:.1f} to {high:.1f}), "
        f"pause {1000 * (expected.downtime or 0):.0f} ms, {(expected.transferred or 0) / _MIB:.0f} MiB, "
        f"{expected.probability:.0%} sure\n  {expected.reason}"
    )


class Progress:
    """Listens to a runner and shows what a live migration does, from its forecast to its end.

    Give it to ``LocalRunner(listeners=…)`` and use it as a context manager, which ends its line whatever happens. Afterwards
    `expected` is the forecast, `stats` the final statistics, `facts` both as plain data, None where there was none, with the `reason`
    of an end that was not asked for.
    """

    def __init__(self, out: TextIO | None = None, *, quiet: bool = False) -> None:
        self._out = out or sys.stdout
        self._quiet = quiet
        self._shown = -_STEP
        self._next = 0.0
        self._bar: Any = None
        self._forced = False
        self._watch: Watch | None = None
        #: The last look: when, whether post-copy had begun, what was seen.
        self._seen: tuple[float, bool, Outlook | None] | None = None
        self.expected: Forecast | None = None
        self.stats: JobStats | None = None
        self.facts: dict[str, Any] = {"forecast": None, "stats": None, "reason": ""}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def __call__(self, event: str, payload: Mapping[str, Any]) -> None:
        """Is a runner's listener."""
        if event == "live_migration.forecast":
            self.expected, self._watch, self._seen = payload["forecast"], None, None
            self.facts["forecast"] = _plain_forecast(payload)
        elif event == "live_migration.stats":
            self.stats = payload["stats"]
            self.facts["stats"] = stats_json(payload["stats"])
        elif event == "live_migration.end":
            self.facts["reason"] = payload.get("reason", "")
        if self._quiet:
            return
        try:
            self._show(event, payload)
        except OSError:
            # Nobody reads any more (`| head`): the migration goes on all the same.
            self._quiet = True

    def _show(self, event: str, payload: Mapping[str, Any]) -> None:
        if event == "live_migration.forecast":
            self._forecast(payload)
        elif event == "live_migration.progress":
            stats, downtime_ms = payload["stats"], payload["downtime_ms"]
            self._move(stats, describe(stats, downtime_ms, self._ahead(stats, downtime_ms / 1000)))
        elif event == "live_migration.stats":
            self._end(payload["stats"])
        elif event == "live_migration.end" and payload.get("reason"):
            self._stop()
            print(f"{payload['status']}: {payload['reason']}", file=self._out, flush=True)
        elif event in _WORTH_A_LINE:
            self._forced |= event == "live_migration.force-complete"
            where = f" {payload['host']}" if "host" in payload else ""
            text = f"{event.partition('.')[2]}{where}: {payload['reason']}"
            self._bar.console.print(text, markup=False) if self._bar else print(text, file=self._out)

    def _forecast(self, payload: Mapping[str, Any]) -> None:
        expected: Forecast | None = payload["forecast"]
        text = f"no forecast: {payload['reason']}" if expected is None else describe_forecast(expected)
        where = f"  to {payload['destination']}"
        if expected is not None and payload["disk_bytes"]:
            where += f", after {payload['disk_s']:.1f} s for {payload['disk_bytes'] / _MIB:.0f} MiB of disk"
        print(f"{text}\n{where}", file=self._out, flush=True)

    def _ahead(self, stats: JobStats, downtime: float) -> Outlook | None:
        """What is to come, where there was a forecast."""
        if self.expected is None:
            return None
        if self._seen is not None and self._seen[1] == stats.post_copy:
            at, _, seen = self._seen
            if at <= stats.elapsed < at * _LATER:
                return seen
        ahead = self._look(self.expected, stats, downtime)
        self._seen = (stats.elapsed, stats.post_copy, ahead)
        return ahead

    def _look(self, expected: Forecast, stats: JobStats, downtime: float) -> Outlook | None:
        from novastate.convergence import Watch  # noqa: PLC0415  (loads numpy, as the forecast did)

        if self._watch is None:
            self._watch = Watch(expected.guest, expected.link, expected.limits, expected.rules)
        try:
            # Forced without post-copy, the guest was paused.
            return self._watch.observe(stats, downtime=downtime, running=not self._forced or stats.post_copy)
        except ConvergenceError:
            return None

    def _move(self, stats: JobStats, line: str) -> None:
        if self._bar is None and self._out.isatty():
            self._start()
        if self._bar is not None:
            self._bar.update(0, completed=stats.progress, description=line)
        elif stats.progress >= self._shown + _STEP or stats.elapsed >= self._next:
            # A guest that writes much swings for long: after the first lines each comes twice as late as the one before.
            self._shown = max(self._shown, stats.progress)
            self._next = 2 * max(stats.elapsed, 5.0)
            print(line, file=self._out, flush=True)

    def _end(self, stats: JobStats) -> None:
        line = f"{stats.type}: {stats.elapsed:.1f} s, {stats.memory_processed / _MIB:.0f} MiB sent"
        if stats.type is JobType.COMPLETED:
            line += f", {stats.iteration} syncs, paused for {1000 * stats.downtime:.0f} ms"
        if self._bar is not None:
            done = 100 if stats.type is JobType.COMPLETED else stats.progress
            self._bar.update(0, completed=done, description=line)
            self._stop()
        else:
            print(line, file=self._out)

    def _start(self) -> None:
        """A bar, where rich is installed."""
        try:
            from rich.console import Console  # noqa: PLC0415  (only a terminal needs it)
            from rich.progress import BarColumn, TextColumn  # noqa: PLC0415
            from rich.progress import Progress as Bar  # noqa: PLC0415
        except ImportError:
            return
        text = TextColumn("{task.description}", markup=False)
        self._bar = Bar(BarColumn(bar_width=20), text, console=Console(file=self._out))
        self._bar.add_task("live migration", total=100)
        self._bar.start()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _plain_forecast(payload: Mapping[str, Any]) -> dict[str, Any]:
    expected: Forecast | None = payload["forecast"]
    facts = {key: payload[key] for key in ("destination", "disk_bytes", "disk_s", "reason") if key in payload}
    return facts if expected is None else {**expected.as_json(), **facts}
