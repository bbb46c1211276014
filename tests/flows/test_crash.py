"""The crash matrix: a flow is stopped before and after every effect; recovery then leaves the laws intact."""

from __future__ import annotations

import itertools

import pytest
from attrs import evolve

from flow_world import FAST, HOPELESS, SLOW, UUID, World, host
from novastate.convergence import NovaPolicy
from novastate.drivers import Fault
from novastate.errors import DriverError, NovastateError
from novastate.flows import build, live_migrate, recover
from novastate.machines import MigrationStatus, VMState
from novastate.objects import Allocation
from novastate.store import SqlStore
from novastate.testing.explore import Interference, interfere, places

SCENARIOS = {
    "shared storage": (dict(), FAST),
    "local storage": (
        dict(hosts=[host("alpha", storage=""), host("beta", storage=""), host("gamma", storage="")]),
        FAST,
    ),
    "post-copy": (
        dict(law=HOPELESS),
        evolve(
            SLOW,
            params=evolve(SLOW.params, post_copy=True),
            policy=NovaPolicy(downtime=100, completion_timeout=3, timeout_action="force_complete"),
            poll=2.0,
        ),
    ),
    "post-copy whose link breaks": (
        dict(
            law=HOPELESS,
            hosts=[host(name, line_rate=16e6) for name in ("alpha", "beta", "gamma")],
            faults=[Fault(method="job", at=8.0, kind="cut", seconds=5)],
        ),
        evolve(
            SLOW,
            params=evolve(SLOW.params, post_copy=True),
            policy=NovaPolicy(downtime=100, completion_timeout=3, timeout_action="force_complete"),
            poll=2.0,
        ),
    ),
    "a job that fails": (dict(faults=[Fault(method="job", at=1.0, kind="fail")]), FAST),
    "a timeout": (dict(law=HOPELESS), evolve(SLOW, policy=NovaPolicy(downtime=100, completion_timeout=3), poll=2.0)),
    "a destination that refuses": (
        dict(faults=[Fault(host="beta", method="check_can_live_migrate_destination", error="no")]),
        FAST,
    ),
    "a preparation that fails": (dict(faults=[Fault(method="pre_live_migration", error="no")]), FAST),
}


@pytest.mark.parametrize("how", Interference, ids=lambda how: how.name.lower())
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_live_migration_interfered_with_anywhere(scenario, how):
    made, options = SCENARIOS[scenario]
    reached = 0
    worlds = []

    def attempt(place):
        world = World(**made)
        world.boot()
        worlds.append(world)
        return interfere(world.runner, live_migrate(UUID, options=options), place, how)

    for outcome in places(attempt):
        world = worlds[-1]
        where = f"{scenario}: {how.value}: effect {reached}, {outcome.effect}"
        try:
            world.check_laws(settled=False)
            world.run(recover(UUID, now=True))
            world.check_laws()
            assert world.instance().vm_state is VMState.ACTIVE
            assert isinstance(outcome.error, NovastateError | None)
        except Exception as error:
            raise AssertionError(f"{where}: {error}") from error
        reached += 1
    assert reached > 15


@pytest.mark.parametrize("how", [Interference.CRASH_BEFORE, Interference.CRASH_AFTER], ids=lambda how: how.name.lower())
def test_live_migration_crashed_anywhere_on_a_database(how, tmp_path):
    """The same on SQLite; the store that recovery sees is opened anew, as by another process."""
    attempts = itertools.count()
    worlds = []

    def attempt(place):
        path = tmp_path / f"{next(attempts)}.sqlite"
        world = World(store=SqlStore(f"sqlite:///{path}"))
        world.boot()
        worlds.append((world, path))
        return interfere(world.runner, live_migrate(UUID, options=evolve(FAST, poll=2.0)), place, how)

    reached = 0
    for outcome in places(attempt):
        world, path = worlds[-1]
        world.store.close()
        world.store = world.runner.store = SqlStore(f"sqlite:///{path}", create=False)
        world.run(recover(UUID, now=True))
        world.check_laws()
        world.store.close()
        assert outcome.error is None
        reached += 1
    assert reached > 15


@pytest.mark.parametrize("how", Interference, ids=lambda how: how.name.lower())
@pytest.mark.parametrize("fault", [None, "spawn"], ids=["good", "a host that fails"])
def test_build_interfered_with_anywhere(how, fault):
    reached = 0
    worlds = []

    def attempt(place):
        world = World(faults=[Fault(host="alpha", method="spawn", error="no")] if fault else [])
        worlds.append(world)
        return interfere(world.runner, build(*world.records()), place, how)

    for outcome in places(attempt):
        world = worlds[-1]
        stored = world.store.history(UUID)
        if stored:
            world.check_laws(settled=False)
            world.run(recover(UUID, now=True))
            world.check_laws()
            assert world.instance().vm_state in {VMState.ACTIVE, VMState.ERROR}, outcome.effect
        else:
            assert world.cloud.running(UUID) == []
        reached += 1
    assert reached > 8


def test_recovery_twice_is_recovery_once():
    world = World()
    world.boot()
    interfere(world.runner, live_migrate(UUID, "beta", options=FAST), 20, Interference.CRASH_AFTER)
    assert world.run(recover(UUID, now=True)).changed
    lines = world.store.history(UUID)
    assert not world.run(recover(UUID, now=True)).changed
    assert world.store.history(UUID) == lines


def test_recovery_waits_for_the_deadline():
    world = World()
    world.boot()
    interfere(world.runner, live_migrate(UUID, "beta", options=FAST), 20, Interference.CRASH_AFTER)
    assert not world.run(recover(UUID)).changed
    world.clock.sleep(24 * 3600)
    assert world.run(recover(UUID)).changed
    world.check_laws()


def test_recovery_drives_a_running_job_on():
    world = World()
    world.boot()
    outcomes = []
    # The first look at the job: the process dies while the guest is on its way.
    for place in range(60):
        trial = World()
        trial.boot()
        outcome = interfere(trial.runner, live_migrate(UUID, "beta", options=FAST), place, Interference.CRASH_BEFORE)
        if getattr(outcome.effect, "method", "") == "live_migration_job":
            outcomes.append(trial)
            break
    (trial,) = outcomes
    trial.run(recover(UUID, now=True, options=FAST))
    assert trial.migration().status is MigrationStatus.COMPLETED
    assert trial.instance().host == "beta"
    trial.check_laws()


@pytest.mark.parametrize("down", ["alpha", "beta"])
def test_recovery_with_a_silent_host_changes_nothing_it_cannot_know(down):
    """What hangs on the silent host is left for later; once it answers, recovery ends it."""
    world = World()
    world.boot()
    interfere(world.runner, live_migrate(UUID, "beta", options=FAST), 30, Interference.CRASH_AFTER)
    world.cloud.fail_host(down)
    try:
        world.run(recover(UUID, now=True, options=FAST))
    except NovastateError:
        world.check_laws(settled=False)
    world.cloud.restore_host(down)
    world.run(recover(UUID, now=True, options=FAST))
    world.check_laws(settled=down == "beta")


def test_a_guest_that_only_arrives_is_not_there(world):
    """The source forgot its guest while the destination held no more than what had arrived: the guest is lost, and said to be."""
    world.boot()
    interfere(world.runner, live_migrate(UUID, "beta", options=FAST), 24, Interference.CRASH_AFTER)
    assert world.cloud.drivers["beta"].get_info(UUID).incoming
    world.cloud.jobs.clear()
    del world.cloud.world.domains["alpha", UUID]
    world.run(recover(UUID, now=True))
    assert world.instance().vm_state is VMState.ERROR
    assert world.migration().status is MigrationStatus.ERROR
    assert world.cloud.running(UUID) == []


def test_giving_up_on_a_silent_host_starts_nothing_and_keeps_the_claims(world):
    world.boot()
    interfere(world.runner, live_migrate(UUID, "beta", options=FAST), 24, Interference.CRASH_AFTER)
    world.cloud.fail_host("alpha")
    with pytest.raises(DriverError):
        world.run(recover(UUID, now=True))
    assert world.migration().status is MigrationStatus.RUNNING
    world.run(recover(UUID, now=True, give_up=True))
    assert world.instance().vm_state is VMState.ERROR
    assert world.cloud.running(UUID) == []
    assert {a.host for a in world.store.find(Allocation, consumer=UUID)} >= {"alpha"}
