"""Write laws that change over time: phases, one after the other, and the replay of a trace.

Rules:

1. Time is the guest's own: a throttled guest takes longer through its phases and its trace.
2. The phases write the same memory: the pages of each law begin where those of the others do. A part that is in two phases
   has the same hot pages in both.
3. A phased law has a text form, and ``PhasedLaw.parse(str(law)) == law``: ``SECONDS: LAW | SECONDS: LAW``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from attrs import field, frozen

from novastate.convergence import bounds
from novastate.convergence.arrays import array_of
from novastate.convergence.simulation.laws import WriteLaw
from novastate.errors import ConvergenceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

__all__ = ["Law", "PhasedLaw", "TraceLaw"]


def _phases(rows: Iterable[tuple[float, WriteLaw]]) -> tuple[tuple[float, WriteLaw], ...]:
    return tuple((seconds, law) for seconds, law in bounds.rows("phases", rows, 2, "things, seconds and a law"))


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


@frozen
class PhasedLaw:
    """*phases*, each (seconds, law), over and over.

    Raises `ConvergenceError` for no phase, and for one that does not last from a microsecond to a year.

    >>> str(PhasedLaw([(2, WriteLaw.idle()), (1, WriteLaw.uniform(100, 50))]))
    '2: idle | 1: uniform pages=100 rate=50'
    """

    phases: tuple[tuple[float, WriteLaw], ...] = field(converter=_phases)

    def __attrs_post_init__(self) -> None:
        """Checks the phases."""
        if not self.phases:
            raise ConvergenceError("phases", self.phases, "must be at least one")
        for seconds, law in self.phases:
            bounds.number("phases.seconds", seconds, bounds.SHORTEST, bounds.LONGEST)
            bounds.instance("phases.law", law, WriteLaw)

    @property
    def pages(self) -> int:
        """How many pages are ever written."""
        return max(law.pages for _, law in self.phases)

    @property
    def period(self) -> float:
        """Seconds until the first phase comes again."""
        return math.fsum(seconds for seconds, _ in self.phases)

    @property
    def rate(self) -> float:
        """Page writes a second in the mean."""
        return sum(seconds * law.rate for seconds, law in self.phases) / self.period

    @property
    def busy(self) -> float:
        """The share of vCPU time that the busiest phase needs."""
        return max(law.busy for _, law in self.phases)

    def spent(self, phase: int, now: float) -> float:
        """Seconds spent in the *phase*-th phase from time 0 to *now*."""
        bounds.whole("phase", phase, 0, len(self.phases) - 1)
        now = bounds.number("now", now)
        start = math.fsum(seconds for seconds, _ in self.phases[:phase])
        seconds = self.phases[phase][0]
        rounds, rest = divmod(now, self.period)
        return rounds * seconds + min(max(rest - start, 0.0), seconds)

    @classmethod
    def parse(cls, text: str) -> PhasedLaw:
        """Reads ``2.5: uniform pages=100 rate=50 | 1: idle``. Raises `ConvergenceError` that names what cannot be read."""
        bounds.instance("law", text, str)
        rows: list[tuple[float, WriteLaw]] = []
        for piece in text.split("|"):
            seconds, colon, law = piece.partition(":")
            try:
                lasts = float(seconds)
            except ValueError:
                lasts = math.nan
            if not colon or math.isnan(lasts):
                raise ConvergenceError("law", piece.strip(), "must be seconds, a colon, and a law")
            rows.append((lasts, WriteLaw.parse(law)))
        return cls(rows)

    def __str__(self) -> str:
        return " | ".join(f"{_number(seconds)}: {law}" for seconds, law in self.phases)


@frozen(eq=False)
class TraceLaw:
    """The writes of a trace: page ``pages[i]`` is written at ``times[i]`` (s, not falling, from the migration's start on).

    *period* is when it begins anew, None for never (then nothing is written any more); *busy* as in `WriteLaw`.
    Raises `ConvergenceError` for pages that cannot be, times that are no numbers, negative or fall, and a period that ends before them.
    """

    page_numbers: npt.NDArray[np.int64] = field(repr=False)
    times: npt.NDArray[np.float64] = field(repr=False)
    period: float | None = field(default=None)
    busy: float = field(default=0.0, validator=bounds.valid(0, 1))

    def __init__(
        self, pages: npt.ArrayLike, times: npt.ArrayLike, *, period: float | None = None, busy: float = 0.0
    ) -> None:
        numbers, when = array_of("pages", pages), array_of("times", times)
        if numbers.size and numbers.dtype.kind not in "iu":
            raise ConvergenceError("pages", str(numbers.dtype), "must be whole numbers")
        if when.size and when.dtype.kind not in "iuf":
            raise ConvergenceError("times", str(when.dtype), "must be numbers")
        when = when.astype(np.float64)
        if period is not None:
            bounds.number("period", period, 0, bounds.LONGEST, above=True)
        if numbers.ndim != 1 or numbers.shape != when.shape:
            raise ConvergenceError("times", when.shape, f"must be one of each page, which are {numbers.shape}")
        if numbers.size:
            bounds.number("pages", int(numbers.min()), 0)
            bounds.number("pages", int(numbers.max()), 0, bounds.MOST_PAGES - 1)
            if not bool(np.isfinite(when).all()) or float(when[0]) < 0 or bool((np.diff(when) < 0).any()):
                raise ConvergenceError("times", "...", "must be finite, not negative, and never fall")
            if period is not None and not float(when[-1]) < period:
                raise ConvergenceError(
                    "period", period, f"must be above {float(when[-1]):g}, the time of the last write"
                )
        self.__attrs_init__(numbers.astype(np.int64), when, period, busy)  # type: ignore[attr-defined]

    @property
    def pages(self) -> int:
        """The pages up to the last that is written."""
        return int(self.page_numbers.max()) + 1 if self.page_numbers.size else 0

    @property
    def rate(self) -> float:
        """Page writes a second in the mean."""
        lasts = self.period or (float(self.times[-1]) if self.times.size else 0.0)
        return self.times.size / lasts if lasts > 0 else 0.0


#: Any law that a simulated guest can write by.
Law: TypeAlias = WriteLaw | PhasedLaw | TraceLaw
