/* The pre-copy recursion on expected page counts. See precopy.c. */
#ifndef NOVASTATE_PRECOPY_H
#define NOVASTATE_PRECOPY_H
#include <stddef.h>

#define NS_PRECOPY_MAX_CLASSES 32
#define NS_PRECOPY_SEGMENTS 64
#define NS_PRECOPY_TURNS 100000
#define NS_PRECOPY_SYNCS 2000
#define NS_PRECOPY_LONGEST 1e10
/* Post-copy: a missing page takes so many times what a page takes that is sent again, for it may be asked for across the link
 * besides (two recorded migrations: 2.3 to 2.8); and the switch so much of the devices' pause, for it sends no more of their
 * state than that (the same two: 3 ms of 11). */
#define NS_POSTCOPY_ASKED 2.0
#define NS_POSTCOPY_SWITCH 0.25
#define NS_PRECOPY_CLASS_FIELDS 3
#define NS_PRECOPY_MEMBER_FIELDS 4
#define NS_PRECOPY_OUT_FIELDS 8
#define NS_PRECOPY_ROUND_FIELDS 5

/* The fields of a scenario, in the order of its doubles; precopy_fields.py says what each means. */
typedef struct {
    double pages, zero, tail, tail_zero, page, wire, wire_again, cache, wire_zero, quota, first, again, delta, blank;
    double downtime, switchover, device, slot, turn, throttling, initial, increment, most, trigger;
    double busy, lost, wake, postcopy, tailslow, resync, chunks, limited, family, most_rounds, deadline, phase, lag;
} ns_precopy_scenario;
#define NS_PRECOPY_SCENARIO_FIELDS (sizeof(ns_precopy_scenario) / sizeof(double))

/* Where in a migration a run begins; the fields, and the unsent pages of each class that follow them, as in
 * precopy_fields.py. */
typedef struct {
    double left, zero, tail, tail_zero, front, behind, since, slot_age, slot_sent, theta, syncs, throttle, high;
    double period_age, period_sent, period_dirty, cached, widest;
} ns_precopy_start;
#define NS_PRECOPY_START_FIELDS (sizeof(ns_precopy_start) / sizeof(double))

/* Runs `count` members (rows of 4 doubles) of one scenario over `k` classes (rows of 3); writes a row of 8 doubles
 * of `out` for each, and at most `capacity` rows of 5 into `rounds` for the first. Returns the rows of `rounds`
 * that were written. `starts` rows of `start` say where each begins: 0 (at the first pass), 1 (all at the same place)
 * or `count`. All memory is the caller's; bounded by NS_PRECOPY_TURNS turns a member. k <= 32. */
size_t ns_precopy_run(const ns_precopy_scenario *s, const double *classes, size_t k, const double *members,
                      size_t count, const double *start, size_t starts, double *out, double *rounds,
                      size_t capacity);

/* One member of the second family: whole rounds and a budget (precopy_rounds.c). `start` may be NULL. */
size_t ns_precopy_rounds(const ns_precopy_scenario *s, const double *classes, size_t k, const double *member,
                         const double *start, double *out, double *rounds, size_t capacity);
#endif
