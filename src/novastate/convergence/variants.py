"""The guest as it may be too, by what is not known of it.

Rule: *deviation* counts standard deviations upwards, to a guest that writes faster and has fewer zero pages. Where the curve has
others that are as likely (`DirtyCurve.others`) it is that one of them which is as far up in the order of the pages that they
write in a second; else the write rates change as `DirtyCurve.spread` says, by no less than 3 %.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import attrs

from novastate.convergence import bounds
from novastate.convergence.curve import DirtyCurve
from novastate.convergence.guest import Guest

__all__ = ["varied"]

_LEAST_SPREAD = 0.03
_WINDOW = 1.0
_NORMAL = NormalDist()


def varied(guest: Guest, deviation: float) -> Guest:
    """*guest* as it is *deviation* standard deviations up."""
    zero = min(max(guest.zero_pages - deviation * guest.zero_error, 0.0), float(guest.pages))
    return attrs.evolve(guest, curve=_curve(guest.curve, deviation), zero_pages=zero)


@lru_cache(maxsize=256)
def _curve(curve: DirtyCurve, deviation: float) -> DirtyCurve:
    if curve.others:
        ranked = sorted(curve.others, key=lambda row: row.pages(_WINDOW))
        return ranked[min(int(_NORMAL.cdf(deviation) * len(ranked)), len(ranked) - 1)]
    factor = math.exp(deviation * math.hypot(_LEAST_SPREAD, curve.spread))
    rows = (attrs.evolve(row, rate=min(row.rate * factor, bounds.FASTEST)) for row in curve.classes)
    return attrs.evolve(curve, classes=tuple(rows))
