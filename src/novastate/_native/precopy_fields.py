"""The rows of numbers that the pre-copy kernels take and give: what each number means, in order."""

from __future__ import annotations

import math

import attrs

__all__ = [
    "CLASS_FIELDS",
    "CONVERGED",
    "MAX_CLASSES",
    "MEMBER_FIELDS",
    "NEVER",
    "OUT_FIELDS",
    "POSTCOPY",
    "POSTCOPY_ASKED",
    "POSTCOPY_SWITCH",
    "ROUND_FIELDS",
    "SCENARIO_FIELDS",
    "START_FIELDS",
    "Scenario",
    "Start",
]


@attrs.define(eq=False)
class Scenario:
    """A migration as it is asked for: guest, link, limits and rules. Times in s, sizes in bytes, counts in pages."""

    pages: float  # all pages of guest memory
    zero: float  # pages that are zero in the first pass
    tail: float  # non-zero pages behind the block of zero pages
    tail_zero: float  # zero pages at the end of that tail
    page: float  # bytes a page counts in `pending`
    wire: float  # bytes a page takes on the wire
    wire_again: float  # the same for a dirty page that the XBZRLE cache holds
    cache: float  # pages that the XBZRLE cache holds; 0: no XBZRLE
    wire_zero: float  # bytes of a zero page on the wire
    quota: float  # bytes that go out in one slot, whole flushes; 0: no limit
    first: float  # s to send a page that the destination touches first
    again: float  # s to send a page that it has already
    delta: float  # s to send such a page as a difference
    blank: float  # s to send a zero page
    downtime: float  # the downtime limit
    switchover: float  # bytes per ms that the threshold is computed with; 0: as measured
    device: float  # s of pause besides the pages
    slot: float  # s of one rate-limit slot
    turn: float  # the longest turn of the loop
    throttling: float  # 1: auto-converge
    initial: float  # share of vCPU time taken by the first throttle step
    increment: float  # share added by each later step
    most: float  # the highest throttle, below 1
    trigger: float  # dirtied / sent above which a period counts
    busy: float  # share of vCPU time that the guest needs for its full write rate
    lost: float  # share of what the throttle leaves that is lost on top
    wake: float  # share of vCPU time that a throttled guest needs before it writes
    postcopy: float  # switch to post-copy when more bitmaps than this were synced; 0: never
    tailslow: float  # 1: a throttle step is no larger than what brings the writes down to the trigger
    resync: float  # s after which a round is synced although it is not sent; 0: never
    chunks: float  # parts of the memory that are armed just before they are sent; 1 or less: all at the sync
    limited: float  # factor of the write rates once the writes are limited instead of throttled; 0: no such limit
    family: float  # 0: QEMU's loop; 1: whole rounds and a budget (rounds_py)
    most_rounds: float  # of whole rounds: the guest is stopped after so many; 0: by the budget
    deadline: float  # of whole rounds: the guest is stopped after so many s whatever remains; 0: never
    phase: float  # where what is written in sequence is written first: share of its pages from the scan's position on
    lag: float  # bytes of memory between two looks at what is pending, were all of it unsent; 0: a turn

    def slot_pages(self, wire: float, each: float) -> float:
        """Pages that go out in one full slot: one takes *wire* bytes, and *each* s to send."""
        per = self.slot / each
        return min(per, self.quota / wire) if self.quota > 0.0 else per

    def threshold(self, per_ms: float, factor: float) -> float:
        """Bytes below which the guest may be stopped, after a slot of so many bytes a ms."""
        return (self.switchover if self.switchover > 0.0 else per_ms) * (self.downtime * 1000.0) * factor


def whole_ms(span: float) -> float:
    """*span* in whole ms, as QEMU takes a slot's time."""
    return math.floor(span * 1000.0 + 0.5)


@attrs.define(eq=False)
class Start:
    """Where in a migration a run begins; behind these numbers of a row follow the unsent pages of each class."""

    left: float  # pages that the first pass has not sent yet, zero ones included
    zero: float  # of these, zero ones
    tail: float  # of these, non-zero ones behind the block of zero pages
    tail_zero: float  # of the zero ones, those at the end of that tail
    front: float = 0.0  # non-zero pages before the block of zero pages as the migration began; 0 after the first round
    behind: float = 0.0  # share of addresses that the scan has passed since the last sync
    since: float = 0.0  # s since the last sync
    slot_age: float = 0.0  # s since the slot began
    slot_sent: float = 0.0  # bytes sent in it
    theta: float = 0.0  # bytes: the present threshold
    syncs: float = 1.0  # bitmaps synced so far, the one at the start included
    throttle: float = 0.0  # share of vCPU time taken
    high: float = 0.0  # periods that counted since the last throttle step: 0 or 1
    period_age: float = 0.0  # s since the period of auto-converge began
    period_sent: float = 0.0  # bytes sent in it
    period_dirty: float = 0.0  # pages newly dirtied in it
    cached: float = 0.0  # pages in the XBZRLE cache
    widest: float = 0.0  # most pages that were dirty at once


#: The numbers of a scenario and of a start, by name and in order.
SCENARIO_FIELDS = tuple(field.name for field in attrs.fields(Scenario))
START_FIELDS = tuple(field.name for field in attrs.fields(Start))
#: One row of the write law: pages, writes per second, 1 where written in sequence else 0.
CLASS_FIELDS = 3
#: The write law has at most so many classes.
MAX_CLASSES = 32
#: One row of the ensemble: factors of the write rates, of the threshold and of the tail; pages added to the
#: zero pages.
MEMBER_FIELDS = 4
#: One row of the result: end, s until the end, s of pause, bytes, syncs, throttle, pages in the last pending (of post-copy,
#: those missing at the switch), s of the last complete round.
OUT_FIELDS = 8
#: One row of the record of rounds: start, bytes sent since the previous row, pages newly dirtied, pages then
#: remaining, throttle.
ROUND_FIELDS = 5
#: How a member ended.
CONVERGED, POSTCOPY, NEVER = 0.0, 1.0, 2.0
#: Post-copy: a missing page takes so many times what a page takes that is sent again, for it may be asked for across the link
#: besides (two recorded migrations: 2.3 to 2.8); and the switch so much of the devices' pause (the same two: 3 ms of 11).
POSTCOPY_ASKED, POSTCOPY_SWITCH = 2.0, 0.25
