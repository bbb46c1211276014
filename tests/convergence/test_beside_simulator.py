"""The forecast beside the page-exact simulator, where they once were apart: what ends it, and what a page costs."""

from __future__ import annotations

import pytest

from novastate.convergence import Guest, Limits, Link, Rules, Verdict, WriteLaw, forecast, simulate

MIB = 2.0**20


def both(law, link, limits, rules, *, mib, zero=0, busy=1.0, seed=1):
    """The forecast and one simulated migration of a guest of *mib* MiB that writes by *law*."""
    pages = mib * 256
    law = WriteLaw(law.parts, busy)
    guest = Guest(mib * MIB, zero, 4096, law.curve(pages), busy=busy)
    found = simulate(pages=pages, law=law, link=link, limits=limits, rules=rules, seed=seed, zero_pages=zero)
    return forecast(guest, link, limits, rules), found


def within(said, found):
    """Whether *found* is what was *said*."""
    low, high = said.total_interval
    return found.verdict is said.verdict is Verdict.CONVERGES and low <= found.total <= high


def test_on_a_slow_line_a_difference_takes_the_time_of_its_few_bytes():
    rules = Rules.qemu("9.1", xbzrle_cache=64 * MIB)
    link = Link(32 * MIB, 1.25e8)
    said, found = both(WriteLaw.uniform(1600, 20_000), link, Limits(0.1, 120), rules, mib=64, zero=4000)
    assert within(said, found)
    assert said.syncs == found.syncs


@pytest.mark.parametrize("zero", [0, 9000])
@pytest.mark.parametrize("pattern", [WriteLaw.uniform, WriteLaw.sequential])
def test_a_page_that_was_never_sent_is_new_to_the_destination_also_where_it_is_written_at_times(pattern, zero):
    link, limits, rules = Link(64 * MIB), Limits(2, 300), Rules.qemu("10.0")
    said, found = both(pattern(12_000, 1), link, limits, rules, mib=96, zero=zero)
    idle, _ = both(WriteLaw.idle(), link, limits, rules, mib=96, zero=zero)
    assert said.syncs == found.syncs == 3
    assert said.downtime == pytest.approx(found.downtime, rel=0.02)
    assert said.downtime == pytest.approx(idle.downtime, rel=0.02)
    assert said.total == pytest.approx(found.total, rel=0.02)


def test_rounds_alike_that_begin_later_in_their_slots_each_time_may_still_end():
    # All its pages go out in a slot, less a few: the sync comes ever later in a slot, until one finds few pages.
    rules, link = Rules.qemu("10.0", switchover_bandwidth=1e8), Link(128 * MIB)
    said, found = both(WriteLaw.sequential(3276, 65790), link, Limits(0.03, 60), rules, mib=64, zero=8000)
    assert said.probability > 0.9
    assert within(said, found)


def test_what_a_sequential_writer_writes_may_be_unsent_already():
    # Of 13,107 pages 9,811 are unsent at the sync, and the writer has gone through 7,645: not all of them others.
    rules, link = Rules.qemu("10.0", switchover_bandwidth=5e8), Link(128 * MIB)
    said, found = both(WriteLaw.sequential(13107, 76451), link, Limits(0.1, 300), rules, mib=128, zero=16_000, busy=0.3)
    assert said.probability > 0.9
    assert within(said, found)


def test_where_a_sequential_writer_begins_is_a_part_of_the_interval():
    rules, link = Rules.qemu("8.1", auto_converge=True), Link(8 * MIB, 3e9)
    law = WriteLaw.sequential(1638, 3419).with_background()
    totals = set()
    for seed in range(4):
        said, found = both(law, link, Limits(0.5, 60), rules, mib=32, zero=3000, busy=0.7, seed=seed)
        assert within(said, found)
        totals.add(round(found.total))
    assert len(totals) > 1


def test_post_copy_by_rule_comes_as_the_slot_ends():
    said, found = both(
        WriteLaw.uniform(1638, 6983), Link(8 * MIB, 1.25e8), Limits(0.1, 60), Rules.qemu("8.0", post_copy=True), mib=32
    )
    assert said.post_copied
    assert found.post_copied
    assert found.hypervisor_total == pytest.approx(said.hypervisor_total, abs=0.02)


def test_that_it_may_end_without_post_copy_is_said_with_the_pause_of_that():
    # The line carries a little less or more: by that the threshold is above what is left after a round, or below.
    law, rules = WriteLaw.uniform(3276, 866.99), Rules.qemu("8.0", post_copy=True)
    said, found = both(law, Link(128 * MIB, 1.25e8), Limits(1, 60), rules, mib=256, zero=17778)
    assert said.post_copied
    assert said.otherwise == "without post-copy, with a pause of 418 ms"
    assert said.otherwise in said.reason
    assert said.in_time
    low, high = said.downtime_interval
    assert low < found.downtime < high
    sure, _ = both(law, Link(128 * MIB, 1.25e8), Limits(0.3, 60), rules, mib=256, zero=17778)
    assert sure.otherwise is None
