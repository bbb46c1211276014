"""Curves of a page set that is looked at again and again."""

from __future__ import annotations

import math

import numpy as np
import pytest

from novastate.convergence import DirtyCurve
from novastate.convergence.curves.samples import sampled_points
from novastate.errors import ConvergenceError


def looks(n, rate_a_page, interval, count, seed=0):
    """Versions of n pages, each written *rate_a_page* times a second."""
    writes = np.random.default_rng(seed).poisson(rate_a_page * interval, (count - 1, n))
    return np.vstack([np.zeros(n, int), np.cumsum(writes, axis=0)])


def test_sampled_pages_stand_for_all():
    curve = DirtyCurve.from_samples(looks(4000, 0.3, 0.25, 40), 0.25, page_count=400_000)
    for tau in (0.25, 1.0, 4.0):
        truth = 400_000 * -math.expm1(-0.3 * tau)
        assert curve.pages(tau) == pytest.approx(truth, rel=0.1)
        assert curve.lower.pages(tau) < truth < curve.upper.pages(tau)


def test_the_deviation_is_binomial_and_is_that_of_many_samples():
    n, count, share = 500, 100_000, 1 - math.exp(-0.2)
    found = [sampled_points(looks(n, 0.2, 1.0, 2, seed), 1.0, count)[0] for seed in range(300)]
    scatter = float(np.std([pages for _, pages, _ in found]))
    said = float(np.mean([error for _, _, error in found]))
    assert said == pytest.approx(scatter, rel=0.2)
    assert np.mean([pages for _, pages, _ in found]) == pytest.approx(share * count, rel=0.01)


def test_nothing_seen_of_few_pages_is_not_certain():
    ((_, pages, error),) = sampled_points(np.zeros((2, 10)), 1.0, 1000)
    assert pages == 0
    assert error > 20


def test_all_pages_sampled_leaves_nothing_open():
    ((_, pages, error),) = sampled_points(looks(64, 1.0, 1.0, 2), 1.0, 64)
    assert pages == int(pages)
    assert error == 0.5


def test_versions_of_any_type_compare():
    words = np.array([["a", "b"], ["a", "c"], ["a", "c"]])
    assert [pages for _, pages, _ in sampled_points(words, 1.0, 4)] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((np.zeros((1, 4)), 1.0, 10), "versions"),
        ((np.zeros(4), 1.0, 10), "versions"),
        ((np.zeros((2, 0)), 1.0, 10), "versions"),
        ((np.full((2, 2), math.nan), 1.0, 10), "versions"),
        ((np.zeros((2, 11)), 1.0, 10), "versions"),
        ((np.zeros((2, 4)), 0, 10), "interval"),
        ((np.zeros((2, 4)), 1.0, -1), "page_count"),
    ],
)
def test_samples_that_are_none_are_refused_by_name(arguments, field):
    with pytest.raises(ConvergenceError, match=field):
        DirtyCurve.from_samples(*arguments)
