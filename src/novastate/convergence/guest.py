"""What a forecast is made from: the guest, the link between the hosts, the limits of the migration.

Rules: sizes are bytes, times seconds, rates bytes per second, unless the name says pages. A value that no
guest, link or limit can have is refused with a `ConvergenceError` that names the field; what only makes the
migration hopeless is not an error but a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from novastate.convergence.curve import DirtyCurve
from novastate.errors import ConvergenceError

__all__ = ["Guest", "Limits", "Link"]

#: A year: longer than any migration, and far from what a float cannot hold.
_LONGEST = 3.2e7
#: 2**40 pages of 4 KiB, and what no link carries.
_MOST = float(1 << 52)


def _within(low: float, high: float, problem: str) -> Callable[[object, attrs.Attribute[float], object], None]:
    def check(_: object, attribute: attrs.Attribute[float], value: object) -> None:
        if not isinstance(value, int | float) or not low <= value <= high:  # NaN is not within anything
            raise ConvergenceError(attribute.name, value, problem)

    return check


@attrs.frozen
class Guest:
    """A running guest as a migration sees it.

    *memory* in bytes; *zero_pages* how many of its pages are all zero (they cost 9 bytes each);
    *page_size* in bytes; *curve* what it writes. Where the zero pages lie matters too: most of them are
    taken as one block, behind which *tail_pages* non-zero pages follow by address and *tail_zero* zero ones (by default
    what a Linux guest keeps at the end of its memory: 1500 pages of its own, and the table of all pages, 64 bytes each).
    *busy* is the share of its vCPU time that the guest needs to write as it does (1: it never idles), which
    decides what throttling does to it; *zero_error* the uncertainty of *zero_pages* (one standard deviation).

    Raises `ConvergenceError` naming the field for NaN, negative numbers, more zero pages than pages, and a
    curve of more pages than the memory.
    """

    memory: float = attrs.field(validator=_within(1.0, _MOST, "must be a finite number, above 0"))
    zero_pages: float
    page_size: int
    curve: DirtyCurve
    tail_pages: float | None = None
    tail_zero: float = 215.0
    busy: float = 1.0
    zero_error: float = 0.0

    def __attrs_post_init__(self) -> None:
        """Checks the fields against each other."""
        if self.page_size not in {4096, 16384, 65536, 1 << 21, 1 << 30}:
            raise ConvergenceError(
                "page_size", self.page_size, "is no page size", (4096, 16384, 65536, 1 << 21, 1 << 30)
            )
        for field in ("zero_pages", "tail_pages", "tail_zero", "zero_error"):
            value = self.tail if field == "tail_pages" else getattr(self, field)
            if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise ConvergenceError(field, value, "must be a finite number, not negative")
        if self.zero_pages > self.pages:
            raise ConvergenceError("zero_pages", self.zero_pages, f"is more than the memory's {self.pages} pages")
        if self.curve.page_count > self.pages:
            raise ConvergenceError("curve", self.curve.page_count, f"is of more than the memory's {self.pages} pages")
        if not 0.0 < self.busy <= 1.0:
            raise ConvergenceError("busy", self.busy, "must be above 0 and at most 1")

    @property
    def tail(self) -> float:
        """The non-zero pages behind the block of zero pages."""
        return 1500.0 + self.memory / (64 * self.page_size) if self.tail_pages is None else self.tail_pages

    @property
    def pages(self) -> int:
        """All pages of the guest's memory."""
        return int(self.memory) // self.page_size


@attrs.frozen(cache_hash=True)
class Link:
    """The way between the hosts: *limit*, the migration's bandwidth limit, and *line_rate*, what the line carries.

    Both in bytes/s; no limit is 0 or None. The limit paces the rounds; the pause at the end knows only
    the line rate (migration.c lifts the limit for the switch-over).
    """

    limit: float | None
    line_rate: float = attrs.field(default=1.25e9, validator=_within(1.0, _MOST, "must be a finite number, above 0"))

    def __attrs_post_init__(self) -> None:
        """Checks the limit."""
        if self.limit is not None and (not math.isfinite(self.limit) or not 0 <= self.limit <= _MOST):
            raise ConvergenceError("limit", self.limit, "must be a finite number, not negative")


@attrs.frozen(cache_hash=True)
class Limits:
    """What the migration may take: *downtime*, the pause that is aimed at, and *timeout*, when it is given up, in s.

    The timeout counts from the request; None: never.
    """

    downtime: float = attrs.field(
        default=0.3, validator=_within(0.0, 2000.0, "must be a number of seconds from 0 to 2000")
    )
    timeout: float | None = None

    def __attrs_post_init__(self) -> None:
        """Checks the timeout."""
        if self.timeout is not None and not (math.isfinite(self.timeout) and 0 < self.timeout <= _LONGEST):
            raise ConvergenceError("timeout", self.timeout, "must be a number of seconds above 0, at most a year")
