"""Watching recorded migrations: how near the estimate comes while they run, and what policies make of them

    python benchmarks/bench_watch.py

The statistics of each recording are fed to `Watch` as if they came now. Errors are of the total time, at a part of the way. Then each
recorded migration is run in the simulator, of the guest as its recording showed it, under Nova's policy with its defaults and
under a forecast with the same longest pause and latest end. Last, simulated guests of which something wrong was known before.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable

import attrs

from accuracy import RECORDINGS, VIEWS, with_zero_pages
from novastate.convergence import (
    DirtyCurve,
    ForecastPolicy,
    Guest,
    Limits,
    Link,
    NovaPolicy,
    Recording,
    Replay,
    Rules,
    Watch,
    WriteLaw,
    replay_recording,
)
from novastate.convergence.online.trial import Trial, try_policy
from novastate.convergence.recordings import load_all
from novastate.convergence.simulation.setup import SimulationSetup
from novastate.convergence.simulation.simulator import PreCopySimulation
from novastate.drivers import JobStats, JobType
from novastate.errors import ConvergenceError

#: Parts of the way at which it is asked.
PARTS = (0.1, 0.25, 0.5, 0.75, 0.9)
#: Nova's defaults, and the same budget.
POLICIES = {"Nova": NovaPolicy(), "forecast": ForecastPolicy(longest_pause=0.5, latest_end=800, per_gib=True)}


def kind(recording: Recording) -> str:
    """A program's real work is told from a law by the recording's parameters."""
    if recording.data["config"].get("app"):
        return "applications"
    return "plain" if recording.plain else "other rules"


def watched(recordings: Iterable[Recording], view: str) -> dict[str, list[Replay]]:
    found: dict[str, list[Replay]] = {}
    for recording in recordings:
        seen = with_zero_pages(recording) if view == "sampled" else recording
        try:
            one = replay_recording(seen, "law" if view == "law" else "host")
        except ConvergenceError as error:
            if "guest_truth" not in error.field:
                raise
            continue
        found.setdefault(kind(recording), []).append(one)
    return found


def errors(replays: list[Replay], part: float) -> list[float]:
    """Relative errors of the total time; of one that was said never to end, 100 %."""
    found = []
    for one in replays:
        row = one.at(part)
        if row is not None and one.total is not None:
            found.append(1.0 if row.eta is None else abs(row.elapsed + row.eta - one.total) / one.total)
    return sorted(found)


def covered(replays: list[Replay]) -> float:
    rows = [
        row.eta_interval[0] <= one.total - row.elapsed <= row.eta_interval[1]
        for one in replays
        if one.total is not None
        for row in one.outlooks
        if row.eta_interval is not None
    ]
    return sum(rows) / len(rows) if rows else float("nan")


def estimates(recordings: list[Recording]) -> list[str]:
    head = " | ".join(f"{part:.0%}" for part in PARTS)
    lines = [
        f"| known before | recordings | count | {head} | 90 % intervals hold | flips a look | ms a look |",
        "|---|---|--:|" + "---|" * len(PARTS) + "--:|--:|--:|",
    ]
    for view, words in VIEWS.items():
        start = time.perf_counter()
        found = watched(recordings, view)
        took = time.perf_counter() - start
        looks = sum(len(one.outlooks) for rows in found.values() for one in rows)
        for name, replays in found.items():
            cells = []
            for part in PARTS:
                row = errors(replays, part)
                p90 = row[min(len(row) - 1, int(0.9 * len(row)))] if row else float("nan")
                cells.append(f"{100 * statistics.median(row):.1f} / {100 * p90:.1f}" if row else "")
            flips = sum(one.flips for one in replays) / sum(len(one.outlooks) for one in replays)
            lines.append(
                f"| {words} | {name} | {len(replays)} | {' | '.join(cells)} | {covered(replays):.0%} | {flips:.2%} "
                f"| {1000 * took / looks:.1f} |"
            )
    return lines


def said(trial: Trial) -> str:
    limits = [advice.downtime_ms for _, advice in trial.actions if advice.downtime_ms is not None]
    forced = [advice.action for _, advice in trial.actions if advice.action != "none"]
    steps = (
        ""
        if not limits
        else f"{limits[0]} ms"
        if len(limits) == 1
        else f"{limits[0]} to {limits[-1]} ms in {len(limits)}"
    )
    return ", ".join(filter(None, [steps, *forced[:1]])) or "nothing"


def trials(recordings: list[Recording]) -> list[str]:
    lines = [
        "| recording | policy | it did | ended | total s | pause ms | MiB |",
        "|---|---|---|---|--:|--:|--:|",
    ]
    sums: dict[str, list[Trial]] = {name: [] for name in POLICIES}
    skipped = []
    for recording in recordings:
        try:
            view = "law" if kind(recording) != "applications" else "host"
            seen = with_zero_pages(recording) if view == "host" else recording
            guest = replay_recording(seen, view).guest
            found = {
                name: try_policy(
                    guest,
                    recording.link,
                    policy,
                    limits=recording.limits,
                    rules=recording.rules,
                    known=seen.guest(view),
                )
                for name, policy in POLICIES.items()
            }
        except ConvergenceError as error:
            skipped.append(f"{recording.name} ({error.field})")
            continue
        for name, trial in found.items():
            sums[name].append(trial)
            lines.append(
                f"| {recording.name} | {name} | {said(trial)} | {trial.status.value} | {trial.total:.1f} "
                f"| {1000 * trial.pause:.0f} | {trial.transferred / 2**20:.0f} |"
            )
    head = [
        "| policy | completed | seconds in all | longest s | longest pause ms | GiB in all |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, rows in sums.items():
        head.append(
            f"| {name} | {sum(row.completed for row in rows)} of {len(rows)} | {sum(row.total for row in rows):.0f} "
            f"| {max(row.total for row in rows):.0f} | {1000 * max(row.pause for row in rows):.0f} "
            f"| {sum(row.transferred for row in rows) / 2**30:.0f} |"
        )
    return [*head, "", f"Not simulated: {', '.join(skipped)}." if skipped else "", "", *lines]


#: Simulated guests, and at which parts of the way their intervals are asked for.
GUESTS, DOUBTED_AT = 100, (0.3, 0.6, 0.9)
#: What is known before: of the guest's law, and its pages.
PRIORS: dict[str, Callable[[WriteLaw, int], DirtyCurve]] = {
    "the law": lambda law, pages: law.curve(pages),
    "half of what it writes": lambda law, pages: law.curve(pages).scaled(0.5),
    "twice what it writes": lambda law, pages: law.curve(pages).scaled(2.0),
    "another law: a tenth of the pages, 3000 writes a second": lambda _, pages: WriteLaw.uniform(
        pages // 10, 3000
    ).curve(pages),
}


def simulated(seed: int) -> tuple[PreCopySimulation, Guest, Link, Limits, WriteLaw]:
    draw = random.Random(seed)
    pages, rate = draw.choice([32768, 65536, 131072]), 10 ** draw.uniform(2.5, 4.4)
    size = int(pages * draw.uniform(0.03, 0.25))
    law = draw.choice([WriteLaw.uniform, WriteLaw.zipf, WriteLaw.hotcold, WriteLaw.sequential])(
        size, rate
    ).with_background()
    zero, link, limits = (
        int(pages * draw.choice([0, 0.1, 0.33, 0.6])),
        Link(draw.choice([32, 64, 100]) << 20),
        Limits(0.3),
    )
    setup = SimulationSetup.of(link, limits, Rules.qemu("10.0", begin=0.0))
    run = PreCopySimulation(pages, law, setup, zero_pages=zero, seed=seed)
    return run, Guest(pages * 4096, zero, 4096, law.curve(pages)), link, limits, law


def wrongly_known() -> list[str]:
    """How often the interval holds, and the median of half its width as a part of the whole time."""
    rules = Rules.qemu("10.0", begin=0.0)
    found: dict[tuple[str, float], list[tuple[bool, float]]] = {}
    seed = count = 0
    while count < GUESTS:
        seed += 1
        run, guest, link, limits, law = simulated(seed)
        looks: list[JobStats] = []
        while not run.advance(0.25 * (len(looks) + 1)).ended and len(looks) < 240:
            now = run.statistics
            looks.append(
                JobStats(
                    JobType.UNBOUNDED, elapsed=now.elapsed, memory_total=now.total, memory_processed=now.processed,
                    memory_remaining=now.remaining, memory_bps=int(now.bandwidth), dirty_rate=now.dirty_rate,
                    iteration=now.iteration, constant=now.constant,
                )
            )  # fmt: skip
        end = run.finished_at
        if end is None or len(looks) < 4:
            continue
        count += 1
        for name, prior in PRIORS.items():
            watch = Watch(attrs.evolve(guest, curve=prior(law, guest.pages)), link, limits, rules)
            told = [watch.observe(look) for look in looks]
            for part in DOUBTED_AT:
                row = [one for one in told if one.elapsed <= part * end][-1]
                if row.eta_interval is not None:
                    low, high = row.eta_interval
                    held = low <= end - row.elapsed <= high
                    found.setdefault((name, part), []).append((held, (high - low) / 2 / end))
    lines = [
        f"| known before | {' | '.join(f'{part:.0%}' for part in DOUBTED_AT)} |",
        "|---|" + "--:|" * len(DOUBTED_AT),
    ]
    for name in PRIORS:
        rows = [found[name, part] for part in DOUBTED_AT]
        cells = [
            f"{statistics.mean(a for a, _ in row):.0%} / {statistics.median(b for _, b in row):.1%}" for row in rows
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> str:
    recordings, _ = load_all(RECORDINGS)
    return "\n".join(
        [
            "Errors of the total time, median / p90 in %, at a part of the way:",
            "",
            *estimates(recordings),
            "",
            "Nova's policy with its defaults, and a forecast with the same budget (a pause of 500 ms, 800 s a GiB), in the simulator:",
            "",
            *trials(recordings),
            "",
            f"{GUESTS} simulated guests: the 90 % interval of the eta holds / half its width as a part of the time, at a part of the way:",
            "",
            *wrongly_known(),
        ]
    )


if __name__ == "__main__":
    print(main())
