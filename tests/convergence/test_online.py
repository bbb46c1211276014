"""The outlook of a migration that runs, against simulated migrations whose end is known."""

from __future__ import annotations

import math
import random
import statistics

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.convergence import DirtyClass, DirtyCurve, Guest, Limits, Link, Rules, WriteLaw, forecast, outlook
from novastate.convergence.simulation import SimulationSetup
from novastate.convergence.simulator import PreCopySimulation
from novastate.errors import ConvergenceError

MIB = 1 << 20
BEGIN = 0.305


@attrs.frozen
class Job:
    """The part of a job's statistics that is asked for."""

    elapsed: float = 0.0
    memory_remaining: int = 0
    memory_bps: int = 0
    disk_remaining: int = 0
    dirty_rate: int = 0
    iteration: int = 0
    constant: int = 0
    throttle: float = 0.0
    post_copy: bool = False


def job(simulation):
    seen = simulation.statistics
    return Job(
        elapsed=seen.elapsed + BEGIN, memory_remaining=seen.remaining, memory_bps=int(seen.bandwidth), dirty_rate=seen.dirty_rate,
        iteration=seen.iteration, constant=seen.constant, throttle=seen.throttle,
    )  # fmt: skip


def drawn(seed, *, auto_converge=False, wrong=1.0):
    """A forecast, and the simulation of what it is of; it takes the writes for *wrong* times what they are."""
    draw = random.Random(seed)
    pages = draw.choice([96, 128, 192, 256, 512]) * 256
    written, rate = int(draw.uniform(0.05, 0.3) * pages), draw.uniform(2, 30) * 256
    law = draw.choice([WriteLaw.uniform, WriteLaw.hotcold, WriteLaw.zipf])(written, rate).with_background()
    curve = law.curve(pages)
    curve = DirtyCurve(tuple(DirtyClass(row.size, row.rate * wrong) for row in curve.classes), pages)
    zero = int(draw.uniform(0.05, 0.5) * pages)
    guest = Guest(memory=pages * 4096, zero_pages=zero, page_size=4096, curve=curve, busy=0.1)
    link, limits = Link(draw.choice([32, 48, 64, 100]) * MIB), Limits(draw.choice([0.1, 0.3, 0.5]))
    rules = Rules.qemu("10.0", auto_converge=auto_converge)
    setup = SimulationSetup.of(link, limits, rules)
    return forecast(guest, link, limits, rules), PreCopySimulation(pages, law, setup, zero_pages=zero, seed=seed)


def followed(expected, simulation, *, step=0.25, until=60.0):
    """(time, outlook) at every step until it ends."""
    seen, at = [], 0.0
    while at < until:
        at += step
        simulation.advance(at)
        if simulation.status.ended:
            break
        seen.append((at, outlook(expected, job(simulation))))
    return seen


def completing(count, **more):
    found = []
    for seed in range(3 * count):
        expected, simulation = drawn(seed, **more)
        seen = followed(expected, simulation)
        if simulation.status.ended and len(seen) >= 4:
            found.append((simulation, seen))
        if len(found) == count:
            break
    return found


def test_the_eta_is_right_from_the_start_and_hardly_ever_never():
    errors, inside, never, pauses = [], [], [], []
    for simulation, seen in completing(20):
        end = simulation.finished_at
        for at, told in seen:
            never.append(told.eta is None)
            if told.eta is not None:
                errors.append(abs(told.eta - (end - at)) / end)
                inside.append(told.interval[0] <= end - at <= told.interval[1])
        if seen[-1][1].downtime is not None:
            pauses.append(abs(seen[-1][1].downtime - simulation.downtime))
    assert statistics.median(errors) < 0.03
    assert statistics.quantiles(errors, n=10)[-1] < 0.15
    assert statistics.mean(inside) > 0.8
    assert statistics.mean(never) < 0.05
    assert statistics.median(pauses) < 0.005


@pytest.mark.parametrize("wrong", [0.6, 1.6])
def test_the_error_of_the_eta_shrinks_where_the_forecast_was_wrong(wrong):
    first, last = [], []
    for simulation, seen in completing(15, wrong=wrong):
        end = simulation.finished_at
        for quarter, errors in ((seen[: len(seen) // 4], first), (seen[-len(seen) // 4 :], last)):
            errors += [abs((told.eta if told.eta is not None else 60.0) - (end - at)) for at, told in quarter]
    assert statistics.mean(last) < 0.6 * statistics.mean(first)


def endless(downtime=0.05):
    law = WriteLaw.uniform(16384, 60_000)
    guest = Guest(memory=256 * MIB, zero_pages=20000, page_size=4096, curve=law.curve(65536), busy=0.1)
    link, limits = Link(32 * MIB), Limits(downtime)
    setup = SimulationSetup.of(link, limits, Rules.qemu())
    return forecast(guest, link, limits), PreCopySimulation(65536, law, setup, zero_pages=20000)


def test_a_migration_that_never_ends_has_no_eta_and_the_reason_says_so():
    seen = followed(*endless(), until=30)
    assert all(told.eta is None and told.interval is None and told.downtime is None for _, told in seen)
    assert "does not converge" in seen[-1][1].reason


def test_a_guest_that_writes_more_than_was_seen_is_found_out():
    """Page sampling saw next to nothing of a guest that rewrites equal bytes; the migration's own count does."""
    expected, simulation = endless()
    blind = DirtyCurve((DirtyClass(16384, 300),), 65536, spread=0.1)
    expected = forecast(attrs.evolve(expected.guest, curve=blind), expected.link, expected.limits)
    assert expected.total is not None
    told = [one.eta for _, one in followed(expected, simulation, until=30)]
    assert told[0] is not None
    assert set(told[-8:]) == {None}


def test_raising_the_downtime_limit_helps_at_once():
    expected, simulation = endless()
    simulation.advance(10)
    told = outlook(expected, job(simulation), downtime=3.0)
    assert 0 < told.eta < 0.5
    assert told.downtime < 0.2, "what remains goes out without the limit"


def test_auto_converge_brings_an_endless_migration_to_an_end():
    law = WriteLaw.uniform(8192, 20_000)
    guest = Guest(memory=128 * MIB, zero_pages=10000, page_size=4096, curve=law.curve(32768), busy=1.0)
    link, limits, rules = Link(32 * MIB), Limits(0.3), Rules.qemu("10.0", auto_converge=True)
    expected = forecast(guest, link, limits, rules)
    plain = forecast(guest, link, limits)
    start = Job(elapsed=0.4, iteration=1, memory_remaining=128 * MIB)
    assert outlook(plain, start).eta is None
    assert outlook(expected, start).eta == pytest.approx(expected.total - 0.4, rel=0.35)


def test_before_anything_is_sent_it_is_the_forecast():
    for seed in range(20):
        expected, _ = drawn(seed)
        if expected.total is not None and expected.probability > 0.95:
            assert outlook(expected, Job()).eta == pytest.approx(expected.total, rel=0.1, abs=0.2)


def test_disks_go_out_first():
    expected, _ = drawn(0)
    with_disk = outlook(expected, Job(disk_remaining=10 * int(expected.link.limit)))
    assert with_disk.eta == pytest.approx(outlook(expected, Job()).eta + 10, abs=0.01)


def test_a_link_that_is_slower_than_was_said_takes_longer():
    expected, _ = drawn(2)
    state = Job(
        elapsed=1.0, iteration=1, memory_remaining=int(expected.guest.memory), memory_bps=int(expected.link.limit)
    )
    slower = attrs.evolve(state, memory_bps=int(expected.link.limit / 2))
    assert outlook(expected, slower).eta > 1.6 * outlook(expected, state).eta


def test_in_post_copy_the_rest_takes_what_it_takes_at_the_rate_that_is_seen():
    expected, _ = drawn(0)
    slow = outlook(
        expected, Job(elapsed=3, iteration=3, memory_remaining=512 * MIB, memory_bps=32 * MIB, post_copy=True)
    )
    assert slow.eta == pytest.approx(16)
    assert slow.interval[0] < 16 < slow.interval[1]


def test_in_post_copy_the_pause_is_past():
    expected, _ = drawn(0)
    told = outlook(expected, Job(elapsed=3, iteration=3, memory_remaining=10 * MIB, post_copy=True))
    assert told.downtime is None
    assert 0 < told.eta < 1


def test_a_timeout_that_comes_first_is_named():
    expected, _ = drawn(1)
    limited = attrs.evolve(expected, limits=attrs.evolve(expected.limits, timeout=1.0))
    assert "given up after 1 s" in outlook(limited, Job(elapsed=0.9)).reason


@given(
    seed=st.integers(0, 40),
    auto_converge=st.booleans(),
    state=st.builds(
        Job, elapsed=st.floats(0, 1e7), memory_remaining=st.integers(0, 2**50), memory_bps=st.integers(0, 2**40),
        disk_remaining=st.integers(0, 2**40), dirty_rate=st.integers(0, 2**40), iteration=st.integers(0, 10**6),
        constant=st.integers(0, 2**40), throttle=st.floats(0, 0.99), post_copy=st.booleans(),
    ),
    downtime=st.none() | st.floats(0, 2000),
)  # fmt: skip
def test_whatever_the_statistics_say_the_outlook_is_finite_and_not_negative(seed, auto_converge, state, downtime):
    told = outlook(drawn(seed, auto_converge=auto_converge)[0], state, downtime=downtime)
    numbers = [told.eta, told.downtime, *(told.interval or ())]
    assert all(number is None or (math.isfinite(number) and number >= 0) for number in numbers)
    assert (told.eta is None) == (told.interval is None)
    if told.eta is not None:
        assert told.interval[0] <= told.eta <= told.interval[1]
    assert told.reason.endswith(".")


@pytest.mark.parametrize(("field", "value"), [("elapsed", math.nan), ("memory_remaining", -1), ("throttle", 1.5)])
def test_statistics_that_no_migration_has_are_refused(field, value):
    with pytest.raises(ConvergenceError, match=f"stats.{field}"):
        outlook(drawn(0)[0], attrs.evolve(Job(), **{field: value}))
