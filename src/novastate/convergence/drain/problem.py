"""What a drain planner counts: places, room and bandwidth, and the ways in which each guest can move.

Rules: hosts, guests and links are numbers here. A link has one count for each direction, a trunk one. A limit takes what QEMU's
slots make of it (`Rules.quota`, whole flushes of 32 pages), which is a little more than it says; limits are whole MiB/s, as libvirt's are.

The bandwidths that are tried, the *rungs*, are a link's whole capacity, its half, its third …: as many equal shares fit side by side.
Whether a guest converges at a rung is forecast for each: it need not be monotonic in the bandwidth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import attrs

from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.precopy import Forecast, forecast
from novastate.convergence.rules import SLOT, Rules
from novastate.errors import ConvergenceError

__all__ = ["Problem", "Rung", "State", "Way"]

_MIB = 1 << 20
_UNBOUNDED = 1 << 30
#: By how much of a link its users may exceed it: what adding and subtracting rates rounds.
_ROUNDING = 1e-9
#: Into how many equal shares a link may be cut.
_SHARES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64)


class Rung(NamedTuple):
    """A bandwidth: *shares* of it fit side by side; *limit* is what is asked for, *rate* what it takes (bytes/s)."""

    shares: int
    limit: float
    rate: float


class Way(NamedTuple):
    """How a guest can move: at *limit*, taking *rate* of each link for *seconds*; *action* besides."""

    shares: int
    limit: float
    rate: float
    seconds: float
    forecast: Forecast
    action: str = ""

    @property
    def area(self) -> float:
        """What it takes of a link in all, bytes."""
        return self.rate * self.seconds


@attrs.define(eq=False)
class Problem:
    """All that is given, in the order of names. *hosts*: name, free memory, free vCPUs, places out and in (None: any number);
    *links*: capacity, hosts behind it; *actions*, *beyond*: limits and rules by name, what may be tried, and what else there is.
    """

    names: list[str]
    guests: list[Guest]
    sources: list[str]
    vcpus: list[float]
    hosts: list[tuple[str, float, float, int | None, int | None]]
    links: list[tuple[float, frozenset[str]]]
    limits: Limits
    rules: Rules
    actions: Mapping[str, tuple[Limits, Rules]]
    beyond: Mapping[str, tuple[Limits, Rules]]
    sure: float
    emptied: frozenset[str]
    _paths: dict[tuple[int, int], tuple[int, ...]] = attrs.field(factory=dict, init=False)
    _common: dict[int, frozenset[int]] = attrs.field(factory=dict, init=False)
    _narrow: dict[tuple[int, int], float] = attrs.field(factory=dict, init=False)
    _ladders: dict[float, tuple[Rung, ...]] = attrs.field(factory=dict, init=False)
    _ways: dict[tuple[int, float], tuple[Way, ...]] = attrs.field(factory=dict, init=False)

    @cached_property
    def host(self) -> dict[str, int]:
        """The number of each host."""
        return {row[0]: at for at, row in enumerate(self.hosts)}

    @cached_property
    def index(self) -> dict[str, int]:
        """The number of each guest."""
        return {name: at for at, name in enumerate(self.names)}

    @cached_property
    def origins(self) -> list[int]:
        """The source of each guest."""
        return [self.host[name] for name in self.sources]

    @cached_property
    def destinations(self) -> list[int]:
        """The hosts that guests may go to."""
        closed = {*self.sources, *self.emptied}
        return [at for at, row in enumerate(self.hosts) if row[0] not in closed and row[4] != 0]

    @cached_property
    def capacities(self) -> list[float]:
        """Of each link, in each direction."""
        return [capacity for capacity, _ in self.links for _ in range(2)]

    @cached_property
    def widest(self) -> int:
        """How many migrations could ever run side by side."""
        out = sum(_places(self.hosts[at][3]) for at in set(self.origins))
        into = sum(_places(self.hosts[at][4]) for at in self.destinations)
        return max(1, min(len(self.names), out, into, _SHARES[-1]))

    def ends(self, source: str, destination: str) -> tuple[int, int]:
        """The numbers of two hosts."""
        return self.host[source], self.host[destination]

    def path(self, source: int, destination: int) -> tuple[int, ...]:
        """The links on the way, as places in `capacities`; raises `ConvergenceError` where there is none."""
        found = self._paths.get((source, destination))
        if found is None:
            ends = self.hosts[source][0], self.hosts[destination][0]
            found = tuple(
                2 * at + (bool(behind) and ends[1] in behind)
                for at, (_, behind) in enumerate(self.links)
                if not behind or (ends[0] in behind) != (ends[1] in behind)
            )
            if not found:
                raise ConvergenceError("links", f"{ends[0]} to {ends[1]}", "has no link on its way")
            self._paths[source, destination] = found
        return found

    def common(self, source: int) -> frozenset[int]:
        """The links that everyone who leaves *source* crosses."""
        found = self._common.get(source)
        if found is None:
            paths = [frozenset(self.path(source, at)) for at in self.destinations]
            found = self._common[source] = frozenset[int]().union(*paths[:1]).intersection(*paths)
        return found

    def capacity(self, source: int, destination: int) -> float:
        """Of the narrowest link on the way."""
        found = self._narrow.get((source, destination))
        if found is None:
            found = min(self.capacities[at] for at in self.path(source, destination))
            self._narrow[source, destination] = found
        return found

    def taken(self, limit: float | None) -> float:
        """What a migration takes of a link at *limit*; nothing is set aside for one without."""
        return 0.0 if limit is None else self.rules.quota(limit) / SLOT

    def ladder(self, capacity: float) -> tuple[Rung, ...]:
        """The bandwidths to be tried where the narrowest link has *capacity*: the whole first, then less and less."""
        found = self._ladders.get(capacity)
        if found is None:
            rungs: list[Rung] = []
            for shares in _SHARES:
                share = capacity / shares
                if shares > self.widest:
                    break
                limit = _whole(share)
                # What is alone on a link cannot take more than the link.
                while shares > 1 and limit > 0 and self.taken(limit) > share:
                    limit -= _MIB
                if limit <= 0 and shares > 1:
                    break
                limit = limit or share
                if not rungs or limit < rungs[-1].limit:
                    rungs.append(Rung(shares, limit, min(self.taken(limit), share)))
            found = self._ladders[capacity] = tuple(rungs)
        return found

    def ways(self, guest: int, capacity: float) -> tuple[Way, ...]:
        """How *guest* can move over a way of *capacity*, the most bandwidth first; empty: it cannot.

        Those by an action are looked at only where no ordinary one does it.
        """
        key = (guest, capacity)
        found = self._ways.get(key)
        if found is None:
            ladder = self.ladder(capacity)
            found = self._tried(guest, capacity, ladder, "", self.limits, self.rules)
            for name, (limits, rules) in self.actions.items():
                if found:
                    break
                found = self._tried(guest, capacity, ladder, name, limits, rules)
            self._ways[key] = found
        return found

    def _tried(
        self, guest: int, capacity: float, ladder: tuple[Rung, ...], action: str, limits: Limits, rules: Rules
    ) -> tuple[Way, ...]:
        ways: list[Way] = []
        for rung in ladder:
            # On a full link the pause has no more of the line than the share.
            link = Link(rung.limit, max(1.0, capacity / rung.shares))
            found = forecast(self.guests[guest], link, limits, rules)
            if found.post_copied and rung.shares > 1:
                continue  # post-copy lifts the limit, so it gets the way alone
            if found.total is not None and found.probability >= self.sure:
                ways.append(Way(*rung, found.total, found, action))
        return tuple(ways)

    def why_not(self, guest: int) -> str:
        """Why *guest* can move to nowhere, over no way, in a sentence or two."""
        origin = self.origins[guest]
        if self.hosts[origin][3] == 0:
            return "Its host lets no migration leave (outgoing is 0)."
        found = [self.capacity(origin, at) for at in self.destinations if at != origin]
        if not found:
            return "There is no host that it could go to."
        capacity = max(found)
        rung = self.ladder(capacity)[0]
        alone = forecast(self.guests[guest], Link(rung.limit, max(1.0, capacity)), self.limits, self.rules)
        best = (rung,)
        others = {name: row for name, row in self.beyond.items() if name not in self.actions}
        helped = [name for name, row in others.items() if self._tried(guest, capacity, best, name, *row)]
        # Of longer pauses the shortest will do.
        pauses = [name for name in helped if name.startswith("pause")]
        helped = [name for name in helped if name not in pauses[1:]]
        advice = f" A budget could allow: {', '.join(helped)}." if helped else ""
        return f"Even alone, at {rung.limit / _MIB:.0f} MiB/s: {alone.reason}{advice}"

    def state(self) -> State:
        """Everything free."""
        return State(
            problem=self,
            out=[_places(row[3]) for row in self.hosts],
            into=[_places(row[4]) for row in self.hosts],
            memory=[row[1] for row in self.hosts],
            vcpus=[row[2] for row in self.hosts],
            free=list(self.capacities),
        )


@attrs.define(eq=False)
class State:
    """What is free: places *out* of and *into* each host, its *memory* and *vcpus*, and of each link, *free* bytes/s."""

    problem: Problem
    out: list[int]
    into: list[int]
    memory: list[float]
    vcpus: list[float]
    free: list[float]

    def room(self, guest: int, destination: int) -> bool:
        """Whether *destination* has memory and vCPUs for *guest*."""
        problem = self.problem
        return (
            self.memory[destination] >= problem.guests[guest].memory and self.vcpus[destination] >= problem.vcpus[guest]
        )

    def spare(self, source: int, destination: int) -> float:
        """What the links between them have left, bytes/s."""
        return min(map(self.free.__getitem__, self.problem.path(source, destination)))

    def carries(self, source: int, destination: int, rate: float) -> bool:
        """Whether the links between them have *rate* left."""
        return self.spare(source, destination) >= rate * (1 - _ROUNDING) - _ROUNDING

    def fits(self, guest: int, source: int, destination: int, limit: float | None) -> bool:
        """Whether *guest* can start now."""
        rate = min(self.problem.taken(limit), self.problem.capacity(source, destination))
        return (
            self.out[source] > 0
            and self.into[destination] > 0
            and self.room(guest, destination)
            and self.carries(source, destination, rate)
        )

    def take(self, source: int, destination: int, limit: float | None) -> None:
        """A migration at *limit* starts."""
        self.change(source, destination, min(self.problem.taken(limit), self.problem.capacity(source, destination)), 1)

    def change(self, source: int, destination: int, rate: float, places: int) -> None:
        """*places* migrations more (or fewer), and *rate* more (or less) of the links between two hosts."""
        self.out[source] -= places
        self.into[destination] -= places
        for at in self.problem.path(source, destination):
            self.free[at] -= rate

    def settle(self, guest: int, destination: int) -> None:
        """*guest* has its room on *destination*."""
        self.memory[destination] -= self.problem.guests[guest].memory
        self.vcpus[destination] -= self.problem.vcpus[guest]


def _places(count: int | None) -> int:
    return _UNBOUNDED if count is None else count


def _whole(rate: float) -> float:
    return math.floor(rate / _MIB) * _MIB
