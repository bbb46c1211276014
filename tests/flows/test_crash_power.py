"""The crash matrix of the power flows: each is stopped before and after every effect; recovery then leaves the laws intact."""

from __future__ import annotations

from contextlib import suppress

import pytest

from flow_world import FAST, UUID, World, host
from novastate.errors import DriverError, NovastateError
from novastate.flows import (
    Release,
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
from novastate.machines import MigrationStatus, PowerState, TaskMachine, TaskState, VMState
from novastate.objects import Instance
from novastate.store import Put
from novastate.testing.explore import Interference, interfere, places

#: What is asked of the guest before, the flow that is interfered with, and the vm_states in which it may then be found.
SCENARIOS = {
    "start": (stop, lambda: start(UUID), {VMState.STOPPED, VMState.ACTIVE}),
    "stop": (None, lambda: stop(UUID), {VMState.STOPPED, VMState.ACTIVE}),
    "stop at once": (None, lambda: stop(UUID, clean=False), {VMState.STOPPED, VMState.ACTIVE}),
    "stop by force": (pause, lambda: force_stop(UUID), {VMState.STOPPED, VMState.PAUSED}),
    "pause": (None, lambda: pause(UUID), {VMState.PAUSED, VMState.ACTIVE}),
    "unpause": (pause, lambda: unpause(UUID), {VMState.PAUSED, VMState.ACTIVE}),
    "suspend": (None, lambda: suspend(UUID), {VMState.SUSPENDED, VMState.ACTIVE}),
    "resume": (suspend, lambda: resume(UUID), {VMState.SUSPENDED, VMState.ACTIVE}),
    "reboot": (None, lambda: reboot(UUID), {VMState.ACTIVE}),
    "hard reboot": (None, lambda: reboot(UUID, hard=True), {VMState.ACTIVE}),
    "hard reboot of what is off": (stop, lambda: reboot(UUID, hard=True), {VMState.STOPPED, VMState.ACTIVE}),
    "delete": (None, lambda: delete(UUID), {VMState.DELETED, VMState.ACTIVE}),
    "delete what is off": (stop, lambda: delete(UUID), {VMState.DELETED, VMState.STOPPED}),
}

#: What the guest is in each vm_state.
POWER = {
    VMState.ACTIVE: PowerState.RUNNING,
    VMState.PAUSED: PowerState.PAUSED,
    VMState.SUSPENDED: PowerState.SUSPENDED,
    VMState.STOPPED: PowerState.SHUTDOWN,
}


@pytest.mark.parametrize("how", Interference, ids=lambda how: how.name.lower())
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_power_flow_interfered_with_anywhere(scenario, how):
    before, flow, ends = SCENARIOS[scenario]
    reached = 0
    worlds = []

    def attempt(place):
        world = World()
        world.boot()
        if before:
            world.run(before(UUID))
        worlds.append(world)
        return interfere(world.runner, flow(), place, how)

    for outcome in places(attempt):
        world = worlds[-1]
        try:
            assert outcome.error is None
            world.check_laws(settled=False)
            world.run(recover(UUID, now=True))
            world.check_laws()
            assert not world.run(recover(UUID, now=True)).changed
            server = world.instance()
            assert server.vm_state in ends
            if server.vm_state is not VMState.DELETED:
                seen = world.cloud.drivers["alpha"].get_info(UUID).power_state
                assert server.power_state is seen is POWER[server.vm_state]
            if how in {Interference.LOSE_REPLY, Interference.TWICE}:
                assert server.vm_state is outcome.result.vm_state
        except Exception as error:
            raise AssertionError(f"{scenario}: {how.value}: effect {reached}, {outcome.effect}: {error!r}") from error
        reached += 1
    assert reached >= 6


@pytest.mark.parametrize("how", [Interference.CRASH_BEFORE, Interference.CRASH_AFTER], ids=lambda how: how.name.lower())
@pytest.mark.parametrize("storage", ["pool", ""], ids=["shared storage", "local storage"])
def test_a_deletion_ends_a_migration_that_was_cut_off_anywhere(storage, how):
    """The process that moved the guest is gone; the owner deletes the server, and that process dies as well, anywhere."""
    worlds = []

    def attempt(place):
        world = World([host(name, storage=storage) for name in ("alpha", "beta", "gamma")])
        world.boot()
        worlds.append(world)
        return interfere(world.runner, live_migrate(UUID, "beta", options=FAST), place, Interference.CRASH_AFTER)

    for at, outcome in enumerate(places(attempt)):
        world = worlds[-1]
        try:
            interfere(world.runner, delete(UUID), at % 14, how)
            if world.instance().task_state is TaskState.IDLE and world.instance().vm_state is not VMState.DELETED:
                world.run(delete(UUID))
            world.run(recover(UUID, now=True))
            if world.instance().vm_state is not VMState.DELETED:
                world.run(delete(UUID))
            world.check_laws()
            assert world.cloud.running(UUID) == []
        except Exception as error:
            raise AssertionError(f"after {outcome.effect}: {error!r}") from error


def test_a_deletion_while_a_migration_lives_leaves_nothing_of_either():
    """At every place of the migration another process deletes the server, and the migration's own process goes on."""
    places_taken = 0
    while True:
        world = World()
        world.boot()
        perform, at = world.runner.perform, [-1]

        def taken_over(effect, *, world=world, perform=perform, at=at, place=places_taken):
            at[0] += 1
            if at[0] == place:
                world.runner.perform = perform
                world.run(delete(UUID))
            return perform(effect)

        world.runner.perform = taken_over
        with suppress(NovastateError):
            world.run(live_migrate(UUID, "beta", options=FAST))
        if at[0] < places_taken:
            break
        try:
            world.run(recover(UUID, now=True))
            if world.instance().vm_state is not VMState.DELETED:
                # The migration won the race for the task's first save, or had just ended.
                world.run(delete(UUID))
            world.check_laws()
            assert world.cloud.running(UUID) == []
        except Exception as error:
            raise AssertionError(f"at effect {places_taken}: {error!r}") from error
        places_taken += 1
    assert places_taken > 15


def test_a_deletion_asks_both_sides_of_a_migration_whatever_they_claim():
    """The migration had given beta's room back and died before it was recorded; beta did not hear that the guest stays away."""
    world = World([host("alpha", storage=""), host("beta", storage="")])
    world.boot()
    interfere(world.runner, live_migrate(UUID, "beta", options=FAST), 24, Interference.CRASH_AFTER)
    assert world.cloud.drivers["beta"].get_info(UUID).incoming
    world.runner.perform(Release("beta", UUID))
    world.run(delete(UUID))
    assert world.migration().status is MigrationStatus.ERROR
    world.check_laws()


def crashed(world, begin):
    """The instance with a task that nobody drives."""
    server = world.instance()
    begin(server)
    world.store.commit(Put(server))


def test_a_soft_reboot_that_left_its_guest_off_is_made_hard(world):
    world.boot()
    crashed(world, TaskMachine.reboot)
    world.cloud.drivers["alpha"].power_off(UUID)
    assert world.run(recover(UUID, now=True)).changed
    assert "rebooting_hard" in world.tasks()
    assert world.instance().vm_state is VMState.ACTIVE
    world.check_laws()


def test_what_fails_while_it_is_driven_on_is_undone_and_said(world):
    world.boot()
    world.run(stop(UUID))
    crashed(world, TaskMachine.power_on)
    world.cloud.drivers["alpha"].destroy(UUID)
    told = world.run(recover(UUID, now=True))
    assert told.changed
    assert "no guest" in told.what
    server = world.instance()
    assert (server.vm_state, server.task_state, server.power_state) == (
        VMState.STOPPED,
        TaskState.IDLE,
        PowerState.NOSTATE,
    )


def test_a_deletion_with_a_silent_host_waits_for_it(world):
    world.boot()
    interfere(world.runner, live_migrate(UUID, "beta", options=FAST), 24, Interference.CRASH_AFTER)
    crashed(world, TaskMachine.delete)
    world.cloud.fail_host("alpha")
    with pytest.raises(DriverError):
        world.run(recover(UUID, now=True))
    assert world.instance().task_state is TaskState.DELETING
    assert world.migration().status is MigrationStatus.RUNNING
    world.cloud.restore_host("alpha")
    world.run(recover(UUID, now=True))
    assert world.store.load(Instance, UUID).deleted
    world.check_laws()
