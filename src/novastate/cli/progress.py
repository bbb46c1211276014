"""The progress of a live migration: one moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Self, TextIO

from novastate.drivers import JobStats

__all__ = ["Progress", "describe"]

#: On plain output, a line each time the progress has grown by this much, in percent.
_STEP = 10


def describe(stats: JobStats, downtime_ms: int) -> str:
    """One moment of a migration in one line."""
    mib = 1 << 20
    text = (
        f"{stats.progress:3d} %  {stats.elapsed:6.1f} s  {stats.memory_remaining / mib:7.1f} MiB left"
        f"  {stats.memory_bps / mib:6.1f} MiB/s  {stats.iteration:2d} syncs  pause limit {downtime_ms} ms"
    )
    if stats.throttle:
        text += f"  throttled {stats.throttle:.0%}"
    return text + ("  post-copy" if stats.post_copy else "")


class Progress:
    """Listens to a runner and shows what a live migration does. Ends its line when the migration has ended.

    Give it to ``LocalRunner(listeners=…)`` and use it as a context manager.
    """

    def __init__(self, out: TextIO | None = None, *, quiet: bool = False) -> None:
        self._out = out or sys.stdout
        self._quiet = quiet
        self._shown = -_STEP
        self._status: Any = None

    def __enter__(self) -> Self:
        if not self._quiet and self._out.isatty():
            try:
                from rich.console import Console  # noqa: PLC0415
                from rich.status import Status  # noqa: PLC0415
            except ImportError:
                return self
            self._status = Status("live migration", console=Console(file=self._out))
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __call__(self, event: str, payload: Mapping[str, Any]) -> None:
        """Is a runner's listener."""
        if self._quiet:
            return
        if event == "live_migration.progress":
            stats: JobStats = payload["stats"]
            line = describe(stats, payload["downtime_ms"])
            if self._status is not None:
                self._status.update(line)
            elif stats.progress >= self._shown + _STEP or stats.progress < self._shown:
                self._shown = stats.progress
                print(line, file=self._out)
        elif event in {
            "live_migration.refused",
            "live_migration.untidy",
            "live_migration.abort",
            "live_migration.force-complete",
        }:
            print(
                f"{event.partition('.')[2]}: {payload.get('host', '')} {payload['reason']}".replace("  ", " "),
                file=self._out,
            )
