"""What else may be so where the write law that was said before is wrong."""

from __future__ import annotations

import statistics

import pytest

from novastate.convergence import DirtyClass, DirtyCurve, Guest, Limits, Link, Rules, Watch
from novastate.convergence.online.doubt import scaled, shapes
from novastate.convergence.online.learning import DOUBT, Counted, Counts
from novastate.drivers import JobStats, JobType

PAGES = 65536
CURVE = DirtyCurve((DirtyClass(3000.0, 9000.0), DirtyClass(9000.0, 400.0)), PAGES)


def counted(*rows):
    """Counts of rounds, (s, new pages) each."""
    counts, at = Counts(), 0.0
    for span, new in rows:
        at += span
        counts.add(Counted(at, span, 1, new, 0.0, 0.0, 0.0, float(PAGES)))
    return counts


def test_before_anything_is_counted_it_is_wrong_with_the_chance_that_is_said_and_either_way():
    assert Counts().wrong(CURVE, 0.0, 1.0) == DOUBT
    pages = [law.pages(1.0) / CURVE.pages(1.0) for law in scaled(CURVE)]
    assert pages == sorted(pages)
    assert statistics.median(pages) == pytest.approx(1.0, rel=0.1)
    assert sum(0.5 < one < 2.0 for one in pages) == pytest.approx(len(pages) / 2, abs=3)
    assert all(law.pages(1e9) <= PAGES for law in scaled(CURVE))


@pytest.mark.parametrize("off", [1.0, 0.4, 2.5])
def test_counts_say_whether_it_is_wrong(off):
    counts = counted(*((span, off * CURVE.pages(span)) for span in (4.0, 1.0, 0.3)))
    wrong = counts.wrong(CURVE, 5.3, 1.0)
    assert wrong < 0.1 if off == 1.0 else wrong > 0.9


def test_one_round_says_nothing_of_shorter_ones_but_that_they_write_less():
    shape, laws = shapes(counted((4.0, 8000.0)), CURVE, 1.0)
    assert 0.5 < shape < 1.0
    found = [law.pages(0.4) for law, _ in laws]
    for law, likely in laws:
        assert law.pages(4.0) == pytest.approx(8000.0, rel=0.05), "as far as the memory has room"
        assert likely == pytest.approx(1.0, abs=0.05)
    assert min(found) == pytest.approx(800.0, rel=0.1)
    assert max(found) > 4000.0


def test_rounds_of_other_lengths_say_which_shape_it_is():
    law = DirtyCurve((DirtyClass(30000.0, 3000.0),), PAGES)
    shape, laws = shapes(counted(*((span, law.pages(span)) for span in (4.0, 2.0, 0.5))), CURVE, 1.0)
    likeliest, _ = max(laws, key=lambda one: one[1])
    assert shape > 0.9
    assert likeliest.pages(1.0) == pytest.approx(law.pages(1.0), rel=0.1)
    assert min(likely for _, likely in laws) < 0.01


def test_counts_as_no_law_has_them_are_no_division_by_nothing():
    counts = counted(*((1.0, new) for new in (1.0, 60000.0) * 32))
    shape, laws = shapes(counts, CURVE, 1.0)
    assert 0.0 <= shape <= 1.0
    assert max(likely for _, likely in laws) <= 1.0


def test_another_shape_is_run_on_also_where_a_look_without_a_count_of_syncs_seemed_later_than_those_with_one():
    guest = Guest(256 * 2**20, 0, 4096, DirtyCurve((), PAGES))
    watch = Watch(guest, Link(64 * 2**20), Limits(0.3), Rules.qemu("10.0"))

    def look(at, sent, remaining, iteration):
        return watch.observe(
            JobStats(
                JobType.UNBOUNDED, elapsed=at, memory_total=256 * 2**20, memory_processed=sent, memory_remaining=remaining,
                memory_bps=64 * 2**20, dirty_rate=900, iteration=iteration,
            )
        )  # fmt: skip

    look(4.0, 250 * 2**20, 200 * 2**20, 0)  # more was sent than has gone: a second sync is inferred
    found = look(5.0, 251 * 2**20, 2**20, 1)
    assert found.eta_interval[0] <= found.eta <= found.eta_interval[1]
