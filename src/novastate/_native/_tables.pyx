# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The compiled kernels of `novastate._native.tables`; see tables.c for the method."""

from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_AS_STRING
from libc.stdint cimport uint8_t


cdef extern from "tables.h" nogil:
    void ns_translate(const uint8_t *table, const uint8_t *codes, uint8_t *out, size_t n)
    const char *ns_translate_isa()
    const char *ns_translate_variant(size_t i)
    int ns_translate_force(const char *isa)


def translate(codes not None, table not None):
    cdef const uint8_t[::1] states
    cdef const uint8_t[::1] cells
    try:
        states = codes
        cells = table
    except (ValueError, BufferError):
        raise ValueError("codes, table: must be contiguous buffers of bytes") from None
    cdef Py_ssize_t n = states.shape[0]
    if cells.shape[0] != 256:
        raise ValueError("table: must have 256 entries")
    moved = PyBytes_FromStringAndSize(NULL, n)
    if n == 0:
        return moved
    cdef uint8_t *out = <uint8_t *> PyBytes_AS_STRING(moved)
    cdef const uint8_t *rows = &cells[0]
    cdef const uint8_t *source = &states[0]
    with nogil:
        ns_translate(rows, source, out, <size_t> n)
    return moved


def isa():
    return ns_translate_isa().decode()


def variants():
    names = []
    while ns_translate_variant(len(names)) is not NULL:
        names.append(ns_translate_variant(len(names)).decode())
    return tuple(names)


def force_isa(str name not None):
    if ns_translate_force(name.encode()) != 0:
        raise ValueError(f"isa: {name!r} is not available here")
