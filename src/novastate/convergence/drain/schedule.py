"""The order of a drain: list schedules of moldable tasks, and the best of them.

Rules:

1. A migration is a *moldable* task: it takes less time with more bandwidth, which is fixed when it starts. Its area, bandwidth
   times time, is what it sends, and grows as the bandwidth falls. Turek, Wolf and Yu (SPAA'92) take such a problem in two steps:
   choose each task's share, then schedule the tasks as rigid ones. The shares tried: 1/k of the narrowest link for all, for each
   k that is of use, where who needs more gets the least that is more; the same, where who would send much more by it gets more
   too; and for each guest the share of the least area.
2. The rigid tasks are list-scheduled (Graham 1969; for several resources Garey and Graham 1975): whenever something ends, go
   through those who wait, in a fixed order, and start what fits. The orders tried: longest first (LPT), largest area first, most
   bandwidth first. Of each host's queue only the first `WINDOW` are looked at.
3. Bandwidth that nobody who waits can take is given to those who start now.
4. Where to: the largest guest first, to the host that is loaded least, or else to the one with the least room left (best fit
   decreasing, Johnson 1973); and beside it, for each guest the host with most bandwidth free when it starts. Packing is NP-hard: a guest
   for which no room is found by this might be given some by another packing.
5. The result is the schedule that is over soonest, of these the one that sends least. One after the other is among those tried.

Cost: n guests, h hosts, at most 14 shares: 14·n forecasts, then at most 60 schedules of n·(WINDOW + h·log h) steps each.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

from novastate.convergence.drain.problem import Problem, Way

__all__ = ["Move", "Running", "Schedule", "schedule"]

#: How many of those who wait on a host are looked at.
WINDOW = 12
#: How many shares are tried in every order, and with destinations chosen late.
_FEW = 4
#: How much more than the least a guest may take of a link, in bandwidth times time.
_WASTE = 1.1


class Move(NamedTuple):
    """*guest* goes to *destination* by *way*, from *start* on."""

    guest: int
    destination: int
    start: float
    way: Way


class Running(NamedTuple):
    """A migration under way until *end*."""

    source: int
    destination: int
    limit: float | None
    end: float


class Schedule(NamedTuple):
    """*moves* by start; *unmovable*: reasons by name; *lower_bound* of the makespan, s."""

    moves: list[Move]
    unmovable: dict[str, str]
    lower_bound: float


#: The destination of each guest that has one; None: it is chosen when the guest starts.
_Placement: TypeAlias = "Mapping[int, int] | None"
#: The way of a guest over a capacity.
_Pick: TypeAlias = Callable[[int, float], Way]

#: By what those who wait are sorted.
_Order: TypeAlias = Callable[[Way], float]

_ORDERS: tuple[_Order, ...] = (
    lambda way: -way.seconds,
    lambda way: -way.area,
    lambda way: -way.rate,
)


def schedule(problem: Problem, running: Sequence[Running] = ()) -> Schedule:
    """The best schedule found, beside what is *running*."""
    goals = {guest: _goals(problem, guest) for guest in range(len(problem.names))}
    unmovable = {problem.names[guest]: problem.why_not(guest) for guest, hosts in goals.items() if not hosts}
    placed = max(_placements(problem, goals), key=lambda found: _moved(problem, found))
    for guest, hosts in goals.items():
        if hosts and guest not in placed:
            unmovable[problem.names[guest]] = _no_room(problem, guest, hosts)
    best = _best(problem, {guest: goals[guest] for guest in placed}, placed, running)
    best.sort(key=lambda move: (move.start, problem.names[move.guest]))
    bound = _lower_bound(problem, {guest: goals[guest] for guest in placed})
    return Schedule(best, dict(sorted(unmovable.items())), bound)


def _best(
    problem: Problem, goals: Mapping[int, list[int]], placed: Mapping[int, int], running: Sequence[Running]
) -> list[Move]:
    """The best of the schedules tried: each share, then the best few of them in other orders, and with other destinations."""
    found: list[tuple[float, float, int, list[Move]]] = []

    def tried(pick: _Pick, order: _Order, placement: _Placement, at_once: int | None = None) -> float:
        moves = _Run(problem, goals, pick, order, placement, running).moves(at_once)
        if moves is None:
            return math.inf
        end = max((move.start + move.way.seconds for move in moves), default=0.0)
        found.append((end, sum(move.way.forecast.transferred or 0.0 for move in moves), len(found), moves))
        return end

    for order in _ORDERS:
        tried(_share(problem, 1), order, placed, 1)
        tried(_share(problem, 1), order, None, 1)
    widths = [rung.shares for rung in problem.ladder(max(problem.capacities, default=1.0))]
    picks = [make(problem, width) for make in (_share, _thrifty) for width in widths] + [_least_area(problem)]
    ends = [tried(pick, _ORDERS[0], placed) for pick in picks]
    for at in sorted(range(len(picks)), key=lambda at: (ends[at], at))[:_FEW]:
        for order in _ORDERS:
            if order is not _ORDERS[0]:
                tried(picks[at], order, placed)
            if len(problem.destinations) > 1:
                tried(picks[at], order, None)
    return min(found)[3]


def _share(problem: Problem, width: int) -> _Pick:
    """At 1/*width* of the link, or the least that is more, or else the most that there is."""

    @cache
    def pick(guest: int, capacity: float) -> Way:
        ways = problem.ways(guest, capacity)
        return next((way for way in reversed(ways) if way.shares <= width), ways[0])

    return pick


def _thrifty(problem: Problem, width: int) -> _Pick:
    """As `_share`, but for who would send much more by it: those get the least more bandwidth that avoids it."""

    @cache
    def pick(guest: int, capacity: float) -> Way:
        ways = problem.ways(guest, capacity)
        least = _WASTE * min(way.area for way in ways)
        return next((way for way in reversed(ways) if way.shares <= width and way.area <= least), ways[0])

    return pick


def _least_area(problem: Problem) -> _Pick:
    return cache(lambda guest, capacity: min(problem.ways(guest, capacity), key=lambda way: way.area))


def _goals(problem: Problem, guest: int) -> list[int]:
    """The hosts that *guest* converges on the way to."""
    source = problem.origins[guest]
    if problem.hosts[source][3] == 0:
        return []
    return [at for at in problem.destinations if problem.ways(guest, problem.capacity(source, at))]


# --- where to


def _placements(problem: Problem, goals: Mapping[int, list[int]]) -> Iterator[dict[int, int]]:
    most = max((row[2] for row in problem.hosts), default=1.0) or 1.0
    memory = max((row[1] for row in problem.hosts), default=1.0) or 1.0

    def size(guest: int) -> tuple[float, int]:
        return (-max(problem.guests[guest].memory / memory, problem.vcpus[guest] / most), guest)

    for balanced in (True, False):
        state, load = problem.state(), [0.0] * len(problem.hosts)
        found: dict[int, int] = {}
        for guest in sorted(goals, key=size):
            source = problem.origins[guest]
            best: tuple[float, float, int] | None = None
            for at in goals[guest]:
                if state.room(guest, at):
                    seconds = problem.ways(guest, problem.capacity(source, at))[0].seconds
                    rank = (load[at] + seconds, -state.memory[at], at) if balanced else (state.memory[at], 0.0, at)
                    best = rank if best is None else min(best, rank)
            if best is not None:
                at = best[2]
                load[at] += problem.ways(guest, problem.capacity(source, at))[0].seconds
                state.settle(guest, at)
                found[guest] = at
        yield found


def _moved(problem: Problem, placed: Mapping[int, int]) -> tuple[int, float]:
    return len(placed), sum(problem.guests[guest].memory for guest in placed)


def _no_room(problem: Problem, guest: int, hosts: Sequence[int]) -> str:
    memory, vcpus = problem.guests[guest].memory, problem.vcpus[guest]
    state = problem.state()
    alone = any(state.room(guest, at) for at in hosts)
    why = "The room that there is goes to others" if alone else "No host that it converges on the way to has the room"
    return f"{why}: it needs {memory / 2**20:.0f} MiB and {vcpus:g} vCPUs."


# --- when


class _Run:
    """One list schedule."""

    def __init__(
        self,
        problem: Problem,
        goals: Mapping[int, list[int]],
        pick: _Pick,
        order: _Order,
        placement: _Placement,
        running: Sequence[Running],
    ) -> None:
        self._problem, self._goals, self._pick, self._placement = problem, goals, pick, placement
        self._state = problem.state()
        self._ends: list[tuple[float, int, int, float]] = []
        for one in running:
            rate = problem.capacity(one.source, one.destination)
            rate = rate if one.limit is None else min(rate, problem.taken(one.limit))
            self._state.change(one.source, one.destination, rate, 1)
            heapq.heappush(self._ends, (one.end, one.source, one.destination, rate))
        self._queues: dict[int, list[int]] = {}
        first = {
            guest: self._way(guest, hosts[0] if placement is None else placement[guest])
            for guest, hosts in goals.items()
        }
        self._rank = {guest: (order(way), guest) for guest, way in first.items()}
        for guest in sorted(goals, key=self._rank.__getitem__):
            self._queues.setdefault(problem.origins[guest], []).append(guest)
        # What every way out of a host needs, and the least that anyone there asks for: below it there is no use in looking.
        self._common = {source: problem.common(source) for source in self._queues}
        self._least = {
            source: min(
                pick(guest, capacity).rate
                for capacity in {problem.capacity(source, at) for at in problem.destinations}
                for guest in queue
                if problem.ways(guest, capacity)
            )
            for source, queue in self._queues.items()
        }

    def _way(self, guest: int, destination: int) -> Way:
        problem = self._problem
        return self._pick(guest, problem.capacity(problem.origins[guest], destination))

    def moves(self, at_once: int | None) -> list[Move] | None:
        """The schedule, with at most *at_once* side by side; None where it leaves someone without room."""
        now, found = 0.0, list[Move]()
        while any(self._queues.values()):
            started = self._start(now, at_once)
            self._widen(started)
            found.extend(started)
            for move in started:
                end = now + move.way.seconds
                heapq.heappush(self._ends, (end, self._problem.origins[move.guest], move.destination, move.way.rate))
            if not self._ends:
                return None
            now = self._ends[0][0]
            while self._ends and self._ends[0][0] <= now:
                _, source, destination, rate = heapq.heappop(self._ends)
                self._state.change(source, destination, -rate, -1)
        return found

    def _start(self, now: float, at_once: int | None) -> list[Move]:
        """Starts what fits of those who wait: in their order, whichever host they are on."""
        state, started = self._state, list[Move]()
        ranked: dict[int, list[int]] = {}
        waiting = [(self._rank[queue[0]], source, 0) for source, queue in self._queues.items() if queue]
        heapq.heapify(waiting)
        while waiting and (at_once is None or len(self._ends) + len(started) < at_once):
            _, source, at = heapq.heappop(waiting)
            if state.out[source] <= 0 or any(
                state.free[link] < self._least[source] * 0.999 for link in self._common[source]
            ):
                continue
            queue = self._queues[source]
            guest = queue[at]
            if self._placement is not None:
                candidates: Sequence[int] = (self._placement[guest],)
            else:
                candidates = ranked[source] = ranked.get(source) or self._ranked(source)
            goal = self._goal(guest, source, candidates)
            if goal is None:
                at += 1
            else:
                destination, way = goal
                state.change(source, destination, way.rate, 1)
                state.settle(guest, destination)
                started.append(Move(guest, destination, now, way))
                del queue[at]
                ranked.clear()
            if at < min(len(queue), WINDOW):
                heapq.heappush(waiting, (self._rank[queue[at]], source, at))
        return started

    def _ranked(self, source: int) -> list[int]:
        """The destinations that take one now, those with most bandwidth free first."""
        state = self._state
        able = [
            (-spare, -state.memory[at], at)
            for at in self._problem.destinations
            if state.into[at] > 0 and (spare := state.spare(source, at)) >= self._least[source] * 0.999
        ]
        return [at for _, _, at in sorted(able)]

    def _goal(self, guest: int, source: int, candidates: Sequence[int]) -> tuple[int, Way] | None:
        """Where *guest* can go now: the first of *candidates* with room for it, if the way there is free."""
        state, goals = self._state, self._goals[guest]
        for at in candidates:
            if state.into[at] > 0 and state.room(guest, at) and at in goals:
                way = self._way(guest, at)
                return (at, way) if state.carries(source, at, way.rate) else None
        return None

    def _widen(self, started: list[Move]) -> None:
        """Gives those who start the bandwidth that nobody waits for, a step each by turns."""
        state, problem = self._state, self._problem
        widened = True
        while widened:
            widened = False
            for at, move in enumerate(started):
                source = problem.origins[move.guest]
                if state.out[source] > 0 and self._queues[source]:
                    continue
                more = [
                    way
                    for way in problem.ways(move.guest, problem.capacity(source, move.destination))
                    if way.rate > move.way.rate and way.seconds < move.way.seconds
                ]
                if more and state.carries(source, move.destination, more[-1].rate - move.way.rate):
                    state.change(source, move.destination, more[-1].rate - move.way.rate, 0)
                    started[at] = move._replace(way=more[-1])
                    widened = True


def _lower_bound(problem: Problem, goals: Mapping[int, list[int]]) -> float:
    """No schedule is sooner over: not before the longest at its best, nor before a link has carried what must cross it."""
    longest = 0.0
    load = [0.0] * len(problem.capacities)
    for guest, hosts in goals.items():
        source = problem.origins[guest]
        ways = [way for at in hosts for way in problem.ways(guest, problem.capacity(source, at))]
        longest = max(longest, min(way.seconds for way in ways))
        least = min(way.area for way in ways)
        for link in problem.common(source):
            load[link] += least
    return max([longest, *(one / capacity for one, capacity in zip(load, problem.capacities, strict=True))])
