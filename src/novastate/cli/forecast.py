"""``novastate forecast`` and ``novastate evaluate``: the estimator on recorded migrations.

A forecast uses only what was known before the migration started: the parts `config`, `versions`, `link`, `pre` and
`given` of a recording. What then happened is shown beside it where the recording holds it.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace, _SubParsersAction
from pathlib import Path
from typing import TYPE_CHECKING

from novastate.errors import ConvergenceError

if TYPE_CHECKING:
    from novastate.convergence import Comparison, Evaluation, Forecast, Recording

__all__ = ["register"]


def register(subparsers: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the two commands."""
    forecast = subparsers.add_parser("forecast", help="will the recorded migration converge, when, with what pause")
    forecast.add_argument("file", type=Path, metavar="FILE", help="a recording, or its part known before the start")
    forecast.set_defaults(run=_forecast)
    evaluate = subparsers.add_parser("evaluate", help="forecasts of recorded migrations against what happened")
    evaluate.add_argument("directory", type=Path, metavar="DIR", help="a directory of recordings (*.json)")
    evaluate.set_defaults(run=_evaluate)
    for parser in (forecast, evaluate):
        parser.add_argument(
            "--from",
            dest="source",
            choices=("host", "law"),
            default="host",
            help="what is known of the guest: what its host observes (default), or its write law",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")


def _forecast(args: Namespace) -> int:
    from novastate.convergence import Recording  # noqa: PLC0415  (loads numpy: only these commands need it)

    recording = Recording.load(args.file)
    result = recording.forecast(args.source)
    if args.json:
        print(json.dumps(result.as_json(), allow_nan=False))
        return 0
    print(result.reason)
    for name, value in _lines(recording, result):
        print(f"  {name:<14} {value}")
    return 0


def _lines(recording: Recording, result: Forecast) -> list[tuple[str, str]]:
    lines = [("verdict", result.verdict.value), ("probability", f"{result.probability:.0%} to complete in time")]
    if result.total is not None and result.total_interval is not None:
        low, high = result.total_interval
        within = f"between {low:.2f} and {high:.2f} s" if result.otherwise is None else f"later than {low:.2f} s"
        lines.append(("total", f"{result.total:.2f} s, 90 % {within}"))
        if result.otherwise is not None:
            lines.append(("or", result.otherwise))
    if result.downtime is not None and result.transferred is not None:
        lines.append(("pause", f"{1000 * result.downtime:.0f} ms"))
        lines.append(("transferred", f"{result.transferred / 2**20:.0f} MiB"))
    lines.append(("syncs", str(result.syncs)))
    if result.throttle:
        lines.append(("throttle", f"{result.throttle} %"))
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
