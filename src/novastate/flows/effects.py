"""What a flow asks of the world. A flow yields effects and is sent their results; it does no I/O itself.

Rules of this room:

1. A flow is a generator of effects. It imports no implementation of a driver, store or runner, reads no clock and no
   environment; all it learns, it learns from the results that it is sent. An effect that fails is thrown into it as an exception.
2. An effect is data: it can be printed, counted, stopped before or after, lost or delivered twice.
3. Each effect may be performed twice with the effect of once, or is guarded by a compare-and-swap.
   So a flow may be stopped between any two effects, and :func:`novastate.flows.recover` can bring its
   records and its guest into agreement.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from typing import Any, TypeAlias, TypeVar

from attrs import field, frozen

from novastate.objects import RequestSpec

__all__ = [
    "Call",
    "Claim",
    "Effect",
    "Find",
    "Flow",
    "Load",
    "Note",
    "Notify",
    "Now",
    "Recall",
    "Release",
    "Save",
    "Schedule",
    "Send",
    "Wait",
]


@frozen
class Call:
    """Call *method* of the driver of *host*. Result: what it returns; raises what it raises, DriverError if *host* is unknown."""

    host: str
    method: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(factory=dict[str, Any])


@frozen
class Load:
    """Read an object anew. Result: a copy of the row. Raises NotFound."""

    cls: type[Any]
    key: str


@frozen
class Find:
    """Read up to *limit* objects whose indexed fields equal *equals*, in the order of their keys. Result: a list of copies."""

    cls: type[Any]
    equals: Mapping[str, Any]
    limit: int = 100


@frozen
class Save:
    """Store *objects* by compare-and-swap on their revisions (0: it must not exist yet), all or none.

    *expect* names fields of the first object's stored row and the values that each may have.
    Raises StaleState or AlreadyExists, and then nothing was saved.
    """

    objects: tuple[Any, ...]
    expect: Mapping[str, Collection[object]] = field(factory=dict[str, Collection[object]])


@frozen
class Schedule:
    """Pick hosts for *spec*, best first, none of *ignore*. Result: a tuple of host names, never empty. Raises NoValidHost."""

    spec: RequestSpec
    ignore: frozenset[str] = frozenset()


@frozen
class Claim:
    """Hold the room of *spec* on *host* for *consumer* (the instance). Held already: nothing more is taken. Raises ClaimFailed."""

    host: str
    consumer: str
    spec: RequestSpec


@frozen
class Release:
    """Give back what *consumer* holds on *host*, if anything."""

    host: str
    consumer: str


@frozen
class Wait:
    """Let *seconds* pass, or less if a message comes on *topic*. Result: the message, or None.

    ``Wait(0, topic)`` looks once and does not wait.
    """

    seconds: float
    topic: str = ""


@frozen
class Now:
    """What time is it? Result: an aware datetime in UTC."""


@frozen
class Send:
    """Leave *message* for whoever waits on *topic*. Result: None."""

    topic: str
    message: str


@frozen
class Note:
    """Keep *facts*, plain JSON data, in the document *name*, beside what it holds under other keys. Result: None.

    For what is worth reading later and is no state: a forecast, options, final statistics.
    """

    name: str
    facts: Mapping[str, Any]


@frozen
class Recall:
    """Read the document *name*. Result: its facts; empty where there are none."""

    name: str


@frozen
class Notify:
    """Tell whoever listens that *event* happened; *payload* is plain data without secrets. Result: None; it never fails."""

    event: str
    payload: Mapping[str, Any] = field(factory=dict[str, Any])


R = TypeVar("R")

Effect: TypeAlias = Call | Load | Find | Save | Schedule | Claim | Release | Wait | Now | Send | Note | Recall | Notify

#: A flow that ends with a result of type R: ``Flow[Migration]``.
Flow: TypeAlias = Generator[Effect, Any, R]
