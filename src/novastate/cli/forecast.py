"""``novastate forecast`` and ``novastate evaluate``: the estimator on servers, and on recorded migrations.

Of a server: its guest is measured, and nothing is changed. Of a recording, a forecast uses only what was known before the migration
started: its parts `config`, `versions`, `link`, `pre` and `given`. What then happened is shown beside it where the recording holds it.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace, _SubParsersAction
from pathlib import Path
from typing import TYPE_CHECKING

from novastate.cli.options import changed, cloud_argument, migration_arguments, options_of
from novastate.cli.view import as_json
from novastate.errors import ConvergenceError, InvalidField, UnknownName

if TYPE_CHECKING:
    from novastate.convergence import Comparison, Evaluation, Forecast, Recording

__all__ = ["register"]


def register(subparsers: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the two commands."""
    forecast = subparsers.add_parser(
        "forecast",
        help="will a live migration converge, when, with what pause",
        description="Says what a live migration of a server would come to, without moving it; or of the recorded one in a file.",
    )
    forecast.add_argument(
        "what",
        metavar="SERVER|FILE",
        help="name or uuid of a server; or a recording (JSON), or its part known before the start: docs/recordings.md has its fields",
    )
    forecast.add_argument("host", metavar="HOST", nargs="?", help="where the server would go; without it the best host")
    cloud_argument(forecast)
    migration_arguments(forecast)
    forecast.add_argument(
        "--compare",
        action="store_true",
        help="also what else one could do about it: time, pause, bytes and risk of each",
    )
    forecast.add_argument(
        "--plot", type=Path, metavar="PICTURE", help="draw what remains over time, as .svg, .png or .pdf (extra: plot)"
    )
    forecast.set_defaults(run=_forecast)
    evaluate = subparsers.add_parser("evaluate", help="forecasts of recorded migrations against what happened")
    evaluate.add_argument(
        "directory", type=Path, metavar="DIR", help="a directory of recordings (*.json; docs/recordings.md)"
    )
    evaluate.set_defaults(run=_evaluate)
    for parser in (forecast, evaluate):
        parser.add_argument(
            "--from",
            dest="source",
            choices=("host", "law"),
            default="host",
            help="of a recording: what is known of the guest: what its host observes (default), or its write law",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")


def _forecast(args: Namespace) -> int:
    if args.plot is not None:
        from novastate.convergence.pictures.figures import check  # noqa: PLC0415  (only who draws needs it)

        check(args.plot)
    path = Path(args.what)
    if not path.is_file() and "/" not in args.what and (path.suffix != ".json" or _is_server(args)):
        return _of_server(args)
    given = ([args.host] if args.host else []) + changed(args)
    if given:
        raise InvalidField(args.what, given[0], "a recording holds how its migration was run, and takes no option")
    return _of_recording(args, path)


def _is_server(args: Namespace) -> bool:
    """Whether the cloud has a server of that name; no file is made."""
    from novastate.cli.cloud import find_server, open_store  # noqa: PLC0415  (a recording needs no cloud)

    if not Path(args.cloud).exists():
        return False
    with open_store(args.cloud) as store:
        try:
            find_server(store, args.what)
        except UnknownName:
            return False
    return True


def _of_server(args: Namespace) -> int:
    from novastate.cli.cloud import check_host, find_server, open_cloud  # noqa: PLC0415  (a recording needs no cloud)
    from novastate.cli.progress import Progress  # noqa: PLC0415
    from novastate.flows import forecast_live_migration  # noqa: PLC0415

    if args.source != "host":
        raise InvalidField("--from", args.source, "is for recordings: of a server, its host observes it")
    options = options_of(args)
    with (
        Progress(quiet=args.json) as progress,
        open_cloud(args.cloud, listeners=(progress,), looking=True) as cloud,
    ):
        server = find_server(cloud.store, args.what)
        if args.host:
            check_host(cloud.store, args.host)
        expected = cloud.runner.run(
            forecast_live_migration(server.uuid, args.host, options, block_migration=args.block_migrate is True)
        )
    _draw(args, expected)
    more = _choices(args, expected)
    if args.json:
        print(as_json({**progress.facts["forecast"], **more}))
    return 0


def _of_recording(args: Namespace, path: Path) -> int:
    from novastate.convergence import Recording  # noqa: PLC0415  (loads numpy: only these commands need it)

    recording = Recording.load(path)
    result = recording.forecast(args.source)
    _draw(args, result, recording)
    if args.json:
        print(json.dumps({**result.as_json(), **_choices(args, result)}, allow_nan=False))
        return 0
    print(result.reason)
    for name, value in _lines(recording, result):
        print(f"  {name:<14} {value}")
    _choices(args, result)
    return 0


def _draw(args: Namespace, result: Forecast, recording: Recording | None = None) -> None:
    """The picture, where one was asked for."""
    if args.plot is not None:
        from novastate.convergence.pictures.figures import save  # noqa: PLC0415  (only who draws needs it)
        from novastate.convergence.pictures.plots import plot_forecast  # noqa: PLC0415  (the same)

        save(plot_forecast(result, _recorded(recording)), args.plot)


def _choices(args: Namespace, result: Forecast) -> dict[str, object]:
    """What else could be done, where it was asked for: printed, or returned for ``--json``."""
    if not args.compare:
        return {}
    from novastate.convergence.choices import compare  # noqa: PLC0415  (only who asks needs it)

    found = compare(result.guest, result.link, result.limits, result.rules)
    if not args.json:
        print(found)
    return {"compare": found.as_json()}


def _recorded(recording: Recording | None) -> list[tuple[float, float]]:
    """(s, bytes that remained) of a recorded migration, where the recording holds it; some eighty points."""
    if recording is None or not (recording.data.get("job_stats") or recording.data.get("samples")):
        return []
    from novastate.convergence.online.replay import looks  # noqa: PLC0415  (only who draws needs it)

    seen = [(look.elapsed, float(look.memory_remaining)) for look in looks(recording) if look.iteration]
    return seen[:: max(1, len(seen) // 80)]


def _lines(recording: Recording, result: Forecast) -> list[tuple[str, str]]:
    from novastate.convergence.pictures.html import forecast_rows  # noqa: PLC0415  (loads numpy)

    lines = forecast_rows(result)
    outcome = recording.outcome
    if outcome is not None and outcome.total is not None:
        lines.append(("it took", f"{outcome.total:.2f} s"))
    elif outcome is not None:
        lines.append(("it was", "completed" if outcome.completed else "aborted"))
    return lines


def _evaluate(args: Namespace) -> int:
    from novastate.convergence import evaluate  # noqa: PLC0415  (loads numpy: only these commands need it)
    from novastate.convergence.recordings import load_all  # noqa: PLC0415  (the same)

    found, broken = load_all(args.directory)
    if not found and not broken:
        raise ConvergenceError("directory", str(args.directory), "holds no recordings (*.json)")
    result = evaluate(found, args.source)
    skipped = (*broken, *result.skipped)
    if not result.rows:
        name, problem = skipped[0]
        what = f"none of {len(skipped)} recordings can be evaluated; of {name}, {problem}"
        print(f"novastate: {args.directory}: {what}", file=sys.stderr)
        return 1
    if args.json:
        summary = {
            "source": args.source,
            "all": result.as_json(),
            "plain": result.only(plain=True).as_json(),
            "files": [row.as_json() for row in result.rows],
            "skipped": [{"name": name, "problem": problem} for name, problem in skipped],
        }
        print(json.dumps(summary, allow_nan=False))
        return 0
    _table(result)
    for name, problem in skipped:
        print(f"skipped {name}: {problem}")
    return 0


def _table(result: Evaluation) -> None:
    print(f"{'recording':<30} {'verdict':<10} {'prob':>5} {'total':>7} {'actual':>7} {'error':>7} {'bytes':>7}")
    for row in result.rows:
        print(_row(row))
    for title, part in (("all", result), ("plain pre-copy", result.only(plain=True))):
        sums = part.as_json()
        print(f"{title}: {sums['recordings']} recordings; verdicts {part.verdicts}; wrong {sums['verdicts_wrong']}")
        for name in ("total_error", "bytes_error", "total_error_beside_textbook", "textbook_error"):
            found = sums[name]
            if isinstance(found, dict):
                figures = " / ".join(f"{100 * float(found[key]):.1f}" for key in ("median", "p90", "max"))
                print(f"  {name:<27} median / p90 / max {figures} % of {found['count']}")
        if isinstance(sums["interval_coverage"], float):
            print(f"  90 % intervals hold {100 * sums['interval_coverage']:.0f} %")


def _row(row: Comparison) -> str:
    def number(value: float | None, pattern: str) -> str:
        return "-" if value is None else format(value, pattern)

    mark = ("" if row.right else "  wrong") + ("" if row.decided else "  (undecided)")
    return (
        f"{row.name:<30} {row.forecast.verdict.value:<10} {row.forecast.probability:>5.2f}"
        f" {number(row.forecast.total, '.2f'):>7} {number(row.outcome.total, '.2f'):>7}"
        f" {number(row.total_error, '+.1%'):>7} {number(row.bytes_error, '+.1%'):>7}{mark}"
    )
