"""What a host observes becomes the guest that a forecast starts from: against guests whose truth is known."""

from __future__ import annotations

import math

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.convergence import DirtyCurve, Link, WriteLaw, forecast
from novastate.convergence.sources import PAGE, DirtyRate, Observation, Visit, checksums, zero_by_resident
from novastate.errors import ConvergenceError

MIB = 1 << 20
EACH = 64
ZERO = checksums(bytes(PAGE))[0]


class Memory:
    """A guest's memory as write counts: a block of written pages at *written*, a block of zero pages at *zero*."""

    def __init__(self, pages, written, rates, zero=range(0), seed=1):
        self.random = np.random.default_rng(seed)
        self.pages = pages
        self.count = np.ones(pages, dtype=np.int64)
        self.count[zero.start : zero.stop] = 0
        self.at = written.start
        self.rates = np.asarray(rates, dtype=float)
        assert len(self.rates) == len(written)
        self.now = 0.0

    def advance(self, to):
        self.count[self.at : self.at + len(self.rates)] += self.random.poisson(self.rates * (to - self.now))
        self.now = to

    def look(self, page):
        sums = self.count[page : page + EACH]
        return Visit(page, self.now, tuple(int(n) if n else ZERO for n in sums))

    def watched(self, blocks, offsets):
        """Visits to *blocks* blocks spread evenly, each at every offset, one after the other, 4 ms apart."""
        slots = self.pages // EACH
        firsts = sorted({int((k * 0.6180339887 + 0.5) % 1.0 * slots) * EACH for k in range(blocks)})
        due = sorted((0.004 * k + offset, page) for k, page in enumerate(firsts) for offset in offsets)
        visits = []
        for at, page in due:
            self.advance(max(at, self.now))
            visits.append(self.look(page))
        return tuple(visits)


def uniform(pages, rate):
    return np.full(pages, rate / pages)


def hot_and_cold(pages, rate):
    rates = np.full(pages, 0.1 * rate / (0.9 * pages))
    rates[: pages // 10] = 0.9 * rate / (0.1 * pages)
    np.random.default_rng(7).shuffle(rates)
    return rates


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pattern", [uniform, hot_and_cold])
def test_visits_give_the_dirty_curve_within_their_own_error(pattern, seed):
    rates = pattern(8192, 5000.0)
    memory = Memory(40960, range(20000, 28192), rates, seed=seed)
    seen = Observation(40960 * PAGE, memory.watched(200, (0.0, 0.1, 0.3, 0.9, 2.0, 2.8)), busy=0.1)
    points = seen.points()
    assert points[0][0] < 0.15
    assert points[-1][0] > 2.5
    for tau, pages, error in points:
        truth = -np.expm1(-rates * tau).sum()
        assert abs(pages - truth) < 4 * error + 15, tau
        assert error < 0.35 * truth + 30, tau
    curve = seen.curve()
    for tau in (0.1, 0.5, 1.0, 2.5):
        truth = -np.expm1(-rates * tau).sum()
        assert curve.pages(tau) == pytest.approx(truth, rel=0.25, abs=150), tau
    assert 0.05 <= curve.spread < 0.3


@pytest.mark.parametrize("pattern", [uniform, hot_and_cold])
def test_errors_of_points_are_honest(pattern):
    rates = pattern(8192, 5000.0)
    far = total = 0
    for seed in range(12):
        memory = Memory(40960, range(20000, 28192), rates, seed=100 + seed)
        memory.at = 500 * seed
        for tau, pages, error in Observation(40960 * PAGE, memory.watched(120, (0.0, 0.1, 0.5, 2.0, 2.8))).points():
            truth = -np.expm1(-rates * tau).sum()
            far += abs(pages - truth) > 2 * error
            total += 1
    assert far / total < 0.12


class InOrder(Memory):
    """Its pages are written one after the other, *rate* a second, round and round."""

    def advance(self, to):
        rate, size = self.rates.sum(), len(self.rates)
        first, last = int(rate * self.now), int(rate * to)
        self.count[self.at : self.at + size] += (last - first) // size
        for step in range(first, first + (last - first) % size):
            self.count[self.at + step % size] += 1
        self.now = to


@pytest.mark.parametrize("blocks", [60, 120, 200])
def test_errors_are_honest_where_neighbours_are_written_together(blocks):
    far = total = 0
    for at in range(12):
        memory = InOrder(40960, range(1000 + 2500 * at, 9192 + 2500 * at), uniform(8192, 5000.0))
        for tau, pages, error in Observation(40960 * PAGE, memory.watched(blocks, (0.0, 0.1, 0.5, 1.4, 2.7))).points():
            truth = min(8192, 5000 * tau)
            far += abs(pages - truth) > 2 * error
            total += 1
    assert far / total < 0.15


@pytest.mark.parametrize("seed", range(6))
def test_a_writer_in_order_of_address_is_told_from_one_at_random(seed):
    """It matters: what it writes next is never what is still unsent."""

    def kinds(kind):
        memory = kind(40960, range(20000, 28192), uniform(8192, 6000.0), seed=seed)
        law = WriteLaw.sequential(8192, 6000) if kind is InOrder else WriteLaw.uniform(8192, 6000)
        noise = np.random.default_rng(seed)
        rates = tuple(
            DirtyRate(
                tau, noise.binomial(2560, law.written(tau) / 40960) / 2560 * 40960 * PAGE / tau // MIB * MIB, 2560
            )
            for tau in (0.05, 0.1, 0.25, 0.5, 0.1, 1.0, 0.05, 2.0)
        )
        visits = memory.watched(180, (0.0, 0.1, 0.6, 1.4, 2.0, 2.7))
        curve = Observation(40960 * PAGE, visits, rates, busy=0.1).curve()
        return [row.sequential for row in curve.classes]

    assert any(kinds(InOrder))
    assert not any(kinds(Memory))


def test_dirty_rates_alone_give_the_curve():
    law = WriteLaw.uniform(8192, 5000.0)
    rates = tuple(
        DirtyRate(tau, law.written(tau) * PAGE / tau // MIB * MIB, 2560) for tau in (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
    )
    curve = Observation(40960 * PAGE, rates=rates, busy=0.1).curve()
    for tau in (0.1, 0.5, 1.0, 2.0):
        assert curve.pages(tau) == pytest.approx(law.written(tau), rel=0.1, abs=100)


def test_the_curve_remembers_what_was_seen():
    seen = Observation(memory=64 * MIB, rates=(DirtyRate(1.0, 8.0 * MIB, 16384), DirtyRate(0.25, 20.0 * MIB, 16384)))
    assert seen.curve().observations == seen.points()
    assert seen.guest().curve.observations == seen.points()


def test_both_instruments_are_better_than_one():
    law = WriteLaw.uniform(8192, 5000.0)
    memory = Memory(40960, range(20000, 28192), uniform(8192, 5000.0))
    visits = memory.watched(60, (0.0, 0.1, 0.5, 2.0, 2.8))
    rates = tuple(DirtyRate(tau, law.written(tau) * PAGE / tau, 2560) for tau in (0.05, 0.1, 0.25, 0.5, 1.0, 2.0))
    alone = Observation(40960 * PAGE, visits, busy=0.1)
    assert attrs.evolve(alone, rates=rates).curve().spread <= alone.curve().spread


def test_a_rate_over_a_short_time_from_few_pages_counts_less():
    long = Observation(40960 * PAGE, rates=(DirtyRate(1.0, 20 * MIB, 2560),))
    few = Observation(40960 * PAGE, rates=(DirtyRate(1.0, 20 * MIB, 80),))
    assert few.points()[0][2] > 3 * long.points()[0][2]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_zero_pages_are_counted_by_address(share):
    pages = 40960
    first = 8000
    zero = range(first, first + int(share * (pages - 10000)))
    memory = Memory(pages, range(10), uniform(10, 1.0), zero=zero)
    seen = Observation(pages * PAGE, memory.watched(200, (0.0,))).zero_pages()
    assert seen.pages == pytest.approx(len(zero), abs=3 * seen.error)
    assert seen.error < 0.01 * pages
    if zero:
        assert seen.tail == pytest.approx(pages - zero.stop, abs=300)
        assert seen.tail_zero == pytest.approx(0, abs=300)


def test_in_a_large_guest_the_place_of_zero_pages_is_not_known():
    pages = 64 * 262144
    visits = tuple(Visit(page, 1.0, (ZERO,) * EACH) for page in range(0, pages - EACH, pages // 200))
    seen = Observation(pages * PAGE, visits).zero_pages()
    assert seen.tail is None
    assert Observation(pages * PAGE, visits, running=False).guest().tail_pages is None


def test_without_visits_the_resident_size_bounds_the_zero_pages():
    pages = 131072
    seen = Observation(pages * PAGE, resident=320 * MIB).zero_pages()
    # 120 MiB are the process; of what the guest has touched a fifth is zero.
    assert seen.pages == pytest.approx(pages - 0.8 * (320 - 120) * 256)
    assert seen.error == pytest.approx(math.hypot(0.8 * 20, 0.15 * 200) * 256)
    assert Observation(pages * PAGE).zero_pages().error > 0.1 * pages


def test_what_the_resident_size_leaves_open_grows_with_what_was_touched():
    large = 64 * 262144
    errors = [Observation(large * PAGE, resident=size * 1024 * MIB).zero_pages().error / size for size in (4, 16, 60)]
    assert errors == pytest.approx([errors[0]] * 3, rel=0.05)
    assert errors[0] > 0.1 * 262144


@given(resident=st.floats(0, 1e12), pages=st.integers(1, 2**28))
def test_of_any_resident_size_some_pages_may_be_zero_and_none_too_many(resident, pages):
    zero, error = zero_by_resident(pages, resident)
    assert 0 < zero < pages
    assert 0 < error <= pages


def test_a_guest_that_does_not_run_writes_nothing():
    guest = Observation(40960 * PAGE, running=False, devices=130, busy=0.0).guest()
    assert guest.curve.pages(10.0) == 0
    assert guest.pages == 41090


def test_an_idle_guest_has_its_background():
    memory = Memory(40960, range(40), uniform(40, 20.0))
    curve = Observation(40960 * PAGE, memory.watched(200, (0.0, 0.1, 0.5, 2.8)), busy=0.03).curve()
    assert 60 < curve.pages(0.1) < 200
    assert curve.pages(2.8) < 400


def test_what_devices_have_migrates_too():
    guest = Observation(40960 * PAGE, running=False, devices=4226, device_zero=4096, resident=125 * MIB).guest()
    assert guest.memory == (40960 + 4226) * PAGE
    assert guest.zero_pages == pytest.approx(0.95 * 40960 + 4096)


def test_page_sampling_is_trusted_less_where_the_guest_never_idles():
    rates = tuple(DirtyRate(tau, 20 * MIB, 2560) for tau in (0.1, 0.5))

    def spread(busy):
        return Observation(40960 * PAGE, rates=rates, busy=busy).curve().spread

    assert spread(0.1) < spread(None) < spread(1.0)


def test_nothing_seen_of_a_running_guest_is_an_error():
    with pytest.raises(ConvergenceError, match="nothing was seen"):
        Observation(40960 * PAGE).guest()


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("visits.page", {"visits": (Visit(100, 0.0, (1,) * 64),)}),
        ("visits.sums", {"visits": (Visit(0, 0.0, ()),)}),
        ("device_zero", {"devices": 1, "device_zero": 2}),
        ("busy", {"busy": 1.1}),
        ("resident", {"resident": -1.0}),
    ],
)
def test_what_no_guest_can_have_is_refused(field, more):
    with pytest.raises(ConvergenceError) as caught:
        Observation(128 * PAGE, **more)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("at", lambda: Visit(0, float("nan"), (1,))),
        ("page", lambda: Visit(-1, 0.0, (1,))),
        ("tau", lambda: DirtyRate(0.0, 1.0, 1)),
        ("rate", lambda: DirtyRate(1.0, -1.0, 1)),
        ("samples", lambda: DirtyRate(1.0, 1.0, 0)),
        ("resolution", lambda: DirtyRate(1.0, 1.0, 1, -1)),
    ],
)
def test_what_no_instrument_can_have_seen_is_refused(field, make):
    with pytest.raises(ConvergenceError) as caught:
        make()
    assert caught.value.field == field


def test_a_dirty_rate_above_the_memory_is_cut_to_it():
    assert Observation(128 * PAGE, rates=(DirtyRate(1.0, 1e12, 100),)).points()[0][1] == 128


@given(
    visits=st.lists(
        st.builds(
            Visit,
            st.integers(0, 3).map(lambda n: n * 8),
            st.floats(0, 5),
            st.lists(st.sampled_from([ZERO, 1, 2]), min_size=8, max_size=8).map(tuple),
        ),
        max_size=12,
    ).map(tuple),
    rates=st.lists(
        st.builds(
            DirtyRate,
            st.floats(0.01, 60),
            st.just(0.0) | st.floats(MIB, 1e12),
            st.floats(1, 1e9),
            st.sampled_from([0.0, 1.0 * MIB]),
        ),
        min_size=1,
        max_size=8,
    ).map(tuple),
    busy=st.none() | st.floats(0, 1),
    resident=st.none() | st.floats(8 * MIB, 1e12),
    devices=st.integers(0, 50),
)
def test_whatever_was_seen_there_is_a_guest_and_a_forecast_of_it(visits, rates, busy, resident, devices):
    guest = Observation(
        32 * PAGE, visits, rates, devices=devices, device_zero=devices // 2, busy=busy, resident=resident
    ).guest()
    assert 0 <= guest.zero_pages <= guest.pages
    assert 0 < guest.curve.spread <= 1
    forecast(guest, Link(32 * MIB)).total_interval  # noqa: B018


def test_a_rate_in_another_unit_is_told_from_one_in_bytes():
    rows = [(0.1, 78.0), (0.5, 43.0), (1.0, 34.0)]
    with pytest.raises(ConvergenceError, match=r"rates\[0.1\].*resolution in bytes/s.*MiB"):
        DirtyCurve.from_dirty_rates(rows, 384 * MIB)
    with pytest.raises(ConvergenceError, match=r"rate.*resolution"):
        DirtyRate(1.0, 78.0, 512)
    assert DirtyCurve.from_dirty_rates(rows, 384 * MIB, resolution=0).pages(1.0) >= 0
    assert DirtyCurve.from_dirty_rates([(1.0, 0)], 384 * MIB).pages(1.0) < 256
    assert (DirtyRate(1.0, 0.0, 512).rate, DirtyRate(1.0, MIB, 512).rate) == (0.0, MIB)


def test_a_resident_size_in_kib_is_told_from_one_in_bytes():
    with pytest.raises(ConvergenceError, match=r"resident.*bytes.*KiB"):
        Observation(384 * MIB, resident=460_000)
    assert Observation(384 * MIB, resident=460_000 * 1024).zero_pages().pages > 0
