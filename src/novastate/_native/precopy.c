/* The pre-copy recursion: QEMU's migration loop on expected page counts, for an ensemble of guests.
 *
 * What it computes, the formulas, the domain and the sources stand at the head of precopy_py.py, the twin, whose
 * operations and their order are kept here one by one: results are equal to the last bit (built with
 * -ffp-contract=off; exp() is the C library's in both).
 *
 * Cost: for each sync one exp() per class and four operations per class and segment of the ring (one to a
 * handful); runs of equal slots are one step. State is about 20 kB of stack; no allocation, no global.
 */
#include "precopy.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { STRETCH = 32 };
enum { SEGMENTS = NS_PRECOPY_SEGMENTS, CLASSES = NS_PRECOPY_MAX_CLASSES };

static inline double least(double a, double b) { return b < a ? b : a; } /* Python's min(a, b) */
static inline double greatest(double a, double b) { return b > a ? b : a; }

/* What is unsent. The segments are [head, head + n) of the arrays; send() pops at the head, sync() pushes. */
typedef struct {
    size_t k, head, n;
    double chunks, size[CLASSES], rate[CLASSES], held[CLASSES], passed[CLASSES];
    int ordered[CLASSES];
    double width[2 * SEGMENTS], mass[2 * SEGMENTS];
    double dens[2 * SEGMENTS][CLASSES];
    double behind, dirty;
} ring;

static void ring_start(ring *r, const double *classes, size_t k, double chunks) {
    r->k = k;
    r->chunks = chunks;
    r->head = r->n = 0;
    for (size_t i = 0; i < k; i++) {
        r->size[i] = classes[3 * i];
        r->rate[i] = classes[3 * i + 1];
        r->ordered[i] = classes[3 * i + 2] > 0.0;
        r->held[i] = r->passed[i] = 0.0;
    }
    r->behind = 1.0;
    r->dirty = 0.0;
}

static void ring_push(ring *r, double width, double dens) {
    if (r->head + r->n == 2 * SEGMENTS) { /* at most SEGMENTS live: move them to the front */
        memmove(r->width, r->width + r->head, r->n * sizeof *r->width);
        memmove(r->mass, r->mass + r->head, r->n * sizeof *r->mass);
        memmove(r->dens, r->dens + r->head, r->n * sizeof *r->dens);
        r->head = 0;
    }
    size_t at = r->head + r->n++;
    r->width[at] = width;
    r->mass[at] = 0.0;
    for (size_t i = 0; i < r->k; i++) r->dens[at][i] = dens;
}

static void ring_sum(ring *r) {
    double dirty = 0.0;
    for (size_t j = r->head; j < r->head + r->n; j++) dirty = dirty + r->mass[j];
    for (size_t i = 0; i < r->k; i++) dirty = dirty + r->held[i];
    r->dirty = dirty;
}

static void ring_begin(ring *r, double behind, const double *held) {
    behind = least(greatest(behind, 0.0), 1.0);
    for (size_t i = 0; i < r->k; i++) {
        double n = r->size[i];
        if (n <= 0.0) continue;
        if (r->ordered[i])
            r->held[i] = least(held[i], n);
        else
            behind = least(behind, 1.0 - least(held[i] / n, 1.0));
    }
    double width = 1.0 - behind;
    if (width > 0.0) {
        ring_push(r, width, 0.0);
        double mass = 0.0;
        for (size_t i = 0; i < r->k; i++) {
            double n = r->size[i];
            if (n > 0.0 && !r->ordered[i]) {
                r->dens[0][i] = least(least(held[i] / n, 1.0) / width, 1.0);
                mass = mass + n * width * r->dens[0][i];
            }
        }
        r->mass[0] = mass;
        r->behind = behind;
        for (size_t i = 0; i < r->k; i++) r->passed[i] = behind * r->dens[0][i];
    }
    ring_sum(r);
}

static double ring_sync(ring *r, double span, double factor, double ahead) {
    if (ahead > 0.0 && r->n == 0 && r->behind > 0.0) {
        ring_push(r, ahead, 1.0);
        for (size_t i = 0; i < r->k; i++)
            if (r->ordered[i]) r->dens[r->head][i] = 0.0; /* these keep a plain count */
        r->behind = r->behind - ahead;
    }
    size_t fresh_at = SIZE_MAX; /* the segment of what was passed since the last sync */
    const double share = r->behind;
    if (r->behind > 0.0) {
        if (r->n == SEGMENTS) {
            size_t last = r->head + r->n - 1;
            double old = r->width[last];
            r->width[last] = old + r->behind;
            for (size_t i = 0; i < r->k; i++) r->dens[last][i] = r->dens[last][i] * (old / r->width[last]);
        } else {
            ring_push(r, r->behind, 0.0);
            fresh_at = r->head + r->n - 1;
        }
        r->behind = 0.0;
    }
    double fresh_all = 0.0;
    size_t end = r->head + r->n;
    for (size_t j = r->head; j < end; j++) r->mass[j] = 0.0;
    for (size_t i = 0; i < r->k; i++) {
        double n = r->size[i];
        if (n <= 0.0) continue;
        if (r->ordered[i]) {
            double fresh = least(r->rate[i] * factor * span, n - r->held[i]);
            if (r->chunks > 1.0 && r->passed[i] > 0.0)
                fresh = fresh * (1.0 - r->passed[i] * (0.5 - 0.5 / r->chunks));
            r->passed[i] = 0.0;
            r->held[i] = r->held[i] + fresh;
            fresh_all = fresh_all + fresh;
            continue;
        }
        double hit = 1.0 - exp(-r->rate[i] * factor * span / n), late = hit;
        if (r->chunks > 1.0 && share > 0.0 && r->passed[i] > 0.0 && hit > 0.0) {
            double parts = greatest(1.0, r->chunks * share);
            double step = -expm1(-r->rate[i] * factor * span / n / parts);
            double armed = 1.0 - (1.0 - step) * hit / (parts * step);
            late = hit - least(1.0, r->passed[i] / share) * (hit - least(hit, greatest(0.0, armed)));
        }
        r->passed[i] = 0.0;
        for (size_t j = r->head; j < end; j++) {
            double dens = r->dens[j][i];
            double fresh = (1.0 - dens) * (j == fresh_at ? late : hit);
            dens = dens + fresh;
            r->dens[j][i] = dens;
            r->mass[j] = r->mass[j] + n * r->width[j] * dens;
            fresh_all = fresh_all + n * r->width[j] * fresh;
        }
    }
    ring_sum(r);
    return fresh_all;
}

static void ring_send(ring *r, double n) {
    double share = r->dirty > 0.0 ? n / r->dirty : 1.0;
    share = least(share, 1.0);
    double due = n;
    for (size_t i = 0; i < r->k; i++) {
        due = due - r->held[i] * share;
        r->held[i] = r->held[i] * (1.0 - share);
    }
    while (r->n) {
        size_t j = r->head;
        if (share < 1.0 && r->mass[j] > due) {
            double part = due > 0.0 ? due / r->mass[j] : 0.0;
            for (size_t i = 0; i < r->k; i++) r->passed[i] = r->passed[i] + r->width[j] * part * r->dens[j][i];
            r->behind = r->behind + r->width[j] * part;
            r->width[j] = r->width[j] * (1.0 - part);
            r->mass[j] = r->mass[j] * (1.0 - part);
            break;
        }
        due = due - r->mass[j];
        for (size_t i = 0; i < r->k; i++) r->passed[i] = r->passed[i] + r->width[j] * r->dens[j][i];
        r->behind = r->behind + r->width[j];
        r->head++;
        r->n--;
    }
    ring_sum(r);
}

/* Whether it goes round for ever: see outgrows() in ring_py.py. */
static int outgrows(const ns_precopy_scenario *s, const ring *r, double theta_factor, double factor, double pending,
                    double span) {
    double per = s->slot / s->again;
    if (s->quota > 0.0) per = least(per, s->quota / s->wire);
    const double ms = floor(s->slot * 1000.0 + 0.5);
    const double full = (s->switchover > 0.0 ? s->switchover : per * s->wire / ms) * (s->downtime * 1000.0) * theta_factor
                        / s->page;
    const double x = sqrt(pending * full);
    if (!(full < x && x < pending)) return 0;
    const int paced = per < full && per * s->again <= s->turn && s->quota > 0.0 && per * s->wire >= s->quota * 0.9999999;
    const double each = paced ? s->slot / per : s->again;
    for (int end = 0; end < 2; end++) {
        double unsent = end ? greatest(0.0, full - per) : paced ? full : 1.005 * full;
        double passes = greatest(0.0, x - unsent) * each;
        if (passes > span) return 0;
        double once = 0.0, twice = 0.0;
        int simple = r->chunks <= 1.0;
        double lost[CLASSES] = {0.0};
        for (size_t i = 0; i < r->k; i++) {
            double n = r->size[i];
            if (n <= 0.0) continue;
            double written = r->rate[i] * factor * passes;
            if (r->ordered[i]) {
                once = once + least(written, n);
                simple = 0;
                continue;
            }
            double hit = 1.0 - exp(-written / n), late = hit;
            if (r->chunks > 1.0 && hit > 0.0) {
                double step = -expm1(-written / n / r->chunks);
                double armed = 1.0 - (1.0 - step) * hit / (r->chunks * step);
                late = least(hit, greatest(0.0, armed));
            }
            lost[i] = hit - late;
            once = once + n * hit;
            twice = twice + n * (1.0 - (1.0 - hit) * (1.0 - hit));
        }
        double leaves = once;
        if (r->chunks > 1.0) {
            double fewest = 0.0;
            for (size_t i = 0; i < r->k; i++) fewest = fewest + r->size[i] * lost[i];
            for (size_t l = 0; l < r->k; l++) {
                double found = lost[l] * greatest(0.0, x - unsent);
                for (size_t i = 0; i < r->k; i++) found = found + r->size[i] * greatest(0.0, lost[i] - lost[l]);
                fewest = least(fewest, found);
            }
            leaves = leaves - fewest;
        }
        if (simple && once > 0.0) leaves = leaves + unsent * ((twice - once) / once);
        if (!(leaves >= x + 1.0)) return 0;
    }
    return 1;
}

enum { CONVERGED = 0, POSTCOPY = 1, NEVER = 2 };

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
    double now = 0, sent = 0, round_sent = 0, last_round = 0, marked = 0, marked_span = 0;
    double slot_start = 0.0 - b.slot_age, synced = 0.0 - b.since, period_start = 0.0 - b.period_age;
    double slot_sent = b.slot_sent, period_sent = 0.0 - b.period_sent, period_dirty = b.period_dirty;
    double throttle = b.throttle, theta = b.theta * theta_factor;
    const int syncs_first = (int)least(b.syncs, 1e9);
    int high = (int)least(b.high, 1.0), syncs = syncs_first, mark_at = syncs + 7;
    int check_at = syncs + 3, gap = 4, stretch_at = 0;
    double low = 1e300, low_before = 0.0;
    int hits = 0, to_postcopy = 0, end = NEVER, ticked = 0, capped = 0;
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
                        if (!(throttle >= s->most || capped)) {
                            mark_at = syncs + 8;
                            check_at = syncs + 2;
                            stretch_at = 0;
                        }
                        if (s->limited > 0.0) {
                            capped = 1;
                        } else if (throttle > 0.0) {
                            double step = s->increment;
                            if (s->tailslow > 0.0) {
                                double cpu = floor(100.0 * (1.0 - throttle) + 0.5);
                                double ideal =
                                    floor(cpu * ((sent - period_sent) * s->trigger / (period_dirty * page)));
                                step = least((cpu - ideal) / 100.0, step);
                            }
                            throttle = least(s->most, throttle + step);
                        } else {
                            throttle = least(s->most, s->initial);
                        }
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
            if (s->throttling <= 0.0 || throttle >= s->most || capped) {
                if (syncs == mark_at) {
                    marked = pending;
                    marked_span = span;
                    hits = 0;
                } else if (syncs > mark_at) {
                    if (fabs(pending - marked) < 0.25 && fabs(span - marked_span) < 1e-6) hits = hits + 1;
                    if (syncs >= 2 * mark_at) mark_at = syncs + 1;
                }
                if (syncs >= check_at) {
                    check_at = syncs + gap;
                    gap = gap + gap;
                    const int plain = !ticks && s->cache <= 0.0 && s->postcopy <= 0.0 && front + zero + tail + tail_zero <= 0.0;
                    if (plain && outgrows(s, &r, theta_factor, factor, pending, span)) break;
                }
                if (s->throttling > 0.0) {
                    if (stretch_at == 0) {
                        stretch_at = syncs + STRETCH;
                        low = 1e300;
                        low_before = 0.0;
                    }
                    low = least(low, pending);
                    if (syncs >= stretch_at) {
                        if (low_before > 0.0 && low >= 0.999 * low_before && low * page > 1.05 * theta && s->postcopy <= 0.0)
                            break;
                        low_before = low;
                        low = 1e300;
                        stretch_at = syncs + STRETCH;
                    }
                }
            }
            if (!to_postcopy && (hits >= 3 || syncs - syncs_first >= NS_PRECOPY_SYNCS)) break;
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
