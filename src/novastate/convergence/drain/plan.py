"""Emptying hosts: which migrations, in which order, to which host, how many at once, with which bandwidth limit each.

Rules:

1. The hosts of the guests that are given are to be emptied, so none of them is a destination. Every guest is in one step
   of the plan, or in `DrainPlan.unmovable` with a reason.
2. A migration holds, from its start to its end, one of its source's outgoing and one of its destination's incoming places,
   and what its limit takes of each link on its way; and room for the guest on the destination, from its start on. None of
   these is ever given out twice. What QEMU sends without a limit, in the pause, shares the line with the others; a
   migration that is to switch to post-copy gets its way alone.
3. Less bandwidth means that more is sent again, so two migrations side by side send more than one after the other, and
   some guests converge only alone. A guest gets no bandwidth but one that it is forecast to converge at, with probability
   *sure* or more.
4. A guest that converges at no bandwidth is moved otherwise if the operator's `DrainBudget` says so: with a longer pause,
   throttled, by post-copy, the first of these that does it.
5. Times are a forecast. What is binding is the order: `DrainPlan.ready` says what may start when something has ended, early
   or late, and `DrainPlan.replan` plans the rest anew.

The algorithm is in `novastate.convergence.drain.schedule`, a plan's trial by simulation in
`novastate.convergence.drain.trial`. Nova's own limit is one outgoing live migration of a host, and none on incoming
ones (nova/conf/compute.py, ``max_concurrent_live_migrations``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from novastate.convergence import bounds
from novastate.convergence.drain.inputs import DrainBudget, DrainGuest, DrainHost, SharedLink
from novastate.convergence.drain.problem import Problem
from novastate.convergence.drain.schedule import Move, Running, schedule
from novastate.convergence.guest import Limits
from novastate.convergence.precopy import Forecast
from novastate.convergence.rules import Rules
from novastate.errors import ConvergenceError

__all__ = ["DrainPlan", "DrainStep", "plan_drain"]

_MIB = 1 << 20


@attrs.frozen
class DrainStep:
    """One migration of the plan: the guest *name* goes from *source* to *destination*, from *start* to *end* (s), with a bandwidth *limit*
    (bytes/s; None: as much as the line gives). *action* says what is done besides, and is empty for an ordinary one;
    *forecast* holds the limits and rules it is to be made with.
    """

    name: str
    source: str
    destination: str
    start: float
    end: float
    limit: float | None
    forecast: Forecast = attrs.field(repr=False)
    action: str = ""

    def as_json(self) -> dict[str, object]:
        """As plain data, in s and bytes."""
        return {
            "guest": self.name,
            "source": self.source,
            "destination": self.destination,
            "start_s": self.start,
            "end_s": self.end,
            "limit_bytes_per_s": self.limit,
            "action": self.action,
            "downtime_limit_s": self.forecast.limits.downtime,
            "forecast": self.forecast.as_json(),
        }


@attrs.frozen
class DrainPlan:
    """Which guest moves when, where to and with what limit; made by `plan_drain`.

    *steps* in the order of their start; *unmovable*: why, by guest; *makespan*: when the last is over (s); *lower_bound*: no
    plan that moves the guests in *steps* at these bandwidths is sooner over by the same forecasts. The other fields are what
    it was made for, *hosts* as they were before; *running* what was under way. At most *at_once* migrations run side by side,
    None: any number.
    """

    steps: tuple[DrainStep, ...]
    unmovable: Mapping[str, str]
    makespan: float
    lower_bound: float
    guests: tuple[DrainGuest, ...] = attrs.field(repr=False)
    hosts: tuple[DrainHost, ...] = attrs.field(repr=False)
    links: tuple[SharedLink, ...] = attrs.field(repr=False)
    limits: Limits = attrs.field(repr=False)
    rules: Rules = attrs.field(repr=False)
    budget: DrainBudget = attrs.field(repr=False)
    sure: float = attrs.field(repr=False)
    emptied: frozenset[str] = attrs.field(repr=False)
    running: tuple[DrainStep, ...] = attrs.field(default=(), repr=False)
    at_once: int | None = attrs.field(default=None, repr=False)

    @property
    def transferred(self) -> float:
        """Bytes that all steps together send, by forecast."""
        return sum(step.forecast.transferred or 0.0 for step in self.steps)

    @property
    def downtime(self) -> float:
        """The pauses of all guests together, s, by forecast."""
        return sum(step.forecast.downtime or 0.0 for step in self.steps)

    def ready(self, running: Iterable[str], begun: Iterable[str] = ()) -> tuple[DrainStep, ...]:
        """The steps to start now, where the guests in *running* are on their way, and those in *begun* were, whatever became of them.

        A step waits for what it needs to be free, and is not overtaken by a later one that needs the same host or link: so a guest that
        needs a whole link gets it. Raises `ConvergenceError` for a name that is in no step.

        >>> plan_drain([], [], []).ready([])
        ()
        """
        known = {step.name: step for step in (*self.running, *self.steps)}
        current = bounds.names("running", running)
        over = bounds.names("begun", begun) - current
        for field, names in (("running", current), ("begun", over)):
            for name in sorted(names - set(known)):
                raise ConvergenceError(field, name, "is in no step of the plan")
        problem = self.problem()
        state = problem.state()
        for name in sorted(current | over):
            step = known[name]
            if name in current:
                state.take(*problem.ends(step.source, step.destination), step.limit)
            if all(name != one.name for one in self.running):
                state.settle(problem.index[name], problem.host[step.destination])
        blocked: set[tuple[str, int]] = set()
        found: list[DrainStep] = []
        at_once = len(current)
        for step in self.steps:
            if step.name in current or step.name in over:
                continue
            if self.at_once is not None and at_once >= self.at_once:
                break
            source, destination = problem.ends(step.source, step.destination)
            needs = {("out", source), ("in", destination), *(("link", at) for at in problem.path(source, destination))}
            guest = problem.index[step.name]
            if needs & blocked or not state.fits(guest, source, destination, step.limit):
                blocked |= needs
                continue
            state.take(source, destination, step.limit)
            state.settle(guest, destination)
            at_once += 1
            found.append(step)
        return tuple(found)

    def replan(self, *, done: Iterable[str] = (), running: Mapping[str, float] | None = None) -> DrainPlan:
        """The plan for what is left, whose times count from now.

        Guests in *done* are where they were to go; those in *running* are on their way for so many seconds more; all others are planned
        again from where they are, failed ones too. `at_once` holds for `ready`; the times are as if it did not.
        Raises `ConvergenceError` for a name that is in no step.
        """
        known = {step.name: step for step in (*self.running, *self.steps)}
        if running is not None:
            bounds.instance("running", running, Mapping)
        left = dict(running or {})
        gone = bounds.names("done", done)
        for field, names in (("done", gone), ("running", bounds.names("running", left))):
            for name in sorted(names - set(known)):
                raise ConvergenceError(field, name, "is in no step of the plan")
        for name, seconds in left.items():
            bounds.number(f"running[{name}]", seconds, 0, bounds.LONGEST)
        size = {guest.name: (guest.guest.memory, guest.vcpus) for guest in self.guests}
        hosts: list[DrainHost] = []
        for host in self.hosts:
            came = [size[n] for n in sorted(gone | set(left)) if n in size and known[n].destination == host.name]
            memory = max(0.0, host.memory - sum(one for one, _ in came))
            vcpus = max(0.0, host.vcpus - sum(one for _, one in came))
            hosts.append(attrs.evolve(host, memory=memory, vcpus=vcpus))
        plan = plan_drain(
            [guest for guest in self.guests if guest.name not in gone and guest.name not in left],
            hosts,
            self.links,
            self.limits,
            self.rules,
            budget=self.budget,
            sure=self.sure,
            emptied=self.emptied,
            running=[attrs.evolve(known[name], start=0.0, end=left[name]) for name in sorted(left)],
        )
        return attrs.evolve(plan, at_once=self.at_once)

    def problem(self) -> Problem:
        """What it was made for, counted through, with everything free."""
        return _problem(
            self.guests, self.hosts, self.links, self.limits, self.rules, self.budget, self.sure, self.emptied
        )

    def as_json(self) -> dict[str, object]:
        """As plain data, in s and bytes."""
        return {
            "makespan_s": self.makespan,
            "lower_bound_s": self.lower_bound,
            "transferred_bytes": round(self.transferred),
            "downtime_s": self.downtime,
            "steps": [step.as_json() for step in self.steps],
            "unmovable": dict(self.unmovable),
        }

    def __str__(self) -> str:
        rows = [("start", "guest", "from", "to", "MiB/s", "end", "pause", "MiB", "how")]
        for step in self.steps:
            sent, pause = step.forecast.transferred or 0.0, step.forecast.downtime or 0.0
            limit = "line" if step.limit is None else f"{step.limit / _MIB:.0f}"
            rows.append((
                f"{step.start:.1f} s", step.name, step.source, step.destination, limit, f"{step.end:.1f} s",
                f"{1000 * pause:.0f} ms", f"{sent / _MIB:.0f}", step.action,
            ))  # fmt: skip
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        numeric = {0, 4, 5, 6, 7}
        lines = [
            "  ".join(
                cell.rjust(width) if at in numeric else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        lines.append(f"{len(self.steps)} migrations in {self.makespan:.1f} s")
        lines.extend(f"cannot be moved: {name}: {reason}" for name, reason in self.unmovable.items())
        return "\n".join(lines)


def _problem(
    guests: Sequence[DrainGuest],
    hosts: Sequence[DrainHost],
    links: Sequence[SharedLink],
    limits: Limits,
    rules: Rules,
    budget: DrainBudget,
    sure: float,
    emptied: frozenset[str],
) -> Problem:
    """Checks what is given against each other, and counts it through."""
    bounds.number("sure", sure, 0, 0.98)
    for field, names in (
        ("guests", [guest.name for guest in guests]),
        ("hosts", [host.name for host in hosts]),
        ("links", [link.name for link in links]),
    ):
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise ConvergenceError(field, twice[0], "is given twice")
    known = {host.name for host in hosts}
    for at, guest in enumerate(guests):
        if guest.host not in known:
            raise ConvergenceError(f"guests[{at}].host", guest.host, "is none of the hosts", sorted(known))
    for at, link in enumerate(links):
        for name in sorted(link.hosts - known):
            raise ConvergenceError(f"links[{at}].hosts", name, "is none of the hosts", sorted(known))
    for name in sorted(emptied - known):
        raise ConvergenceError("emptied", name, "is none of the hosts", sorted(known))
    return Problem(
        names=[guest.name for guest in guests],
        guests=[guest.guest for guest in guests],
        sources=[guest.host for guest in guests],
        vcpus=[guest.vcpus for guest in guests],
        hosts=[(host.name, host.memory, host.vcpus, host.outgoing, host.incoming) for host in hosts],
        links=[(link.capacity, link.hosts) for link in links],
        limits=limits,
        rules=rules,
        actions=budget.actions(limits, rules),
        beyond=DrainBudget(max(10.0, limits.downtime), throttle=True, post_copy=True).actions(limits, rules),
        sure=sure,
        emptied=emptied,
    )


def plan_drain(
    guests: Iterable[DrainGuest],
    hosts: Iterable[DrainHost],
    links: Iterable[SharedLink],
    limits: Limits = Limits(),
    rules: Rules = Rules.qemu(),
    *,
    budget: DrainBudget = DrainBudget(),
    sure: float = 0.9,
    emptied: Iterable[str] = (),
    running: Iterable[DrainStep] = (),
) -> DrainPlan:
    """The plan by which the hosts of *guests* are empty soonest, of those tried, by forecast.

    *hosts* holds sources and destinations, with what is free on them now (what is *running* is counted already); *links* what
    lies between them. *limits* and *rules* are those of every migration, *budget* what may be done besides to a guest that does
    not converge; *sure* is the least probability of converging (at most 0.98). *emptied* are hosts that nothing is to go to,
    besides those of the guests; *running* are migrations under way, their *end* in seconds from now.
    Equal arguments make equal plans, in whatever order they come. Raises `ConvergenceError` for a name that is given twice or
    unknown, and where a source and a destination have no link between them.

    >>> from novastate.convergence import DirtyCurve, Guest
    >>> curve = DirtyCurve.from_windows({0.25: 2956, 0.5: 5379, 1.0: 9003, 2.0: 13055}, page_count=98304)
    >>> web = Guest(memory=384 * 2**20, zero_pages=32079, page_size=4096, curve=curve)
    >>> hosts = [DrainHost("a"), DrainHost("b", memory=2**30)]
    >>> plan = plan_drain([DrainGuest("web", web, "a")], hosts, [SharedLink("trunk", 125e6)])
    >>> [(step.name, step.destination) for step in plan.steps], 2 < plan.makespan < 4
    ([('web', 'b')], True)
    """
    bounds.instance("limits", limits, Limits)
    bounds.instance("rules", rules, Rules)
    bounds.instance("budget", budget, DrainBudget)
    ordered = sorted(bounds.entries("guests", guests, DrainGuest), key=lambda guest: guest.name)
    every = sorted(bounds.entries("hosts", hosts, DrainHost), key=lambda host: host.name)
    lines = sorted(bounds.entries("links", links, SharedLink), key=lambda link: link.name)
    under_way = tuple(sorted(bounds.entries("running", running, DrainStep), key=lambda step: step.name))
    closed = frozenset(
        (*bounds.names("emptied", emptied), *(guest.host for guest in ordered), *(step.source for step in under_way))
    )
    problem = _problem(ordered, every, lines, limits, rules, budget, sure, closed)
    for step in under_way:
        for field, name in (("source", step.source), ("destination", step.destination)):
            if name not in problem.host:
                raise ConvergenceError(f"running[{step.name}].{field}", name, "is none of the hosts")
        if step.name in problem.index:
            raise ConvergenceError("running", step.name, "is among the guests too")
        bounds.number(f"running[{step.name}].end", step.end, 0, bounds.LONGEST)
    held = [Running(*problem.ends(step.source, step.destination), step.limit, step.end) for step in under_way]
    found = schedule(problem, held)
    steps = tuple(_step(problem, move) for move in found.moves)
    ends = [step.end for step in (*under_way, *steps)]
    return DrainPlan(
        steps=steps,
        unmovable=found.unmovable,
        makespan=max(ends, default=0.0),
        lower_bound=found.lower_bound,
        guests=tuple(ordered),
        hosts=tuple(every),
        links=tuple(lines),
        limits=limits,
        rules=rules,
        budget=budget,
        sure=sure,
        emptied=closed,
        running=under_way,
    )


def _step(problem: Problem, move: Move) -> DrainStep:
    way = move.way
    return DrainStep(
        name=problem.names[move.guest],
        source=problem.sources[move.guest],
        destination=problem.hosts[move.destination][0],
        start=move.start,
        end=move.start + way.seconds,
        limit=way.limit,
        forecast=way.forecast,
        action=way.action,
    )
