"""A fleet of a million guests: `forecast_many`, beside one `forecast` after the other and the textbook recursion

    python benchmarks/bench_fleet.py

Nanoseconds of CPU time a guest, medians of 5 runs (3 of the slow ones, on a part of the fleet), one thread. The fleets
are drawn: 1 to 256 GiB, up to 70 % zero pages, three classes of pages, links limited to 0.3 to 10 Gbit/s. *Calm*: each
class writes 0.01 % to 10 % of what its link carries; *busy*: 0.1 % to 100 %, so that guests which go round for long, or for
ever, take most of the time; *mixed*: one guest in ten is busy, as in a fleet at work. The textbook is V <- W(V / B) until V fits
the pause, at most 100 rounds: what numpy does with it for all rows at once, and Python for one. *By one* is
the compiled recursion, called row by row with its buffers ready. Memory is watched anew at the sync, or in parts as KVM does.
"""

from __future__ import annotations

import math
import statistics
import time
from array import array
from collections.abc import Callable

import numpy as np

from novastate._native import NATIVE, fleet, precopy
from novastate._native.precopy_fields import OUT_FIELDS
from novastate.convergence import Rules, forecast
from novastate.convergence.fleet import Fleet, forecast_many

ROWS = 1_000_000
LIMIT_NS = 100
#: The share of guests that are busy.
FLEETS = {"calm": 0.0, "mixed": 0.1, "busy": 1.0}


def draw(busy: float, rules: Rules, rows: int = ROWS) -> Fleet:
    rng = np.random.default_rng(1)

    def spread(least: float, most: float, *shape: int) -> np.ndarray:
        return np.exp(rng.uniform(math.log(least), math.log(most), shape))

    memory = np.floor(spread(2**30, 2**38, rows))
    pages, limit = np.floor(memory / 4096), spread(3.2e7, 1.2e9, rows)
    sizes = pages[:, None] * spread(1e-3, 0.3, rows, 3)
    rates = limit[:, None] / 4096 * spread(1e-4, 0.1, rows, 3)
    zero = np.floor(0.7 * rng.random(rows) * pages)
    rates[rng.random(rows) < busy] *= 10
    return Fleet(memory, zero, sizes, np.minimum(rates, 50 * sizes), limit=limit, rules=rules)


def textbook(f: Fleet) -> np.ndarray:
    """Rounds until what is left fits the pause, for all rows at once."""
    speed = f.limit / 4096
    left = np.floor(f.memory / 4096) - f.zero_pages
    rounds = np.zeros(len(left))
    going = np.arange(len(left))
    for _ in range(100):
        going = going[left[going] > 0.3 * speed[going]]
        if not going.size:
            break
        time_of = left[going] / speed[going]
        sizes = f.class_sizes[going]
        left[going] = -(sizes * np.expm1(-f.class_rates[going] * time_of[:, None] / sizes)).sum(axis=1)
        rounds[going] += 1
    return rounds


def textbook_of_one(memory: float, zero: float, limit: float, law: list[tuple[float, float]]) -> int:
    speed, left, rounds = limit / 4096, memory // 4096 - zero, 0
    while left > 0.3 * speed and rounds < 100:
        span = left / speed
        left = -sum(n * math.expm1(-rate * span / n) for n, rate in law)
        rounds += 1
    return rounds


def nanoseconds(call: Callable[[], object], rows: int, runs: int = 5) -> float:
    times: list[float] = []
    for _ in range(runs):
        start = time.thread_time()
        call()
        times.append((time.thread_time() - start) / rows * 1e9)
    return statistics.median(times)


def recursion(f: Fleet, rows: int) -> Callable[[], None]:
    """The compiled recursion for one guest, called once a row with its buffers ready."""
    ready = []
    for row in range(rows):
        found = forecast(*f.objects(row))
        ready.append((found._scenario, found.guest.curve._rows))
    out, point, rounds = array("d", bytes(8 * OUT_FIELDS)), array("d", [0.98, 1, 1, 0]), array("d")

    def run() -> None:
        for scenario, law in ready:
            precopy.run(scenario, law, point, out, rounds)

    return run


def agreement(f: Fleet, rows: int) -> str:
    result = forecast_many(f.part(0, rows))
    flips, errors = 0, []
    for row in range(rows):
        one = result[row].unlimited_total
        if (one is None) != math.isinf(result.unlimited_total[row]):
            flips += 1
        elif one is not None:
            errors.append(abs(one / result.unlimited_total[row] - 1))
    high = np.quantile(errors, [0.5, 0.99, 1.0])
    return f"verdicts differ in {flips} of {rows}; totals by {high[0]:.0e} (median), {high[1]:.0e} (p99), {high[2]:.0e} (most)"


def main() -> str:
    lines = [
        f"native: {NATIVE}, {fleet.isa()}\n",
        "| fleet | watched anew | never | syncs | `forecast_many` ns | limit ns | by one: C ns | `forecast()` ns | numpy ns | Python ns |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    notes = []
    for name, busy in FLEETS.items():
        for rules in (Rules.qemu("10.0", accelerator="tcg"), Rules.qemu("10.0")):
            f = draw(busy, rules, ROWS if NATIVE else 2000)
            rows = len(f)
            few = min(rows, 3000)
            objects = [f.objects(row) for row in range(few)]
            ones = [
                (
                    float(guest.memory),
                    guest.zero_pages,
                    float(link.limit or 0),
                    [(c.size, c.rate) for c in guest.curve.classes],
                )
                for guest, link, _, _ in objects
            ]
            result = forecast_many(f)
            part = f.part(0, min(rows, 200_000))
            cells = (
                nanoseconds(lambda f=f: forecast_many(f), rows),
                LIMIT_NS,
                nanoseconds(recursion(f, few), few, 3),
                nanoseconds(lambda objects=objects: [forecast(*row) for row in objects], few, 3),
                nanoseconds(lambda part=part: textbook(part), len(part), 3),
                nanoseconds(lambda ones=ones: [textbook_of_one(*row) for row in ones], few, 3),
            )
            how = "in parts" if rules.rearm else "at once"
            never = np.isinf(result.unlimited_total).mean()
            lines.append(
                f"| {name} | {how} | {never:.1%} | {result.syncs.mean():.1f} | "
                + " | ".join(f"{c:.0f}" for c in cells)
                + " |"
            )
            notes.append(f"- {name}, {how}: {agreement(f, few)}.")
    lines += ["", "Beside `forecast()`, row by row:", "", *notes]
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
