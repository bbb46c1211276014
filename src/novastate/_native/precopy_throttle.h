/* The throttle of the pre-copy kernel: auto-converge, and the limit of writes that takes its place. See throttle_py.py, the twin. */
#ifndef NOVASTATE_PRECOPY_THROTTLE_H
#define NOVASTATE_PRECOPY_THROTTLE_H
#include "precopy_fields.h"

/* `share` of vCPU time that is taken, or `capped` writes; and the period that is being looked at. */
typedef struct {
    double share, period_start, period_sent, period_dirty;
    int capped, high;
} throttle;

static void throttle_start(throttle *t, const ns_precopy_start *b) {
    *t = (throttle){
        .share = b->throttle,
        .high = (int)least(b->high, 1.0),
        .period_start = 0.0 - b->period_age,
        .period_sent = 0.0 - b->period_sent,
        .period_dirty = b->period_dirty,
    };
}

/* Whether it will not change any more. */
static inline int throttle_settled(const throttle *t, const ns_precopy_scenario *s) {
    return s->throttling <= 0.0 || t->share >= s->most || t->capped;
}

/* Seconds that a sync waits for the throttled vCPU's sleep. */
static inline double throttle_nap(const throttle *t) {
    double nap = 0.01 * t->share / (1.0 - t->share);
    return t->share > 0.98 ? nap * 0.97 : nap * 0.5;
}

/* The factor of the write rates, from that without a throttle. */
static inline double throttle_slowed(const throttle *t, const ns_precopy_scenario *s, double speed) {
    if (t->capped) speed = speed * s->limited;
    if (t->share > 0.0 && s->busy > 0.0)
        speed = speed * least(1.0, greatest(0.0, (1.0 - t->share) * (1.0 - s->lost) - s->wake) / s->busy);
    return speed;
}

/* The throttle after one step more; `allowed`: of the pages dirtied, the share that would not have been too many. */
static inline double throttle_stepped(const throttle *t, const ns_precopy_scenario *s, double allowed) {
    if (t->share <= 0.0) return least(s->most, s->initial);
    double step = s->increment;
    if (s->tailslow > 0.0) {
        double cpu = floor(100.0 * (1.0 - t->share) + 0.5);
        step = least((cpu - floor(cpu * allowed)) / 100.0, step);
    }
    return least(s->most, t->share + step);
}

/* A sync has found `fresh` pages newly dirty, `sent` bytes having been sent in all: whether a throttle not settled rises. */
static int throttle_look(throttle *t, const ns_precopy_scenario *s, double now, double sent, double fresh) {
    t->period_dirty = t->period_dirty + fresh;
    if (now <= t->period_start + 1.000000001) return 0;
    const double dirtied = t->period_dirty * s->page, allowed = (sent - t->period_sent) * s->trigger;
    t->period_start = now;
    t->period_sent = sent;
    t->period_dirty = 0.0;
    if (s->throttling <= 0.0 || dirtied <= allowed) return 0;
    t->high = t->high + 1;
    if (t->high < 2) return 0;
    t->high = 0;
    const int rises = !throttle_settled(t, s);
    if (s->limited > 0.0)
        t->capped = 1;
    else
        t->share = throttle_stepped(t, s, allowed / dirtied);
    return rises;
}
#endif
