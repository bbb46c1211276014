"""The compiled codec and the Python that codegen writes do the same, of any input; and no object of Python's harms the compiled one."""

from __future__ import annotations

import collections
import gc
import itertools
import json
import re
import sys
import tracemalloc
import warnings
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import laws
from fuzz.mutate import mutated, places
from novastate import objects
from novastate._native.codec import CODEC
from novastate.errors import InvalidField, NewerVersionWarning, WireError
from novastate.objects import UNSET, Flavor, codec, convert, evolve, json_text, nova, steps
from novastate.objects.base import declared, fields, per_class
from novastate.objects.marks import UUID
from novastate.objects.nova import network_text, profile
from novastate.objects.nova.versions import CURRENT
from novastate.objects.past import LOADED
from novastate.objects.values import EMPTY
from novastate.testing import strategies

pytestmark = [
    pytest.mark.filterwarnings("ignore::novastate.errors.NewerVersionWarning"),
]

#: What is kept for each class, and by what it is kept.
KEPT = [
    (profile, "loader"), (profile, "dumper"), (nova, "loader"), (nova, "dumper"), (convert, "_plain_loader"), (convert, "_plain_dumper"),
    (network_text, "_loader"), (network_text, "_dumper"),
]  # fmt: skip
CHOOSERS = (codec, steps, profile, json_text)


def variant(chosen):
    """All that a process has of one variant, built when it is needed."""
    made = {name: per_class(getattr(module, name).__wrapped__) for module, name in KEPT}
    return [(module, name, made[name]) for module, name in KEPT] + [
        *((module, "CODEC", chosen) for module in CHOOSERS),
        (nova, "_LOADERS", {}),
    ]


#: Examples of a test that is run for each class, or each primitive.
SOME = max(settings().max_examples // 10, 5)
VARIANTS = {"compiled": variant(CODEC), "Python": variant(None)}


@contextmanager
def using(name):
    with pytest.MonkeyPatch.context() as patch:
        for module, attribute, held in VARIANTS[name]:
            patch.setattr(module, attribute, held)
        yield


def told(held):
    """All that there is to a value, types included."""
    match held:
        case objects.base.Record():
            slots = {
                name: told(getattr(held, name))
                for name in (*fields(type(held)), "_past", "_held")
                if hasattr(held, name)
            }
            return type(held), slots
        case dict():
            return type(held), [(told(name), told(part)) for name, part in held.items()]
        case set() | frozenset():
            return type(held), sorted(map(repr, held))
        case tuple() | list():
            return type(held), [told(part) for part in held], told(getattr(held, "past", None))
        case _:
            return type(held), repr(held)


def outcome(call):
    """What *call* returns or raises, all of it."""
    try:
        made = call()
    except InvalidField as error:
        return type(error), error.field, error.problem, told(error.value), error.allowed
    except Exception as error:  # noqa: BLE001  (any other is an outcome too)
        return type(error)
    if isinstance(made, objects.base.Record):
        return told(made), objects.changes(made)
    return told(made)


def same(call):
    """The outcome of *call*, which is that of both variants."""
    found = []
    for name in VARIANTS:
        with using(name), warnings.catch_warnings():
            warnings.simplefilter("ignore", NewerVersionWarning)
            found.append(outcome(call))
    assert found[0] == found[1]
    return found[0]


def test_both_variants_are_built():
    with using("compiled"):
        assert isinstance(profile.loader(Flavor), CODEC.Reader)
        assert isinstance(convert._plain_dumper(Flavor), CODEC.Writer)
    with using("Python"):
        assert profile.loader(Flavor).__name__ == "read"
        assert convert._plain_dumper(Flavor).__name__ == "write"


# --- objects, and damaged primitives


def both_ways(obj):
    """Writes and reads *obj* in every format."""
    same(lambda: list(objects.dumps(obj)))
    same(lambda: objects.loads(type(obj), objects.dumps(obj)))
    if type(obj).__name__ in CURRENT:
        same(lambda: list(nova.dumps(obj)))
        same(lambda: nova.loads(nova.dumps(obj)))


@pytest.mark.parametrize("name", sorted(declared()))
@settings(max_examples=SOME)
@given(data=st.data())
def test_an_object_is_written_and_read_alike(name, data):
    cls = declared()[name]
    obj = data.draw(strategies.records(cls, partial=data.draw(st.booleans())))
    both_ways(obj)
    loaded = objects.loads(cls, objects.dumps(obj))
    both_ways(loaded)
    other = data.draw(strategies.records(cls, partial=True))
    for field in data.draw(st.permutations(sorted(fields(cls))))[:3]:
        try:
            loaded = evolve(loaded, **{field: getattr(other, field)})
        except InvalidField:
            continue
    both_ways(loaded)


@pytest.mark.parametrize("seed", laws.seeds())
@settings(max_examples=SOME)
@given(random=st.randoms(use_true_random=False), times=st.integers(1, 3))
def test_a_damaged_primitive_is_read_alike(seed, random, times):
    held = mutated(random, laws.seeds()[seed], times)
    same(lambda: nova.load(held))
    same(lambda: nova.loads(json.dumps(held)))


@pytest.mark.parametrize("name", sorted(declared()))
@settings(max_examples=SOME)
@given(data=st.data(), random=st.randoms(use_true_random=False))
def test_damaged_data_of_any_class_are_read_alike(name, data, random):
    obj = data.draw(strategies.records(declared()[name], partial=True))
    held = mutated(random, json.loads(objects.dumps(obj)))
    same(lambda: convert.structure(declared()[name], held))
    if name in CURRENT:
        envelope = mutated(random, json.loads(nova.dumps(obj)))
        same(lambda: nova.load(envelope))


# --- what no JSON library makes


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Members(dict):
    pass


class Elements(list):
    pass


OTHERS = (
    None, UNSET, True, False, 0, 1, 1.0, 0.5, -0.0, -1, -0.5, 2**62, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2.0**53, 2.0**63, 1e300, 10**400,
    float("nan"), float("inf"), float("-inf"), "", "a", "ä", "\ud800", Text("active"), Text("7a1f"), Whole(1), b"", (), (1,), {}, [], set(),
    {"a": "b"}, {"a": 1}, {1: "a"}, {Text("a"): "b"}, {"a": Text("b")}, {"ä": "b"}, {"a": "\ud800"}, Members(), Members(a="b"),
    collections.OrderedDict(), collections.defaultdict(list), MappingProxyType({}), Elements(), Elements("a"), EMPTY, frozenset(),
    [None], [UNSET], [[]], [1], ["a"], "active", "2026-08-05T04:00:00Z", datetime(2026, 8, 5, tzinfo=UTC), object, 1j,
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(declared()))
def test_any_value_in_any_field_is_taken_or_refused_alike(name):
    cls = declared()[name]
    whole = strategies._some(cls)[0]
    plain = json.loads(objects.dumps(whole))
    for field, value in itertools.product(fields(cls).values(), OTHERS):
        same(lambda: convert.structure(cls, {**plain, field.name: value}))  # noqa: B023
        if name in CURRENT and field.wire:
            same(lambda: nova.load(laws.envelope(name, CURRENT[name], {field.wire: value})))  # noqa: B023
    for held in OTHERS:
        same(lambda: convert.structure(cls, held))  # noqa: B023


@pytest.mark.parametrize("seed", ["instance_active", "request_spec_pci_gpu", "libvirt_live_migrate_data_minimal"])
def test_any_value_at_any_place_is_taken_or_refused_alike(seed):
    text = json.dumps(laws.seeds()[seed])
    for number, other in itertools.product(range(len(places(json.loads(text)))), OTHERS[::2]):
        held = json.loads(text)
        into, key = places(held)[number]
        into[key] = other
        same(lambda: nova.load(held))  # noqa: B023


@pytest.mark.parametrize("kind", [Members, collections.OrderedDict, MappingProxyType, list, Text])
def test_an_envelope_that_is_no_dict_is_taken_or_refused_alike(kind):
    whole = laws.envelope("Flavor", CURRENT["Flavor"], {"name": "a"})
    same(lambda: nova.load(kind(whole)))
    same(lambda: nova.load({**whole, "nova_object.data": kind(whole["nova_object.data"])}))
    groups = laws.envelope("InstancePCIRequests", CURRENT["InstancePCIRequests"], {"requests": kind(whole)})
    same(lambda: nova.load(groups))
    for field in fields(objects.Instance).values():
        if field.wire:
            same(lambda: nova.load(laws.envelope("Instance", CURRENT["Instance"], {field.wire: kind(whole)})))  # noqa: B023


# --- the scanners


def field_of(cls, name):
    """Reads one value as that field of *cls*, in Nova's format."""
    return lambda held: getattr(nova.load(laws.envelope(cls, CURRENT[cls], {name: held})), name)


read_uuid, read_time = field_of("Instance", "uuid"), field_of("Instance", "launched_at")


def taken(read, held):
    with using("compiled"):
        try:
            return read(held)
        except WireError:
            return None


def a_uuid(text):
    assert taken(read_uuid, text) == (text if re.fullmatch(UUID, text) else None), text


def test_a_uuid_has_its_hyphens_between_its_groups_or_nowhere():
    digits = "0123456789abcdefABCDEF0123456789"
    for many in range(5):
        for at in itertools.combinations(range(33), many):
            text = "".join(("-" if place in at else "") + digit for place, digit in enumerate((*digits, "")))
            a_uuid(text)
    for place in (0, 8, 12, 16, 20, 32):
        a_uuid(f"{digits[:place]}--{digits[place:]}")


@given(
    st.from_regex(UUID, fullmatch=True) | st.text("0aF-g", min_size=30, max_size=38),
    st.integers(0, 40),
    st.characters(),
)
def test_a_uuid_is_what_the_pattern_says(text, at, other):
    a_uuid(text)
    a_uuid(text[:at] + other + text[at + 1 :])


def a_time(text):
    with using("Python"):
        try:
            expected = told(read_time(text))
        except WireError:
            expected = None
    found = taken(read_time, text)
    assert (None if found is None else told(found)) == expected, text


def test_every_day_is_read_as_the_calendar_says():
    day = date(1999, 12, 1)
    while day < date(2001, 3, 2):
        a_time(f"{day}T04:00:59Z")
        day += timedelta(1)
    for year, month, number in itertools.product(
        ("0000", "0001", "0099", "1900", "2026", "9999"), range(14), range(33)
    ):
        a_time(f"{year}-{month:02}-{number:02}T23:59:59Z")


def test_every_character_of_a_time_matters():
    text = "2026-08-05T04:00:00Z"
    for at, other in itertools.product(range(20), "0123456789-:TZtz .,+/\0\u0660\u00b2\uff10ä"):
        a_time(text[:at] + other + text[at + 1 :])
    for one in (
        "",
        text[:-1],
        text + "Z",
        text + " ",
        " " + text,
        "2026-08-05T24:00:00Z",
        "2026-08-05T00:60:00Z",
        "2026-08-05T00:00:60Z",
    ):
        a_time(one)
    for number in range(100):
        a_time(f"2026-08-05T{number:02}:00:00Z")
        a_time(f"2026-08-05T00:{number:02}:{99 - number:02}Z")
    for other in (Text(text), text.encode(), 1, datetime(2026, 8, 5, tzinfo=UTC)):
        same(lambda: read_time(other))  # noqa: B023


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_written_and_read_alike(time):
    obj = evolve(nova.load(laws.seeds()["instance_active"]), launched_at=time)
    same(lambda: nova.dump(obj))
    text = nova.dump(obj)["nova_object.data"]["launched_at"]
    assert taken(read_time, text) == time.replace(microsecond=0)
    a_time(time.isoformat())
    for day in (time.replace(year=1), time.replace(year=9999)):
        obj.launched_at = day
        same(lambda: nova.dump(obj))


@given(
    st.floats()
    | st.integers()
    | st.sampled_from((2**53, 2.0**53 + 2, 2**63, 2.0**63, -(2.0**63), 5e-324, -5e-324, 0.0, -0.0))
)
def test_a_number_is_taken_alike(number):
    for cls, name in (
        ("Flavor", "rxtx_factor"),
        ("NUMATopologyLimits", "cpu_allocation_ratio"),
        ("Flavor", "vcpus"),
        ("Instance", "power_state"),
    ):
        same(lambda: field_of(cls, name)(number))  # noqa: B023


# --- objects that are not as they say


def test_what_says_to_be_of_a_class_and_is_not_is_refused():
    obj = mock.Mock(spec=Flavor)
    assert isinstance(obj, Flavor)
    for name in VARIANTS:
        with using(name):
            for write in (profile.dumper(Flavor), convert._plain_dumper(Flavor)):
                for other in (obj, None, 1, objects.Instance.__new__(objects.Instance)):
                    with pytest.raises(TypeError):
                        write(other)


def test_an_empty_object_and_an_empty_slot_are_refused():
    for cls in (Flavor, objects.Instance):
        hollow = cls.__new__(cls)
        assert same(lambda: nova.dump(hollow)) is AttributeError  # noqa: B023
        assert same(lambda: objects.dumps(hollow)) is AttributeError  # noqa: B023
    loaded = nova.load(laws.envelope("Instance", CURRENT["Instance"], {}))
    object.__delattr__(loaded, "_held")
    assert same(lambda: nova.dump(loaded)) is AttributeError
    for held, raised in (((), ValueError), (None, TypeError)):
        object.__setattr__(loaded, "_held", held)
        with using("compiled"), pytest.raises(raised):
            nova.dump(loaded)


@pytest.mark.parametrize("value", OTHERS)
def test_a_slot_that_holds_anything_at_all_is_written_or_refused(value):
    for field in fields(objects.Instance):
        obj = nova.load(laws.envelope("Instance", CURRENT["Instance"], {}))
        object.__setattr__(obj, field, value)
        with using("compiled"):
            outcome(lambda: nova.dump(obj))  # noqa: B023
            outcome(lambda: convert.unstructure(obj))  # noqa: B023


def a_reader(rows, cls=Flavor, **given):
    """A reader of *rows*, (name, kind, part, check)."""
    made = [(name, name, kind, False, 0, 9, part, UNSET, check, lambda error: None) for name, kind, part, check in rows]
    others = [(name, UNSET) for name in fields(cls) if name not in {row[0] for row in rows}]
    rest = {"opening": print, "prepare": None, "surplus": lambda obj, data: None, "lacking": None, **given}
    return CODEC.Reader(
        cls, made, others, None, [], rest["opening"], rest["prepare"], 0, rest["surplus"], rest["lacking"], (UNSET, EMPTY, LOADED, InvalidField),
    )  # fmt: skip


def test_a_part_is_replaced_where_there_is_one():
    read = a_reader([("name", "step", str, str), ("vcpus", "step", str, str)])
    for index in (2, -3, 2**40):
        with pytest.raises(IndexError):
            read[index] = len
    read[-1] = len
    assert read({"name": 1, "vcpus": "abc"}).vcpus == 3


def test_a_part_that_replaces_itself_while_it_runs_ends_its_work():
    class Part:
        def __call__(self, held):
            read[0] = repr
            gc.collect()
            return str(held)

    read = a_reader([("name", "step", Part(), str)])
    assert (read({"name": 1}).name, read({"name": "1"}).name) == ("1", "'1'")


def test_a_dict_that_is_emptied_while_it_is_read_is_read_on():
    data = {}

    def clear(held):
        data.clear()
        gc.collect()
        return [b"x" * 100, held]

    read = a_reader([("name", "check", None, clear), ("vcpus", "check", None, clear)])
    data.update(name=[bytearray(100)], vcpus=1)
    assert read(data).name == [b"x" * 100, [bytearray(100)]]
    data.update(name=[bytearray(100)])
    outer = a_reader([("name", "step", read, str)])
    envelope = {"name": data}
    data.update(vcpus=2)
    assert isinstance(outer(envelope).name, Flavor)


def test_a_list_that_changes_while_it_is_read_is_read_to_its_end():
    for change, expected in ((list.clear, 1), (lambda held: held.append(1) if len(held) < 9 else None, 9)):
        held = [1, 2, 3]

        def item(one):
            change(held)  # noqa: B023
            return one

        assert len(CODEC.Items(item, print, print, InvalidField)(held)) == expected
        held[:] = [1, 2, 3]
        assert len(steps.load_items(item, held)) == expected


class Hostile(str):
    """A text whose comparison does what it is told to."""

    __slots__ = ("deed",)

    def __new__(cls, text, deed):
        made = super().__new__(cls, text)
        made.deed = deed
        return made

    __hash__ = str.__hash__

    def __eq__(self, other):
        self.deed()
        return NotImplemented


def test_an_envelope_that_is_emptied_by_its_own_values_is_taken_or_refused():
    for member in ("nova_object.version", "nova_object.name", "nova_object.namespace"):
        whole = laws.envelope("Flavor", CURRENT["Flavor"], {"name": "a"})
        whole[member] = Hostile(whole[member], whole.clear)
        with using("compiled"):
            outcome(lambda: profile.loader(Flavor)(whole))  # noqa: B023


def test_what_a_comparison_raises_is_raised():
    class OwnError(Exception):
        pass

    def fail():
        raise OwnError

    for member in ("nova_object.version", "nova_object.name"):
        whole = laws.envelope("Flavor", CURRENT["Flavor"], {"name": "a"})
        whole[member] = Hostile(whole[member], fail)
        assert same(lambda: profile.loader(Flavor)(whole)) is OwnError  # noqa: B023


def test_what_a_callable_raises_is_raised_and_nothing_is_left():
    def fail(*_):
        raise ZeroDivisionError

    data = {"name": 1}
    for read in (
        a_reader([("name", "check", None, fail)]), a_reader([("name", "step", fail, str)]), a_reader([], surplus=fail),
        a_reader([("name", "check", None, str)], prepare=fail), a_reader([], opening=("a", "b", "c", fail)),
    ):  # fmt: skip
        before = sys.getrefcount(data)
        for _ in range(100):
            with pytest.raises(ZeroDivisionError):
                read(data)
        assert sys.getrefcount(data) == before


def test_a_codec_that_cannot_be_is_not_made():
    class Other:
        __slots__ = ("name",)

    class Odd(Flavor):
        name = Other.name

    for cls, slot in ((Odd, "name"), (Flavor, "nothing"), (Flavor, "__doc__"), (Flavor, "__weakref__")):
        with pytest.raises((TypeError, AttributeError)):
            a_reader([(slot, "str", None, str)], cls=cls)
    with pytest.raises(KeyError):
        a_reader([("name", "bogus", None, str)])
    for cls in (int, 1):
        with pytest.raises((TypeError, AttributeError)):
            CODEC.Writer(cls, [], {}, "", None, None, False, (UNSET, LOADED))
    for make in (CODEC.Reader, CODEC.Writer, CODEC.Items):
        with pytest.raises(TypeError):
            make()
    with pytest.raises(TypeError):
        CODEC.Items.__new__(CODEC.Items)([1])
    for name in ("Reader", "Writer", "Items", "Box", "Each", "BoxWriter"):
        with pytest.raises(TypeError):
            type("Mine", (getattr(CODEC, name),), {})


def test_a_half_filled_object_is_collected():
    seen = []

    def look(held):
        gc.collect()
        seen.extend(type(one) for one in gc.get_objects() if type(one) is Flavor and not hasattr(one, "name"))
        raise KeyError

    read = a_reader([("vcpus", "check", None, look), ("name", "check", None, str)])
    for _ in range(3):
        with pytest.raises(KeyError):
            read({"vcpus": 1, "name": "a"})
    seen.clear()
    gc.collect()
    assert not [
        one
        for one in gc.get_objects()
        if type(one) is Flavor and not hasattr(one, "_past") and not hasattr(one, "name")
    ]


# --- depth, and what is left


def test_endless_depth_is_a_recursion_error():
    itself = CODEC.Items(None, print, print, InvalidField)
    itself[0] = itself
    held = []
    for _ in range(10**6):
        held = [held]
    with pytest.raises(RecursionError):
        itself(held)
    with pytest.raises(RecursionError):
        CODEC.says_all("[]", held)
    while held:  # or its end were as deep
        held = held[0]
    writes = CODEC.Each(None)
    writes[0] = writes
    endless = []
    endless.append(endless)
    with pytest.raises(RecursionError):
        writes(endless)
    with pytest.raises(RecursionError):
        itself(endless)


@pytest.mark.parametrize(
    "text",
    ["", "\\", '"', '"\\', '"\\"', '["a\\\\", "b"]', '{"a": 1, "a": 2}', '{"a\\"": ["\\u0022", "\\\\\\""]}', '"ä"'],
)
def test_the_strings_of_a_text_are_counted_alike(text):
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    for data in (text, text.encode()):
        with using("Python"):
            expected = json_text._says_all(data, parsed)
        assert CODEC.says_all(data, parsed) == expected
    with pytest.raises(TypeError):
        CODEC.says_all(bytearray(b"[]"), parsed)


def test_nothing_is_left_of_what_was_read_written_or_refused():
    whole = laws.seeds()["instance_active"]
    wrong = json.loads(json.dumps(whole))
    wrong["nova_object.data"]["flavor"]["nova_object.data"]["vcpus"] = "4"
    with using("compiled"):

        def work(times):
            for _ in range(times):
                obj = nova.load(whole)
                nova.dump(obj)
                convert.structure(type(obj), convert.unstructure(obj))
                with pytest.raises(WireError):
                    nova.load(wrong)

        work(100)
        gc.collect()
        watched = (None, UNSET, EMPTY, LOADED, (), "nova", *whole["nova_object.data"].values())
        before = [sys.getrefcount(one) for one in watched]
        tracemalloc.start()
        try:
            work(200)
            gc.collect()
            one = tracemalloc.get_traced_memory()[0]
            work(1000)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - one
        finally:
            tracemalloc.stop()
    assert grown < 20_000
    assert all(abs(sys.getrefcount(one) - count) < 100 for one, count in zip(watched, before, strict=True))
