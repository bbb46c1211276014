/* The fleet's first pass, in the words of fleet_lanes.h: from the columns to a group. See fleet.c. */

static inline TARGET V F(column)(ns_column c, size_t row, size_t count) {
    if (c.step == 0) return set1(c.at[0]);
    if (row + W <= count) return loadu(c.at + row);
    double lane[W];
    for (size_t l = 0; l < W; l++) lane[l] = c.at[row + l < count ? row + l : count - 1];
    return loadu(lane);
}

/* Number `field` of the rules of each row. */
static inline TARGET V F(ruled)(const ns_fleet *f, size_t field, size_t row) {
    const double *table = (const double *)f->rules + field;
    if (f->rule == NULL) return set1(table[0]);
    double lane[W];
    for (size_t l = 0; l < W; l++)
        lane[l] = table[NS_FLEET_RULE_FIELDS * (size_t)f->rule[row + l < f->count ? row + l : f->count - 1]];
    return loadu(lane);
}
#define RULE(name) F(ruled)(f, offsetof(ns_fleet_rules, name) / sizeof(double), row)

/* 1 - 2^t for t <= 0, and 2^t into `rest`; below 2^-1022 about 1 and 0. */
static inline TARGET V F(gone)(V t, V *rest) {
    t = vmax(t, set1(-1022.0));
    V m = t + set1(WHOLE), f = t - (m - set1(WHOLE)); /* m's last bits hold the nearest whole number, and 1023 */
    V f2 = f * f, f4 = f2 * f2;
    V a = (set1(Q0) + set1(Q1) * f) + (set1(Q2) + set1(Q3) * f) * f2;
    V b = (set1(Q4) + set1(Q5) * f) + (set1(Q6) + set1(Q7) * f) * f2;
    V scale = pow2(m), part = scale * (f * (a + b * f4));
    *rest = scale + part;
    return (set1(1.0) - scale) - part;
}

/* Of pages that are watched anew in 1 / `share` parts, each just before it is sent, the share that is found written, where `hit`
 * is that of pages watched anew at the sync, and 2^t what of those is clean. */
static inline TARGET V F(armed)(V t, V hit, V share) {
    V rest, step = F(gone)(t * share, &rest);
    V found = set1(1.0) - rest * hit * share / vmax(step, set1(1e-300));
    return vmin(hit, vmax(set1(0.0), found));
}

/* Class `i` of each row, of a table of rows of k numbers. */
static inline TARGET V F(of_class)(const ns_fleet *f, const double *table, size_t i, size_t row) {
    const size_t step = f->class_step;
    if (row + W <= f->count) return strided(table + row * step + i, step);
    double lane[W];
    for (size_t l = 0; l < W; l++) lane[l] = table[(row + l < f->count ? row + l : f->count - 1) * step + i];
    return loadu(lane);
}

/* What page, line and rules say of each page that is sent. */
typedef struct {
    V page, ipage, wire, iwire, first, ifirst, again, iagain, blank, iblank, sw;
} F(pace);

static TARGET F(pace) F(paced)(const ns_fleet *f, size_t row) {
    F(pace) p;
    p.page = F(column)(f->page, row, f->count);
    p.ipage = set1(1.0) / p.page;
    V units = p.page * set1(1.0 / 4096.0);
    p.wire = p.page + set1(HEADER) * units;
    p.iwire = set1(1.0) / p.wire;
    V on_line = p.wire / F(column)(f->line, row, f->count);
    p.first = vmax(vmax(on_line, RULE(first_touch) * units), set1(1e-9));
    p.again = vmax(vmax(on_line, RULE(rewrite) * units), set1(1e-9));
    p.blank = vmax(RULE(blank) * units, set1(1e-9));
    p.ifirst = set1(1.0) / p.first;
    p.iagain = set1(1.0) / p.again;
    p.iblank = set1(1.0) / p.blank;
    p.sw = RULE(switchover);
    return p;
}

/* What page, line and rules say, into the group of W rows from `row` on. */
static TARGET void F(ruled_by)(const ns_fleet *f, const F(pace) *p, size_t row, F(group) *g) {
    g->f[WIRE] = p->wire;
    g->f[IWIRE] = p->iwire;
    g->f[FIRST] = p->first;
    g->f[IFIRST] = p->ifirst;
    g->f[AGAIN] = p->again;
    g->f[IAGAIN] = p->iagain;
    g->f[BLANK] = p->blank;
    g->f[IBLANK] = p->iblank;
    g->f[SWITCHOVER] = p->sw;
    g->f[POSTCOPY] = RULE(postcopy);
    g->f[BEGIN] = RULE(begin);
    g->f[DEVICE] = RULE(device);
    g->f[THROTTLING] = RULE(throttling);
    g->f[INITIAL] = RULE(initial);
    g->f[INCREMENT] = RULE(increment);
    g->f[MOST] = RULE(most);
    g->f[TRIGGER] = RULE(trigger);
    g->f[TAILSLOW] = RULE(tailslow);
    g->f[PAGE] = p->page;
    g->f[LOST] = RULE(lost);
    g->f[WAKE] = RULE(wake);
}

/* A group of the W rows from `row` on, after their first pass, and the first sync of those that nothing is special about:
 * no page of the front is left, and no switch to post-copy follows at once. */
static TARGET void F(first_pass)(const ns_fleet *f, const F(pace) *p, size_t row, F(group) *g, int throttles, int rearms) {
    const V none = set1(0.0);
    const V page = p->page, ipage = p->ipage, wire = p->wire, iwire = p->iwire, sw = p->sw, iwz = set1(1.0 / WIRE_ZERO);
    const V first = p->first, again = p->again, blank = p->blank;
    const V ifirst = p->ifirst, iagain = p->iagain, iblank = p->iblank;
    const size_t soon = row + SOON;
    if (soon + W <= f->count)
        for (size_t at = soon * f->class_step; at < (soon + W) * f->class_step; at += 8) {
            __builtin_prefetch(f->size + at);
            __builtin_prefetch(f->rate + at);
        }
    V memory = F(column)(f->memory, row, f->count), pages = vfloor(memory * ipage);
    V limit = F(column)(f->limit, row, f->count), flush = set1(FLUSH * (4096.0 + HEADER));
    V quota = none - vfloor(none - limit * set1(SLOT) / flush);
    quota = sel(le(limit, none), set1(UNLIMITED), quota * flush + set1(2.0 * WIRE_ZERO));
    V iquota = set1(1.0) / quota, dtp = F(column)(f->downtime, row, f->count) * set1(1000.0) * ipage;
    V per = vmin(set1(SLOT) * ifirst, quota * iwire), per_zero = vmin(set1(SLOT) * iblank, quota * iwz);
    V per_again = vmin(set1(SLOT) * iagain, quota * iwire);
    M announced = lt(none, sw);
    V full = sel(announced, sw, per * wire * set1(0.01)) * dtp;
    V full_zero = sel(announced, sw, per_zero * set1(WIRE_ZERO * 0.01)) * dtp;
    V full_again = sel(announced, sw, per_again * wire * set1(0.01)) * dtp;
    V zero = vmin(F(column)(f->zero, row, f->count), pages), tail = F(column)(f->tail, row, f->count);
    tail = sel(lt(tail, none), set1(1500.0) + memory * set1(1.0 / 64.0) * ipage, tail);
    tail = vmin(tail, pages - zero);
    V tail_zero = vmin(F(column)(f->tail_zero, row, f->count), zero);
    zero = zero - tail_zero;
    V front_all = vmax(none, ((pages - zero) - tail_zero) - tail);
    V often = set1(1.0 / SLOT), iper = vmax(first * often, wire * iquota);
    V iper_zero = vmax(blank * often, set1(WIRE_ZERO) * iquota);
    F(way) s = {quota, wire, iwire, first, ifirst, again, iagain, blank, iblank, dtp, sw,
                front_all, zero, tail, tail_zero, none, none, none, none, none, none, mask(0u)};
    M unknown = le(RULE(fast), none);
    int turn = 0;
    for (; turn < MOST_STEPS; turn++) {
        V pending = ((s.front + s.zero) + s.tail) + s.tail_zero;
        M run = m_and(m_not(F(due)(pending, s.theta)), m_not(unknown));
        if (!bits(run)) break;
        /* A run of equal full slots is taken in one step. */
        M in_front = lt(none, s.front), in_zero = lt(none, s.zero), in_tail = lt(none, s.tail);
        M dear = m_or(in_front, m_and(m_not(in_zero), in_tail));
        V part = sel(in_front, s.front, sel(in_zero, s.zero, sel(in_tail, s.tail, s.tail_zero)));
        V fits = sel(dear, full, full_zero);
        V jump = vfloor(vmin(pending - fits, part) * sel(dear, iper, iper_zero));
        M fresh = m_and(run, m_and(le(s.now, s.slot_at), le(s.slot_sent, none)));
        fresh = m_and(fresh, lt(none, jump));
        jump = sel(fresh, jump, none);
        V n = jump * sel(dear, per, per_zero), rest = vmax(none, part - n);
        pending = pending - (part - rest);
        s.front = sel(in_front, rest, s.front);
        s.zero = sel(m_and(m_not(in_front), in_zero), rest, s.zero);
        s.tail = sel(m_and(m_not(m_or(in_front, in_zero)), in_tail), rest, s.tail);
        s.tail_zero = sel(m_or(m_or(in_front, in_zero), in_tail), s.tail_zero, rest);
        s.sent = s.sent + n * sel(dear, wire, set1(WIRE_ZERO));
        s.now = s.now + jump * set1(SLOT);
        s.slot_at = sel(fresh, s.now, s.slot_at);
        s.theta = sel(fresh, fits, s.theta);
        F(turn)(&s, pending, none, run, 1, 0, 0);
    }
    V chunks = vmax(set1(1.0), none - vfloor(none - memory * set1(1.0 / GIB)));
    chunks = sel(lt(none, RULE(rearm)), chunks, set1(1.0));
    M unsent = lt(none, s.front);
    V ahead = bits(unsent) ? sel(unsent, s.front / vmax(front_all, set1(1e-300)), none) : none;
    /* Where it never comes to a sync there is nothing to go round with. */
    V stuck = sel(unknown, set1(1.0), none);
    if (turn == MOST_STEPS) stuck = sel(F(due)(((s.front + s.zero) + s.tail) + s.tail_zero, s.theta), stuck, set1(1.0));
    const V busy = F(column)(f->busy, row, f->count);
    const V one = set1(1.0), speed_of = sel(lt(set1(0.9), busy), RULE(slowed), one);
    V all = none, stays = none;
    V untouched = ((s.front + s.zero) + s.tail) + s.tail_zero, passed = sel(lt(none, front_all), one, none);
    M switches = m_and(lt(none, RULE(postcopy)), lt(RULE(postcopy), set1(2.0))), early = m_and(le(stuck, none), le(s.front, none));
    early = m_and(m_and(early, m_not(switches)), lt(untouched, s.theta));
    const V span = sel(early, s.now, none);
    const M parted = m_and(early, lt(one, chunks));
    const V part = one / chunks;
    for (size_t i = 0; i < f->k; i++) {
        V pages_of = F(of_class)(f, f->size, i, row), r = F(of_class)(f, f->rate, i, row) * speed_of;
        V inverse = one / vmax(pages_of, set1(1e-300));
        V pace = sel(lt(none, pages_of), r * set1(LOG2E) * inverse, none);
        all = all + pages_of;
        V slowed, t = none - pace * span, hit = F(gone)(t, &slowed), newest = pages_of * slowed;
        if (rearms) {
            V late = hit - passed * (hit - F(armed)(t, hit, part));
            newest = sel(parted, pages_of * (one - late), newest);
        }
        stays = stays + newest;
        g->size[i] = pages_of;
        g->pace[i] = pace;
        g->inverse[i] = inverse;
        g->passed[i] = sel(early, none, pages_of * ((one - passed) * (one - ahead)));
        g->clean[i] = sel(early, newest, none);
    }
    const V mass = sel(early, vmax(none, all - stays), none), synced = sel(early, one, none);
    g->f[QUOTA] = quota;
    g->f[PER] = per_again;
    g->f[IPER] = vmax(again * often, wire * iquota);
    g->f[FULL] = full_again;
    g->f[DTP] = dtp;
    g->f[TIMEOUT] = F(column)(f->timeout, row, f->count);
    g->f[FRONT] = s.front;
    g->f[ZERO] = s.zero;
    g->f[TAIL] = s.tail;
    g->f[TAIL_ZERO] = s.tail_zero;
    g->f[NOW] = s.now;
    g->f[SLOT_AT] = s.slot_at;
    g->f[SLOT_SENT] = s.slot_sent;
    g->f[SENT] = s.sent;
    g->f[THETA] = s.theta;
    g->f[AHEAD] = ahead;
    g->f[CHUNKS] = chunks;
    g->f[BUSY] = busy;
    g->f[PER_FIRST] = per;
    g->f[IPER_FIRST] = iper;
    g->f[FULL_FIRST] = full;
    /* Only where all is watched anew at the sync is it known what an unsent page brings. */
    g->f[UNSENT] = sel(lt(one, chunks), none, one);
    /* First in the ring is what the first sync has found, or else what the first pass has not reached. */
    for (size_t j = 1; j < g->segments; j++) g->width[j] = g->mass[j] = none;
    g->segments = 1;
    g->width[0] = synced + ahead;
    g->mass[0] = g->dirty = mass;
    g->behind = one - g->width[0];
    g->index = set1((double)row) + lanes();
    g->all = all;
    g->syncs = one + synced;
    g->steps = synced;
    g->synced = synced * s.now;
    g->mark_at = set1(8.0);
    g->check_at = set1(4.0);
    g->stretch_at = g->virgin = g->hits = g->switching = g->throttle = none;
    if (throttles) {
        /* What the first sync leaves behind, where it was made: the throttle itself waits for a second one. */
        M period = m_and(early, lt(set1(1.000000001), s.now));
        M much = m_and(period, lt(s.sent * RULE(trigger), mass * page));
        g->high = sel(much, one, none);
        g->period_at = sel(period, s.now, none);
        g->period_sent = sel(period, s.sent, none);
        g->period_dirty = sel(period, none, mass);
    }
    const unsigned there = f->count - row < W ? (1u << (f->count - row)) - 1u : (1u << W) - 1u;
    g->never = lt(none, stuck);
    g->ended = bits(m_or(m_and(early, lt(untouched + mass, s.theta)), g->never)) & there;
    g->live = there & ~g->ended;
}
#undef RULE
