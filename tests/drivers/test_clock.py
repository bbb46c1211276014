"""Clocks: what sleeping does to them, and what they refuse."""

from __future__ import annotations

import math
import time

import pytest

from novastate.drivers import Clock, RealClock, VirtualClock
from novastate.errors import InvalidField


def test_a_virtual_clock_moves_only_by_sleeping_and_at_once():
    clock = VirtualClock(100.0)
    began = time.monotonic()
    clock.sleep(86_400)
    assert clock.now() == 86_500.0
    assert time.monotonic() - began < 5


def test_sleeping_for_nothing_or_less_changes_nothing():
    clock = VirtualClock()
    clock.sleep(0)
    clock.sleep(-5)
    assert clock.now() == 0


def test_a_real_clock_runs_as_fast_as_it_is_told():
    clock = RealClock(speed=1000, start=50)
    before = clock.now()
    clock.sleep(5)
    assert before >= 50
    assert clock.now() >= before + 5


def test_a_real_clock_tells_the_time_of_day():
    assert time.time() - 1 < RealClock().now() < time.time() + 1


def test_a_real_clock_does_not_jump_when_the_time_of_day_is_set(monkeypatch):
    clock = RealClock()
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert before <= clock.now() < before + 60


def test_both_are_clocks():
    assert isinstance(VirtualClock(), Clock)
    assert isinstance(RealClock(), Clock)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: RealClock(speed=0), "speed"),
        (lambda: RealClock(speed=math.nan), "speed"),
        (lambda: VirtualClock(math.inf), "start"),
        (lambda: RealClock(start=math.inf), "start"),
        (lambda: VirtualClock().sleep(math.nan), "seconds"),
        (lambda: RealClock().sleep(math.inf), "seconds"),
    ],
)
def test_impossible_times_are_refused(make, field):
    with pytest.raises(InvalidField) as refused:
        make()
    assert refused.value.field == field
