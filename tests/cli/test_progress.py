"""What a live migration shows while it runs: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import io
import sys

import pytest

from novastate.cli.progress import Progress
from novastate.drivers import JobStats, JobType

MIB = 1 << 20


class Terminal(io.StringIO):
    def isatty(self):
        return True


def stats(progress, kind=JobType.UNBOUNDED):
    return JobStats(
        type=kind, elapsed=progress / 10, memory_total=100 * MIB, memory_remaining=(100 - progress) * MIB,
        memory_processed=progress * MIB, memory_bps=64 * MIB, iteration=1, downtime=0.02,
    )  # fmt: skip


def play(out, *, quiet=False):
    with Progress(out, quiet=quiet) as listener:
        listener("live_migration.start", {})
        for progress in (0, 3, 12, 15, 60):
            listener("live_migration.progress", {"stats": stats(progress), "downtime_ms": 300})
        listener("live_migration.abort", {"reason": "asked for"})
        listener("live_migration.stats", {"stats": stats(100, JobType.COMPLETED)})
        listener("live_migration.end", {})
    return out.getvalue()


def test_plain_output_has_a_line_each_ten_percent():
    lines = play(io.StringIO()).splitlines()
    assert [line.split("%")[0].strip() for line in lines[:3]] == ["0", "12", "60"]
    assert lines[3:] == ["abort: asked for", "completed: 10.0 s, 100 MiB sent, 1 syncs, paused for 20 ms"]


def test_a_terminal_has_a_bar_that_ends():
    text = play(Terminal())
    assert "\x1b" in text
    assert "completed: 10.0 s" in text
    assert "abort: asked for" in text


def test_a_terminal_without_rich_has_plain_lines(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert play(Terminal()) == play(io.StringIO())


def test_quiet_is_quiet():
    assert play(io.StringIO(), quiet=True) == ""


def test_the_bar_ends_when_the_flow_fails():
    out = Terminal()

    def fails():
        with Progress(out) as listener:
            listener("live_migration.progress", {"stats": stats(5), "downtime_ms": 300})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert out.getvalue().endswith("\x1b[?25h"), "the cursor is shown again"
