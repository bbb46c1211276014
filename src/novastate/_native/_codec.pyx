# cython: language_level=3, boundscheck=False, wraparound=False
"""The compiled twin of the functions that `novastate.objects.codegen` writes: what reads and writes one class in one format.

Only the straight road is here: the common values of each kind are recognised by their type, and whatever else comes goes to the
callables that the tables hold, which know the errors. A slot is read and written where its descriptor says that it lies.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.datetime cimport (
    datetime_day, datetime_hour, datetime_minute, datetime_month, datetime_new, datetime_second, datetime_year,
    import_datetime,
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
    #ifndef T_OBJECT_EX
    #define T_OBJECT_EX 16
    #endif

    /* Where the slot of a member descriptor lies in an object; -1 if it is none. */
    static Py_ssize_t ns_offset(PyObject *descriptor) {
        if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return -1;
        PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
        return member->type == T_OBJECT_EX ? member->offset : -1;
    }
    static inline PyObject **ns_slot(PyObject *obj, Py_ssize_t offset) { return (PyObject **)((char *)obj + offset); }
    static inline PyObject *ns_alloc(PyObject *type) { return ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0); }
    static inline int ns_is_str(PyObject *o) { return PyUnicode_CheckExact(o); }
    static inline int ns_is_ascii(PyObject *o) { return PyUnicode_IS_ASCII(o); }
    static inline const unsigned char *ns_ascii(PyObject *o) { return (const unsigned char *)PyUnicode_1BYTE_DATA(o); }
    static inline Py_ssize_t ns_length(PyObject *o) { return PyUnicode_GET_LENGTH(o); }
    static inline int ns_is_int(PyObject *o) { return PyLong_CheckExact(o); }
    static inline int ns_is_float(PyObject *o) { return PyFloat_CheckExact(o); }
    static inline int ns_is_list(PyObject *o) { return PyList_CheckExact(o); }
    static inline int ns_is_dict(PyObject *o) { return PyDict_CheckExact(o); }
    static inline PyObject *ns_item(PyObject *tuple, Py_ssize_t index) { return PyTuple_GET_ITEM(tuple, index); }
    """
    Py_ssize_t ns_offset(object)
    PyObject **ns_slot(PyObject *, Py_ssize_t)
    object ns_alloc(object)
    bint ns_is_str(PyObject *)
    bint ns_is_ascii(PyObject *)
    const unsigned char *ns_ascii(PyObject *)
    Py_ssize_t ns_length(PyObject *)
    bint ns_is_int(PyObject *)
    bint ns_is_float(PyObject *)
    bint ns_is_list(PyObject *)
    bint ns_is_dict(PyObject *)
    PyObject *ns_item(PyObject *, Py_ssize_t)
    long long PyLong_AsLongLongAndOverflow(object, int *) except? -1
    double PyFloat_AS_DOUBLE(PyObject *)
    object PyUnicode_FromStringAndSize(const char *, Py_ssize_t)

from libc.math cimport isfinite
from libc.stdlib cimport free, malloc

cdef enum Kind:
    CHECK, STR, UUID, INT, FLOAT, BOOL, ENUM, LITERAL, TIME, STEP, EMPTY_LIST, EMPTY_DICT, EMPTY_SET, TEXTS

KINDS = {
    "check": CHECK, "str": STR, "uuid": UUID, "int": INT, "float": FLOAT, "bool": BOOL, "enum": ENUM, "literal": LITERAL,
    "time": TIME, "step": STEP, "seq": EMPTY_LIST, "map": EMPTY_DICT, "set": EMPTY_SET, "texts": TEXTS,
}

cdef object UTC = timezone.utc


cdef struct Row:
    PyObject *key
    PyObject *absent
    #: What takes a value that is not as usual, or refuses it.
    PyObject *check
    #: What raises an error of the step, with the way to it.
    PyObject *wrong
    #: Of an enum its members by value, of a literal its values, of a step what reads.
    PyObject *part
    Py_ssize_t offset
    long long least
    long long most
    int kind
    bint nullable


cdef Py_ssize_t offset_of(cls, name) except -1:
    if not isinstance(cls, type):
        raise TypeError(f"{cls!r} is no class")
    cdef Py_ssize_t found = ns_offset(getattr(cls, name))
    if found < 0:
        raise TypeError(f"{cls.__name__}.{name} is no slot")
    return found


cdef inline void put(PyObject *obj, Py_ssize_t offset, object value) noexcept:
    """Fills a slot that is empty."""
    Py_INCREF(value)
    ns_slot(obj, offset)[0] = <PyObject *> value


cdef class Step:
    """What converts one value."""

    cdef object take(self, object held):
        raise NotImplementedError

    def __call__(self, held):
        return self.take(held)


cdef inline object run(object step, object held):
    return (<Step> step).take(held) if isinstance(step, Step) else step(held)


# --- in


cdef inline bint is_uuid(PyObject *text) noexcept:
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


cdef object read_time(PyObject *text):
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
    cdef Row *table
    cdef Py_ssize_t size
    cdef list kept
    cdef list others
    cdef object held
    cdef object required
    cdef Py_ssize_t past_offset, held_offset
    cdef object unset, empty_map, loaded, invalid
    cdef object name, namespace, version, opening, prepare, surplus, lacking
    cdef Py_ssize_t adds

    def __cinit__(self, cls, rows, others, held, required, opening, prepare, adds, surplus, lacking, world):
        cdef Row *row
        self.cls = cls
        self.unset, self.empty_map, self.loaded, self.invalid = world
        self.size = len(rows)
        self.table = <Row *> malloc(sizeof(Row) * max(self.size, 1))
        if self.table is NULL:
            raise MemoryError
        self.kept = [list(given) for given in rows]
        for index, given in enumerate(self.kept):
            slot, _, kind, nullable, least, most, _, _, _, _ = given
            row = &self.table[index]
            row.offset = offset_of(cls, slot)
            row.kind, row.nullable, row.least, row.most = KINDS[kind], nullable, least, most
            row.key, row.part, row.absent = <PyObject *> given[1], <PyObject *> given[6], <PyObject *> given[7]
            row.check, row.wrong = <PyObject *> given[8], <PyObject *> given[9]
        self.others = [(offset_of(cls, slot), value) for slot, value in others]
        self.held = None if held is None else tuple([offset_of(cls, slot) for slot in held])
        self.required = tuple([offset_of(cls, slot) for slot in required])
        self.past_offset, self.held_offset = offset_of(cls, "_past"), offset_of(cls, "_held")
        self.prepare, self.adds, self.surplus, self.lacking = prepare, adds, surplus, lacking
        self.name = None
        if isinstance(opening, tuple):
            self.name, self.namespace, self.version, self.opening = opening
        else:
            self.opening = opening

    def __dealloc__(self):
        free(self.table)

    def __setitem__(self, index, part):
        """Replaces the part of a row: a step that was late is there now."""
        given = self.kept[index]
        given[6] = part
        self.table[<Py_ssize_t> index].part = <PyObject *> part

    cdef object take(self, object held):
        cdef object past = self.loaded, data, found, made
        cdef Py_ssize_t index, missing = 0
        cdef PyObject *obj
        cdef PyObject *value
        cdef Row *row
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
        obj = <PyObject *> made
        for index in range(self.size):
            row = &self.table[index]
            value = PyDict_GetItemWithError(data, <object> row.key)
            if value is NULL or value is <PyObject *> self.unset:
                missing += 1
                put(obj, row.offset, <object> row.absent)
            else:
                put(obj, row.offset, self.read(row, <object> value))
        for offset, other in self.others:
            put(obj, offset, other)
        if missing + PyDict_Size(data) != self.size + self.adds:
            found = self.surplus(made, data)
            if found is not None:
                past = found
        for offset in self.required:
            if ns_slot(obj, offset)[0] is <PyObject *> self.unset:
                self.lacking(made, data)
                break
        if self.held is not None:
            found = PyTuple_New(len(<tuple> self.held))
            for index, offset in enumerate(<tuple> self.held):
                value = ns_slot(obj, offset)[0]
                Py_INCREF(<object> value)
                PyTuple_SET_ITEM(found, index, <object> value)
            put(obj, self.held_offset, found)
        put(obj, self.past_offset, past)
        return made

    cdef inline object read(self, Row *row, object given):
        cdef PyObject *held = <PyObject *> given
        cdef PyObject *found
        cdef long long number
        cdef int overflow = 0, kind = row.kind
        if given is None:
            if row.nullable and kind != ENUM:
                return None
        elif kind == STR:
            if ns_is_str(held) and ns_is_ascii(held):
                return given
        elif kind == INT:
            if ns_is_int(held):
                number = PyLong_AsLongLongAndOverflow(given, &overflow)
                if overflow == 0 and row.least <= number <= row.most:
                    return given
        elif kind == STEP:
            return self.step(row, given)
        elif kind == TIME:
            made = read_time(held)
            return self.step(row, given) if made is None else made
        elif kind == UUID:
            if ns_is_str(held) and is_uuid(held):
                return given
        elif kind == BOOL:
            if given is True or given is False:
                return given
        elif kind == LITERAL:
            if ns_is_str(held) and given in <object> row.part:
                return given
        elif kind == EMPTY_LIST:
            if ns_is_list(held) and PyList_GET_SIZE(given) == 0:
                return ()
        elif kind == EMPTY_DICT or kind == TEXTS:
            if ns_is_dict(held):
                if PyDict_Size(given) == 0:
                    return self.empty_map
                if kind == TEXTS and are_texts(<dict> given):
                    return type(self.empty_map)(given)
        elif kind == EMPTY_SET:
            if ns_is_list(held) and PyList_GET_SIZE(given) == 0:
                return frozenset()
        elif kind == FLOAT:
            if ns_is_float(held) and isfinite(PyFloat_AS_DOUBLE(held)):
                if row.least <= PyFloat_AS_DOUBLE(held) <= row.most:
                    return given
        if kind == ENUM and (given is None or ns_is_str(held) or ns_is_int(held)):
            found = PyDict_GetItemWithError(<object> row.part, given)
            if found is not NULL:
                return <object> found
        return (<object> row.check)(given)  # which takes it after all, or refuses it

    cdef object step(self, Row *row, object given):
        try:
            return run(<object> row.part, given)
        except self.invalid as error:
            (<object> row.wrong)(error)
            raise


cdef bint are_texts(dict held) except -1:
    for name, text in held.items():
        if not (ns_is_str(<PyObject *> name) and ns_is_ascii(<PyObject *> name)):
            return False
        if not (ns_is_str(<PyObject *> text) and ns_is_ascii(<PyObject *> text)):
            return False
    return True


NAME, NAMESPACE, VERSION = "nova_object.name", "nova_object.namespace", "nova_object.version"
DATA, CHANGES = "nova_object.data", "nova_object.changes"
cdef object name_key = NAME, namespace_key = NAMESPACE, version_key = VERSION, data_key = DATA, changes_key = CHANGES


cdef bint says(object envelope, object key, object expected) except -1:
    cdef PyObject *found = PyDict_GetItemWithError(envelope, key)
    return found is not NULL and PyObject_RichCompareBool(<object> found, expected, Py_EQ)


cdef object opened(object held, object name, object namespace, object version):
    """The data in an envelope that is as usual; None if it is not."""
    cdef PyObject *data
    if not ns_is_dict(<PyObject *> held) or PyDict_Size(held) != 4:
        return None
    if not (says(held, version_key, version) and says(held, name_key, name) and says(held, namespace_key, namespace)):
        return None
    data = PyDict_GetItemWithError(held, data_key)
    return <object> data if data is not NULL and ns_is_dict(data) else None


cdef class Items(Step):
    """Reads a sequence. `wrong(error, index)` raises the error of an element; `slow` reads what is no list, or refuses it."""

    cdef object item, wrong, slow, invalid

    def __init__(self, item, wrong, slow, invalid):
        self.item, self.wrong, self.slow, self.invalid = item, wrong, slow, invalid

    def __setitem__(self, index, item):
        self.item = item

    cdef object take(self, object held):
        cdef Py_ssize_t index = 0, size
        cdef object made, element
        if not ns_is_list(<PyObject *> held):
            return self.slow(held)
        size = PyList_GET_SIZE(held)
        if size == 0:
            return ()
        made = []
        try:
            while index < size and index < PyList_GET_SIZE(held):
                element = <object> PyList_GET_ITEM(held, index)
                (<list> made).append(run(self.item, element))
                index += 1
        except self.invalid as error:
            self.wrong(error, index)
            raise
        return tuple(made)


cdef class Box(Step):
    """Reads an object of a list class, as its elements. `slow` reads what is not as usual, or refuses it."""

    cdef object name, namespace, version, items, slow

    def __init__(self, name, namespace, version, items, slow):
        self.name, self.namespace, self.version, self.items, self.slow = name, namespace, version, items, slow

    cdef object take(self, object held):
        cdef PyObject *elements
        data = opened(held, self.name, self.namespace, self.version)
        if data is not None and PyDict_Size(data) == 1:
            elements = PyDict_GetItemWithError(data, "objects")
            if elements is not NULL:
                return run(self.items, <object> elements)
        return self.slow(held)


# --- out


cdef enum Form:
    AS_IS, MEMBER, CALL, LIST, DICT, SORTED, NOVA_TIME

FORMS = {"as it is": AS_IS, "enum": MEMBER, "call": CALL, "list": LIST, "dict": DICT, "sorted": SORTED, "time": NOVA_TIME}


cdef struct Column:
    PyObject *key
    PyObject *part
    Py_ssize_t offset
    int form
    #: Whether what was written may tell of changes: 1 an envelope, 2 a list of them.
    int inner
    #: Whether it is told that the field is not set.
    bint told


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


cdef class Writer(Step):
    """Writes an object of one class.

    `columns`: tuples (slot, member, form, part, inner, told), one a field of the format; `constants`: members that are in all;
    `unset_key`: the member that names the fields that are not set, where that is told. `past`: the member for a past with a
    version, and a callable for what goes there; or None. `envelope`: (name, namespace, version, told), where
    `told(made, past, changed)` puts in what an unusual past tells, and returns the changes; or None. `held`: whether the changes
    of the fields are told by `_held`.
    """

    cdef object cls
    cdef Column *table
    cdef Py_ssize_t size
    cdef list kept
    cdef object unset, loaded, unset_key, past_key, past_dump, name, namespace, version, told
    cdef dict constants
    cdef bint held
    cdef Py_ssize_t past_offset, held_offset

    def __cinit__(self, cls, columns, constants, unset_key, past, envelope, held, world):
        cdef Column *column
        self.cls = cls
        self.unset, self.loaded = world
        self.size = len(columns)
        self.table = <Column *> malloc(sizeof(Column) * max(self.size, 1))
        if self.table is NULL:
            raise MemoryError
        self.kept = [list(given) for given in columns]
        for index, (slot, key, form, part, inner, told) in enumerate(self.kept):
            column = &self.table[index]
            column.key, column.part = <PyObject *> self.kept[index][1], <PyObject *> self.kept[index][3]
            column.offset, column.form, column.inner, column.told = offset_of(cls, slot), FORMS[form], inner, told
        self.constants, self.unset_key, self.held = constants, unset_key, held
        self.past_key, self.past_dump = past if past is not None else (None, None)
        self.name, self.namespace, self.version, self.told = envelope if envelope is not None else (None,) * 4
        self.past_offset, self.held_offset = offset_of(cls, "_past"), offset_of(cls, "_held")

    def __dealloc__(self):
        free(self.table)

    def __setitem__(self, index, part):
        given = self.kept[index]
        given[3] = part
        self.table[<Py_ssize_t> index].part = <PyObject *> part

    cdef object take(self, object held):
        cdef object out = {}, value, written, past, made
        cdef list changed = None, lacking = None
        cdef Py_ssize_t index
        cdef PyObject *slot
        cdef Column *column
        if not isinstance(held, self.cls):
            raise TypeError(f"{type(held).__name__} is no {self.cls.__name__}")
        for index in range(self.size):
            column = &self.table[index]
            slot = ns_slot(<PyObject *> held, column.offset)[0]
            if slot is NULL:
                raise AttributeError(f"{self.cls.__name__}: {<object> column.key}")
            value = <object> slot
            if value is self.unset:
                if column.told:
                    if lacking is None:
                        lacking = []
                    lacking.append(self.kept[index][0])
                continue
            if column.form != AS_IS and value is not None:
                if column.form == CALL:
                    value = run(<object> column.part, value)
                    if column.inner and has_changes(value, column.inner):
                        if changed is None:
                            changed = []
                        changed.append(<object> column.key)
                elif column.form == MEMBER:
                    value = value._value_
                elif column.form == NOVA_TIME:
                    value = write_time(value)
                elif column.form == DICT:
                    value = dict(value)
                elif column.form == LIST:
                    value = list(value)
                else:
                    value = sorted(value)
            PyDict_SetItem(out, <object> column.key, value)
        if lacking is not None:
            out[self.unset_key] = lacking
        if self.constants:
            (<dict> out).update(self.constants)
        slot = ns_slot(<PyObject *> held, self.past_offset)[0]
        past = None if slot is NULL else <object> slot
        if self.name is None:
            if self.past_key is not None and past is not None and past is not self.loaded and past.version:
                out[self.past_key] = self.past_dump(past)
            return out
        made = {name_key: self.name, namespace_key: self.namespace, version_key: self.version, data_key: out}
        if past is not self.loaded:
            changed = self.told(made, past, changed or [])
        if self.held and past is not None:
            changed = self.differing(<PyObject *> held, changed)
        if changed:
            made[changes_key] = changed
        return made

    cdef list differing(self, PyObject *obj, list changed):
        """*changed*, and the members whose fields hold another value than they did."""
        cdef PyObject *was
        cdef PyObject *now
        cdef PyObject *before = ns_slot(obj, self.held_offset)[0]
        cdef Py_ssize_t index
        if before is NULL or not isinstance(<object> before, tuple) or len(<tuple> before) != self.size:
            return changed
        for index in range(self.size):
            was, now = ns_item(before, index), ns_slot(obj, self.table[index].offset)[0]
            if was is now or now is <PyObject *> self.unset or PyObject_RichCompareBool(<object> now, <object> was, Py_EQ):
                continue
            if changed is None:
                changed = []
            if <object> self.table[index].key not in changed:
                changed.append(<object> self.table[index].key)
        return changed


cdef bint has_changes(object written, int inner) except -1:
    if inner == 1:
        return isinstance(written, dict) and changes_key in <dict> written
    if isinstance(written, list):
        for each in <list> written:
            if isinstance(each, dict) and changes_key in <dict> each:
                return True
    return False


cdef class Each(Step):
    """Writes a sequence as a list."""

    cdef object item

    def __init__(self, item):
        self.item = item

    def __setitem__(self, index, item):
        self.item = item

    cdef object take(self, object held):
        return [run(self.item, element) for element in held]


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
        while (text < end) {
            const char *stop = memchr(text, '\\\\', (size_t)(end - text));
            if (stop == NULL) stop = end;
            for (const char *at = text; at < stop; at++) found += *at == '"';
            text = stop + 2;
        }
        return found;
    }
    """
    Py_ssize_t ns_quotes(const char *, Py_ssize_t) nogil
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL


cdef Py_ssize_t strings(object held) except -1:
    """How many strings are in parsed JSON, names and values."""
    cdef Py_ssize_t found = 0
    if isinstance(held, dict):
        for name, part in (<dict> held).items():
            found += 1
            if isinstance(part, str):
                found += 1
            elif isinstance(part, (dict, list)):
                found += strings(part)
        return found
    if isinstance(held, list):
        for part in <list> held:
            if isinstance(part, str):
                found += 1
            elif isinstance(part, (dict, list)):
                found += strings(part)
        return found
    return 1 if isinstance(held, str) else 0


def says_all(data, parsed):
    """Whether all strings of the JSON text *data* are in what it was *parsed* to: of a member that is given twice one is lost."""
    cdef Py_ssize_t size = 0
    cdef const char *text
    if isinstance(data, str):
        text = PyUnicode_AsUTF8AndSize(data, &size)
    else:
        text, size = PyBytes_AS_STRING(<bytes?> data), PyBytes_GET_SIZE(<bytes?> data)
    return ns_quotes(text, size) == 2 * strings(parsed)
