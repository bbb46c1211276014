"""What estimates are made of is a value: equal where it says the same, hashable, whatever container it was given."""

from __future__ import annotations

import pytest

from novastate.convergence import (
    DirtyClass,
    DirtyCurve,
    DirtyRate,
    Guest,
    Limits,
    Link,
    Observation,
    Rules,
    Visit,
    WriteLaw,
    forecast,
    simulate,
)
from novastate.errors import ConvergenceError

MIB = 1 << 20
CLASS = DirtyClass(5, 5)
CURVE = DirtyCurve((CLASS,), 100)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (DirtyCurve([CLASS], 100), CURVE),
        (DirtyCurve([CLASS], 100, others=[CURVE], band=[CURVE, CURVE]), DirtyCurve((CLASS,), 100, others=(CURVE,), band=(CURVE, CURVE))),
        (WriteLaw(list(WriteLaw.uniform(5, 5).parts)), WriteLaw.uniform(5, 5)),
        (Observation(MIB, [Visit(0, 0.0, [1])], [DirtyRate(1, MIB, 1)]), Observation(MIB, (Visit(0, 0.0, (1,)),), (DirtyRate(1, MIB, 1),))),
        (Link(0), Link(None)),
    ],
    ids=lambda one: type(one).__name__,
)  # fmt: skip
def test_what_says_the_same_is_equal_and_has_one_hash(one, other):
    assert (one, hash(one)) == (other, hash(other))


def test_a_forecast_of_a_curve_made_of_a_list_has_a_hash():
    assert hash(forecast(Guest(MIB, 0, 4096, DirtyCurve([CLASS], 100)), Link(None)).guest.curve) == hash(CURVE)


@pytest.mark.parametrize("limit", [5e-324, 1e-300, 0.99])
def test_a_limit_below_a_byte_a_second_is_none(limit):
    with pytest.raises(ConvergenceError, match=r"^limit: must be 1 or more"):
        Link(limit)


def test_the_least_limit_has_a_reason_and_a_picture():
    found = forecast(Guest(384 * MIB, 3, 4096, CURVE), Link(1), Limits(0.3, 600))
    assert "needs 0 MiB/s" not in found.reason
    assert found._repr_html_()


@pytest.mark.parametrize("row", [(1.0,), (float("nan"), 1, 0), "abc", 5])
def test_an_observation_of_a_curve_is_three_numbers(row):
    with pytest.raises(ConvergenceError, match=r"^observations"):
        DirtyCurve((), 10, observations=(row,))


def test_a_curve_is_scaled_by_a_number_above_0():
    for factor in (float("nan"), 0, -1):
        with pytest.raises(ConvergenceError, match=r"^factor"):
            CURVE.scaled(factor)


def test_what_never_feels_a_throttle_is_forecast_and_simulated_alike():
    law = WriteLaw.uniform(8192, 160_000)
    rules, link, limits = Rules.qemu(auto_converge=True), Link(64 * MIB), Limits(0.3, 60)
    found = forecast(Guest(256 * MIB, 0, 4096, law.curve(65536), busy=law.busy), link, limits, rules)
    run = simulate(pages=65536, law=law, link=link, limits=limits, rules=rules)
    assert law.busy == 0
    assert found.throttle == run.throttle == 99
    assert found.verdict is run.verdict or found.total is run.total is None
