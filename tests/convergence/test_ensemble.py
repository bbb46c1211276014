"""Probability and interval: equally likely guests around the one that is known."""

import math

import attrs
import pytest

from novastate.convergence import DirtyClass, DirtyCurve, Guest, Limits, Link, Rules, Verdict, forecast
from novastate.convergence.curve import kernel_rows
from novastate.convergence.ensemble import DESIGN, RUNS, Ensemble, _heavy, other_of
from novastate.convergence.pictures.html import forecast_rows

MIB = 1 << 20


def guest(rate=4000.0, **more):
    curve = DirtyCurve((DirtyClass(16384, rate),), 98434, **more)
    return Guest(memory=98434 * 4096, zero_pages=30000, page_size=4096, curve=curve, busy=0.06)


def ensemble(told):
    return Ensemble(
        told._scenario,
        kernel_rows(told.guest.curve),
        1.0,
        told.guest,
        told.link,
        told.limits,
        told.rules,
        told.total,
        told.downtime,
        told.throttle,
    )


def test_tails_are_those_of_students_t():
    for share, value in ((0.95, 2.1318), (0.975, 2.7764), (0.99, 3.7469), (0.5, 0.0), (0.05, -2.1318)):
        assert _heavy(share) == pytest.approx(value, abs=1e-4)


def test_each_deviation_is_laid_out_evenly():
    assert len(DESIGN) == RUNS
    for column in (0, 1, 2, 4):
        assert len({row[column] for row in DESIGN}) == RUNS
    assert sum(row[0] for row in DESIGN) == pytest.approx(0, abs=1e-9)
    assert sum(row[2] for row in DESIGN) == pytest.approx(0, abs=1e-9)


def test_the_probability_falls_smoothly_through_the_boundary():
    seen = [forecast(guest(9000 * 1.06**k), Link(64 * MIB)).probability for k in range(24)]
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > 0.9
    assert seen[-1] < 0.1
    assert len(set(seen)) >= 5


def test_the_probability_is_on_the_side_of_the_verdict():
    for rate in range(4000, 24000, 500):
        told = forecast(guest(float(rate), spread=0.4), Link(64 * MIB))
        assert (told.probability >= 0.5) == (told.verdict is Verdict.CONVERGES) or told.probability == 0.5


def test_a_timeout_is_part_of_the_question():
    one = guest(spread=0.1)
    whole = forecast(one, Link(64 * MIB)).total
    assert forecast(one, Link(64 * MIB), Limits(timeout=1.5 * whole)).probability > 0.9
    assert (
        0.1
        < forecast(
            attrs.evolve(one, curve=attrs.evolve(one.curve, spread=0.4)), Link(64 * MIB), Limits(timeout=1.005 * whole)
        ).probability
        < 0.9
    )
    assert forecast(one, Link(64 * MIB), Limits(timeout=0.6 * whole)).probability < 0.1


def test_other_curves_that_are_as_likely_count():
    calm = guest()
    wild = (DirtyClass(60000, 60000.0),)
    others = tuple(DirtyCurve(wild if k % 2 else calm.curve.classes, 98434) for k in range(24))
    torn = attrs.evolve(calm, curve=attrs.evolve(calm.curve, others=others))
    assert forecast(calm, Link(64 * MIB)).probability > 0.9
    assert forecast(torn, Link(64 * MIB)).probability == 0.5
    assert forecast(torn, Link(64 * MIB)).total == forecast(calm, Link(64 * MIB)).total


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 8, 12, 14, 21, 24, 28, 48])
@pytest.mark.parametrize("members", [8, RUNS])
def test_every_other_curve_has_its_turn_whatever_their_number(count, members):
    turns = [other_of(k, members, count) for k in range(members)]
    assert len(set(turns)) == min(count, members)
    shares = [turns.count(one) for one in set(turns)]
    assert max(shares) - min(shares) <= 1
    # Of members in the order of their rates, no half has only the first or the last curves.
    if count > 1:
        assert min(turns[: members // 2]) < count / 2 <= max(turns[: members // 2])


def test_seven_other_curves_are_seven():
    calm = guest()
    others = tuple(DirtyCurve((DirtyClass(60000, 60000.0),) if k else calm.curve.classes, 98434) for k in range(7))
    torn = attrs.evolve(calm, curve=attrs.evolve(calm.curve, others=others))
    assert sum(math.isinf(total) for total in ensemble(forecast(torn, Link(64 * MIB))).totals) in {20, 21}


def test_where_nobody_knows_how_busy_a_guest_is_neither_is_what_a_throttle_does():
    rules = Rules.qemu(auto_converge=True)
    writer = attrs.evolve(guest(30000.0), busy=1.0)
    sure = forecast(writer, Link(64 * MIB), rules=rules)
    unsure = forecast(attrs.evolve(writer, least_busy=0.05), Link(64 * MIB), rules=rules)
    assert sure.total == unsure.total
    assert unsure.total_interval[1] > 1.5 * sure.total_interval[1]


def test_totals_are_as_many_as_the_guests_and_in_order():
    found = ensemble(forecast(guest(15000.0, spread=0.3), Link(64 * MIB))).totals
    assert len(found) == RUNS
    assert list(found) == sorted(found)
    assert math.isinf(found[-1])


def test_the_few_that_do_not_complete_are_no_part_of_the_interval_and_are_told():
    def torn(wild):
        """A guest of which *wild* in 24 write more than the link carries."""
        calm = guest()
        rows = [(DirtyClass(60000, 60000.0),) if k < wild else calm.curve.classes for k in range(24)]
        curve = attrs.evolve(calm.curve, others=tuple(DirtyCurve(row, 98434) for row in rows))
        return forecast(attrs.evolve(calm, curve=curve), Link(64 * MIB), Limits(timeout=60))

    sure, likely, unsure = torn(1), torn(4), torn(8)
    assert [round(24 * told.probability) for told in (sure, likely, unsure)] == [23, 20, 16]
    assert likely.total_interval[1] < 2 * likely.total < unsure.total_interval[1] == 60
    assert (sure.otherwise, likely.otherwise) == (None, "not before the timeout of 60 s")


def test_the_pause_lies_in_its_interval_and_there_is_none_without_one():
    told = forecast(guest(spread=0.2), Link(64 * MIB))
    low, high = told.downtime_interval
    # What devices take differs by some milliseconds from host to host, and more often upwards.
    assert 0 < low < told.downtime - 0.003 < told.downtime + 0.015 < high < 0.1
    assert told.as_json()["downtime_interval"] == [low, high]
    assert (
        "pause",
        f"{told.downtime * 1e3:.0f} ms, 90 % between {low * 1e3:.0f} and {high * 1e3:.0f} ms",
    ) in forecast_rows(told)
    assert forecast(guest(40000.0), Link(64 * MIB)).downtime_interval is None
    assert forecast(guest(), Link(64 * MIB), Limits(timeout=1.0)).as_json()["downtime_interval"] is None


def test_a_switch_to_post_copy_takes_little_and_is_known_better():
    told = forecast(guest(40000.0), Link(64 * MIB), rules=Rules.qemu(post_copy=True))
    assert told.post_copied
    low, high = told.downtime_interval
    assert 0 < low < told.downtime < high < 0.01


def test_where_in_its_last_turn_an_unlimited_link_is_nobody_knows():
    # A turn sends up to 50 ms of pages: what is left of the last one when the guest stops may be all or nothing.
    limited, unlimited = (forecast(guest(), Link(limit)) for limit in (64 * MIB, None))
    widths = [high - low for low, high in (limited.downtime_interval, unlimited.downtime_interval)]
    assert widths[0] < 0.03
    assert widths[1] > 0.05


def test_what_an_unlimited_link_carries_is_not_known_to_a_percent():
    known = Rules.qemu(first_touch=10.5e-6)  # of the hosts; see test_hosts of those that are not
    told = forecast(guest(), Link(None), rules=known)
    low, high = ensemble(told).totals[0], ensemble(told).totals[-1]
    assert 0.05 < high / low - 1 < 0.25
    # A limit that the line never reaches is none; where the limit decides, the line does not.
    assert ensemble(forecast(guest(), Link(2000 * MIB), rules=known)).totals[-1] / low - 1 > 0.05
    slow = ensemble(forecast(guest(), Link(64 * MIB))).totals
    assert slow[-1] / slow[0] - 1 < 0.05
