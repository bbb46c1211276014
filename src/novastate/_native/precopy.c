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
#include "precopy_throttle.h"

enum { GOES_ON = -1, CONVERGED = 0, POSTCOPY = 1, NEVER = 2 };
enum { FRONT, ZERO, TAIL, TAIL_ZERO, KINDS };

/* One member's migration, somewhere on its way: what is unsent, the clock and the slot, and what the rules remember. */
typedef struct {
    const ns_precopy_scenario *s;
    double speed, theta_factor;
    double unsent[KINDS], wire[KINDS], each[KINDS], front_all; /* by the first pass, in its order */
    ring r;
    double virgin, cost, takes, resent, cached, widest;
    double now, sent, slot_start, slot_sent, theta, pending, dense;
    int syncs, over; /* ... rounds that have come to their end in this run */
    double synced, last_round;
    throttle t;
    endless e;
    int to_postcopy, ticks, ticked;
    double tick, round_sent, *rounds;
    size_t row, capacity;
} migration;

static inline double first_pass(const migration *m) {
    return m->unsent[FRONT] + m->unsent[ZERO] + m->unsent[TAIL] + m->unsent[TAIL_ZERO];
}

static inline double all_unsent(const migration *m) { return first_pass(m) + m->r.dirty; }

/* Bytes below which a look finds less than the threshold: of huge pages, looks come once in so many bytes. */
static inline double bound(const migration *m, double theta) {
    const double each = m->s->lag * m->dense;
    return each > m->s->page ? each * floor(theta / each) : theta;
}

/* What a dirty page costs with so many of them in the cache. */
static void cheapen(migration *m) {
    const ns_precopy_scenario *s = m->s;
    const double share = m->widest > 0.0 ? least(1.0, m->cached / m->widest) : 0.0;
    m->cost = s->wire - (s->wire - s->wire_again) * share;
    m->takes = s->again - (s->again - s->delta) * share;
}

static void begin(migration *m, const ns_precopy_scenario *s, const double *classes, size_t k, const double *member,
                  const double *start, double *rounds, size_t capacity) {
    ns_precopy_start b = {s->pages, s->zero, s->tail, s->tail_zero, .syncs = 1.0};
    if (start != NULL) memcpy(&b, start, sizeof b);
    m->s = s;
    m->speed = member[0];
    m->theta_factor = member[1];
    const double all_zero = least(greatest(b.zero + member[3], 0.0), b.left);
    const double tail = least(b.tail * member[2], b.left - all_zero);
    const double tail_zero = least(b.tail_zero, all_zero);
    const double zero = all_zero - tail_zero;
    const double front = greatest(0.0, b.left - zero - tail_zero - tail);
    m->unsent[FRONT] = front;
    m->unsent[ZERO] = zero;
    m->unsent[TAIL] = tail;
    m->unsent[TAIL_ZERO] = tail_zero;
    m->wire[FRONT] = m->wire[TAIL] = s->wire;
    m->wire[ZERO] = m->wire[TAIL_ZERO] = s->wire_zero;
    m->each[FRONT] = m->each[TAIL] = s->first;
    m->each[ZERO] = m->each[TAIL_ZERO] = s->blank;
    m->front_all = start != NULL ? b.front : front;
    m->virgin = 0.0;
    m->cost = s->wire;
    m->takes = s->again;
    m->resent = 0.0;
    m->cached = b.cached;
    m->widest = b.widest;
    ring_start(&m->r, classes, k, s->chunks, s->phase);
    if (start != NULL) {
        ring_begin(&m->r, b.behind, start + NS_PRECOPY_START_FIELDS);
        if (s->cache > 0.0) cheapen(m);
    }
    if (b.left > 0.0 && m->front_all > 0.0) ring_arm(&m->r); /* what the first pass has sent was all unsent */
    m->now = m->sent = 0.0;
    m->slot_start = 0.0 - b.slot_age;
    m->slot_sent = b.slot_sent;
    m->theta = b.theta * m->theta_factor;
    m->pending = 0.0;
    m->dense = start != NULL ? least(1.0, all_unsent(m) / greatest(1.0, s->pages)) : 1.0;
    m->syncs = (int)least(b.syncs, 1e9);
    m->over = 0;
    m->synced = 0.0 - b.since;
    m->last_round = 0.0;
    throttle_start(&m->t, &b);
    endless_start(&m->e, m->syncs);
    m->to_postcopy = 0;
    m->ticks = s->throttling > 0.0 && s->resync > 0.0;
    m->tick = s->resync;
    m->ticked = 0;
    m->rounds = rounds;
    m->capacity = capacity;
    m->row = 0;
    m->round_sent = 0.0;
}

/* It is looked whether the round lasts too long: whether it does. */
static int overdue(migration *m) {
    const int late = m->syncs > 1 && m->syncs == m->ticked;
    m->ticked = late ? m->syncs + 1 : m->syncs;
    m->tick = m->tick + m->s->resync;
    return late;
}

/* Pages newly dirtied in the `span` s since the last sync, which are unsent from now on. */
static double dirtied(migration *m, double span, double speed) {
    if (m->front_all <= 0.0) return ring_sync(&m->r, span, speed, 0.0);
    const double ahead = least(1.0, m->unsent[FRONT] / m->front_all), before = m->r.dirty;
    const double fresh = ring_sync(&m->r, span, speed, ahead);
    if (ahead > 0.0) {
        m->virgin = m->r.dirty - before - fresh;
        m->unsent[FRONT] = greatest(0.0, m->unsent[FRONT] - m->virgin);
        m->front_all = 0.0;
    }
    return fresh;
}

static void record(migration *m, double span, double fresh) {
    if (m->row < m->capacity) {
        double *at = m->rounds + m->row * NS_PRECOPY_ROUND_FIELDS;
        at[0] = m->now - span;
        at[1] = m->sent - m->round_sent;
        at[2] = fresh;
        at[3] = m->pending;
        at[4] = m->t.share;
        m->row++;
    }
    m->round_sent = m->sent;
}

/* Sent again once, a page is in the cache of XBZRLE: only then is it sent as a difference. */
static void fill_cache(migration *m) {
    const double wire = m->s->wire, again = m->s->wire_again;
    m->widest = greatest(m->widest, m->r.dirty);
    m->cached = least(m->s->cache, m->cached + m->resent * (m->cost - again) / (wire - again));
    m->resent = 0.0;
    cheapen(m);
}

/* Syncs the dirty bitmap: how the migration ends, where it does; `last`: the guest is stopped for it. */
static int synced(migration *m, int late, int last) {
    const ns_precopy_scenario *s = m->s;
    const double speed = throttle_slowed(&m->t, s, m->speed);
    if (m->t.share > 0.0) m->now = m->now + throttle_nap(&m->t);
    const double span = m->now - m->synced, fresh = dirtied(m, span, speed);
    if (!last) m->syncs = m->syncs + 1;
    if (!late) m->over = m->over + 1;
    m->last_round = span;
    m->synced = m->now;
    m->pending = all_unsent(m);
    m->dense = least(1.0, m->pending / greatest(1.0, s->pages));
    if (throttle_look(&m->t, s, m->now, m->sent, fresh)) endless_changed(&m->e, m->syncs);
    record(m, span, fresh);
    if (s->cache > 0.0) fill_cache(m);
    if (last || (!late && m->pending * s->page < m->theta)) return CONVERGED;
    if (s->postcopy > 0.0 && (double)m->syncs > s->postcopy) m->to_postcopy = 1;
    /* With nothing left to change, and no switch to post-copy to come, it may go round for ever. */
    if (s->postcopy <= 0.0 && throttle_settled(&m->t, s)) {
        const int plain = !m->ticks && s->cache <= 0.0 && s->lag <= 0.0 && first_pass(m) <= 0.0;
        if (endless_seen(&m->e, s, m->syncs, &m->r, m->pending, span, m->now - m->slot_start, m->theta, m->theta_factor, speed,
                         plain))
            return NEVER;
    }
    return !m->to_postcopy && m->over >= NS_PRECOPY_SYNCS ? NEVER : GOES_ON;
}

/* `n` pages leave the ring, those first that were never sent. */
static void resend(migration *m, double n) {
    ring_send(&m->r, n);
    m->resent = m->resent + n;
    m->virgin = m->r.dirty > 0.0 ? greatest(0.0, m->virgin - n) : 0.0;
}

/* Takes a run of equal full slots in one step, of whichever kind of page, by the threshold that they give. */
static void full_slots(migration *m) {
    const ns_precopy_scenario *s = m->s;
    int at = 0;
    while (at < KINDS && !(m->unsent[at] > 0.0)) at++;
    double part = m->r.dirty, wire = m->cost, each = m->takes;
    if (at < KINDS) {
        part = m->unsent[at];
        wire = m->wire[at];
        each = m->each[at];
    } else if (m->virgin > 0.0) {
        part = m->virgin;
        wire = s->wire;
        each = s->first;
    }
    const double per = slot_pages(s, wire, each);
    const double full = threshold(s, per * wire / whole_ms(s->slot), m->theta_factor);
    double slots = floor(least(m->pending - bound(m, full) / s->page, part) / per);
    if (m->ticks && m->syncs > 1) slots = least(slots, ceil((m->tick - 1e-9 - m->now) / s->slot) - 1.0);
    if (slots <= 0.0 || m->theta > full * 1.000000001) return;
    const double n = slots * per;
    if (at < KINDS) {
        m->unsent[at] = greatest(0.0, part - n);
    } else {
        resend(m, n);
    }
    m->sent = m->sent + n * wire;
    m->now = m->now + slots * s->slot;
    m->slot_start = m->now;
    m->theta = full;
    if (m->ticks && m->tick <= m->now) /* in the first pass nothing comes of it */
        m->tick = m->tick + s->resync * floor((m->now - m->tick) / s->resync);
}

/* Sends at most `budget` bytes, first what the first pass has left: the bytes; *left: s that are left of the turn. */
static double send_turn(migration *m, double budget, double *left) {
    double used = 0.0;
    for (int i = 0; i < KINDS; i++) {
        if (m->unsent[i] <= 0.0) continue;
        double n = least(least(m->unsent[i], greatest(0.0, (budget - used) / m->wire[i])),
                         greatest(0.0, *left / m->each[i]));
        m->unsent[i] = m->unsent[i] - n;
        used = used + n * m->wire[i];
        *left = *left - n * m->each[i];
        if (m->unsent[i] > 0.0) return used;
    }
    if (m->virgin > 0.0) {
        const double wire = m->s->wire, each = m->s->first;
        double n = least(least(m->virgin, greatest(0.0, (budget - used) / wire)), greatest(0.0, *left / each));
        resend(m, n);
        used = used + n * wire;
        *left = *left - n * each;
        if (m->virgin > 0.0) return used;
    }
    if (m->r.dirty > 0.0) {
        double n = least(least(m->r.dirty, greatest(0.0, (budget - used) / m->cost)), greatest(0.0, *left / m->takes));
        if (n > 0.0) resend(m, n);
        used = used + n * m->cost;
        *left = *left - n * m->takes;
    }
    return used;
}

/* One turn: until the quota or the time is used up, or all is sent. */
static void turn(migration *m) {
    const ns_precopy_scenario *s = m->s;
    double left = s->turn;
    const double used = send_turn(m, s->quota > 0.0 ? greatest(0.0, s->quota - m->slot_sent) : 1e300, &left);
    m->now = m->now + (s->turn - left);
    m->sent = m->sent + used;
    m->slot_sent = m->slot_sent + used;
    if (s->quota > 0.0 && m->slot_sent >= s->quota * 0.9999999 && m->now < m->slot_start + s->slot)
        m->now = m->slot_start + s->slot;
    else if (used <= 0.0)
        m->now = m->now + 0.001;
}

/* Ends the slot with a new threshold: how the migration ends, where it does. */
static int slot_ended(migration *m) {
    const ns_precopy_scenario *s = m->s;
    if (m->now > NS_PRECOPY_LONGEST) return NEVER;
    m->theta = threshold(s, m->slot_sent / whole_ms(m->now - m->slot_start), m->theta_factor);
    m->slot_start = m->now;
    m->slot_sent = 0.0;
    if (!m->to_postcopy) return GOES_ON;
    const double unsent = all_unsent(m);
    if (s->lag > 0.0 && unsent > 0.0 && (m->dense * s->pages - unsent) * s->page < s->lag * m->dense) return GOES_ON;
    dirtied(m, m->now - m->synced, throttle_slowed(&m->t, s, m->speed)); /* the guest is stopped, and the bitmap synced once more */
    return POSTCOPY;
}

/* Goes through the migration; how it ends. */
static int ends(migration *m) {
    const ns_precopy_scenario *s = m->s;
    for (int t = 0; t < NS_PRECOPY_TURNS; t++) {
        m->pending = all_unsent(m);
        const int late = m->ticks && m->now >= m->tick - 1e-9 && overdue(m);
        const int last = m->pending <= 0.0 && m->theta <= 0.0 && !late;
        if (last || late || m->pending <= 0.0 || m->pending * s->page < bound(m, m->theta)) {
            const int end = synced(m, late, last);
            if (end != GOES_ON) return end;
        }
        if (m->now == m->slot_start && m->slot_sent == 0.0 && !m->to_postcopy) full_slots(m);
        turn(m);
        if (m->now >= m->slot_start + s->slot - 1e-9) {
            const int end = slot_ended(m);
            if (end != GOES_ON) return end;
        }
    }
    return NEVER;
}

/* What is unsent goes out at the end, without the rate limit. */
static void results(const migration *m, int end, double *out) {
    const ns_precopy_scenario *s = m->s;
    const double dirty = m->r.dirty - m->virgin, untouched = m->unsent[FRONT] + m->unsent[TAIL] + m->virgin;
    const double zeros = m->unsent[ZERO] + m->unsent[TAIL_ZERO];
    double pause = s->device, total = m->now, sent = m->sent;
    if (end == CONVERGED) {
        pause = s->device + (untouched * s->first + zeros * s->blank + dirty * m->takes);
        total = m->now + pause;
        sent = sent + (untouched * s->wire + zeros * s->wire_zero + dirty * m->cost);
    } else if (end == POSTCOPY) {
        pause = s->device * NS_POSTCOPY_SWITCH;
        total = m->now + pause + (untouched * s->first + zeros * s->blank + dirty * (NS_POSTCOPY_ASKED * s->again));
        sent = sent + (untouched * s->wire + zeros * s->wire_zero + dirty * s->wire);
    }
    out[0] = end;
    out[1] = total;
    out[2] = pause;
    out[3] = sent;
    out[4] = m->syncs;
    out[5] = m->t.share;
    out[6] = end == POSTCOPY ? all_unsent(m) : m->pending;
    out[7] = m->last_round;
}

static size_t one(const ns_precopy_scenario *s, const double *classes, size_t k, const double *member,
                  const double *start, double *out, double *rounds, size_t capacity) {
    migration m;
    begin(&m, s, classes, k, member, start, rounds, capacity);
    results(&m, ends(&m), out);
    return m.row;
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
