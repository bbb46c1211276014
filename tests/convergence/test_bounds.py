"""No number makes the estimator raise anything but a `ConvergenceError` that names the field and its bound."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate.convergence import (
    BitmapWindows,
    DirtyClass,
    DirtyCurve,
    FixedPolicy,
    Fleet,
    Guest,
    Limits,
    Link,
    NovaPolicy,
    Rules,
    Situation,
    TraceLaw,
    Watch,
    WriteLaw,
    bounds,
    compare,
    forecast,
    forecast_many,
    plan_drain,
    plot_forecast,
    required_bandwidth,
    required_downtime,
    required_throttle,
    simulate,
)
from novastate.errors import ConvergenceError

MIB = 1 << 20
NAN, INF = math.nan, math.inf


def rates(**more):
    return DirtyCurve.from_dirty_rates([(1, 10 * MIB), (2, 8 * MIB)], 384 * MIB, **more)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: rates(page_size=0), "page_size"),
        (lambda: rates(page_size=NAN), "page_size"),
        (lambda: rates(resolution=NAN), "resolution"),
        (lambda: rates(resolution=-1), "resolution"),
        (lambda: rates(noise=NAN), "noise"),
        (lambda: DirtyCurve.from_windows({1: 5}, page_count=NAN), "page_count"),
        (lambda: DirtyCurve.from_windows({1: 5}, page_count=10, noise=NAN), "noise"),
        (lambda: DirtyCurve.from_windows({1: 5}, page_count=10, noise=-1), "noise"),
        (lambda: DirtyCurve.from_windows({5e-324: 1}, page_count=10), "tau"),
        (lambda: DirtyCurve.from_windows({1e-300: 1, 1e20: 5}, page_count=10), "tau"),
        (lambda: DirtyCurve((), page_count=NAN), "page_count"),
        (lambda: DirtyCurve((), page_count=INF), "page_count"),
        (lambda: DirtyCurve((), page_count=10, spread=1000), "spread"),
        (lambda: DirtyCurve((DirtyClass(5, 1, "yes"),), page_count=10), "sequential"),
        (lambda: Limits(timeout="x"), "timeout"),
        (lambda: Link("x"), "limit"),
        (lambda: Guest(4096, 0, 4096, DirtyCurve((), 1), busy="x"), "busy"),
        (lambda: Guest(1, 0, 4096, DirtyCurve((), 0)), "memory"),
        (lambda: Guest(4095, 0, 4096, DirtyCurve((), 0)), "memory"),
        (lambda: Guest(40960, 0, 4096, DirtyCurve((), 1), tail_pages=11), "tail_pages"),
        (lambda: NovaPolicy(downtime="x"), "downtime"),
        (lambda: NovaPolicy(downtime_steps=3.5), "downtime_steps"),
        (lambda: NovaPolicy().steps(NAN), "data_gb"),
        (lambda: NovaPolicy().timeout(NAN), "data_gb"),
        (lambda: FixedPolicy(timeout=NAN), "timeout"),
        (lambda: FixedPolicy(timeout=-1), "timeout"),
        (lambda: FixedPolicy(timeout_action="x"), "timeout_action"),
        (lambda: Situation(elapsed=1, current_downtime="x"), "current_downtime"),
        (lambda: Rules.qemu(auto_converge="yes"), "auto_converge"),
        (lambda: Rules.qemu(post_copy=1), "post_copy"),
        (lambda: Rules.qemu(initial="x"), "initial"),
        (lambda: Rules.qemu("9" * 5000 + ".0"), "version"),
        (lambda: Rules.qemu(None), "version"),
    ],
)
def test_what_no_field_can_hold_is_refused_by_name(make, field):
    with pytest.raises(ConvergenceError) as caught:
        make()
    assert field in caught.value.field


@pytest.mark.parametrize(
    ("make", "bound"),
    [
        (lambda: Link(limit=1e24), r"limit: must be at most 4.5036e\+15"),
        (lambda: Link(limit=10**400), "limit: must be at most"),
        (lambda: DirtyCurve((), page_count=10**30), r"page_count: must be at most 1.09951e\+12"),
        (lambda: Guest(1e30, 0, 4096, DirtyCurve((), 1)), "memory: must be at most"),
        (lambda: Limits(timeout=INF), r"timeout: must be at most 3.2e\+07"),
        (lambda: Limits(downtime=2001), "downtime: must be at most 2000"),
        (lambda: Limits(timeout=0), "timeout: must be above 0"),
        (lambda: Rules.qemu(multifd=256), "multifd: must be at most 255"),
    ],
)
def test_a_number_out_of_bounds_is_told_the_bound(make, bound):
    with pytest.raises(ConvergenceError, match=bound):
        make()


GUEST, LINK = Guest(2**30, 0, 4096, DirtyCurve((DirtyClass(5, 1),), page_count=10)), Link(1e8)
FOUND = forecast(GUEST, LINK)
#: What takes each, by the name of the argument.
TAKES = {
    "guest": (
        lambda x: forecast(x, LINK),
        lambda x: compare(x, LINK),
        required_bandwidth,
        lambda x: required_downtime(x, LINK),
        lambda x: required_throttle(x, LINK),
        lambda x: Watch(x, LINK),
    ),
    "link": (
        lambda x: forecast(GUEST, x),
        lambda x: compare(GUEST, x),
        lambda x: required_downtime(GUEST, x),
        lambda x: required_throttle(GUEST, x),
        lambda x: Watch(GUEST, x),
        lambda x: simulate(pages=10, law=WriteLaw(), link=x),
    ),
    "limits": (
        lambda x: forecast(GUEST, LINK, x),
        lambda x: compare(GUEST, LINK, x),
        lambda x: required_bandwidth(GUEST, x),
        lambda x: required_throttle(GUEST, LINK, x),
        lambda x: Watch(GUEST, LINK, x),
        lambda x: simulate(pages=10, law=WriteLaw(), link=LINK, limits=x),
        lambda x: plan_drain([], [], [], x),
    ),
    "rules": (
        lambda x: forecast(GUEST, LINK, rules=x),
        lambda x: compare(GUEST, LINK, rules=x),
        lambda x: required_bandwidth(GUEST, rules=x),
        lambda x: required_downtime(GUEST, LINK, x),
        lambda x: required_throttle(GUEST, LINK, rules=x),
        lambda x: Watch(GUEST, LINK, rules=x),
        lambda x: simulate(pages=10, law=WriteLaw(), link=LINK, rules=x),
        lambda x: plan_drain([], [], [], rules=x),
        lambda x: Fleet(2**30, 0, [0], [0], rules=[x]),
    ),
    "law": (lambda x: simulate(pages=10, law=x, link=LINK), WriteLaw.parse),
    "curve": (lambda x: Guest(2**30, 0, 4096, x),),
    "classes": (lambda x: DirtyCurve(x, 100), lambda x: DirtyCurve((x,), 100)),
    "windows": (lambda x: DirtyCurve.from_windows(x, 100),),
    "rates": (lambda x: DirtyCurve.from_dirty_rates(x, 2**20), lambda x: DirtyCurve.from_dirty_rates([x], 2**20)),
    "since": (lambda x: compare(GUEST, LINK, since=x),),
    "stats": (lambda x: Watch(GUEST, LINK).observe(x),),
    "recorded": (lambda x: plot_forecast(FOUND, x), lambda x: plot_forecast(FOUND, [x])),
    "among": (lambda x: compare(GUEST, LINK, among=x),),
    "fleet": (forecast_many,),
    "guests": (lambda x: plan_drain(x, [], []), lambda x: plan_drain([x], [], [])),
    "hosts": (lambda x: plan_drain([], x, []), lambda x: plan_drain([], [x], [])),
    "links": (lambda x: plan_drain([], [], x), lambda x: plan_drain([], [], [x])),
    "budget": (lambda x: plan_drain([], [], [], budget=x),),
    "running": (lambda x: plan_drain([], [], [], running=[x]),),
}


@pytest.mark.parametrize(("name", "take"), [(name, take) for name, each in TAKES.items() for take in each])
def test_an_argument_of_another_type_is_refused_by_name(name, take):
    with pytest.raises(ConvergenceError, match=rf"^{name}(\[0\])?: "):
        take(5)


@pytest.mark.parametrize("value", ["out.png", ["ab"], [(1, 2, 3)], {"a": 1}])
def test_what_is_no_row_of_pairs_is_refused_by_name(value):
    for take in (*TAKES["recorded"], *TAKES["rates"]):
        with pytest.raises(ConvergenceError, match=r"^(recorded|rates)"):
            take(value)


def test_the_widest_curve_has_a_probability():
    curve = DirtyCurve((DirtyClass(5, 1e24),), page_count=10, spread=10)
    assert 0.02 <= forecast(Guest(40960, 0, 4096, curve), Link(None)).probability <= 0.98


def test_a_curve_s_rows_cannot_be_changed_and_it_travels():
    curve = DirtyCurve((DirtyClass(5, 1),), page_count=10)
    with pytest.raises(TypeError):
        curve.rows[0] = 7.0
    assert curve.rows == (5.0, 1.0, 0.0)
    assert pickle.loads(pickle.dumps(curve)) == curve


ODD = st.sampled_from(
    [0, 5e-324, 1e-300, 1e-6, 0.25, 0.5, 1, 2, 4096, 2.0**40, 1e24, 1e300, 10**400, INF, NAN, -1, "x", None, True]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([1e-6, 0.25, 0.5, 1, 2]) | ODD, ODD, max_size=3), ODD, ODD, ODD)
def test_any_numbers_make_a_curve_or_an_error_with_a_name(points, first, second, third):
    for make in (
        lambda: DirtyCurve.from_windows(points, 2**40, write_rate=first, noise=INF),
        lambda: DirtyCurve.from_windows(points, first, noise=second),
        lambda: DirtyCurve.from_dirty_rates(points.items(), 2**52, resolution=first, noise=INF),
        lambda: DirtyCurve.from_dirty_rates(points.items(), first, page_size=second, noise=third),
        lambda: DirtyCurve((DirtyClass(first, second),), 2**40, third),
    ):
        name = "none"
        try:
            curve = make()
            result = forecast(Guest(max(1, curve.page_count) * 4096, 0, 4096, curve), Link(1e8))
            assert math.isfinite(curve.lower.pages(1.0) + curve.upper.rate(0))
            assert result.reason
        except ConvergenceError as error:
            name = error.field
        assert name


def test_whole_numbers_are_compared_as_they_are():
    most = 2**64 - 1
    assert bounds.whole("seed", most - 512, 0, most) == most - 512
    with pytest.raises(ConvergenceError, match="seed"):
        bounds.whole("seed", most + 1, 0, most)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (Limits, "downtime"),
        (lambda some: Limits(0.3, some), "timeout"),
        (Link, "limit"),
        (lambda some: Guest(some, 0, 4096, DirtyCurve((), 10)), "memory"),
        (lambda some: Guest(2**30, 0, some, DirtyCurve((), 10)), "page_size"),
        (lambda some: DirtyCurve((), 10).pages(some), "tau"),
        (lambda some: Rules.qemu(multifd=some), "multifd"),
        (Situation, "elapsed"),
        (lambda some: forecast_many(Fleet(2**30, 0, [1], [1]), chunk=some), "chunk"),
    ],
)
@pytest.mark.parametrize("unit", [(), ("ms",)])
def test_a_duration_of_numpys_is_no_number(make, field, unit):
    with pytest.raises(ConvergenceError) as caught:
        make(np.timedelta64(4096, *unit))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda masked: DirtyCurve.from_bitmaps(masked(np.zeros((2, 1), np.uint64)), 0.1), "bitmaps"),
        (lambda masked: DirtyCurve.from_bitmaps([masked(np.zeros(1, np.uint64))] * 2, 0.1), "bitmaps"),
        (lambda masked: BitmapWindows(64, 0.1).add(masked(np.zeros(1, np.uint64))), "bitmap"),
        (lambda masked: DirtyCurve.from_samples(masked(np.zeros((2, 3))), 0.1, 10), "versions"),
        (lambda masked: DirtyCurve.from_trace(masked(np.ones(2, int)), [0.0, 1.0], 10), "pages"),
        (lambda masked: DirtyCurve.from_trace([1, 2], masked(np.arange(2.0)), 10), "times"),
        (lambda masked: TraceLaw(masked(np.ones(2, int)), [0.0, 1.0]), "pages"),
        (lambda masked: TraceLaw([1, 2], masked(np.arange(2.0))), "times"),
    ],
)
def test_a_masked_array_is_refused_by_name(make, field):
    make(np.asarray)
    with pytest.raises(ConvergenceError) as caught:
        make(np.ma.masked_array)
    assert caught.value.field == field


@pytest.mark.parametrize(("chance", "told"), [(0.0, 0.02), (0.02, 0.02), (0.5, 0.5), (1.0, 0.98)])
def test_no_chance_is_said_to_be_none_or_sure(chance, told):
    assert bounds.said(chance) == told
