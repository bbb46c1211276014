"""Pages that are alike: the part from which dirty curves are made.

Rule: pages that are written independently, r times a second over N pages, give W = N (1 - exp(-r tau / N)) distinct pages in
tau seconds; a writer that goes through its N pages in order gives W = min(r tau, N).
"""

from __future__ import annotations

import math

import attrs

from novastate.convergence import bounds

__all__ = ["DirtyClass", "written"]


@attrs.frozen
class DirtyClass:
    """Pages that are alike: *size* of them, together written *rate* times a second.

    *sequential*: in order of address, round and round, instead of at random. Raises `ConvergenceError` for a size that is not
    above 0, a negative rate, and more than 1e24 of either.
    """

    size: float = attrs.field(validator=bounds.valid(above=True))
    rate: float = attrs.field(validator=bounds.valid())
    sequential: bool = attrs.field(default=False, validator=bounds.flagged)

    def pages(self, tau: float) -> float:
        """Distinct pages written in *tau* seconds; raises `ConvergenceError` for NaN or a negative time."""
        return written(self, bounds.number("tau", tau))


def written(row: DirtyClass, tau: float) -> float:
    """What `DirtyClass.pages` says, of a *tau* that was checked."""
    if row.sequential:
        return min(row.rate * tau, row.size)
    return row.size * -math.expm1(-row.rate * tau / row.size)
