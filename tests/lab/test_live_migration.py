"""Live migrations of real guests between real daemons, through the flow and the driver.

Rules of this file:

- The flow runs as in any application: LocalRunner, a store, the clock of the machine. What is asked of the driver directly is asked of
  the same driver.
- The guest is the witness (`whole`); what is left behind is looked for in the hosts' own directories and daemons (`tidy`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import libvirt_qemu
import pytest
from attrs import evolve

from lab.lab import wait_for
from novastate.convergence import Link
from novastate.drivers import JobType, LiveMigrationParams
from novastate.drivers.clock import RealClock
from novastate.drivers.libvirt.driver import LibvirtDriver
from novastate.drivers.libvirt.moving import CRASHES
from novastate.drivers.libvirt.notes import Kind
from novastate.errors import (
    DriverError,
    InvalidLocalStorage,
    InvalidSharedStorage,
    MigrationPreCheckError,
    NotSupported,
    UnableToMigrateToSelf,
)
from novastate.flows import LiveMigrationOptions, abort_live_migration, force_complete_live_migration, live_migrate
from novastate.flows.live_migration_monitor import kept
from novastate.machines import MigrationStatus, PowerState, TaskState, VMState
from novastate.objects import ComputeNode, Flavor, Instance, LibvirtLiveMigrateData, RequestSpec
from novastate.runners import LocalRunner
from novastate.scheduling import hold
from novastate.store import MemoryStore, Put

MIB = 1 << 20
QUIET = "wss_mb=16 rate_mb=2 sweep_ms=500"
#: Never converges by itself.
HOPELESS = "wss_mb=40 rate_mb=200 sweep_ms=500"


class Fleet:
    """Two drivers, a store that knows both hosts, and what the flows told."""

    def __init__(self, lab):
        self.lab = lab
        self.drivers = {
            host: LibvirtDriver(
                lab.uri(host), host, address=lab.address(host), peers=lab.peers, define=lab.define, line_rate=1e9
            )
            for host in lab.hosts
        }
        self.store = MemoryStore()
        self.events = []
        #: What is to be done while a job goes on, once: when(stats), do().
        self.intervene = None
        self.runner = LocalRunner(self.store, self.drivers, RealClock(), (self._listen,))
        for host, driver in self.drivers.items():
            state = driver.host_state()
            node = ComputeNode(
                host=host, vcpus=64, memory_mb=state.memory_mb, local_gb=1000, hypervisor_type=state.hypervisor_type
            )
            self.store.commit(Put(node))

    def _listen(self, event, payload):
        self.events.append((event, dict(payload)))
        if event == "live_migration.progress" and self.intervene is not None:
            when, do = self.intervene
            if when(payload["stats"]):
                self.intervene = None
                do()

    def told(self, event):
        return [payload for name, payload in self.events if name == event]

    def take(self, guest, *, memory_mb=128, paused=False):
        """The record of a guest that runs already."""
        flavor = Flavor(id=1, flavorid="1", name="lab", vcpus=1, memory_mb=memory_mb, root_gb=0)
        power = PowerState.PAUSED if paused else PowerState.RUNNING
        instance = Instance(
            uuid=guest.uuid,
            display_name=guest.name,
            flavor=flavor,
            memory_mb=memory_mb,
            vcpus=1,
            host=guest.host,
            node=guest.host,
            vm_state=VMState.PAUSED if paused else VMState.ACTIVE,
            power_state=power,
            launched_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        spec = RequestSpec(instance_uuid=guest.uuid, flavor=flavor)
        node = self.store.load(ComputeNode, guest.host)
        claim = hold(node, guest.uuid, spec)
        self.store.commit(Put(instance), Put(spec), Put(node), Put(claim))
        return instance

    def migrate(self, guest, dest="beta", *, block=None, **params):
        """The migration's final record."""
        options = LiveMigrationOptions(params=LiveMigrationParams(**params), poll=0.1, save_every=0.5)
        return self.runner.run(live_migrate(guest.uuid, dest, block_migration=block, options=options))

    def record(self, guest):
        return self.store.load(Instance, guest.uuid)

    def ask(self, request, guest):
        """What asks for an abort or a forced completion."""
        return lambda: self.runner.run(request(guest.uuid))

    def stats(self):
        """How the last job has ended."""
        return self.told("live_migration.stats")[-1]["stats"]


@pytest.fixture
def fleet(hosts):
    made = Fleet(hosts)
    yield made
    for driver in made.drivers.values():
        driver.close()


@pytest.fixture
def tidy(hosts):
    """``tidy(guest, host)``: the guest is known on that host alone, and nothing of novastate's is left on either."""

    def tidy(guest, host):
        assert list(hosts.qemu_pids(guest.uuid)) == [host]
        assert guest.uuid not in hosts.virsh(hosts.other(host), "list", "--all", "--uuid").split()
        for place in hosts.hosts:
            left = hosts.run(place, "find", "/var/lib/libvirt/images", hosts.shared_dir, "-name", "novastate-*")
            assert left == ""

    return tidy


def under_way(stats):
    return stats.iteration >= 1 and stats.memory_processed > 4 * MIB


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
    migration = fleet.migrate(it, bandwidth=40 * MIB, downtime=20, auto_converge=True)
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


# --- disks


@pytest.fixture
def disk(hosts):
    """``disk(path, host="alpha", *options)``: makes a disk there; it is deleted from both hosts after the test."""
    made = []

    def disk(path, host="alpha", size="16M", *options):
        hosts.run(
            host, "qemu-img", "create", "-q", "-f", "qcow2" if path.endswith("qcow2") else "raw", *options, path, size
        )
        made.append(path)
        return path

    yield disk
    for path in made:
        for host in hosts.hosts:
            hosts.run(host, "rm", "-f", path)


def there(lab, path):
    """The hosts that have a file of that path."""
    return [host for host in lab.hosts if lab.path(host, path).exists()]


WRITES_DISK = "wss_mb=16 rate_mb=2 sweep_ms=500 disk=1 disk_mb=2 disk_rate=150"


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


# --- whoever comes after a crash


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


def test_another_process_follows_the_job_and_is_told_how_it_ended(fleet, guest, whole, tidy, disk):
    path = disk(f"{fleet.lab.images_dir}/crash.qcow2")
    it = guest(options=WRITES_DISK, disks=[path])
    instance = fleet.take(it)
    alpha, beta = fleet.drivers["alpha"], fleet.drivers["beta"]
    told = alpha.live_migration_source(it.uuid)
    data = beta.check_can_live_migrate_destination(instance, told)
    data = alpha.check_can_live_migrate_source(instance, data)
    beta.pre_live_migration(instance, data, told.disks)
    params = LiveMigrationParams(bandwidth=40 * MIB)
    alpha.live_migration(instance, "beta", data, params)
    alpha.live_migration(instance, "beta", data, params)
    wait_for("the job", lambda: alpha.live_migration_job(it.uuid).memory_processed, 10)
    other = Fleet(fleet.lab).drivers
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


def ended(stats):
    return None if stats.type in {JobType.UNBOUNDED, JobType.NONE} else stats


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
    assert learnt == Link(limit=None, line_rate=float(stats.memory_bps))
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
    if connect("alpha").getLibVersion() in CRASHES:
        with pytest.raises(NotSupported, match="crashes"):
            alpha.live_migration(instance, "beta", data, params)
        nothing = LibvirtLiveMigrateData()
        for fresh in (fleet, Fleet(fleet.lab)):
            fresh.drivers["alpha"].rollback_live_migration_at_source(instance, nothing)
            fresh.drivers["beta"].rollback_live_migration_at_destination(instance, nothing)
            assert fleet.lab.qemu_pids(it.uuid).keys() == {"alpha", "beta"}
            info = alpha.get_info(it.uuid)
            assert (info.power_state, info.outgoing) == (PowerState.PAUSED, True)
            assert broken(fresh.drivers["alpha"].live_migration_job(it.uuid))
    else:
        alpha.live_migration(instance, "beta", data, params)
        stats = wait_for("its end", lambda: ended(alpha.live_migration_job(it.uuid)), 40)
        assert stats.type is JobType.COMPLETED


def broken(stats):
    return stats if stats.broken else None
