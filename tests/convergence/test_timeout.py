"""What a timeout ends: any migration of QEMU's that takes longer, but of Cloud Hypervisor's only one that is still over its budget."""

from __future__ import annotations

import pytest

from novastate.convergence import (
    DirtyClass,
    DirtyCurve,
    Guest,
    Limits,
    Link,
    Rules,
    Verdict,
    Watch,
    WriteLaw,
    compare,
    forecast,
    required_downtime,
    simulate,
)
from novastate.convergence.resume import State
from novastate.drivers import JobStats, JobType

MIB, GIB = 1 << 20, 1 << 30
CLOUD = Rules.cloud_hypervisor("52.0")
OLD = Rules.cloud_hypervisor("51.0")
LINE = Link(None, 1.25e8)
#: 8 GiB, a first round of 69 s, in which next to nothing is written.
CALM = WriteLaw.uniform(1000, 2000)
#: Rounds of 69, 17, 12, 9 s and so on.
BUSY = WriteLaw.uniform(700_000, 21_000)
PAGES = 8 * GIB // 4096


def guest(law):
    return Guest(8 * GIB, 0, 4096, law.curve(PAGES))


def simulated(law, limits, rules=CLOUD):
    return simulate(pages=PAGES, law=law, link=LINE, limits=limits, rules=rules)


@pytest.mark.parametrize("timeout", [1.0, 60.0])
def test_a_first_round_longer_than_the_timeout_completes_where_little_was_written_in_it(timeout):
    limits = Limits(0.3, timeout)
    found, run = forecast(guest(CALM), LINE, limits, CLOUD), simulated(CALM, limits)
    freely = forecast(guest(CALM), LINE, Limits(0.3), CLOUD)
    assert found.verdict is run.verdict is Verdict.CONVERGES
    assert found.total == freely.total == pytest.approx(run.total, rel=0.001)
    assert found.total > 68 > timeout
    assert found.probability > 0.9
    assert found.otherwise is None
    assert found.total_interval == freely.total_interval
    assert f"after the timeout of {timeout:g} s" in found.reason
    # Of QEMU, and of versions before it had a timeout, whoever watches it gives it up.
    for rules in (Rules.qemu(), OLD):
        other = forecast(guest(CALM), LINE, limits, rules)
        assert (other.verdict, simulated(CALM, limits, rules).verdict) == (Verdict.TIMES_OUT, Verdict.TIMES_OUT)
        assert other.unlimited_total > 60


def looks(law):
    """When each round ends, s."""
    found = forecast(guest(law), LINE, Limits(0.3), CLOUD)
    return [row.start for row in found.rounds[1:]] + [found.total - found.downtime]


def test_what_is_over_its_budget_at_a_look_past_the_timeout_is_given_up_then():
    ends = looks(BUSY)
    assert len(ends) > 4
    seen = set()
    for begin, end in zip([0.0, *ends], [*ends, 2 * ends[-1]], strict=False):
        limits = Limits(0.3, (begin + end) / 2)
        found = forecast(guest(BUSY), LINE, limits, CLOUD)
        # The last look but that at which it converges has to be before the timeout.
        assert found.verdict is (Verdict.CONVERGES if limits.timeout > ends[-2] else Verdict.TIMES_OUT)
        assert found.unlimited_total == pytest.approx(ends[-1], rel=0.01)
        if 0.1 < found.probability < 0.9:
            continue
        run = simulated(BUSY, limits)
        seen.add(run.verdict)
        assert run.verdict is found.verdict
        if found.total is not None:
            assert found.total_interval[0] < run.total < found.total_interval[1]
    assert seen == {Verdict.CONVERGES, Verdict.TIMES_OUT}


def test_where_it_may_go_either_way_the_forecast_says_that_it_may_be_given_up():
    ends = looks(BUSY)
    near = forecast(guest(BUSY), LINE, Limits(0.3, ends[-2] + 0.01), CLOUD)
    assert near.verdict is Verdict.CONVERGES
    assert 0.2 < near.probability < 0.9
    assert "given up past the timeout" in near.otherwise
    low, high = near.total_interval
    assert low <= near.total <= high < 1.5 * near.total


def test_simulated_it_is_given_up_at_the_end_of_a_round_and_not_before():
    ends = looks(BUSY)
    found = simulated(BUSY, Limits(0.3, (ends[1] + ends[2]) / 2))
    assert found.verdict is Verdict.TIMES_OUT
    assert len(found.rounds) == 3


def test_choices_and_requirements_know_it():
    limits = Limits(0.3, 60.0)
    assert compare(guest(CALM), LINE, limits, CLOUD).recommended == "wait"
    assert required_downtime(guest(CALM), LINE, CLOUD, timeout=60.0).value < 0.1
    held = State((0.0,) * len(guest(CALM).curve.classes), left=PAGES, syncs=1)
    assert compare(guest(CALM), LINE, limits, CLOUD, since=held)["wait"].probability > 0.9
    assert compare(guest(CALM), LINE, limits, OLD, since=held)["wait"].probability < 0.1


def test_a_watched_one_in_its_first_round_is_not_given_up_either():
    curve = DirtyCurve((DirtyClass(1000, 2000),), PAGES)
    watched = Guest(8 * GIB, 0, 4096, curve)
    for at in (35, 65):
        now = JobStats(
            JobType.UNBOUNDED, elapsed=at, memory_total=8 * GIB, memory_processed=int(at * 1.25e8),
            memory_remaining=8 * GIB - int(at * 1.25e8), memory_bps=int(1.25e8), iteration=1,
        )  # fmt: skip
        for rules, likely in ((CLOUD, True), (OLD, False)):
            found = Watch(watched, LINE, Limits(0.3, 60.0), rules).observe(now)
            assert (found.probability > 0.9) is likely
            assert ("given up" in found.reason) is not likely
            assert (found.advice.action == "abort") is (at > 60 and not likely)


@pytest.mark.parametrize("timeout", [30.0, 80.0])
def test_one_that_is_stopped_at_the_timeout_is_not_given_up_while_it_runs_and_ends_when_the_forecast_said(timeout):
    rules, who, limits = CLOUD.with_options(on_timeout="ignore"), guest(BUSY), Limits(0.3, timeout)
    found = forecast(who, LINE, limits, rules)
    assert found.verdict is Verdict.CONVERGES
    assert found.downtime > 1.0  # it is stopped, not converged
    watch = Watch(who, LINE, limits, rules)
    for at in (10.0, 29.0, 31.0, 50.0, 65.0):
        sent = int(LINE.line_rate * at)
        now = JobStats(
            JobType.UNBOUNDED, elapsed=at, memory_total=8 * GIB, memory_processed=sent, memory_remaining=8 * GIB - sent,
            memory_bps=int(LINE.line_rate), iteration=1,
        )  # fmt: skip
        seen = watch.observe(now)
        assert (seen.converges, seen.probability) == (True, 0.98)
        assert at + seen.eta == pytest.approx(found.total, rel=0.02)
        assert seen.downtime == pytest.approx(found.downtime, rel=0.05)
        assert "given up" not in seen.reason
        assert seen.advice.action == "none"
        row = compare(who, LINE, limits, rules, since=now)["wait"]
        assert at + row.total == pytest.approx(found.total, rel=0.02)
        assert row.downtime == pytest.approx(found.downtime, rel=0.05)
        assert row.probability > 0.9
