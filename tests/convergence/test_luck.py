"""A round that happens to write little enough ends what goes round for ever: how likely that is, by the page-exact simulator."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate._native.precopy_fields import SCENARIO_FIELDS, Scenario
from novastate.convergence import Guest, Limits, Link, Rules, Verdict, WriteLaw, forecast, simulate
from novastate.convergence.luck import lucky

MIB = 1 << 20
MEMBER = array("d", [1.0, 1.0, 1.0, 0.0])


def scenario(**fields):
    row = {
        "pages": 1e5,
        "page": 4096.0,
        "wire": 4104.0,
        "again": 1e-4,
        "slot": 0.1,
        "downtime": 0.3e-3 * 1000,
        **fields,
    }
    return array("d", (row.get(field, 0.0) for field in SCENARIO_FIELDS))


def test_the_fields_are_the_kernels():
    assert {"again", "downtime", "throttling", "cache", "family"} <= set(SCENARIO_FIELDS)
    assert hasattr(Scenario, "again")


def test_a_slow_line_where_chance_decides_is_not_called_never_for_sure():
    law = WriteLaw(
        WriteLaw.parse("uniform pages=5007 rate=15.8 + sequential pages=1669 rate=3.16").with_background().parts, 0.3
    )
    link, limits, rules = Link(None, 1.25e6), Limits(0.3, 1800), Rules.qemu("7.2")
    found = forecast(Guest(256 * MIB, 23468, 4096, law.curve(256 * 256), busy=0.3), link, limits, rules)
    assert (found.verdict, found.probability) == (Verdict.NEVER, pytest.approx(0.5, abs=0.1))
    assert "close" in found.reason
    ended = [
        simulate(pages=256 * 256, law=law, link=link, limits=limits, rules=rules, zero_pages=23468, seed=seed).verdict
        for seed in range(2)
    ]
    assert ended == [Verdict.CONVERGES] * 2


def test_a_fast_line_leaves_nothing_to_chance():
    law = WriteLaw.uniform(60000, 90000)
    found = forecast(Guest(1024 * MIB, 0, 4096, law.curve(2**18)), Link(64 * MIB), Limits(0.3), Rules.qemu("10.0"))
    assert (found.verdict, found.probability) == (Verdict.NEVER, 0.02)


def test_the_nearer_and_the_longer_it_tries_the_likelier():
    one = array("d", [1e6, 2000.0, 0.0])
    told = [lucky(scenario(), one, MEMBER, pending, 500.0) for pending in (3010.0, 3100.0, 3200.0, 4000.0)]
    assert told == sorted(told, reverse=True)
    assert told[0] > 0.9
    assert told[-1] < 1e-3
    assert lucky(scenario(), one, MEMBER, 3150.0, 20.0) < lucky(scenario(), one, MEMBER, 3150.0, 200.0)
    assert lucky(scenario(), one, MEMBER, 3010.0, 1.0) == 0.0  # the first pass takes longer


def test_pages_that_are_all_written_anyway_leave_nothing_to_chance():
    assert lucky(scenario(), array("d", [3100.0, 1e6, 0.0]), MEMBER, 3100.0, 500.0) == 0.0
    assert lucky(scenario(), array("d", [1e6, 2000.0, 1.0]), MEMBER, 3100.0, 500.0) == 0.0  # one after the other


@pytest.mark.parametrize("field", ["throttling", "cache", "family"])
def test_where_no_round_is_as_the_one_before_nothing_is_said(field):
    assert lucky(scenario(**{field: 1.0}), array("d", [1e6, 2000.0, 0.0]), MEMBER, 3010.0, 500.0) == 0.0


@given(
    st.floats(0, 1e12),
    st.floats(0, 1e12),
    st.floats(0, 1e12),
    st.floats(1e-9, 1e3),
    st.floats(0, 1e3),
    st.one_of(st.none(), st.floats(-1e6, 1e9)),
)
def test_whatever_is_asked_it_is_a_probability(size, rate, pending, again, downtime, timeout):
    asked = scenario(again=again, downtime=downtime)
    assert 0.0 <= lucky(asked, array("d", [size, rate, 0.0]), MEMBER, pending, timeout) <= 1.0
