"""Live migrations of real guests between real daemons, through the flow and the driver.

Rules of this file:

- The flow runs as in any application: LocalRunner, a store, the clock of the machine. What is asked of the driver directly is asked of
  the same driver.
- The guest is the witness (`whole`); what is left behind is looked for in the hosts' own directories and daemons (`tidy`).
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest

from lab.lab import wait_for
from novastate.drivers import LiveMigrationParams
from novastate.drivers.clock import RealClock
from novastate.drivers.libvirt.driver import LibvirtDriver
from novastate.flows import LiveMigrationOptions, live_migrate
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
        self.heard = threading.Event()
        self.runner = LocalRunner(self.store, self.drivers, RealClock(), (self._listen,))
        for host, driver in self.drivers.items():
            state = driver.host_state()
            node = ComputeNode(
                host=host, vcpus=64, memory_mb=state.memory_mb, local_gb=1000, hypervisor_type=state.hypervisor_type
            )
            self.store.commit(Put(node))

    def _listen(self, event, payload):
        self.events.append((event, dict(payload)))

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

    def stats(self, guest):
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


def test_a_guest_moves_whole_and_its_record_says_where(fleet, guest, whole, tidy):
    it = guest(options=QUIET, persistent=True)
    fleet.take(it)
    migration = fleet.migrate(it, bandwidth=64 * MIB)
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
    stats = fleet.stats(it)
    assert stats.memory_total >= 128 * MIB
    assert stats.memory_remaining == 0
    assert stats.elapsed > 0.5
    assert 0 < stats.downtime < 5
