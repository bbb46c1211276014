# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The compiled kernels of `novastate._native.bitmaps`; see bitmaps.c for the method."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free

include "dispatch.pxi"


cdef extern from "bitmaps.h" nogil:
    enum:
        NS_BITMAPS_LEVELS
    uint64_t ns_bitmaps_merge(uint64_t *out, const uint64_t *bits, size_t words)
    uint64_t ns_bitmaps_count(const uint64_t *bits, size_t words)
    int ns_bitmaps_sums(const uint64_t *bitmaps, size_t rows, size_t words, int levels, uint64_t *sums)
    uint32_t *ns_bitmaps_table(size_t pages)
    void ns_bitmaps_scan(const uint64_t *bits, size_t words, size_t at, uint32_t *last, uint64_t *gaps, uint64_t *firsts)
    void ns_bitmaps_lasts(const uint32_t *last, size_t pages, size_t rows, uint64_t *lasts)


def merge(uint64_t[::1] out not None, const uint64_t[::1] bits not None):
    if out.shape[0] != bits.shape[0]:
        raise ValueError("out, bits: must have the same number of words")
    if not out.shape[0]:
        return 0
    cdef uint64_t found
    with nogil:
        found = ns_bitmaps_merge(&out[0], &bits[0], <size_t> out.shape[0])
    return found


def count(const uint64_t[::1] bits not None):
    if not bits.shape[0]:
        return 0
    cdef uint64_t found
    with nogil:
        found = ns_bitmaps_count(&bits[0], <size_t> bits.shape[0])
    return found


def sums(const uint64_t[:, ::1] bitmaps not None, int levels):
    if not 1 <= levels <= NS_BITMAPS_LEVELS:
        raise ValueError(f"levels: must be 1 to {NS_BITMAPS_LEVELS}")
    cdef uint64_t found[NS_BITMAPS_LEVELS]
    cdef int failed
    if not bitmaps.shape[0] or not bitmaps.shape[1]:
        return (0,) * levels
    with nogil:
        failed = ns_bitmaps_sums(&bitmaps[0, 0], <size_t> bitmaps.shape[0], <size_t> bitmaps.shape[1], levels, found)
    if failed:
        raise MemoryError
    return tuple([found[j] for j in range(levels)])


def gaps(const uint64_t[:, ::1] bitmaps not None, uint64_t[::1] gaps not None, uint64_t[::1] firsts not None,
         uint64_t[::1] lasts not None):
    cdef size_t rows = bitmaps.shape[0], words = bitmaps.shape[1], at
    if not <size_t> gaps.shape[0] == <size_t> firsts.shape[0] == <size_t> lasts.shape[0] == rows:
        raise ValueError("gaps, firsts, lasts: must have a number for each bitmap")
    if rows >= <size_t> 0xffffffff:
        raise ValueError("bitmaps: must be fewer than 2**32 - 1")
    if not rows or not words:
        return
    cdef uint32_t *last = ns_bitmaps_table(words * 64)
    if last is NULL:
        raise MemoryError
    with nogil:
        for at in range(rows):
            ns_bitmaps_scan(&bitmaps[at, 0], words, at, last, &gaps[0], &firsts[0])
        ns_bitmaps_lasts(last, words * 64, rows, &lasts[0])
        free(last)
