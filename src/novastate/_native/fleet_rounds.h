/* The fleet's rounds after the first pass, in the words of fleet_lanes.h, once a variant. See fleet.c. */

/* Distinct pages found written after `span` seconds, `moved` of them sent meanwhile, and after that again of those that a
 * round has left unsent. */
static inline TARGET void F(written)(const ns_fleet *f, const V *size, const V *pace, V chunks,
                                     V span, V moved, V *once, V *twice) {
    V w = set1(0.0), w2 = set1(0.0), lost[CLASSES];
    const M parted = lt(set1(1.0), chunks);
    const int any = bits(parted) != 0;
    const V part = set1(1.0) / chunks;
    for (size_t i = 0; i < f->k; i++) {
        V rest, t = set1(0.0) - pace[i] * span, hit = F(gone)(t, &rest);
        if (any) lost[i] = hit - F(armed)(t, hit, part);
        w = w + size[i] * hit;
        w2 = w2 + size[i] * (set1(1.0) - (set1(1.0) - hit) * rest);
    }
    if (any) {
        V fewest = set1(0.0);
        for (size_t i = 0; i < f->k; i++) fewest = fewest + size[i] * lost[i];
        for (size_t l = 0; l < f->k; l++) {
            V found = lost[l] * moved;
            for (size_t i = 0; i < f->k; i++) found = found + size[i] * vmax(set1(0.0), lost[i] - lost[l]);
            fewest = vmin(fewest, found);
        }
        w = sel(parted, w - fewest, w);
    }
    *once = w;
    *twice = w2;
}

/* One step of each lane of `g`: slots or a turn, then a sync where it is due. Writes the rows that end. */
static TARGET void F(step)(const ns_fleet *f, F(group) *g, int throttles, int switches,
                           int rearms) {
    const V none = set1(0.0), one = set1(1.0);
    const size_t k = f->k;
    const unsigned everyone = (1u << W) - 1u;
    V slowed[CLASSES], newest[CLASSES];
    M alive = mask(g->live), switched = mask(0u), converged = switched, never = switched;
    V now = g->f[NOW], theta = g->f[THETA];
    V pending = (((g->f[FRONT] + g->f[ZERO]) + g->f[TAIL]) + g->f[TAIL_ZERO]) + g->dirty;
    M goes = m_and(alive, m_not(F(due)(pending, theta)));
    if (bits(goes)) {
        F(way) s = {g->f[QUOTA], g->f[WIRE], g->f[IWIRE], g->f[FIRST], g->f[IFIRST], g->f[AGAIN], g->f[IAGAIN],
                    g->f[BLANK], g->f[IBLANK], g->f[DTP], g->f[SWITCHOVER], g->f[FRONT], g->f[ZERO], g->f[TAIL],
                    g->f[TAIL_ZERO], g->virgin, now, g->f[SLOT_AT], g->f[SLOT_SENT], g->f[SENT], theta, mask(0u)};
        /* A run of equal full slots is taken in one step, of the tail or of the ring. */
        M in_tail = lt(none, s.tail), dear = m_or(in_tail, lt(none, s.virgin));
        V part = sel(in_tail, s.tail, sel(dear, s.virgin, g->dirty)), fits = sel(dear, g->f[FULL_FIRST], g->f[FULL]);
        V jump = vfloor(vmin(pending - fits, part) * sel(dear, g->f[IPER_FIRST], g->f[IPER]));
        M fresh = m_and(m_and(goes, le(s.front + s.zero, none)), m_and(le(s.now, s.slot_at), le(s.slot_sent, none)));
        fresh = m_and(m_and(fresh, m_or(in_tail, le(s.tail_zero, none))), m_and(lt(none, jump), le(g->switching, none)));
        jump = sel(fresh, jump, none);
        V n = jump * sel(dear, g->f[PER_FIRST], g->f[PER]), rest = vmax(none, part - n), due = sel(in_tail, none, part - rest);
        s.tail = sel(in_tail, rest, s.tail);
        s.virgin = vmax(none, s.virgin - due);
        s.sent = s.sent + n * s.wire;
        s.now = s.now + jump * set1(SLOT);
        s.slot_at = sel(fresh, s.now, s.slot_at);
        s.theta = sel(fresh, fits, s.theta);
        pending = pending - (part - rest);
        if (bits(lt(none, s.virgin)))
            due = due + F(turn)(&s, pending, g->dirty - due, goes, 1, 1, 1);
        else if (bits(m_and(goes, lt(none, ((s.front + s.zero) + s.tail) + s.tail_zero))))
            due = due + F(turn)(&s, pending, g->dirty - due, goes, 1, 1, 0);
        else
            due = due + F(turn)(&s, pending, g->dirty - due, goes, 0, 1, 0);
        g->f[FRONT] = s.front;
        g->f[ZERO] = s.zero;
        g->f[TAIL] = s.tail;
        g->f[TAIL_ZERO] = s.tail_zero;
        g->f[SENT] = s.sent;
        g->f[THETA] = s.theta;
        g->f[NOW] = s.now;
        switched = m_and(s.over, lt(none, g->switching));
        g->f[SLOT_AT] = s.slot_at;
        g->f[SLOT_SENT] = s.slot_sent;
        now = s.now;
        const V left = due;
        /* They leave the ring in the order of the scan. */
        M whole = m_and(goes, m_and(le(g->dirty, due), lt(none, due)));
        V sum = none;
        for (size_t j = g->segments; j-- > 0;) {
            M all_of_it = m_or(whole, m_and(lt(none, due), le(g->mass[j], due)));
            V cut = sel(all_of_it, one, vmax(none, due) / vmax(g->mass[j], set1(1e-300)));
            V keeps = one - cut, gone = sel(all_of_it, g->mass[j], vmax(none, due));
            V wide = g->width[j] * cut;
            g->behind = g->behind + wide;
            if (rearms)
                for (size_t i = 0; i < k; i++) g->passed[i] = g->passed[i] + wide * g->clean[j * k + i];
            g->width[j] = g->width[j] * keeps;
            g->mass[j] = g->mass[j] * keeps;
            due = due - gone;
            sum = sum + g->mass[j];
        }
        g->dirty = sel(goes, sum, g->dirty);
        g->virgin = sel(lt(none, g->dirty), vmax(none, g->virgin - left), none);
        while (g->segments && !bits(lt(none, g->width[g->segments - 1]))) g->segments--;
        theta = s.theta;
        pending = (((s.front + s.zero) + s.tail) + s.tail_zero) + g->dirty;
    }
    M sync = m_and(m_and(alive, m_not(switched)), F(due)(pending, theta)), last = m_and(sync, le(pending, none));
    sync = m_or(sync, switched); /* for the switch to post-copy the bitmap is synced once more */
    last = m_and(last, le(theta, none)); /* nothing is left: the guest is stopped, and synced then */
    if (bits(sync)) {
        V factor = one;
        M throttled = m_and(sync, lt(none, g->throttle));
        if (throttles && bits(throttled)) {
            /* The throttled vCPU sleeps, and the sync waits for it. */
            V nap = set1(0.01) * g->throttle / (one - g->throttle);
            nap = nap * sel(lt(set1(0.98), g->throttle), set1(0.97), set1(0.5));
            g->f[NOW] = now = now + sel(m_and(throttled, m_not(switched)), nap, none);
            V rest = (one - g->throttle) * (one - g->f[LOST]) - g->f[WAKE];
            factor = sel(throttled, vmin(one, vmax(none, rest) / vmax(g->f[BUSY], set1(1e-300))), one);
        }
        V span = now - g->synced, before = g->dirty;
        V effect = sel(sync, factor * span, none);
        M push = m_and(sync, lt(none, g->behind));
        if (g->segments == SEGMENTS) {
            M merge = m_and(push, lt(none, g->width[SEGMENTS - 1]));
            if (bits(merge)) {
                V wide = g->width[0] + g->behind, share = g->width[0] / vmax(wide, set1(1e-300));
                for (size_t i = 0; i < k; i++)
                    g->clean[i] = sel(merge, g->size[i] - (g->size[i] - g->clean[i]) * share, g->clean[i]);
                g->width[0] = sel(merge, wide, g->width[0]);
                push = m_and(push, m_not(merge));
                g->behind = sel(merge, none, g->behind);
                for (size_t i = 0; i < k; i++) g->passed[i] = sel(merge, none, g->passed[i]);
            }
        }
        if (bits(push) && g->segments < SEGMENTS) g->segments++; /* what lies behind the last one has no width */
        M parted = m_and(push, lt(one, g->f[CHUNKS]));
        V ishare = one, part = one;
        if (rearms) {
            ishare = one / vmax(g->behind, set1(1e-300));
            part = one / vmax(one, g->f[CHUNKS] * g->behind);
        }
        for (size_t i = 0; i < k; i++) {
            V t = none - g->pace[i] * effect, hit = F(gone)(t, &slowed[i]);
            newest[i] = g->size[i] * slowed[i];
            if (!rearms) continue;
            V weight = vmax(none, one - g->passed[i] * g->inverse[i] * ishare);
            V late = hit - weight * (hit - F(armed)(t, hit, part));
            newest[i] = sel(parted, g->size[i] * (one - late), newest[i]);
            g->passed[i] = sel(push, none, g->passed[i]);
        }
        /* Where one is added at the front the others move up. */
        V sum = none, wide = g->behind;
        for (size_t j = 0; j < g->segments; j++) {
            V stays = none, *clean = g->clean + j * k;
            for (size_t i = 0; i < k; i++) {
                V stayed = clean[i] * slowed[i];
                V c = sel(push, newest[i], stayed);
                newest[i] = stayed;
                clean[i] = c;
                stays = stays + c;
            }
            V w = sel(push, wide, g->width[j]), m = w * vmax(none, g->all - stays);
            wide = g->width[j];
            g->width[j] = w;
            g->mass[j] = m = sel(sync, m, g->mass[j]);
            sum = sum + m;
        }
        g->behind = sel(push, none, g->behind);
        g->dirty = sel(sync, sum, g->dirty);
        V fresh = g->dirty - before;
        M cut = m_and(sync, lt(none, g->f[AHEAD]));
        if (bits(cut)) {
            V reached = sel(cut, g->f[AHEAD] * g->all, none); /* counted in the ring from now on */
            fresh = fresh - reached;
            g->f[FRONT] = vmax(none, g->f[FRONT] - reached);
            g->f[AHEAD] = sel(cut, none, g->f[AHEAD]);
            g->virgin = sel(cut, reached, g->virgin);
        }
        sync = m_and(sync, m_not(switched));
        g->syncs = g->syncs + sel(m_and(sync, m_not(last)), one, none);
        g->synced = sel(sync, now, g->synced);
        pending = sel(sync, (((g->f[FRONT] + g->f[ZERO]) + g->f[TAIL]) + g->f[TAIL_ZERO]) + g->dirty, pending);
        M settled = sync;
        if (throttles) {
            M throttling = lt(none, g->f[THROTTLING]);
            g->period_dirty = g->period_dirty + sel(sync, fresh, none);
            M period = m_and(m_and(sync, throttling), lt(g->period_at + set1(1.000000001), now));
            M much = m_and(period, lt((g->f[SENT] - g->period_sent) * g->f[TRIGGER], g->period_dirty * g->f[PAGE]));
            g->high = g->high + sel(much, one, none);
            M more = m_and(much, le(set1(2.0), g->high));
            g->high = sel(more, none, g->high);
            /* With tailslow a step is no larger than what brings the dirtied bytes down to what is allowed. */
            V allowed = (g->f[SENT] - g->period_sent) * g->f[TRIGGER] / vmax(g->period_dirty * g->f[PAGE], set1(1e-300));
            V cpu = vfloor(set1(100.0) * (one - g->throttle) + set1(0.5));
            V least_step = vmin((cpu - vfloor(cpu * allowed)) / set1(100.0), g->f[INCREMENT]);
            V step = g->throttle + sel(lt(none, g->f[TAILSLOW]), least_step, g->f[INCREMENT]);
            step = vmin(g->f[MOST], sel(lt(none, g->throttle), step, g->f[INITIAL]));
            M rises = m_and(more, lt(g->throttle, g->f[MOST]));
            g->throttle = sel(more, step, g->throttle);
            g->mark_at = sel(rises, g->syncs + set1(8.0), g->mark_at);
            g->check_at = sel(rises, g->syncs + set1(2.0), g->check_at);
            g->stretch_at = sel(rises, none, g->stretch_at);
            g->period_at = sel(period, now, g->period_at);
            g->period_sent = sel(period, g->f[SENT], g->period_sent);
            g->period_dirty = sel(period, none, g->period_dirty);
            settled = m_and(sync, m_or(m_not(throttling), le(g->f[MOST], g->throttle)));
        }
        converged = m_or(converged, m_and(sync, m_or(last, lt(pending, theta))));
        settled = m_and(settled, m_not(converged));
        if (switches) {
            M may_switch = m_and(sync, lt(none, g->f[POSTCOPY]));
            g->switching = sel(m_and(may_switch, lt(g->f[POSTCOPY], g->syncs)), one, g->switching);
            settled = m_and(settled, m_not(may_switch));
        }
        /* It goes round for ever where it comes back to where it was, with nothing left to change ... */
        M marking = m_and(settled, le(g->mark_at, g->syncs));
        if (bits(marking)) {
            M begins = m_and(marking, le(g->syncs, g->mark_at)), goes_on = m_and(marking, lt(g->mark_at, g->syncs));
            V by = pending - g->marked, late = span - g->marked_span;
            V place = now - g->f[SLOT_AT], aside = place - g->marked_place;
            M close = m_and(lt(vmax(by, none - by), set1(0.25)), lt(vmax(late, none - late), set1(1e-6)));
            close = m_and(close, lt(vmax(aside, none - aside), set1(1e-6)));
            g->hits = sel(begins, none, g->hits + sel(m_and(goes_on, close), one, none));
            g->marked = sel(begins, pending, g->marked);
            g->marked_span = sel(begins, span, g->marked_span);
            g->marked_place = sel(begins, place, g->marked_place);
            g->mark_at = sel(m_and(goes_on, le(g->mark_at + g->mark_at, g->syncs)), g->syncs + one, g->mark_at);
            never = m_or(never, m_and(marking, le(set1(3.0), g->hits)));
        }
        /* ... or where a round that leaves x pages would be followed by one that leaves more. */
        M checking = m_and(settled, le(g->check_at, g->syncs));
        if (bits(checking)) {
            V x = vsqrt(vmax(none, pending * g->f[FULL])), low = vmax(none, g->f[FULL] - g->f[PER]), rate = none;
            V first_pass = ((g->f[FRONT] + g->f[ZERO]) + g->f[TAIL]) + g->f[TAIL_ZERO];
            M paced = m_and(lt(g->f[PER], g->f[FULL]), le(g->f[PER] * g->f[AGAIN], set1(TURN)));
            V each = sel(paced, set1(SLOT) * g->f[IPER], g->f[AGAIN]), passes = vmax(none, x - low) * each;
            /* It cannot where all writes, on whatever page, and what was unsent are fewer: seen for less than the bound costs. */
            for (size_t i = 0; i < k; i++) rate = rate + g->size[i] * g->pace[i];
            M grows = m_and(m_and(checking, le(first_pass, none)), m_and(lt(g->f[FULL], x), lt(x, pending)));
            V most = rate * set1(LN2) * (passes * factor) + g->f[UNSENT] * low;
            grows = m_and(grows, m_and(le(passes, span), le(x + one, most)));
            if (bits(grows)) {
                for (int end = 0; end < 2; end++) {
                    V unsent = end ? low : sel(paced, g->f[FULL], set1(1.005) * g->f[FULL]), once, twice;
                    V sent = vmax(none, x - unsent);
                    F(written)(f, g->size, g->pace, g->f[CHUNKS], sent * each * factor, sent, &once, &twice);
                    V leaves = once + g->f[UNSENT] * unsent * ((twice - once) / vmax(once, set1(1e-9)));
                    grows = m_and(grows, le(x + one, leaves));
                }
                never = m_or(never, grows);
            }
            g->check_at = sel(checking, g->syncs + g->syncs, g->check_at);
        }
        M strained = throttles ? m_and(settled, lt(none, g->f[THROTTLING])) : mask(0u);
        if (bits(strained)) {
            /* ... or where, under the highest throttle, what is pending is no longer any less. */
            M begins = m_and(strained, le(g->stretch_at, none));
            g->stretch_at = sel(begins, g->syncs + set1(STRETCH), g->stretch_at);
            g->low = sel(begins, set1(UNLIMITED), g->low);
            g->low_before = sel(begins, none, g->low_before);
            g->low = sel(strained, vmin(g->low, pending), g->low);
            M over = m_and(strained, le(g->stretch_at, g->syncs));
            M no_less = m_and(m_and(over, lt(none, g->low_before)), le(set1(0.999) * g->low_before, g->low));
            never = m_or(never, m_and(no_less, lt(set1(1.05) * theta, g->low)));
            g->low_before = sel(over, g->low, g->low_before);
            g->low = sel(over, set1(UNLIMITED), g->low);
            g->stretch_at = sel(over, g->syncs + set1(STRETCH), g->stretch_at);
        }
        never = m_or(never, m_and(sync, lt(set1(MOST_SYNCS), g->syncs)));
    }
    g->steps = g->steps + one;
    never = m_or(never, m_and(m_and(alive, m_not(switched)), lt(set1(MOST_STEPS), g->steps)));
    never = m_and(never, m_not(converged));
    const unsigned ended = bits(m_or(m_or(converged, never), switched)) & everyone;
    g->never = m_or(g->never, never);
    g->switched = m_or(g->switched, switched);
    g->ended |= ended;
    g->live &= ~ended;
}

/* All rows: those that come in take their first steps together, and those that are left then go round in lanes that are free. */
static TARGET void F(run)(const ns_fleet *f, const ns_fleet_result *out) {
    finished d = {.have = 0};
    F(group) g, fresh; /* the rows that go round, and those that come in */
    F(pace) pace;
    int throttles = 0, switches = 0, rearms = 0;
    for (size_t i = 0; i < f->rule_count; i++) {
        throttles |= f->rules[i].fast > 0.0 && f->rules[i].throttling > 0.0;
        rearms |= f->rules[i].fast > 0.0 && f->rules[i].rearm > 0.0;
        switches |= f->rules[i].fast > 0.0 && f->rules[i].postcopy > 0.0;
    }
    const int same = f->page.step == 0 && f->line.step == 0 && f->rule == NULL;
    F(clear)(&g, f->k);
    F(clear)(&fresh, f->k);
    for (size_t next = 0;;) {
        if (d.have > BLOCK - W) {
            leave();
            hand_out(&d, out);
        }
        if (__builtin_popcount(g.live) <= W * 3 / 4 && (fresh.live || next < f->count)) {
            if (fresh.live) {
                if (g.ended) F(end)(&g, &d, NULL, 0);
                F(take)(f->k, &g, &fresh, same ? QUOTA : throttles ? 0 : WIRE, throttles, switches, rearms);
            } else {
                if (!same || next == 0) {
                    pace = F(paced)(f, next);
                    F(ruled_by)(f, &pace, next, &fresh);
                    if (next == 0) memcpy(g.f, fresh.f, QUOTA * sizeof *g.f);
                }
                F(first_pass)(f, &pace, next, &fresh, throttles, rearms);
                for (int i = 0; i < OPENING && fresh.live; i++) F(step)(f, &fresh, throttles, switches, rearms);
                if (fresh.ended) F(end)(&fresh, &d, next + W <= f->count ? out : NULL, next);
                next += W;
            }
        } else if (g.live)
            F(step)(f, &g, throttles, switches, rearms);
        else
            break;
    }
    if (g.ended) F(end)(&g, &d, NULL, 0);
    leave();
    hand_out(&d, out);
}
