"""Live migration on the simulated driver: checks, the job, its ends, what is told, every call made twice."""

from __future__ import annotations

from itertools import pairwise

import pytest

from drivers_world import HOPELESS, MIB, SLOW, UUID, Move, make_cloud, make_instance
from novastate.convergence import Limits, forecast
from novastate.drivers import JobType, LiveMigrationParams, SimulatedCloud, SimulatedHost, VirtualClock
from novastate.errors import (
    DriverError,
    GuestNotFound,
    InvalidLocalStorage,
    InvalidSharedStorage,
    MigrationPreCheckError,
    NotSupported,
)
from novastate.machines import PowerState
from novastate.objects import UNSET


@pytest.fixture(params=["", "pool"], ids=["local", "shared"])
def storage(request):
    return request.param


@pytest.fixture
def move(storage):
    return Move(make_cloud(storage=storage))


def hopeless(**kwargs):
    params = LiveMigrationParams(bandwidth=64 * MIB, **kwargs)
    return Move(make_cloud(storage="pool"), make_instance(law=HOPELESS), params=params)


# --- before


def test_the_storage_decides_on_block_migration(move, storage):
    move.check()
    assert move.data.block_migration is (storage == "")
    assert move.data.is_shared_instance_path is (storage != "")
    assert move.data.is_shared_block_storage is (storage != "")


def test_without_local_disks_nothing_is_copied():
    move = Move(make_cloud(), make_instance(root_gb=0)).check()
    assert move.data.block_migration is False
    assert move.data.is_volume_backed is True
    assert move.data.is_shared_instance_path is False
    assert move.data.is_shared_block_storage is True
    move.start().watch()
    assert move.cloud.running(UUID) == ["b"]


def test_block_migration_of_shared_storage_is_refused():
    with pytest.raises(InvalidLocalStorage):
        Move(make_cloud(storage="pool"), block_migration=True).check()


def test_no_block_migration_of_local_storage_is_refused():
    with pytest.raises(InvalidSharedStorage):
        Move(make_cloud(), block_migration=False).check()


def test_what_is_asked_for_reaches_the_source_check():
    move = Move(make_cloud())
    data = move.dest.check_can_live_migrate_destination(move.instance, move.source.live_migration_source(UUID))
    assert data.block_migration is UNSET
    data = move.dest.check_can_live_migrate_destination(
        move.instance, move.source.live_migration_source(UUID), block_migration=True
    )
    assert data.block_migration is True


@pytest.mark.parametrize(("other", "reason"), [({"cpu_model": "old"}, "CPU")])
def test_a_destination_that_cannot_run_it_is_refused(other, reason):
    specs = [SimulatedHost("a", cpu_model="new"), SimulatedHost("b", **{"cpu_model": "new", **other})]
    with pytest.raises(MigrationPreCheckError, match=reason):
        Move(SimulatedCloud(specs)).check()


def test_a_destination_without_room_for_the_disk_is_refused():
    cloud = SimulatedCloud([SimulatedHost("a"), SimulatedHost("b", disk_gb=1)])
    with pytest.raises(MigrationPreCheckError, match="disk"):
        Move(cloud, make_instance(root_gb=2)).check()


def test_the_checks_leave_nothing_behind(move):
    before = move.cloud.to_dict()
    move.check()
    move.check()
    after = move.cloud.to_dict()
    for volatile in ("calls",):
        before.pop(volatile)
        after.pop(volatile)
    assert after == before


# --- during, and its good end


def test_the_guest_arrives_with_its_disk(move, storage):
    stats = move.start().watch()
    assert stats.type is JobType.COMPLETED
    assert move.cloud.running(UUID) == ["b"]
    with pytest.raises(GuestNotFound):
        move.source.get_info(UUID)
    move.post()
    assert move.cloud.complete_disks(UUID) == (["shared:pool"] if storage else ["local:b"])
    assert move.source.host_state().memory_mb_used == 0
    assert move.source.host_state().disk_gb_used == (1 if storage else 0)
    assert move.cloud.violations == []


def test_the_statistics_are_those_of_libvirt(move, storage):
    move.start()
    assert move.stats().type is JobType.UNBOUNDED
    seen = []
    while (stats := move.stats()).type is JobType.UNBOUNDED:
        seen.append(stats)
        move.cloud.clock.sleep(0.1)
    assert all(a.memory_processed <= b.memory_processed for a, b in pairwise(seen))
    assert all(a.iteration <= b.iteration for a, b in pairwise(seen))
    assert all(a.elapsed < b.elapsed for a, b in pairwise(seen))
    assert max(s.progress for s in seen) > 50
    assert stats.memory_total == 256 * MIB
    assert stats.memory_remaining == 0
    assert stats.progress == 100
    assert stats.normal * 4096 < stats.memory_processed < 256 * MIB
    assert 0 < stats.downtime < 0.1
    assert stats.disk_total == (0 if storage else 1 << 30)
    assert stats.disk_remaining == 0
    assert move.stats() == stats  # readable until the post step
    move.post()
    with pytest.raises(GuestNotFound):
        move.stats()


def test_events_come_in_the_order_of_libvirt(move):
    move.start().watch()
    assert move.told() == [
        ("a", "paused"),
        ("b", "started"),
        ("b", "resumed"),
        ("a", "migration_completed"),
        ("a", "stopped"),
    ]
    times = [event.at for event in move.events]
    assert times == sorted(times)
    assert times[1] - times[0] == pytest.approx(move.stats().downtime)


def test_the_job_takes_as_long_as_the_forecast_says():
    move = Move(make_cloud(storage="pool"))
    guest, link = move.source.measure(UUID), move.source.link("b", move.params)
    expected = forecast(guest, link, Limits(downtime=0.3))
    stats = move.start().watch()
    assert stats.elapsed == pytest.approx(expected.total, rel=0.05, abs=0.15)
    assert stats.memory_processed == pytest.approx(expected.transferred, rel=0.03)


def test_every_call_of_a_good_migration_may_be_made_twice(storage):
    once, twice = Move(make_cloud(storage=storage)), Move(make_cloud(storage=storage))
    once.start().watch()
    once.post()
    twice.check().check()
    for _ in range(2):
        twice.data = twice.prepare()
    for _ in range(2):
        twice.source.live_migration(twice.instance, "b", twice.data, twice.params)
    twice.watch()
    twice.source.live_migration(twice.instance, "b", twice.data, twice.params)
    twice.source.live_migration_abort(UUID)
    twice.post().post()
    assert twice.told() == once.told()
    first, second = once.cloud.to_dict(), twice.cloud.to_dict()
    first.pop("calls")
    second.pop("calls")
    assert second == first


def test_a_paused_guest_arrives_paused(move):
    move.source.pause(UUID)
    assert move.start().watch().type is JobType.COMPLETED
    assert move.dest.get_info(UUID).power_state is PowerState.PAUSED
    assert ("b", "resumed") not in move.told()


def test_a_guest_paused_so_that_it_may_finish_runs_on_at_the_destination():
    move = hopeless()
    move.start()
    move.cloud.clock.sleep(10)
    assert move.stats().type is JobType.UNBOUNDED
    move.source.pause(UUID)
    assert move.cloud.running(UUID) == []
    assert move.watch().type is JobType.COMPLETED
    assert move.cloud.running(UUID) == ["b"]


def test_an_arriving_guest_is_shown_as_incoming_and_never_runs(move):
    move.start()
    move.cloud.clock.sleep(1)
    [guest] = move.dest.list_guests()
    assert guest.incoming
    assert guest.power_state is PowerState.PAUSED
    for call in (move.dest.power_on, move.dest.unpause, move.dest.power_off):
        with pytest.raises(GuestNotFound):
            call(UUID)
    assert move.cloud.running(UUID) == ["a"]


def test_there_and_back_and_there_again(move):
    move.start().watch()
    move.post()
    back = Move(move.cloud, move.instance, source="b", dest="a", spawn=False).start()
    assert back.watch().type is JobType.COMPLETED
    back.post()
    again = Move(move.cloud, move.instance, spawn=False).start()
    assert again.watch().type is JobType.COMPLETED
    assert move.cloud.running(UUID) == ["b"]
    assert move.cloud.violations == []


def test_a_forgotten_job_does_not_stand_in_the_way_of_the_next(move):
    move.start().watch()
    move.dest.post_live_migration_at_destination(move.instance, move.data)  # and the source is never told
    Move(move.cloud, move.instance, source="b", dest="a", spawn=False).start().watch()
    assert move.cloud.running(UUID) == ["a"]
    again = Move(move.cloud, move.instance, spawn=False).start()
    assert again.watch().type is JobType.COMPLETED
    assert move.cloud.running(UUID) == ["b"]


# --- bad ends


def test_an_abort_leaves_the_guest_and_a_rollback_leaves_nothing_else(move, storage):
    before = move.dest.host_state()
    move.start()
    move.cloud.clock.sleep(2)
    move.source.live_migration_abort(UUID)
    move.source.live_migration_abort(UUID)
    assert move.stats().type is JobType.CANCELLED
    assert move.cloud.running(UUID) == ["a"]
    move.roll_back().roll_back()
    assert move.dest.host_state() == before
    assert move.dest.list_guests() == []
    assert move.stats().type is JobType.NONE
    assert move.cloud.complete_disks(UUID) == (["shared:pool"] if storage else ["local:a"])
    assert move.told() == []
    # and it may be tried again
    move.data = None
    assert move.start().watch().type is JobType.COMPLETED


def test_an_abort_during_the_switch_over_resumes_the_guest():
    whole = Move(make_cloud(storage="pool")).start()
    whole.watch()
    [paused] = [event.at for event in whole.events if str(event.transition) == "paused"]
    move = Move(make_cloud(storage="pool")).start()
    move.cloud.clock.sleep(paused + 0.002)
    assert move.cloud.running(UUID) == []
    move.source.live_migration_abort(UUID)
    assert move.cloud.running(UUID) == ["a"]
    assert move.told() == [("a", "paused"), ("a", "resumed")]


def test_aborting_what_never_began_changes_nothing(move):
    move.source.live_migration_abort(UUID)
    assert move.cloud.running(UUID) == ["a"]


def test_a_hopeless_migration_goes_on_until_it_is_aborted():
    move = hopeless().start()
    move.cloud.clock.sleep(600)
    stats = move.stats()
    assert stats.type is JobType.UNBOUNDED
    assert stats.iteration > 50
    move.source.live_migration_abort(UUID)
    assert move.stats().type is JobType.CANCELLED


def test_a_higher_downtime_limit_lets_it_end():
    move = hopeless().start()
    move.cloud.clock.sleep(20)
    move.source.live_migration_downtime(UUID, 2000)
    assert move.watch().type is JobType.COMPLETED
    move.source.live_migration_downtime(UUID, 100)  # too late, and no harm


def test_rollback_at_the_destination_never_takes_a_guest_that_runs_there(move):
    move.start().watch()
    move.dest.rollback_live_migration_at_destination(move.instance, move.data)
    assert move.cloud.running(UUID) == ["b"]
    assert move.cloud.complete_disks(UUID)


def test_rollback_at_the_destination_ends_what_is_arriving(move):
    move.start()
    move.cloud.clock.sleep(1)
    move.dest.rollback_live_migration_at_destination(move.instance, move.data)
    assert move.stats().type is JobType.FAILED
    assert move.dest.list_guests() == []
    assert move.cloud.running(UUID) == ["a"]


def test_rollback_at_the_source_wants_the_job_ended_first(move):
    move.start()
    with pytest.raises(DriverError, match="abort"):
        move.source.rollback_live_migration_at_source(move.instance, move.data)


def test_rollback_at_the_source_resumes_a_guest_paused_for_the_migration():
    move = hopeless().start()
    move.cloud.clock.sleep(5)
    move.source.pause(UUID)
    move.source.live_migration_abort(UUID)
    assert move.cloud.running(UUID) == []
    move.roll_back()
    assert move.cloud.running(UUID) == ["a"]


def test_the_post_step_at_the_source_refuses_while_the_guest_is_there(move):
    move.check()
    with pytest.raises(DriverError, match="here still"):
        move.source.post_live_migration_at_source(move.instance, move.data)
    assert move.cloud.complete_disks(UUID)


def test_the_only_complete_disk_is_never_deleted_unasked():
    move = Move(make_cloud()).start()
    move.watch()
    move.cloud.fail_host("b")
    move.cloud.restore_host("b")  # the guest is gone, its disk is there
    with pytest.raises(DriverError, match="only complete copy"):
        move.dest.post_live_migration_at_source(move.instance, move.data)
    move.dest.rollback_live_migration_at_destination(move.instance, move.data)
    assert move.cloud.complete_disks(UUID) == ["local:b"]


def test_a_stale_disk_does_not_start():
    move = Move(make_cloud()).start()
    move.watch()
    with pytest.raises(DriverError, match="not complete"):
        move.source.spawn(move.instance)


@pytest.mark.parametrize("what", ["power_off", "destroy", "hard reboot"])
def test_stopping_the_guest_ends_its_migration(move, what):
    move.start()
    move.cloud.clock.sleep(1)
    if what == "hard reboot":
        move.source.reboot(UUID, hard=True)
    else:
        getattr(move.source, what)(UUID)
    assert move.stats().type is JobType.FAILED
    assert move.dest.list_guests() == []
    assert move.cloud.running(UUID) == (["a"] if what == "hard reboot" else [])


@pytest.mark.parametrize("what", ["self", "down", "nowhere", "off", "room", "unprepared", "other"])
def test_what_cannot_start_is_refused_and_changes_nothing(what):
    move = Move(make_cloud()).check()
    dest = {"self": "a", "nowhere": "zz", "other": "c"}.get(what, "b")
    if what != "unprepared":
        move.data = move.prepare()
    if what == "down":
        move.cloud.fail_host("b")
    elif what == "off":
        move.source.power_off(UUID)
    elif what == "room":
        move.dest.spawn(make_instance("00000000-0d53-4c7f-9a39-5a2be3a2f6d1", memory_mb=2000))
    elif what == "other":
        move.source.live_migration(move.instance, "b", move.data, SLOW)
    running = move.cloud.running(UUID)
    with pytest.raises(Exception, match=r"cannot|no host|room|prepared|already"):
        move.source.live_migration(move.instance, dest, move.data, SLOW)
    assert move.cloud.running(UUID) == running
    if what != "other":
        assert move.stats().type is JobType.NONE


# --- hosts that fail


def test_the_source_fails_and_the_guest_with_it(move):
    move.start()
    move.cloud.clock.sleep(2)
    move.cloud.fail_host("a")
    assert move.dest.list_guests() == []
    move.cloud.restore_host("a")
    assert move.source.get_info(UUID).power_state is PowerState.SHUTDOWN
    assert move.stats().type is JobType.NONE
    assert "local:b" not in move.cloud.complete_disks(UUID)


def test_the_destination_fails_and_the_guest_runs_on(move):
    move.start()
    move.cloud.clock.sleep(2)
    move.cloud.fail_host("b")
    stats = move.stats()
    assert stats.type is JobType.FAILED
    assert "b" in stats.error
    assert move.cloud.running(UUID) == ["a"]


def test_a_guest_that_was_not_made_persistent_is_lost_with_its_host(move, storage):
    move.start().watch()
    move.cloud.fail_host("b")
    move.cloud.restore_host("b")
    assert move.dest.list_guests() == []
    assert move.cloud.complete_disks(UUID) == (["shared:pool"] if storage else ["local:b"])


# --- post-copy and throttling


def test_post_copy_ends_a_hopeless_migration():
    move = hopeless(post_copy=True).start()
    move.cloud.clock.sleep(8)
    move.source.live_migration_post_copy(UUID)
    move.source.live_migration_post_copy(UUID)
    stats = move.watch(step=0.01)
    assert stats.type is JobType.COMPLETED
    assert stats.post_copy
    assert stats.downtime < 0.02
    assert move.told() == [
        ("a", "paused"),
        ("a", "postcopy_started"),
        ("b", "started"),
        ("b", "resumed"),
        ("a", "migration_completed"),
        ("a", "stopped"),
    ]


def in_post_copy():
    move = hopeless(post_copy=True).start()
    move.cloud.clock.sleep(8)
    move.source.live_migration_post_copy(UUID)
    while move.cloud.running(UUID) != ["b"]:
        move.cloud.clock.sleep(0.004)
    assert move.stats().post_copy
    return move


def test_post_copy_cannot_be_aborted():
    move = in_post_copy()
    with pytest.raises(DriverError, match="post-copy"):
        move.source.live_migration_abort(UUID)
    assert move.watch().type is JobType.COMPLETED


@pytest.mark.parametrize("host", ["a", "b"])
def test_a_host_that_fails_in_post_copy_takes_the_guest_with_it(host):
    move = in_post_copy()
    move.cloud.fail_host(host)
    assert move.cloud.running(UUID) == []
    if host == "a":
        assert move.dest.get_info(UUID).power_state is PowerState.CRASHED
    else:
        assert move.stats().type is JobType.FAILED


def test_post_copy_without_permission_is_not_supported():
    move = hopeless().start()
    with pytest.raises(NotSupported):
        move.source.live_migration_post_copy(UUID)


def test_auto_converge_throttles_a_busy_guest():
    move = Move(
        make_cloud(storage="pool"),
        make_instance(law=f"{HOPELESS} busy=1"),
        params=LiveMigrationParams(bandwidth=64 * MIB, auto_converge=True),
    ).start()
    throttles = set()
    while (stats := move.stats()).type is JobType.UNBOUNDED:
        throttles.add(round(stats.throttle, 2))
        move.cloud.clock.sleep(0.5)
    assert stats.type is JobType.COMPLETED
    assert {0.2, 0.3, 0.4} <= throttles


@pytest.mark.parametrize("call", ["live_migration_downtime", "live_migration_post_copy"])
def test_a_command_to_no_job_is_refused(move, call):
    with pytest.raises(DriverError, match="not being migrated"):
        getattr(move.source, call)(UUID, *([100] if call.endswith("downtime") else []))


def test_the_link_is_the_narrowest_of_its_parts():
    specs = [SimulatedHost("a", bandwidth=50 * MIB, line_rate=1e9), SimulatedHost("b", line_rate=5e8)]
    driver = SimulatedCloud(specs, VirtualClock()).driver("a")
    assert driver.link("b", LiveMigrationParams(bandwidth=80 * MIB)).limit == 50 * MIB
    assert driver.link("b", LiveMigrationParams(bandwidth=20 * MIB)).limit == 20 * MIB
    assert driver.link("b", LiveMigrationParams()).line_rate == 5e8


def test_equal_clouds_give_equal_migrations_and_other_seeds_others():
    def run(seed):
        return Move(make_cloud(storage="pool", seed=seed)).start().watch()

    assert run(1) == run(1)
    assert run(1) != run(2)


# --- how much disk there is to copy


@pytest.mark.parametrize(
    ("root_gb", "metadata", "copied"),
    [
        (8, {}, 1 << 30),  # images are sparse: a GiB of a new one is allocated
        (8, {"novastate:disk_used_gb": "5"}, 5 << 30),
        (8, {"novastate:disk_used_gb": "0.5"}, 1 << 29),
        (0, {}, 0),
    ],
)
def test_the_allocated_disk_is_what_is_copied(root_gb, metadata, copied):
    move = Move(make_cloud(), make_instance(root_gb=root_gb, **metadata))
    assert [disk.allocated for disk in move.source.live_migration_source(UUID).disks] == ([copied] if root_gb else [])
    elapsed = move.start().watch().elapsed
    assert move.stats().disk_total == copied
    assert elapsed >= copied / SLOW.bandwidth
    move.post()
    assert [disk.allocated for disk in move.dest.live_migration_source(UUID).disks] == (
        [copied] if root_gb else []
    )  # it is as much afterwards


def test_of_a_shared_disk_nothing_is_copied():
    move = Move(make_cloud(storage="pool"))
    move.start().watch()
    assert move.stats().disk_total == 0


@pytest.mark.parametrize("call", ["live_migration", "link"])
def test_a_host_that_nobody_knows_is_the_drivers_error(call):
    move = Move(make_cloud()).check()
    arguments = {
        "live_migration": (move.instance, "zz", move.data, SLOW),
        "link": ("zz", SLOW),
    }
    with pytest.raises(DriverError, match="zz"):
        getattr(move.source, call)(*arguments[call])


@pytest.mark.parametrize("downtime", [0, -1, 2_000_001, 1.5, "1", True])
def test_a_downtime_limit_that_cannot_be_is_refused(move, downtime):
    move.start()
    with pytest.raises(DriverError, match="downtime limit"):
        move.source.live_migration_downtime(UUID, downtime)


def test_a_limit_above_what_any_link_carries_is_none():
    move = Move(make_cloud(), params=LiveMigrationParams(bandwidth=2**62)).start()
    assert move.watch().type is JobType.COMPLETED
    assert not move.source.link("b", LiveMigrationParams(bandwidth=2**62)).limit
