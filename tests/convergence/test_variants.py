"""A guest varies as far as what is known of it says."""

from __future__ import annotations

import math

import pytest

from novastate.convergence import DirtyClass, DirtyCurve, Guest, bounds
from novastate.convergence.variants import varied


def test_who_varies_upwards_writes_more_and_has_fewer_zero_pages():
    curve = DirtyCurve((DirtyClass(1000, 500),), 98434, 0.2)
    who = Guest(98434 * 4096, 100, 4096, curve, zero_error=10)
    more, less = varied(who, 1.0), varied(who, -1.0)
    assert more.curve.rate(0) > who.curve.rate(0) > less.curve.rate(0)
    assert (more.zero_pages, less.zero_pages) == (90, 110)
    assert varied(who, 100.0).zero_pages == 0


def test_rates_vary_by_the_spread_and_by_no_less_than_three_percent():
    for spread in (0.0, 0.5):
        who = Guest(2**28, 0, 4096, DirtyCurve((DirtyClass(1000, 500),), 2**16, spread))
        assert varied(who, 2.0).curve.rate(0) == pytest.approx(500 * math.exp(2 * math.hypot(0.03, spread)))
        assert varied(who, 0.0) == who


def test_no_rate_varies_beyond_what_a_rate_may_be():
    who = Guest(2**28, 0, 4096, DirtyCurve((DirtyClass(1000, bounds.FASTEST),), 2**16, bounds.WIDEST))
    assert varied(who, 2.0).curve.rate(0) == bounds.FASTEST


def test_where_there_are_others_it_is_one_of_them_by_rank():
    others = tuple(DirtyCurve((DirtyClass(1000, rate),), 2**16) for rate in (300, 100, 200, 400))
    who = Guest(2**28, 0, 4096, DirtyCurve((DirtyClass(1000, 250),), 2**16, 0.5, others=others))
    found = [varied(who, deviation).curve.rate(0) for deviation in (-9, -0.5, 0.5, 1.65, 9)]
    assert found == [100, 200, 300, 400, 400]
