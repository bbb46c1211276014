"""A small world for flows, and the laws that hold in it whatever happened."""

from __future__ import annotations

from datetime import UTC, datetime

from novastate.cli.simulated_cloud import node_of
from novastate.drivers import LiveMigrationParams, SimulatedCloud, SimulatedHost
from novastate.drivers.clock import VirtualClock
from novastate.errors import DriverError
from novastate.flows import LiveMigrationOptions, build
from novastate.machines import MIGRATION_MACHINES, MigrationStatus, MigrationType, PowerState, TaskState, VMState
from novastate.objects import Allocation, ComputeNode, Flavor, Instance, Migration, RequestSpec
from novastate.runners import LocalRunner
from novastate.store import MemoryStore, Put

UUID = "11111111-2222-3333-4444-555555555555"

MIB = 1 << 20
FAST = LiveMigrationOptions(params=LiveMigrationParams(bandwidth=64 * MIB, downtime=300))
#: Writes faster than the link takes: never converges by itself.
HOPELESS = "uniform wss=64MiB rate=400MiB/s"
SLOW = LiveMigrationOptions(params=LiveMigrationParams(bandwidth=16 * MIB, downtime=30))

#: Error may still be cleaned up, but nothing drives it.
ENDED = MIGRATION_MACHINES[MigrationType.LIVE_MIGRATION].final | {MigrationStatus.ERROR}

#: Where no vCPU runs.
OFF = {VMState.PAUSED, VMState.SUSPENDED, VMState.STOPPED, VMState.DELETED}


def host(name, *, storage="pool", vcpus=4, memory_mb=2048, disk_gb=40, version=8002000, **kw):
    return SimulatedHost(
        host=name,
        vcpus=vcpus,
        memory_mb=memory_mb,
        disk_gb=disk_gb,
        shared_storage=storage,
        hypervisor_version=version,
        **kw,
    )


class World:
    """Store, hosts, runner, and the events that flows notified."""

    def __init__(self, hosts=None, store=None, faults=(), law="uniform wss=16MiB rate=4MiB/s"):
        self.law = law
        self.specs = hosts or [host("alpha"), host("beta"), host("gamma")]
        self.clock = VirtualClock(1_800_000_000.0)
        self.cloud = SimulatedCloud(self.specs, clock=self.clock, faults=list(faults))
        self.store = store or MemoryStore(clock=lambda: datetime.fromtimestamp(self.clock.now(), UTC))
        self.events, self.listeners, self.failures = [], [], []
        self.runner = LocalRunner(self.store, self.cloud.drivers, self.clock, (self._listen,))
        for spec in self.specs:
            self.store.commit(Put(node_of(spec)))

    def _listen(self, event, payload):
        self.events.append((event, dict(payload)))
        for listener in self.listeners:
            try:
                listener(event, payload)
            except Exception as error:  # noqa: BLE001  (raised by run)
                self.failures.append(error)

    def heard(self, event):
        return [payload for name, payload in self.events if name == event]

    def records(self, uuid=UUID, *, memory_mb=256, on=None, **fields):
        flavor = Flavor(
            id=1,
            flavorid="1",
            name="small",
            vcpus=1,
            memory_mb=memory_mb,
            root_gb=1,
            ephemeral_gb=0,
            swap=0,
            extra_specs={},
        )
        instance = Instance(
            uuid=uuid,
            display_name=f"server-{uuid[:4]}",
            flavor=flavor,
            vcpus=1,
            memory_mb=memory_mb,
            root_gb=1,
            ephemeral_gb=0,
            vm_state=VMState.BUILDING,
            task_state=TaskState.SCHEDULING,
            metadata={"novastate:law": self.law},
            **fields,
        )
        spec = RequestSpec(
            instance_uuid=uuid, flavor=flavor, num_instances=1, is_bfv=False, force_hosts=[on] if on else None
        )
        return instance, spec

    def boot(self, uuid=UUID, *, on="alpha", **kw):
        return self.runner.run(build(*self.records(uuid, on=on, **kw)))

    def run(self, flow):
        """Runs it; what a listener of the test raised meanwhile is raised at its end (a runner does not care)."""
        try:
            return self.runner.run(flow)
        finally:
            if self.failures:
                raise self.failures[0]

    def instance(self, uuid=UUID):
        return self.store.load(Instance, uuid)

    def migration(self, uuid=UUID):
        found = self.store.find(Migration, instance_uuid=uuid)
        assert len(found) == 1, found
        return found[0]

    def statuses(self, uuid=UUID):
        return [line.new for line in self.store.history(uuid) if line.field == "status"]

    def tasks(self, uuid=UUID):
        return [line.new for line in self.store.history(uuid) if line.field == "task_state"]

    # --- the laws

    def check_laws(self, uuid=UUID, *, settled=True):
        running = self.cloud.running(uuid)
        assert len(running) <= 1, f"L1: the guest runs on {running}"
        instance = self.instance(uuid)
        if settled:
            assert instance.task_state is TaskState.IDLE, f"L6: task {instance.task_state}"
            for migration in self.store.find(Migration, instance_uuid=uuid):
                assert migration.status in ENDED, f"L6: migration {migration.status}"
            if instance.vm_state is VMState.ACTIVE:
                assert running == [instance.host], f"L1: runs on {running}, the record says {instance.host}"
                assert instance.power_state is PowerState.RUNNING
            if instance.vm_state in OFF:
                assert running == [], f"it is {instance.vm_state} and runs on {running}"
            # What is deleted has its host in the record only.
            home = None if instance.vm_state is VMState.DELETED else instance.host
            holders = [a.host for a in self.store.find(Allocation, consumer=uuid)]
            assert holders == ([home] if home else []), f"L3: claims on {holders}, host {home}"
            for name, driver in self.cloud.drivers.items():
                if name != home and self.cloud_is_up(name):
                    assert not [g for g in driver.list_guests() if g.uuid == uuid], (
                        f"a half-made guest is left on {name}"
                    )
            # L2, and nothing is left behind: one complete copy of the disk, where the guest is at home.
            stores = {spec.host: spec.store for spec in self.specs}
            disks = [disk.store for disk in self.cloud.world.disks.values() if disk.uuid == uuid]
            assert disks == ([stores[home]] if home else []), f"L2: disks on {disks}"
            assert self.cloud.complete_disks(uuid) == disks, "L2"
            assert not self.cloud.world.probes, "a test file is left behind"
        assert self.cloud.violations == []
        for node in self.store.find(ComputeNode):
            claims = self.store.find(Allocation, host=node.host)
            assert node.vcpus_used == sum(a.vcpus for a in claims), "L3"
            assert node.memory_mb_used == sum(a.memory_mb for a in claims), "L3"
            assert node.local_gb_used == sum(a.disk_gb for a in claims), "L3"

    def cloud_is_up(self, name):
        try:
            return self.cloud.drivers[name].host_state().up
        except DriverError:
            return False
