/* Rows on their way, one in each lane, in the words of fleet_lanes.h: how they begin, change places, and end. See fleet.c. */

/* W rows on their way. Those of `ended` have come to their end and wait for end(); of them `never` and `switched`. */
typedef struct {
    V f[FIELDS], size[CLASSES], pace[CLASSES], inverse[CLASSES];
    V passed[CLASSES]; /* pages that would be clean, where the scan has passed since the sync */
    V width[SEGMENTS], mass[SEGMENTS], clean[SEGMENTS * CLASSES];
    V index, all, dirty, virgin, behind, synced, syncs, steps, switching;
    V mark_at, marked, marked_span, marked_place, hits, check_at;
    V throttle, high, period_at, period_sent, period_dirty, stretch_at, low, low_before;
    M never, switched;
    size_t segments;
    unsigned live, ended;
} F(group);

/* A group of nobody. */
static TARGET void F(clear)(F(group) *g, size_t k) {
    const V none = set1(0.0);
    for (size_t j = 0; j < FIELDS; j++) g->f[j] = set1(1.0);
    for (size_t j = 0; j < SEGMENTS; j++) g->width[j] = g->mass[j] = none;
    for (size_t j = 0; j < SEGMENTS * k; j++) g->clean[j] = none;
    for (size_t j = 0; j < k; j++) g->size[j] = g->pace[j] = g->inverse[j] = g->passed[j] = none;
    g->all = g->dirty = g->virgin = g->behind = g->synced = g->syncs = g->throttle = g->high = g->period_at = none;
    g->period_sent = g->period_dirty = g->mark_at = g->marked = g->marked_span = g->hits = none;
    g->index = g->switching = g->steps = g->check_at = g->marked_place = g->stretch_at = g->low = g->low_before = none;
    g->segments = 0;
    g->never = g->switched = mask(0u);
    g->live = g->ended = 0;
}

/* Lanes of `g` that are free take rows of `from`, as many as there are; fields from `least` on, those before are equal.
 * What the marks hold is set as they begin. */
static TARGET void F(take)(size_t k, F(group) *g, F(group) *from, size_t least, int throttles, int switches, int rearms) {
    const V none = set1(0.0);
    unsigned to = ~g->live & ((1u << W) - 1u), of = from->live;
    while (__builtin_popcount(to) > __builtin_popcount(of)) to &= to - 1;
    while (__builtin_popcount(of) > __builtin_popcount(to)) of &= of - 1;
    g->live |= to;
    from->live &= ~of;
    const M m = mask(to);
    const IX at = where(to, of);
#define MOVE(what) g->what = moved(g->what, m, at, from->what)
    for (size_t i = least; i < QUOTA; i++) MOVE(f[i]);
#pragma GCC unroll 32
    for (size_t i = QUOTA; i < CHUNKS; i++) MOVE(f[i]);
    for (size_t i = 0; i < k; i++) {
        MOVE(size[i]);
        MOVE(pace[i]);
    }
    for (size_t j = 0; j < from->segments; j++) {
        MOVE(width[j]);
        MOVE(mass[j]);
        for (size_t i = 0; i < k; i++) MOVE(clean[j * k + i]);
    }
    for (size_t j = from->segments; j < g->segments; j++) {
        g->width[j] = sel(m, none, g->width[j]);
        g->mass[j] = sel(m, none, g->mass[j]);
    }
    if (g->segments < from->segments) g->segments = from->segments;
    MOVE(index);
    MOVE(all);
    MOVE(dirty);
    MOVE(virgin);
    MOVE(behind);
    MOVE(synced);
    MOVE(syncs);
    MOVE(steps);
    MOVE(mark_at);
    MOVE(check_at);
    if (rearms) {
        MOVE(f[CHUNKS]);
        MOVE(f[UNSENT]);
        for (size_t i = 0; i < k; i++) {
            MOVE(inverse[i]);
            MOVE(passed[i]);
        }
    }
    if (switches) MOVE(switching);
    if (throttles) {
        MOVE(f[BUSY]);
        MOVE(throttle);
        MOVE(high);
        MOVE(period_at);
        MOVE(period_sent);
        MOVE(period_dirty);
        MOVE(stretch_at);
    }
#undef MOVE
}

/* Writes the rows of `g` that have ended: to `out` from `row` on, with the others as they are by now, to be written again;
 * or, without `out`, for hand_out(). */
static TARGET void F(end)(F(group) *g, finished *d, const ns_fleet_result *out, size_t row) {
    const V none = set1(0.0), one = set1(1.0);
    V untouched = (g->f[FRONT] + g->f[TAIL]) + g->virgin, zeros = g->f[ZERO] + g->f[TAIL_ZERO];
    V resent = g->dirty - g->virgin, again = resent * g->f[AGAIN], last = untouched * g->f[FIRST] + zeros * g->f[BLANK];
    V device = g->f[DEVICE], pause = sel(g->switched, device * set1(NS_POSTCOPY_SWITCH), device + (last + again));
    V total = g->f[NOW] + pause + sel(g->switched, last + set1(NS_POSTCOPY_ASKED) * again, none);
    V bytes = g->f[SENT] + (untouched * g->f[WIRE] + zeros * set1(WIRE_ZERO) + resent * g->f[WIRE]);
    total = sel(g->never, set1(INFINITY), total + g->f[BEGIN]);
    const M in_time = m_and(m_not(g->never), le(total, g->f[TIMEOUT]));
    V ends = sel(in_time, total, set1(INFINITY)), pending = untouched + zeros + resent;
    V syncs = g->syncs + one; /* the hypervisor counts one more at the stop */
    V percent = vfloor(g->throttle * set1(100.0) + set1(0.5));
    pause = sel(in_time, pause, set1(INFINITY));
    bytes = sel(in_time, bytes, set1(INFINITY));
    if (out) {
        storeu(out->total + row, ends);
        storeu(out->downtime + row, pause);
        storeu(out->transferred + row, bytes);
        storeu(out->unlimited + row, total);
        storeu(out->pending + row, pending);
        put32(out->syncs + row, syncs);
        put8(out->throttle + row, percent);
        put8(out->verdict + row, sel(in_time, set1(CONVERGES), sel(lt(total, set1(INFINITY)), set1(TIMES_OUT), set1(NEVER))));
    } else {
        const M m = mask(g->ended);
        const size_t at = d->have;
        pour(d->lane[ROW] + at, m, g->index);
        pour(d->lane[TOTAL] + at, m, ends);
        pour(d->lane[PAUSE] + at, m, pause);
        pour(d->lane[BYTES] + at, m, bytes);
        pour(d->lane[WOULD] + at, m, total);
        pour(d->lane[SYNCS] + at, m, syncs);
        pour(d->lane[PERCENT] + at, m, percent);
        pour(d->lane[LEFT] + at, m, pending);
        d->have = at + (size_t)__builtin_popcount(g->ended);
    }
    g->ended = 0;
    g->never = g->switched = mask(0u);
}
