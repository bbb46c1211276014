"""Two LibvirtDrivers, a store that knows both hosts, and the flows that run on them.

Rules of this file: the flow runs as in any application: LocalRunner, a store, the clock of the machine.
"""

from __future__ import annotations

from datetime import UTC, datetime

from novastate.drivers import JobType, LiveMigrationParams
from novastate.drivers.clock import RealClock
from novastate.drivers.libvirt.driver import LibvirtDriver
from novastate.flows import LiveMigrationOptions, live_migrate
from novastate.machines import PowerState, VMState
from novastate.objects import ComputeNode, Flavor, Instance, RequestSpec
from novastate.runners import LocalRunner
from novastate.scheduling import hold
from novastate.store import MemoryStore, Put

MIB = 1 << 20
QUIET = "wss_mb=16 rate_mb=2 sweep_ms=500"
#: Never converges by itself.
HOPELESS = "wss_mb=40 rate_mb=200 sweep_ms=500"
WRITES_DISK = "wss_mb=16 rate_mb=2 sweep_ms=500 disk=1 disk_mb=2 disk_rate=150"


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


def under_way(stats):
    """Whether memory has begun to move."""
    return stats.iteration >= 1 and stats.memory_processed > 4 * MIB


def ended(stats):
    """The statistics, if the job has ended."""
    return None if stats.type in {JobType.UNBOUNDED, JobType.NONE} else stats


def there(lab, path):
    """The hosts that have a file of that path."""
    return [host for host in lab.hosts if lab.path(host, path).exists()]
