/* The fleet's first pass, in the words of fleet_lanes.h: from the columns to what waits for a lane. See fleet.c. */

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

/* The classes of the rows from `row` on, as they are given, into the block. */
static TARGET void F(classes)(const ns_fleet *f, size_t row, block *b) {
    const size_t rows = f->count - row < BLOCK ? f->count - row : BLOCK;
    for (size_t l = 0; l < (rows + W - 1) / W * W; l++) {
        b->index[l] = (double)(row + l);
        const size_t from = (l < rows ? row + l : f->count - 1) * f->class_step;
        for (size_t i = 0; i < f->k; i++) {
            b->size[i][l] = f->size[from + i];
            b->pace[i][l] = f->rate[from + i];
        }
    }
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

/* The first pass of W rows from `row` on, into the block at `at`, and the first sync of those that nothing is special about:
 * no page of the front is left, and no switch to post-copy follows at once. */
static TARGET void F(first_pass)(const ns_fleet *f, const F(pace) *p, size_t row, block *b, size_t at, int rearms) {
    const V none = set1(0.0);
    const V page = p->page, ipage = p->ipage, wire = p->wire, iwire = p->iwire, sw = p->sw, iwz = set1(1.0 / WIRE_ZERO);
    const V first = p->first, again = p->again, blank = p->blank;
    const V ifirst = p->ifirst, iagain = p->iagain, iblank = p->iblank;
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
    V busy = F(column)(f->busy, row, f->count);
#define PUT(name, value) storeu(b->field[name] + at, value)
    if (b->from < QUOTA || row == 0) {
        PUT(WIRE, wire);
        PUT(IWIRE, iwire);
        PUT(FIRST, first);
        PUT(IFIRST, ifirst);
        PUT(AGAIN, again);
        PUT(IAGAIN, iagain);
        PUT(BLANK, blank);
        PUT(IBLANK, iblank);
        PUT(SWITCHOVER, sw);
        PUT(POSTCOPY, RULE(postcopy));
        PUT(BEGIN, RULE(begin));
        PUT(DEVICE, RULE(device));
        PUT(THROTTLING, RULE(throttling));
        PUT(INITIAL, RULE(initial));
        PUT(INCREMENT, RULE(increment));
        PUT(MOST, RULE(most));
        PUT(TRIGGER, RULE(trigger));
        PUT(TAILSLOW, RULE(tailslow));
        PUT(PAGE, page);
        PUT(LOST, RULE(lost));
        PUT(WAKE, RULE(wake));
    }
    PUT(QUOTA, quota);
    PUT(PER, per_again);
    PUT(IPER, vmax(again * often, wire * iquota));
    PUT(FULL, full_again);
    PUT(DTP, dtp);
    PUT(TIMEOUT, F(column)(f->timeout, row, f->count));
    PUT(FRONT, s.front);
    PUT(ZERO, s.zero);
    PUT(TAIL, s.tail);
    PUT(TAIL_ZERO, s.tail_zero);
    PUT(NOW, s.now);
    PUT(SLOT_AT, s.slot_at);
    PUT(SLOT_SENT, s.slot_sent);
    PUT(SENT, s.sent);
    PUT(THETA, s.theta);
    PUT(AHEAD, ahead);
    PUT(CHUNKS, chunks);
    PUT(BUSY, busy);
    PUT(PER_FIRST, per);
    PUT(IPER_FIRST, iper);
    PUT(FULL_FIRST, full);
    const V one = set1(1.0), speed_of = sel(lt(set1(0.9), busy), RULE(slowed), one);
    V all = none, stays = none;
    V untouched = ((s.front + s.zero) + s.tail) + s.tail_zero, passed = sel(lt(none, front_all), one, none);
    M switches = m_and(lt(none, RULE(postcopy)), lt(RULE(postcopy), set1(2.0))), early = m_and(le(stuck, none), le(s.front, none));
    early = m_and(m_and(early, m_not(switches)), lt(untouched, s.theta));
    const V span = sel(early, s.now, none);
    const M parted = m_and(early, lt(one, chunks));
    const V part = one / chunks;
    for (size_t i = 0; i < f->k; i++) {
        V pages_of = loadu(b->size[i] + at), r = loadu(b->pace[i] + at) * speed_of;
        V inverse = one / vmax(pages_of, set1(1e-300));
        V pace = sel(lt(none, pages_of), r * set1(LOG2E) * inverse, none);
        all = all + pages_of;
        storeu(b->pace[i] + at, pace);
        V slowed, t = none - pace * span, hit = F(gone)(t, &slowed), newest = pages_of * slowed;
        if (rearms) {
            V late = hit - passed * (hit - F(armed)(t, hit, part));
            storeu(b->inverse[i] + at, inverse);
            newest = sel(parted, pages_of * (one - late), newest);
        }
        stays = stays + newest;
        storeu(b->clean[i] + at, sel(early, newest, none));
    }
    V mass = sel(early, vmax(none, all - stays), none), dirty = mass;
    storeu(b->all + at, all);
    PUT(EARLY, sel(early, one, none));
    PUT(MASS, mass);
    PUT(DIRTY, dirty);
    PUT(STUCK, sel(m_and(early, lt(untouched + dirty, s.theta)), set1(DONE), stuck));
    PUT(PASSED, sel(early, one, passed));
    /* Only where all is watched anew at the sync is it known what an unsent page brings. */
    PUT(UNSENT, sel(lt(one, chunks), none, one));
#undef PUT
}
#undef RULE
