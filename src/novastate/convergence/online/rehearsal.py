"""A recorded migration once more, in the simulator: the guest that is simulated must be one that the recording does not refute.

Rules:

1. Its zero pages are those that were counted. Its write law is one of those that the recording allows: as it was known before, as
   the counted rounds have corrected that, as they show it alone, and what the guest was told to write, where that is recorded.
2. Each is migrated as it was recorded (limits, link, rules) with some `SEEDS`; that one is taken whose time comes nearest.
3. It stands for the recorded guest where it ends as that did, with more than half of the seeds, and by the median of them within
   `NEAR` of its time, or two slots. Else nothing that is simulated of it tells of the recorded one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from statistics import median

import attrs

from novastate.convergence import bounds
from novastate.convergence.curve import DirtyCurve
from novastate.convergence.guest import Guest
from novastate.convergence.online.replay import Replay, replay_recording
from novastate.convergence.recordings import Recording, Source
from novastate.convergence.rules import SLOT
from novastate.convergence.simulation.laws import WriteLaw
from novastate.convergence.simulation.simulate import simulate
from novastate.errors import ConvergenceError

__all__ = ["NEAR", "SEEDS", "Rehearsal", "rehearse"]

#: As many simulations of each, and by how much of its time the recorded migration may be missed.
SEEDS, NEAR = 3, 0.1


@attrs.frozen
class Rehearsal:
    """*guest*: the one to simulate; *law*: whence its write law is; *totals*: s that it took as recorded with each seed, None where it
    did not complete; *took*: s that the recorded one took, None where it did not complete, or is not known to have (*ended*).
    """

    guest: Guest = attrs.field(repr=False)
    law: str
    totals: tuple[float | None, ...]
    took: float | None
    ended: bool = True

    @property
    def total(self) -> float | None:
        """The time with the median seed; None where half of them and more did not complete."""
        found = median(math.inf if one is None else one for one in self.totals)
        return found if math.isfinite(found) else None

    @property
    def distance(self) -> float:
        """By which factor the time differs (the absolute of its logarithm): 0 also where neither completes, infinite where one does."""
        total = self.total
        if total is None or self.took is None:
            return 0.0 if total is self.took else math.inf
        return abs(math.log(total / self.took))

    @property
    def near(self) -> bool:
        """Whether what is simulated of the guest tells of the recorded one."""
        total = self.total
        if not self.ended:
            return False
        if total is None or self.took is None:
            return total is self.took
        return abs(total - self.took) <= max(NEAR * self.took, 2 * SLOT)


def rehearse(recording: Recording, source: Source = "host", found: Replay | None = None) -> Rehearsal:
    """The guest of *recording* that comes nearest to what was recorded, and how near.

    *found*: the recording as it was watched again from *source*, where that was done. Raises `ConvergenceError` as `replay_recording`.
    """
    found = replay_recording(recording, source) if found is None else found
    bounds.instance("found", found, Replay)
    outcome = recording.outcome
    took, ended = (None, False) if outcome is None else (outcome.total, True)
    best: Rehearsal | None = None
    for law, guest in _guests(recording, source, found):
        one = Rehearsal(guest, law, tuple(_totals(recording, guest, range(1, SEEDS + 1))), took, ended)
        if best is None or one.distance < best.distance:
            best = one
        if best.distance == 0.0 or not ended:
            break  # none is nearer; or there is nothing to be near to
    if best is None:  # the guest of the replay is one
        raise ConvergenceError("recording", recording.name, "holds no guest")
    return best


def _guests(recording: Recording, source: Source, found: Replay) -> Iterator[tuple[str, Guest]]:
    """Rule 1."""
    learnt = found.guest
    yield "what was known before, corrected by the rounds", learnt
    yield "what was known before", attrs.evolve(learnt, curve=recording.guest(source).curve)
    with suppress(ConvergenceError):  # it is not recorded
        told = recording.guest("law")
        yield "what the guest was told to write", attrs.evolve(learnt, curve=told.curve, busy=told.busy)
    with suppress(ConvergenceError):  # none was counted
        yield "the rounds alone", attrs.evolve(learnt, curve=DirtyCurve.from_rounds(found.rounds, learnt.pages))


def _totals(recording: Recording, guest: Guest, seeds: Iterable[int]) -> Iterator[float | None]:
    law, zero = WriteLaw.from_curve(guest.curve, guest.busy), min(round(guest.zero_pages), guest.pages)
    for seed in seeds:
        yield simulate(
            pages=guest.pages, law=law, link=recording.link, limits=recording.limits, rules=recording.rules,
            seed=seed, zero_pages=zero,
        ).total  # fmt: skip
