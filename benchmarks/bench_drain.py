"""Drain: hosts emptied by plan, one by one, so many at once, and all at once

    python benchmarks/bench_drain.py

Random clusters, drawn by seed and simulated page by page on fairly shared links. Each row has the median of the makespans,
and the sum of the rest. The guests write uniformly or hot and cold, from hardly anything to more than half a link carries.
"At once" starts as many migrations, in the order of their names and without limits, with the destinations of the plan.
"""

from __future__ import annotations

import random
import statistics
import time

from attrs import evolve

from novastate.convergence import (
    DrainGuest,
    DrainHost,
    DrainOutcome,
    DrainPlan,
    Guest,
    Limits,
    Rules,
    SharedLink,
    WriteLaw,
    naive_plan,
    plan_drain,
    simulate_drain,
)

MIB, GIB = 1 << 20, 1 << 30
LIMITS = Limits(downtime=0.3, timeout=180)
RULES = Rules.qemu("10.0")
SEEDS = range(3)
#: By name: guests, their memory in quarters of a GiB, hosts to empty, capacity of each host's card, of the trunk.
Shape = tuple[int, tuple[int, int], int, float, float | None]
CLUSTERS: dict[str, Shape] = {
    "1 host, 1 Gbit/s": (16, (1, 4), 1, 125e6, None),
    "1 host, 10 Gbit/s": (16, (4, 16), 1, 1.25e9, None),
    "3 hosts, 10 Gbit/s, trunk 4 Gbit/s": (18, (4, 12), 3, 1.25e9, 0.5e9),
}
Cluster = tuple[list[DrainGuest], list[DrainHost], list[SharedLink], dict[str, WriteLaw]]


def cluster(
    seed: int, count: int, quarters: tuple[int, int], emptied: int, card: float, trunk: float | None
) -> Cluster:
    """Guests, hosts and links, and what each guest really writes."""
    draw = random.Random(seed)
    guests: list[DrainGuest] = []
    laws: dict[str, WriteLaw] = {}
    bandwidth = trunk or card
    for at in range(count):
        memory = draw.randint(*quarters) * GIB // 4
        pages = memory // 4096
        zero = int(pages * draw.uniform(0.2, 0.6))
        hot = int((pages - zero) * draw.uniform(0.1, 0.4))
        # A few write as much as half a link carries, most little.
        rate = min(bandwidth, 390e6) / 4104 * draw.choice((0.001, 0.01, 0.05, 0.2, 0.6)) * draw.uniform(0.7, 1.1)
        law = WriteLaw.uniform(hot, rate) if draw.random() < 0.6 else WriteLaw.hotcold(hot, rate, 0.1, 0.8)
        law = evolve(law.with_background(), busy=1.0)
        name = f"g{at:02}"
        laws[name] = law
        guests.append(DrainGuest(name, Guest(memory, zero, 4096, law.curve(pages)), f"old{at % emptied}", 2))
    room = sum(guest.guest.memory for guest in guests) / 4
    hosts = [DrainHost(f"old{at}", outgoing=None) for at in range(emptied)]
    hosts += [DrainHost(f"new{at}", memory=1.3 * room + 4 * GIB, vcpus=2 * count) for at in range(4)]
    links = [SharedLink(f"card {host.name}", card, [host.name]) for host in hosts]
    return guests, hosts, links + ([SharedLink("trunk", trunk)] if trunk else []), laws


def strategies(plan: DrainPlan) -> dict[str, DrainPlan]:
    found = {"plan": plan, "one by one": naive_plan(plan, 1)}
    found |= {f"{count} at once": naive_plan(plan, count) for count in (2, 4, 8)}
    return found | {"all at once": naive_plan(plan)}


def row(name: str, outcomes: list[DrainOutcome], plans: list[DrainPlan]) -> str:
    makespan = statistics.median(one.makespan for one in outcomes)
    sent = sum(one.transferred for one in outcomes) / GIB
    pauses = sum(one.downtime for one in outcomes)
    failed = sum(len(one.failed) for one in outcomes)
    guests = sum(len(one.moves) for one in outcomes)
    forecast = f"{statistics.median(one.makespan for one in plans):.1f}" if name == "plan" else ""
    return f"| {name} | {makespan:.1f} | {forecast} | {sent:.1f} | {pauses:.1f} | {failed} of {guests} |"


def large() -> str:
    """Seconds to plan a thousand guests, on hosts that take two migrations each way."""
    guests, _, _, _ = cluster(7, 1000, (4, 32), 10, 1.25e9, 5e9)
    room = sum(guest.guest.memory for guest in guests) / 40
    hosts = [DrainHost(f"old{at}", outgoing=2) for at in range(10)]
    hosts += [DrainHost(f"new{at}", 1.2 * room, incoming=2) for at in range(40)]
    times: list[float] = []
    plans: list[DrainPlan] = []
    for _ in range(3):
        start = time.process_time()
        plans.append(plan_drain(guests, hosts, [SharedLink("trunk", 5e9)], LIMITS, RULES))
        times.append(time.process_time() - start)
    plan = plans[0]
    return (
        f"A thousand guests from 10 hosts to 40 are planned in {statistics.median(times):.1f} s of CPU time"
        f" (forecast: {plan.makespan:.0f} s, lower bound {plan.lower_bound:.0f} s)."
    )


def main() -> str:
    lines: list[str] = []
    for title, shape in CLUSTERS.items():
        outcomes: dict[str, list[DrainOutcome]] = {}
        plans: list[DrainPlan] = []
        for seed in SEEDS:
            guests, hosts, links, laws = cluster(seed, *shape)
            plans.append(plan_drain(guests, hosts, links, LIMITS, RULES))
            for name, plan in strategies(plans[-1]).items():
                outcomes.setdefault(name, []).append(simulate_drain(plan, laws, seed=seed))
        lines += [
            f"**{title}**, {shape[0]} guests, {len(SEEDS)} clusters; not movable by plan: {sum(len(one.unmovable) for one in plans)}\n",
            "| | makespan s | forecast s | sent GiB | pauses s | failed |",
            "|---|--:|--:|--:|--:|--:|",
            *(row(name, found, plans) for name, found in outcomes.items()),
            "",
        ]
    return "\n".join([*lines, large()])


if __name__ == "__main__":
    print(main())
