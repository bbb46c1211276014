/* The pre-copy recursion: QEMU's migration loop on expected page counts, for an ensemble of guests.
 *
 * What it computes, the formulas, the domain and the sources stand at the head of precopy_py.py, the twin, whose
 * operations and their order are kept here one by one: results are equal to the last bit (built with
 * -ffp-contract=off; exp() is the C library's in both).
 *
 * Cost: for each sync one exp() per class and four operations per class and segment of the ring (one to a
 * handful); runs of equal slots are one step. State is about 20 kB of stack; no allocation, no global.
 */
#include "precopy_endless.h"

enum { CONVERGED = 0, POSTCOPY = 1, NEVER = 2 };

/* The throttle after one step more; `allowed`: of the pages that were dirtied, the share that would not have been too many. */
static double stepped(const ns_precopy_scenario *s, double throttle, double allowed) {
    if (throttle <= 0.0) return least(s->most, s->initial);
    double step = s->increment;
    if (s->tailslow > 0.0) {
        double cpu = floor(100.0 * (1.0 - throttle) + 0.5);
        step = least((cpu - floor(cpu * allowed)) / 100.0, step);
    }
    return least(s->most, throttle + step);
}

static size_t one(const ns_precopy_scenario *s, const double *classes, size_t k, const double *member,
                  const double *start, double *out, double *rounds, size_t capacity) {
    const double page = s->page, quota = s->quota, first = s->first, again = s->again, blank = s->blank;
    const double wire = s->wire, wire_again = s->wire_again, wire_zero = s->wire_zero, slot = s->slot;
    double speed = member[0], theta_factor = member[1];
    ns_precopy_start b = {s->pages, s->zero, s->tail, s->tail_zero, .syncs = 1.0};
    if (start != NULL) memcpy(&b, start, sizeof b);
    double zero = least(greatest(b.zero + member[3], 0.0), b.left);
    double tail = least(b.tail * member[2], b.left - zero);
    double tail_zero = least(b.tail_zero, zero);
    zero = zero - tail_zero;
    double front = b.left - zero - tail_zero - tail;
    double front_all = start != NULL ? b.front : front;
    double cost = wire, cached = b.cached, resent = 0, widest = b.widest;
    ring r;
    ring_start(&r, classes, k, s->chunks);
    if (start != NULL) {
        ring_begin(&r, b.behind, start + NS_PRECOPY_START_FIELDS);
        if (s->cache > 0.0 && widest > 0.0) cost = wire - (wire - wire_again) * least(1.0, cached / widest);
    }
    if (b.left > 0.0 && front_all > 0.0)
        for (size_t i = 0; i < k; i++) r.passed[i] = 1.0; /* what the first pass has sent was all unsent */
    size_t row = 0;
    double now = 0, sent = 0, round_sent = 0, last_round = 0;
    double slot_start = 0.0 - b.slot_age, synced = 0.0 - b.since, period_start = 0.0 - b.period_age;
    double slot_sent = b.slot_sent, period_sent = 0.0 - b.period_sent, period_dirty = b.period_dirty;
    double throttle = b.throttle, theta = b.theta * theta_factor;
    const int syncs_first = (int)least(b.syncs, 1e9);
    int high = (int)least(b.high, 1.0), syncs = syncs_first;
    endless e;
    endless_start(&e, syncs);
    int to_postcopy = 0, end = NEVER, ticked = 0, capped = 0;
    const int ticks = s->throttling > 0.0 && s->resync > 0.0;
    const double slot_ms = floor(slot * 1000.0 + 0.5);
    double pending = 0, tick = s->resync;
    for (int t = 0; t < NS_PRECOPY_TURNS; t++) {
        pending = front + zero + tail + tail_zero + r.dirty;
        int overdue = 0;
        if (ticks && now >= tick - 1e-9) {
            overdue = syncs > 1 && syncs == ticked;
            ticked = overdue ? syncs + 1 : syncs;
            tick = tick + s->resync;
        }
        if (overdue || pending * page < theta) {
            double factor = speed;
            if (capped) factor = speed * s->limited;
            if (throttle > 0.0) {
                double nap = 0.01 * throttle / (1.0 - throttle);
                now = now + (throttle > 0.98 ? nap * 0.97 : nap * 0.5);
                if (s->busy > 0.0)
                    factor = factor
                             * least(1.0, greatest(0.0, (1.0 - throttle) * (1.0 - s->lost) - s->wake) / s->busy);
            }
            double span = now - synced;
            double ahead = front_all > 0.0 ? least(1.0, front / front_all) : 0.0;
            double before = r.dirty;
            double fresh = ring_sync(&r, span, factor, ahead);
            if (ahead > 0.0) {
                front = greatest(0.0, front - (r.dirty - before - fresh));
                front_all = 0.0;
            }
            syncs = syncs + 1;
            last_round = span;
            synced = now;
            pending = front + zero + tail + tail_zero + r.dirty;
            period_dirty = period_dirty + fresh;
            if (now > period_start + 1.000000001) {
                if (s->throttling > 0.0 && period_dirty * page > (sent - period_sent) * s->trigger) {
                    high = high + 1;
                    if (high >= 2) {
                        high = 0;
                        if (!(throttle >= s->most || capped)) endless_changed(&e, syncs);
                        if (s->limited > 0.0)
                            capped = 1;
                        else
                            throttle = stepped(s, throttle, (sent - period_sent) * s->trigger / (period_dirty * page));
                    }
                }
                period_start = now;
                period_sent = sent;
                period_dirty = 0.0;
            }
            if (row < capacity) {
                double *at = rounds + row * NS_PRECOPY_ROUND_FIELDS;
                at[0] = now - span;
                at[1] = sent - round_sent;
                at[2] = fresh;
                at[3] = pending;
                at[4] = throttle;
                row++;
            }
            round_sent = sent;
            if (s->cache > 0.0) {
                widest = greatest(widest, r.dirty);
                cached = least(s->cache, cached + resent * (cost - wire_again) / (wire - wire_again));
                resent = 0.0;
                cost = widest > 0.0 ? wire - (wire - wire_again) * least(1.0, cached / widest) : wire;
            }
            if (!overdue && pending * page < theta) {
                end = CONVERGED;
                break;
            }
            if (s->postcopy > 0.0 && (double)syncs > s->postcopy) to_postcopy = 1;
            /* With nothing left to change, and no switch to post-copy to come, it may go round for ever. */
            if (s->postcopy <= 0.0 && (s->throttling <= 0.0 || throttle >= s->most || capped)) {
                const int bound = !ticks && s->cache <= 0.0 && front + zero + tail + tail_zero <= 0.0;
                if (endless_seen(&e, s, &r, syncs, pending, span, theta, theta_factor, factor, bound)) break;
            }
            if (!to_postcopy && syncs - syncs_first >= NS_PRECOPY_SYNCS) break;
        }
        /* A run of equal full slots, of whichever kind of page, by the threshold that they give. */
        if (now == slot_start && slot_sent == 0.0 && !to_postcopy) {
            double part, size, per;
            if (front > 0.0 || (zero <= 0.0 && tail > 0.0)) {
                part = front > 0.0 ? front : tail;
                size = wire;
                per = slot / first;
            } else if (zero + tail_zero > 0.0) {
                part = zero > 0.0 ? zero : tail_zero;
                size = wire_zero;
                per = slot / blank;
            } else {
                part = r.dirty;
                size = cost;
                per = slot / again;
            }
            if (quota > 0.0) per = least(per, quota / size);
            double full = (s->switchover > 0.0 ? s->switchover : per * size / slot_ms) * (s->downtime * 1000.0) * theta_factor;
            double jump = floor(least(pending - full / page, part) / per);
            if (ticks && syncs > 1) jump = least(jump, ceil((tick - 1e-9 - now) / slot) - 1.0);
            if (jump > 0.0 && theta <= full * 1.000000001) {
                double n = jump * per;
                if (front > 0.0) {
                    front = greatest(0.0, front - n);
                } else if (zero > 0.0) {
                    zero = greatest(0.0, zero - n);
                } else if (tail > 0.0) {
                    tail = greatest(0.0, tail - n);
                } else if (tail_zero > 0.0) {
                    tail_zero = greatest(0.0, tail_zero - n);
                } else {
                    ring_send(&r, n);
                    resent = resent + n;
                }
                sent = sent + n * size;
                now = now + jump * slot;
                slot_start = now;
                theta = full;
                if (ticks && tick <= now) tick = tick + s->resync * floor((now - tick) / s->resync);
            }
        }
        double budget = quota > 0.0 ? greatest(0.0, quota - slot_sent) : 1e300;
        double left = s->turn;
        double n = least(least(front, budget / wire), left / first);
        front = front - n;
        double used = n * wire;
        left = left - n * first;
        if (front <= 0.0) {
            n = least(least(zero, greatest(0.0, (budget - used) / wire_zero)), greatest(0.0, left / blank));
            zero = zero - n;
            used = used + n * wire_zero;
            left = left - n * blank;
            if (zero <= 0.0) {
                n = least(least(tail, greatest(0.0, (budget - used) / wire)), greatest(0.0, left / first));
                tail = tail - n;
                used = used + n * wire;
                left = left - n * first;
                if (tail <= 0.0) {
                    n = least(least(tail_zero, greatest(0.0, (budget - used) / wire_zero)),
                              greatest(0.0, left / blank));
                    tail_zero = tail_zero - n;
                    used = used + n * wire_zero;
                    left = left - n * blank;
                    if (tail_zero <= 0.0 && r.dirty > 0.0) {
                        n = least(least(r.dirty, greatest(0.0, (budget - used) / cost)),
                                  greatest(0.0, left / again));
                        if (n > 0.0) {
                            ring_send(&r, n);
                            resent = resent + n;
                        }
                        used = used + n * cost;
                        left = left - n * again;
                    }
                }
            }
        }
        now = now + (s->turn - left);
        sent = sent + used;
        slot_sent = slot_sent + used;
        if (quota > 0.0 && slot_sent >= quota * 0.9999999 && now < slot_start + slot) {
            now = slot_start + slot;
        } else if (used <= 0.0) {
            now = now + 0.001;
        }
        if (now >= slot_start + slot - 1e-9) {
            double spent = floor((now - slot_start) * 1000.0 + 0.5);
            theta = (s->switchover > 0.0 ? s->switchover : slot_sent / spent) * (s->downtime * 1000.0) * theta_factor;
            slot_start = now;
            const int still = slot_sent <= 0.0 && theta <= 0.0 && syncs == syncs_first;
            slot_sent = 0.0;
            if (to_postcopy) {
                end = POSTCOPY;
                break;
            }
            if (still && front + zero + tail + tail_zero + r.dirty <= 0.0 && !(ticks && syncs > 1)) break;
        }
    }
    double dirty = r.dirty, untouched = front + tail, zeros = zero + tail_zero, pause = s->device, total = now;
    if (end == CONVERGED) {
        pause = s->device + (untouched * first + zeros * blank + dirty * again);
        total = now + pause;
        sent = sent + (untouched * wire + zeros * wire_zero + dirty * cost);
    } else if (end == POSTCOPY) {
        pause = s->device * NS_POSTCOPY_SWITCH;
        total = now + pause + (untouched * first + zeros * blank + dirty * (NS_POSTCOPY_ASKED * again));
        sent = sent + (untouched * wire + zeros * wire_zero + dirty * wire);
    }
    out[0] = end;
    out[1] = total;
    out[2] = pause;
    out[3] = sent;
    out[4] = syncs;
    out[5] = throttle;
    out[6] = pending;
    out[7] = last_round;
    return row;
}

size_t ns_precopy_run(const ns_precopy_scenario *s, const double *classes, size_t k, const double *members,
                      size_t count, const double *start, size_t starts, double *out, double *rounds,
                      size_t capacity) {
    size_t recorded = 0;
    for (size_t m = 0; m < count; m++) {
        const double *row = starts == 0 ? NULL : start + (starts == 1 ? 0 : m * (NS_PRECOPY_START_FIELDS + k));
        size_t rows = (s->family > 0.0 ? ns_precopy_rounds : one)(
            s, classes, k, members + m * NS_PRECOPY_MEMBER_FIELDS, row, out + m * NS_PRECOPY_OUT_FIELDS,
                          rounds, m == 0 ? capacity : 0);
        if (m == 0) recorded = rows;
    }
    return recorded;
}
