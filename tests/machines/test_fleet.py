"""A fleet through one trigger: the byte tables on every kernel, against one instance at a time."""

from __future__ import annotations

import array
import contextlib
import ctypes
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine_reference import MACHINES
from novastate._native import tables, tables_py
from novastate.errors import IllegalTransition, InvalidField, UnknownName
from novastate.machines import REFUSED, VMMachine, VMState

TABLES = st.binary(min_size=256, max_size=256)
# Long enough for every register width and its remainder; mostly states, sometimes anything.
CODES = st.one_of(st.binary(max_size=300), st.lists(st.integers(0, 42), max_size=300).map(bytes))


@pytest.fixture(params=tables.variants(), autouse=True, scope="module")
def isa(request):
    before = tables.isa()
    tables.force_isa(request.param)
    yield request.param
    tables.force_isa(before)


@st.composite
def fleets(draw):
    machine = draw(st.sampled_from(MACHINES))
    trigger = draw(st.sampled_from(sorted(machine.triggers)))
    return machine, trigger, draw(st.lists(st.sampled_from(list(machine.states)), max_size=200))


@given(fleets())
def test_a_fleet_moves_as_its_instances_do_one_by_one(fleet):
    machine, trigger, states = fleet
    expected = []
    for state in states:
        one = SimpleNamespace(**{machine.field: state})
        try:
            expected.append(machine.trigger(trigger)(one))
        except IllegalTransition:
            expected.append(None)
    before = machine.encode(states)
    assert machine.decode(machine.apply_many(before, trigger)) == expected
    assert before == machine.encode(states)


@given(fleets())
def test_encoding_is_undone_by_decoding(fleet):
    machine, _, states = fleet
    assert machine.decode(machine.encode(states)) == states


@given(codes=CODES, table=TABLES)
def test_the_kernel_is_its_twin_for_every_code_and_table(codes, table):
    assert tables.translate(codes, table) == tables_py.translate(codes, table) == codes.translate(table)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000])
@pytest.mark.parametrize("high", [0, 63, 64, 127, 128, 255])
def test_a_high_code_anywhere_in_a_block_takes_the_plain_path(size, high):
    table = bytes(reversed(range(256)))
    for at in range(0, size, max(1, size // 9)):
        codes = bytearray(i % 13 for i in range(size))
        codes[at] = high
        assert tables.translate(codes, table) == bytes(codes).translate(table)


MAKE = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": lambda b: memoryview(bytearray(b)),
    "array": lambda b: array.array("B", b),
    "numpy": lambda b: np.frombuffer(b, dtype=np.uint8),
    "an unaligned view": lambda b: memoryview(b"x" + b)[1:],
}


@pytest.mark.parametrize("kind", MAKE)
def test_every_contiguous_buffer_is_taken_and_left_as_it_is(kind):
    codes = VMMachine.encode([VMState.ACTIVE, VMState.ERROR, VMState.DELETED] * 33)
    given_ = MAKE[kind](codes)
    moved = VMMachine.apply_many(given_, "delete")
    assert moved == VMMachine.apply_many(codes, "delete")
    assert type(moved) is bytes
    assert bytes(given_) == codes
    assert VMMachine.decode(moved)[:3] == [VMState.DELETED, VMState.DELETED, None]


@pytest.mark.parametrize(
    "wrong",
    [np.zeros(8, np.int64), np.zeros((2, 2), np.uint8), np.zeros(8, np.uint8)[::2], memoryview(bytes(8))[::2]],
    ids=["wide", "square", "strided array", "strided view"],
)
def test_what_is_no_run_of_bytes_is_refused(wrong):
    for translate in (tables.translate, tables_py.translate):
        with pytest.raises(ValueError, match="contiguous buffers of bytes"):
            translate(wrong, bytes(256))


@pytest.mark.parametrize("wrong", [5, None, "active", [1, 2]])
def test_what_is_no_buffer_is_refused(wrong):
    for translate in (tables.translate, tables_py.translate):
        with pytest.raises(TypeError):
            translate(wrong, bytes(256))


def test_a_table_has_256_entries():
    for translate in (tables.translate, tables_py.translate):
        for size in (0, 255, 257):
            with pytest.raises(ValueError, match="256"):
                translate(b"abc", bytes(size))


def test_an_empty_fleet_stays_empty():
    assert VMMachine.apply_many(b"", "pause") == b""
    assert VMMachine.decode(b"") == []


def test_a_refused_one_stays_refused():
    moved = VMMachine.apply_many(bytes([REFUSED] * 70), "pause")
    assert moved == bytes([REFUSED] * 70)


def test_a_code_that_is_none_is_refused_by_decode():
    with pytest.raises(InvalidField, match="no code of VMState"):
        VMMachine.decode(bytes([12]))


def test_an_unknown_trigger_lists_the_near_ones():
    with pytest.raises(UnknownName) as unknown:
        VMMachine.apply_many(b"", "unpaus")
    assert "unpause" in unknown.value.near


def test_a_variant_that_is_not_here_is_refused(isa):
    for module in (tables, tables_py):
        with pytest.raises(ValueError, match="not available"):
            module.force_isa("sse9")
    assert tables.isa() == isa
    tables_py.force_isa("python")
    assert tables_py.isa() == "python"
    assert tables_py.variants() == ("python",)


BYTES = [1, 0, 1, 1]


@pytest.mark.parametrize(
    "codes",
    [
        np.array(BYTES, np.bool_),
        np.array(BYTES, np.int8),
        np.array(BYTES, np.uint8),
        array.array("b", BYTES),
        memoryview(bytes(BYTES)).cast("c"),
        memoryview(bytes(BYTES)).cast("?"),
        (ctypes.c_uint8 * 4)(*BYTES),
    ],
    ids=["bool", "int8", "uint8", "array of b", "char", "?", "ctypes"],
)
def test_items_of_one_byte_are_codes_whatever_they_are_called(codes):
    table = bytes(reversed(range(256)))
    for translate in (tables.translate, tables_py.translate):
        assert translate(codes, table) == bytes(BYTES).translate(table)
    assert VMMachine.decode(codes) == VMMachine.decode(bytes(BYTES))
    assert VMMachine.apply_many(codes, "delete") == VMMachine.apply_many(bytes(BYTES), "delete")


@pytest.mark.parametrize("wrong", [5, "active", None, np.zeros(4, np.int32), np.zeros((2, 2), np.uint8), np.uint8(1)])
def test_what_holds_no_codes_is_refused_by_name(wrong):
    with pytest.raises(InvalidField, match="codes: must be a contiguous buffer of bytes"):
        VMMachine.decode(wrong)
    with pytest.raises(InvalidField, match="codes: must be a contiguous buffer of bytes"):
        VMMachine.apply_many(wrong, "pause")


def test_a_refused_buffer_is_let_go():
    for translate in (tables.translate, tables_py.translate):
        for codes, table in (
            (bytearray(4), bytearray(255)),
            (bytearray(4), bytearray(256)),
            (array.array("i", [1]), bytearray(256)),
        ):
            with contextlib.suppress(ValueError):
                translate(codes, table)
            codes.extend(codes)
            table.extend(b"x")
