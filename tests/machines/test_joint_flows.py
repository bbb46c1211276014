"""The flows against the joint moves: every write that a flow commits is one of them."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from attrs import evolve

from flow_world import FAST, HOPELESS, SLOW, UUID, World, host
from novastate.convergence.policy import NovaPolicy
from novastate.drivers import Fault
from novastate.errors import NotFound, NovastateError
from novastate.flows import live_migrate, recover
from novastate.machines import JOINT, Joint, MigrationType
from novastate.machines.moves import settled
from novastate.objects import Instance, Migration
from novastate.store import MemoryStore
from novastate.testing.explore import Interference, interfere, places


class Watched(MemoryStore):
    """A store that writes down the joint state after each commit."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def commit(self, *changes):
        super().commit(*changes)
        try:
            instance = self.load(Instance, UUID)
        except NotFound:
            return
        moves = self.find(Migration, instance_uuid=UUID)
        kind = moves[-1].migration_type if moves else None
        status = moves[-1].status if moves else None
        joint = settled(
            Joint(instance.vm_state, instance.task_state, instance.power_state, kind and MigrationType(kind), status)
        )
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
