"""The Python twin of the pre-copy kernel: QEMU's migration loop on expected page counts.

What it computes: for each member of an ensemble of guests, how a pre-copy migration ends.

The state is what is still unsent, in pages (real numbers: expectations). In the first round: the pages
before the block of zero pages, that block, and the tail behind it. Afterwards the scan goes round and round
by address: the memory from the scan's position on is a ring of segments, each a share `width` of all
addresses with, per class of the write law, the share `dens` of its pages that is unsent there. What the scan
has passed since the last sync is clean, until a sync makes it the ring's last segment. So old dirty pages,
which hold more of the cold classes, are sent before new ones. A class written in sequence moves
through the addresses itself and does not overlap with what is unsent: it keeps a plain count.

One turn of the loop is one turn of QEMU's migration thread:

- *pending* is looked at as a turn begins; where it is below the threshold the dirty bitmap is synced, and
  where it still is below, the guest is stopped and the rest sent without the rate limit;
- otherwise pages are sent until the slot's quota or the turn's time is used up, or all is sent;
- a slot that has lasted 100 ms ends with a new threshold: bytes / whole ms * downtime limit.

A sync after T seconds makes a clean page of a class (N pages, written r times a second) dirty with
1 - exp(-r T / N), and adds min(r T, N - u) pages to a sequential class of which u are unsent; less where memory is
watched anew in parts (`ring_py`).

Throttling: where at a sync, more than 1 s after the last such look, more was dirtied than the trigger's share of what was sent,
and that for the second time, the vCPU gets the first throttle or a step more. With tailslow a step is no larger than what
brings the dirtied bytes down to the trigger: cpu - floor(cpu trigger sent / dirtied), in whole percents. A throttled
guest writes min(1, awake / busy) as fast; the sync waits for its sleep. Under auto-converge a round that is not over after
`resync` seconds is synced all the same (looked at every `resync` seconds, not in the first pass). With `limited`
the same trigger slows all writes by one factor instead.

It goes round for ever where, with nothing left to change, it comes back to where it was; where every round would be followed by
one that leaves more (`ring_py.outgrows`, tried at syncs 4, 8, 16, ...); and under the highest throttle where what is pending,
the least of `STRETCH` syncs, is no thousandth less than that of as many before: it would take more than `SYNCS` to
fall to the threshold.

A run may begin in the middle (`START_FIELDS`): the unsent pages of each class then lie evenly over what is still to be visited.
`family` 1 is another loop altogether: `rounds_py`.

Domain: all inputs finite, not negative; counts up to 2**50. Cost: one exponential per class, and a few
operations per class and segment, for each sync; runs of equal slots are skipped over in one step. The number
of turns is bounded by `TURNS`.
Sources: QEMU 10.0 migration/migration.c (migration_thread, migration_iteration_run,
migration_update_counters, migration_rate_limit), migration/ram.c (ram_save_iterate,
migration_bitmap_sync, migration_trigger_throttle, mig_throttle_guest_down, migration_dirty_limit_guest),
migration/cpu-throttle.c (cpu_throttle_thread, cpu_throttle_dirty_sync_timer_tick; before 9.2 system/cpu-throttle.c).

The compiled kernel makes the same operations in the same order: the results are equal to the last bit.
"""

from __future__ import annotations

import math
from array import array

from novastate._native import rounds_py
from novastate._native.ring_py import Ring, outgrows

__all__ = [
    "CLASS_FIELDS",
    "CONVERGED",
    "MAX_CLASSES",
    "MEMBER_FIELDS",
    "NEVER",
    "OUT_FIELDS",
    "POSTCOPY",
    "ROUND_FIELDS",
    "SCENARIO_FIELDS",
    "START_FIELDS",
    "run",
]

#: How a member ended.
CONVERGED, POSTCOPY, NEVER = 0.0, 1.0, 2.0

#: What the numbers of a scenario mean, in order; times in s, sizes in bytes, counts in pages.
SCENARIO_FIELDS = (
    "pages",  # all pages of guest memory
    "zero",  # pages that are zero in the first pass
    "tail",  # non-zero pages behind the block of zero pages
    "tail_zero",  # zero pages at the end of that tail
    "page",  # bytes a page counts in `pending`
    "wire",  # bytes a page takes on the wire
    "wire_again",  # the same for a dirty page that the XBZRLE cache holds
    "cache",  # pages that the XBZRLE cache holds; 0: no XBZRLE
    "wire_zero",  # bytes of a zero page on the wire
    "quota",  # bytes that go out in one slot, whole flushes; 0: no limit
    "first",  # s to send a page that the destination touches first
    "again",  # s to send a page that it has already
    "blank",  # s to send a zero page
    "downtime",  # the downtime limit
    "switchover",  # bytes per ms that the threshold is computed with; 0: as measured
    "device",  # s of pause besides the pages
    "slot",  # s of one rate-limit slot
    "turn",  # the longest turn of the loop
    "throttling",  # 1: auto-converge
    "initial",  # share of vCPU time taken by the first throttle step
    "increment",  # share added by each later step
    "most",  # the highest throttle, below 1
    "trigger",  # dirtied / sent above which a period counts
    "busy",  # share of vCPU time that the guest needs for its full write rate
    "lost",  # share of what the throttle leaves that is lost on top
    "wake",  # share of vCPU time that a throttled guest needs before it writes
    "postcopy",  # switch to post-copy when more bitmaps than this were synced; 0: never
    "tailslow",  # 1: a throttle step is no larger than what brings the writes down to the trigger
    "resync",  # s after which a round is synced although it is not sent; 0: never
    "chunks",  # parts of the memory that are armed just before they are sent; 1 or less: all at the sync
    "limited",  # factor of the write rates once the writes are limited instead of throttled; 0: no such limit
    "family",  # 0: QEMU's loop; 1: whole rounds and a budget (rounds_py)
    "most_rounds",  # of whole rounds: the guest is stopped after so many; 0: by the budget
    "deadline",  # of whole rounds: the guest is stopped after so many s whatever remains; 0: never
)

_FAMILY = SCENARIO_FIELDS.index("family")
#: One row of the write law: pages, writes per second, 1 where written in sequence else 0.
CLASS_FIELDS = 3
#: Post-copy: a missing page takes so many times what a page takes that is sent again, for it may be asked for across the link
#: besides (two recorded migrations: 2.3 to 2.8); and the switch so much of the devices' pause (the same two: 3 ms of 11).
POSTCOPY_ASKED, POSTCOPY_SWITCH = 2.0, 0.25
#: One row of the ensemble: factors of the write rates, of the threshold and of the tail; pages added to the
#: zero pages.
MEMBER_FIELDS = 4
#: One row of the result: end, s until the end, s of pause, bytes, syncs, throttle, pages in the last pending,
#: s of the last complete round.
OUT_FIELDS = 8
#: One row of the record of rounds: start, bytes sent since the previous row, pages newly dirtied, pages then
#: remaining, throttle.
ROUND_FIELDS = 5

#: One row of a start in the middle of a migration, followed by the unsent pages of each class. Without one a run
#: begins with the first pass.
START_FIELDS = (
    "left",  # pages that the first pass has not sent yet, zero ones included
    "zero",  # of these, zero ones
    "tail",  # of these, non-zero ones behind the block of zero pages
    "tail_zero",  # of the zero ones, those at the end of that tail
    "front",  # non-zero pages before the block of zero pages as the migration began; 0 after the first round
    "behind",  # share of addresses that the scan has passed since the last sync
    "since",  # s since the last sync
    "slot_age",  # s since the slot began
    "slot_sent",  # bytes sent in it
    "theta",  # bytes: the present threshold
    "syncs",  # bitmaps synced so far, the one at the start included
    "throttle",  # share of vCPU time taken
    "high",  # periods that counted since the last throttle step: 0 or 1
    "period_age",  # s since the period of auto-converge began
    "period_sent",  # bytes sent in it
    "period_dirty",  # pages newly dirtied in it
    "cached",  # pages in the XBZRLE cache
    "widest",  # most pages that were dirty at once
)

#: No run takes more turns, or goes through more syncs, than this. Between two syncs it takes a few turns for each kind of page.
TURNS = 20_000
SYNCS = 2_000
#: What is pending is compared with what was pending so many syncs before.
STRETCH = 32
NONE_YET = 1e300
#: Whether a guest that goes round for ever is known by more than its rounds being all alike.
BOUNDS = True
#: Whether runs of equal slots are one step; without, every slot is gone through, which changes nothing but the time.
JUMPS = True
#: The write law has at most so many classes.
MAX_CLASSES = 32


def run(
    scenario: array[float],
    classes: array[float],
    members: array[float],
    out: array[float],
    rounds: array[float],
    start: array[float] | None = None,
) -> int:
    """Runs every row of *members*; writes a row of *out* each, and the rounds of the first into *rounds*.

    *start*: where in a migration each begins, one row for all or one for each member; then every time counts from there.
    Returns how many rows of *rounds* were written (the rest of a long migration is not recorded).
    Raises ValueError where a buffer has not the length that its rows need.
    """
    if len(scenario) != len(SCENARIO_FIELDS):
        raise ValueError(f"scenario: must have {len(SCENARIO_FIELDS)} numbers")
    if len(classes) % CLASS_FIELDS or len(classes) > CLASS_FIELDS * MAX_CLASSES:
        raise ValueError(f"classes: must be rows of {CLASS_FIELDS} numbers, at most {MAX_CLASSES}")
    if len(members) % MEMBER_FIELDS or not members:
        raise ValueError(f"members: must be rows of {MEMBER_FIELDS} numbers, at least one")
    count = len(members) // MEMBER_FIELDS
    if len(out) != OUT_FIELDS * count:
        raise ValueError(f"out: must have {OUT_FIELDS} numbers a member")
    width = len(START_FIELDS) + len(classes) // CLASS_FIELDS
    if start is not None and len(start) not in (width, width * count):
        raise ValueError(f"start: must have {width} numbers, or as many for each member")
    recorded = 0
    for m in range(count):
        row = None if start is None else start[:width] if len(start) == width else start[m * width : (m + 1) * width]
        run_one = _one if scenario[_FAMILY] <= 0.0 else rounds_py.one
        rows = run_one(
            scenario, classes, members, m * MEMBER_FIELDS, row, out, m * OUT_FIELDS, rounds if m == 0 else None
        )
        recorded = rows if m == 0 else recorded
    return recorded


def _one(
    s: array[float],
    classes: array[float],
    members: array[float],
    m: int,
    start: array[float] | None,
    out: array[float],
    o: int,
    rounds: array[float] | None,
) -> int:
    (pages, zero, tail, tail_zero, page, wire, wire_again, cache, wire_zero, quota, first, again, blank, downtime,
     switchover, device, slot, turn, throttling, initial, increment, most, trigger, busy, lost, wake,
     postcopy, tailslow, resync, chunks, limited, _, _, _) = s  # fmt: skip
    speed = members[m]
    theta_factor = members[m + 1]
    if start is not None:
        (pages, zero, tail, tail_zero, front_all, behind, since, slot_age, slot_sent, theta, syncs_before, throttle,
         high_before, period_age, period_sent, period_dirty, cached, widest) = start[:len(START_FIELDS)]  # fmt: skip
    else:
        front_all = behind = since = slot_age = slot_sent = theta = throttle = high_before = 0.0
        period_age = period_sent = period_dirty = cached = widest = 0.0
        syncs_before = 1.0
    zero = min(max(zero + members[m + 3], 0.0), pages)
    tail = min(tail * members[m + 2], pages - zero)
    tail_zero = min(tail_zero, zero)
    zero = zero - tail_zero
    front = pages - zero - tail_zero - tail
    if start is None:
        front_all = front
    cost = wire  # bytes of a dirty page now, between `wire` and `wire_again`
    resent = 0.0  # dirty pages sent since the last sync
    ring = Ring(classes, chunks)
    if start is not None:
        ring.begin(behind, start[len(START_FIELDS) :])
        if cache > 0.0 and widest > 0.0:
            cost = wire - (wire - wire_again) * min(1.0, cached / widest)
    if pages > 0.0 and front_all > 0.0:
        ring.arm()  # what the first pass has sent was all unsent
    capacity = len(rounds) // ROUND_FIELDS if rounds is not None else 0
    row = 0
    now = sent = round_sent = last_round = marked = marked_span = 0.0
    slot_start = 0.0 - slot_age
    synced = 0.0 - since
    period_start = 0.0 - period_age
    period_sent = 0.0 - period_sent  # what was sent in all as the period began
    theta = theta * theta_factor
    high = int(min(high_before, 1.0))
    syncs = syncs_first = int(min(syncs_before, 1e9))
    mark_at = syncs + 7
    hits = 0
    check_at, gap = syncs + 3, 4
    low, low_before = NONE_YET, 0.0  # the fewest pages pending in this stretch of syncs, and in the one before
    stretch_at = 0
    switch = False  # to post-copy, as the next slot begins
    end = NEVER
    pending = 0.0
    ticks = throttling > 0.0 and resync > 0.0
    tick = resync  # when it is next looked whether a round lasts too long
    ticked = 0  # the syncs that there had been at the last look
    capped = False  # the writes are limited
    slot_ms = math.floor(slot * 1000.0 + 0.5)
    jumping, bounding = JUMPS, BOUNDS
    for _ in range(TURNS):
        pending = front + zero + tail + tail_zero + ring.dirty
        overdue = False
        if ticks and now >= tick - 1e-9:
            overdue = syncs > 1 and syncs == ticked
            ticked = syncs + 1 if overdue else syncs
            tick = tick + resync
        if overdue or pending * page < theta:
            factor = speed
            if capped:
                factor = speed * limited
            if throttle > 0.0:
                # The throttled vCPU sleeps, and the sync waits for it.
                nap = 0.01 * throttle / (1.0 - throttle)
                now = now + (nap * 0.97 if throttle > 0.98 else nap * 0.5)
                if busy > 0.0:
                    factor = factor * min(1.0, max(0.0, (1.0 - throttle) * (1.0 - lost) - wake) / busy)
            span = now - synced
            ahead = min(1.0, front / front_all) if front_all > 0.0 else 0.0
            before = ring.dirty
            fresh = ring.sync(span, factor, ahead)
            if ahead > 0.0:
                # What the first round has not reached of the written pages is counted in the ring from now on.
                front = max(0.0, front - (ring.dirty - before - fresh))
                front_all = 0.0
            syncs = syncs + 1
            last_round = span
            synced = now
            pending = front + zero + tail + tail_zero + ring.dirty
            period_dirty = period_dirty + fresh
            if now > period_start + 1.000000001:
                if throttling > 0.0 and period_dirty * page > (sent - period_sent) * trigger:
                    high = high + 1
                    if high >= 2:
                        high = 0
                        if not (throttle >= most or capped):
                            mark_at = syncs + 8
                            check_at = syncs + 2
                            stretch_at = 0
                        if limited > 0.0:
                            capped = True
                        elif throttle > 0.0:
                            step = increment
                            if tailslow > 0.0:
                                cpu = math.floor(100.0 * (1.0 - throttle) + 0.5)
                                ideal = math.floor(cpu * ((sent - period_sent) * trigger / (period_dirty * page)))
                                step = min((cpu - ideal) / 100.0, step)
                            throttle = min(most, throttle + step)
                        else:
                            throttle = min(most, initial)
                period_start = now
                period_sent = sent
                period_dirty = 0.0
            if rounds is not None and row < capacity:
                at = row * ROUND_FIELDS
                rounds[at] = now - span
                rounds[at + 1] = sent - round_sent
                rounds[at + 2] = fresh
                rounds[at + 3] = pending
                rounds[at + 4] = throttle
                row = row + 1
            round_sent = sent
            if cache > 0.0:
                # Sent again once, a page is in the cache: only then is it sent as a difference.
                widest = max(widest, ring.dirty)
                cached = min(cache, cached + resent * (cost - wire_again) / (wire - wire_again))
                resent = 0.0
                cost = wire - (wire - wire_again) * min(1.0, cached / widest) if widest > 0.0 else wire
            if not overdue and pending * page < theta:
                end = CONVERGED
                break
            if postcopy > 0.0 and float(syncs) > postcopy:
                switch = True
            # A migration that comes back to where it was, with nothing left to change, goes round for ever.
            if throttling <= 0.0 or throttle >= most or capped:
                if syncs == mark_at:
                    marked = pending
                    marked_span = span
                    hits = 0
                elif syncs > mark_at:
                    if abs(pending - marked) < 0.25 and abs(span - marked_span) < 1e-6:
                        hits = hits + 1
                    if syncs >= 2 * mark_at:
                        mark_at = syncs + 1
                if bounding and syncs >= check_at:
                    check_at = syncs + gap
                    gap = gap + gap
                    plain = not ticks and cache <= 0.0 and postcopy <= 0.0 and front + zero + tail + tail_zero <= 0.0
                    if plain and outgrows(s, ring, theta_factor, factor, pending, span):
                        break
                # ... so does one under the highest throttle whose least is, far from the threshold, no longer any less.
                if bounding and throttling > 0.0:
                    if stretch_at == 0:
                        stretch_at = syncs + STRETCH
                        low, low_before = NONE_YET, 0.0
                    low = min(low, pending)
                    if syncs >= stretch_at:
                        if (
                            low_before > 0.0
                            and low >= 0.999 * low_before
                            and low * page > 1.05 * theta
                            and postcopy <= 0.0
                        ):
                            break
                        low, low_before = NONE_YET, low
                        stretch_at = syncs + STRETCH
            if not switch and (hits >= 3 or syncs - syncs_first >= SYNCS):
                break
        # A run of equal full slots is taken in one step: as long as no look at what is pending finds less than the threshold
        # that such slots give. A higher one, from slots before, holds until one slot has passed.
        if now == slot_start and slot_sent == 0.0 and not switch and jumping:
            if front > 0.0 or (zero <= 0.0 and tail > 0.0):
                part, size, per = front if front > 0.0 else tail, wire, slot / first
            elif zero + tail_zero > 0.0:
                part, size, per = zero if zero > 0.0 else tail_zero, wire_zero, slot / blank
            else:
                part, size, per = ring.dirty, cost, slot / again
            if quota > 0.0:
                per = min(per, quota / size)
            full = (switchover if switchover > 0.0 else per * size / slot_ms) * (downtime * 1000.0) * theta_factor
            jump = math.floor(min(pending - full / page, part) / per) * 1.0
            if ticks and syncs > 1:
                jump = min(jump, math.ceil((tick - 1e-9 - now) / slot) - 1.0)
            if jump > 0.0 and theta <= full * 1.000000001:
                n = jump * per
                if front > 0.0:
                    front = max(0.0, front - n)
                elif zero > 0.0:
                    zero = max(0.0, zero - n)
                elif tail > 0.0:
                    tail = max(0.0, tail - n)
                elif tail_zero > 0.0:
                    tail_zero = max(0.0, tail_zero - n)
                else:
                    ring.send(n)
                    resent = resent + n
                sent = sent + n * size
                now = now + jump * slot
                slot_start = now
                theta = full
                if ticks and tick <= now:
                    # In the first pass nothing comes of it.
                    tick = tick + resync * math.floor((now - tick) / resync)
        # One turn: until the quota or the time is used up, or all is sent.
        budget = max(0.0, quota - slot_sent) if quota > 0.0 else 1e300
        left = turn
        n = min(front, budget / wire, left / first)
        front = front - n
        used = n * wire
        left = left - n * first
        if front <= 0.0:
            n = min(zero, max(0.0, (budget - used) / wire_zero), max(0.0, left / blank))
            zero = zero - n
            used = used + n * wire_zero
            left = left - n * blank
            if zero <= 0.0:
                n = min(tail, max(0.0, (budget - used) / wire), max(0.0, left / first))
                tail = tail - n
                used = used + n * wire
                left = left - n * first
                if tail <= 0.0:
                    n = min(tail_zero, max(0.0, (budget - used) / wire_zero), max(0.0, left / blank))
                    tail_zero = tail_zero - n
                    used = used + n * wire_zero
                    left = left - n * blank
                    if tail_zero <= 0.0 and ring.dirty > 0.0:
                        n = min(ring.dirty, max(0.0, (budget - used) / cost), max(0.0, left / again))
                        if n > 0.0:
                            ring.send(n)
                            resent = resent + n
                        used = used + n * cost
                        left = left - n * again
        now = now + (turn - left)
        sent = sent + used
        slot_sent = slot_sent + used
        if quota > 0.0 and slot_sent >= quota * 0.9999999 and now < slot_start + slot:
            now = slot_start + slot  # the thread sleeps until the slot ends
        elif used <= 0.0:
            now = now + 0.001  # nothing to send and not converged: a sync and its bookkeeping take time too
        if now >= slot_start + slot - 1e-9:
            spent = math.floor((now - slot_start) * 1000.0 + 0.5)
            theta = (switchover if switchover > 0.0 else slot_sent / spent) * (downtime * 1000.0) * theta_factor
            slot_start = now
            still = slot_sent <= 0.0 and theta <= 0.0 and syncs == syncs_first
            slot_sent = 0.0
            if switch:
                end = POSTCOPY
                break
            if still and front + zero + tail + tail_zero + ring.dirty <= 0.0 and not (ticks and syncs > 1):
                break  # all is sent, and there will never be a threshold
    dirty = ring.dirty
    untouched = front + tail
    zeros = zero + tail_zero
    pause = device
    total = now
    if end == CONVERGED:
        pause = device + (untouched * first + zeros * blank + dirty * again)
        total = now + pause
        sent = sent + (untouched * wire + zeros * wire_zero + dirty * cost)
    elif end == POSTCOPY:
        pause = device * POSTCOPY_SWITCH
        total = now + pause + (untouched * first + zeros * blank + dirty * (POSTCOPY_ASKED * again))
        sent = sent + (untouched * wire + zeros * wire_zero + dirty * wire)
    out[o] = end
    out[o + 1] = total
    out[o + 2] = pause
    out[o + 3] = sent
    out[o + 4] = float(syncs)
    out[o + 5] = throttle
    out[o + 6] = pending
    out[o + 7] = last_round
    return row
