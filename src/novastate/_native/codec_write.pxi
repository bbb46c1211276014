"""Part of `_codec.pyx`: what writes them."""

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
