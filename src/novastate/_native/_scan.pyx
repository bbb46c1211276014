# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The compiled kernels of `novastate._native.scan`; see scan.c for the method, the twin for the arguments."""

from libc.stdint cimport int32_t, int64_t, uint64_t

include "dispatch.pxi"


cdef extern from "scan.h" nogil:
    ctypedef struct ns_memory:
        uint64_t *dirty
        uint64_t *zero
        uint64_t *again
        int64_t pages
    ctypedef struct ns_budget:
        const int64_t *bytes
        const int64_t *time
        int64_t room
        int64_t patience
    ctypedef struct ns_cache:
        int64_t *page
        int64_t *age
        int64_t slots
    ctypedef struct ns_order:
        uint64_t pages, rows, columns
        uint64_t keys[2]
    ctypedef struct ns_group:
        uint64_t start, last, low
    int64_t ns_scan(ns_memory *, int64_t, int64_t, ns_budget, int64_t *)
    int64_t ns_scan_cached(ns_memory *, ns_cache, int64_t, int64_t, int64_t, ns_budget, int64_t *)
    void ns_census(const ns_memory *, int64_t *)
    int64_t ns_merge(ns_memory *, uint64_t *)
    ctypedef struct ns_shares:
        const ns_group *groups
        const double *ratios
        const int32_t *guide
        int64_t rows
        uint64_t base
        int shift
    ctypedef struct ns_marks:
        uint64_t *written
        uint64_t *early
        int part
    void ns_draw(ns_marks, int64_t, uint64_t, uint64_t, int64_t, ns_shares, ns_order, const uint64_t *)
    void ns_fill(ns_marks, int64_t, uint64_t, uint64_t, const uint64_t *, int64_t)
    void ns_fill_scattered(ns_marks, int64_t, uint64_t, uint64_t, const uint64_t *, const double *, int64_t, ns_order,
                           const double *)
    void ns_mark(uint64_t *, const int64_t *, int64_t)


cdef int rows_of(uint64_t[:, ::1] bits, int64_t pages, ns_memory *memory) except -1:
    """The first three bitmaps of a guest: dirty, zero, again."""
    if pages < 1 or bits.shape[0] < 4 or bits.shape[1] != (pages + 63) // 64:
        raise ValueError("bits: must be four bitmaps of the pages")
    memory.dirty, memory.zero, memory.again, memory.pages = &bits[0, 0], &bits[1, 0], &bits[2, 0], pages
    return 0


cdef int budget_of(int64_t[:, ::1] costs, int64_t room, int64_t patience, ns_budget *budget) except -1:
    if costs.shape[0] != 2 or costs.shape[1] != 4:
        raise ValueError("costs: must be two rows of 4 numbers")
    budget.bytes, budget.time, budget.room, budget.patience = &costs[0, 0], &costs[1, 0], room, patience
    return 0


cdef int order_of(const uint64_t[::1] numbers, ns_order *order) except -1:
    cdef int i
    if numbers.shape[0] != 5 or numbers[0] < 1:
        raise ValueError("order: must be five numbers, of at least one page")
    # One-to-one, and no rank is behind the last page for ever.
    if numbers[1] and (numbers[0] >> 32 or not 0 < numbers[2] <= numbers[0] or numbers[1] > numbers[0]
                       or numbers[1] * numbers[2] < numbers[0] or (numbers[1] * numbers[2]) >> 32):
        raise ValueError("order: must have a grid that holds the pages, less than 2**32 of them")
    order.pages, order.rows, order.columns = numbers[0], numbers[1], numbers[2]
    for i in range(2):
        order.keys[i] = numbers[3 + i]
    return 0


def scan(uint64_t[:, ::1] bits not None, int64_t pages, int64_t cursor, int64_t left, int64_t room, int64_t patience,
         int64_t[:, ::1] costs not None, int64_t[::1] counts not None):
    cdef ns_memory memory
    cdef ns_budget budget
    rows_of(bits, pages, &memory)
    budget_of(costs, room, patience, &budget)
    if counts.shape[0] != 4 or cursor < 0:
        raise ValueError("counts: must be 4 numbers; cursor: not negative")
    with nogil:
        cursor = ns_scan(&memory, cursor, left, budget, &counts[0])
    return cursor


def scan_cached(uint64_t[:, ::1] bits not None, int64_t pages, int64_t[:, ::1] cache not None, int64_t now, int64_t cursor,
                int64_t left, int64_t room, int64_t patience, int64_t[:, ::1] costs not None,
                int64_t[::1] counts not None):
    cdef ns_memory memory
    cdef ns_budget budget
    cdef ns_cache slots
    rows_of(bits, pages, &memory)
    budget_of(costs, room, patience, &budget)
    if counts.shape[0] != 4 or cursor < 0:
        raise ValueError("counts: must be 4 numbers; cursor: not negative")
    if cache.shape[0] != 2 or cache.shape[1] < 1 or cache.shape[1] & (cache.shape[1] - 1):
        raise ValueError("cache: must be two rows of a power of two of slots")
    slots.page, slots.age, slots.slots = &cache[0, 0], &cache[1, 0], cache.shape[1]
    with nogil:
        cursor = ns_scan_cached(&memory, slots, now, cursor, left, budget, &counts[0])
    return cursor


def census(uint64_t[:, ::1] bits not None, int64_t pages, int64_t[::1] counts not None):
    cdef ns_memory memory
    rows_of(bits, pages, &memory)
    if counts.shape[0] != 4:
        raise ValueError("counts: must be 4 numbers")
    with nogil:
        ns_census(&memory, &counts[0])


def merge(uint64_t[:, ::1] bits not None, int64_t pages):
    cdef ns_memory memory
    cdef int64_t fresh
    rows_of(bits, pages, &memory)
    with nogil:
        fresh = ns_merge(&memory, &bits[3, 0])
    return fresh


cdef int marks_of(uint64_t[::1] written, uint64_t[::1] early, int64_t first, uint64_t pages, int64_t parts, int part,
                  ns_marks *marks) except -1:
    """Where the writes of `pages` pages from first on are marked, in so many parts."""
    if first < 0 or <uint64_t> first + pages > <uint64_t> written.shape[0] * 64:
        raise ValueError("first: its pages must be there")
    if parts and (early.shape[0] != written.shape[0] or not 6 <= part < 64 or (<uint64_t> first + pages - 1) >> part >= <uint64_t> parts):
        raise ValueError("early: must be a bitmap of the pages, each of them in a part")
    marks.written = &written[0]
    marks.early = &early[0] if early.shape[0] else NULL
    marks.part = part
    return 0


def draw(uint64_t[::1] written not None, uint64_t[::1] early not None, int64_t first, uint64_t key, uint64_t counter,
         int64_t count, uint64_t base, const uint64_t[:, ::1] groups not None, const double[::1] ratios not None,
         const int32_t[::1] guide not None, int shift, const uint64_t[::1] order not None, const uint64_t[::1] since not None,
         int part):
    cdef ns_order names
    cdef ns_marks marks
    cdef ns_shares shares
    cdef const uint64_t *starts = &since[0] if since.shape[0] else NULL
    cdef int64_t at
    order_of(order, &names)
    if groups.shape[0] < 1 or groups.shape[1] != 3 or ratios.shape[0] != groups.shape[0] or shift < 1 or shift > 63 or guide.shape[0] != <int64_t> 1 << (64 - shift):
        raise ValueError("groups: must be rows of 3 numbers, with a ratio each; guide: must have an entry for each of the first bits")
    for at in range(ratios.shape[0]):
        if not 0 <= ratios[at] <= 1024:
            raise ValueError("ratios: must be 0 to 1024")
    if groups[groups.shape[0] - 1, 1] != <uint64_t> -1:
        raise ValueError("groups: must end with the last number")
    for at in range(guide.shape[0]):
        if not 0 <= guide[at] < groups.shape[0]:
            raise ValueError("guide: must lead to groups")
    marks_of(written, early, first, names.pages, since.shape[0], part, &marks)
    shares.groups, shares.ratios, shares.guide = <const ns_group *> &groups[0, 0], &ratios[0], &guide[0]
    shares.rows, shares.base, shares.shift = groups.shape[0], base, shift
    with nogil:
        ns_draw(marks, first, key, counter, count, shares, names, starts)


def fill(uint64_t[::1] written not None, uint64_t[::1] early not None, int64_t first, uint64_t key, uint64_t counter,
         const uint64_t[:, ::1] groups not None):
    cdef ns_marks marks
    cdef uint64_t most = 0
    cdef int64_t at, rows = groups.shape[0]
    if groups.shape[1] != 4:
        raise ValueError("groups: must be rows of 4 numbers")
    for at in range(rows):
        if groups[at, 0] >> 40 or groups[at, 1] >> 40:
            raise ValueError("groups: their pages must be there")
        most = max(most, groups[at, 0] + groups[at, 1])
        if not groups[at, 3] >> 32 and early.shape[0] != written.shape[0]:
            raise ValueError("early: must be a bitmap of the pages")
    if rows:
        marks_of(written, early, first, most, 0, 6, &marks)
        with nogil:
            ns_fill(marks, first, key, counter, &groups[0, 0], rows)


def fill_scattered(uint64_t[::1] written not None, uint64_t[::1] early not None, int64_t first, uint64_t key, uint64_t counter,
                   const uint64_t[:, ::1] groups not None, const double[::1] paces not None,
                   const uint64_t[::1] order not None, const double[::1] left not None, int part):
    cdef ns_order names
    cdef ns_marks marks
    cdef const double *remains = &left[0] if left.shape[0] else NULL
    cdef int64_t at, rows = groups.shape[0]
    order_of(order, &names)
    if groups.shape[1] != 3 or paces.shape[0] != rows:
        raise ValueError("groups: must be rows of 3 numbers, with a pace each")
    for at in range(rows):
        if groups[at, 0] > names.pages or groups[at, 1] > names.pages - groups[at, 0]:
            raise ValueError("groups: their pages must be there")
        if not paces[at] <= 0:
            raise ValueError("paces: must not be above 0")
    for at in range(left.shape[0]):
        if not left[at] >= 0:
            raise ValueError("left: must not be below 0")
    marks_of(written, early, first, names.pages, left.shape[0], part, &marks)
    if rows:
        with nogil:
            ns_fill_scattered(marks, first, key, counter, &groups[0, 0], &paces[0], rows, names, remains)


def mark(uint64_t[::1] written not None, const int64_t[::1] pages not None):
    cdef int64_t i
    for i in range(pages.shape[0]):
        if pages[i] < 0 or pages[i] >> 6 >= written.shape[0]:
            raise ValueError("pages: must be there")
    if pages.shape[0]:
        with nogil:
            ns_mark(&written[0], &pages[0], pages.shape[0])
