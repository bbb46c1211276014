"""Memory on huge pages: after the switch to post-copy a huge page goes whole where one of its pages is missing."""

from __future__ import annotations

import math

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.convergence import (
    DirtyClass,
    DirtyCurve,
    Fleet,
    Guest,
    Limits,
    Link,
    Rules,
    Watch,
    WriteLaw,
    compare,
    forecast,
    forecast_many,
    post_copy_of,
    simulate,
)
from novastate.convergence.hostpages import whole
from novastate.convergence.simulation.pagemap import PageMap
from novastate.convergence.simulation.setup import SimulationSetup
from novastate.convergence.simulation.writers import mark_range
from novastate.drivers import JobStats, JobType
from novastate.errors import ConvergenceError

MIB, GIB = 1 << 20, 1 << 30
LINK, LIMITS = Link(None, 1.25e9), Limits(0.3)
RULES = Rules.qemu(post_copy=True, first_touch=4104 / 1.1e9)


def guest(host_page=0, *, size=64 * GIB, rate=400_000, zero_pages=0):
    curve = DirtyCurve((DirtyClass(200_000, rate),), size // 4096)
    return Guest(size, zero_pages, 4096, curve, host_page=host_page)


@pytest.mark.parametrize("host_page", [64 << 10, 2 * MIB])
@pytest.mark.parametrize("missing", [1, 30, 1000, 30_000, 262_144])
def test_as_many_pages_go_as_in_huge_pages_of_which_any_is_missing(host_page, missing):
    one, each = guest(size=GIB, rate=100), host_page // 4096
    random = np.random.default_rng(3)
    found = [len(np.unique(random.permutation(262_144)[:missing] // each)) * each for _ in range(5)]
    assert whole(one, missing, host_page) == pytest.approx(np.mean(found), rel=0.03)
    together = whole(one, missing, host_page, scatter=0.0)
    assert together == max(missing, each)


@given(
    st.floats(0, 300_000), st.floats(0, 1), st.floats(0, 1), st.sampled_from([0, 4096, 64 << 10, 2 * MIB, GIB]),
    st.sampled_from([4096, MIB, 100 * MIB + 4096, GIB]),
)  # fmt: skip
def test_what_goes_is_no_less_than_what_is_missing_and_no_more_than_there_is(missing, low, high, host_page, size):
    one = Guest(size, 0, 4096, DirtyCurve((), size // 4096))
    low, high = min(low, high), max(low, high)
    less, more = whole(one, missing, host_page, low), whole(one, missing, host_page, high)
    assert min(missing, one.pages) <= less * (1 + 1e-9)
    assert less <= more * (1 + 1e-9) <= one.pages * (1 + 2e-9)


@pytest.mark.parametrize("host_page", [2 * MIB, GIB])
def test_a_forecast_counts_the_huge_pages_that_go_whole(host_page):
    plain, huge = (forecast(guest(size), LINK, LIMITS, RULES) for size in (0, host_page))
    assert plain.post_copied
    assert huge.post_copied
    assert huge.missing == pytest.approx(2**24, rel=0.003)  # all
    again = huge.missing - plain.missing
    assert huge.total - plain.total == pytest.approx(again * 4104 / 1.25e9, rel=0.01)
    assert huge.transferred - plain.transferred == pytest.approx(again * 4104, rel=0.01)
    assert huge.downtime == plain.downtime
    low, high = huge.total_interval
    assert low < 1.1 * plain.total < huge.total < high  # where the missing pages lie is not known
    blank = forecast(attrs.evolve(huge.guest, zero_pages=2**23), LINK, LIMITS, RULES)
    assert blank.missing == pytest.approx(2**24, rel=0.003)
    assert blank.transferred < 0.55 * huge.transferred
    short = Limits(0.3, plain.total + 5)
    assert forecast(guest(), LINK, short, RULES).verdict.value == "converges"
    late = forecast(guest(host_page), LINK, short, RULES)
    assert (late.verdict.value, late.unlimited_total) == ("times_out", huge.total)


def test_where_it_does_not_switch_the_last_look_comes_later_and_no_more_goes():
    one, rules = guest(rate=1000), Rules.qemu(post_copy=False, first_touch=4104 / 1.1e9)
    plain, huge = (forecast(attrs.evolve(one, host_page=size), LINK, LIMITS, rules) for size in (0, GIB))
    assert plain.total == pytest.approx(huge.total, rel=0.01)
    assert plain.transferred == pytest.approx(huge.transferred, rel=0.01)
    cloud = Rules.cloud_hypervisor()
    assert forecast(huge.guest, LINK, LIMITS, cloud).total == forecast(one, LINK, LIMITS, cloud).total


def test_what_it_costs_the_guest_does_not_contradict_itself():
    found = forecast(guest(), LINK, LIMITS, RULES)
    costs = [post_copy_of(found, host_page=size) for size in (4096, 2 * MIB, GIB)]
    assert costs[0] == post_copy_of(found)
    assert costs[0].pages == found.missing
    for cost, size in zip(costs[1:], (2 * MIB, GIB), strict=True):
        assert cost.pages * 4104 / 1.25e9 <= cost.lasts
        assert cost.faults <= cost.pages * 4096 / size
        own = post_copy_of(forecast(guest(size), LINK, LIMITS, RULES))
        assert own.pages == pytest.approx(cost.pages, rel=0.01)
        assert own.lasts == pytest.approx(cost.lasts, rel=0.01)
        assert own.faults == pytest.approx(cost.faults, rel=0.01)
    assert costs[2].waited <= 1.01 * costs[2].lasts


def test_choices_know_how_long_the_guest_fetches_its_pages():
    rules = attrs.evolve(RULES, post_copy=False)
    limits = Limits(0.1)
    plain, huge = (compare(guest(size), LINK, limits, rules)["post_copy"] for size in (0, GIB))
    assert plain.degraded == pytest.approx(post_copy_of(forecast(guest(), LINK, limits, RULES)).lasts)
    assert huge.degraded == pytest.approx(55.9, rel=0.02)
    assert huge.total - plain.total == pytest.approx(54.3, rel=0.02)
    now = JobStats(
        JobType.UNBOUNDED, elapsed=65.0, memory_total=64 * GIB, memory_processed=66 * GIB, memory_remaining=GIB,
        memory_bps=int(1.25e9), iteration=2,
    )  # fmt: skip
    under_way = [compare(guest(size), LINK, limits, rules, since=now)["post_copy"] for size in (0, GIB)]
    assert under_way[1].degraded - under_way[0].degraded == pytest.approx(54, rel=0.03)
    assert under_way[1].transferred > 64 * GIB > under_way[0].transferred
    by_itself = attrs.evolve(RULES, post_copy_after=3)
    waits = [compare(guest(size), LINK, limits, by_itself, since=now)["wait"] for size in (0, GIB)]
    assert waits[1].total - waits[0].total == pytest.approx(54, rel=0.03)
    assert waits[1].degraded > 54 > waits[0].degraded
    etas = [Watch(guest(size), LINK, limits, by_itself).observe(now).eta for size in (0, GIB)]
    assert etas[1] - etas[0] == pytest.approx(54, rel=0.03)


def test_fleets_have_a_column_of_it():
    who = [guest(), guest(2 * MIB), guest(GIB)]
    fleet = Fleet.of(who, LINK, LIMITS, RULES)
    columns = Fleet(
        64.0 * GIB, 0.0, [200_000.0], [400_000.0], host_page=[0, 2 * MIB, GIB], limit=0.0, line_rate=1.25e9, rules=RULES
    )
    for one in (fleet, columns, fleet.part(0, 3)):
        found = forecast_many(one)
        assert found.total == pytest.approx([forecast(*one.objects(row)).total for row in range(3)], rel=1e-9)
        assert found.total[1] > 1.5 * found.total[0]
        assert [one.objects(row)[0].host_page for row in range(3)] == [0, 2 * MIB, GIB]
    for wrong in (5000, math.nan, -1, 2**31):
        with pytest.raises(ConvergenceError, match="host_page"):
            Fleet(64.0 * GIB, 0.0, [1.0], [1.0], host_page=[0, wrong])
    with pytest.raises(ConvergenceError, match=r"host_page\[1\]: is less"):
        Fleet(64.0 * GIB, 0.0, [1.0], [1.0], host_page=[0, 4096], page_size=2 * MIB)


@pytest.mark.parametrize("host_page", [5000, -1, True, False, 2 * MIB + 0.5, "2M", None, 4096])
def test_a_page_of_the_host_is_one_that_there_is_and_no_less_than_a_page(host_page):
    with pytest.raises(ConvergenceError, match="host_page"):
        Guest(GIB, 0, 65536, DirtyCurve((), GIB // 65536), host_page=host_page)


# --- beside the simulator


def test_parts_are_completed_and_gone_through():
    setup = SimulationSetup.of(LINK, LIMITS, RULES)
    pages = PageMap(64 * 40 + 5, [], setup)
    pages.send(1e18, 1e9)
    for at in (3, 64 * 17, 64 * 40 + 4):
        mark_range(pages.written, at, at + 1)
    assert pages.sync() == 3
    assert pages.ahead(512) == 1
    pages.complete(512)
    assert pages.left == 512 + 512 + 5
    assert [pages.ahead(512), pages.send(1e18, 1e9, 512).pages] == [512, 512]
    assert [pages.ahead(512), pages.send(100 * 4104, 1e9, 512).pages] == [512, 100]
    assert [pages.ahead(512), pages.send(1e18, 1e9, 412).pages, pages.ahead(512)] == [412, 412, 5]
    assert pages.send(1e18, 1e9, 5).pages == 5
    assert pages.left == pages.ahead(512) == 0


@pytest.mark.parametrize("host_page", [2 * MIB, GIB])
@pytest.mark.parametrize(("limit", "rate"), [(64 * MIB, 3000), (64 * MIB, 9000), (200 * MIB, 30_000), (None, 40_000)])
@pytest.mark.parametrize("downtime", [0.3, 2.0])
def test_a_forecast_of_huge_pages_holds_in_the_simulator(host_page, limit, rate, downtime):
    size = 2 * GIB
    law = WriteLaw.uniform(size // 4096 - 3000, rate)
    link, limits, rules = Link(limit, 5e8), Limits(downtime, 600), Rules.qemu(first_touch=4104 / 5e8)
    one = Guest(size, 0, 4096, law.curve(size // 4096), host_page=host_page, busy=0.5)
    found = forecast(one, link, limits, rules)
    run = simulate(pages=one.pages, law=law, link=link, limits=limits, rules=rules, host_page=host_page, seed=1)
    if 0.1 < found.probability < 0.9:
        return
    assert run.verdict is found.verdict
    if run.total is not None:
        low, high = found.total_interval
        assert low <= run.total <= high


def test_a_look_comes_later_on_huge_pages():
    law, limits = WriteLaw.uniform(400_000, 9000), Limits(1.0)
    rules = Rules.qemu(first_touch=4104 / 5e8)
    first = {}
    for host_page in (4096, 2 * MIB, GIB):
        run = simulate(pages=2**19, law=law, link=Link(64 * MIB, 5e8), limits=limits, rules=rules, host_page=host_page)
        row = run.rounds[0]
        first[host_page] = row.remaining - row.dirtied, run.rounds[1].start
    assert 0.8 < first[4096][0] * 4096 / (64 * MIB) <= 1.0
    assert first[GIB][0] == 0  # all is sent before anyone looks
    assert 0 <= first[2 * MIB][0] < first[4096][0]
    assert first[GIB][1] - first[4096][1] == pytest.approx(0.95, abs=0.2)


@pytest.mark.parametrize("host_page", [2 * MIB, GIB])
@pytest.mark.parametrize("pages", [2**19 - 3000, 20_000])
def test_what_goes_after_the_switch_in_the_simulator_lies_between_what_lies_together_and_what_lies_anywhere(
    host_page, pages
):
    law = WriteLaw.uniform(pages, 20_000)
    link, limits = Link(200 * MIB, 5e8), Limits(0.05)
    rules = Rules.qemu(post_copy=True, first_touch=4104 / 5e8)
    one = Guest(2 * GIB, 0, 4096, law.curve(2**19), host_page=host_page, busy=0.5)
    found = forecast(one, link, limits, rules)
    run = simulate(pages=2**19, law=law, link=link, limits=limits, rules=rules, host_page=host_page, seed=1)
    assert run.post_copied
    assert found.post_copied
    least = whole(one, found.unsent, host_page, scatter=0.0)
    assert 0.9 * least <= run.post_copy.pages <= 1.1 * found.missing
    assert found.total_interval[0] * 0.98 <= run.total <= found.total_interval[1]
    assert run.post_copy.pages % (host_page // 4096) == 0
    assert run.post_copy.wait == pytest.approx(rules.fault(5e8, host_page))
    if pages > 100_000:  # written everywhere
        assert run.post_copy.pages == pytest.approx(found.missing, rel=0.01)
        assert run.total == pytest.approx(found.total, rel=0.02)


def test_only_pages_that_are_simulated_are_taken():
    with pytest.raises(ConvergenceError, match="host_page"):
        simulate(pages=1000, law=WriteLaw.idle(), link=LINK, host_page=65536)
