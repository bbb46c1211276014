"""What a drain is planned from: guests that have to leave, hosts, the links they share, and what may be done to the stubborn.

Rules: sizes are bytes, times seconds, rates bytes per second. A value that nothing can have is a `ConvergenceError` that names the
field; what does not fit together is found where the plan is made.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from novastate.convergence import bounds
from novastate.convergence.guest import Guest, Limits
from novastate.convergence.inverse import switching, throttling
from novastate.convergence.rules import Rules

__all__ = ["DrainBudget", "DrainGuest", "DrainHost", "SharedLink"]

_MOST_VCPUS = 1 << 20


def _hosts(values: Iterable[str]) -> frozenset[str]:
    return bounds.names("hosts", values)


def _is_guest(_: object, attribute: attrs.Attribute[Guest], value: object) -> None:
    bounds.instance(attribute.name, value, Guest)


@attrs.frozen
class DrainGuest:
    """A guest that has to leave its *host*: its *name*, the *guest* as a forecast sees it, its *vcpus*.

    It needs `Guest.memory` bytes and *vcpus* where it goes. Raises `ConvergenceError` naming the field.
    """

    name: str = attrs.field(validator=bounds.named)
    guest: Guest = attrs.field(validator=_is_guest)
    host: str = attrs.field(validator=bounds.named)
    vcpus: float = attrs.field(default=0.0, validator=bounds.valid(0, _MOST_VCPUS))


@attrs.frozen
class DrainHost:
    """A host: its *name*, what is free on it (*memory* in bytes, *vcpus*), how many migrations may leave and enter it at once.

    *outgoing* is Nova's ``max_concurrent_live_migrations``; None: any number. Of a host that is emptied only *name* and *outgoing* count.
    Raises `ConvergenceError` naming the field.
    """

    name: str = attrs.field(validator=bounds.named)
    memory: float = attrs.field(default=0.0, validator=bounds.valid(0, bounds.MOST_BYTES))
    vcpus: float = attrs.field(default=float(_MOST_VCPUS), validator=bounds.valid(0, _MOST_VCPUS))
    outgoing: int | None = attrs.field(default=1, validator=bounds.valid(0, 1 << 20, integer=True, optional=True))
    incoming: int | None = attrs.field(default=None, validator=bounds.valid(0, 1 << 20, integer=True, optional=True))


@attrs.frozen
class SharedLink:
    """A line that migrations share: its *name*, and the *capacity* in bytes/s that it has for them in each direction.

    It joins *hosts* with all others (one host: its network card; several: a rack's uplink), so a migration crosses it where just one
    of its two ends is among them. Without *hosts* it is crossed by every migration (a trunk), and has its capacity once.
    Raises `ConvergenceError` naming the field.
    """

    name: str = attrs.field(validator=bounds.named)
    capacity: float = attrs.field(validator=bounds.valid(1.0, bounds.MOST_BYTES))
    hosts: frozenset[str] = attrs.field(default=frozenset(), converter=_hosts)


@attrs.frozen
class DrainBudget:
    """What may be done to a guest that converges at no bandwidth: *downtime*, the longest pause that may be aimed at (s; None: no longer
    than the limit), *throttle*, *post_copy*. Raises `ConvergenceError` naming the field.
    """

    downtime: float | None = attrs.field(default=None, validator=bounds.valid(0, bounds.LONGEST_PAUSE, optional=True))
    throttle: bool = attrs.field(default=False, validator=bounds.flagged)
    post_copy: bool = attrs.field(default=False, validator=bounds.flagged)

    def actions(self, limits: Limits, rules: Rules) -> dict[str, tuple[Limits, Rules]]:
        """What is tried, in this order: a name, and limits and rules instead of the ordinary ones; nothing that the version refuses."""
        bounds.instance("limits", limits, Limits)
        bounds.instance("rules", rules, Rules)
        found: dict[str, tuple[Limits, Rules]] = {}
        pause = 2 * limits.downtime
        while self.downtime is not None and limits.downtime < self.downtime and pause > 0:
            pause = min(pause, self.downtime)
            found[f"pause of {pause:g} s"] = (attrs.evolve(limits, downtime=pause), rules)
            if pause == self.downtime:
                break
            pause *= 2
        throttled, switched = throttling(rules), switching(rules)
        if self.throttle and throttled is not None and not rules.auto_converge:
            found["throttle"] = (limits, throttled)
        if self.post_copy and switched is not None and not rules.post_copy:
            found["post-copy"] = (limits, switched)
        return found
