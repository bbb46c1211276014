"""The chance of a round that wrote little enough, of a migration that goes round for ever.

Rule: how many pages a round hits is chance. Of N pages that are written independently, each with probability p in a round, N p are
hit, with a variance of N p (1 - p). A round that goes on for ever leaves so many pages, give or take; the migration ends
with the first one that leaves no more than the pause has room for. With a short pause, or a slow line, that is few pages, and many
rounds are tried. Rounds are taken to be independent and their logarithm to be normal, as
`novastate.convergence.online.tracking` takes those of a migration that runs, but up to the timeout.
"""

from __future__ import annotations

import math
from array import array

from novastate._native.precopy_fields import CLASS_FIELDS, SCENARIO_FIELDS

__all__ = ["HORIZON", "lucky"]

_PAGE, _WIRE, _QUOTA, _AGAIN, _SLOT, _DOWNTIME, _SWITCHOVER, _CACHE, _FAMILY, _THROTTLING, _PAGES = (
    SCENARIO_FIELDS.index(field)
    for field in (
        "page", "wire", "quota", "again", "slot", "downtime", "switchover", "cache", "family", "throttling", "pages",
    )
)  # fmt: skip
#: Without a timeout luck is waited for so long, s.
HORIZON = 60.0


def lucky(
    scenario: array[float], classes: array[float], member: array[float], pending: float, timeout: float | None
) -> float:
    """The chance that the *member* which goes round with *pending* pages ends within *timeout* s after the hypervisor began.

    0 under a throttle, with an XBZRLE cache, and by rules of whole rounds: there a round is not as the one before.
    """
    if scenario[_THROTTLING] or scenario[_CACHE] or scenario[_FAMILY]:
        return 0.0
    quota = scenario[_QUOTA] or math.inf
    pace = min(1.0 / scenario[_AGAIN], quota / scenario[_WIRE] / scenario[_SLOT])
    bandwidth = 1000.0 * scenario[_SWITCHOVER] / scenario[_PAGE]
    room = max(1.0, (bandwidth or pace) * scenario[_DOWNTIME] * member[1])
    left = HORIZON if timeout is None else timeout - scenario[_PAGES] / pace
    if pending <= room or left <= 0.0:
        return 0.0
    span, variance = pending / pace, 0.0
    for at in range(0, len(classes), CLASS_FIELDS):
        size, rate, ordered = classes[at : at + CLASS_FIELDS]
        if not ordered and size > 0.0:
            again = math.exp(-rate * member[0] * span / size)
            variance += size * again * (1.0 - again)
    if variance <= 0.0:
        return 0.0
    sigmas = math.log(pending / room) * pending / math.sqrt(variance)
    once = 0.5 * math.erfc(sigmas / math.sqrt(2.0))
    return -math.expm1(left / span * math.log1p(-min(once, 0.5)))
