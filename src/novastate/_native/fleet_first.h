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

/* Of pages that are watched anew in `parts`, each just before it is sent, the share that is found written, where `hit`
 * is that of pages watched anew at the sync, and 2^t what of those is clean. */
static inline TARGET V F(armed)(V t, V hit, V parts) {
    V rest, step = F(gone)(t / parts, &rest);
    V found = set1(1.0) - rest * hit / vmax(parts * step, set1(1e-300));
    return vmin(hit, vmax(set1(0.0), found));
}

/* The first pass of W rows from `row` on, as far as the first sync, into the block at `at`. */
static TARGET void F(first_pass)(const ns_fleet *f, size_t row, block *b, size_t at) {
    const V none = set1(0.0);
    V page = F(column)(f->page, row, f->count), memory = F(column)(f->memory, row, f->count);
    V pages = vfloor(memory / page), units = page * set1(1.0 / 4096.0);
    V wire = page + set1(HEADER) * units, iwire = set1(1.0) / wire, iwz = set1(1.0 / WIRE_ZERO);
    V on_line = wire / F(column)(f->line, row, f->count);
    V first = vmax(vmax(on_line, RULE(first_touch) * units), set1(1e-9)), ifirst = set1(1.0) / first;
    V again = vmax(vmax(on_line, RULE(rewrite) * units), set1(1e-9)), iagain = set1(1.0) / again;
    V blank = vmax(RULE(blank) * units, set1(1e-9)), iblank = set1(1.0) / blank;
    V limit = F(column)(f->limit, row, f->count), flush = set1(FLUSH * (4096.0 + HEADER));
    V quota = none - vfloor(none - limit * set1(SLOT) / flush);
    quota = sel(le(limit, none), set1(UNLIMITED), quota * flush + set1(2.0 * WIRE_ZERO));
    V sw = RULE(switchover), dtp = F(column)(f->downtime, row, f->count) * set1(1000.0) / page;
    V per = vmin(set1(SLOT) * ifirst, quota * iwire), per_zero = vmin(set1(SLOT) * iblank, quota * iwz);
    V per_again = vmin(set1(SLOT) * iagain, quota * iwire);
    M announced = lt(none, sw);
    V full = sel(announced, sw, per * wire * set1(0.01)) * dtp;
    V full_zero = sel(announced, sw, per_zero * set1(WIRE_ZERO * 0.01)) * dtp;
    V full_again = sel(announced, sw, per_again * wire * set1(0.01)) * dtp;
    V zero = vmin(F(column)(f->zero, row, f->count), pages), tail = F(column)(f->tail, row, f->count);
    tail = sel(lt(tail, none), set1(1500.0) + memory / (set1(64.0) * page), tail);
    tail = vmin(tail, pages - zero);
    V tail_zero = vmin(F(column)(f->tail_zero, row, f->count), zero);
    zero = zero - tail_zero;
    V front = vmax(none, ((pages - zero) - tail_zero) - tail), front_all = front;
    V iper = set1(1.0) / per, iper_zero = set1(1.0) / per_zero;
    V now = none, slot_at = none, slot_sent = none, sent = none, theta = none;
    M hopeless = m_and(m_or(le(dtp, none), le(pages, none)), m_not(m_and(announced, lt(none, dtp))));
    hopeless = m_or(hopeless, le(RULE(fast), none));
    int turn = 0;
    for (; turn < MOST_STEPS; turn++) {
        V pending = ((front + zero) + tail) + tail_zero;
        M run = m_and(m_not(lt(pending, theta)), m_not(hopeless));
        if (!bits(run)) break;
        /* A run of equal full slots is taken in one step. */
        M in_front = lt(none, front), in_zero = lt(none, zero), in_tail = lt(none, tail);
        M dear = m_or(in_front, m_and(m_not(in_zero), in_tail));
        V part = sel(in_front, front, sel(in_zero, zero, sel(in_tail, tail, tail_zero)));
        V jump = vfloor(vmin(pending - sel(dear, full, full_zero), part) * sel(dear, iper, iper_zero));
        M fresh = m_and(run, m_and(le(now, slot_at), le(slot_sent, none)));
        fresh = m_and(fresh, lt(none, jump));
        jump = sel(fresh, jump, none);
        V n = jump * sel(dear, per, per_zero), rest = vmax(none, part - n);
        front = sel(in_front, rest, front);
        zero = sel(m_and(m_not(in_front), in_zero), rest, zero);
        tail = sel(m_and(m_not(m_or(in_front, in_zero)), in_tail), rest, tail);
        tail_zero = sel(m_or(m_or(in_front, in_zero), in_tail), tail_zero, rest);
        sent = sent + n * sel(dear, wire, set1(WIRE_ZERO));
        now = now + jump * set1(SLOT);
        slot_at = sel(fresh, now, slot_at);
        theta = sel(fresh, sel(dear, full, full_zero), theta);
        /* One turn: until the quota or the time is used up, or all is sent. */
        V budget = sel(run, vmax(none, quota - slot_sent), none), left = set1(TURN), used;
        n = vmin(vmin(front, budget * iwire), left * ifirst);
        front = front - n;
        used = n * wire;
        left = left - n * first;
        M going = m_and(run, le(front, none)), some = m_and(going, lt(none, zero));
        if (bits(some)) {
            n = vmin(vmin(zero, vmax(none, (budget - used) * iwz)), vmax(none, left * iblank));
            n = sel(some, n, none);
            zero = zero - n;
            used = used + n * set1(WIRE_ZERO);
            left = left - n * blank;
        }
        going = m_and(going, le(zero, none));
        if (bits(going)) {
            n = vmin(vmin(tail, vmax(none, (budget - used) * iwire)), vmax(none, left * ifirst));
            n = sel(going, n, none);
            tail = tail - n;
            used = used + n * wire;
            left = left - n * first;
            n = vmin(vmin(tail_zero, vmax(none, (budget - used) * iwz)), vmax(none, left * iblank));
            n = sel(m_and(going, le(tail, none)), n, none);
            tail_zero = tail_zero - n;
            used = used + n * set1(WIRE_ZERO);
            left = left - n * blank;
        }
        now = now + sel(run, set1(TURN) - left, none);
        sent = sent + used;
        slot_sent = slot_sent + used;
        V end = slot_at + set1(SLOT);
        M sleeps = m_and(run, m_and(le(quota * set1(0.9999999), slot_sent), lt(now, end)));
        now = sel(sleeps, end, now);
        /* All is sent, and no threshold yet: turns of 1 ms until the slot ends. */
        M idle = m_and(m_and(run, m_not(sleeps)), le(used, none));
        V ticks = vmax(set1(1.0), none - vfloor((now - (end - set1(1e-9))) * set1(1000.0)));
        now = now + sel(idle, ticks * set1(0.001), none);
        M over = m_and(run, le(end - set1(1e-9), now));
        V spent = vfloor((now - slot_at) * set1(1000.0) + set1(0.5));
        V speed = sel(announced, sw, slot_sent / vmax(spent, set1(1.0)));
        theta = sel(over, speed * dtp, theta);
        slot_at = sel(over, now, slot_at);
        slot_sent = sel(over, none, slot_sent);
    }
    V chunks = vmax(set1(1.0), none - vfloor(none - memory * set1(1.0 / GIB)));
    chunks = sel(lt(none, RULE(rearm)), chunks, set1(1.0));
    V ahead = sel(lt(none, front), front / vmax(front_all, set1(1e-300)), none);
    /* Where it never comes to a sync there is nothing to go round with. */
    V stuck = sel(hopeless, set1(1.0), none);
    if (turn == MOST_STEPS) stuck = sel(lt(((front + zero) + tail) + tail_zero, theta), stuck, set1(1.0));
    V busy = F(column)(f->busy, row, f->count);
    const V fields[FIELDS] = {
        [QUOTA] = quota, [WIRE] = wire, [IWIRE] = iwire, [FIRST] = first, [IFIRST] = ifirst, [AGAIN] = again,
        [IAGAIN] = iagain, [BLANK] = blank, [IBLANK] = iblank, [PER] = per_again, [IPER] = set1(1.0) / per_again,
        [FULL] = full_again, [DTP] = dtp, [SWITCHOVER] = sw, 
        [POSTCOPY] = RULE(postcopy), [FRONT] = front, [ZERO] = zero,
        [TAIL] = tail, [TAIL_ZERO] = tail_zero, [NOW] = now, [SLOT_AT] = slot_at, [SLOT_SENT] = slot_sent,
        [SENT] = sent, [THETA] = theta, [AHEAD] = ahead, [STUCK] = stuck,
        [CHUNKS] = chunks, [PASSED] = sel(lt(none, front_all), set1(1.0), none),
        [SPEED] = sel(lt(set1(0.9), busy), RULE(slowed), set1(1.0)), [THROTTLING] = RULE(throttling),
        [INITIAL] = RULE(initial), [INCREMENT] = RULE(increment), [MOST] = RULE(most), [TRIGGER] = RULE(trigger),
        [PAGE] = page, [BUSY] = busy, [LOST] = RULE(lost), [WAKE] = RULE(wake),
    };
    for (size_t i = 0; i < FIELDS; i++) storeu(b->field[i] + at, fields[i]);
    V all = none, straight = none;
    for (size_t i = 0; i < f->k; i++) {
        double size[W], rate[W], ordered[W];
        for (size_t l = 0; l < W; l++) {
            size_t from = (row + l < f->count ? row + l : f->count - 1) * f->class_step + i;
            size[l] = f->size[from];
            rate[l] = f->rate[from];
            ordered[l] = f->ordered != NULL && f->ordered[from] ? 1.0 : 0.0;
        }
        V pages_of = loadu(size), r = loadu(rate) * fields[SPEED];
        M some = lt(none, pages_of), in_order = lt(none, loadu(ordered));
        V spread = sel(in_order, none, pages_of);
        all = all + spread;
        straight = straight + (pages_of - spread);
        storeu(b->size[i] + at, spread);
        storeu(b->pace[i] + at, sel(m_and(some, m_not(in_order)), r * set1(LOG2E) / vmax(pages_of, set1(1e-300)), none));
        if (f->ordered != NULL) {
            storeu(b->ordered_size[i] + at, sel(in_order, pages_of, none));
            storeu(b->ordered_rate[i] + at, sel(in_order, r, none));
        }
    }
    storeu(b->all + at, all);
    /* Only where all is written at random and watched anew at the sync is it known what an unsent page brings. */
    storeu(b->field[UNSENT] + at, sel(m_or(lt(set1(1.0), chunks), lt(none, straight)), none, set1(1.0)));
}
#undef RULE
