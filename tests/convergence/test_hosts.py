"""What hosts let through is a guess unless it was measured: where it decides, interval, probability, reason and choices say so."""

from __future__ import annotations

import attrs
import pytest

from novastate.convergence import (
    DirtyClass,
    DirtyCurve,
    Guest,
    Limits,
    Link,
    Recording,
    Rules,
    Verdict,
    Watch,
    compare,
    forecast,
)
from novastate.convergence.hosts import FIRST_TOUCH, first_touch_of, guessed, guesses, may_be
from novastate.convergence.path import path_of
from novastate.drivers import JobStats, JobType
from novastate.errors import ConvergenceError

MIB, GIB = 1 << 20, 1 << 30
PAGES = 64 * GIB // 4096
GUEST = Guest(64 * GIB, PAGES // 4, 4096, DirtyCurve((DirtyClass(50000, 60000),), PAGES))
TEN, HUNDRED = Link(None, 1.25e9), Link(None, 1.25e10)
MEASURED = Rules.qemu(first_touch=first_touch_of(2.4e9))


def test_a_guess_that_binds_is_in_the_interval_with_hosts_that_are_faster():
    told, known = forecast(GUEST, TEN), forecast(GUEST, TEN, rules=Rules.qemu(first_touch=FIRST_TOUCH))
    assert told.total == known.total
    low, high = told.total_interval
    # Any pair on 10 Gbit/s takes 1.1 GB/s; a pair may be somewhat slower, too.
    assert low < forecast(GUEST, TEN, rules=Rules.qemu(first_touch=first_touch_of(1.1e9))).total < high
    assert low < 0.4 * told.total < 1.2 * told.total < high
    assert known.total_interval[1] < 1.1 * known.total < 1.2 * known.total_interval[0]
    fast = forecast(GUEST, HUNDRED, rules=MEASURED).total
    low, high = forecast(GUEST, HUNDRED).total_interval
    assert low < fast < high


def test_whether_it_is_in_time_is_as_open_as_the_guess():
    late = forecast(GUEST, HUNDRED, Limits(timeout=120))
    assert (late.verdict, late.probability) == (Verdict.TIMES_OUT, 0.5)
    assert forecast(GUEST, HUNDRED, Limits(timeout=10)).probability == 0.02
    assert 0.6 < forecast(GUEST, HUNDRED, Limits(timeout=140)).probability < 0.98
    assert forecast(GUEST, HUNDRED, Limits(timeout=120), MEASURED).probability == 0.98


def test_the_reason_names_it_where_it_decides():
    for told in (
        forecast(GUEST, TEN),
        forecast(GUEST, HUNDRED, Limits(timeout=120)),
        forecast(GUEST, Link(1e9), Limits(timeout=5)),
    ):
        assert "391 MB/s" in told.reason
        assert "a guess" in told.reason
        assert "Rules.first_touch" in told.reason
    for told in (
        forecast(GUEST, TEN, rules=MEASURED),
        forecast(GUEST, Link(64 * MIB)),
        forecast(GUEST, Link(None, 1.25e8)),
    ):
        assert "guess" not in told.reason


@pytest.mark.parametrize(
    "link",
    [
        Link(64 * MIB),
        Link(200 * MIB),
        Link(64 * MIB, 1.25e10),
        Link(None, 1.25e8),
        Link(None, 2.5e8),
        Link(30 * MIB, 3e7),
    ],
)
@pytest.mark.parametrize("rules", [Rules.qemu(), Rules.qemu(multifd=4), Rules.cloud_hypervisor()])
def test_where_it_does_not_bind_nothing_depends_on_its_being_a_guess(link, rules):
    limits = Limits(0.3, 400)
    told = forecast(GUEST, link, limits, rules)
    known = forecast(GUEST, link, limits, attrs.evolve(rules, first_touch=FIRST_TOUCH))
    assert (told.total, told.total_interval, told.downtime_interval) == (
        known.total,
        known.total_interval,
        known.downtime_interval,
    )
    assert (told.probability, told.reason) == (known.probability, known.reason)
    assert str(compare(GUEST, link, limits, rules)) == str(compare(GUEST, link, limits, known.rules))


def test_compare_does_not_give_up_for_a_guess_and_says_that_it_is_one():
    choices = compare(GUEST, HUNDRED, Limits(0.3, 120))
    assert choices.recommended == "wait"
    assert "Rules.first_touch" in choices.why
    assert [choices[way].probability for way in ("wait", "post_copy", "pause")] == [0.5, 0.5, 0.5]
    assert compare(GUEST, HUNDRED, Limits(0.3, 10)).recommended == "abort"
    assert (
        compare(GUEST, HUNDRED, Limits(0.3, 120), attrs.evolve(MEASURED, first_touch=FIRST_TOUCH)).recommended
        == "abort"
    )
    done = compare(GUEST, TEN)
    assert (done.recommended, "Rules.first_touch" in done.why) == ("wait", True)
    assert "Rules.first_touch" not in compare(GUEST, TEN, rules=MEASURED).why
    # Of what is allowed.
    assert compare(GUEST, HUNDRED, Limits(0.3, 120), among={"pause", "abort"}).recommended == "pause"


def test_post_copy_begins_when_the_hosts_have_let_the_first_pass_through():
    told = forecast(GUEST, TEN, rules=Rules.qemu(post_copy=True))
    assert told.post_copied
    assert path_of(told).stop > 0.9 * told.total


def test_what_hosts_may_let_through_is_a_factor_of_several_both_ways():
    assert (
        may_be(0.0)
        < may_be(0.05)
        < 4104 / 2.4e9
        < FIRST_TOUCH
        < may_be(0.95)
        < may_be(1.0)
        == pytest.approx(1.5 * FIRST_TOUCH)
    )
    assert guesses(Link(None, 3e8), Rules.qemu())
    assert not guessed(Link(None, 3e8), Rules.qemu())
    assert not guesses(TEN, MEASURED)


def test_one_rule_makes_it_of_a_rate():
    assert first_touch_of(391e6) == pytest.approx(FIRST_TOUCH, rel=1e-3)
    for wrong in (0, -1.0, float("nan"), "1"):
        with pytest.raises(ConvergenceError, match="rate"):
            first_touch_of(wrong)
    row = {
        "config": {"mem_mb": 384, "bandwidth": 0, "downtime_ms": 300, "abort_s": 0},
        "versions": {"qemu": 10000000},
        "pre": {},
    }
    known = Recording("a", {**row, "link": {"line_rate": {"mib_s": 500.0}}}).rules
    assert known.first_touch == first_touch_of(500.0 * MIB)
    assert Recording("a", {**row, "given": {"first_touch": 2e-6}}).rules.first_touch == 2e-6
    with pytest.raises(ConvergenceError, match=r"given\.first_touch"):
        Recording("a", {**row, "given": {"first_touch": "fast"}}).rules  # noqa: B018
    assert Recording("a", row).rules.first_touch is None
    assert Recording("a", row).rules.touch == FIRST_TOUCH


@pytest.mark.parametrize(
    ("link", "pace"), [(TEN, 1.1e9), (HUNDRED, 2e9), (HUNDRED, 3e8), (Link(9e8), 8.5e8), (Link(9e8), 3e8)]
)
def test_what_a_migration_that_runs_shows_of_the_hosts_counts_at_once(link, pace):
    watch = Watch(attrs.evolve(GUEST, zero_pages=0), link)
    for at in (2.0, 4.0, 6.0):
        sent = round(pace * (at - 0.305))
        seen = watch.observe(
            JobStats(
                JobType.UNBOUNDED, elapsed=at, memory_total=64 * GIB, memory_processed=sent, memory_remaining=64 * GIB - sent,
                memory_bps=round(pace), iteration=1,
            )
        )  # fmt: skip
        left = (64 * GIB - sent) / pace
        if at > 2.0 or pace > 4e8:
            assert seen.eta == pytest.approx(left, rel=0.06)
            assert seen.eta_interval[0] < left < seen.eta_interval[1]
