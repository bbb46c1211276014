"""Drawing the pages that a write law writes.

Rules: a writer is deterministic by its generator; the number of writes is exact (what is left of a write is carried over), the pages
are drawn. Where many writes fall on each page, the written pages are drawn instead of the writes, with the same probability.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from novastate.convergence.laws import Part

if TYPE_CHECKING:
    import numpy.typing as npt

    Pages = npt.NDArray[np.int64]

__all__ = ["Writer"]


class Writer:
    """Draws the pages that one part of a law writes, from page *first* on."""

    def __init__(self, part: Part, first: int, rng: np.random.Generator) -> None:
        self._part, self._first, self._rng = part, first, rng
        self._carry = 0.0
        # Where it is in its round when the migration starts is chance.
        self._at = int(rng.integers(part.pages)) if part.pattern == "sequential" else 0
        self._ranks: Pages | None = None
        if part.pattern == "zipf":
            weights = np.arange(1, part.pages + 1, dtype=np.float64) ** -part.s
            self._weights = weights / weights.sum()
            self._below = np.cumsum(self._weights)
            self._ranks = rng.permutation(part.pages)
        elif part.pattern == "hotcold":
            self._ranks = rng.permutation(part.pages)

    def draw(self, seconds: float) -> Pages:
        """Pages written in *seconds* of unthrottled writing; a page may occur more than once."""
        part = self._part
        self._carry += part.rate * seconds
        count = math.floor(self._carry)
        self._carry -= count
        if part.pattern == "sequential":
            pages = (self._at + np.arange(min(count, part.pages))) % part.pages
            self._at = (self._at + count) % part.pages
        elif part.pattern == "zipf":
            pages = self._zipf(count)
        elif part.pattern == "hotcold":
            hot = int(self._rng.binomial(count, part.hot_weight))
            pages = np.concatenate(
                (
                    self._uniform(hot, part.hot_pages),
                    part.hot_pages + self._uniform(count - hot, part.pages - part.hot_pages),
                )
            )
        else:
            pages = self._uniform(count, part.pages)
        if self._ranks is not None:
            pages = self._ranks[pages]
        return pages + self._first

    def _uniform(self, count: int, pages: int) -> Pages:
        if count <= 0 or pages <= 0:
            return np.empty(0, dtype=np.int64)
        if count < pages:
            return self._rng.integers(0, pages, count)
        # Many writes a page: draw the pages, not the writes.
        return np.flatnonzero(self._rng.random(pages) < -math.expm1(-count / pages))

    def _zipf(self, count: int) -> Pages:
        pages = self._part.pages
        if count < pages:
            return np.minimum(np.searchsorted(self._below, self._rng.random(count)), pages - 1)
        return np.flatnonzero(self._rng.random(pages) < -np.expm1(-count * self._weights))
