"""Part of `_codec.pyx`: whether a JSON text says a thing twice."""

cdef extern from *:
    """
    #include <string.h>

    /* The quotes in a JSON text that begin or end a string: all but those behind a backslash. */
    static Py_ssize_t ns_quotes(const char *text, Py_ssize_t size) {
        const char *end = text + size;
        Py_ssize_t found = 0;
        for (;;) {
            const char *stop = memchr(text, '\\\\', (size_t)(end - text));
            if (stop == NULL) stop = end;
            for (const char *at = text; at < stop; at++) found += *at == '"';
            if (end - stop < 2) return found;
            text = stop + 2;
        }
    }
    """
    Py_ssize_t ns_quotes(const char *, Py_ssize_t) nogil
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL


cdef Py_ssize_t strings(object held) except -1:
    """How many strings are in parsed JSON, names and values."""
    cdef Py_ssize_t found = 0
    if isinstance(held, str):
        return 1
    if not isinstance(held, (dict, list)):
        return 0
    ns_deeper()
    try:
        if isinstance(held, dict):
            for part in (<dict> held).values():
                found += 1 + strings(part)
        else:
            for part in <list> held:
                found += strings(part)
    finally:
        Py_LeaveRecursiveCall()
    return found


def says_all(data, parsed):
    """Whether all strings of the JSON text *data* are in what it was *parsed* to: of a member that is given twice one is lost."""
    cdef Py_ssize_t size = 0
    cdef const char *text
    if isinstance(data, str):
        text = PyUnicode_AsUTF8AndSize(data, &size)
    else:
        text, size = PyBytes_AS_STRING(<bytes?> data), PyBytes_GET_SIZE(<bytes?> data)
    return ns_quotes(text, size) == 2 * strings(parsed)
