"""What a live migration shows while it runs: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import io
import re
import sys

import attrs
import pytest

from novastate.cli.progress import Progress
from novastate.convergence import DirtyClass, DirtyCurve, Guest, Link, forecast
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


def test_why_it_failed_is_said(capsys):
    progress = Progress()
    progress(
        "live_migration.end", {"migration": "m", "status": "failed", "reason": "cannot migrate domain with 1 snapshots"}
    )
    assert capsys.readouterr().out == "failed: cannot migrate domain with 1 snapshots\n"
    assert progress.facts["reason"] == "cannot migrate domain with 1 snapshots"


def test_plain_output_has_a_line_each_ten_percent():
    lines = play(io.StringIO()).splitlines()
    assert [line.split("%")[0].strip() for line in lines[:3]] == ["0", "12", "60"]
    assert lines[3:] == ["abort: asked for", "completed: 10.0 s, 100 MiB sent, 1 syncs, paused for 20 ms"]


def expected(written=2000, rate=5000.0):
    curve = DirtyCurve((DirtyClass(written, rate),), 25600)
    guest = Guest(memory=100 * MIB, zero_pages=1000, page_size=4096, curve=curve, busy=0.1)
    return forecast(guest, Link(64 * MIB))


def lines_with(of, *events):
    out = io.StringIO()
    with Progress(out) as listener:
        listener(
            "live_migration.forecast",
            {"forecast": of, "destination": "b", "disk_bytes": 0, "disk_s": 0.0, "reason": ""},
        )
        for name, more in events:
            listener(f"live_migration.{name}", more)
    return out.getvalue().splitlines()


def test_each_line_says_when_it_will_be_done_and_with_what_pause():
    seen = [attrs.evolve(stats(at), elapsed=0.3 + at / 64) for at in (5, 50, 90)]
    lines = lines_with(expected(), *(("progress", {"stats": one, "downtime_ms": 300}) for one in seen))
    found = [
        re.search(r"  ETA ([0-9.]+) s \(([0-9.]+) to ([0-9.]+)\), pause ([0-9]+) ms$", line) for line in lines[-3:]
    ]
    etas = [float(one[1]) for one in found]
    assert sorted(etas, reverse=True) == etas
    assert all(float(one[2]) <= float(one[1]) <= float(one[3]) for one in found)
    assert 0 < int(found[-1][4]) <= 300


def test_statistics_that_make_no_sense_leave_the_line_without_an_eta():
    seen = [stats(50), attrs.evolve(stats(70), elapsed=1.0)]
    lines = lines_with(expected(), *(("progress", {"stats": one, "downtime_ms": 300}) for one in seen))
    assert "ETA" in lines[-2]
    assert "ETA" not in lines[-1]


def test_a_link_that_stands_still_is_named():
    still = [attrs.evolve(stats(50), elapsed=at) for at in (1.0, 4.0, 7.5, 10.0)]
    line = lines_with(expected(), *(("progress", {"stats": one, "downtime_ms": 300}) for one in still))[-1]
    assert line.endswith("no ETA: nothing is sent")


def test_a_line_says_that_there_will_be_no_end():
    endless = expected(written=16000, rate=100_000.0)
    line = lines_with(endless, ("progress", {"stats": stats(50), "downtime_ms": 30}))[-1]
    assert line.endswith("no ETA: it does not converge")


def test_a_guest_that_was_paused_by_force_has_an_end():
    moving = ("progress", {"stats": stats(50), "downtime_ms": 30})
    endless = expected(written=16000, rate=100_000.0)
    assert "ETA " in lines_with(endless, ("force-complete", {"reason": "asked for"}), moving)[-1]
    assert "no ETA" not in lines_with(endless, ("force-complete", {"reason": "asked for"}), moving)[-1]


def test_without_a_forecast_there_is_no_eta():
    assert "ETA" not in lines_with(None, ("progress", {"stats": stats(50), "downtime_ms": 300}))[-1]


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
