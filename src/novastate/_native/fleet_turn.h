/* What a guest sends, in the words of fleet_lanes.h: for its first pass and for its rounds. See fleet.c. */

/* Lanes that send: what does not change, what is left of each part, and when and how much was sent. */
typedef struct {
    V quota, wire, iwire, first, ifirst, again, iagain, blank, iblank, dtp, sw;
    V front, zero, tail, tail_zero, virgin, now, slot_at, slot_sent, sent, theta;
    M over; /* the turn has ended its slot */
} F(way);

/* Lanes that are due for a sync: less is left than the threshold, or nothing, where there is none yet. */
static inline TARGET M F(due)(V pending, V theta) {
    return m_or(lt(pending, theta), m_and(le(pending, set1(0.0)), le(theta, set1(0.0))));
}

/* Pages of a part that leave by the time `t`, at most `most` of them; those before it take `before`. */
static inline TARGET V F(gets)(V most, V t, V before, V inverse) {
    return vmax(set1(0.0), vmin(most, (t - before) * inverse));
}

/* A turn of the lanes that go: until the quota or the time is used up, or all is sent; a whole slot where no sync falls
 * due in its middle. Sends of what the first pass has left (only where `parts`), then of the ring (only where `ring`), `dirty`
 * pages, those first that were never sent (only where `virgins`); returns how many leave that. */
static inline TARGET V F(turn)(F(way) *s, V pending, V dirty, M goes, const int parts, const int ring, const int virgins) {
    const V none = set1(0.0), wz = set1(WIRE_ZERO), iwz = set1(1.0 / WIRE_ZERO);
    V budget = vmax(none, s->quota - s->slot_sent), dear = none, cheap = none, more = none, t = set1(TURN);
    /* What the budget leaves of each part, and the time that those before it take. */
    V most0 = none, most1 = none, most2 = none, most3 = none, most4 = none, time1 = none, time2 = none, time3 = none, time4 = none;
    if (parts) {
        V bytes1 = s->front * s->wire, bytes2 = bytes1 + s->zero * wz, bytes3 = bytes2 + s->tail * s->wire;
        most0 = vmin(s->front, budget * s->iwire);
        most1 = vmin(s->zero, (budget - bytes1) * iwz);
        most2 = vmin(s->tail, (budget - bytes2) * s->iwire);
        most3 = vmin(s->tail_zero, (budget - bytes3) * iwz);
        time1 = s->front * s->first;
        time2 = time1 + s->zero * s->blank;
        time3 = time2 + s->tail * s->first;
        time4 = time3 + s->tail_zero * s->blank;
        most4 = bytes3 + s->tail_zero * wz;
        dear = F(gets)(most0, t, none, s->ifirst) + F(gets)(most2, t, time2, s->ifirst);
        cheap = F(gets)(most1, t, time1, s->iblank) + F(gets)(most3, t, time3, s->iblank);
    }
    V most5 = none, time5 = time4;
    if (virgins) {
        most5 = vmin(s->virgin, (budget - most4) * s->iwire);
        dear = dear + F(gets)(most5, t, time4, s->ifirst);
        most4 = most4 + s->virgin * s->wire;
        time5 = time4 + s->virgin * s->first;
        dirty = dirty - s->virgin;
    }
    if (ring) {
        most4 = vmin(dirty, (budget - most4) * s->iwire);
        more = F(gets)(most4, t, time5, s->iagain);
    }
    M fresh = m_and(le(s->now, s->slot_at), le(s->slot_sent, none));
    t = sel(m_and(fresh, le(s->theta, pending - ((dear + cheap) + more))), set1(SLOT), t);
    t = sel(goes, t, none);
    V took = none, virgin = none;
    if (parts) {
        V part0 = F(gets)(most0, t, none, s->ifirst), part1 = F(gets)(most1, t, time1, s->iblank);
        V part2 = F(gets)(most2, t, time2, s->ifirst), part3 = F(gets)(most3, t, time3, s->iblank);
        s->front = s->front - part0;
        s->zero = s->zero - part1;
        s->tail = s->tail - part2;
        s->tail_zero = s->tail_zero - part3;
        dear = part0 + part2;
        cheap = part1 + part3;
    }
    if (virgins) {
        virgin = F(gets)(most5, t, time4, s->ifirst);
        dear = dear + virgin;
    }
    if (parts) took = dear * s->first + cheap * s->blank;
    if (ring) {
        more = F(gets)(most4, t, time5, s->iagain);
        dear = dear + more;
        took = took + more * s->again;
    }
    V used = dear * s->wire + cheap * wz;
    s->now = s->now + took;
    s->sent = s->sent + used;
    s->slot_sent = s->slot_sent + used;
    V end = s->slot_at + set1(SLOT);
    M sleeps = m_and(goes, m_and(le(s->quota * set1(0.9999999), s->slot_sent), lt(s->now, end)));
    s->now = sel(sleeps, end, s->now);
    const M over = s->over = m_and(goes, le(end - set1(1e-9), s->now));
    V spent = vfloor((s->now - s->slot_at) * set1(1000.0) + set1(0.5));
    V speed = sel(lt(none, s->sw), s->sw, s->slot_sent / vmax(spent, set1(1.0)));
    s->theta = sel(over, speed * s->dtp, s->theta);
    s->slot_at = sel(over, s->now, s->slot_at);
    s->slot_sent = sel(over, none, s->slot_sent);
    return virgin + more;
}
