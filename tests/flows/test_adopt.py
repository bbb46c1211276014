"""Adopt: guests that run already come into the records as they are, and none of them is touched."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import evolve

from novastate.drivers import DiskInfo, GuestInfo, HostState, JobStats, JobType, LiveMigrationSource, VirtualClock
from novastate.errors import DriverError, GuestNotFound, InvalidField, NotFound
from novastate.flows import Outcome, adopt, adopt_host, survey
from novastate.flows.adopt import ADOPTED_AS
from novastate.flows.delete import forget
from novastate.machines import (
    JOINT,
    POWER_SYNC,
    Action,
    Joint,
    MigrationStatus,
    MigrationType,
    PowerState,
    TaskState,
    VMMachine,
    VMState,
    check,
)
from novastate.machines import PowerSyncAction as Sync
from novastate.objects import Allocation, ComputeNode, Instance, Migration, RequestSpec
from novastate.runners import LocalRunner
from novastate.store import MemoryStore, Put
from novastate.testing.explore import Interference, interfere

UUID = "11111111-2222-4333-8444-555555555555"
GIB = 1 << 30


class Host:
    """A hypervisor that only answers questions: any other call fails the test."""

    def __init__(self, name):
        self.name, self.guests, self.jobs, self.disks, self.down = name, {}, {}, {}, False
        self.state = HostState(host=name, vcpus=8, memory_mb=4096, disk_gb=100, hypervisor_type="QEMU")

    def put(self, power=PowerState.RUNNING, uuid=UUID, name="web", memory_mb=512, vcpus=2, **kw):
        self.guests[uuid] = GuestInfo(uuid, name, power, memory_mb, vcpus, **kw)

    def _up(self):
        if self.down:
            raise DriverError("no answer", host=self.name)

    def host_state(self):
        self._up()
        return self.state

    def list_guests(self):
        self._up()
        return list(self.guests.values())

    def get_info(self, uuid):
        self._up()
        if uuid not in self.guests:
            raise GuestNotFound("gone", host=self.name)
        return self.guests[uuid]

    def live_migration_job(self, uuid):
        self._up()
        return self.jobs.get(uuid, JobStats(JobType.NONE))

    def live_migration_source(self, uuid):
        self._up()
        if uuid not in self.guests:
            raise GuestNotFound("gone", host=self.name)
        return LiveMigrationSource(self.state, self.disks.get(uuid, ()))


class World:
    def __init__(self):
        self.hosts = {name: Host(name) for name in ("a", "b", "c")}
        self.clock = VirtualClock(1_800_000_000.0)
        self.store = MemoryStore(clock=lambda: datetime.fromtimestamp(self.clock.now(), UTC))
        self.runner = LocalRunner(self.store, self.hosts, self.clock)

    def survey(self):
        found = self.runner.run(survey(self.hosts))
        for state in found.states.values():
            self.runner.run(adopt_host(state))
        return found

    def adopt(self, uuid=UUID):
        done = self.runner.run(adopt(uuid, self.survey()))
        self.check_claims()
        return done

    def server(self, uuid=UUID):
        return self.store.load(Instance, uuid)

    def claims(self, uuid=UUID):
        return {claim.host: (claim.vcpus, claim.memory_mb) for claim in self.store.find(Allocation, consumer=uuid)}

    def check_claims(self):
        """L3."""
        for node in self.store.find(ComputeNode):
            claims = self.store.find(Allocation, host=node.host)
            assert node.vcpus_used == sum(claim.vcpus for claim in claims)
            assert node.memory_mb_used == sum(claim.memory_mb for claim in claims)
            assert node.local_gb_used == sum(claim.disk_gb for claim in claims)
            assert node.running_vms == len(claims)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def a(world):
    return world.hosts["a"]


@pytest.fixture
def b(world):
    return world.hosts["b"]


@pytest.mark.parametrize(("power", "vm"), list(ADOPTED_AS.items()), ids=str)
def test_a_guest_is_adopted_in_the_state_that_it_is_in(world, a, power, vm):
    a.put(power)
    done = world.adopt()
    server = world.server()
    assert (done.outcome, done.host, done.name) == (Outcome.ADOPTED, "a", "web")
    assert (server.vm_state, server.power_state, server.task_state, server.host) == (vm, power, TaskState.IDLE, "a")
    assert (server.vcpus, server.memory_mb, server.flavor.memory_mb) == (2, 512, 512)
    assert world.store.load(RequestSpec, UUID).flavor == server.flavor
    assert world.claims() == {"a": (2, 512)}
    assert JOINT.stable(Joint(vm, TaskState.IDLE, power))
    assert world.adopt().outcome is Outcome.KNOWN, "the second time there is nothing to do"


def test_every_action_that_needs_a_launched_server_with_a_host_may_begin(world, a):
    a.put()
    world.adopt()
    for action in (Action.LIVE_MIGRATE, Action.PAUSE, Action.STOP, Action.SUSPEND, Action.HARD_REBOOT, Action.DELETE):
        check(action, world.server())


def test_disks_that_the_host_tells_of_are_part_of_the_flavor(world, a):
    a.put()
    a.disks[UUID] = tuple(DiskInfo(f"vd{n}", f"/{n}", "raw", size) for n, size in enumerate((3 * GIB + 1, GIB, GIB)))
    world.adopt()
    assert (world.server().root_gb, world.server().ephemeral_gb) == (4, 2)


def test_more_than_the_host_has_is_adopted_all_the_same(world, a):
    a.put(memory_mb=999_999, vcpus=500)
    assert world.adopt().outcome is Outcome.ADOPTED
    assert world.claims() == {"a": (500, 999_999)}


def test_a_guest_that_is_off_on_one_host_and_on_on_another_is_where_it_is_on(world, a, b):
    a.put(PowerState.SHUTDOWN)
    b.put(PowerState.PAUSED)
    done = world.adopt()
    assert (done.outcome, done.host) == (Outcome.ADOPTED, "b")
    assert "also defined on a" in done.what
    assert world.server().vm_state is VMState.PAUSED


def test_a_guest_that_is_off_on_two_hosts_is_where_its_memory_is_saved(world, a, b):
    a.put(PowerState.SHUTDOWN)
    b.put(PowerState.SUSPENDED)
    assert world.adopt().host == "b"


@pytest.mark.parametrize("power", [PowerState.RUNNING, PowerState.PAUSED])
def test_a_guest_that_is_on_twice_is_refused(world, a, b, power):
    a.put(power)
    b.put()
    done = world.adopt()
    assert (done.outcome, done.host) == (Outcome.REFUSED, None)
    assert "on in a and in b" in done.what
    with pytest.raises(NotFound):
        world.server()


@pytest.mark.parametrize("how", ["incoming", "outgoing", "job"])
def test_a_guest_that_is_being_migrated_is_left_for_the_next_time(world, a, b, how):
    a.put(PowerState.PAUSED if how == "outgoing" else PowerState.RUNNING, outgoing=how == "outgoing")
    if how == "incoming":
        b.put(PowerState.PAUSED, incoming=True)
    if how == "job":
        a.jobs[UUID] = JobStats(JobType.UNBOUNDED)
    assert world.adopt().outcome is Outcome.LEFT
    with pytest.raises(NotFound):
        world.server()
    b.guests.clear()
    a.jobs.clear()
    a.put()
    assert world.adopt().outcome is Outcome.ADOPTED


def test_a_guest_of_no_state_is_left(world, a):
    a.put(PowerState.NOSTATE)
    assert world.adopt().outcome is Outcome.LEFT


def test_a_guest_that_moved_while_the_hosts_were_asked_is_looked_for_again(world, a, b):
    a.put()
    found = world.survey()
    a.guests.clear()
    b.put()
    done = world.runner.run(
        adopt(UUID, evolve(found, guests={UUID: {**found.guests[UUID], **world.survey().guests[UUID]}}))
    )
    assert (done.outcome, done.host) == (Outcome.ADOPTED, "b"), "it was on in both, one after the other"
    done = world.runner.run(adopt(UUID, evolve(found, guests={})))
    assert (done.outcome, done.host) == (Outcome.KNOWN, "b"), "it was on in none, one after the other"
    b.guests.clear()
    other = UUID.replace("1", "2")
    twice = {"a": GuestInfo(other, "x", PowerState.RUNNING, 1, 1), "b": GuestInfo(other, "x", PowerState.RUNNING, 1, 1)}
    assert world.runner.run(adopt(other, evolve(found, guests={other: twice}))).outcome is Outcome.LEFT


# --- the second time


@pytest.mark.parametrize(
    ("was", "power"),
    [(vm, power) for vm in dict.fromkeys(ADOPTED_AS.values()) for power in ADOPTED_AS],
    ids=str,
)
def test_what_was_changed_by_hand_is_recorded_as_power_sync_has_it_and_nothing_is_stopped(world, a, was, power):
    a.put(next(power for power, vm in ADOPTED_AS.items() if vm is was))
    world.adopt()
    seen = world.server().power_state
    a.put(power)
    done = world.adopt()
    server = world.server()
    acts = POWER_SYNC[was, power] in {Sync.STOP, Sync.FORCE_STOP, Sync.RECHECK_THEN_STOP}
    assert server.power_state is power
    assert server.vm_state is (ADOPTED_AS[power] if acts else was)
    assert done.outcome is (Outcome.KNOWN if seen is power else Outcome.CHANGED)
    assert JOINT.stable(Joint(server.vm_state, TaskState.IDLE, power))


def test_a_guest_that_was_moved_by_hand_is_followed_with_its_claim(world, a, b):
    a.put()
    world.adopt()
    a.guests.clear()
    b.put()
    done = world.adopt()
    assert (done.outcome, done.host) == (Outcome.CHANGED, "b")
    assert "was on a" in done.what
    assert (world.server().host, world.server().node) == ("b", "b")
    assert world.claims() == {"b": (2, 512)}


def test_a_guest_of_another_size_or_name_is_recorded_so(world, a):
    a.put()
    world.adopt()
    a.put(memory_mb=1024, vcpus=3, name="shop")
    done = world.adopt()
    server = world.server()
    assert (done.outcome, done.name) == (Outcome.CHANGED, "shop")
    assert (server.vcpus, server.memory_mb, server.flavor.vcpus, server.display_name) == (3, 1024, 3, "shop")
    assert world.store.load(RequestSpec, UUID).flavor == server.flavor
    assert world.claims() == {"a": (3, 1024)}
    assert world.adopt().outcome is Outcome.KNOWN


def test_a_host_that_has_grown_is_recorded_so(world, a):
    a.put()
    world.adopt()
    a.state = HostState(host="a", vcpus=16, memory_mb=8192, disk_gb=100, hypervisor_type="QEMU")
    world.adopt()
    node = world.store.load(ComputeNode, "a")
    assert (node.vcpus, node.memory_mb, node.vcpus_used) == (16, 8192, 2)


def test_a_guest_that_is_gone_stays_recorded(world, a):
    a.put()
    world.adopt()
    a.guests.clear()
    done = world.adopt()
    assert (done.outcome, done.host) == (Outcome.GONE, "a")
    server = world.server()
    assert (server.vm_state, server.power_state) == (VMState.ACTIVE, PowerState.NOSTATE)
    assert world.claims() == {"a": (2, 512)}
    a.put()
    assert world.adopt().outcome is Outcome.CHANGED
    assert world.server().power_state is PowerState.RUNNING


def test_of_a_host_that_is_silent_nothing_is_concluded(world, a, b):
    a.put()
    world.adopt()
    a.down = True
    done = world.adopt()
    assert (done.outcome, done.host) == (Outcome.LEFT, "a")
    b.put(PowerState.SHUTDOWN)  # an old definition: it may well run on the host that is silent
    assert world.adopt().outcome is Outcome.LEFT
    assert world.server().host == "a"
    b.put()
    assert world.adopt().host == "b", "where it runs is certain"
    assert set(world.claims()) == {"a", "b"}, "what a silent host has is not known"
    a.down = False
    a.guests.clear()
    world.adopt()
    assert set(world.claims()) == {"b"}


@pytest.mark.parametrize("power", [PowerState.SHUTDOWN, PowerState.PAUSED, PowerState.SUSPENDED], ids=str)
def test_a_guest_that_runs_nowhere_may_run_on_a_silent_host(world, a, b, power):
    """It was moved by hand to the host that is silent; its definition, or its held half, is still where it was."""
    a.put(power)
    b.down = True
    assert world.adopt().outcome is Outcome.LEFT
    with pytest.raises(NotFound):
        world.server()
    b.down = False
    a.put()
    world.adopt()
    a.put(power)
    b.down = True
    assert world.adopt().outcome is Outcome.LEFT
    assert (world.server().vm_state, world.server().power_state) == (VMState.ACTIVE, PowerState.RUNNING)


def test_a_host_that_falls_silent_while_it_is_asked_again_is_one_of_which_nothing_is_concluded(world, a, b):
    a.put()
    world.adopt()
    b.down = True
    found = evolve(world.survey(), silent={}, states={"a": a.state, "b": b.state})
    a.guests.clear()
    done = world.runner.run(adopt(UUID, evolve(found, guests={})))
    assert (done.outcome, "b did not answer" in done.what) == (Outcome.GONE, True)
    assert world.server().power_state is PowerState.RUNNING
    a.down = True
    assert world.runner.run(adopt(UUID, evolve(found, guests={}))).outcome is Outcome.LEFT


@pytest.mark.parametrize("busy", ["task", "migration"])
def test_a_server_on_which_somebody_is_at_work_is_left(world, a, busy):
    a.put()
    world.adopt()
    server = world.server()
    if busy == "task":
        server.task_state = TaskState.PAUSING
        world.store.commit(Put(server))
    else:
        record = Migration(
            uuid=UUID,
            instance_uuid=UUID,
            migration_type=MigrationType.LIVE_MIGRATION,
            status=MigrationStatus.RUNNING,
            source_compute="a",
        )
        world.store.commit(Put(record))
    a.put(PowerState.PAUSED)
    assert world.adopt().outcome is Outcome.LEFT
    assert world.server().power_state is PowerState.RUNNING


def test_a_deleted_server_is_not_brought_back(world, a):
    a.put()
    world.adopt()
    server = world.server()
    VMMachine.delete(server)
    world.store.commit(Put(server))
    assert world.adopt().outcome is Outcome.REFUSED


def test_another_who_saves_meanwhile_is_not_overwritten(world, a):
    """The loser of the save looks anew."""
    a.put()
    world.adopt()
    a.put(PowerState.PAUSED)
    found = world.survey()
    flow, done = adopt(UUID, found), []

    def perform(effect):
        if type(effect).__name__ == "Save" and not done:
            done.append(effect)
            server = world.server()
            server.display_description = "mine"
            world.store.commit(Put(server))
        return LocalRunner.perform(world.runner, effect)

    runner = LocalRunner(world.store, world.hosts, world.clock)
    runner.perform = perform
    runner.run(flow)
    assert done
    assert (world.server().display_description, world.server().power_state) == ("mine", PowerState.PAUSED)


@pytest.mark.parametrize("how", [Interference.CRASH_BEFORE, Interference.CRASH_AFTER, Interference.TWICE])
@pytest.mark.parametrize("case", ["new", "moved", "resized"])
def test_whoever_dies_anywhere_runs_it_again(how, case):
    place = 0
    while True:
        world = World()
        first, second = world.hosts["a"], world.hosts["b"]
        if case != "new":
            first.put()
            world.adopt()
            first.guests.clear()
        if case == "resized":
            first.put(memory_mb=1024)
        else:
            second.put()
        found = world.survey()
        outcome = interfere(world.runner, adopt(UUID, found), place, how)
        assert outcome.error is None
        world.check_claims()
        world.adopt()
        home, size = ("a", (2, 1024)) if case == "resized" else ("b", (2, 512))
        assert (world.server().host, world.claims()) == (home, {home: size})
        assert world.adopt().outcome is Outcome.KNOWN
        if not outcome.reached:
            break
        place += 1
    assert place > 3


@pytest.mark.parametrize("how", [Interference.CRASH_BEFORE, Interference.CRASH_AFTER, Interference.TWICE])
def test_a_server_is_forgotten_whoever_dies_meanwhile(how):
    place = 0
    while True:
        world = World()
        first = world.hosts["a"]
        first.put()
        world.adopt()
        with pytest.raises(InvalidField, match="a has it"):
            world.runner.run(forget(UUID, world.hosts))
        first.guests.clear()
        outcome = interfere(world.runner, forget(UUID, world.hosts), place, how)
        assert outcome.error is None
        world.check_claims()
        if world.server().vm_state is not VMState.DELETED:
            world.runner.run(forget(UUID, world.hosts))
        server = world.server()
        assert (server.vm_state, server.deleted, server.task_state) == (VMState.DELETED, True, TaskState.IDLE)
        assert world.claims() == {}
        world.check_claims()
        if not outcome.reached:
            break
        place += 1
    assert place > 3
