"""Curves from few, noisy points: the mean is near the truth, the draws hold it, and what was not seen is uncertain."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate.convergence import DirtyClass, DirtyCurve
from novastate.convergence.curves.posterior import DRAWS, Unseen, _shapes_for, posterior

PAGES = 98304
LAWS = {
    "uniform": (DirtyClass(16384, 8192),),
    "hotcold": (DirtyClass(800, 9000), DirtyClass(14000, 2000)),
    "zipf": tuple(DirtyClass(4000 / 1.6**k, 4000 / 1.6**k * 0.02 * 1.9**k) for k in range(11)),
    "sequential": (DirtyClass(12000, 4000, sequential=True),),
}


def points(law, taus, seed, samples=6144):
    """What sampling *samples* pages sees of *law*, in whole MiB/s."""
    rng = np.random.default_rng(seed)
    found = []
    for tau in taus:
        share = DirtyCurve(law, PAGES).pages(tau) / PAGES
        step = 256 * tau
        seen = rng.binomial(samples, share) / samples * PAGES // step * step
        error = PAGES * math.sqrt(max(share, 1 / samples) * (1 - share) / samples)
        found.append((tau, seen + step / 2, math.hypot(error, 0.29 * step)))
    return tuple(found)


@pytest.mark.parametrize("name", LAWS)
def test_the_mean_is_near_the_truth_and_the_draws_hold_it(name):
    taus = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    truth = DirtyCurve(LAWS[name], PAGES)
    outside = 0
    for seed in range(6):
        found = posterior(points(LAWS[name], (0.25, 0.5, 1.0, 1.0, 1.0, 2.0, 4.0), seed), PAGES)
        mean = DirtyCurve(found.classes, PAGES)
        draws = [DirtyCurve(draw, PAGES) for draw in found.draws]
        for tau in taus:
            if 0.25 <= tau <= 4:
                assert mean.pages(tau) == pytest.approx(truth.pages(tau), rel=0.3), (seed, tau)
            reached = sorted(draw.pages(tau) for draw in draws)
            outside += not reached[0] <= truth.pages(tau) <= reached[-1]
    assert outside <= 0.1 * 6 * len(taus)


def test_a_writer_in_order_is_one_class():
    found = posterior(points(LAWS["sequential"], (0.25, 0.5, 1.0, 2.0, 4.0, 6.0), 1, samples=10**6), PAGES)
    assert [row.sequential for row in found.classes] == [True]


def test_what_was_not_measured_is_less_certain():
    def width(taus, at):
        draws = posterior(points(LAWS["hotcold"], taus, 3), PAGES).draws
        reached = sorted(DirtyCurve(draw, PAGES).pages(at) for draw in draws)
        return reached[-3] / reached[2]

    assert width((1.0, 1.0, 1.0), 0.1) > 2 * width((0.25, 0.5, 1.0, 2.0), 0.1)
    assert width((0.1, 0.25, 0.5), 8.0) > 2 * width((0.5, 1.0, 2.0, 4.0, 8.0), 8.0)


def test_a_guest_with_phases_may_be_quiet():
    steady = [(tau, 30000.0, 800.0) for tau in (0.5, 1.0, 1.0, 2.0, 4.0)]
    phased = posterior((*steady, (0.25, 30.0, 30.0)), PAGES)
    calm = posterior((*steady, (0.25, 29500.0, 800.0)), PAGES)
    assert phased.spread > 2 * calm.spread

    def least(found):
        return min(DirtyCurve(draw, PAGES).pages(0.2) for draw in found.draws)

    assert least(phased) < 0.2 * 30000 < 0.7 * 30000 < least(calm)


def test_what_the_instrument_does_not_see_is_in_the_draws():
    seen = points(LAWS["uniform"], (0.25, 0.5, 1.0, 2.0), 5)
    plain = posterior(seen, PAGES)
    for unseen, more, less in ((Unseen(more=0.5), 12, 0), (Unseen(less=0.25), 0, 6), (Unseen(0.5, 0.25), 12, 6)):
        found = posterior(seen, PAGES, unseen)
        assert found.classes == plain.classes
        written = [[DirtyCurve(draw, PAGES).pages(1.0) for draw in one.draws] for one in (plain, found)]
        assert sum(other > one for one, other in zip(*written, strict=True)) == more
        assert sum(other < one for one, other in zip(*written, strict=True)) == less
    assert posterior(seen, PAGES, Unseen(more=0.5)).spread > plain.spread


def test_factors_of_what_is_unseen_are_exponential():
    unseen = Unseen(more=0.4, less=0.2)
    assert unseen.factor(0.5) == 1
    assert math.log(unseen.factor(1 - 0.4 / math.e)) == pytest.approx(unseen.more_scale)
    assert math.log(unseen.factor(0.2 / math.e)) == pytest.approx(-unseen.less_scale)


def test_where_nothing_was_seen_to_be_written_a_little_may_be():
    found = posterior(tuple((tau, 0.0, 0.29 * 256 * tau) for tau in (0.25, 0.5, 1.0)), PAGES)
    assert found.classes == ()
    reached = [DirtyCurve(draw, PAGES).pages(1.0) for draw in found.draws]
    assert min(reached) == 0
    assert 0 < max(reached) < 500


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(1e-6, 3e7), st.floats(0, 1e12), st.floats(1e-3, 1e12)),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 2**40),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
)
def test_whatever_was_seen_the_curves_are_curves_of_the_guest(seen, pages, more, less):
    found = posterior(tuple((tau, min(count, pages), error) for tau, count, error in seen), pages, Unseen(more, less))
    assert len(found.draws) == DRAWS
    assert math.isfinite(found.spread)
    for classes in (found.classes, *found.draws):
        DirtyCurve(classes, pages)  # refuses what no guest has


def test_no_shape_has_more_classes_than_a_curve_may_have():
    """In windows of a microsecond in which all of the memory is written there are the most rates."""
    shapes = _shapes_for(np.array([1e-6]), np.array([2.0**40]), 2.0**40)
    for shape in range(len(shapes.rows)):
        DirtyCurve(shapes.classes(shape, 2.0**40, 2.0**40), 2**40)


def test_nearly_all_of_the_memory_in_one_short_window_is_a_curve_that_goes_through_it():
    found = DirtyCurve.from_dirty_rates([(0.05, 127 * 2**20 / 0.05)], 128 * 2**20, samples=None)
    # One window may be of a guest that is unsteady; most draws say it is not.
    assert 0.8 * 32512 < found.pages(0.05) < 32512
    assert found.spread < 0.5
    assert sum(row.pages(0.05) > 0.9 * 32512 for row in found.others) > 12


@pytest.mark.parametrize("interval", [0.01, 0.001])
def test_pages_that_change_within_milliseconds_are_seen(interval):
    changes = np.random.default_rng(1).random((40, 500)) < -math.expm1(-1)
    found = DirtyCurve.from_samples(np.cumsum(changes, axis=0), interval, 100_000)
    assert found.pages(interval) == pytest.approx(63212, rel=0.08)
    assert found.pages(10 * interval) == pytest.approx(100_000, rel=0.05)


def test_where_more_is_seen_than_the_memory_holds_the_nearest_shapes_are_the_likeliest():
    """Nine tenths in 20 ms and then all the rest: no classes do that, but those that are as fast come near."""
    found = posterior(((0.02, 900.0, 1.0), (0.04, 1000.0, 1.0)), 1000)
    assert DirtyCurve(found.classes, 1000).pages(0.04) > 900
    assert sum(DirtyCurve(draw, 1000).pages(0.04) > 900 for draw in found.draws) > DRAWS / 2
