"""Memory of many GiB is watched anew in parts: where a guest writes decides what the first round finds, and intervals know it."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate._native import NATIVE
from novastate._native import precopy as kernel
from novastate._native.precopy_fields import NEVER, OUT_FIELDS
from novastate.convergence import DirtyClass, DirtyCurve, Guest, Limits, Link, Rules, WriteLaw, forecast, simulate
from novastate.convergence.places import matters, run_at
from novastate.convergence.precopy import rows_of, scenario_of

MIB, GIB = 1 << 20, 1 << 30
PAGES = 8 * GIB // 4096
LINK, LIMITS = Link(256 * MIB, 5e10), Limits(0.5, 600)
POINT = array("d", [1.0, 1.0, 1.0, 0.0])


def guest(law, zero=0):
    return Guest(PAGES * 4096, zero, 4096, law.curve(PAGES), busy=0.2)


LAWS = {
    "both": (WriteLaw.uniform(209100, 26305) + WriteLaw.sequential(139400, 5261), 400_000),
    "uniform": (WriteLaw.uniform(209100, 26305), 0),
    "sequential": (WriteLaw.sequential(139400, 5261), 0),
    "wide": (WriteLaw.uniform(1_000_000, 20000), 0),
}


@pytest.mark.parametrize("name", LAWS if NATIVE else ["both"])  # the Python twin of the simulator takes a second a run
def test_wherever_the_written_pages_lie_the_total_is_in_the_interval(name):
    law, zero = LAWS[name]
    low, high = forecast(guest(law, zero), LINK, LIMITS).total_interval
    runs = 20 if NATIVE else 4
    seen = [
        simulate(pages=PAGES, law=law, link=LINK, limits=LIMITS, zero_pages=zero, seed=k).total for k in range(runs)
    ]
    assert max(seen) > 1.02 * min(seen), "the place matters"
    assert sum(low <= total <= high for total in seen) >= 0.75 * runs


def test_the_later_a_page_is_sent_the_less_of_it_is_found():
    one = guest(WriteLaw.uniform(209100, 26305))
    scenario = scenario_of(one, LINK, LIMITS, Rules.qemu())
    totals = [run_at(place, scenario, rows_of(one), POINT)[1] for place in (0.0, 0.3, 0.6, 0.8, 1.0)]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] > 1.05 * totals[-1]


def test_what_writes_more_than_the_line_carries_never_ends_wherever_it_writes():
    one = guest(WriteLaw.uniform(1_000_000, 1_000_000))
    scenario = scenario_of(one, LINK, LIMITS, Rules.qemu())
    assert {run_at(place, scenario, rows_of(one), POINT)[0] for place in (0.0, 0.5, 1.0)} == {NEVER}
    assert forecast(one, LINK, Limits(0.5)).probability == 0.02


@pytest.mark.parametrize(
    ("memory", "rules"),
    [
        (2.0**30, Rules.qemu()),
        (2.0**33, Rules.qemu(accelerator="tcg")),
        (2.0**33, Rules.qemu(post_copy=True)),
        (2.0**33, Rules.qemu(xbzrle_cache=2**26)),
        (2.0**33, Rules.cloud_hypervisor()),
    ],
)
def test_where_all_is_watched_at_once_the_place_does_not_matter(memory, rules):
    one = Guest(memory, 0, 4096, DirtyCurve((), 10))
    assert not matters(scenario_of(one, LINK, LIMITS, rules))
    assert matters(scenario_of(Guest(2.0**33, 0, 4096, DirtyCurve((), 10)), LINK, LIMITS, Rules.qemu()))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("downtime", [0.3, 5.0])
def test_what_the_first_pass_has_not_sent_is_as_zero_as_it_was(share, downtime):
    one = Guest(PAGES * 4096, share * PAGES, 4096, DirtyCurve((DirtyClass(500, 100),), PAGES))
    scenario, out = scenario_of(one, Link(None), Limits(downtime), Rules.qemu()), array("d", bytes(8 * OUT_FIELDS))
    for member in (POINT, array("d", [1.0, 0.99, 1.2, 10_000.0])):
        kernel.run(scenario, rows_of(one), member, out, array("d"))
        for place in (0.0, 0.5, 1.0):
            found = run_at(place, scenario, rows_of(one), member)
            assert found[1:3].tolist() == pytest.approx(out[1:3].tolist(), abs=0.06)  # s: a turn of the loop
            assert found[3] == pytest.approx(out[3], rel=0.01)


def test_with_a_pause_limit_of_nothing_the_place_is_left_to_the_mean():
    assert not matters(scenario_of(guest(WriteLaw.uniform(209100, 26305)), LINK, Limits(0.0), Rules.qemu()))


@settings(max_examples=60 if NATIVE else 10, deadline=None)
@given(
    memory=st.floats(2.0**30 + 2**20, 2.0**45),
    share=st.floats(1e-9, 0.9),
    rate=st.floats(0, 1e9),
    ordered=st.booleans(),
    link=st.sampled_from([LINK, Link(None), Link(1.0, 1.0), Link(2.0**40, 2.0**45)]),
    downtime=st.sampled_from([0.0, 0.3, 2000.0]),
    auto=st.booleans(),
)
def test_of_any_guest_there_is_an_interval_around_the_total(memory, share, rate, ordered, link, downtime, auto):
    pages = int(memory) // 4096
    one = Guest(memory, 0.05 * pages, 4096, DirtyCurve((DirtyClass(share * pages, rate, ordered),), pages))
    told = forecast(one, link, Limits(downtime), Rules.qemu(auto_converge=auto))
    if told.total is not None:
        assert 0 <= told.total_interval[0] <= told.total <= told.total_interval[1]
    assert 0.02 <= told.probability <= 0.98
