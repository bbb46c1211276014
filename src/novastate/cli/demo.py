"""``novastate demo``: one live migration from request to completion, beside its forecast and a real one.

The guest writes its memory as a recorded real guest did (`recording.json`: QEMU 10.0 between two libvirt daemons). It is
booted in a simulated cloud of its own, forecast, moved, and compared with what really happened. Nothing is kept.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from importlib import resources
from pathlib import Path
from typing import Any

from novastate.cli.cloud import Cloud, open_cloud
from novastate.cli.migrate import migration_row
from novastate.cli.progress import Progress
from novastate.cli.servers import boot, history_rows, history_text, like, server_row
from novastate.cli.view import as_json, columns, pairs
from novastate.convergence import FixedPolicy, Forecast, Recording
from novastate.drivers import JobStats, LiveMigrationParams
from novastate.flows import LiveMigrationOptions, build, live_migrate
from novastate.machines import MigrationStatus

__all__ = ["register"]

_MIB = 1 << 20


def register(subparsers: Any) -> None:
    """Adds the sub-command."""
    parser = subparsers.add_parser(
        "demo",
        help="one live migration, start to end",
        description="Boots a guest that writes like a recorded one, forecasts its migration, moves it, and compares. Keeps nothing.",
    )
    parser.add_argument("--real-time", action="store_true", help="let it take as long as it takes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _recording() -> Recording:
    with resources.as_file(resources.files("novastate.cli") / "recording.json") as path:
        return Recording.load(path)


def _run(args: Namespace) -> int:
    recording = _recording()
    with (
        tempfile.TemporaryDirectory(prefix="novastate-demo-") as folder,
        Progress(quiet=args.json) as progress,
        open_cloud(str(Path(folder) / "cloud.sqlite"), real_time=args.real_time, listeners=(progress,)) as cloud,
    ):
        story = _play(cloud, recording, progress, quiet=args.json)
    if args.json:
        print(as_json(story))
    return 0 if story["migration"]["status"] is MigrationStatus.COMPLETED else 1


def _play(cloud: Cloud, recording: Recording, progress: Progress, *, quiet: bool) -> dict[str, Any]:
    def say(title: str, text: str) -> None:
        if not quiet:
            print(f"\n# {title}\n{text}")

    params = LiveMigrationParams(
        bandwidth=int(recording.link.limit or 0), downtime=round(recording.limits.downtime * 1000)
    )
    options = LiveMigrationOptions(params=params, policy=FixedPolicy(timeout=recording.limits.timeout))

    instance, spec = boot("web", host="alpha", **like(recording))
    cloud.runner.run(build(instance, spec))
    say("A server that writes its memory like the recorded one", pairs(server_row(instance)))

    say(f"Live migration to beta at {params.bandwidth / _MIB:.0f} MiB/s: forecast, progress, outcome", "")
    migration = cloud.runner.run(live_migrate(instance.uuid, "beta", options=options))
    server = cloud.store.load(type(instance), instance.uuid)
    say("Where it is now", pairs(server_row(server)))
    history = history_rows(cloud.store, server.uuid)
    say("What was recorded on the way", history_text(history))
    assert progress.expected is not None, "a simulated guest can be measured"
    comparison = _compare(progress.expected, progress.stats, recording)
    rows = [{"": name, **facts} for name, facts in comparison.items()]
    say("Forecast, simulation, and the real migration", columns(rows))
    return {
        "server": server_row(server),
        "forecast": progress.facts["forecast"],
        "migration": migration_row(migration),
        "history": history,
        "comparison": comparison,
    }


def _compare(expected: Forecast, simulated: JobStats | None, recording: Recording) -> dict[str, dict[str, Any]]:
    real = recording.outcome
    assert real is not None, "the embedded recording is of a migration that ended"
    assert simulated is not None, "the migration has ended"

    def row(total: float | None, downtime: float | None, sent: float | None, syncs: int | None) -> dict[str, Any]:
        return {
            "total_s": None if total is None else round(total, 2),
            "pause_ms": None if downtime is None else round(downtime * 1000),
            "sent_mib": None if sent is None else round(sent / _MIB),
            "syncs": syncs,
        }

    final = recording.data["final"]
    assert isinstance(final, dict)
    return {
        "forecast": row(expected.total, expected.downtime, expected.transferred, expected.syncs),
        "simulation": row(simulated.elapsed, simulated.downtime, simulated.memory_processed, simulated.iteration),
        "recorded": row(real.total, real.downtime, real.transferred, final["completed_stats"]["memory_iteration"]),
    }
