"""What libvirt tells of guests, made into lifecycle events; needs no libvirt."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.drivers import Lifecycle, VirtualClock
from novastate.drivers.libvirt.lifecycle import TRANSITIONS, Known, Story
from novastate.drivers.libvirt.raw_events import EventKind, HypervisorEvent

UUID = "7a1f2c9e-0d53-4c7f-9a39-5a2be3a2f6d1"
DELAY = 15.0

STARTED, STOPPED, SUSPENDED = Lifecycle.STARTED, Lifecycle.STOPPED, Lifecycle.SUSPENDED
PAUSED, RESUMED = Lifecycle.PAUSED, Lifecycle.RESUMED


def raw(event, detail=0, *, domain_id=1, at=100.0):
    return HypervisorEvent(EventKind.LIFECYCLE, UUID, event, detail, domain_id, at=at)


def story(found=None, *, delay=DELAY):
    """A story that has begun long ago, at 0."""
    begun = Story("alpha", VirtualClock(), delay)
    assert begun.compare({UUID: found} if found else {}, 0.0) == []
    return begun


def names(events):
    assert {event.uuid for event in events} <= {UUID}
    return [event.transition for event in events]


RUNNING = Known(RESUMED, 1)
STILL = Known(PAUSED, 1)


@pytest.mark.parametrize(
    ("event", "detail", "transitions"),
    [
        (0, 0, []),  # defined
        (1, 0, []),  # undefined
        (2, 0, [STARTED]),  # booted
        (2, 1, [STARTED]),  # incoming
        (2, 2, [STARTED]),  # restored
        (2, 4, [RESUMED]),  # woken up
        (3, 0, [PAUSED]),
        (3, 1, [PAUSED]),  # for the switch-over, which may fail
        (3, 2, [PAUSED]),  # I/O error
        (3, 7, [Lifecycle.POSTCOPY_STARTED]),
        (3, 8, [PAUSED]),  # post-copy failed
        (4, 0, [RESUMED]),
        (5, 3, [Lifecycle.MIGRATION_COMPLETED]),  # and STOPPED, held back
        (5, 4, [SUSPENDED]),  # saved
        (6, 2, []),  # going down: what follows says how
        (7, 0, [SUSPENDED]),  # asleep by its own wish
        (8, 0, []),  # crashed: what follows says what becomes of it
    ],
)
def test_events_are_mapped(event, detail, transitions):
    known = Known(Lifecycle.RESUMED, 1) if event in {3, 5, 7} else Known(PAUSED, 1)
    assert names(story(known).take(raw(event, detail), 100.0)) == transitions


@pytest.mark.parametrize("detail", [0, 1, 2, 5, 6])
def test_every_other_stop_is_held_back(detail):
    told = story(RUNNING)
    assert told.take(raw(5, detail, domain_id=-1), 100.0) == []
    assert told.next_due == 100.0 + DELAY
    assert told.due(100.0 + DELAY - 0.1) == []
    assert names(told.due(100.0 + DELAY)) == [STOPPED]
    assert told.next_due is None
    assert told.due(1000.0) == []


def test_a_reboot_is_no_stop():
    told = story(RUNNING)
    told.take(raw(5), 100.0)
    assert names(told.take(raw(2, domain_id=2), 101.0)) == [STARTED]
    assert told.due(1000.0) == []


def test_without_a_delay_a_stop_is_told_at_once():
    assert names(story(RUNNING, delay=0.0).take(raw(5), 100.0)) == [STOPPED]


def test_an_event_carries_host_and_time():
    clock = VirtualClock(50.0)
    told = Story("alpha", clock, DELAY)
    told.compare({UUID: RUNNING}, 0.0)
    (event,) = told.take(raw(3), 100.0)
    assert (event.host, event.uuid, event.at) == ("alpha", UUID, 50.0)
    told.take(raw(5), 100.0)
    clock.sleep(DELAY)
    assert told.due(100.0 + DELAY)[0].at == 50.0, "when it stopped, not when it was told"


def test_what_is_said_again_is_not_told_again():
    """At a destination libvirt says RESUMED when post-copy begins and when it ends."""
    told = story()
    assert names(told.take(raw(2, 1), 100.0)) == [STARTED]
    assert names(told.take(raw(4, 3), 101.0)) == [RESUMED]
    assert names(told.take(raw(4, 1), 105.0)) == []


def test_the_story_begins_with_the_first_comparison():
    told = Story("alpha", VirtualClock(), DELAY)
    assert told.take(raw(3), 1.0) == []
    assert told.compare({UUID: STILL}, 2.0) == []


@pytest.mark.parametrize(
    ("before", "after", "missed"),
    [
        (RUNNING, STILL, [PAUSED]),
        (STILL, RUNNING, [RESUMED]),
        (RUNNING, None, [STOPPED]),
        (RUNNING, Known(STOPPED), [STOPPED]),
        (RUNNING, Known(SUSPENDED), [SUSPENDED]),
        (Known(SUSPENDED), RUNNING, [STARTED]),
        (Known(SUSPENDED), Known(STOPPED), [STOPPED]),
        (Known(STOPPED), RUNNING, [STARTED]),
        (None, RUNNING, [STARTED]),
        (None, STILL, [STARTED, PAUSED]),
        (RUNNING, Known(RESUMED, 2), [STARTED]),  # stopped and started
        (STILL, Known(PAUSED, 2), [STARTED, PAUSED]),
        (RUNNING, RUNNING, []),
        (Known(STOPPED), None, []),
        (None, Known(STOPPED), []),
    ],
)
def test_what_was_missed_is_told(before, after, missed):
    told = story(before, delay=0.0)
    found = {UUID: after} if after else {}
    assert names(told.compare(found, 100.0)) == missed
    assert told.compare(found, 200.0) == [], "told once"


def test_a_missed_stop_is_held_back_as_well():
    told = story(RUNNING)
    assert told.compare({}, 100.0) == []
    assert names(told.compare({UUID: Known(RESUMED, 2)}, 101.0)) == [STARTED]
    assert told.due(1000.0) == []


def test_an_event_on_its_way_during_the_comparison_is_not_told_again():
    told = story(RUNNING)
    assert names(told.compare({UUID: STILL}, 100.0)) == [PAUSED]
    assert told.take(raw(3, at=100.1), 100.1) == []
    assert names(told.take(raw(4, at=100.2), 100.2)) == [RESUMED]


def test_the_rest_of_a_start_that_was_found_is_not_told():
    """Libvirt says RESUMED and STARTED of a start; found by the comparison, it is told as STARTED."""
    told = story()
    assert names(told.compare({UUID: RUNNING}, 100.0)) == [STARTED]
    assert told.take(raw(4, at=100.1), 100.1) == []
    assert told.take(raw(2, at=100.1), 100.1) == []
    assert names(told.take(raw(3, at=100.2), 100.2)) == [PAUSED]


def test_a_suspended_guest_that_is_undefined_is_forgotten():
    told = story(Known(SUSPENDED))
    assert told.take(raw(1), 100.0) == []
    assert told.compare({}, 200.0) == []


def test_arriving_is_no_home():
    """A migration that fails takes its half away again, which is no stop of a guest that ran."""
    told = story(delay=0.0)
    told.take(raw(2, 1, domain_id=3), 100.0)
    assert told.compare({}, 200.0) == []


#: How each event leads from state to state, as a hypervisor would tell it.
MOVES = {
    STOPPED: [(2, 0, RESUMED)],
    RESUMED: [(3, 0, PAUSED), (5, 0, STOPPED), (5, 4, SUSPENDED)],
    PAUSED: [(4, 0, RESUMED), (5, 0, STOPPED), (5, 4, SUSPENDED)],
    SUSPENDED: [(2, 2, RESUMED)],
}


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["told", "lost", "on its way"])), max_size=30))
def test_no_change_is_lost_and_none_is_told_twice(moves):
    """Whatever is lost while there is no connection: what was told leads to how the guest is, and no two neighbours are the same."""
    told = Story("alpha", VirtualClock(), 0.0)
    told.compare({}, 0.0)
    state, number, now, heard, late = STOPPED, 0, 10.0, [], []
    connected = True
    for choice, how in [*moves, (0, "end")]:
        now += 10.0
        if not connected and how in {"told", "end"}:  # back: compared, and then comes what was on its way
            running = state in {RESUMED, PAUSED}
            heard += names(told.compare({UUID: Known(state, number if running else -1)} if number else {}, now))
            for event in late:
                heard += names(told.take(event, now))
            connected, late = True, []
        if how == "end":
            break
        now += 10.0
        event, detail, state = MOVES[state][choice % len(MOVES[state])]
        number += event == 2
        fact = raw(event, detail, domain_id=number if state in {RESUMED, PAUSED} else -1, at=now)
        if how == "told":
            heard += names(told.take(fact, now))
        else:
            connected = False
            late = [raw(event, detail, domain_id=fact.domain_id, at=now + 10.0)] if how == "on its way" else []
    ends = {STARTED: RESUMED}
    assert ends.get(heard[-1], heard[-1]) is state if heard else state is STOPPED
    assert all(a is not b for a, b in pairwise(heard) if a is not STARTED)


def test_every_row_is_an_event_of_novastate():
    assert {transition for row in TRANSITIONS.values() for transition in row} == set(Lifecycle)
