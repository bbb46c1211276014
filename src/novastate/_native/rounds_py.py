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

__all__ = ["one"]

_CONVERGED, _NEVER = 0.0, 2.0
_ROUNDS = 2000
_START, _CLASS, _ROUND = 18, 3, 5


def one(
    s: array[float],
    classes: array[float],
    members: array[float],
    m: int,
    start: array[float] | None,
    out: array[float],
    o: int,
    rounds: array[float] | None,
) -> int:
    """One member, as `precopy_py` runs it: the same buffers."""
    pages, page, wire, quota, first, again = s[0], s[4], s[5], s[9], s[10], s[11]
    downtime, device, slot, most_rounds, deadline = s[13], s[15], s[16], s[32], s[33]
    if quota > 0.0:
        first = max(first, wire * slot / quota)
        again = max(again, wire * slot / quota)
    k = len(classes) // _CLASS
    left, dirty, synced, syncs = pages, 0.0, 0.0, 1
    if start is not None:
        left = start[0]
        synced = 0.0 - start[6]
        syncs = int(min(start[10], 1e9))
        for i in range(k):
            dirty = dirty + min(start[_START + i], classes[_CLASS * i])
    capacity = len(rounds) // _ROUND if rounds is not None else 0
    row = 0
    now = sent = last_round = marked = marked_span = 0.0
    end = _NEVER
    alike = 0
    lasts = left * first + dirty * again
    gone = left + dirty
    for done in range(_ROUNDS):
        now = now + lasts
        sent = sent + gone * wire
        span = now - synced
        dirty = 0.0
        for i in range(k):
            n = classes[_CLASS * i]
            if n <= 0.0:
                continue
            written = classes[_CLASS * i + 1] * members[m] * span
            ordered = classes[_CLASS * i + 2] > 0.0
            dirty = dirty + (min(written, n) if ordered else n * (1.0 - math.exp(-written / n)))
        synced = now
        syncs = syncs + 1
        last_round = span
        if rounds is not None and row < capacity:
            at = row * _ROUND
            rounds[at] = max(0.0, now - span)
            rounds[at + 1] = gone * wire
            rounds[at + 2] = dirty
            rounds[at + 3] = dirty
            rounds[at + 4] = 0.0
            row = row + 1
        pause = dirty * page * lasts / (gone * wire) if gone > 0.0 else 0.0
        within = most_rounds <= 0.0 and pause <= downtime * members[m + 1]
        over = most_rounds > 0.0 and float(done) >= most_rounds
        late = deadline > 0.0 and now >= deadline
        if dirty < 0.5 or within or over or late:
            end = _CONVERGED
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
    pause = device
    total = now
    if end == _CONVERGED:
        pause = device + dirty * again
        total = now + pause
        sent = sent + dirty * wire
    out[o] = end
    out[o + 1] = total
    out[o + 2] = pause
    out[o + 3] = sent
    out[o + 4] = float(syncs)
    out[o + 5] = 0.0
    out[o + 6] = dirty
    out[o + 7] = last_round
    return row
