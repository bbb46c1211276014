"""A drain tried out: all migrations of a plan side by side, each page-exact, on links that they share.

Rules:

1. What starts is `DrainPlan.ready`'s answer whenever something has ended: order and limits are the plan's, times are not.
2. Each migration gets, of every link on its way, its max-min fair share, and no more than its limit (Bertsekas and Gallager,
   *Data Networks*, 6.5: who wants less than an equal part gets what it wants, the rest is shared equally). Shares change
   when a migration starts sending or ends.
3. A pause has its share and what is left of the link: so pauses are longer where a link is full.
4. All run in steps of a slot of 100 ms, so a start and a change of shares may come that much late. What takes longer than its
   timeout (or `patience_of` its first pass, where it has none) is aborted, and is among the failed ones.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence

import attrs

from novastate.convergence import bounds
from novastate.convergence.drain.plan import DrainPlan, DrainStep
from novastate.convergence.drain.problem import State
from novastate.convergence.guest import Guest, Link
from novastate.convergence.precopy import forecast
from novastate.convergence.simulation.laws import PAGE, WriteLaw
from novastate.convergence.simulation.setup import SimulationSetup, Status
from novastate.convergence.simulation.simulate import patience_of
from novastate.convergence.simulation.simulator import PreCopySimulation
from novastate.errors import ConvergenceError

__all__ = ["DrainMove", "DrainOutcome", "fair_shares", "naive_plan", "simulate_drain"]

_STEP = 0.1
_MOST_SEED = 2**62


@attrs.frozen
class DrainMove:
    """How one migration went: from *start* to *end* (s since the drain began), bytes *transferred*, *downtime* s of pause; whether it
    *completed*.
    """

    name: str
    source: str
    destination: str
    start: float
    end: float
    transferred: int
    downtime: float
    completed: bool


@attrs.frozen
class DrainOutcome:
    """How a drain went: its *moves* in the order of their end."""

    moves: tuple[DrainMove, ...]

    @property
    def makespan(self) -> float:
        """When the last migration was over, completed or not, s."""
        return max((move.end for move in self.moves), default=0.0)

    @property
    def transferred(self) -> int:
        """Bytes sent by all, failed ones too."""
        return sum(move.transferred for move in self.moves)

    @property
    def downtime(self) -> float:
        """All pauses together, s."""
        return sum(move.downtime for move in self.moves)

    @property
    def failed(self) -> tuple[str, ...]:
        """The guests that are still where they were."""
        return tuple(move.name for move in self.moves if not move.completed)


def fair_shares(demands: Sequence[float], paths: Sequence[Sequence[int]], capacities: Sequence[float]) -> list[float]:
    """Max-min fair shares: what each flow gets that wants *demands* over the links in *paths*, whose *capacities* they share.

    Raises `ConvergenceError` where not every flow has a path.

    >>> fair_shares([10.0, 100.0, 100.0], [[0], [0], [0]], [90.0])
    [10.0, 40.0, 40.0]
    """
    if len(demands) != len(paths):
        raise ConvergenceError("paths", len(paths), f"must be as many as the {len(demands)} demands")
    left, given, waiting = list(capacities), [0.0] * len(demands), set(range(len(demands)))
    while waiting:
        users = [0] * len(left)
        for flow in waiting:
            for link in paths[flow]:
                users[link] += 1
        parts = [max(0.0, one) / count if count else math.inf for one, count in zip(left, users, strict=True)]
        least = min(parts, default=math.inf)
        fixed = {flow: demands[flow] for flow in waiting if demands[flow] <= least}
        if not fixed:
            narrowest = parts.index(least)
            fixed = {flow: least for flow in waiting if narrowest in paths[flow]}
        for flow, share in sorted(fixed.items()):
            given[flow] = share
            waiting.discard(flow)
            for link in paths[flow]:
                left[link] -= share
    return given


class _Migration:
    """One migration of the drain, on the drain's clock."""

    def __init__(self, step: DrainStep, guest: Guest, law: WriteLaw, state: State, now: float, seed: int) -> None:
        if guest.page_size != PAGE:
            raise ConvergenceError("page_size", guest.page_size, f"is not simulated, {PAGE} is")
        found, problem = step.forecast, state.problem
        if found.rules.family != "qemu":
            raise ConvergenceError("family", found.rules.family, "is not simulated on links that are shared")
        ends = problem.ends(step.source, step.destination)
        self.step, self.start, self._rules = step, now, found.rules
        self.path = problem.path(*ends)
        self._capacity = problem.capacity(*ends)
        self.demand = self._capacity if step.limit is None else min(self._capacity, problem.taken(step.limit))
        timeout = found.limits.timeout
        setup = SimulationSetup.of(Link(step.limit, max(1.0, self._capacity)), found.limits, found.rules)
        self.sim = PreCopySimulation(
            guest.pages,
            law,
            setup,
            zero_pages=round(guest.zero_pages),
            tail_pages=None if guest.tail_pages is None else round(guest.tail_pages),
            tail_zero=round(guest.tail_zero),
            seed=seed,
        )
        self._last = now + (patience_of(setup, guest.pages, round(guest.zero_pages)) if timeout is None else timeout)
        self._line, self._share = self._capacity, 0.0
        self._before = 0
        self._move: DrainMove | None = None

    @property
    def begun(self) -> float:
        """When it starts sending."""
        return self.start + self._rules.begin

    def give(self, share: float, line: float) -> None:
        """From now on it has *share* bytes/s, and in its pause *line*."""
        self._line = line
        if share != self._share:
            self._share = share
            quota = max(1.0, share * _STEP - self.sim.setup.turn_header)
            self.sim.setup = attrs.evolve(self.sim.setup, quota=quota)

    def advance(self, now: float) -> DrainMove | None:
        """Goes on to *now*; what became of it, if it has ended."""
        self._move = self._move or self._advance(now)
        return self._move if self._move is not None and self._move.end <= now else None

    def _advance(self, now: float) -> DrainMove | None:
        sim, to = self.sim, min(now, self._last) - self.begun
        while sim.status is Status.ACTIVE and sim.next_event <= to:
            sim.advance(sim.next_event)
            if sim.status is Status.ACTIVE:
                self._before = sim.statistics.processed
        if to >= 0:
            sim.advance(to)
        if sim.status is not Status.COMPLETED:
            if now < self._last or not sim.abort():
                return None
            return self._over(self._last, 0.0, completed=False)
        # The simulated pause had the whole line.
        device = sim.setup.device
        rest = (sim.statistics.processed - self._before) / self._line
        pause = sim.downtime if sim.was_post_copy else max(sim.downtime, device + rest)
        end = self.begun + (sim.finished_at or 0.0) + pause - sim.downtime
        return self._over(end, pause, completed=True)

    def _over(self, end: float, pause: float, *, completed: bool) -> DrainMove:
        step = self.step
        sent = self.sim.statistics.processed
        return DrainMove(step.name, step.source, step.destination, self.start, end, sent, pause, completed)


def simulate_drain(plan: DrainPlan, laws: Mapping[str, WriteLaw] | None = None, *, seed: int = 0) -> DrainOutcome:
    """Runs every step of *plan* in the page-exact simulator, on links that are shared fairly.

    *laws* is what each guest really writes, by name; by default what its curve says. What was under way when the plan was made is
    not simulated. Equal arguments give equal outcomes. Raises `ConvergenceError` for a law of no guest, and for what is not
    simulated: pages other than 4096 bytes, hypervisors other than QEMU.
    """
    bounds.instance("plan", plan, DrainPlan)
    guests = {guest.name: guest.guest for guest in plan.guests}
    written = _laws(laws, guests)
    bounds.whole("seed", seed, -_MOST_SEED, _MOST_SEED)
    state = plan.problem().state()
    now, begun, active, over = 0.0, set[str](), dict[str, _Migration](), list[DrainMove]()
    changed = True
    while True:
        if changed:
            for step in plan.ready(active, begun):
                guest = guests[step.name]
                law = written.get(step.name) or WriteLaw.from_curve(guest.curve, guest.busy)
                active[step.name] = _Migration(step, guest, law, state, now, seed + len(begun))
                begun.add(step.name)
        if not active:
            return DrainOutcome(tuple(sorted(over, key=lambda move: (move.end, move.name))))
        _share(active.values(), state, now)
        now += _STEP
        changed = False
        for name, migration in list(active.items()):
            move = migration.advance(now)
            if move is not None:
                over.append(move)
                del active[name]
                changed = True


def _laws(laws: Mapping[str, WriteLaw] | None, guests: Mapping[str, Guest]) -> dict[str, WriteLaw]:
    if laws is None:
        return {}
    bounds.instance("laws", laws, Mapping)
    for name, law in laws.items():
        bounds.choice("laws", name, sorted(guests), "is none of the guests")
        bounds.instance(f"laws[{name}]", law, WriteLaw)
    return dict(laws)


def _share(migrations: Iterable[_Migration], state: State, now: float) -> None:
    """Gives each migration that sends before the next step its share."""
    sending = [one for one in migrations if one.begun < now + _STEP]
    free = list(state.free)
    given = fair_shares([one.demand for one in sending], [one.path for one in sending], free)
    for one, share in zip(sending, given, strict=True):
        for link in one.path:
            free[link] -= share
    for one, share in zip(sending, given, strict=True):
        one.give(share, share + max(0.0, min(free[link] for link in one.path)))


def naive_plan(plan: DrainPlan, at_once: int | None = None) -> DrainPlan:
    """What *plan* is to be compared with: the same guests in the order of their names, *at_once* side by side (None: all), without
    limits or actions. They go where the plan sends them; those it does not move too, to the first host with room.

    The places of the hosts hold. Each takes as long as it would alone, from when it may start.
    Raises `ConvergenceError` for *at_once* below 1.
    """
    bounds.instance("plan", plan, DrainPlan)
    if at_once is not None:
        bounds.whole("at_once", at_once, 1, 2**31)
    problem = plan.problem()
    state = problem.state()
    goals = {problem.index[step.name]: problem.host[step.destination] for step in plan.steps}
    for guest, goal in goals.items():
        state.settle(guest, goal)
    left = dict(plan.unmovable)
    for name in plan.unmovable:
        guest = problem.index[name]
        if not state.out[problem.origins[guest]]:
            continue
        room = next((at for at in problem.destinations if state.room(guest, at)), None)
        if room is not None:
            goals[guest] = room
            state.settle(guest, room)
            del left[name]
    steps: list[DrainStep] = []
    for guest, goal in sorted(goals.items()):
        capacity = problem.capacity(problem.origins[guest], goal)
        found = forecast(problem.guests[guest], Link(None, max(1.0, capacity)), plan.limits, plan.rules)
        ends = problem.sources[guest], problem.hosts[goal][0]
        steps.append(DrainStep(problem.names[guest], *ends, 0.0, found.total or 0.0, None, found))
    timed = _timed(attrs.evolve(plan, steps=tuple(steps), unmovable=left, running=(), at_once=at_once))
    return attrs.evolve(
        plan, steps=timed, unmovable=left, makespan=max((step.end for step in timed), default=0.0), at_once=at_once
    )


def _timed(plan: DrainPlan) -> tuple[DrainStep, ...]:
    """The steps of *plan*, which begin at 0, each begun as soon as it may."""
    now, found, active = 0.0, dict[str, DrainStep](), list[tuple[float, str]]()
    while len(found) < len(plan.steps):
        for step in plan.ready([name for _, name in active], found):
            found[step.name] = attrs.evolve(step, start=now, end=now + step.end)
            heapq.heappush(active, (now + step.end, step.name))
        if not active:
            break
        now, _ = heapq.heappop(active)
    return tuple(found.get(step.name, step) for step in plan.steps)
