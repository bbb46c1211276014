"""Pages that are alike: the part from which dirty curves are made.

Rule: pages that are written independently, r times a second over N pages, give W = N (1 - exp(-r tau / N)) distinct pages in
tau seconds; a writer that goes through its N pages in order gives W = min(r tau, N).
"""

from __future__ import annotations

import math

import attrs

__all__ = ["DirtyClass"]


@attrs.frozen
class DirtyClass:
    """Pages that are alike: *size* of them, together written *rate* times a second.

    *sequential*: in order of address, round and round, instead of at random.
    """

    size: float
    rate: float
    sequential: bool = False

    def pages(self, tau: float) -> float:
        """Distinct pages written in *tau* seconds."""
        if self.sequential:
            return min(self.rate * tau, self.size)
        return self.size * -math.expm1(-self.rate * tau / self.size)
