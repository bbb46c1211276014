"""What a forecast is made from: the guest, the link between the hosts, the limits of the migration.

Rules: sizes are bytes, times seconds, rates bytes per second, unless the name says pages. A value that no
guest, link or limit can have is refused with a `ConvergenceError` that names the field; what only makes the
migration hopeless is not an error but a verdict.
"""

from __future__ import annotations

import attrs

from novastate.convergence import bounds
from novastate.convergence.curve import DirtyCurve
from novastate.errors import ConvergenceError

__all__ = ["Guest", "Limits", "Link"]


@attrs.frozen
class Guest:
    """A running guest as a migration sees it.

    *memory* in bytes; *zero_pages* how many of its pages are all zero (they cost 9 bytes for each 4 KiB);
    *page_size* in bytes, of what is counted as written and sent: 4096 also where huge pages back the memory, for KVM
    splits them while it watches, and QEMU sends target pages; *curve* what it writes. *host_page*: bytes of the pages that back the
    memory (``<hugepages>`` of libvirt, `hw:mem_page_size` of Nova; not transparent ones): after a switch to post-copy these go whole
    (`novastate.convergence.hostpages`). No less than *page_size*; 0, the default, is the same.
    Where the zero pages lie matters too: most of them are
    taken as one block, behind which *tail_pages* non-zero pages follow by address and *tail_zero* zero ones (by default
    what a Linux guest keeps at the end of its memory: 1500 pages of its own, and the table of all pages, 64 bytes each).
    *busy* is the share of its vCPU time that the guest needs to write as it does (1: it never idles; 0: it never feels a
    throttle), which decides what throttling does to it: min(1, (1 - throttle) / busy) of its writes are left. 1 unless told, for a guest
    of which nothing else is known is asked what it does at full load (`WriteLaw.busy` is 0 unless told: a law in itself needs no vCPU;
    set both alike to compare). Where it is not known it may be as little as *least_busy*. *zero_error* is the uncertainty of
    *zero_pages* (one standard deviation).

    Raises `ConvergenceError` naming the field for NaN, negative numbers, less memory than a page or more than 2**52 bytes,
    more zero pages or pages of the tail than pages, and a curve that is none or has more pages than the memory.
    """

    memory: float = attrs.field(validator=bounds.valid(1.0, bounds.MOST_BYTES))
    zero_pages: float
    page_size: int
    curve: DirtyCurve
    tail_pages: float | None = None
    tail_zero: float = 215.0
    busy: float = 1.0
    zero_error: float = 0.0
    least_busy: float | None = None
    host_page: int = 0

    def __attrs_post_init__(self) -> None:
        """Checks the fields against each other."""
        bounds.page_size("page_size", self.page_size)
        if bounds.number("host_page", self.host_page):
            bounds.page_size("host_page", self.host_page)
            if self.host_page < self.page_size:
                raise ConvergenceError("host_page", self.host_page, f"is less than the page_size, {self.page_size}")
        for field in ("zero_pages", "tail_zero", "zero_error"):
            bounds.number(field, getattr(self, field), 0, bounds.MOST_PAGES)
        if self.tail_pages is not None:
            bounds.number("tail_pages", self.tail_pages, 0, bounds.MOST_PAGES)
        bounds.instance("curve", self.curve, DirtyCurve)
        if not self.pages:
            raise ConvergenceError("memory", self.memory, f"must be a page of {self.page_size} bytes at least")
        if self.tail_pages is not None and self.tail_pages > self.pages:
            raise ConvergenceError("tail_pages", self.tail_pages, f"is more than the memory's {self.pages} pages")
        if self.zero_pages > self.pages:
            raise ConvergenceError("zero_pages", self.zero_pages, f"is more than the memory's {self.pages} pages")
        if self.curve.page_count > self.pages:
            raise ConvergenceError("curve", self.curve.page_count, f"is of more than the memory's {self.pages} pages")
        bounds.number("busy", self.busy, 0, 1)
        if self.least_busy is not None:
            bounds.number("least_busy", self.least_busy, 0, self.busy, above=True)

    @property
    def tail(self) -> float:
        """The non-zero pages behind the block of zero pages."""
        return 1500.0 + self.memory / (64 * self.page_size) if self.tail_pages is None else self.tail_pages

    @property
    def pages(self) -> int:
        """All pages of the guest's memory."""
        return int(self.memory) // self.page_size


def _limit(value: float | None) -> float | None:
    return bounds.limit("limit", value)


@attrs.frozen(cache_hash=True)
class Link:
    """The way between the hosts: *limit*, the migration's bandwidth limit, and *line_rate*, what the line carries.

    Both in bytes/s, from 1 to 2**52; no limit is None, or 0, which becomes None. The limit paces the rounds; the pause at the end
    knows only the line rate (migration.c lifts the limit for the switch-over). Hosts may be slower than either: unless
    `Rules.first_touch` is set 391 MB/s are taken, and neither a limit nor a line above that makes a forecast any shorter.
    Raises `ConvergenceError` naming the field.
    """

    limit: float | None = attrs.field(converter=_limit)
    line_rate: float = attrs.field(default=1.25e9, validator=bounds.valid(1.0, bounds.MOST_BYTES))


@attrs.frozen(cache_hash=True)
class Limits:
    """What the migration may take: *downtime*, the pause that is aimed at, and *timeout*, when it is given up, in s.

    The timeout counts from the request, and is at most a year; None: never. Whoever watches the migration ends it then; Cloud
    Hypervisor looks itself, after a round, and completes what has converged however late. The pause is at most 2000 s, as QEMU's.
    Raises `ConvergenceError` naming the field.
    """

    downtime: float = attrs.field(default=0.3, validator=bounds.valid(0.0, bounds.LONGEST_PAUSE))
    timeout: float | None = attrs.field(
        default=None, validator=bounds.valid(0.0, bounds.LONGEST, above=True, optional=True)
    )
