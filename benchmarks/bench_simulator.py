"""The page-exact simulator: how fast, and how near to recorded migrations

    python benchmarks/bench_simulator.py

Speed: a guest of 64 GiB (16.8 million pages, a fifth of them zero) over 10 Gbit/s, followed to its end or for 120 simulated
seconds, by one thread. Beside it a 1/256 of it, memory, writes and link, by the compiled kernels and by their twin in numpy: the peer.
Nearness: the recorded migrations whose write law is known from their configuration, each simulated with five seeds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from accuracy import near_boundary
from novastate._native import NATIVE, scan, scan_py
from novastate.convergence import Limits, Link, Recording, Rules, SimulationResult, WriteLaw, simulate
from novastate.convergence.recordings import load_all
from novastate.convergence.simulation import pagemap, writers
from novastate.convergence.simulation.setup import SimulationSetup
from novastate.convergence.simulation.simulator import PreCopySimulation
from novastate.convergence.simulation.timed import Law, PhasedLaw, TraceLaw
from novastate.errors import ConvergenceError

RECORDINGS = Path(__file__).parent / "recordings"
GIB = 1 << 30
PAGES = 64 * GIB // 4096
#: Pages that are written at all: 40 GiB.
WRITTEN = 40 * GIB // 4096
SECONDS = 120.0
#: Times faster than real time that any must be.
LEAST = 100
#: Page writes a second: as many as 0.1, 1 and 10 GiB/s.
RATES = {"light": (1 << 18) / 10, "moderate": 1 << 18, "heavy": 10 << 18}
#: By how much the guest is smaller that the twin can follow.
SMALLER = 256
SEEDS = range(5)


def laws(rate: float, pages: int = WRITTEN) -> dict[str, Law]:
    random = np.random.default_rng(1)
    writes = int(min(rate, 1 << 20) * 20)
    return {
        "uniform": WriteLaw.uniform(pages, rate),
        "zipf, s = 0.99": WriteLaw.zipf(pages, rate),
        "hot and cold, 90 % to 10 %": WriteLaw.hotcold(pages, rate),
        "sequential": WriteLaw.sequential(pages, rate),
        "phased: zipf 5 s, uniform 1 s, idle 4 s": PhasedLaw(
            [(5, WriteLaw.zipf(pages, rate)), (1, WriteLaw.uniform(pages, 2 * rate)), (4, WriteLaw.idle())]
        ),
        "replayed trace, 20 s over and over": TraceLaw(
            random.integers(0, pages, writes), np.sort(random.random(writes)) * 20, period=20.0
        ),
    }


def speed(law: Law, pages: int = PAGES, limit: float = 1.25e9) -> tuple[float, int]:
    """Simulated seconds a second, and the bitmap syncs; construction is part of it."""
    # A destination that takes pages as fast as the line brings them.
    rules = Rules.qemu("10.0", first_touch=3.3e-6)
    setup = SimulationSetup.of(Link(limit=limit, line_rate=1.25e9), Limits(downtime=0.3), rules)
    began = time.perf_counter()
    sim = PreCopySimulation(pages, law, setup, zero_pages=pages // 5, seed=1)
    sim.advance(SECONDS)
    took = time.perf_counter() - began
    return min(SECONDS, sim.finished_at or SECONDS) / took, len(sim.rounds)


def small(rate: float) -> list[float]:
    """How fast each law is in the small guest."""
    pages, limit = PAGES // SMALLER, 1.25e9 / SMALLER
    return [speed(law, pages, limit)[0] for law in laws(rate / SMALLER, WRITTEN // SMALLER).values()]


def by_twin(rate: float) -> list[float]:
    """The same by the twin."""
    pagemap.scan = writers.scan = scan_py  # type: ignore[assignment,attr-defined]
    try:
        return small(rate)
    finally:
        pagemap.scan = writers.scan = scan  # type: ignore[attr-defined]


def speeds() -> list[str]:
    lines = [
        f"native: {NATIVE} ({scan.isa()}); times real time, at least {LEAST}\n",
        f"| writes | law | writes/s | bitmap syncs | times real time | 1/{SMALLER} of it | by the twin |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for name, rate in RATES.items():
        # Interleaved: what disturbs this machine for a while disturbs all of them.
        runs = [([speed(law) for law in laws(rate).values()], small(rate), by_twin(rate)) for _ in range(3)]
        for at, (law_name, law) in enumerate(laws(rate).items()):
            ratio = statistics.median(run[0][at][0] for run in runs)
            native = statistics.median(run[1][at] for run in runs)
            twin = statistics.median(run[2][at] for run in runs)
            mark = "" if ratio >= LEAST else " (too slow)"
            syncs = runs[0][0][at][1]
            lines.append(
                f"| {name} | {law_name} | {law.rate:,.0f} | {syncs} | {ratio:.0f}{mark} | {native:.0f} | {twin:.0f} |"
            )
    return lines


# --- beside what was recorded


def law_of(recording: Recording) -> WriteLaw:
    """The law that the recorded guest was told to write by, at the rate at which it did (one that never idles is slower than told).

    Raises ConvergenceError for an application.
    """
    config = recording.data.get("config")
    params = config.get("guest_params") if isinstance(config, Mapping) else None
    if not isinstance(params, Mapping) or "wss_mb" not in params:
        raise ConvergenceError("config.guest_params", params, "names no write law")
    pre = recording.data.get("pre")
    truth = pre.get("guest_truth") if isinstance(pre, Mapping) else None
    wrote = truth.get("rate_pps_last_s") if isinstance(truth, Mapping) else None
    pages, rate = int(params["wss_mb"]) * 256, float(wrote or params["rate_mb"] * 256)
    make = {
        "uniform": WriteLaw.uniform,
        "zipf": lambda n, r: WriteLaw.zipf(n, r, float(params.get("zipf_s", 99)) / 100),
        "hotcold": lambda n, r: WriteLaw.hotcold(
            n, r, float(params.get("hot_pct", 10)) / 100, float(params.get("hot_w", 90)) / 100
        ),
        "seq": WriteLaw.sequential,
    }[str(params.get("pattern", "uniform"))]
    return WriteLaw(make(pages, rate).parts, recording.guest("law").busy).with_background()


def replica(recording: Recording, seed: int) -> SimulationResult:
    """The recorded migration, simulated."""
    return simulate(
        pages=recording.pages,
        law=law_of(recording),
        link=recording.link,
        limits=recording.limits,
        rules=recording.rules,
        zero_pages=round(recording.guest("law").zero_pages),
        seed=seed,
    )


def nearness() -> list[str]:
    lines = [
        "\n| recording | happened | simulated | total s | actual s | error % | QEMU's part % | bytes % | pause ms | actual ms |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    errors: dict[tuple[str, str], list[float]] = {}
    right = judged = 0
    for recording in load_all(RECORDINGS)[0]:
        outcome = recording.outcome
        try:
            runs = [replica(recording, seed) for seed in SEEDS]
        except ConvergenceError:
            continue  # an application, or no count of its zero pages
        assert outcome is not None
        done = [run for run in runs if run.total is not None]
        near = near_boundary(recording)
        kind = "near the boundary" if near else "away from it" if recording.plain else "with options"
        judged += 1
        right += (2 * len(done) > len(runs)) == outcome.completed
        row = [
            recording.name + (" (near)" if near else ""),
            "completed" if outcome.completed else "aborted",
            f"{len(done)} of {len(runs)} complete",
        ]
        if outcome.total is not None and done:
            run = sorted(done, key=lambda run: run.total or 0.0)[len(done) // 2]
            assert run.total is not None
            assert run.hypervisor_total is not None
            assert run.transferred is not None
            assert run.downtime is not None
            begin = outcome.begin if outcome.begin is not None else recording.rules.begin
            found = {
                "total": run.total / outcome.total - 1,
                "QEMU's part": run.hypervisor_total / (outcome.total - begin) - 1,
            }
            if outcome.transferred:
                found["bytes"] = run.transferred / outcome.transferred - 1
            for what, error in found.items():
                errors.setdefault((kind, what), []).append(abs(error))
            row += [f"{run.total:.2f}", f"{outcome.total:.2f}"]
            row += [f"{100 * found[what]:+.1f}" if what in found else "" for what in ("total", "QEMU's part", "bytes")]
            row += [f"{1000 * run.downtime:.0f}", "" if outcome.downtime is None else f"{1000 * outcome.downtime:.0f}"]
        lines.append("| " + " | ".join([*row, *[""] * (10 - len(row))]) + " |")
    summary = ["\n| what | migrations | recordings | median % | p90 % | max % |", "|---|---|--:|--:|--:|--:|"]
    for (kind, what), values in sorted(errors.items()):
        ordered = sorted(values)
        figures = (statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))], ordered[-1])
        shown = " | ".join(f"{100 * value:.2f}" for value in figures)
        summary.append(f"| {what} | {kind} | {len(ordered)} | {shown} |")
    summary.append(
        "\nMigrations are near the boundary where 10 % more or fewer writes change the verdict, or away from it; those with options use "
        "auto-converge, post-copy, XBZRLE or multifd."
    )
    summary.append(f"Its end, completed or not, is right in {right} of {judged} (by most of five seeds).")
    return [*summary, *lines]


def main() -> str:
    return "\n".join([*speeds(), *nearness()])


if __name__ == "__main__":
    print(main())
