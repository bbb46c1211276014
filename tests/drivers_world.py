"""A small simulated cloud for the tests of drivers."""

from __future__ import annotations

import uuid
from itertools import count

from novastate.drivers import JobType, LiveMigrationParams, SimulatedCloud, SimulatedHost, VirtualClock
from novastate.objects import Flavor, Instance
from novastate.testing import Fleet

UUID = "7a1f2c9e-0d53-4c7f-9a39-5a2be3a2f6d1"
OTHER = "00000000-0d53-4c7f-9a39-5a2be3a2f6d1"
MIB = 1 << 20
EASY = "uniform wss=16MiB rate=4MiB/s"
HOPELESS = "uniform wss=64MiB rate=400MiB/s"
SLOW = LiveMigrationParams(bandwidth=64 * MIB)


def make_instance(uuid=UUID, *, memory_mb=256, root_gb=1, vcpus=1, law=EASY, **metadata):
    flavor = Flavor(name="small", vcpus=vcpus, memory_mb=memory_mb, root_gb=root_gb)
    return Instance(
        uuid=uuid, display_name="web", flavor=flavor, metadata={"novastate:law": law, **metadata} if law else metadata
    )


def make_cloud(*, storage="", hosts=("a", "b", "c"), **kwargs):
    specs = [SimulatedHost(name, memory_mb=2048, disk_gb=10, vcpus=4, shared_storage=storage) for name in hosts]
    return SimulatedCloud(specs, VirtualClock(), **kwargs)


def make_fleet(storage="", drivers=None, **fields):
    """What the conformance kit is given; *drivers* makes them of a cloud."""
    cloud = make_cloud(storage=storage)
    numbers = count(1)
    wanted = {
        "drivers": list(cloud.drivers.values()) if drivers is None else drivers(cloud),
        "new_instance": lambda: make_instance(str(uuid.UUID(int=next(numbers))), **{"novastate:disk_used_gb": "0.05"}),
        "clock": cloud.clock,
        "slow": LiveMigrationParams(bandwidth=16 * MIB),
        "cut_link": cloud.cut_link,
    }
    return Fleet(**wanted | fields)


class Move:
    """One live migration, call by call."""

    def __init__(self, cloud, instance=None, *, source="a", dest="b", params=SLOW, block_migration=None, spawn=True):
        self.cloud, self.instance = cloud, instance or make_instance()
        self.uuid = self.instance.uuid
        self.source, self.dest = cloud.driver(source), cloud.driver(dest)
        self.params, self.block_migration = params, block_migration
        self.events = []
        self.data = None
        if spawn:
            self.source.spawn(self.instance)
        for driver in cloud.drivers.values():
            driver.subscribe(self.events.append)

    def check(self):
        data = self.dest.check_can_live_migrate_destination(
            self.instance, self.source.live_migration_source(self.uuid), block_migration=self.block_migration
        )
        self.data = self.source.check_can_live_migrate_source(self.instance, data)
        self.dest.cleanup_live_migration_destination_check(self.data)
        return self

    def start(self):
        if self.data is None:
            self.check()
        self.data = self.prepare()
        self.source.live_migration(self.instance, self.dest.host, self.data, self.params)
        return self

    def prepare(self):
        return self.dest.pre_live_migration(
            self.instance, self.data, self.source.live_migration_source(self.uuid).disks
        )

    def stats(self):
        return self.source.live_migration_job(self.uuid)

    def watch(self, step=0.25, most=4000):
        """Polls until the job has ended; at every poll the guest runs on one host at most."""
        for _ in range(most):
            stats = self.stats()
            assert len(self.cloud.running(self.uuid)) <= 1
            if stats.type is not JobType.UNBOUNDED:
                return stats
            self.cloud.clock.sleep(step)
        return stats

    def post(self):
        self.dest.post_live_migration_at_destination(self.instance, self.data)
        self.source.post_live_migration_at_source(self.instance, self.data)
        return self

    def roll_back(self):
        self.dest.rollback_live_migration_at_destination(self.instance, self.data)
        self.source.rollback_live_migration_at_source(self.instance, self.data)
        return self

    def told(self):
        return [(event.host, str(event.transition)) for event in self.events]
