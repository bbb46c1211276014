/* Forecasts of a column of guests. See fleet.c. */
#ifndef NOVASTATE_FLEET_H
#define NOVASTATE_FLEET_H
#include <stddef.h>
#include <stdint.h>

#define NS_FLEET_MAX_CLASSES 32

/* A column: one number a row, or one for all (step 0). */
typedef struct {
    const double *at;
    size_t step;
} ns_column;

/* The rules that a row is forecast by, in the order of fleet_py.py's RULE_FIELDS. */
typedef struct {
    double fast, begin, device, first_touch, rewrite, blank, throttling, initial, increment, most, trigger;
    double switchover, postcopy, lost, wake, slowed, rearm, tailslow;
} ns_fleet_rules;
#define NS_FLEET_RULE_FIELDS (sizeof(ns_fleet_rules) / sizeof(double))

/* `count` guests of `k` <= 32 classes. Classes are rows of k numbers, or one row for all (class_step 0, else k);
 * all are written at random; `rule` may be NULL (all by the first). */
typedef struct {
    size_t count, k, class_step;
    ns_column memory, zero, page, tail, tail_zero, busy, limit, line, downtime, timeout;
    const double *size, *rate;
    const int32_t *rule;
    const ns_fleet_rules *rules;
    size_t rule_count;
} ns_fleet;

/* What comes out: `count` numbers each, the caller's. */
typedef struct {
    uint8_t *verdict, *throttle;
    int32_t *syncs;
    double *total, *downtime, *transferred, *unlimited, *pending;
} ns_fleet_result;

void ns_fleet_run(const ns_fleet *fleet, const ns_fleet_result *out);
#endif
