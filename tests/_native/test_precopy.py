"""The compiled recursion and its twin are one function; it ends, and its numbers are numbers."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate._native import precopy, precopy_py

try:
    from novastate._native import _precopy as compiled
except ImportError:  # no compiler here: the twin is all there is
    compiled = precopy_py

KERNELS = [precopy_py, compiled]


def numbers(low, high):
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


@st.composite
def scenarios(draw):
    pages = draw(st.sampled_from([0, 1, 300, 98434, 2**24, 2**40]))
    quota = draw(st.sampled_from([0.0, 131346.0, 6829074.0, 1e9]))
    wire = draw(st.sampled_from([4104.0, 65544.0]))
    values = {
        "pages": pages,
        "zero": draw(numbers(0, pages)),
        "tail": draw(numbers(0, 5000)),
        "tail_zero": draw(numbers(0, 300)),
        "page": wire - 8,
        "wire": wire,
        "wire_again": draw(st.sampled_from([40.0, wire - 1])),
        "cache": draw(st.sampled_from([0.0, 4096.0])),
        "wire_zero": 9.0,
        "quota": quota,
        "first": draw(numbers(1e-7, 1e-4)),
        "again": draw(numbers(1e-7, 1e-4)),
        "blank": draw(numbers(1e-9, 1e-6)),
        "downtime": draw(st.sampled_from([0.0, 0.03, 0.3, 2.0])),
        "switchover": draw(st.sampled_from([0.0, 268435.0])),
        "device": 0.011,
        "slot": 0.1,
        "turn": 0.05,
        "throttling": draw(st.sampled_from([0.0, 1.0])),
        "initial": draw(numbers(0.01, 0.99)),
        "increment": draw(numbers(0.01, 0.5)),
        "most": draw(numbers(0.1, 0.99)),
        "trigger": draw(numbers(0.05, 1.0)),
        "busy": draw(numbers(0.02, 1.0)),
        "lost": 0.07,
        "wake": 0.0075,
        "postcopy": draw(st.sampled_from([0.0, 0.0, 1.0, 3.0])),
    }
    assert tuple(values) == precopy.SCENARIO_FIELDS
    return array("d", values.values())


@st.composite
def laws(draw):
    rows = array("d")
    for _ in range(draw(st.integers(0, 6))):
        size = draw(numbers(0.5, 200_000))
        rows.extend((size, size * 10 ** draw(numbers(-3, 2)), draw(st.sampled_from([0.0, 0.0, 1.0]))))
    return rows


MEMBERS = array("d", [1.0, 1.0, 1.0, 0.0, 0.9, 0.99, 4.0, 200.0, 1.1, 1.0, 0.0, -1e9])


def run(kernel, scenario, law, members=MEMBERS, capacity=16):
    out = array("d", bytes(8 * precopy.OUT_FIELDS * (len(members) // precopy.MEMBER_FIELDS)))
    rounds = array("d", bytes(8 * precopy.ROUND_FIELDS * capacity))
    count = kernel.run(scenario, law, members, out, rounds)
    return count, out, rounds


@settings(max_examples=60, deadline=None)
@given(scenarios(), laws())
def test_the_compiled_kernel_and_its_twin_agree_to_the_last_bit(scenario, law):
    assert run(precopy_py, scenario, law) == run(compiled, scenario, law)


@settings(max_examples=150, deadline=None)
@given(scenarios(), laws())
def test_it_ends_and_every_number_is_finite(scenario, law):
    count, out, rounds = run(compiled, scenario, law)
    assert 0 <= count <= 16
    assert all(math.isfinite(value) and value >= 0 for value in (*out, *rounds))
    assert {out[0], out[8], out[16]} <= {precopy.CONVERGED, precopy.POSTCOPY, precopy.NEVER}


@settings(max_examples=100, deadline=None)
@given(scenarios(), laws())
def test_what_remains_is_never_more_than_the_guest_has(scenario, law):
    pages = scenario[0]
    law_pages = sum(law[0::3])
    count, _, rounds = run(compiled, scenario, law)
    for at in range(0, count * precopy.ROUND_FIELDS, precopy.ROUND_FIELDS):
        assert rounds[at + 3] <= (pages + law_pages) * (1 + 1e-9) + 1e-6
        assert rounds[at + 2] <= law_pages * (1 + 1e-9)


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
def test_an_idle_guest_is_sent_once(kernel):
    scenario = dict.fromkeys(precopy.SCENARIO_FIELDS, 0.0) | {
        "pages": 10_000, "page": 4096, "wire": 4104, "wire_again": 4104, "wire_zero": 9, "quota": 52 * 131328 + 18,
        "first": 1e-5, "again": 2e-6, "blank": 1e-6, "downtime": 0.3, "device": 0.01, "slot": 0.1, "turn": 0.05,
        "most": 0.99, "trigger": 0.5, "busy": 1,
    }  # fmt: skip
    _, out, _ = run(kernel, array("d", scenario.values()), array("d"), array("d", [1, 1, 1, 0]))
    end, total, pause, sent, syncs, *_ = out
    assert (end, syncs) == (precopy.CONVERGED, 2)
    assert sent == pytest.approx(10_000 * 4104)
    # Four slots of 1664 pages bring 10,000 below the 5,002 of the threshold; the rest is the pause.
    assert total - pause == pytest.approx(0.4)


@pytest.mark.parametrize("kernel", KERNELS, ids=["twin", "compiled"])
@pytest.mark.parametrize(
    ("sizes", "word"),
    [((3, 3, 4, 8), "scenario"), ((27, 4, 4, 8), "classes"), ((27, 99, 4, 8), "classes"), ((27, 3, 3, 8), "members"),
     ((27, 3, 0, 8), "members"), ((27, 3, 4, 7), "out")],
)  # fmt: skip
def test_a_buffer_of_the_wrong_length_is_refused_by_name(kernel, sizes, word):
    assert len(precopy.SCENARIO_FIELDS) == 27
    buffers = [array("d", bytes(8 * size)) for size in sizes]
    with pytest.raises(ValueError, match=f"^{word}:"):
        kernel.run(*buffers, array("d"))
