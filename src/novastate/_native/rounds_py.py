"""The Python twin of the pre-copy kernel's second family: whole rounds, and a budget for the pause.

What it computes: as `precopy_py`, for a hypervisor that sends a round to its end, then takes the log of dirty pages, and stops the
guest as soon as these would be sent within the limit of the pause at the bandwidth of the last round (``<=``), or nothing is
dirty, or after a fixed number of rounds, or past a deadline. Every page is sent in full, zero or not, and a log that is read is
armed anew at once. A round of T seconds leaves the pages that are written in it: N (1 - exp(-r T / N)) of each class, or
min(r T, N) of one written in sequence.

Domain: as `precopy_py`. Cost: one exponential a class and round; at most `precopy_py.SYNCS` rounds, and rounds that have become
all alike are counted until the deadline in one step.
Sources: Cloud Hypervisor 52 vmm/src/lib.rs (do_memory_iterations, is_precopy_converged, do_memory_migration) and
vm-migration/src/context.rs (update_metrics_before_transfer); before 52 vmm/src/lib.rs (at most five passes of dirty memory).
"""

from __future__ import annotations

import math
from array import array

from novastate._native.precopy_fields import CLASS_FIELDS, CONVERGED, NEVER, ROUND_FIELDS, START_FIELDS, Scenario, Start

__all__ = ["one"]

_ROUNDS = 2000


def one(
    s: Scenario,
    classes: array[float],
    member: array[float],
    start: array[float] | None,
    rounds: array[float] | None,
) -> tuple[array[float], int]:
    """One member, as `precopy_py` runs it: its row of results, and how many rows of *rounds* were written."""
    speed, theta_factor, _, _ = member
    page, wire, deadline, most_rounds = s.page, s.wire, s.deadline, s.most_rounds
    first, again = s.first, s.again
    if s.quota > 0.0:
        first = max(first, wire * s.slot / s.quota)
        again = max(again, wire * s.slot / s.quota)
    k = len(classes) // CLASS_FIELDS
    left, dirty, synced, syncs = s.pages, 0.0, 0.0, 1
    if start is not None:
        width = len(START_FIELDS)
        begin = Start(*start[:width])
        left = begin.left
        synced = 0.0 - begin.since
        syncs = int(min(begin.syncs, 1e9))
        for i in range(k):
            dirty = dirty + min(start[width + i], classes[CLASS_FIELDS * i])
    capacity = len(rounds) // ROUND_FIELDS if rounds is not None else 0
    row = 0
    now = sent = last_round = marked = marked_span = 0.0
    end = NEVER
    alike = 0
    lasts = left * first + dirty * again
    gone = left + dirty
    for done in range(_ROUNDS):
        now = now + lasts
        sent = sent + gone * wire
        span = now - synced
        dirty = 0.0
        for i in range(k):
            n = classes[CLASS_FIELDS * i]
            if n <= 0.0:
                continue
            written = classes[CLASS_FIELDS * i + 1] * speed * span
            ordered = classes[CLASS_FIELDS * i + 2] > 0.0
            dirty = dirty + (min(written, n) if ordered else n * (1.0 - math.exp(-written / n)))
        synced = now
        syncs = syncs + 1
        last_round = span
        if rounds is not None and row < capacity:
            at = row * ROUND_FIELDS
            rounds[at] = max(0.0, now - span)
            rounds[at + 1] = gone * wire
            rounds[at + 2] = dirty
            rounds[at + 3] = dirty
            rounds[at + 4] = 0.0
            row = row + 1
        pause = dirty * page * lasts / (gone * wire) if gone > 0.0 else 0.0
        within = most_rounds <= 0.0 and pause <= s.downtime * theta_factor
        over = most_rounds > 0.0 and float(done) >= most_rounds
        late = deadline > 0.0 and now >= deadline
        if dirty < 0.5 or within or over or late:
            end = CONVERGED
            break
        alike = alike + 1 if abs(dirty - marked) < 0.25 and abs(span - marked_span) < 1e-6 else 0
        marked = dirty
        marked_span = span
        lasts = dirty * again
        gone = dirty
        if alike >= 3 and most_rounds <= 0.0:
            if deadline <= 0.0:
                break
            skipped = max(0.0, math.floor((deadline - now) / lasts))  # rounds that are all alike
            now = now + skipped * lasts
            sent = sent + skipped * (gone * wire)
            synced = now
    pause = s.device
    total = now
    if end == CONVERGED:
        pause = s.device + dirty * again
        total = now + pause
        sent = sent + dirty * wire
    return array("d", (end, total, pause, sent, float(syncs), 0.0, dirty, last_round)), row
