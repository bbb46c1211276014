"""Forecast: one, by the compiled kernel, its Python twin, and the textbook recursion

    python benchmarks/bench_forecast.py

Medians of 25 runs, one thread. The textbook (V <- D V / R until it fits the pause) is what others compute; the first
column is the whole call with its checks and result, the third reads the probability too, the last three are the
recursion alone.
"""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Callable

from novastate._native import NATIVE, precopy, precopy_py
from novastate._native.precopy_fields import OUT_FIELDS
from novastate.convergence import DirtyCurve, Forecast, Guest, Limits, Link, Rules, forecast
from novastate.convergence.evaluation import closed_form

MIB = 1 << 20
#: What one forecast of a guest that converges may take with the compiled kernel.
LIMIT_US = 5
LINK, LIMITS, RULES = Link(limit=64 * MIB), Limits(0.3, 800), Rules.qemu("10.0")
GUESTS = {
    "uniform, converges": {0.25: 2956, 0.5: 5379, 1.0: 9003, 2.0: 13055, 4.0: 15674},
    "zipf, converges": {0.25: 3236, 0.5: 5434, 1.0: 8798, 2.0: 13636, 4.0: 19619},
    "uniform, never": {0.25: 5121, 0.5: 8648, 1.0: 12721, 2.0: 15560, 4.0: 16328},
}


def microseconds(call: Callable[[], object], runs: int) -> float:
    """The median over 25 repeats of the time of one call."""
    times: list[float] = []
    for _ in range(25):
        start = time.perf_counter()
        for _ in range(runs):
            call()
        times.append((time.perf_counter() - start) / runs * 1e6)
    return statistics.median(times)


def kernel(result: Forecast, run: Callable[..., int]) -> Callable[[], object]:
    out, point, rounds = array("d", bytes(8 * OUT_FIELDS)), array("d", [1, 1, 1, 0]), array("d")
    return lambda: run(result._scenario, result.guest.curve._rows, point, out, rounds)


def limit(name: str) -> str:
    if not NATIVE:
        return ""
    return str(LIMIT_US) if name.endswith("converges") else "none"


def main() -> str:
    lines = [
        f"native: {NATIVE}\n",
        "| guest | `forecast()` µs | limit µs | `forecast().probability` µs | compiled recursion µs | Python twin µs | textbook µs |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, windows in GUESTS.items():
        curve = DirtyCurve.from_windows(windows, page_count=98434)
        guest = Guest(98434 * 4096, 32079, 4096, curve)
        result = forecast(guest, LINK, LIMITS, RULES)
        cells = (
            microseconds(lambda guest=guest: forecast(guest, LINK, LIMITS, RULES), 400),
            microseconds(lambda guest=guest: forecast(guest, LINK, LIMITS, RULES).probability, 60),
            microseconds(kernel(result, precopy.run), 400) if NATIVE else None,
            microseconds(kernel(result, precopy_py.run), 10),
            microseconds(lambda result=result: closed_form(result), 200),
        )
        first, *others = ["" if cell is None else f"{cell:.1f}" for cell in cells]
        lines.append(f"| {name} | " + " | ".join((first, limit(name), *others)) + " |")
    lines.append(
        f"\nThe limit, {LIMIT_US} µs, is for the compiled kernel and a guest that converges. One that never does is followed until its "
        "rounds repeat, which may take tens of bitmap syncs (75 here): it has no limit. `probability` is 24 more runs of the recursion."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
