# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The compiled kernel of `novastate._native.fleet`; see fleet.c for the method."""

from libc.stdint cimport int32_t, uint8_t

cdef extern from "fleet.h" nogil:
    enum:
        NS_FLEET_MAX_CLASSES
    size_t NS_FLEET_RULE_FIELDS
    ctypedef struct ns_column:
        const double *at
        size_t step
    ctypedef struct ns_fleet_rules:
        double fast
    ctypedef struct ns_fleet:
        size_t count, k, class_step
        ns_column memory, zero, page, tail, tail_zero, busy, limit, line, downtime, timeout
        const double *size
        const double *rate
        const int32_t *rule
        const ns_fleet_rules *rules
        size_t rule_count
    ctypedef struct ns_fleet_result:
        uint8_t *verdict
        uint8_t *throttle
        int32_t *syncs
        double *total
        double *downtime
        double *transferred
        double *unlimited
        double *pending
    void ns_fleet_run(const ns_fleet *fleet, const ns_fleet_result *out)

include "dispatch.pxi"


cdef ns_column column(const double[::1] numbers, size_t count) except *:
    cdef ns_column found
    if numbers.shape[0] != 1 and <size_t> numbers.shape[0] != count:
        raise ValueError(f"columns: must be 10, each of 1 or {count} numbers")
    found.at = &numbers[0] if numbers.shape[0] else NULL
    found.step = 0 if numbers.shape[0] == 1 else 1
    return found


def run(columns not None, const double[:, ::1] size not None, const double[:, ::1] rate not None,
        const int32_t[::1] rule not None, const double[:, ::1] rules not None,
        double[:, ::1] numbers not None, int32_t[::1] syncs not None, uint8_t[::1] verdict not None,
        uint8_t[::1] throttle not None):
    cdef ns_fleet f
    cdef ns_fleet_result out
    cdef size_t count = verdict.shape[0], i, k = size.shape[1], laws = size.shape[0]
    if len(columns) != 10:
        raise ValueError(f"columns: must be 10, each of 1 or {count} numbers")
    f.count = count
    f.k = k
    # `columns` keeps the buffers alive while the kernel runs.
    f.memory, f.zero, f.page, f.tail, f.tail_zero = (
        column(columns[0], count), column(columns[1], count), column(columns[2], count), column(columns[3], count),
        column(columns[4], count))
    f.busy, f.limit, f.line, f.downtime, f.timeout = (
        column(columns[5], count), column(columns[6], count), column(columns[7], count), column(columns[8], count),
        column(columns[9], count))
    if (laws != 1 and laws != count) or k > NS_FLEET_MAX_CLASSES or <size_t> rate.shape[0] != laws or (
            <size_t> rate.shape[1] != k):
        raise ValueError(
            f"size: must be 1 or {count} rows of at most {NS_FLEET_MAX_CLASSES}, and rate of the same shape")
    if <size_t> rules.shape[1] != NS_FLEET_RULE_FIELDS or not rules.shape[0]:
        raise ValueError(f"rules: must be rows of {NS_FLEET_RULE_FIELDS} numbers, at least one")
    if rule.shape[0]:
        if <size_t> rule.shape[0] != count:
            raise ValueError(f"rule: must be empty, or {count} rows of rules")
        for i in range(count):
            if rule[i] < 0 or rule[i] >= rules.shape[0]:
                raise ValueError(f"rule: must be empty, or {count} rows of rules")
    if numbers.shape[0] != 5 or <size_t> numbers.shape[1] != count or <size_t> syncs.shape[0] != count or (
            <size_t> throttle.shape[0] != count):
        raise ValueError(f"numbers, syncs, throttle: must be of {count} rows")
    if count == 0:
        return
    f.class_step = 0 if laws == 1 else k
    f.size = &size[0, 0] if k else NULL
    f.rate = &rate[0, 0] if k else NULL
    f.rule = &rule[0] if rule.shape[0] else NULL
    f.rules = <const ns_fleet_rules *> &rules[0, 0]
    f.rule_count = rules.shape[0]
    out.verdict = &verdict[0]
    out.throttle = &throttle[0]
    out.syncs = &syncs[0]
    out.total = &numbers[0, 0]
    out.downtime = &numbers[1, 0]
    out.transferred = &numbers[2, 0]
    out.unlimited = &numbers[3, 0]
    out.pending = &numbers[4, 0]
    with nogil:
        ns_fleet_run(&f, &out)
