"""Recovery of what is not a plain crash: a task of another, tasks without a flow, a migration that was taken over."""

from __future__ import annotations

import pytest
from attrs import evolve

from flow_world import FAST, HOPELESS, SLOW, UUID, World, host
from novastate.convergence import FixedPolicy, NovaPolicy
from novastate.errors import NotSupported
from novastate.flows import live_migrate, recover
from novastate.flows.live_migration_monitor import kept
from novastate.machines import MigrationStatus, TaskMachine, TaskState, VMState
from novastate.objects import Allocation
from novastate.store import Put
from novastate.testing.explore import Interference, interfere


def test_a_migration_whose_server_was_taken_over_is_ended_and_the_task_left_alone(world):
    world.boot()
    interfere(world.runner, live_migrate(UUID, "beta", options=FAST), 24, Interference.CRASH_AFTER)
    server = world.instance()
    TaskMachine.soft_delete(server)
    world.store.commit(Put(server))
    done = world.run(recover(UUID, now=True))
    assert done.changed
    assert world.instance().task_state is TaskState.SOFT_DELETING
    assert world.migration().status in {MigrationStatus.FAILED, MigrationStatus.COMPLETED}
    assert [a.host for a in world.store.find(Allocation, consumer=UUID)] == world.cloud.running(UUID)


def test_a_task_that_changed_nothing_yet_goes_back(world):
    server = world.boot()
    TaskMachine.snapshot(server)
    world.store.commit(Put(server))
    assert world.run(recover(UUID, now=True)).what.startswith("back: ")
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ACTIVE, TaskState.IDLE)


def test_a_task_whose_effect_cannot_be_seen_goes_to_error(world):
    server = world.boot()
    TaskMachine.rescue(server)
    world.store.commit(Put(server))
    assert world.run(recover(UUID, now=True)).what.startswith("error: ")
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ERROR, TaskState.IDLE)


def test_a_task_that_only_its_flow_can_drive_on_is_left_and_said(world):
    server = world.boot()
    TaskMachine.shelve_offload(server)
    world.store.commit(Put(server))
    with pytest.raises(NotSupported, match="shelving_offloading"):
        world.run(recover(UUID, now=True))
    assert world.instance().task_state is TaskState.SHELVING_OFFLOADING


# --- a live migration is driven on as it was begun


def died_while_it_moved(options, **made):
    """A world in which a live migration of a guest that never converges runs, and nobody watches it."""
    world = World(law=HOPELESS, **made)
    world.boot()
    flow = live_migrate(UUID, "beta", options=options)
    effect = next(flow)
    while getattr(effect, "method", "") != "live_migration_job":
        effect = flow.send(world.runner.perform(effect))
    assert world.migration().status is MigrationStatus.RUNNING
    return world


def test_a_migration_is_driven_on_with_the_options_that_it_was_begun_with():
    options = evolve(
        SLOW,
        params=evolve(SLOW.params, post_copy=True),
        policy=FixedPolicy(timeout=7, timeout_action="force_complete"),
    )
    world = died_while_it_moved(options)
    world.run(recover(UUID, now=True))
    assert world.migration().status is MigrationStatus.COMPLETED
    assert "running (post-copy)" in world.statuses()
    world.check_laws()


def test_the_disks_that_it_copies_are_counted_as_before():
    hosts = [host(name, storage="") for name in ("alpha", "beta")]
    world = died_while_it_moved(evolve(SLOW, policy=NovaPolicy(completion_timeout=100)), hosts=hosts)
    world.run(recover(UUID, now=True))
    (told,) = world.heard("live_migration.abort")
    assert "the completion timeout is 400 s" in told["reason"], "2 GiB of memory and of disk each, at least"


def test_options_that_are_asked_for_come_first():
    world = died_while_it_moved(evolve(SLOW, policy=FixedPolicy()))
    world.run(recover(UUID, now=True, options=evolve(SLOW, policy=FixedPolicy(timeout=20))))
    assert "not complete after 20 s" in world.heard("live_migration.abort")[0]["reason"]


class Own:
    def decide(self, outlook):
        return FixedPolicy().decide(outlook)


def test_a_policy_that_cannot_be_kept_leaves_the_deadline():
    world = died_while_it_moved(evolve(SLOW, policy=Own(), deadline=120.0))
    world.run(recover(UUID, now=True))
    assert "deadline of 120 s" in world.heard("live_migration.abort")[0]["reason"]


@pytest.mark.parametrize(
    "options", [None, 3, {}, {"params": {"bandwidth": -1}}, {"policy": {"kind": "x"}, "params": []}]
)
def test_options_that_cannot_be_read_are_the_default(options):
    world = died_while_it_moved(SLOW)
    revision, _ = world.store.get_document(kept(world.migration().uuid))
    world.store.put_document(kept(world.migration().uuid), {"options": options} if options != {} else {}, revision)
    world.run(recover(UUID, now=True))
    assert "the completion timeout is 1600 s" in world.heard("live_migration.abort")[0]["reason"]
    world.check_laws()
