"""What a running migration tells of its guest."""

from __future__ import annotations

import attrs
import pytest

from novastate.convergence import DirtyClass, DirtyCurve
from novastate.convergence.online.learning import Counted, Counts, Pace
from novastate.convergence.throttle import nap

CURVE = DirtyCurve((DirtyClass(3000.0, 9000.0), DirtyClass(9000.0, 400.0)), 65536)


def test_what_was_worked_out_at_earlier_looks_changes_nothing():
    rows = [Counted(float(k), 1.0, 1, 2000.0 + 37 * k, 50.0, 0.2 * (k % 4), 0.1, 65536.0) for k in range(1, 90)]
    followed = Counts()
    for row in rows:
        followed.add(row)
        followed.busy(CURVE, row.at, 0.1, 1.0)
        followed.corrected(CURVE, row.at, 0.3)
    fresh = Counts()
    for row in rows[-64:]:
        fresh.add(row)
    assert followed.rows == fresh.rows
    assert followed.busy(CURVE, 90.0, 0.1, 1.0) == fresh.busy(CURVE, 90.0, 0.1, 1.0)
    assert followed.corrected(CURVE, 90.0, 0.3) == fresh.corrected(CURVE, 90.0, 0.3)
    assert followed.evidence(CURVE, 90.0, 0.3) == fresh.evidence(CURVE, 90.0, 0.3)


@pytest.mark.parametrize("poll", [0.05, 0.25, 0.48, 1.0, 5.0])
@pytest.mark.parametrize("throttle", [0.5, 0.9, 0.99])
def test_what_a_sync_waits_for_a_sleeping_guest_is_no_slow_pace(poll, throttle):
    """Two slots are sent, then a sync waits for the guest to wake; the count of syncs rises as it begins."""
    asleep, sending, pace = nap(throttle), 0.2, Pace()
    whole = asleep + sending

    def seen(at):
        rounds, within = divmod(at, whole)
        return rounds * sending + max(0.0, within - asleep), int(rounds)

    at = 0.0
    while at < 30.0:
        (before, old), (after, new) = seen(at), seen(at + poll)
        pace.add(poll, after - before, syncs=new - old, nap=asleep)
        at += poll
    assert pace.slowness == pytest.approx(1.0, abs=0.1)


def test_what_no_sleep_explains_is_a_slow_pace_still():
    pace = Pace()
    for at in range(20):
        pace.add(1.0, 0.4, syncs=at % 2, nap=0.09)
    assert pace.slowness == pytest.approx(2.4, abs=0.2)
    naps = Pace()
    for _ in range(20):  # one sync, and then a line that carries a third
        naps.add(0.3, 0.1, syncs=int(not naps.slowness), nap=0.99)
    assert naps.slowness == pytest.approx(3.0)


def test_a_count_of_long_rounds_leaves_what_is_known_of_short_ones_as_unsure_as_it_was():
    unsure = attrs.evolve(CURVE, spread=0.5)
    counts = Counts()
    new = unsure.pages(5.0)
    counts.add(Counted(at=5.0, span=5.0, rounds=1, new=new, unsent=0.0, throttle=0.0, jitter=0.05, pages=1e5))

    def known(window):
        return counts.corrected(unsure, 5.0, 1.0, window=window, spread=0.5)

    assert known(5.0).spread < 0.15
    told = [known(window).spread for window in (5.0, 2.0, 1.0, 0.5, 0.1, 0.05)]
    assert told == sorted(told)
    assert told[-1] == pytest.approx(0.5, rel=0.1)
    assert known(5.0).classes == known(0.05).classes
