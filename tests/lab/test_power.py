"""The power flows on guests that run: each leaves the record and libvirt of one mind, and what was cut off is driven on."""

from __future__ import annotations

import time
import uuid

import pytest

from lab.lab import IMAGES, wait_for
from novastate.drivers import LibvirtDriver
from novastate.drivers.libvirt.xml import root_disk_path
from novastate.flows import build, delete, pause, reboot, recover, resume, start, stop, suspend, unpause
from novastate.machines import PowerState, TaskState, VMState
from novastate.objects import Allocation, ComputeNode, Flavor, Instance, RequestSpec
from novastate.runners import LocalRunner
from novastate.store import MemoryStore, Put
from novastate.testing.explore import Interference, interfere, places

FLAVOR = Flavor(id=1, flavorid="1", name="lab", vcpus=1, memory_mb=128, root_gb=1)

#: What a guest is in each vm_state.
POWER = {
    VMState.ACTIVE: PowerState.RUNNING,
    VMState.PAUSED: PowerState.PAUSED,
    VMState.SUSPENDED: PowerState.SUSPENDED,
    VMState.STOPPED: PowerState.SHUTDOWN,
}


class House:
    """A store, a runner, and one server on alpha."""

    def __init__(self, lab):
        self.lab, self.store = lab, MemoryStore()
        self.driver = LibvirtDriver(lab.uri("alpha"), "alpha", define=lab.define, instances_path=IMAGES, stop_delay=0.1)
        self.store.commit(Put(ComputeNode(host="alpha", vcpus=16, memory_mb=65536, local_gb=1000)))
        self.runner = LocalRunner(self.store, {"alpha": self.driver})
        self.run = self.runner.run
        self.uuid = str(uuid.uuid4())
        instance = Instance(
            uuid=self.uuid,
            display_name=self.uuid,
            flavor=FLAVOR,
            vcpus=1,
            memory_mb=128,
            root_gb=1,
            vm_state=VMState.BUILDING,
            task_state=TaskState.SCHEDULING,
            metadata={"guest": "wss_mb=8 rate_mb=4", "disks": root_disk_path(self.uuid, IMAGES)},
        )
        self.run(build(instance, RequestSpec(instance_uuid=self.uuid, flavor=FLAVOR, num_instances=1, is_bfv=False)))
        self.wait_until_up()

    @property
    def beats(self):
        return len(self.lab.heartbeats("alpha", self.uuid))

    def wait_until_up(self):
        """Until the guest's own program runs: before that it hears no request to shut down."""
        before = self.beats
        wait_for("a heartbeat", lambda: self.beats > before, timeout=30)

    def stands_still(self):
        time.sleep(0.3)  # what it wrote before may still be on its way
        before = self.beats
        time.sleep(1.5)
        return self.beats == before

    def agrees(self, vm_state, power):
        """The record is this, and so is the guest."""
        server = self.store.load(Instance, self.uuid)
        assert (server.vm_state, server.task_state, server.power_state) == (vm_state, TaskState.IDLE, power)
        assert self.driver.get_info(self.uuid).power_state is power


@pytest.fixture
def house(hosts):
    made = House(hosts)
    yield made
    made.driver.close()


def test_a_guest_goes_through_its_life(house):
    for flow, vm_state, power in (
        (pause, VMState.PAUSED, PowerState.PAUSED),
        (unpause, VMState.ACTIVE, PowerState.RUNNING),
        (suspend, VMState.SUSPENDED, PowerState.SUSPENDED),
        (resume, VMState.ACTIVE, PowerState.RUNNING),
        (stop, VMState.STOPPED, PowerState.SHUTDOWN),
        (start, VMState.ACTIVE, PowerState.RUNNING),
    ):
        house.run(flow(house.uuid))
        house.agrees(vm_state, power)
        if power is PowerState.RUNNING:
            house.wait_until_up()
        else:
            assert house.stands_still()
    house.run(suspend(house.uuid))
    house.run(reboot(house.uuid, hard=True))
    house.agrees(VMState.ACTIVE, PowerState.RUNNING)
    house.wait_until_up()
    house.run(delete(house.uuid))
    assert house.driver.list_guests() == []
    assert house.store.find(Allocation) == []
    assert not house.lab.path("alpha", root_disk_path(house.uuid, IMAGES)).exists()


def test_a_guest_that_obeys_is_off_long_before_its_grace_is_over(house):
    before = time.monotonic()
    house.run(stop(house.uuid, grace=240))
    assert time.monotonic() - before < 120
    house.agrees(VMState.STOPPED, PowerState.SHUTDOWN)


def test_what_was_cut_off_anywhere_is_driven_on(house):
    """Pause and suspend die after each of their effects in turn; recovery leaves record and guest of one mind."""
    back = {VMState.PAUSED: unpause, VMState.SUSPENDED: resume}
    for flow in (pause, suspend):

        def attempt(place, flow=flow):
            vm_state = house.store.load(Instance, house.uuid).vm_state
            if vm_state in back:
                house.run(back[vm_state](house.uuid))
            house.agrees(VMState.ACTIVE, PowerState.RUNNING)
            return interfere(house.runner, flow(house.uuid), place, Interference.CRASH_AFTER)

        for outcome in places(attempt):
            assert outcome.error is None
            house.run(recover(house.uuid, now=True))
            server = house.store.load(Instance, house.uuid)
            house.agrees(server.vm_state, POWER[server.vm_state])
        # The last attempt, which no place was left for, has ended by itself.
        assert house.store.load(Instance, house.uuid).vm_state in back


def test_a_stop_that_was_cut_off_is_driven_on_as_a_clean_one(house):
    assert interfere(house.runner, stop(house.uuid), 1, Interference.CRASH_AFTER).error is None
    assert house.store.load(Instance, house.uuid).task_state is TaskState.POWERING_OFF
    house.run(recover(house.uuid, now=True))
    house.agrees(VMState.STOPPED, PowerState.SHUTDOWN)
