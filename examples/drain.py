"""Empties a host: plans which guest goes when, where to and with what bandwidth, and tries the plan out page by page.

    .venv/bin/python examples/drain.py

Six guests leave `old` over a line of 1 Gbit/s. One writes so much that it needs the line for itself; one writes too much for it.
"""

from novastate.convergence import (
    DrainBudget,
    DrainGuest,
    DrainHost,
    Guest,
    Limits,
    Rules,
    SharedLink,
    WriteLaw,
    naive_plan,
    plan_drain,
    simulate_drain,
)

GIB = 1 << 30
#: What each guest writes: pages that it writes to, and writes a second.
LAWS = {
    "web-1": WriteLaw.uniform(10_000, 300),
    "web-2": WriteLaw.uniform(10_000, 300),
    "mail": WriteLaw.hotcold(30_000, 4_000),
    "build": WriteLaw.sequential(40_000, 2_500),
    "cache": WriteLaw.uniform(14_000, 28_000),
    "queue": WriteLaw.uniform(40_000, 60_000),
}


def main() -> None:
    """The plan, and how it goes beside all at once.

    >>> main()  # doctest: +ELLIPSIS
     start  guest  from  to     MiB/s     end   pause  MiB  how
    ...
    cannot be moved: queue: Even alone, at 119 MiB/s: ...
    with post-copy, queue goes to new-2, with a limit of 119 MiB/s
    all at once, 180 s later, not moved: cache, queue
    by plan, 3... s later, not moved: nobody
    """
    pages = GIB // 4096
    guests = [DrainGuest(name, Guest(GIB, pages // 2, 4096, law.curve(pages)), "old") for name, law in LAWS.items()]
    hosts = [DrainHost("old", outgoing=None), DrainHost("new-1", memory=4 * GIB), DrainHost("new-2", memory=2 * GIB)]
    links = [SharedLink("card of old", 125e6, ["old"])]
    limits, rules = Limits(downtime=0.3, timeout=180), Rules.qemu("10.0")

    plan = plan_drain(guests, hosts, links, limits, rules)
    print(plan)
    plan = plan_drain(guests, hosts, links, limits, rules, budget=DrainBudget(post_copy=True))
    for step in plan.steps:
        if step.action and step.limit:
            print(
                f"with {step.action}, {step.name} goes to {step.destination}, with a limit of {step.limit / 2**20:.0f} MiB/s"
            )
    for how, tried in (("all at once", naive_plan(plan)), ("by plan", plan)):
        outcome = simulate_drain(tried, LAWS)
        print(f"{how}, {outcome.makespan:.0f} s later, not moved: {', '.join(outcome.failed) or 'nobody'}")


if __name__ == "__main__":
    main()
