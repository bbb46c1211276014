# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The compiled kernels of `novastate._native.footprint`; see footprint.c for the method."""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from novastate.errors import ConvergenceError

include "dispatch.pxi"


cdef extern from "footprint.h" nogil:
    enum:
        NS_NONE
        NS_U32
        NS_I32
        NS_U64
        NS_F64
        NS_BAD_PAGE
        NS_BAD_TIME
        NS_NO_MEMORY
    ctypedef struct ns_trace:
        const void *pages
        const void *times
        int page_type
        int time_type
        size_t n
        double start
        double rate
        uint64_t page_count
        uint64_t slots
    int ns_footprint_lengths(const ns_trace *trace, const uint32_t *windows, size_t levels, uint64_t *counts, uint64_t *sums,
                             uint64_t *distinct, size_t *bad)
    void ns_footprint_choose(const uint64_t *pages, uint64_t first, size_t n, uint64_t seed, uint64_t limit, uint8_t *chosen)


cdef int kind(str field, Py_buffer *seen, bint floats) except -1:
    """What the numbers of a one-dimensional buffer are."""
    cdef bytes letter = <bytes> seen.format
    letter = letter.lstrip(b"@=<")
    if seen.ndim == 1 and len(letter) == 1:
        if letter in b"IL" and seen.itemsize == 4:
            return NS_U32
        if letter in b"il" and seen.itemsize == 4:
            return NS_I32
        if letter in b"lqLQ" and seen.itemsize == 8:
            return NS_U64
        if letter == b"d" and floats:
            return NS_F64
    raise ConvergenceError(field, (<bytes> seen.format).decode(), "must be a row of integers of 32 or 64 bits"
                           + (", or of floats" if floats else ""))


def lengths(pages, times, double start, double rate, uint64_t slots, uint64_t page_count, const uint32_t[::1] windows not None):
    if slots >= 0xffffffff or page_count > 0xffffffff:
        raise ValueError("slots, page_count: must be below 2**32 - 1")
    cdef ns_trace trace
    cdef Py_buffer page_buffer
    cdef Py_buffer time_buffer
    cdef size_t bad = 0, levels = windows.shape[0]
    cdef uint64_t distinct = 0
    cdef const uint32_t *limits = &windows[0] if levels else NULL
    cdef uint64_t *counts = NULL
    cdef int state
    PyObject_GetBuffer(pages, &page_buffer, PyBUF_ND | PyBUF_FORMAT)
    try:
        trace.page_type = kind("pages", &page_buffer, False)
        trace.pages = page_buffer.buf
        trace.n = page_buffer.shape[0]
        trace.time_type = NS_NONE
        trace.times = NULL
        trace.start, trace.rate, trace.page_count, trace.slots = start, rate, page_count, slots
        if times is not None:
            PyObject_GetBuffer(times, &time_buffer, PyBUF_ND | PyBUF_FORMAT)
        try:
            if times is not None:
                trace.time_type = kind("times", &time_buffer, True)
                trace.times = time_buffer.buf
                if <size_t> time_buffer.shape[0] != trace.n:
                    raise ConvergenceError("times", time_buffer.shape[0], f"must be as many as the {trace.n} pages")
            counts = <uint64_t *> calloc(2 * (levels + 1), sizeof(uint64_t))
            if counts is NULL:
                raise MemoryError
            with nogil:
                state = ns_footprint_lengths(&trace, limits, levels, counts, counts + levels + 1, &distinct, &bad)
            if state == NS_NO_MEMORY:
                raise MemoryError
            if state == NS_BAD_PAGE:
                raise ConvergenceError(f"pages[{bad}]", int(pages[bad]), f"must be 0 to {page_count - 1}")
            if state == NS_BAD_TIME:
                raise ConvergenceError(f"times[{bad}]", bad if times is None else float(times[bad]),
                                       "must not fall, and lie within the record")
            return ([counts[j] for j in range(levels + 1)], [counts[levels + 1 + j] for j in range(levels + 1)], distinct)
        finally:
            free(counts)
            if times is not None:
                PyBuffer_Release(&time_buffer)
    finally:
        PyBuffer_Release(&page_buffer)


def choose(const uint64_t[::1] pages, uint64_t first, uint64_t seed, uint64_t limit, uint8_t[::1] chosen not None):
    cdef size_t n = chosen.shape[0]
    if pages is not None and <size_t> pages.shape[0] != n:
        raise ValueError("pages, chosen: must have the same length")
    if n:
        with nogil:
            ns_footprint_choose(NULL if pages is None else &pages[0], first, n, seed, limit, &chosen[0])
