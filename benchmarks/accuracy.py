"""Forecasts: how near they come to recorded migrations, beside the textbook

    python benchmarks/accuracy.py [DIRECTORY] [--from law|host|sampled]

Without `--from` all three views in sum. `law`: the guest's write law is known. `host`: what its host observes.
`sampled`: the host's view, and how many pages are zero. The textbook is the closed form of Clark et al. (NSDI'05) on
the dirty rate over one second.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import attrs

from novastate.convergence import Evaluation, Recording, evaluate
from novastate.convergence.recordings import load_all
from novastate.errors import ConvergenceError

RECORDINGS = Path(__file__).parent / "recordings"


def with_zero_pages(recording: Recording) -> Recording:
    """The recording as if its zero pages had been sampled (those that the first pass counted)."""
    try:
        zero = recording.guest("law").zero_pages
    except ConvergenceError:  # an application: no law, but the pages were counted all the same
        rows = [*recording.data.get("samples", []), recording.data.get("final", {}).get("completed_stats", {})]
        counted = [row.get("memory_constant", 0) for row in rows]
        zero = max(counted, default=0)
    return attrs.evolve(recording, data={**recording.data, "given": {"zero_pages": zero}})


def percent(value: float | None, signed: bool = True) -> str:
    return "" if value is None else f"{100 * value:{'+' if signed else ''}.1f}"


def table(result: Evaluation) -> list[str]:
    lines = [
        "| recording | happened | forecast | probability | total s | actual s | error % | QEMU % | bytes % | in interval | textbook % |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|---|--:|",
    ]
    for row in result.rows:
        covered = {True: "yes", False: "no", None: ""}[row.covered]
        total = "" if row.forecast.total is None else f"{row.forecast.total:.2f}"
        actual = "" if row.outcome.total is None else f"{row.outcome.total:.2f}"
        marks = [word for word, holds in (("wrong", not row.right), ("undecided", not row.decided)) if holds]
        verdict = row.forecast.verdict.value + (f" ({', '.join(marks)})" if marks else "")
        lines.append(
            f"| {row.name} | {'completed' if row.outcome.completed else 'aborted'} | {verdict} | {row.forecast.probability:.2f} "
            f"| {total} | {actual} | {percent(row.total_error)} | {percent(row.hypervisor_error)} | {percent(row.bytes_error)} "
            f"| {covered} | {percent(row.textbook_error)} |"
        )
    return lines


def summary(title: str, result: Evaluation) -> list[str]:
    sums = result.as_json()
    lines = [f"\n**{title}**: {sums['recordings']} recordings\n"]
    lines.append("| what | median % | p90 % | max % | count |\n|---|--:|--:|--:|--:|")
    names = {
        "total_error": "total",
        "hypervisor_error": "total, QEMU's part",
        "bytes_error": "bytes",
        "total_error_beside_textbook": "total, where the textbook has one",
        "textbook_error": "total, textbook",
    }
    for name, words in names.items():
        found = sums[name]
        if isinstance(found, dict):
            figures = " | ".join(percent(found[key], signed=False) for key in ("median", "p90", "max"))
            lines.append(f"| {words} | {figures} | {found['count']} |")
    lines.append(
        f"\nVerdicts (happened/forecast): {sums['verdicts']}; wrong {len(sums['verdicts_wrong'])}, of these decided "
        f"{len(sums['verdicts_wrong_decided'])}; undecided {sums['undecided']}; the textbook's wrong {sums['textbook_verdicts_wrong']}."
    )
    lines.append(
        f"90 % intervals hold {percent(sums['interval_coverage'], signed=False)} %; pause within 5 ms or 15 %: "
        f"{percent(sums['downtime_near_share'], signed=False)} %."
    )
    return lines


def main() -> str:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", type=Path, default=RECORDINGS)
    parser.add_argument("--from", dest="source", choices=("law", "host", "sampled"), help="this view, file by file")
    args = parser.parse_args()
    recordings, broken = load_all(args.directory)
    if args.source is not None:
        return "\n".join([*table(judged(recordings, args.source)), *sums(judged(recordings, args.source))])
    lines: list[str] = []
    for source, words in VIEWS.items():
        lines += [f"\n### {words}", *sums(judged(recordings, source))]
    lines += ["\n### File by file, the write law known\n", *table(judged(recordings, "law"))]
    lines += [f"\nskipped {name}: {problem}" for name, problem in broken]
    return "\n".join(lines)


#: What may be known of a guest, and how the report says so.
VIEWS = {
    "law": "The write law known",
    "sampled": "The host's view, zero pages counted",
    "host": "The host's view",
}


def judged(recordings: list[Recording], source: str) -> Evaluation:
    if source == "sampled":
        recordings = [with_zero_pages(recording) for recording in recordings]
    return evaluate(recordings, "law" if source == "law" else "host")


def sums(result: Evaluation) -> list[str]:
    lines = summary("plain pre-copy", result.only(plain=True))
    lines += summary("auto-converge, post-copy, XBZRLE, multifd", result.only(plain=False))
    if result.skipped:
        lines.append(f"\nNot judged, for they hold no write law: {', '.join(name for name, _ in result.skipped)}.")
    return lines


if __name__ == "__main__":
    print(main())
