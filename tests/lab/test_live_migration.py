"""Live migrations of real guests between real daemons, through the flow and the driver.

Rules of this file:

- The flow runs as in any application: LocalRunner, a store, the clock of the machine. What is asked of the driver directly is asked of
  the same driver.
- The guest is the witness (`whole`); what is left behind is looked for in the hosts' own directories and daemons (`tidy`).
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from novastate.drivers import JobType, LiveMigrationParams
from novastate.drivers.clock import RealClock
from novastate.drivers.libvirt.driver import LibvirtDriver
from novastate.flows import LiveMigrationOptions, abort_live_migration, force_complete_live_migration, live_migrate
from novastate.flows.live_migration_monitor import kept
from novastate.machines import MigrationStatus, PowerState, TaskState, VMState
from novastate.objects import ComputeNode, Flavor, Instance, RequestSpec
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
    migration = fleet.migrate(it, bandwidth=40 * MIB)
    assert migration.status is MigrationStatus.COMPLETED
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
