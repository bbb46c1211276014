"""Part of `_codec.pyx`: what reads an object, a sequence, and a sequence in a box."""

cdef enum Kind:
    CHECK, STR, UUID, INT, FLOAT, BOOL, ENUM, LITERAL, TIME, STEP, EMPTY_LIST, EMPTY_DICT, EMPTY_SET, TEXTS

KINDS = {
    "check": CHECK, "str": STR, "uuid": UUID, "int": INT, "float": FLOAT, "bool": BOOL, "enum": ENUM, "literal": LITERAL,
    "time": TIME, "step": STEP, "seq": EMPTY_LIST, "map": EMPTY_DICT, "set": EMPTY_SET, "texts": TEXTS,
}

cdef object UTC = timezone.utc


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
