"""Curves: the kernels of bitmaps and traces, beside numpy, numba, pyroaring and pure Python

One thread; each repeat runs every contender in turn, the figure is the median of the repeats. A bitmap has 2 MiB (a guest of
64 GiB, pages of 4 KiB). Compiling by numba is not counted, nor are the tables that it is given; ours makes its own.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numba
import numpy as np
import pyroaring

from novastate._native import bitmaps, bitmaps_py, footprint

REPEATS = 7
WORDS = 1 << 18
K, LEVELS = 256, 8
GOALS = {"union": 45, "windows": 150, "small": 3, "large": 6}


def turns(contenders: dict[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, float]:
    """Median seconds of each."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def table(head: str, unit: str, figures: dict[str, float], scale: float, goal: float) -> list[str]:
    ours = next(iter(figures.values()))
    rows = [f"| {name} | {value * scale:,.1f} | {value / ours:.1f} × |" for name, value in figures.items()]
    return [f"| {head} (goal ≤ {goal:g}) | {unit} | |", "| --- | ---: | ---: |", *rows, ""]


def random_bitmaps(rng: np.random.Generator, halvings: int) -> bitmaps.Words:
    """K bitmaps; each halving of the density is one more AND."""
    made = rng.integers(0, 2**64, (K, WORDS), dtype=np.uint64)
    for row in made:
        for _ in range(halvings):
            np.bitwise_and(row, rng.integers(0, 2**64, WORDS, dtype=np.uint64), out=row)
    return made


def unions(rows: bitmaps.Words) -> list[str]:
    out, peers = np.zeros(WORDS, np.uint64), np.zeros(WORDS, np.uint64)
    scratch = np.empty(WORDS, np.uint64)
    pages = [
        np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).astype(np.uint32) for row in rows[:16]
    ]
    roaring = [pyroaring.BitMap(row) for row in pages]
    whole = [int.from_bytes(row.tobytes(), "little") for row in rows[:16]]

    def ours() -> None:
        out[:] = 0
        for row in rows[:16]:
            bitmaps.merge(out, row)

    def numpy() -> None:
        peers[:] = 0
        for row in rows[:16]:
            np.bitwise_and(row, ~peers, out=scratch)
            int(np.bitwise_count(scratch).sum(dtype=np.uint64))
            np.bitwise_or(peers, row, out=peers)

    def by_roaring() -> None:
        union = pyroaring.BitMap()
        for row in roaring:
            row.difference_cardinality(union)
            union |= row

    def python() -> None:
        union = 0
        for row in whole:
            (row & ~union).bit_count()
            union |= row

    contenders = {"novastate": ours, "numpy": numpy, "pyroaring": by_roaring, "pure Python (big integers)": python}
    found = {name: value / 16 for name, value in turns(contenders).items()}
    return table("union and new bits of a bitmap of 2 MiB, 6 % set", "µs", found, 1e6, GOALS["union"])


def windows(rows: bitmaps.Words) -> list[str]:
    few = rows[:32, : WORDS // 8]
    contenders = {
        f"{bitmaps.isa()}: W(k), means of unions": lambda: bitmaps.sums(rows, LEVELS),
        "one pass of counting the bits, for comparison": lambda: bitmaps.count(rows.reshape(-1)),
    }
    found = {name: value / K for name, value in turns(contenders, 5).items()}
    scale = few.size / WORDS
    plain = turns({"numpy twin, W(k)": lambda: bitmaps_py.sums(few, 6)}, 3)
    found |= {f"{name}, 6 levels only": value / scale for name, value in plain.items()}
    return table(
        f"{LEVELS} levels, k = 1, 2, 4 … 128, a bitmap of 2 MiB ({K} of them)", "µs", found, 1e6, GOALS["windows"]
    )


def gaps(rng: np.random.Generator) -> list[str]:
    lines = ["| a bitmap of 2 MiB, density | all k, by gaps µs | 8 levels, by groups µs |", "| --- | ---: | ---: |"]
    for share in (0.00002, 0.0001, 0.0002, 0.0005):
        rows = np.zeros((K, WORDS), np.uint64)
        for row in rows:
            pages = rng.integers(0, WORDS * 64, int(share * WORDS * 64))
            np.bitwise_or.at(row, pages // 64, np.uint64(1) << (pages % 64).astype(np.uint64))
        out = [np.zeros(K, np.uint64) for _ in range(3)]
        found = turns({"gaps": lambda r=rows, o=out: bitmaps.gaps(r, *o), "sums": lambda r=rows: bitmaps.sums(r, 8)}, 5)
        lines.append(f"| {share:.3%} | {found['gaps'] / K * 1e6:.0f} | {found['sums'] / K * 1e6:.0f} |")
    return [*lines, ""]


@numba.njit
def by_numba(pages, last, histogram):  # type: ignore[no-untyped-def]
    for at in range(pages.size):
        page = pages[at]
        if last[page] >= 0:
            histogram[at - last[page]] += 1
        last[page] = at


def by_python(pages: list[int]) -> dict[int, int]:
    last: dict[int, int] = {}
    histogram: dict[int, int] = {}
    for at, page in enumerate(pages):
        if page in last:
            gap = at - last[page]
            histogram[gap] = histogram.get(gap, 0) + 1
        last[page] = at
    return histogram


def traces(rng: np.random.Generator, gib: int, writes: int, goal: float) -> list[str]:
    count = gib << 18
    pages = rng.integers(0, count, writes, dtype=np.uint32)
    limits = np.unique(np.geomspace(1, writes, 64).astype(np.uint32))
    few = pages[: writes // 10]
    short = few.tolist()[: writes // 50]
    last, histogram = np.full(count, -1, np.int64), np.zeros(writes, np.int64)
    by_numba(pages[:10], last, histogram)

    def numpy() -> None:
        order = np.argsort(few, kind="stable")
        page = few[order]
        np.bincount(np.diff(order)[page[1:] == page[:-1]])

    found = turns(
        {
            f"novastate, {footprint.isa()}": lambda: footprint.lengths(pages, None, 0.0, 1.0, writes, count, limits),
            "numba": lambda: by_numba(pages, last, histogram),
        },
        5,
    )
    rest = turns({"numpy (sorting)": numpy, "pure Python": lambda: by_python(short)}, 3)
    figures = {name: value / writes for name, value in found.items()}
    figures |= {"numpy (sorting)": rest["numpy (sorting)"] / few.size, "pure Python": rest["pure Python"] / len(short)}
    return table(
        f"reuse times, a guest of {gib} GiB, {writes // 10**6} million uniform writes", "ns a write", figures, 1e9, goal
    )


def page_sets() -> list[str]:
    chosen = np.zeros(1 << 20, np.uint8)
    found = turns({isa: _chooser(isa, chosen) for isa in footprint.variants()})
    rows = [f"| {isa} | {value / chosen.size * 1e9:.2f} |" for isa, value in found.items()]
    return ["| page set by hash | ns a page |", "| --- | ---: |", *rows, ""]


def _chooser(isa: str, chosen: np.ndarray) -> Callable[[], None]:
    def call() -> None:
        before = footprint.isa()
        footprint.force_isa(isa)
        footprint.choose(None, 0, 0, 1 << 60, chosen)
        footprint.force_isa(before)

    return call


def main() -> str:
    rng = np.random.default_rng(1)
    rows = random_bitmaps(rng, 3)
    parts = [unions(rows), windows(rows)]
    del rows
    parts += [
        gaps(rng),
        traces(rng, 4, 20_000_000, GOALS["small"]),
        traces(rng, 64, 100_000_000, GOALS["large"]),
        page_sets(),
    ]
    return "\n".join(line for part in parts for line in part)


if __name__ == "__main__":
    sys.stdout.write(main() + "\n")
