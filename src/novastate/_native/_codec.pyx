# cython: language_level=3
"""The compiled twin of the functions that `novastate.objects.codegen` writes: what reads and writes one class in one format.

Only the straight road is here: the common values of each kind are recognised by their type, and whatever else comes goes to the
callables that the tables hold, which know the errors. A slot is read and written where its descriptor says that it lies.

What a dict, a list or a slot holds is owned while it is used: a callable may change them meanwhile.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.datetime cimport (
    PyDateTime_Check, datetime_day, datetime_hour, datetime_minute, datetime_month, datetime_new, datetime_second,
    datetime_year, import_datetime,
)
from cpython.dict cimport PyDict_GetItemWithError, PyDict_SetItem, PyDict_Size
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport Py_EQ, PyObject, PyObject_RichCompareBool
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM

from datetime import timezone

import_datetime()

cdef extern from *:
    """
    #include <structmember.h>

    /* Where the slot *descriptor* lies in objects of *cls*; -1 if it is none of theirs. */
    static Py_ssize_t ns_offset(PyObject *cls, PyObject *descriptor) {
        if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return -1;
        if (!PyType_IsSubtype((PyTypeObject *)cls, PyDescr_TYPE(descriptor))) return -1;
        PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
        return member->type == T_OBJECT_EX ? member->offset : -1;
    }
    static inline PyObject **ns_slot(PyObject *obj, Py_ssize_t offset) { return (PyObject **)((char *)obj + offset); }
    static inline PyObject *ns_alloc(PyObject *cls) {
        if (PyType_Check(cls)) return ((PyTypeObject *)cls)->tp_alloc((PyTypeObject *)cls, 0);
        PyErr_BadInternalCall();
        return NULL;
    }
    /* By its true type: what an object says of its class is no promise of slots. */
    static inline int ns_is(PyObject *obj, PyObject *cls) {
        return PyType_Check(cls) && PyObject_TypeCheck(obj, (PyTypeObject *)cls);
    }
    static inline int ns_deeper(void) { return Py_EnterRecursiveCall(" in the codec") ? -1 : 0; }
    static inline int ns_is_str(PyObject *o) { return PyUnicode_CheckExact(o); }
    static inline int ns_is_ascii(PyObject *o) { return PyUnicode_IS_ASCII(o); }
    static inline const unsigned char *ns_ascii(PyObject *o) { return (const unsigned char *)PyUnicode_1BYTE_DATA(o); }
    static inline Py_ssize_t ns_length(PyObject *o) { return PyUnicode_GET_LENGTH(o); }
    static inline int ns_is_int(PyObject *o) { return PyLong_CheckExact(o); }
    static inline int ns_is_float(PyObject *o) { return PyFloat_CheckExact(o); }
    static inline int ns_is_list(PyObject *o) { return PyList_CheckExact(o); }
    static inline PyObject *ns_item(PyObject *tuple, Py_ssize_t index) { return PyTuple_GET_ITEM(tuple, index); }
    #if PY_VERSION_HEX < 0x030D0000
    static inline PyObject *ns_dict(Py_ssize_t room) { return _PyDict_NewPresized(room); }
    #else
    static inline PyObject *ns_dict(Py_ssize_t room) { (void)room; return PyDict_New(); }
    #endif
    static inline int ns_is_dict(PyObject *o) { return PyDict_CheckExact(o); }
    """
    Py_ssize_t ns_offset(object, object)
    PyObject **ns_slot(object, Py_ssize_t)
    object ns_alloc(object)
    bint ns_is(object, object)
    bint ns_is_str(object)
    bint ns_is_ascii(object)
    const unsigned char *ns_ascii(object)
    Py_ssize_t ns_length(object)
    bint ns_is_int(object)
    bint ns_is_float(object)
    bint ns_is_list(object)
    PyObject *ns_item(object, Py_ssize_t)
    dict ns_dict(Py_ssize_t)
    bint ns_is_dict(object)
    int ns_deeper() except -1
    void Py_LeaveRecursiveCall()
    long long PyLong_AsLongLongAndOverflow(object, int *) except? -1
    double PyFloat_AS_DOUBLE(object)
    object PyUnicode_FromStringAndSize(const char *, Py_ssize_t)

from libc.math cimport isfinite


cdef Py_ssize_t offset_of(cls, name) except -1:
    if not isinstance(cls, type):
        raise TypeError(f"{cls!r} is no class")
    cdef Py_ssize_t found = ns_offset(cls, getattr(cls, name))
    if found < 0:
        raise TypeError(f"{cls.__name__}.{name} is no slot")
    return found


cdef inline void put(object obj, Py_ssize_t offset, object value) noexcept:
    """Fills a slot that is empty."""
    Py_INCREF(value)
    ns_slot(obj, offset)[0] = <PyObject *> value


cdef inline object get(object obj, Py_ssize_t offset):
    cdef PyObject *found = ns_slot(obj, offset)[0]
    if found is NULL:
        raise AttributeError(f"a field of {type(obj).__name__} holds nothing")
    return <object> found


cdef inline object member(object held, object key, object absent):
    cdef PyObject *found = PyDict_GetItemWithError(held, key)
    return absent if found is NULL else <object> found


cdef class Step:
    """What converts one value."""

    cdef object take(self, object held):
        raise NotImplementedError("a step of Python's is a function")

    def __call__(self, held):
        return self.take(held)


cdef inline object run(object step, object held):
    if not isinstance(step, Step):
        return step(held)
    ns_deeper()
    try:
        return (<Step> step).take(held)
    finally:
        Py_LeaveRecursiveCall()


#: The members of Nova's envelope.
cdef object name_key = "nova_object.name", namespace_key = "nova_object.namespace", version_key = "nova_object.version"
cdef object data_key = "nova_object.data", changes_key = "nova_object.changes"

include "codec_read.pxi"
include "codec_write.pxi"
include "codec_texts.pxi"
