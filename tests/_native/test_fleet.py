"""The fleet's kernel is one function in all its variants, and forecasts what the recursion for one guest does."""

from __future__ import annotations

import math
from array import array

import numpy as np
import pytest

from novastate._native import NATIVE, fleet, fleet_py, gone_py, precopy
from novastate._native.precopy_fields import NEVER, OUT_FIELDS, SCENARIO_FIELDS

PLAIN = dict(
    fast=1, begin=0.305, device=0.011, first_touch=10.5e-6, rewrite=1.7e-6, blank=0.25e-6, throttling=0, initial=0.2,
    increment=0.1, most=0.99, trigger=0.5, switchover=0, postcopy=0, lost=0.07, wake=0.0075, slowed=0.98, rearm=0, tailslow=0,
)  # fmt: skip
RULES = [
    PLAIN,
    PLAIN | {"throttling": 1},
    PLAIN | {"throttling": 1, "tailslow": 1, "increment": 0.3},
    PLAIN | {"switchover": 268435.0},
    PLAIN | {"postcopy": 3},
    PLAIN | {"fast": 0},
    PLAIN | {"rearm": 1},
    PLAIN | {"rearm": 1, "throttling": 1},
]


def draw(count, seed, k=3):
    """Random rows: columns, sizes, rates, which classes are sequential, rules."""
    rng = np.random.default_rng(seed)

    def spread(low, high, shape=count):
        return np.exp(rng.uniform(math.log(low), math.log(high), shape))

    page = rng.choice([4096.0, 4096.0, 4096.0, 65536.0, 2.0**21], count)
    memory = np.floor(spread(2**30, 2**39)) + 0.0
    memory[rng.random(count) < 0.05] = 4096.0
    memory[rng.random(count) < 0.03] = 2.0**52
    pages = np.floor(memory / page)
    limit = np.where(rng.random(count) < 0.25, 0.0, spread(2e6, 4e9))
    columns = (
        memory, np.floor(rng.uniform(0, 1, count) * pages), page, np.where(rng.random(count) < 0.5, -1.0, spread(1, 1e5)),
        np.minimum(215.0, pages), rng.uniform(0.02, 1, count), limit, spread(1e8, 1e11), spread(0.005, 3), spread(1, 1e5),
    )  # fmt: skip
    columns[8][rng.random(count) < 0.05] = 0.0
    size = spread(1e-4, 0.3, (count, k)) * pages[:, None]
    rate = np.minimum(np.where(limit > 0, limit, 1e9)[:, None] / page[:, None] * spread(1e-3, 2, (count, k)), 80 * size)
    return columns, size, rate, rng.integers(0, len(RULES), count).astype(np.int32)


def run(kernel, columns, size, rate, rule):
    count = max(len(rule), *(len(column) for column in columns))
    numbers = np.full((len(fleet.NUMBERS), count), -1.0)
    syncs, verdict, throttle = np.zeros(count, np.int32), np.full(count, 9, np.uint8), np.zeros(count, np.uint8)
    table = np.array([[float(row[field]) for field in fleet.RULE_FIELDS] for row in RULES])
    kernel.run(columns, size, rate, rule, table, numbers, syncs, verdict, throttle)
    return numbers, syncs, verdict, throttle


@pytest.fixture(params=fleet.variants())
def isa(request):
    before = fleet.isa()
    fleet.force_isa(request.param)
    yield request.param
    fleet.force_isa(before)


@pytest.mark.parametrize("seed", range(4 if NATIVE else 1))
def test_every_variant_gives_the_bits_of_the_twin(isa, seed):
    rows = draw(331 if NATIVE else 60, seed, k=1 + seed)
    for ours, theirs in zip(run(fleet, *rows), run(fleet_py, *rows), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_row_is_forecast_alike_wherever_it_stands(isa):
    columns, size, rate, rule = draw(200 if NATIVE else 40, 9)
    whole = run(fleet, columns, size, rate, rule)
    for part in (slice(0, 1), slice(7, 20), slice(20, None)):
        found = run(fleet, tuple(c[part].copy() for c in columns), size[part], rate[part], rule[part])
        for ours, theirs in zip(found, whole, strict=True):
            np.testing.assert_array_equal(ours, theirs[..., part])


def test_a_column_of_one_number_stands_for_all_rows(isa):
    columns, size, rate, rule = draw(30, 3)
    one = tuple(column[:1] if i else column for i, column in enumerate(columns))
    many = tuple(np.full(30, column[0]) if i else column for i, column in enumerate(columns))
    law = [np.repeat(table[:1], 30, axis=0) for table in (size, rate)]
    first = run(fleet, one, size[:1], rate[:1], rule)
    for ours, theirs in zip(first, run(fleet, many, *law, rule), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_every_number_is_a_number_and_every_row_has_a_verdict(isa):
    numbers, syncs, verdict, _ = run(fleet, *draw(2000 if NATIVE else 60, 11))
    assert not np.isnan(numbers).any()
    assert (numbers >= 0).all()
    assert set(verdict.tolist()) <= {fleet.CONVERGES, fleet.TIMES_OUT, fleet.NEVER}
    assert (syncs >= 2).all()
    assert np.isfinite(numbers[0]).tolist() == (verdict == fleet.CONVERGES).tolist()
    assert np.isinf(numbers[3]).tolist() == (verdict == fleet.NEVER).tolist()


def test_it_forecasts_what_the_recursion_for_one_guest_does():
    columns, size, rate, rule = draw(1500 if NATIVE else 60, 5)
    columns = (*columns[:2], np.full_like(columns[0], 4096.0), *columns[3:9], np.array([math.inf]))
    size = np.minimum(size, 0.3 * columns[0][:, None] / 4096)
    numbers, _, verdict, _ = run(fleet, columns, size, rate, rule)
    errors, flips = [], 0
    for at in range(len(rule)):
        rules = RULES[rule[at]]
        if rules["fast"]:
            row = tuple(float(c[at % len(c)]) for c in columns)
            end, total, *_ = single(row, rules, size[at], rate[at])
            if (end == NEVER) != (verdict[at] == fleet.NEVER):
                flips += 1
            elif end != NEVER:
                errors.append(abs(total + rules["begin"] - numbers[0, at]) / numbers[0, at])
    assert len(errors) > (500 if NATIVE else 20)
    assert flips == 0
    assert np.median(errors) < 1e-12
    assert np.quantile(errors, 0.99) < 1e-9


def single(row, rules, size, rate):
    """(end, total, ...) of one row by precopy's kernel."""
    memory, zero, page, tail, tail_zero, busy, limit, line, downtime, _ = row
    wire, flush = page + 8 * page / 4096, 32 * 4104
    on_line = wire / line
    values = dict.fromkeys(SCENARIO_FIELDS, 0.0) | {
        "pages": memory // page, "zero": zero, "tail": 1500 + memory / (64 * page) if tail < 0 else tail,
        "tail_zero": tail_zero, "page": page, "wire": wire, "wire_again": wire, "wire_zero": 9.0,
        "quota": math.ceil(limit * 0.1 / flush) * flush + 18 if limit else 0.0, "first": max(on_line, 10.5e-6),
        "again": max(on_line, 1.7e-6), "blank": 0.25e-6, "downtime": downtime, "slot": 0.1, "turn": 0.05, "busy": busy,
        "chunks": max(1.0, math.ceil(memory / 2**30)) if rules["rearm"] else 1.0,
    }  # fmt: skip
    values |= {name: float(rules[name]) for name in fleet.RULE_FIELDS if name in values and name != "blank"}
    law = array("d")
    for n, r in zip(size, rate, strict=True):
        law.extend((n, r, 0.0))
    out = array("d", bytes(8 * OUT_FIELDS))
    member = array("d", [rules["slowed"] if busy > 0.9 else 1.0, 1.0, 1.0, 0.0])
    precopy.run(array("d", values.values()), law, member, out, array("d"))
    return tuple(out)


def test_a_buffer_of_the_wrong_shape_is_refused_by_name(isa):
    columns, size, rate, rule = draw(5, 0)
    for word, broken in (
        ("columns", (columns[:9], size, rate, rule)),
        ("columns", ((columns[0][:3], *columns[1:]), size, rate, rule)),
        ("size", (columns, size[:2], rate, rule)),
        ("size", (columns, size, rate[:, :2].copy(), rule)),
        ("size", (columns, np.ones((5, 33)), np.ones((5, 33)), rule)),
        ("rule", (columns, size, rate, rule + np.int32(9))),
        ("rule", (columns, size, rate, rule - np.int32(9))),
    ):
        with pytest.raises(ValueError, match=f"^{word}:"):
            run(fleet, *broken)


def test_a_fleet_of_nobody_is_no_error(isa):
    empty = np.zeros(0)
    _columns, size, rate, rule = draw(2, 0)
    numbers, *_ = run(fleet, (empty,) * 10, size[:1], rate[:1], rule[:0])
    assert numbers.shape == (5, 0)


@pytest.mark.parametrize("t", [0.0, -1e-300, -0.3, -0.5, -1.0, -17.25, -1021.5])
def test_the_exponential_is_as_near_as_it_says(t):
    assert gone_py.gone(t)[1] == pytest.approx(2.0**t, rel=2.3e-12)
    assert gone_py.gone(t)[0] == pytest.approx(-math.expm1(t * math.log(2)), rel=2e-11)


def test_the_exponential_of_nothing_is_one_and_far_below_about_nothing():
    assert gone_py.gone(0.0) == (0.0, 1.0)
    assert gone_py.gone(-0.0) == (0.0, 1.0)
    assert 0 <= gone_py.gone(-1e9)[1] < 1e-300
