"""What post-copy does to the guest: the pages that it misses, the faults that it takes, and how long it waits for them.

Rule: from the switch on the missing pages come in the order of address as fast as the line carries them, and one that the guest
touches before has to be asked for. A page of a class that is written l times a second is touched before it comes, at a time
that is as likely as any within the D seconds that all of them take, with probability 1 - (1 - exp(-l D)) / (l D); one of a
class written in sequence where the writer gets there first. The missing pages are those that the last round wrote, class by
class. Each wait is `Rules.fault`. Huge pages of the host come whole (`novastate.convergence.hostpages`): pages that were not missing
come again with them, and many faults are one.

Stated approximations: what the guest only reads is in no dirty curve, so the faults are the least that it takes; that a fault
brings its page sooner, and the guest writes more slowly while it waits, is left out. That a page takes twice what it takes in
pre-copy (``POSTCOPY_ASKED``), for it may be asked for besides, is low: two recorded migrations show 2.3 to 2.8 times.

Sources: QEMU 10.0 migration/postcopy-ram.c, migration/ram.c (ram_save_host_page, postcopy_preempt); Hines & Gopalan, VEE'09.
"""

from __future__ import annotations

import math

import attrs

from novastate._native.precopy_fields import POSTCOPY, POSTCOPY_ASKED, SCENARIO_FIELDS
from novastate.convergence import bounds
from novastate.convergence.hostpages import besides
from novastate.convergence.precopy import Forecast, scenario_of

__all__ = ["PostCopy", "post_copy_of"]

_AGAIN = SCENARIO_FIELDS.index("again")


@attrs.frozen
class PostCopy:
    """*pause*, s without the guest at the switch; *pages* missing then; *lasts*, s until all have come; *faults*, how many of
    them the guest at least writes to before; *wait*, s that each takes, and *waited*, s in all, of all vCPUs together.
    """

    pause: float
    pages: float
    lasts: float
    faults: float
    wait: float
    waited: float


def post_copy_of(forecast: Forecast, *, host_page: int | None = None) -> PostCopy | None:
    """What post-copy means to the guest of *forecast*; None where it does not come to that.

    *host_page*: bytes of the pages that back the memory (4096, 2 MiB, 1 GiB), instead of `Guest.host_page`, by which the forecast's
    own time and bytes are. Raises `ConvergenceError` for a size that pages do not have.
    """
    bounds.instance("forecast", forecast, Forecast)
    if host_page is not None:
        bounds.page_size("host_page", host_page)
    if not forecast.post_copied or forecast.downtime is None or not forecast.rounds:
        return None
    guest, rules, line = forecast.guest, forecast.rules, forecast.link.line_rate
    scenario = scenario_of(guest, forecast.link, forecast.limits, rules)
    rounds = forecast.rounds
    last = rounds[-1]
    backed = max(guest.host_page if host_page is None else host_page, guest.page_size)
    missing = forecast.unsent
    alone = missing * POSTCOPY_ASKED * scenario[_AGAIN]
    # The last round ran from its start to where QEMU has stopped the guest, but for the pause and what came after.
    after = alone + besides(scenario, guest, POSTCOPY, missing).seconds
    ended = (forecast.hypervisor_total or 0.0) - forecast.downtime - after
    more = besides(scenario, attrs.evolve(guest, host_page=backed), POSTCOPY, missing)
    pages, lasts = missing + more.pages, alone + more.seconds
    written = [row.pages(max(ended - last.start, 1e-3)) for row in guest.curve.classes]
    share = min(1.0, missing / sum(written)) if sum(written) > 0.0 else 0.0
    with_them = more.pages / max(guest.pages - missing, 1.0)  # of the others, those that come with them
    faults = 0.0
    for row, part in zip(guest.curve.classes, written, strict=True):
        times = row.rate * lasts / row.size  # a page is written so often until all have come
        come = part * share + max(0.0, row.size - part * share) * with_them
        faults += come * _early(times, row.sequential)
    if backed > guest.page_size:
        held = max(1.0, pages * guest.page_size / backed)
        faults = held * -math.expm1(-faults / held)
    wait = rules.fault(line, backed)
    return PostCopy(forecast.downtime, pages, lasts, faults, wait, faults * wait)


def _early(times: float, sequential: bool) -> float:
    """The share of pages that are written before they come, each *times* times until all have come."""
    if sequential:
        return 0.5 * min(1.0, times)
    return min(1.0, max(0.0, 1.0 + math.expm1(-times) / times)) if times > 1e-6 else 0.5 * times
