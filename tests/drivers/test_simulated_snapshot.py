"""A cloud kept as JSON: nothing is lost, and what was under way died with its process."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers_world import HOPELESS, MIB, OTHER, UUID, Move, make_cloud, make_instance
from novastate.drivers import Fault, JobType, LiveMigrationParams, SimulatedCloud, VirtualClock
from novastate.errors import AlreadyExists, InvalidField


def kept(cloud, **kwargs):
    return SimulatedCloud.from_dict(json.loads(json.dumps(cloud.to_dict())), **kwargs)


def populated():
    cloud = make_cloud(seed=7, faults=[Fault(method="job", nth=9, kind="fail", at=1)])
    cloud.driver("a").spawn(make_instance())
    cloud.driver("b").spawn(make_instance(OTHER, law="zipf wss=4MiB rate=1MiB/s s=0.9"))
    cloud.driver("b").suspend(OTHER)
    cloud.fail_host("c")
    cloud.clock.sleep(17.25)
    return cloud


def test_a_cloud_reads_back_as_it_was_written():
    cloud = populated()
    again = kept(cloud)
    assert again.to_dict() == cloud.to_dict()
    assert again.clock.now() == 17.25
    assert again.running(UUID) == ["a"]
    assert again.driver("b").list_guests() == cloud.driver("b").list_guests()
    assert again.driver("b").measure(OTHER) == cloud.driver("b").measure(OTHER)
    assert again.driver("a").host_state() == cloud.driver("a").host_state()


def test_a_clock_of_ones_own():
    clock = VirtualClock(1000)
    assert kept(populated(), clock=clock).clock is clock


def test_it_goes_on_as_it_would_have():
    cloud = populated()
    again = kept(cloud)
    assert (
        Move(again, make_instance(), spawn=False).start().watch()
        == Move(cloud, make_instance(), spawn=False).start().watch()
    )


@pytest.mark.parametrize("storage", ["", "pool"])
def test_a_migration_under_way_died_with_its_process(storage):
    move = Move(make_cloud(storage=storage)).start()
    move.cloud.clock.sleep(2)
    again = kept(move.cloud)
    assert again.running(UUID) == ["a"]
    assert again.driver("b").list_guests() == []
    stats = again.driver("a").live_migration_job(UUID)
    assert stats.type is JobType.FAILED
    assert stats.error
    assert again.complete_disks(UUID) == (["shared:pool"] if storage else ["local:a"])
    # and looking did no harm to the one that is alive
    assert move.watch().type is JobType.COMPLETED
    # what was left can be tidied up, and tried again
    other = Move(again, move.instance, spawn=False)
    other.data = move.data
    other.roll_back()
    assert other.start().watch().type is JobType.COMPLETED


def test_during_the_switch_over_it_is_still_on_the_source():
    whole = Move(make_cloud(storage="pool")).start()
    whole.watch()
    [paused] = [event.at for event in whole.events if str(event.transition) == "paused"]
    move = Move(make_cloud(storage="pool")).start()
    move.cloud.clock.sleep(paused + 0.001)
    assert move.cloud.running(UUID) == []
    assert kept(move.cloud).running(UUID) == ["a"]


def test_after_the_switch_over_it_is_on_the_destination():
    move = Move(make_cloud()).start()
    move.watch()
    again = kept(move.cloud)
    assert again.running(UUID) == ["b"]
    assert again.driver("a").live_migration_job(UUID).type is JobType.COMPLETED
    assert again.complete_disks(UUID) == ["local:b"]


def test_in_post_copy_it_is_on_the_destination():
    params = LiveMigrationParams(bandwidth=64 * MIB, post_copy=True)
    move = Move(make_cloud(), make_instance(law=HOPELESS), params=params).start()
    move.cloud.clock.sleep(30)
    move.source.live_migration_post_copy(UUID)
    for _ in range(200):
        move.cloud.clock.sleep(0.001)
        again = kept(move.cloud)
        assert len(again.running(UUID)) == 1
        if move.stats().post_copy:
            assert again.running(UUID) == ["b"]
            assert again.driver("a").live_migration_job(UUID).type is JobType.COMPLETED
            assert again.complete_disks(UUID) == ["local:b"]
    assert move.watch().type is JobType.COMPLETED


def test_the_owner_is_told_of_every_change_and_of_nothing_else():
    changes = []
    cloud = make_cloud()
    cloud.on_change = lambda: changes.append(cloud.to_dict())
    move = Move(cloud)
    assert len(changes) == 1
    move.source.get_info(UUID)
    move.source.live_migration_source(move.uuid)
    move.source.spawn(move.instance)
    cloud.running(UUID)
    assert len(changes) == 1
    move.source.pause(UUID)
    move.source.pause(UUID)
    assert len(changes) == 2
    move.source.unpause(UUID)
    move.start()
    count = len(changes)
    move.cloud.clock.sleep(1)
    move.stats()
    assert len(changes) == count
    move.watch()
    assert len(changes) > count
    last = {**cloud.to_dict(), "now": 0, "calls": 0}
    assert {**changes[-1], "now": 0, "calls": 0} == last


GOOD = populated().to_dict()


def broken(path, value):
    data = copy.deepcopy(GOOD)
    place = data
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["version"], 2),
        (["version"], "1"),
        (["version"], ...),
        (["hosts"], ...),
        (["hosts"], {}),
        (["hosts", 0], "a"),
        (["hosts", 0, "vcpus"], -1),
        (["hosts", 0, "colour"], "red"),
        (["hosts", 0, "host"], ...),
        (["now"], "late"),
        (["down"], ["zz"]),
        (["guests", 0, "power_state"], 2),
        (["guests", 0, "host"], "zz"),
        (["guests", 0, "memory_mb"], "much"),
        (["guests", 0, "uuid"], ...),
        (["disks", 0, "current"], "yes"),
        (["memories", UUID, "law"], "nonsense"),
        (["memories", UUID], None),
        (["jobs"], [{"uuid": UUID}]),
        (["faults", 0, "kind"], "worse"),
        (["seed"], None),
        (["now"], 1e300),
        (["now"], -1),
        (["now"], 2.0**62),
        (["guests", 0, "vcpus"], -1),
        (["guests", 0, "memory_mb"], 2**60),
        (["disks", 0, "used"], -1),
        (["hosts"], 5),
        (["calls"], 5),
        (["guests", 0], 5),
        (["disks"], {}),
        (["faults", 0, "method"], "spwan"),
        (["faults", 0, "host"], "zz"),
    ],
)
def test_what_is_not_a_cloud_is_refused_by_name(path, value):
    with pytest.raises(InvalidField) as refused:
        SimulatedCloud.from_dict(broken(path, value))
    assert str(path[-1] if isinstance(path[-1], str) else path[0]) in str(refused.value)


@pytest.mark.parametrize("data", [{}, 5, None, [], "cloud", {"version": 1}])
def test_what_is_no_document_of_a_cloud_is_refused(data):
    with pytest.raises(InvalidField):
        SimulatedCloud.from_dict(data)


def places(value, path=()):
    """Every path into a JSON value."""
    if path:
        yield list(path)
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def with_jobs():
    move = Move(make_cloud()).start()
    move.cloud.clock.sleep(1)
    move.cloud.driver("c").check_can_live_migrate_destination(
        move.instance, move.source.live_migration_source(move.uuid)
    )
    return {**GOOD, **{key: move.cloud.to_dict()[key] for key in ("jobs", "probes")}}


WHOLE = with_jobs()


@given(
    st.sampled_from(list(places(WHOLE))),
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.just([]),
        st.just({}),
        st.just([[1]]),
    ),
)
@settings(max_examples=300)
def test_whatever_is_wrong_it_is_refused_or_read(path, value):
    data = copy.deepcopy(WHOLE)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    try:
        cloud = SimulatedCloud.from_dict(data)
    except (InvalidField, AlreadyExists):
        return
    cloud.to_dict()
    for driver in cloud.drivers.values():
        if driver.host not in data["down"]:
            driver.list_guests()
            driver.host_state()
