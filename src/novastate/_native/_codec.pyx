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

cdef enum Kind:
    CHECK, STR, UUID, INT, FLOAT, BOOL, ENUM, LITERAL, TIME, STEP, EMPTY_LIST, EMPTY_DICT, EMPTY_SET, TEXTS

KINDS = {
    "check": CHECK, "str": STR, "uuid": UUID, "int": INT, "float": FLOAT, "bool": BOOL, "enum": ENUM, "literal": LITERAL,
    "time": TIME, "step": STEP, "seq": EMPTY_LIST, "map": EMPTY_DICT, "set": EMPTY_SET, "texts": TEXTS,
}

cdef object UTC = timezone.utc


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


# --- in


cdef inline bint is_uuid(object text) noexcept:
    """32 hexadecimal digits, a hyphen between the groups of 8, 4, 4, 4 and 12 or not."""
    cdef Py_ssize_t length = ns_length(text), at = 0
    cdef const unsigned char *data
    cdef int digits = 0
    cdef unsigned char c
    if not ns_is_ascii(text) or length < 32 or length > 36:
        return False
    data = ns_ascii(text)
    while at < length:
        c = data[at]
        if c == b"-":
            # Only between groups, and once.
            if digits not in (8, 12, 16, 20) or data[at - 1] == b"-":
                return False
        elif b"0" <= c <= b"9" or b"a" <= c <= b"f" or b"A" <= c <= b"F":
            digits += 1
        else:
            return False
        at += 1
    return digits == 32


cdef inline int two(const unsigned char *data) noexcept:
    if not (b"0" <= data[0] <= b"9" and b"0" <= data[1] <= b"9"):
        return -1
    return (data[0] - 48) * 10 + data[1] - 48


cdef object read_time(object text):
    """A time written as 2026-08-05T04:00:00Z; None if it is written in another way, or is none."""
    cdef const unsigned char *d
    cdef int century, year, month, day, hour, minute, second
    if not ns_is_str(text) or not ns_is_ascii(text) or ns_length(text) != 20:
        return None
    d = ns_ascii(text)
    if d[4] != b"-" or d[7] != b"-" or d[10] != b"T" or d[13] != b":" or d[16] != b":" or d[19] != b"Z":
        return None
    century, year, month, day = two(d), two(d + 2), two(d + 5), two(d + 8)
    hour, minute, second = two(d + 11), two(d + 14), two(d + 17)
    if century < 0 or year < 0 or month < 1 or month > 12 or day < 1 or day > 28:
        return None  # the last days of a month are left to those who know the calendar
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59 or century * 100 + year < 1:
        return None
    return datetime_new(century * 100 + year, month, day, hour, minute, second, 0, UTC)


@cython.final
cdef class Row:
    """A field that is read."""

    cdef object key, absent
    #: What takes a value that is not as usual, or refuses it; what raises an error of the step, with the way to it.
    cdef object check, wrong
    #: Of an enum its members by value, of a literal its values, of a step what reads.
    cdef object part
    cdef Py_ssize_t offset
    cdef long long least, most
    cdef int kind
    cdef bint nullable


cdef Row row_of(cls, given):
    cdef Row row = Row.__new__(Row)
    slot, row.key, kind, row.nullable, row.least, row.most, row.part, row.absent, row.check, row.wrong = given
    row.offset, row.kind = offset_of(cls, slot), KINDS[kind]
    return row


@cython.final
cdef class Reader(Step):
    """Reads an object of one class.

    `rows`: tuples (slot, member, kind, nullable, least, most, part, absent, check, wrong), one a field of the format; `others`:
    the slots that the format has not, with what stands there; `held`: the slots that `_held` repeats, or None. `opening`: a
    callable for what is no dict, that raises; or (name, namespace, version, callable), where the callable opens an envelope that
    is not as usual, into data and past. `prepare(data)`, if any, makes today's data of what came, which has `adds` members more.
    `surplus(obj, data)` sees to members that are no fields, and returns a past, or None. `lacking(obj, data)` is asked where a
    slot of `required` holds `unset`.
    """

    cdef object cls
    cdef tuple rows, held, required
    cdef list others
    cdef Py_ssize_t past_offset, held_offset
    cdef object unset, empty_map, loaded, invalid
    cdef object name, namespace, version, opening, prepare, surplus, lacking
    cdef Py_ssize_t expected

    def __cinit__(self, cls, rows, others, held, required, opening, prepare, adds, surplus, lacking, world):
        self.unset, self.empty_map, self.loaded, self.invalid = world
        self.rows = tuple([row_of(cls, given) for given in rows])
        self.expected = len(self.rows) + adds
        self.others = [(offset_of(cls, slot), value) for slot, value in others]
        self.held = None if held is None else tuple([offset_of(cls, slot) for slot in held])
        self.required = tuple([offset_of(cls, slot) for slot in required])
        self.past_offset, self.held_offset = offset_of(cls, "_past"), offset_of(cls, "_held")
        self.prepare, self.surplus, self.lacking = prepare, surplus, lacking
        if isinstance(opening, tuple):
            self.name, self.namespace, self.version, self.opening = opening
        else:
            self.opening = opening
        self.cls = cls

    def __setitem__(self, index, part):
        """Replaces the part of a row: a step that was late is there now."""
        (<Row?> self.rows[index]).part = part

    cdef object take(self, object held):
        cdef object past = self.loaded, data, found, made, value
        cdef Py_ssize_t missing = 0, offset, index
        cdef Row row
        if self.name is None:
            if not isinstance(held, dict):
                self.opening(held)
            data = held
        else:
            data = opened(held, self.name, self.namespace, self.version)
            if data is None:
                data, past = self.opening(held)
        if self.prepare is not None:
            data = self.prepare(data)
        made = ns_alloc(self.cls)
        for row in self.rows:
            value = member(data, row.key, self.unset)
            if value is self.unset:
                missing += 1
                put(made, row.offset, row.absent)
            else:
                put(made, row.offset, self.read(row, value))
        for offset, value in self.others:
            put(made, offset, value)
        if missing + PyDict_Size(data) != self.expected:
            found = self.surplus(made, data)
            if found is not None:
                past = found
        for offset in self.required:
            if get(made, offset) is self.unset:
                self.lacking(made, data)
                break
        if self.held is not None:
            found = PyTuple_New(len(self.held))
            for index, offset in enumerate(self.held):
                value = get(made, offset)
                Py_INCREF(value)
                PyTuple_SET_ITEM(found, index, value)
            put(made, self.held_offset, found)
        put(made, self.past_offset, past)
        return made

    cdef inline object read(self, Row row, object given):
        cdef long long number
        cdef int overflow = 0, kind = row.kind
        cdef object found
        if given is None:
            if row.nullable and kind != ENUM:
                return None
        elif kind == STR:
            if ns_is_str(given) and ns_is_ascii(given):
                return given
        elif kind == INT:
            if ns_is_int(given):
                number = PyLong_AsLongLongAndOverflow(given, &overflow)
                if overflow == 0 and row.least <= number <= row.most:
                    return given
        elif kind == STEP:
            return self.step(row, given)
        elif kind == TIME:
            found = read_time(given)
            return self.step(row, given) if found is None else found
        elif kind == UUID:
            if ns_is_str(given) and is_uuid(given):
                return given
        elif kind == BOOL:
            if given is True or given is False:
                return given
        elif kind == LITERAL:
            if ns_is_str(given) and given in row.part:
                return given
        elif kind == EMPTY_LIST:
            if ns_is_list(given) and PyList_GET_SIZE(given) == 0:
                return ()
        elif kind == EMPTY_DICT or kind == TEXTS:
            if ns_is_dict(given):
                if PyDict_Size(given) == 0:
                    return self.empty_map
                if kind == TEXTS and are_texts(<dict> given):
                    return type(self.empty_map)(given)
        elif kind == EMPTY_SET:
            if ns_is_list(given) and PyList_GET_SIZE(given) == 0:
                return frozenset()
        elif kind == FLOAT:
            if ns_is_float(given) and isfinite(PyFloat_AS_DOUBLE(given)):
                if row.least <= PyFloat_AS_DOUBLE(given) <= row.most:
                    return given
        if kind == ENUM and (given is None or ns_is_str(given) or ns_is_int(given)):
            found = member(row.part, given, self.unset)
            if found is not self.unset:
                return found
        return row.check(given)  # which takes it after all, or refuses it

    cdef object step(self, Row row, object given):
        try:
            return run(row.part, given)
        except self.invalid as error:
            row.wrong(error)
            raise


cdef bint are_texts(dict held) except -1:
    for name, text in held.items():
        if not (ns_is_str(name) and ns_is_ascii(name) and ns_is_str(text) and ns_is_ascii(text)):
            return False
    return True


cdef object name_key = "nova_object.name", namespace_key = "nova_object.namespace", version_key = "nova_object.version"
cdef object data_key = "nova_object.data", changes_key = "nova_object.changes"


cdef bint says(object envelope, object key, object expected) except -1:
    return PyObject_RichCompareBool(member(envelope, key, None), expected, Py_EQ)


cdef object opened(object held, object name, object namespace, object version):
    """The data in an envelope that is as usual; None if it is not."""
    if not ns_is_dict(held) or PyDict_Size(held) != 4:
        return None
    if not (says(held, version_key, version) and says(held, name_key, name) and says(held, namespace_key, namespace)):
        return None
    data = member(held, data_key, None)
    return data if ns_is_dict(data) else None


@cython.final
cdef class Items(Step):
    """Reads a sequence. `wrong(error, index)` raises the error of an element; `slow` reads what is no list, or refuses it."""

    cdef object item, wrong, slow, invalid

    def __init__(self, item, wrong, slow, invalid):
        self.item, self.wrong, self.slow, self.invalid = item, wrong, slow, invalid

    def __setitem__(self, index, item):
        self.item = item

    cdef object take(self, object held):
        cdef Py_ssize_t index = 0
        cdef list made
        cdef object element
        if not ns_is_list(held):
            return self.slow(held)
        made = []
        try:
            while index < PyList_GET_SIZE(held):
                element = <object> PyList_GET_ITEM(held, index)
                made.append(run(self.item, element))
                index += 1
        except self.invalid as error:
            self.wrong(error, index)
            raise
        return tuple(made)


@cython.final
cdef class Box(Step):
    """Reads an object of a list class, as its elements. `slow` reads what is not as usual, or refuses it."""

    cdef object name, namespace, version, items, slow

    def __init__(self, name, namespace, version, items, slow):
        self.name, self.namespace, self.version, self.items, self.slow = name, namespace, version, items, slow

    cdef object take(self, object held):
        data = opened(held, self.name, self.namespace, self.version)
        if data is not None and PyDict_Size(data) == 1:
            elements = member(data, "objects", None)
            if elements is not None:
                return run(self.items, elements)
        return self.slow(held)


# --- out


cdef enum Form:
    AS_IS, MEMBER, CALL, LIST, DICT, SORTED, NOVA_TIME

FORMS = {"as it is": AS_IS, "enum": MEMBER, "call": CALL, "list": LIST, "dict": DICT, "sorted": SORTED, "time": NOVA_TIME}


@cython.final
cdef class Column:
    """A field that is written."""

    cdef object slot, key, part
    cdef Py_ssize_t offset
    cdef int form
    #: Whether what was written may tell of changes: 1 an envelope, 2 a list of them.
    cdef int inner
    #: Whether it is told that the field is not set.
    cdef bint told


cdef Column column_of(cls, given):
    cdef Column column = Column.__new__(Column)
    column.slot, column.key, form, column.part, column.inner, column.told = given
    column.offset, column.form = offset_of(cls, column.slot), FORMS[form]
    return column


cdef void put_two(char *into, int number) noexcept:
    into[0], into[1] = <char> (48 + number // 10), <char> (48 + number % 10)


cdef object write_time(object held):
    cdef char text[20]
    cdef int year = datetime_year(held)
    put_two(text, year // 100)
    put_two(text + 2, year % 100)
    put_two(text + 5, datetime_month(held))
    put_two(text + 8, datetime_day(held))
    put_two(text + 11, datetime_hour(held))
    put_two(text + 14, datetime_minute(held))
    put_two(text + 17, datetime_second(held))
    text[4] = text[7] = b"-"
    text[10] = b"T"
    text[13] = text[16] = b":"
    text[19] = b"Z"
    return PyUnicode_FromStringAndSize(text, 20)


@cython.final
cdef class Writer(Step):
    """Writes an object of one class.

    `columns`: tuples (slot, member, form, part, inner, told), one a field of the format; `constants`: members that are in all;
    `unset_key`: the member that names the fields that are not set, where that is told. `past`: the member for a past with a
    version, and a callable for what goes there; or None. `envelope`: (name, namespace, version, told), where
    `told(made, past, changed)` puts in what an unusual past tells, and returns the changes; or None. `held`: whether the changes
    of the fields are told by `_held`.
    """

    cdef object cls
    cdef tuple columns
    cdef object unset, loaded, unset_key, past_key, past_dump, name, namespace, version, told
    cdef dict constants
    cdef bint held
    cdef Py_ssize_t past_offset, held_offset
    #: How many members the last one had: a dict that has room for them is not moved while it is filled.
    cdef Py_ssize_t room

    def __cinit__(self, cls, columns, dict constants not None, unset_key, past, envelope, held, world):
        self.unset, self.loaded = world
        self.columns = tuple([column_of(cls, given) for given in columns])
        self.constants, self.unset_key, self.held = constants, unset_key, held
        self.past_key, self.past_dump = past if past is not None else (None, None)
        self.name, self.namespace, self.version, self.told = envelope if envelope is not None else (None,) * 4
        self.past_offset, self.held_offset = offset_of(cls, "_past"), offset_of(cls, "_held")
        self.cls = cls

    def __setitem__(self, index, part):
        """Replaces the part of a column: a step that was late is there now."""
        (<Column?> self.columns[index]).part = part

    cdef object take(self, object held):
        cdef dict out = ns_dict(self.room)
        cdef object value, past, made
        cdef list changed = None, lacking = None
        cdef PyObject *slot
        cdef Column column
        if not ns_is(held, self.cls):
            raise TypeError(f"{type(held).__name__} is no {self.cls.__name__}")
        for column in self.columns:
            value = get(held, column.offset)
            if value is self.unset:
                if column.told:
                    if lacking is None:
                        lacking = out[self.unset_key] = []
                    lacking.append(column.slot)
                continue
            if column.form != AS_IS and value is not None:
                if column.form == CALL:
                    value = run(column.part, value)
                    if column.inner and has_changes(value, column.inner):
                        if changed is None:
                            changed = []
                        changed.append(column.key)
                elif column.form == MEMBER:
                    value = value._value_
                elif column.form == NOVA_TIME:
                    value = write_time(value) if PyDateTime_Check(value) else run(column.part, value)
                elif column.form == DICT:
                    value = dict(value)
                elif column.form == LIST:
                    value = list(value)
                else:
                    value = sorted(value)
            PyDict_SetItem(out, column.key, value)
        self.room = PyDict_Size(out)
        if self.constants:
            out.update(self.constants)
        slot = ns_slot(held, self.past_offset)[0]
        past = None if slot is NULL else <object> slot
        if self.name is None:
            if self.past_key is not None and past is not None and past is not self.loaded and past.version:
                out[self.past_key] = self.past_dump(past)
            return out
        made = {name_key: self.name, namespace_key: self.namespace, version_key: self.version, data_key: out}
        if past is not self.loaded:
            changed = self.told(made, past, changed or [])
        if self.held and past is not None:
            changed = self.differing(held, changed)
        if changed:
            made[changes_key] = changed
        return made

    cdef list differing(self, object obj, list changed):
        """*changed*, and the members whose fields hold another value than they did."""
        cdef tuple before = get(obj, self.held_offset)
        cdef Py_ssize_t index
        cdef Column column
        if len(before) != len(self.columns):
            raise ValueError(f"{self.cls.__name__}._held is not of this class")
        for index in range(len(before)):
            column = <Column> self.columns[index]
            if ns_item(before, index) is ns_slot(obj, column.offset)[0]:
                continue
            was, now = before[index], get(obj, column.offset)
            if now is self.unset or PyObject_RichCompareBool(now, was, Py_EQ):
                continue
            if changed is None:
                changed = []
            if column.key not in changed:
                changed.append(column.key)
        return changed


cdef bint has_changes(object written, int inner) except -1:
    if inner == 1:
        return isinstance(written, dict) and changes_key in <dict> written
    if isinstance(written, list):
        for each in <list> written:
            if isinstance(each, dict) and changes_key in <dict> each:
                return True
    return False


@cython.final
cdef class Each(Step):
    """Writes a sequence as a list."""

    cdef object item

    def __init__(self, item):
        self.item = item

    def __setitem__(self, index, item):
        self.item = item

    cdef object take(self, object held):
        return [run(self.item, element) for element in held]


@cython.final
cdef class BoxWriter(Step):
    """Writes a sequence as an object of a list class. `told(made, sequence)` sees to a sequence that is no plain tuple."""

    cdef object name, namespace, version, items, told

    def __init__(self, name, namespace, version, items, told):
        self.name, self.namespace, self.version, self.items, self.told = name, namespace, version, items, told

    cdef object take(self, object held):
        items = run(self.items, held)
        made = {name_key: self.name, namespace_key: self.namespace, version_key: self.version, data_key: {"objects": items}}
        if has_changes(items, 2):
            made[changes_key] = ["objects"]
        if type(held) is not tuple:
            self.told(made, held)
        return made


# --- texts


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
