/* What all parts of the pre-copy kernel need: the smaller and the greater number, and a slot of a scenario. See precopy_fields.py. */
#ifndef NOVASTATE_PRECOPY_FIELDS_H
#define NOVASTATE_PRECOPY_FIELDS_H
#include "precopy.h"
#include <math.h>

static inline double least(double a, double b) { return b < a ? b : a; } /* Python's min(a, b) */
static inline double greatest(double a, double b) { return b > a ? b : a; }

/* Pages that go out in one full slot: one takes `wire` bytes, and `each` s to send. */
static inline double slot_pages(const ns_precopy_scenario *s, double wire, double each) {
    double per = s->slot / each;
    return s->quota > 0.0 ? least(per, s->quota / wire) : per;
}

/* Bytes below which the guest may be stopped, after a slot of so many bytes a ms. */
static inline double threshold(const ns_precopy_scenario *s, double per_ms, double factor) {
    return (s->switchover > 0.0 ? s->switchover : per_ms) * (s->downtime * 1000.0) * factor;
}

/* `span` in whole ms, as QEMU takes a slot's time. */
static inline double whole_ms(double span) { return floor(span * 1000.0 + 0.5); }
#endif
