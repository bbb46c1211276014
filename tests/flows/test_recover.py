"""Recovery of what is not a plain crash: a task of another, tasks without a flow, a migration that was taken over."""

from __future__ import annotations

import pytest

from flow_world import FAST, UUID
from novastate.errors import NotSupported
from novastate.flows import live_migrate, recover
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
