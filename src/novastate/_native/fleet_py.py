"""The Python twin of the fleet's kernel: forecasts of a column of guests, row by row.

What it computes: for each row what `novastate._native.precopy` computes for one guest, by the same rules (100 ms slots,
whole flushes, a sync when less remains than the threshold, the ring of what is unsent, auto-converge, announced
bandwidth, post-copy), in another form:

- a segment of the ring keeps, for each class, its pages that are *clean*: a sync multiplies them by
  exp(-rate span / pages), the same for all segments, and what is dirty is the width times the rest;
- every run of equal full slots is one step, also of zero pages and of the tail behind them; and so is a slot of two turns
  where no sync falls due between them;
- exp is a polynomial, within 2.2e-12;
- a guest that goes round for ever is known by a bound: where every round that leaves x pages or more, at whichever
  moment of its slot it is cut, is followed by one that leaves more than x. W is concave, so a round of T seconds leaves
  at least W(T) + u (W(2T) - W(T)) / W(T), u of them unsent before. Tried for x between the threshold and what remains,
  at syncs 4, 8, 16, ...; without the second term where memory is watched anew in parts, and there
  less what is lost of the pages that are sent meanwhile. Else
  the round that comes back to where it was ends it, and the throttle under which nothing becomes any less, as in precopy.

The ring holds as many segments as precopy's; most guests use 1 to 13. Totals agree with precopy within 1e-9.

Domain: as precopy's, for classes written at random, and rules without XBZRLE and multifd. Cost: a sync has an exponential and a
few operations for each class and segment; compiled about 0.1 us a calm guest, in lanes of 8. Bounded by `MOST_STEPS` steps a row.
Sources: see precopy_py.py.

The compiled kernel makes the same operations in the same order: the results are equal to the last bit, in all variants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from novastate._native.endless_py import STRETCH
from novastate._native.fleet_turn_py import SLOT, TURN, WIRE_ZERO, Way
from novastate._native.gone_py import LN2, LOG2E, TINY, armed, gone
from novastate._native.precopy_fields import POSTCOPY_ASKED, POSTCOPY_SWITCH
from novastate._native.ring_py import SEGMENTS
from novastate._native.tables_py import force_isa, isa, variants

__all__ = [
    "COLUMNS",
    "CONVERGES",
    "MAX_CLASSES",
    "NEVER",
    "NUMBERS",
    "RULE_FIELDS",
    "TIMES_OUT",
    "force_isa",
    "isa",
    "run",
    "variants",
]

#: Verdicts.
CONVERGES, TIMES_OUT, NEVER = 0, 1, 2
#: The columns, in order: bytes, pages, bytes, pages (below 0: as Linux), pages, share, bytes/s (0: none), bytes/s, s, s.
COLUMNS = ("memory", "zero", "page", "tail", "tail_zero", "busy", "limit", "line", "downtime", "timeout")
#: One row of the rules; as in a scenario of precopy, and: fast (1: this kernel knows them), slowed (factor of the write
#: rates of a guest that never idles). Rows whose rules are not known come out as `NEVER`, to be done otherwise.
RULE_FIELDS = (
    "fast", "begin", "device", "first_touch", "rewrite", "blank", "throttling", "initial", "increment", "most", "trigger",
    "switchover", "postcopy", "lost", "wake", "slowed", "rearm", "tailslow",
)  # fmt: skip
#: The rows of `numbers`; inf where the verdict leaves none.
NUMBERS = ("total", "downtime", "transferred", "unlimited", "pending")
MAX_CLASSES = 32

_HEADER, _FLUSH = 8.0, 32.0
_UNLIMITED = 1e300
_GIB = 1073741824.0
_MOST_STEPS, _MOST_SYNCS = 20000, 2000.0
_Floats = npt.NDArray[np.float64]


def run(
    columns: Sequence[_Floats],
    size: _Floats,
    rate: _Floats,
    rule: npt.NDArray[np.int32],
    rules: _Floats,
    numbers: _Floats,
    syncs: npt.NDArray[np.int32],
    verdict: npt.NDArray[np.uint8],
    throttle: npt.NDArray[np.uint8],
) -> None:
    """Forecasts every row. Raises ValueError where a buffer has not the shape that it needs.

    *columns* as `COLUMNS`, each of as many numbers as there are rows, or of one for all; *size* and *rate* (pages, writes
    a second) of shape (rows or 1, classes), all written at random; *rule* the row of *rules* for
    each, or empty for the first. Results: *numbers* of shape (len(NUMBERS), rows), *syncs* (as dirty-sync-count), *verdict*,
    *throttle* in percent, one a row.
    """
    count = len(verdict)
    _check(columns, size, rate, rule, rules, numbers, syncs, throttle, count)
    table: list[dict[str, float]] = [dict(zip(RULE_FIELDS, row, strict=True)) for row in rules.tolist()]
    for at in range(count):
        row = {name: float(c[at if len(c) > 1 else 0]) for name, c in zip(COLUMNS, columns, strict=True)}
        law = at if len(size) > 1 else 0
        found = _row(row, table[int(rule[at]) if len(rule) else 0], size[law].tolist(), rate[law].tolist())
        numbers[:, at] = found[:5]
        syncs[at], verdict[at], throttle[at] = found[5:]


def _check(
    columns: Sequence[_Floats],
    size: _Floats,
    rate: _Floats,
    rule: npt.NDArray[np.int32],
    rules: _Floats,
    numbers: _Floats,
    syncs: npt.NDArray[np.int32],
    throttle: npt.NDArray[np.uint8],
    count: int,
) -> None:
    if len(columns) != len(COLUMNS) or any(len(column) not in {1, count} for column in columns):
        raise ValueError(f"columns: must be {len(COLUMNS)}, each of 1 or {count} numbers")
    if len(size) not in {1, count} or size.shape[1] > MAX_CLASSES or rate.shape != size.shape:
        raise ValueError(f"size: must be 1 or {count} rows of at most {MAX_CLASSES}, and rate of the same shape")
    if rules.shape[1] != len(RULE_FIELDS) or not len(rules):
        raise ValueError(f"rules: must be rows of {len(RULE_FIELDS)} numbers, at least one")
    if len(rule) and (len(rule) != count or (count and not (rule.min() >= 0 and rule.max() < len(rules)))):
        raise ValueError(f"rule: must be empty, or {count} rows of rules")
    if numbers.shape != (len(NUMBERS), count) or len(syncs) != count or len(throttle) != count:
        raise ValueError(f"numbers, syncs, throttle: must be of {count} rows")


def _row(
    c: dict[str, float], r: dict[str, float], sizes: list[float], rates: list[float]
) -> tuple[float, float, float, float, float, int, int, int]:
    page, memory = c["page"], c["memory"]
    ipage, units = 1.0 / page, page * (1.0 / 4096.0)
    pages = math.floor(memory * ipage) * 1.0
    wire = page + _HEADER * units
    on_line = wire / c["line"]
    first = max(on_line, r["first_touch"] * units, 1e-09)
    again = max(on_line, r["rewrite"] * units, 1e-09)
    blank = max(r["blank"] * units, 1e-9)
    limit, flush = c["limit"], _FLUSH * (4096.0 + _HEADER)
    quota = 0.0 - math.floor(0.0 - limit * SLOT / flush)
    quota = _UNLIMITED if limit <= 0.0 else quota * flush + 2.0 * WIRE_ZERO
    sw, dtp = r["switchover"], c["downtime"] * 1000.0 * ipage
    s = Way(quota, wire, first, again, blank, dtp, sw)
    per, per_zero = min(SLOT * s.ifirst, quota * s.iwire), min(SLOT * s.iblank, quota * (1.0 / WIRE_ZERO))
    per_again = min(SLOT * s.iagain, quota * s.iwire)
    full = (sw if sw > 0.0 else per * wire * 0.01) * dtp
    full_zero = (sw if sw > 0.0 else per_zero * (WIRE_ZERO * 0.01)) * dtp
    full_again = (sw if sw > 0.0 else per_again * wire * 0.01) * dtp
    zero, tail = min(c["zero"], pages), c["tail"]
    tail = 1500.0 + memory * (1.0 / 64.0) * ipage if tail < 0.0 else tail
    s.tail = min(tail, pages - zero)
    s.tail_zero = min(c["tail_zero"], zero)
    s.zero = zero - s.tail_zero
    s.front = front_all = max(0.0, ((pages - s.zero) - s.tail_zero) - s.tail)
    often, iquota = 1.0 / SLOT, 1.0 / quota
    iper, iper_again = max(first * often, wire * iquota), max(again * often, wire * iquota)
    iper_zero = max(blank * often, WIRE_ZERO * iquota)
    never = r["fast"] <= 0.0
    speed = r["slowed"] if c["busy"] > 0.9 else 1.0
    turn = 0
    while turn < _MOST_STEPS and not never and not s.due(s.untouched()):
        # The first pass. A run of equal full slots is taken in one step.
        pending = s.untouched()
        name = next((name for name in ("front", "zero", "tail") if getattr(s, name) > 0.0), "tail_zero")
        part: float = getattr(s, name)
        theta, each, by, cost = full, per, iper, wire
        if name not in {"front", "tail"}:
            theta, each, by, cost = full_zero, per_zero, iper_zero, WIRE_ZERO
        jump = math.floor(min(pending - theta, part) * by) * 1.0
        if s.now <= s.slot_at and s.slot_sent <= 0.0 and jump > 0.0:
            n = jump * each
            rest = max(0.0, part - n)
            pending = pending - (part - rest)
            setattr(s, name, rest)
            s.slots(jump, n * cost, theta)
        s.turn(pending, 0.0)
        turn += 1
    if turn == _MOST_STEPS:
        never = never or not s.due(s.untouched())

    chunks = max(1.0, 0.0 - math.floor(0.0 - memory * (1.0 / _GIB))) if r["rearm"] > 0.0 else 1.0
    size: list[float] = []
    inverse: list[float] = []
    pace: list[float] = []
    everything = 0.0
    for pages_of, rate in zip(sizes, rates, strict=True):
        written = rate * speed
        size.append(pages_of)
        everything = everything + pages_of
        inverse.append(1.0 / max(pages_of, TINY))
        pace.append(written * LOG2E * inverse[-1] if pages_of > 0.0 else 0.0)
    k = len(size)
    counts = 0.0 if chunks > 1.0 else 1.0
    first_pass = 1.0 if front_all > 0.0 else 0.0
    ahead = s.front / max(front_all, TINY) if s.front > 0.0 else 0.0
    # Pages that would be clean, where the scan has passed since the sync (no first pass: nothing was unsent).
    passed = [n * ((1.0 - first_pass) * (1.0 - ahead)) for n in size]
    # Segments, the newest first: width, pages dirty, and of each class the pages that would be clean in all the memory.
    width, mass, clean = ([ahead], [0.0], [[0.0] * k]) if ahead > 0.0 else ([], [], [])
    behind = 1.0 - ahead
    synced = throttle = high = period_at = period_sent = period_dirty = marked = marked_span = hits = dirty = 0.0
    syncs, mark_at, check_at, steps = 1.0, 8.0, 4.0, 0.0
    marked_place = stretch_at = low = low_before = 0.0
    switching = switched = False
    while True:
        converged = False
        pending = s.untouched() + dirty
        if not never and (switched or s.due(pending)):
            last = (
                not switched and pending <= 0.0 and s.theta <= 0.0
            )  # nothing is left: the guest is stopped, and synced then
            factor = 1.0
            if throttle > 0.0:
                # The throttled vCPU sleeps, and the sync waits for it.
                nap = 0.01 * throttle / (1.0 - throttle)
                if not switched:
                    s.now = s.now + nap * (0.97 if throttle > 0.98 else 0.5)
                awake = (1.0 - throttle) * (1.0 - r["lost"]) - r["wake"]
                factor = min(1.0, max(0.0, awake) / max(c["busy"], TINY))
            span, before = s.now - synced, dirty
            effect = factor * span
            if behind > 0.0 and len(width) == SEGMENTS:
                wide = width[0] + behind
                share = width[0] / max(wide, TINY)
                clean[0] = [n - (n - stays) * share for n, stays in zip(size, clean[0], strict=True)]
                width[0], behind, passed = wide, 0.0, [0.0] * k
            turns = [0.0 - rate * effect for rate in pace]
            hits_of, slowed = [gone(t)[0] for t in turns], [gone(t)[1] for t in turns]
            for row in clean:
                row[:] = [n * rest for n, rest in zip(row, slowed, strict=True)]
            if behind > 0.0:
                newest = [n * rest for n, rest in zip(size, slowed, strict=True)]
                if chunks > 1.0:
                    part_of, ishare = 1.0 / max(1.0, chunks * behind), 1.0 / max(behind, TINY)
                    for i in range(k):
                        weight = max(0.0, 1.0 - passed[i] * inverse[i] * ishare)
                        late = hits_of[i] - weight * (hits_of[i] - armed(turns[i], hits_of[i], part_of))
                        newest[i] = size[i] * (1.0 - late)
                width.insert(0, behind)
                mass.insert(0, 0.0)
                clean.insert(0, newest)
                behind, passed = 0.0, [0.0] * k
            dirty = 0.0
            for j in range(len(width)):
                stays = 0.0
                for i in range(k):
                    stays = stays + clean[j][i]
                mass[j] = width[j] * max(0.0, everything - stays)
                dirty = dirty + mass[j]
            fresh = dirty - before
            if ahead > 0.0:
                reached = ahead * everything  # counted in the ring from now on
                fresh = fresh - reached
                s.front = max(0.0, s.front - reached)
                ahead = 0.0
                s.virgin = reached
            if switched:
                break
            syncs = syncs + (0.0 if last else 1.0)
            synced = s.now
            pending = s.untouched() + dirty
            settled = True
            if r["throttling"] > 0.0:
                period_dirty = period_dirty + fresh
                if period_at + 1.000000001 < s.now:
                    allowed = (s.sent - period_sent) * r["trigger"]
                    if allowed < period_dirty * page:
                        high = high + 1.0
                        if high >= 2.0:
                            high = 0.0
                            if throttle < r["most"]:
                                mark_at, check_at, stretch_at = syncs + 8.0, syncs + 2.0, 0.0
                            step = r["increment"]
                            if r["tailslow"] > 0.0:
                                # No larger than what brings the dirtied bytes down to what is allowed.
                                cpu = math.floor(100.0 * (1.0 - throttle) + 0.5)
                                step = min((cpu - math.floor(cpu * (allowed / (period_dirty * page)))) / 100.0, step)
                            throttle = min(r["most"], throttle + step if throttle > 0.0 else r["initial"])
                    period_at, period_sent, period_dirty = s.now, s.sent, 0.0
                settled = r["most"] <= throttle
            converged = last or pending < s.theta
            settled = settled and not converged
            if r["postcopy"] > 0.0:
                switching = switching or r["postcopy"] < syncs
                settled = False
            if settled and mark_at <= syncs:
                # It goes round for ever where it comes back to where it was, with nothing left to change ...
                if syncs <= mark_at:
                    hits, marked, marked_span, marked_place = 0.0, pending, span, s.now - s.slot_at
                else:
                    same_time = abs(span - marked_span) < 1e-6 and abs(s.now - s.slot_at - marked_place) < 1e-6
                    if same_time and abs(pending - marked) < 0.25:
                        hits = hits + 1.0
                    if mark_at + mark_at <= syncs:
                        mark_at = syncs + 1.0
                never = hits >= 3.0
            if settled and check_at <= syncs:
                # ... or where a round that leaves x pages would be followed by one that leaves more.
                x, fewest = math.sqrt(max(0.0, pending * full_again)), max(0.0, full_again - per_again)
                paced = per_again < full_again and per_again * again <= TURN
                each = SLOT * iper_again if paced else again
                passes, rate = max(0.0, x - fewest) * each, 0.0
                for n, by in zip(size, pace, strict=True):
                    rate = rate + n * by
                # It cannot where all writes, on whatever page, and what was unsent are fewer.
                grows = full_again < x < pending and s.untouched() <= 0.0 and passes <= span
                grows = grows and x + 1.0 <= rate * LN2 * (passes * factor) + counts * fewest
                for unsent in (full_again if paced else 1.005 * full_again, fewest):
                    if grows:
                        sent = max(0.0, x - unsent)
                        once, twice = _written(size, pace, chunks, sent * each * factor, sent)
                        grows = x + 1.0 <= once + counts * unsent * ((twice - once) / max(once, 1e-9))
                never = never or grows
                check_at = syncs + syncs
            if settled and r["throttling"] > 0.0:
                # ... or where, under the highest throttle, what is pending is no longer any less.
                if stretch_at <= 0.0:
                    stretch_at, low, low_before = syncs + STRETCH, _UNLIMITED, 0.0
                low = min(low, pending)
                if stretch_at <= syncs:
                    no_less = low_before > 0.0 and 0.999 * low_before <= low and 1.05 * s.theta < low
                    never = never or no_less
                    stretch_at, low, low_before = syncs + STRETCH, _UNLIMITED, low
            never = never or syncs > _MOST_SYNCS
        steps = steps + 1.0
        never = (never or steps > _MOST_STEPS) and not converged
        if converged or never:
            break
        # A run of equal full slots is taken in one step, of the tail or of the ring.
        due, in_tail = 0.0, s.tail > 0.0
        dear = in_tail or s.virgin > 0.0
        part, each, by, theta = (
            (s.tail if in_tail else s.virgin, per, iper, full) if dear else (dirty, per_again, iper_again, full_again)
        )
        jump = math.floor(min(pending - theta, part) * by) * 1.0
        begins = s.now <= s.slot_at and s.slot_sent <= 0.0 and not switching
        if begins and jump > 0.0 and s.front + s.zero <= 0.0 and (in_tail or s.tail_zero <= 0.0):
            n = jump * each
            rest = max(0.0, part - n)
            due = 0.0 if in_tail else part - rest
            if in_tail:
                s.tail = rest
            s.slots(jump, n * wire, theta)
            pending = pending - (part - rest)
        unsent = s.virgin
        s.virgin = max(0.0, unsent - due)
        due = due + s.turn(pending, dirty - due)
        unsent = max(0.0, unsent - due)
        # They leave the ring in the order of the scan.
        whole = dirty <= due and due > 0.0
        dirty = 0.0
        for j in range(len(width) - 1, -1, -1):
            all_of_it = whole or (due > 0.0 and mass[j] <= due)
            cut = 1.0 if all_of_it else max(0.0, due) / max(mass[j], TINY)
            sent_now = mass[j] if all_of_it else max(0.0, due)
            wide = width[j] * cut
            behind = behind + wide
            if r["rearm"] > 0.0:
                passed = [n + wide * stays for n, stays in zip(passed, clean[j], strict=True)]
            width[j] = width[j] * (1.0 - cut)
            mass[j] = mass[j] * (1.0 - cut)
            due = due - sent_now
            dirty = dirty + mass[j]
        s.virgin = unsent if dirty > 0.0 else 0.0
        while width and not width[-1] > 0.0:
            del width[-1], mass[-1], clean[-1]
        switched = s.over and switching  # and the bitmap is synced once more
    untouched, zeros = (s.front + s.tail) + s.virgin, s.zero + s.tail_zero
    dirty = dirty - s.virgin
    resent = dirty * again
    rest = untouched * first + zeros * blank
    pause = r["device"] * POSTCOPY_SWITCH if switched else r["device"] + (rest + resent)
    total = (s.now + pause + (rest + POSTCOPY_ASKED * resent if switched else 0.0)) + r["begin"]
    moved = s.sent + (untouched * wire + zeros * WIRE_ZERO + dirty * wire)
    pending = untouched + zeros + dirty
    percent = math.floor(throttle * 100.0 + 0.5)
    if never or not total <= c["timeout"]:
        would, verdict = (math.inf, NEVER) if never else (total, TIMES_OUT)
        return math.inf, math.inf, math.inf, would, pending, int(syncs + 1.0), verdict, percent
    return total, pause, moved, total, pending, int(syncs + 1.0), CONVERGES, percent


def _written(
    size: list[float],
    pace: list[float],
    chunks: float,
    span: float,
    moved: float,
) -> tuple[float, float]:
    """Distinct pages found written after *span* seconds, and after that again of those that a round has left unsent.

    In parts, the *moved* pages that are sent meanwhile are watched anew as they are sent: those by which least is found.
    That is, of any level, no more than the level for each of them and what single classes lose above it.
    """
    once = twice = 0.0
    lost: list[float] = []
    for n, rate in zip(size, pace, strict=True):
        t = 0.0 - rate * span
        hit, rest = gone(t)
        if chunks > 1.0:
            lost.append(hit - armed(t, hit, 1.0 / chunks))
        once = once + n * hit
        twice = twice + n * (1.0 - (1.0 - hit) * rest)
    if chunks > 1.0:
        least = 0.0
        for n, loss in zip(size, lost, strict=True):
            least = least + n * loss
        for level in lost:
            found = level * moved
            for n, loss in zip(size, lost, strict=True):
                found = found + n * max(0.0, loss - level)
            least = min(least, found)
        once = once - least
    return once, twice
