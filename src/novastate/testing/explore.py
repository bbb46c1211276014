"""Stopping a flow anywhere: before and after every effect, with the reply lost, with the effect made twice.

Rules of this file:

1. A crash is the end of the process that runs the flow: the generator is thrown away, nothing in it runs any more.
2. The places are enumerated, not sampled: effect 0, 1, 2 … until the flow ends by itself.
3. No test framework is imported: this is for anybody's tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, TypeVar

from attrs import frozen

from novastate.errors import DriverTimeout
from novastate.flows import Call, Claim, Effect, Flow, Load, Release
from novastate.runners import LocalRunner

__all__ = ["Crash", "Interference", "Outcome", "interfere", "places"]

R = TypeVar("R")


class Interference(Enum):
    """What happens to one effect."""

    CRASH_BEFORE = "the process dies before the effect"
    CRASH_AFTER = "the process dies after the effect, before its result is used"
    LOSE_REPLY = "a driver call takes effect, and its reply is lost"
    TWICE = "a driver call, a read, a claim or a release is made twice"


class Crash(Exception):
    """The process that ran the flow is gone."""


@frozen
class Outcome:
    """What came of a flow that was interfered with: its `result`, or the `error` it raised, or neither if it crashed.

    *effect* is the one interfered with; None if the flow ended before it.
    """

    effect: Effect | None
    result: Any = None
    error: Exception | None = None

    @property
    def reached(self) -> bool:
        """Whether the flow came as far as the place of interference."""
        return self.effect is not None


_MADE_TWICE = (Call, Claim, Release, Load)


def interfere(runner: LocalRunner, flow: Flow[R], place: int, how: Interference) -> Outcome:
    """Runs *flow* on *runner* and interferes with effect number *place* (from 0).

    An interference that does not fit the effect (a reply lost of what is no driver call) leaves it as it is.
    """
    at = -1
    hit: Effect | None = None

    def perform(effect: Effect) -> Any:
        nonlocal at, hit
        at += 1
        if at != place:
            return runner.perform(effect)
        hit = effect
        if how is Interference.CRASH_BEFORE:
            raise Crash
        result = runner.perform(effect)
        if how is Interference.CRASH_AFTER:
            raise Crash
        if how is Interference.LOSE_REPLY and isinstance(effect, Call):
            raise DriverTimeout(f"{effect.method}: the reply was lost", host=effect.host)
        if how is Interference.TWICE and isinstance(effect, _MADE_TWICE):
            result = runner.perform(effect)
        return result

    try:
        result = _drive(flow, perform)
    except Crash:
        return Outcome(hit)
    except Exception as error:  # noqa: BLE001  (what the flow raised is what came of it)
        return Outcome(hit, error=error)
    return Outcome(hit, result=result)


def _drive(flow: Flow[R], perform: Callable[[Effect], Any]) -> R:
    """A flow to its end; a crash is not thrown into it."""
    try:
        effect = next(flow)
        while True:
            try:
                result = perform(effect)
            except Crash:
                raise
            except Exception as error:  # noqa: BLE001  (whatever it is belongs to the flow)
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as end:
        final: R = end.value
        return final


def places(attempt: Callable[[int], Outcome]) -> Iterator[Outcome]:
    """Makes *attempt* at place 0, 1, 2 … and yields what came of each, until one is not reached."""
    place = 0
    while (outcome := attempt(place)).reached:
        yield outcome
        place += 1
