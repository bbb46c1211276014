# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The compiled kernels of `novastate._native.tables`; see tables.c for the method."""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_AS_STRING
from libc.stdint cimport uint8_t

include "dispatch.pxi"


cdef extern from "tables.h" nogil:
    void ns_translate(const uint8_t *table, const uint8_t *codes, uint8_t *out, size_t n)


cdef int view(buffer, Py_buffer *seen) except -1:
    """A run of items of one byte, whatever they are called (uint8, int8, bool): as the twin has it."""
    try:
        PyObject_GetBuffer(buffer, seen, PyBUF_ND | PyBUF_FORMAT)
    except (ValueError, BufferError):
        raise ValueError("codes, table: must be contiguous buffers of bytes") from None
    if seen.itemsize != 1 or seen.ndim != 1:
        PyBuffer_Release(seen)
        raise ValueError("codes, table: must be contiguous buffers of bytes")
    return 0


def translate(codes, table):
    cdef Py_buffer states
    cdef Py_buffer cells
    cdef uint8_t *out
    view(table, &cells)
    try:
        if cells.len != 256:
            raise ValueError("table: must have 256 entries")
        view(codes, &states)
        try:
            moved = PyBytes_FromStringAndSize(NULL, states.len)
            if states.len:
                out = <uint8_t *> PyBytes_AS_STRING(moved)
                with nogil:
                    ns_translate(<const uint8_t *> cells.buf, <const uint8_t *> states.buf, out, <size_t> states.len)
            return moved
        finally:
            PyBuffer_Release(&states)
    finally:
        PyBuffer_Release(&cells)
