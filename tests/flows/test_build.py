"""Building: the chain of tasks, the next host after one that fails, and never two guests of one server."""

from __future__ import annotations

from contextlib import suppress

import pytest

from flow_world import UUID, World, host
from novastate.drivers import Fault
from novastate.errors import AlreadyExists, DriverError, MaxRetriesExceeded, NotFound, NoValidHost, StaleState
from novastate.flows import build, delete, recover
from novastate.machines import TaskState, VMState


def test_a_server_comes_to_life_by_nova_s_chain_of_tasks(world):
    server = world.run(build(*world.records(on="alpha")))
    assert (server.vm_state, server.task_state, server.host) == (VMState.ACTIVE, TaskState.IDLE, "alpha")
    assert server.launched_at is not None
    assert world.tasks() == ["scheduling", None, "networking", "block_device_mapping", "spawning", None]
    world.check_laws()


def test_a_host_that_fails_is_followed_by_the_next():
    world = World(faults=[Fault(host="alpha", method="spawn", error="no image")])
    assert world.run(build(*world.records())).host == "beta"
    assert world.heard("build.refused")[0]["host"] == "alpha"
    world.check_laws()


def test_after_three_hosts_it_is_an_error_without_a_host():
    world = World(
        [host(name) for name in ("a", "b", "c", "d")],
        faults=[Fault(method="spawn", nth=n, error="no") for n in (1, 2, 3)],
    )
    with pytest.raises(MaxRetriesExceeded) as error:
        world.run(build(*world.records()))
    assert set(error.value.reasons) == {"a", "b", "c"}
    assert (world.instance().vm_state, world.instance().host) == (VMState.ERROR, None)
    world.check_laws()


def test_without_room_anywhere_it_is_an_error_without_a_host(world):
    with pytest.raises(NoValidHost):
        world.run(build(*world.records(memory_mb=100_000)))
    assert (world.instance().vm_state, world.instance().host) == (VMState.ERROR, None)
    world.check_laws()


def test_a_server_is_built_once(world):
    world.boot()
    lines = world.store.history(UUID)
    with pytest.raises(AlreadyExists):
        world.run(build(*world.records()))
    assert world.store.history(UUID) == lines
    world.check_laws()


def test_a_host_that_fell_silent_may_run_it_so_no_other_host_starts_it():
    """The guest was started, every reply was lost, and the host is not heard of again: nothing starts elsewhere."""
    lost = [Fault(host="alpha", method="spawn", nth=n, when="after", kind="lose_reply") for n in range(1, 5)]
    silent = [Fault(host="alpha", method="destroy", nth=1, kind="error", error="unreachable")]
    world = World(faults=lost + silent)
    with pytest.raises(DriverError, match="unreachable"):
        world.run(build(*world.records()))
    assert world.cloud.running(UUID) == ["alpha"]
    assert world.instance().task_state is TaskState.SPAWNING
    world.check_laws(settled=False)
    assert world.run(recover(UUID, now=True)).changed
    assert world.instance().vm_state is VMState.ACTIVE
    world.check_laws()


def test_a_store_that_fails_in_the_middle_leaves_no_build_half_done(world):
    from novastate.errors import StoreError
    from novastate.flows import Schedule

    perform = world.runner.perform

    def broken(effect):
        if isinstance(effect, Schedule):
            raise StoreError("a row is corrupt")
        return perform(effect)

    world.runner.perform = broken
    with pytest.raises(StoreError):
        world.run(build(*world.records()))
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ERROR, TaskState.IDLE)
    world.check_laws()


@pytest.mark.parametrize("fault", [None, "spawn"], ids=["good", "a host that fails"])
def test_a_deletion_while_it_is_built_leaves_nothing_of_either(fault):
    """At every place of the build another process deletes the server, and the build's own process goes on."""
    taken = 0
    while True:
        world = World(faults=[Fault(host="alpha", method="spawn", error="no")] if fault else [])
        perform, at = world.runner.perform, [-1]

        def taken_over(effect, *, world=world, perform=perform, at=at, place=taken):
            at[0] += 1
            if at[0] == place:
                world.runner.perform = perform
                with suppress(NotFound):  # before its first commit there is nothing to delete
                    world.run(delete(UUID))
            return perform(effect)

        world.runner.perform = taken_over
        with suppress(StaleState, NotFound):
            world.run(build(*world.records()))
        if at[0] < taken:
            break
        try:
            assert world.instance().vm_state is (VMState.DELETED if taken else VMState.ACTIVE)
            world.check_laws()
        except AssertionError as error:
            raise AssertionError(f"at effect {taken}: {error}") from error
        taken += 1
    assert taken > 8


def test_a_rename_while_it_is_built_does_not_disturb(world):
    from novastate.store import Put

    perform, renamed = world.runner.perform, []

    def rename(effect):
        if getattr(effect, "method", "") == "spawn" and not renamed:
            server = world.instance()
            server.display_name = "renamed"
            world.store.commit(Put(server))
            renamed.append(server)
        return perform(effect)

    world.runner.perform = rename
    server = world.run(build(*world.records()))
    assert (server.vm_state, server.display_name) == (VMState.ACTIVE, "renamed")
    world.check_laws()


@pytest.mark.parametrize("nth", range(2, 7))
def test_a_store_that_fails_at_any_save_leaves_no_guest_and_no_claim(world, nth):
    from novastate.errors import StoreError
    from novastate.flows import Save

    perform, saves = world.runner.perform, []

    def broken(effect):
        if isinstance(effect, Save):
            saves.append(effect)
            if len(saves) == nth:
                raise StoreError("a row is corrupt")
        return perform(effect)

    world.runner.perform = broken
    with pytest.raises(StoreError):
        world.run(build(*world.records()))
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ERROR, TaskState.IDLE)
    world.check_laws()
