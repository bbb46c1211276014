# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The compiled kernel of `novastate._native.precopy`; see precopy.c for the method."""


cdef extern from "precopy.h" nogil:
    enum:
        NS_PRECOPY_MAX_CLASSES
        NS_PRECOPY_CLASS_FIELDS
        NS_PRECOPY_MEMBER_FIELDS
        NS_PRECOPY_OUT_FIELDS
        NS_PRECOPY_ROUND_FIELDS
    size_t NS_PRECOPY_SCENARIO_FIELDS
    size_t NS_PRECOPY_START_FIELDS
    ctypedef struct ns_precopy_scenario:
        double pages
    size_t ns_precopy_run(const ns_precopy_scenario *s, const double *classes, size_t k, const double *members,
                          size_t count, const double *start, size_t starts, double *out, double *rounds,
                          size_t capacity)


def run(const double[::1] scenario not None, const double[::1] classes not None,
        const double[::1] members not None, double[::1] out not None, double[::1] rounds not None,
        const double[::1] start=None):
    if <size_t> scenario.shape[0] != NS_PRECOPY_SCENARIO_FIELDS:
        raise ValueError(f"scenario: must have {NS_PRECOPY_SCENARIO_FIELDS} numbers")
    if classes.shape[0] % NS_PRECOPY_CLASS_FIELDS or classes.shape[0] > NS_PRECOPY_CLASS_FIELDS * NS_PRECOPY_MAX_CLASSES:
        raise ValueError(
            f"classes: must be rows of {NS_PRECOPY_CLASS_FIELDS} numbers, at most {NS_PRECOPY_MAX_CLASSES}")
    if members.shape[0] % NS_PRECOPY_MEMBER_FIELDS or members.shape[0] == 0:
        raise ValueError(f"members: must be rows of {NS_PRECOPY_MEMBER_FIELDS} numbers, at least one")
    cdef size_t count = members.shape[0] // NS_PRECOPY_MEMBER_FIELDS
    if <size_t> out.shape[0] != NS_PRECOPY_OUT_FIELDS * count:
        raise ValueError(f"out: must have {NS_PRECOPY_OUT_FIELDS} numbers a member")
    cdef size_t k = classes.shape[0] // NS_PRECOPY_CLASS_FIELDS
    cdef size_t width = NS_PRECOPY_START_FIELDS + k
    cdef size_t starts = 0
    cdef const double *begin = NULL
    if start is not None:
        if <size_t> start.shape[0] != width and <size_t> start.shape[0] != width * count:
            raise ValueError(f"start: must have {width} numbers, or as many for each member")
        starts = <size_t> start.shape[0] // width
        begin = &start[0]
    cdef size_t capacity = rounds.shape[0] // NS_PRECOPY_ROUND_FIELDS
    cdef const double *rows = &classes[0] if k else NULL
    cdef double *record = &rounds[0] if capacity else NULL
    cdef size_t recorded
    with nogil:
        recorded = ns_precopy_run(<const ns_precopy_scenario *> &scenario[0], rows, k, &members[0], count, begin, starts,
                                  &out[0], record, capacity)
    return recorded
