"""What is taken of a running migration's statistics: also without a count of bitmap syncs, and never in another unit."""

from __future__ import annotations

import contextlib

import attrs
import pytest

from novastate.convergence import DirtyCurve, Guest, Limits, Link, Rules, Watch, WriteLaw
from novastate.convergence.online.statistics import Sample, in_milliseconds
from novastate.convergence.simulation.setup import SimulationSetup
from novastate.convergence.simulation.simulator import PreCopySimulation
from novastate.drivers import JobStats, JobType
from novastate.errors import ConvergenceError

MIB = 1 << 20
TOTAL = 384 * MIB
GUEST = Guest(TOTAL, 32_000, 4096, DirtyCurve.from_windows({0.5: 900, 2.0: 1500}, page_count=98304))


#: What the guest may write, and what never converges at 64 MiB/s.
LAWS = (WriteLaw.uniform(16_384, 1500), WriteLaw.hotcold(20_000, 5000), WriteLaw.zipf(30_000, 8000), WriteLaw.idle())
ENDLESS = WriteLaw.uniform(60_000, 60_000)


def migrating(law, *, zero=20_000, known=None):
    """A migration that runs, and a watch on one of its guest."""
    link, pages = Link(64 * MIB), TOTAL // 4096
    setup = SimulationSetup.of(link, Limits(), Rules.qemu())
    guest = Guest(TOTAL, zero, 4096, (known or law).curve(pages), busy=0.1)
    run = PreCopySimulation(pages, law.with_background(), setup, zero_pages=zero, tail_pages=0, seed=1)
    return run, Watch(guest, link, Limits(), Rules.qemu(begin=0))


def job(run, **more):
    seen = run.statistics
    stats = JobStats(
        JobType.UNBOUNDED, seen.elapsed, memory_total=seen.total, memory_processed=seen.processed,
        memory_remaining=seen.remaining, memory_bps=int(seen.bandwidth), dirty_rate=seen.dirty_rate,
        iteration=seen.iteration, constant=seen.constant,
    )  # fmt: skip
    return attrs.evolve(stats, **more)


def uncounted(run):
    """As KubeVirt's metrics have it."""
    return job(run, iteration=0, constant=0)


def told(processed, remaining, **more):
    return JobStats(
        JobType.UNBOUNDED, memory_total=TOTAL, memory_processed=processed, memory_remaining=remaining, **more
    )


def sample(stats, before=None):
    return Sample.of(stats, TOTAL, before)


# --- without a count of syncs


def test_before_anything_is_sent_nothing_is_inferred():
    assert sample(told(0, 0)).iteration == 0
    assert sample(told(900, TOTAL)).iteration == 0  # the stream's header


def test_in_the_first_round_what_goes_by_more_than_is_sent_are_zero_pages():
    pages, zero = 20_000, 7_000
    seen = sample(told(4104 * pages + 9 * zero, TOTAL - 4096 * (pages + zero)))
    assert (seen.iteration, seen.counted) == (1, False)
    assert seen.constant == pytest.approx(zero, abs=1)


def test_more_sent_than_gone_was_a_sync():
    assert sample(told(300 * MIB, 100 * MIB)).iteration == 2
    first = sample(told(100 * MIB, 200 * MIB))
    assert first.iteration == 1
    assert sample(told(200 * MIB, 180 * MIB, elapsed=2), first).iteration == 2
    assert sample(told(200 * MIB, 99 * MIB, elapsed=2), first).iteration == 1


def test_each_look_that_found_a_sync_is_another():
    last = None
    for step in range(5):
        last = sample(told((300 + 60 * step) * MIB, 100 * MIB, elapsed=step), last)
        assert last.iteration == 2 + step


def test_what_is_counted_is_taken_as_it_is():
    seen = sample(told(300 * MIB, 100 * MIB, iteration=1, constant=5))
    assert (seen.iteration, seen.constant, seen.counted) == (1, 5, True)
    with pytest.raises(ConvergenceError, match=r"stats\.iteration: must not fall"):
        sample(told(320 * MIB, 100 * MIB, elapsed=1), seen)


def test_a_count_that_comes_later_is_no_counter_that_falls():
    watch = Watch(GUEST, Link(64 * MIB))
    watch.observe(told(300 * MIB, 100 * MIB, elapsed=5, memory_bps=64 * MIB))
    watch.observe(told(360 * MIB, 100 * MIB, elapsed=6, memory_bps=64 * MIB))
    assert watch.observe(told(420 * MIB, 100 * MIB, elapsed=7, memory_bps=64 * MIB, iteration=2)).eta is not None


@pytest.mark.parametrize("step", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("law", [*LAWS, ENDLESS])
def test_never_more_syncs_are_inferred_than_there_were(law, step):
    run, _ = migrating(law)
    last, at = None, 0.0
    while at < 30 and not run.advance(at := at + step).ended:
        last = sample(uncounted(run), last)
        assert last.iteration <= run.statistics.iteration
        if run.statistics.iteration == 1:
            assert last.constant == pytest.approx(run.statistics.constant, abs=100)
    assert last is not None


def test_the_eta_falls_as_memory_is_copied():
    guest = Guest(4096 * MIB, 200_000, 4096, DirtyCurve.from_dirty_rates([(1, 21 * MIB)], 4096 * MIB, samples=512))
    watch, found = Watch(guest, Link(64 * MIB, 5e8), Limits(0.3, 600)), []
    for at, processed, remaining in ((15, 900, 3000), (30, 1900, 1900), (45, 2900, 900), (60, 3800, 100)):
        seen = told(processed * MIB, remaining * MIB, elapsed=at, memory_bps=64 * MIB)
        found.append(watch.observe(attrs.evolve(seen, memory_total=4096 * MIB)))
    assert 30 < found[0].eta < 42
    assert found[-1].eta < 3
    assert [row.eta for row in found] == sorted((row.eta for row in found), reverse=True)
    assert 0.2 < found[0].progress < found[-1].progress


@pytest.mark.parametrize("law", LAWS)
def test_what_is_left_is_known_without_a_count_too(law):
    run, watch = migrating(law)
    seen, at = [], 0.0
    while not run.advance(at := at + 1.0).ended:
        seen.append((at, watch.observe(uncounted(run)).eta))
    assert len(seen) >= 4
    assert run.finished_at is not None
    for when, eta in seen:
        assert when + eta == pytest.approx(run.finished_at, abs=0.1 * run.finished_at)


def test_a_guest_that_never_converges_is_found_out_by_its_dirty_rate():
    run, watch = migrating(ENDLESS, known=WriteLaw.uniform(2000, 500))
    found = []
    for at in range(3, 40, 4):
        run.advance(at)
        found.append(watch.observe(uncounted(run)).probability)
    assert found[0] > 0.5
    assert found[-1] < 0.1


# --- another unit


def late(run):
    """A look whose time is in ms."""
    return job(run, elapsed=1000 * run.statistics.elapsed)


def test_times_in_milliseconds_are_refused_once_several_looks_say_so():
    run, watch = migrating(ENDLESS)
    for step in range(1, 9):
        run.advance(0.5 * step)
        if step < 4:
            watch.observe(late(run))
        else:
            with pytest.raises(ConvergenceError, match=r"^stats\.elapsed: must be in s"):
                watch.observe(late(run))


def test_times_in_seconds_that_come_after_are_watched():
    run, watch = migrating(ENDLESS)
    for step in range(1, 7):
        run.advance(0.5 * step)
        with contextlib.suppress(ConvergenceError):
            watch.observe(late(run))
    for step in (7, 8):
        run.advance(0.5 * step)
        found = None
        with contextlib.suppress(ConvergenceError):
            found = watch.observe(job(run))
    assert found is not None
    assert found.elapsed == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("pause", [30.0, 3600.0])
def test_a_job_that_stood_still_for_long_is_no_other_unit(pause):
    run, watch = migrating(ENDLESS)
    waited = 0.0
    for step in range(1, 30):
        run.advance(0.5 * step)
        if step % 7 == 0:
            waited += pause
        seen = job(run)
        watch.observe(attrs.evolve(seen, elapsed=seen.elapsed + waited))


def test_a_job_that_waited_for_an_hour_before_its_memory_s_turn_is_no_other_unit():
    run, watch = migrating(ENDLESS)
    for step in range(1, 12):
        run.advance(0.5 * step)
        seen = job(run)
        watch.observe(attrs.evolve(seen, elapsed=seen.elapsed + 3600))


@pytest.mark.parametrize("missing", ["memory_bps", "memory_processed", "elapsed"])
def test_where_nothing_was_sent_and_no_time_passed_no_unit_is_judged(missing):
    before = sample(told(MIB, TOTAL - MIB, elapsed=1, memory_bps=MIB, iteration=1))
    now = sample(told(2 * MIB, TOTAL - 2 * MIB, elapsed=1001, memory_bps=MIB, iteration=1))
    assert in_milliseconds(before, now) is True
    unknown = 0 if missing == "memory_bps" else getattr(before, missing)
    assert in_milliseconds(before, attrs.evolve(now, **{missing: unknown})) is None
