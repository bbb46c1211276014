/* Whether a migration goes round for ever. See endless_py.py, the twin, which says by what it is known. */
#ifndef NOVASTATE_PRECOPY_ENDLESS_H
#define NOVASTATE_PRECOPY_ENDLESS_H
#include "precopy_ring.h"

/* The fewest pages that a round of `lasts` s leaves, in which `sent` pages were sent and `unsent` were not. */
static double least_left(const ring *r, double speed, double lasts, double sent, double unsent) {
    double once = 0.0, twice = 0.0, lost[CLASSES] = {0.0};
    int simple = r->chunks <= 1.0;
    for (size_t i = 0; i < r->k; i++) {
        double n = r->size[i];
        if (n <= 0.0) continue;
        double written = r->rate[i] * speed * lasts;
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
        double most = 0.0;
        for (size_t i = 0; i < r->k; i++) most = most + r->size[i] * lost[i];
        for (size_t l = 0; l < r->k; l++) {
            double found = lost[l] * sent;
            for (size_t i = 0; i < r->k; i++) found = found + r->size[i] * greatest(0.0, lost[i] - lost[l]);
            most = least(most, found);
        }
        leaves = leaves - most;
    }
    if (simple && once > 0.0) leaves = leaves + unsent * ((twice - once) / once);
    return leaves;
}

/* Whether every round is followed by one that leaves more. */
static int outgrows(const ns_precopy_scenario *s, const ring *r, double theta_factor, double speed, double pending,
                    double span) {
    const double per = slot_pages(s, s->wire, s->again);
    const double full = threshold(s, per * s->wire / whole_ms(s->slot), theta_factor) / s->page;
    const double x = sqrt(pending * full);
    if (!(full < x && x < pending)) return 0;
    const int paced = per < full && per * s->again <= s->turn && s->quota > 0.0 && per * s->wire >= s->quota * 0.9999999;
    const double each = paced ? s->slot / per : s->again;
    const double cut[2] = {paced ? full : 1.005 * full, greatest(0.0, full - per)};
    for (int end = 0; end < 2; end++) {
        const double sent = greatest(0.0, x - cut[end]), lasts = sent * each;
        if (lasts > span || !(least_left(r, speed, lasts, sent, cut[end]) >= x + 1.0)) return 0;
    }
    return 1;
}

enum { STRETCH = 32 };
#define NONE_YET 1e300

/* What was seen of the syncs so far. */
typedef struct {
    int before, mark_at, hits, check_at, stretch_at;
    double marked, marked_span, marked_place, marked_at, low, low_before;
} endless;

static void endless_start(endless *e, int syncs) {
    *e = (endless){.before = syncs - 1, .mark_at = syncs + 7, .check_at = syncs + 3, .low = NONE_YET};
}

/* The throttle has risen at this sync: what was seen before counts no more. */
static void endless_changed(endless *e, int syncs) {
    e->mark_at = syncs + 8;
    e->check_at = syncs + 2;
    e->stretch_at = 0;
}

/* Whether it comes back to where it was. */
static int endless_alike(endless *e, int syncs, double pending, double span, double place, double at) {
    if (syncs == e->mark_at) {
        e->marked = pending;
        e->marked_span = span;
        e->marked_place = place;
        e->marked_at = at;
        e->hits = 0;
    } else if (syncs > e->mark_at) {
        const int same_time = fabs(span - e->marked_span) < 1e-6 && fabs(place - e->marked_place) < 1e-6;
        if (same_time && fabs(pending - e->marked) < 0.25 && fabs(at - e->marked_at) < 0.25) e->hits = e->hits + 1;
        if (syncs >= 2 * e->mark_at) e->mark_at = syncs + 1;
    }
    return e->hits >= 3;
}

/* Whether, under the highest throttle, what is pending is no longer any less. */
static int endless_no_less(endless *e, const ns_precopy_scenario *s, int syncs, double pending, double theta) {
    if (e->stretch_at == 0) {
        e->stretch_at = syncs + STRETCH;
        e->low = NONE_YET;
        e->low_before = 0.0;
    }
    e->low = least(e->low, pending);
    if (syncs < e->stretch_at) return 0;
    if (e->low_before > 0.0 && e->low >= 0.999 * e->low_before && e->low * s->page > 1.05 * theta) return 1;
    e->low_before = e->low;
    e->low = NONE_YET;
    e->stretch_at = syncs + STRETCH;
    return 0;
}

/* Whether it goes round for ever, by one sync more with nothing left to change; `plain`: all rounds are as outgrows() needs
 * them. */
static int endless_seen(endless *e, const ns_precopy_scenario *s, int syncs, const ring *r, double pending, double span,
                        double place, double theta, double theta_factor, double speed, int plain) {
    if (endless_alike(e, syncs, pending, span, place, ring_place(r))) return 1;
    if (syncs >= e->check_at) {
        e->check_at = syncs + (syncs - e->before);
        if (plain && outgrows(s, r, theta_factor, speed, pending, span)) return 1;
    }
    return s->throttling > 0.0 && endless_no_less(e, s, syncs, pending, theta);
}
#endif
