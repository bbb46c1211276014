"""Memory on huge pages of the host: what post-copy sends of it, page by page of the host and not of the target.

Rule: after the switch a page of the host goes whole if any of its pages is missing, for the destination can only place it whole. Where
the missing pages lie nobody knows; they are taken to lie anywhere, each for itself, so that of n pages in memory of N, with r to
a page of the host, N (1 - (1 - n/N)^r) go: nearly all, as soon as n is some times the number of the host's pages. If they lie
together, as few as n go; the interval of a forecast reaches from near the one to the other (*scatter* 0 to 1).
What goes besides what was missing goes once, the zero pages among it as such.

In pre-copy only what is dirty goes, in pages of 4 KiB, but a turn of the loop does not end within a page of the host, and with smaller ones
goes on for 64 of them unless the first takes 50 ms or the quota is used up just at the end of one. So it is looked at what remains once in
so much memory (`latest`), of which as large a share goes as is dirty: pages of 1 GiB are mostly all sent before anyone looks. Where in
them the dirty pages lie is not known: the interval reaches from none to twice of it.

Only pages that QEMU's backend has count (hugetlbfs, memfd with hugetlb); transparent huge pages do not, QEMU does not know of them.
Source: QEMU 10.0 migration/ram.c (ram_postcopy_send_discard_bitmap, postcopy_chunk_hostpages_pass, ram_save_host_page, and MAX_WAIT in
ram_save_iterate).
"""

from __future__ import annotations

import math
from array import array
from typing import NamedTuple

from novastate._native.precopy_fields import POSTCOPY, SCENARIO_FIELDS
from novastate.convergence.guest import Guest, Link
from novastate.convergence.rules import SLOT, TURN, Rules

__all__ = ["Besides", "besides", "latest", "whole"]

#: After how many pages of the host the time of a turn is looked at.
_BETWEEN = 64
_SLOTS = 4

_AGAIN, _BLANK, _WIRE, _WIRE_ZERO = (SCENARIO_FIELDS.index(field) for field in ("again", "blank", "wire", "wire_zero"))


class Besides(NamedTuple):
    """What goes besides the pages that were missing: *pages*, s, *sent* bytes."""

    pages: float
    seconds: float
    sent: float


_NOTHING = Besides(0.0, 0.0, 0.0)


def whole(guest: Guest, missing: float, host_page: int, scatter: float = 1.0) -> float:
    """Pages that go where *missing* do, and pages of *host_page* bytes go whole; *scatter*: 0 if they lie together, 1 if anywhere."""
    each = host_page / guest.page_size
    missing = min(missing, float(guest.pages))
    if each <= 1.0 or missing <= 0.0:
        return missing
    each = min(each, float(guest.pages))
    least = min(float(guest.pages), max(missing, each))
    if missing >= guest.pages or missing <= 1.0:
        return least
    most = -guest.pages * math.expm1(each * math.log1p(-missing / guest.pages))
    return least * math.pow(max(least, most) / least, scatter)


def latest(guest: Guest, link: Link, rules: Rules) -> float:
    """How many bytes of memory lie between two looks at what remains; 0 without huge pages."""
    if guest.host_page <= guest.page_size or rules.family != "qemu":
        return 0.0
    # One by one where the first takes a turn's time, or some slots of the limit.
    alone = guest.host_page >= min(TURN * link.line_rate, _SLOTS * SLOT * (link.limit or math.inf))
    return min(guest.memory, guest.host_page * (1.0 if alone else _BETWEEN))


def besides(scenario: array[float], guest: Guest, end: float, missing: float, scatter: float = 1.0) -> Besides:
    """What a run of *guest* by *scenario*, which ended as *end* with so many pages *missing*, sends besides those."""
    if end != POSTCOPY or guest.host_page <= guest.page_size:
        return _NOTHING
    more = max(0.0, whole(guest, missing, guest.host_page, scatter) - missing)
    zero = more * guest.zero_pages / guest.pages
    return Besides(
        more,
        (more - zero) * scenario[_AGAIN] + zero * scenario[_BLANK],
        (more - zero) * scenario[_WIRE] + zero * scenario[_WIRE_ZERO],
    )
