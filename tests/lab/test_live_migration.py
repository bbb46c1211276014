"""Live migrations of real guests between real daemons, through the flow and the driver.

Rules of this file:

- The flow runs as in any application (lab/fleet.py). What is asked of the driver directly is asked of the same driver.
- The guest is the witness (`whole`); what is left behind is looked for in the hosts' own directories and daemons (`tidy`).
"""

from __future__ import annotations

import libvirt_qemu
import pytest

from lab.fleet import HOPELESS, MIB, QUIET, WRITES_DISK, Fleet, ended, there, under_way
from lab.lab import wait_for
from novastate.convergence import Link
from novastate.drivers import JobType, LiveMigrationParams
from novastate.errors import (
    DriverError,
    MigrationPreCheckError,
    NotSupported,
)
from novastate.flows import abort_live_migration, force_complete_live_migration
from novastate.flows.live_migration_monitor import kept
from novastate.machines import MigrationStatus, PowerState, TaskState, VMState
from novastate.objects import LibvirtLiveMigrateData

# --- memory alone


def test_a_guest_moves_whole_within_its_bandwidth_and_its_statistics_are_kept(fleet, guest, whole, tidy):
    it = guest(options=QUIET, persistent=True)
    fleet.take(it)
    limits = []
    fleet.intervene = (
        under_way,
        lambda: limits.append(int(fleet.lab.virsh("alpha", "migrate-getmaxdowntime", it.name))),
    )
    migration = fleet.migrate(it, bandwidth=40 * MIB)
    assert migration.status is MigrationStatus.COMPLETED
    # The policy's first step, in place of the 300 ms that the job began with.
    assert limits == [fleet.told("live_migration.progress")[-1]["downtime_ms"]] == [50]
    record = fleet.record(it)
    assert (record.host, record.vm_state, record.task_state, record.power_state) == (
        "beta",
        VMState.ACTIVE,
        TaskState.IDLE,
        PowerState.RUNNING,
    )
    assert whole(it.name) == "beta"
    tidy(it, "beta")
    assert fleet.lab.virsh("beta", "list", "--persistent", "--uuid").split() == [it.uuid]
    stats = fleet.stats()
    assert stats.memory_total >= 128 * MIB
    assert stats.memory_remaining == 0
    assert 0 < stats.downtime < 5
    # The limit is MiB a second; what is not paced is the setup, the last round and the pause.
    assert stats.memory_processed / stats.elapsed < 1.15 * 40 * MIB
    _, document = fleet.store.get_document(kept(migration.uuid))
    assert document["forecast"]["destination"] == "beta"
    assert document["stats"]["type"] == "completed"
    assert document["stats"]["elapsed"] == stats.elapsed


def test_auto_converge_throttles_and_an_abort_leaves_the_guest_running_and_nothing_behind(fleet, guest, whole, tidy):
    it = guest(options=HOPELESS)
    fleet.take(it)
    fleet.intervene = (lambda stats: stats.throttle > 0, fleet.ask(abort_live_migration, it))
    # It is throttled for what it dirties: however slow the machine is, that is more than goes over.
    migration = fleet.migrate(it, bandwidth=16 * MIB, downtime=20, auto_converge=True)
    assert migration.status is MigrationStatus.CANCELLED
    record = fleet.record(it)
    assert (record.host, record.task_state, record.power_state) == ("alpha", TaskState.IDLE, PowerState.RUNNING)
    assert whole(it.name) == "alpha"
    tidy(it, "alpha")
    assert fleet.stats().type is JobType.CANCELLED
    assert "canceled by client" in fleet.stats().error


def test_force_complete_switches_to_post_copy_where_that_is_permitted(fleet, guest, whole, tidy):
    it = guest(options=HOPELESS, persistent=True)
    fleet.take(it)
    fleet.intervene = (under_way, fleet.ask(force_complete_live_migration, it))
    migration = fleet.migrate(it, bandwidth=30 * MIB, downtime=20, post_copy=True)
    assert migration.status is MigrationStatus.COMPLETED
    assert fleet.stats().post_copy
    assert whole(it.name) == "beta"
    tidy(it, "beta")


def test_force_complete_pauses_a_guest_else_and_it_runs_on_at_the_destination(fleet, guest, whole, tidy):
    it = guest(options=HOPELESS)
    fleet.take(it)
    fleet.intervene = (under_way, fleet.ask(force_complete_live_migration, it))
    migration = fleet.migrate(it, bandwidth=60 * MIB, downtime=20)
    assert migration.status is MigrationStatus.COMPLETED
    assert fleet.record(it).power_state is PowerState.RUNNING
    assert whole(it.name) == "beta"
    tidy(it, "beta")


def test_a_guest_paused_to_force_completion_runs_on_if_that_is_aborted(fleet, guest, whole, tidy):
    it = guest(options=HOPELESS)
    fleet.take(it)

    def force_then_abort():
        fleet.ask(force_complete_live_migration, it)()
        fleet.intervene = (lambda _: True, fleet.ask(abort_live_migration, it))

    fleet.intervene = (under_way, force_then_abort)
    migration = fleet.migrate(it, bandwidth=8 * MIB, downtime=20)
    assert migration.status is MigrationStatus.CANCELLED
    assert whole(it.name) == "alpha"
    tidy(it, "alpha")


def test_a_paused_guest_stays_paused_and_its_display_listens_at_the_destination(fleet, guest, whole, tidy):
    display = "<graphics type='vnc' autoport='yes' listen='10.77.0.1'/>"
    it = guest(options=QUIET, devices=display, persistent=True)
    fleet.drivers["alpha"].pause(it.uuid)
    fleet.take(it, paused=True)
    migration = fleet.migrate(it, post_copy=True)
    assert migration.status is MigrationStatus.COMPLETED
    info = fleet.drivers["beta"].get_info(it.uuid)
    assert (info.power_state, info.incoming, info.outgoing) == (PowerState.PAUSED, False, False)
    assert fleet.record(it).vm_state is VMState.PAUSED
    for options in ((), ("--inactive",)):
        text = fleet.lab.virsh("beta", "dumpxml", it.name, *options)
        assert "10.77.0.2" in text
        assert "10.77.0.1" not in text
    fleet.drivers["beta"].unpause(it.uuid)
    assert whole(it.name) == "beta"
    tidy(it, "beta")


def test_memory_goes_over_several_connections(fleet, guest, whole, tidy):
    it = guest(options=QUIET)
    fleet.take(it)
    seen = []

    def count():
        table = fleet.lab.run("alpha", "ss", "-tnH", "state", "established", "dst", fleet.lab.address("beta"))
        ports = [line.split()[3].rsplit(":", 1)[1] for line in table.splitlines()]
        seen.append(sum(1 for port in ports if 49300 <= int(port) < 49400))

    fleet.intervene = (under_way, count)
    assert fleet.migrate(it, bandwidth=40 * MIB, parallel_connections=3).status is MigrationStatus.COMPLETED
    assert seen == [4]  # one for control
    assert whole(it.name) == "beta"
    tidy(it, "beta")


# --- whoever comes after a crash


def test_another_process_follows_the_job_and_is_told_how_it_ended(fleet, guest, whole, tidy, disk):
    path = disk(f"{fleet.lab.images_dir}/crash.qcow2")
    it = guest(options=WRITES_DISK, disks=[path])
    instance = fleet.take(it)
    alpha, beta = fleet.drivers["alpha"], fleet.drivers["beta"]
    told = alpha.live_migration_source(it.uuid)
    data = beta.check_can_live_migrate_destination(instance, told)
    data = alpha.check_can_live_migrate_source(instance, data)
    beta.pre_live_migration(instance, data, told.disks)
    params = LiveMigrationParams(bandwidth=12 * MIB)  # it goes on for as long as others take to look at it
    alpha.live_migration(instance, "beta", data, params)
    alpha.live_migration(instance, "beta", data, params)
    other = Fleet(fleet.lab).drivers
    wait_for("the job", lambda: alpha.live_migration_job(it.uuid).memory_processed, 10)
    stats = other["alpha"].live_migration_job(it.uuid)
    assert stats.type is JobType.UNBOUNDED
    with pytest.raises(NotSupported):
        other["alpha"].live_migration_post_copy(it.uuid)
    with pytest.raises(DriverError, match="being migrated"):
        other["alpha"].rollback_live_migration_at_source(instance, data)
    stats = wait_for("its end", lambda: ended(other["alpha"].live_migration_job(it.uuid)), 20)
    assert stats.type is JobType.COMPLETED
    assert stats.memory_remaining == 0
    nothing = LibvirtLiveMigrateData()
    other["beta"].post_live_migration_at_destination(instance, nothing)
    other["alpha"].post_live_migration_at_source(instance, nothing)
    assert there(fleet.lab, path) == ["beta"]
    assert whole(it.name) == "beta"
    tidy(it, "beta")


def test_an_abort_is_heard_before_the_job_shows_and_what_another_process_ended_is_no_hindrance(
    fleet, guest, whole, tidy
):
    it = guest(options=QUIET)
    instance = fleet.take(it)
    alpha, beta = fleet.drivers["alpha"], fleet.drivers["beta"]

    def start(bandwidth):
        data = beta.check_can_live_migrate_destination(instance, alpha.live_migration_source(it.uuid))
        data = alpha.check_can_live_migrate_source(instance, data)
        beta.cleanup_live_migration_destination_check(data)
        beta.pre_live_migration(instance, data, ())
        alpha.live_migration(instance, "beta", data, LiveMigrationParams(bandwidth=bandwidth))
        return data

    data = start(MIB)
    with pytest.raises(MigrationPreCheckError, match="is being migrated already"):
        alpha.check_can_live_migrate_source(instance, data)
    alpha.live_migration_abort(it.uuid)
    stats = wait_for("its end", lambda: ended(alpha.live_migration_job(it.uuid)), 20)
    assert stats.type is JobType.CANCELLED
    alpha.live_migration_abort(it.uuid)
    other = Fleet(fleet.lab).drivers
    other["alpha"].rollback_live_migration_at_source(instance, data)
    other["beta"].rollback_live_migration_at_destination(instance, data)
    assert other["alpha"].live_migration_job(it.uuid).type is JobType.NONE
    assert alpha.live_migration_job(it.uuid).type is JobType.CANCELLED
    tidy(it, "alpha")

    alpha.line_rate = None
    assert alpha.link("beta", LiveMigrationParams(bandwidth=MIB)) == Link(limit=MIB, line_rate=1.25e9)
    data = start(0)
    stats = wait_for("its end", lambda: ended(alpha.live_migration_job(it.uuid)), 30)
    assert stats.type is JobType.COMPLETED
    beta.post_live_migration_at_destination(instance, data)
    alpha.post_live_migration_at_source(instance, data)
    learnt = alpha.link("beta", LiveMigrationParams())
    # What the zero pages took is not the line's.
    assert learnt.limit is None
    assert 1.0 <= learnt.line_rate / stats.memory_bps < 1.3
    assert whole(it.name) == "beta"
    tidy(it, "beta")


def test_post_copy_that_lost_its_link_keeps_both_halves_of_the_guest(fleet, guest, connect):
    it = guest(options="wss_mb=32 rate_mb=4 sweep_ms=500", persistent=True)
    instance = fleet.take(it)
    alpha, beta = fleet.drivers["alpha"], fleet.drivers["beta"]
    data = beta.check_can_live_migrate_destination(instance, alpha.live_migration_source(it.uuid))
    data = alpha.check_can_live_migrate_source(instance, data)
    params = LiveMigrationParams(bandwidth=4 * MIB, post_copy=True)
    alpha.live_migration(instance, "beta", data, params)
    wait_for("memory that moves", lambda: under_way(alpha.live_migration_job(it.uuid)), 15)
    for _ in range(2):
        alpha.live_migration_post_copy(it.uuid)
    wait_for("post-copy", lambda: alpha.live_migration_job(it.uuid).post_copy, 10)
    assert alpha.get_info(it.uuid).outgoing
    with pytest.raises(DriverError, match="post-copy cannot be aborted"):
        alpha.live_migration_abort(it.uuid)
    domain = connect("alpha").lookupByUUIDString(it.uuid)
    assert "error" not in libvirt_qemu.qemuMonitorCommand(domain, '{"execute":"migrate-pause"}', 0)
    stats = wait_for("the break", lambda: broken(alpha.live_migration_job(it.uuid)), 15)
    assert stats.type is JobType.UNBOUNDED
    with pytest.raises(NotSupported, match="lost its link"):
        alpha.live_migration(instance, "beta", data, params)
    nothing = LibvirtLiveMigrateData()
    for fresh in (fleet, Fleet(fleet.lab)):
        fresh.drivers["alpha"].rollback_live_migration_at_source(instance, nothing)
        fresh.drivers["beta"].rollback_live_migration_at_destination(instance, nothing)
        assert fleet.lab.qemu_pids(it.uuid).keys() == {"alpha", "beta"}
        info = alpha.get_info(it.uuid)
        assert (info.power_state, info.outgoing) == (PowerState.PAUSED, True)
        assert broken(fresh.drivers["alpha"].live_migration_job(it.uuid))


def broken(stats):
    return stats if stats.broken else None
