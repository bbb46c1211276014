"""What two hosts let through, however fast the link: known where it was measured between them, else a guess.

Rule: a page that the destination touches first must be given to it by its kernel, and that takes a time of its own
(`Rules.first_touch`). It was measured between two hosts, without a hardware-accelerated network: 10.5 µs, 391 MB/s. Between others it is
not known to better than a factor of several: pairs with fast networks were seen to take 2.4 GB/s. So where it is not set,
and holds a migration up, it is taken as those 10.5 µs, and in the runs that make interval and probability as anything, each factor
as likely, from an eighth of that to half as much again: some 3 GB/s to 260 MB/s. A migration without a limit tells it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from novastate.convergence import bounds

if TYPE_CHECKING:
    from novastate.convergence.guest import Link
    from novastate.convergence.rules import Rules

__all__ = ["FIRST_TOUCH", "PACE", "first_touch_of", "guessed", "guesses", "may_be"]

#: s that 4 KiB cost a destination that touches them first, where it was measured.
FIRST_TOUCH = 10.5e-6
#: Between other hosts, as shares of that.
_QUICKEST, _SLOWEST = 0.125, 1.5
#: Bytes of 4 KiB on the wire; and how many go in a second where it was measured.
_WIRE = 4104.0
PACE = _WIRE / FIRST_TOUCH
#: A limit decides where its slots leave a tenth of their time.
_FULL = 0.9


def first_touch_of(rate: float) -> float:
    """`Rules.first_touch` of hosts between which a migration without a limit was seen to move *rate* bytes/s."""
    return _WIRE / bounds.number("rate", rate, 1.0, bounds.MOST_BYTES)


def may_be(share: float) -> float:
    """What `Rules.first_touch` is no more than with a probability of *share* where it is not known, s."""
    return FIRST_TOUCH * _QUICKEST * math.pow(_SLOWEST / _QUICKEST, share)


def guessed(link: Link, rules: Rules) -> bool:
    """Whether a forecast over *link* by *rules* is held up by a pace of the hosts that is a guess."""
    return rules.first_touch is None and _holds(link, PACE)


def guesses(link: Link, rules: Rules) -> bool:
    """Whether it would be so between the slowest hosts that there may be: its interval must know of them."""
    return rules.first_touch is None and _holds(link, PACE / _SLOWEST)


def _holds(link: Link, pace: float) -> bool:
    return pace < link.line_rate and (not link.limit or link.limit > _FULL * pace)
