"""The flows against the joint moves: every write that a flow commits is one of them."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from attrs import evolve

from flow_world import FAST, HOPELESS, SLOW, UUID, World, host
from novastate.convergence import NovaPolicy
from novastate.drivers import Fault
from novastate.errors import NotFound, NovastateError
from novastate.flows import (
    delete,
    force_stop,
    live_migrate,
    pause,
    reboot,
    recover,
    resume,
    start,
    stop,
    suspend,
    unpause,
)
from novastate.machines import JOINT, Joint, MigrationType, PowerState, VMState
from novastate.machines.moves import settled
from novastate.objects import Instance, Migration
from novastate.store import MemoryStore, Put
from novastate.testing.explore import Interference, interfere, places


class Watched(MemoryStore):
    """A store that writes down the joint state after each commit."""

    def __init__(self):
        super().__init__()
        self.seen, self.past = [], set()

    def commit(self, *changes):
        super().commit(*changes)
        try:
            instance = self.load(Instance, UUID)
        except NotFound:
            return
        moves = [move for move in self.find(Migration, instance_uuid=UUID) if move.uuid not in self.past]
        kind = moves[-1].migration_type if moves else None
        status = moves[-1].status if moves else None
        joint = settled(
            Joint(instance.vm_state, instance.task_state, instance.power_state, kind and MigrationType(kind), status)
        )
        if moves and joint.status is None:
            self.past.add(moves[-1].uuid)  # it is history, whatever task comes next
        if not self.seen or self.seen[-1] != joint:
            self.seen.append(joint)


SCENARIOS = {
    "shared storage": ({}, FAST),
    "local storage": ({"hosts": [host(name, storage="") for name in ("alpha", "beta", "gamma")]}, FAST),
    "post-copy": (
        {"law": HOPELESS},
        evolve(
            SLOW,
            params=evolve(SLOW.params, post_copy=True),
            policy=NovaPolicy(downtime=100, completion_timeout=3, timeout_action="force_complete"),
            poll=2.0,
        ),
    ),
    "a job that fails": ({"faults": [Fault(method="job", at=1.0, kind="fail")]}, FAST),
    "a timeout": ({"law": HOPELESS}, evolve(SLOW, policy=NovaPolicy(downtime=100, completion_timeout=3), poll=2.0)),
    "no destination": ({"faults": [Fault(method="check_can_live_migrate_destination", error="no")]}, FAST),
    "a preparation that fails": ({"faults": [Fault(method="pre_live_migration", error="no")]}, FAST),
}


def strange(seen):
    """The writes that are no joint moves."""
    return [
        f"{before} -> {after}"
        for before, after in itertools.pairwise(seen)
        if after not in {a for _, a in JOINT.successors(before)}
    ]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_write_of_a_live_migration_is_a_joint_move(scenario):
    made, options = SCENARIOS[scenario]
    world = World(store=Watched(), **made)
    world.boot()
    with suppress(NovastateError):
        world.run(live_migrate(UUID, options=options))
    assert len(world.store.seen) > 4
    assert set(world.store.seen) <= JOINT.reachable
    assert not strange(world.store.seen)


@pytest.mark.parametrize("scenario", ["shared storage", "a preparation that fails"])
def test_every_write_after_a_crash_leads_to_a_stable_state(scenario):
    made, options = SCENARIOS[scenario]
    worlds = []

    def attempt(place):
        worlds.append(World(store=Watched(), **made))
        worlds[-1].boot()
        return interfere(worlds[-1].runner, live_migrate(UUID, options=options), place, Interference.CRASH_AFTER)

    for outcome in places(attempt):
        world = worlds[-1]
        world.run(recover(UUID, now=True))
        seen = world.store.seen
        assert set(seen) <= JOINT.reachable, outcome
        assert JOINT.stable(seen[-1]), outcome


#: Every power flow, in an order in which each may follow the one before.
POWER = (pause, unpause, suspend, resume, stop, start, reboot, pause, reboot, stop, reboot, delete)


def powered(world, flow):
    """The flow; a reboot is hard where the guest does not run."""
    hard = {"hard": True} if flow is reboot and world.instance().vm_state is not VMState.ACTIVE else {}
    return flow(UUID, **hard)


def test_every_write_of_a_power_flow_is_a_joint_move():
    world = World(store=Watched())
    world.boot()
    for flow in POWER:
        world.run(powered(world, flow))
        assert JOINT.stable(world.store.seen[-1]), flow
    assert set(world.store.seen) <= JOINT.reachable
    assert not strange(world.store.seen)


def test_every_write_of_a_stop_by_force_is_a_joint_move():
    world = World(store=Watched())
    world.boot()
    world.run(stop(UUID))
    world.cloud.drivers["alpha"].power_on(UUID)
    server = world.instance()
    server.power_state = PowerState.RUNNING  # power sync has seen it
    world.store.commit(Put(server))
    world.run(force_stop(UUID))
    assert not strange(world.store.seen)
    assert JOINT.stable(world.store.seen[-1])


@pytest.mark.parametrize("off", [False, True], ids=["on", "off behind our back"])
@pytest.mark.parametrize(
    ("flow", "method"),
    [
        (pause, "pause"),
        (stop, "power_off"),
        (suspend, "suspend"),
        (reboot, "reboot"),
        (delete, "destroy"),
    ],
)
def test_every_write_of_a_power_flow_that_fails_is_a_joint_move(flow, method, off):
    world = World(store=Watched(), faults=[Fault(method=method, error="no")])
    world.boot()
    if off:
        world.cloud.drivers["alpha"].shutdown(UUID)
    with suppress(NovastateError):
        world.run(flow(UUID))
    assert len(world.store.seen) > 4
    assert set(world.store.seen) <= JOINT.reachable
    assert not strange(world.store.seen)


@pytest.mark.parametrize("how", [Interference.CRASH_BEFORE, Interference.CRASH_AFTER])
@pytest.mark.parametrize("index", range(len(POWER)))
def test_every_write_after_a_crash_of_a_power_flow_leads_to_a_stable_state(index, how):
    worlds = []

    def attempt(place):
        world = World(store=Watched())
        worlds.append(world)
        world.boot()
        for flow in POWER[:index]:
            world.run(powered(world, flow))
        return interfere(world.runner, powered(world, POWER[index]), place, how)

    for outcome in places(attempt):
        world = worlds[-1]
        world.run(recover(UUID, now=True))
        assert set(world.store.seen) <= JOINT.reachable, outcome
        assert not strange(world.store.seen), outcome
        assert JOINT.stable(world.store.seen[-1]), outcome


def test_every_write_of_a_deletion_of_what_moves_is_a_joint_move():
    worlds = []

    def attempt(place):
        worlds.append(World(store=Watched()))
        worlds[-1].boot()
        return interfere(worlds[-1].runner, live_migrate(UUID, options=FAST), place, Interference.CRASH_AFTER)

    for outcome in places(attempt):
        world = worlds[-1]
        world.run(delete(UUID))
        assert set(world.store.seen) <= JOINT.reachable, outcome
        assert not strange(world.store.seen), outcome
