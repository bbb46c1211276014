"""What a throttle or a dirty limit leaves of a guest's writes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.convergence.throttle import LOST, WAKE, left, limited, nap

SHARES = st.floats(0.0, 0.99)


@given(SHARES, SHARES, st.floats(0.0, 1.0))
def test_more_throttle_never_leaves_more(one: float, other: float, busy: float):
    less, more = sorted((one, other))
    assert 0.0 <= left(more, busy) <= left(less, busy) <= 1.0


def test_a_guest_that_idles_enough_does_not_notice():
    assert left(0.2, 0.1) == 1.0
    assert left(0.99, 0.0) == 1.0


def test_a_busy_guest_loses_a_little_more_than_is_taken():
    assert left(0.5, 1.0) == pytest.approx(0.5 * (1 - LOST) - WAKE)


@given(st.floats(1.0, 1e6), st.floats(0.0, 1e6), st.floats(1.0, 1e6))
def test_no_more_than_the_limit_is_written_in_a_second(pages: float, rate: float, most: float):
    def written(window: float) -> float:
        return pages * -math.expm1(-rate * window / pages)

    share = limited(written, most)
    assert 0.0 < share <= 1.0
    assert written(share) <= most * (1 + 1e-9)
    assert share == 1.0 or written(share) == pytest.approx(most, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("throttle", "seconds"), [(0.0, 0.0), (0.2, 0.0025), (0.5, 0.01), (0.9, 0.09), (0.99, 0.99), (1.0, 0.0)]
)
def test_a_throttled_guest_sleeps_the_longer_at_a_time_the_more_it_is_throttled(throttle: float, seconds: float):
    assert nap(throttle) == pytest.approx(seconds)
