"""What else may be so where the write law that was said before is wrong: for the interval of the eta, which is to hold then as well.

Rules:

1. Before anything was counted a wrong law is off by any factor (deviation of its logarithm: `learning.WRONG`), in pages and in how often
   they are written; the chance is `learning.DOUBT`.
2. What was counted says how much is written in windows as long as those rounds, and of other windows only that a longer one writes no
   less, and no more than in proportion: a wrong law has any shape between. So the laws that may be are single classes of pages,
   from one that is rewritten at once (a short round finds as many pages) to one that hardly ever is (it finds as many as it is long),
   each brought to what was counted, and as likely as the counts of all rounds are by it. Or the shape of before is right, only
   not its size: then the law as it was corrected is what counts.
3. How likely it is that a law is wrong, by what was counted, is rule 3 of `learning`.
"""

from __future__ import annotations

import math

from novastate.convergence.curve import DirtyClass, DirtyCurve
from novastate.convergence.ensemble import DESIGN, FURTHEST
from novastate.convergence.online.learning import WRONG, Counts

__all__ = ["scaled", "shapes"]

#: How often a page of the class is written in the last counted round.
_TURNS = (10.0, 3.0, 1.0, 0.1)


def scaled(curve: DirtyCurve) -> list[DirtyCurve]:
    """Rule 1: laws that may be in place of *curve*, all as likely, one for each of `DESIGN`."""
    return [curve.scaled(math.exp(min(FURTHEST, WRONG * row[0]))) for row in DESIGN]


def shapes(counts: Counts, curve: DirtyCurve, busy: float) -> tuple[float, list[tuple[DirtyCurve, float]]]:
    """Rule 2: the chance that *curve*, where it is wrong, has another shape, by what was counted; and the laws of such shapes with how
    likely each is.
    """
    last = counts.rows[-1]
    size = min(max(1.0, last.new / last.rounds), float(curve.page_count))
    laws: list[tuple[DirtyCurve, float]] = []
    for turns in _TURNS:
        one = DirtyCurve((DirtyClass(size, size * turns / last.window),), curve.page_count)
        factor, log = counts.agrees(one, busy)
        laws.append((one.scaled(factor), log))
    own = counts.agrees(curve, busy)[1]
    best = max(own, *(log for _, log in laws))
    found = [(law, math.exp(log - best)) for law, log in laws]
    others = sum(likely for _, likely in found)
    return others / (others + math.exp(own - best)), found
