"""The disks of a guest that moves: copied, left where they are, refused, deleted; and what is noted of them.

Rules of this file:

- The flow runs as in any application (lab/fleet.py). What is asked of the driver directly is asked of the same driver.
- The guest is the witness (`whole`); what is left behind is looked for in the hosts' own directories and daemons (`tidy`).
"""

from __future__ import annotations

import re

import pytest
from attrs import evolve

from lab.fleet import MIB, QUIET, WRITES_DISK, there
from novastate.drivers.libvirt.notes import Kind
from novastate.errors import (
    DriverError,
    InvalidLocalStorage,
    InvalidSharedStorage,
    MigrationPreCheckError,
    UnableToMigrateToSelf,
)
from novastate.flows import abort_live_migration
from novastate.machines import MigrationStatus, TaskState
from novastate.objects import LibvirtLiveMigrateData


def test_a_local_disk_is_copied_and_the_sources_copy_deleted(fleet, guest, whole, tidy, disk):
    system = disk(f"{fleet.lab.images_dir}/moves.qcow2")
    data = disk(f"{fleet.lab.images_dir}/moves.raw", "alpha", "8M")
    it = guest(options=WRITES_DISK, disks=[system, data], persistent=True)
    fleet.take(it)
    told = fleet.drivers["alpha"].live_migration_source(it.uuid).disks
    assert [(disk.device, disk.path, disk.format, disk.size) for disk in told] == [
        ("vda", system, "qcow2", 16 * MIB),
        ("vdb", data, "raw", 8 * MIB),
    ]
    migration = fleet.migrate(it, bandwidth=60 * MIB)
    assert migration.status is MigrationStatus.COMPLETED
    assert whole(it.name) == "beta"
    tidy(it, "beta")
    assert there(fleet.lab, system) == there(fleet.lab, data) == ["beta"]
    assert fleet.told("live_migration.forecast")[0]["disk_bytes"] > 2 * MIB
    assert fleet.stats().disk_total > 8 * MIB
    assert fleet.stats().disk_remaining == 0


def test_an_overlay_moves_onto_the_backing_file_that_is_there_and_is_refused_where_there_is_none(
    fleet, guest, whole, tidy, disk
):
    base = disk(f"{fleet.lab.images_dir}/base.qcow2", "alpha")
    top = disk(f"{fleet.lab.images_dir}/top.qcow2", "alpha", "16M", "-b", base, "-F", "qcow2")
    it = guest(options=WRITES_DISK, disks=[top])
    fleet.take(it)
    with pytest.raises(DriverError, match=r"an overlay of .*, which is not here"):
        fleet.migrate(it)
    tidy(it, "alpha")
    assert there(fleet.lab, top) == ["alpha"]
    disk(base, "beta")
    assert fleet.migrate(it).status is MigrationStatus.COMPLETED
    assert whole(it.name) == "beta"
    tidy(it, "beta")
    assert there(fleet.lab, top) == ["beta"]
    assert there(fleet.lab, base) == ["alpha", "beta"]
    assert base in fleet.lab.run("beta", "qemu-img", "info", "-U", top)


def test_an_aborted_copy_leaves_no_disk_at_the_destination(fleet, guest, whole, tidy, disk):
    path = disk(f"{fleet.lab.images_dir}/stays.raw", "alpha", "24M")
    it = guest(options=WRITES_DISK, disks=[path])
    fleet.lab.run("alpha", "dd", "if=/dev/urandom", "of=/dev/null", "bs=1M", "count=1")
    fleet.take(it)
    seen = []
    fleet.intervene = (
        lambda stats: stats.elapsed > 0,
        lambda: (seen.append(there(fleet.lab, path)), fleet.ask(abort_live_migration, it)()),
    )
    assert fleet.migrate(it, bandwidth=1 * MIB).status is MigrationStatus.CANCELLED
    assert seen == [["alpha", "beta"]]
    assert whole(it.name) == "alpha"
    tidy(it, "alpha")
    assert there(fleet.lab, path) == ["alpha"]


def test_a_file_that_is_there_is_never_written_to(fleet, guest, tidy, disk):
    path = disk(f"{fleet.lab.images_dir}/mine.raw", "alpha")
    theirs = fleet.lab.path("beta", disk(path, "beta"))
    theirs.write_bytes(b"somebody's")
    it = guest(options=QUIET, disks=[path])
    fleet.take(it)
    with pytest.raises(DriverError, match="is there already"):
        fleet.migrate(it)
    assert theirs.read_bytes() == b"somebody's"
    tidy(it, "alpha")
    assert fleet.record(it).task_state is TaskState.IDLE


def test_a_shared_disk_stays_where_it_is_and_is_never_copied_onto_itself(fleet, guest, whole, tidy, disk):
    path = disk(f"{fleet.lab.shared_dir}/both.qcow2")
    it = guest(options=WRITES_DISK, disks=[path])
    fleet.take(it)
    with pytest.raises(InvalidLocalStorage):
        fleet.migrate(it, block=True)
    tidy(it, "alpha")
    beta = fleet.drivers["beta"]
    # What an earlier migration noted and nobody cleared does not speak of the disk that the guest has now.
    for kind in (Kind.LEAVES, Kind.MADE):
        beta.connection.call("noting", lambda connect, kind=kind: beta.notes(it.uuid).write(connect, kind, [path]))
    assert fleet.migrate(it, block=False).status is MigrationStatus.COMPLETED
    assert whole(it.name) == "beta"
    tidy(it, "beta")
    assert there(fleet.lab, path) == ["alpha", "beta"]
    assert fleet.stats().disk_total == 0


# --- refused before anything moves


def test_what_the_storage_cpu_or_destination_cannot_do_is_refused_and_nothing_is_left(fleet, guest, whole, tidy, disk):
    local = disk(f"{fleet.lab.images_dir}/local.qcow2")
    shared = disk(f"{fleet.lab.shared_dir}/shared.qcow2")
    alpha, beta = fleet.drivers["alpha"], fleet.drivers["beta"]
    both = guest(options=QUIET, disks=[local, shared])
    instance = fleet.take(both)
    told = alpha.live_migration_source(both.uuid)
    for block in (None, True, False):
        with pytest.raises(MigrationPreCheckError, match=r"shared is shared with 10.77.0.2, .*images is not"):
            fleet.migrate(both, block=block)
    tidy(both, "alpha")

    def refused(match, **changes):
        with pytest.raises(MigrationPreCheckError, match=match):
            beta.check_can_live_migrate_destination(instance, evolve(told, **changes))
        tidy(both, "alpha")

    cpu = told.cpu.replace("</model>", "</model><feature policy='require' name='avx512f'/>")
    refused("does not provide required features: avx512f", cpu=cpu)
    refused("Unknown CPU model", cpu=told.cpu.replace("qemu64", "qemu65"))
    refused("machine 'pc-1999' is not supported", cpu=re.sub('machine="[^"]*"', 'machine="pc-1999"', told.cpu))
    refused("no directory /nowhere", disks=(evolve(told.disks[0], path="/nowhere/a.qcow2"),))
    with pytest.raises(MigrationPreCheckError, match="runs on this very host"):
        alpha.check_can_live_migrate_destination(instance, told)
    tidy(both, "alpha")
    with pytest.raises(UnableToMigrateToSelf):
        fleet.migrate(both, "alpha")
    assert whole(both.name) == "alpha"


def test_a_local_disk_is_not_left_behind_nor_copied_where_it_has_no_room(fleet, guest, tidy, disk):
    path = disk(f"{fleet.lab.small_dir}/big.raw", "alpha", "4M")
    fleet.lab.path("alpha", path).write_bytes(bytes([7]) * (4 * MIB))
    it = guest(options=QUIET, disks=[path])
    fleet.take(it)
    with pytest.raises(InvalidSharedStorage):
        fleet.migrate(it, block=False)
    filler = disk(f"{fleet.lab.small_dir}/filler.raw", "beta", "1M")
    fleet.lab.path("beta", filler).write_bytes(bytes(6 * MIB))
    with pytest.raises(MigrationPreCheckError, match="4 MiB of disk are to be copied, 2 MiB are free"):
        fleet.migrate(it)
    tidy(it, "alpha")
    assert there(fleet.lab, path) == ["alpha"]


# --- what was noted


def test_what_was_prepared_is_found_again_by_whoever_knows_the_guest_alone(fleet, guest, tidy, disk):
    path = disk(f"{fleet.lab.images_dir}/left.qcow2")
    it = guest(options=QUIET, disks=[path])
    instance = fleet.take(it)
    alpha, beta = fleet.drivers["alpha"], fleet.drivers["beta"]
    told = alpha.live_migration_source(it.uuid)
    data = beta.check_can_live_migrate_destination(instance, told)
    data = alpha.check_can_live_migrate_source(instance, data)
    for _ in range(2):
        beta.pre_live_migration(instance, data, told.disks)
        assert there(fleet.lab, path) == ["alpha", "beta"]
    for _ in range(2):
        beta.rollback_live_migration_at_destination(instance, LibvirtLiveMigrateData())
        assert there(fleet.lab, path) == ["alpha"]
    tidy(it, "alpha")


def test_a_rollback_never_touches_a_guest_that_runs_there(fleet, guest, disk, whole):
    path = disk(f"{fleet.lab.images_dir}/home.qcow2")
    it = guest(options=WRITES_DISK, disks=[path])
    instance = fleet.take(it)
    alpha = fleet.drivers["alpha"]
    alpha.notes(it.uuid)
    alpha.connection.call("noting", lambda connect: alpha.notes(it.uuid).write(connect, Kind.MADE, [path]))
    alpha.rollback_live_migration_at_destination(instance, LibvirtLiveMigrateData())
    assert there(fleet.lab, path) == ["alpha"]
    with pytest.raises(DriverError, match="is here still"):
        alpha.post_live_migration_at_source(instance, LibvirtLiveMigrateData())
    assert there(fleet.lab, path) == ["alpha"]
    assert whole(it.name) == "alpha"
    alpha.connection.call("forgetting", lambda connect: alpha.notes(it.uuid).drop(connect, Kind.MADE))
