"""The live-migration flow on simulated hosts: every end it can have, and what is refused."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest
from attrs import evolve

from flow_world import FAST, HOPELESS, MIB, SLOW, UUID, World, host
from novastate.convergence import FixedPolicy, ForecastPolicy, NovaPolicy
from novastate.drivers import Fault
from novastate.errors import (
    ActionNotAllowed,
    ClaimFailed,
    ConvergenceError,
    DriverError,
    DriverTimeout,
    GuestNotFound,
    InstanceLocked,
    InvalidField,
    InvalidLocalStorage,
    InvalidSharedStorage,
    MaxRetriesExceeded,
    MigrationPreCheckError,
    NoActiveMigration,
    NotFound,
    NoValidHost,
    StaleState,
    UnableToMigrateToSelf,
)
from novastate.flows import (
    LiveMigrationOptions,
    Notify,
    Save,
    abort_live_migration,
    force_complete_live_migration,
    live_migrate,
    recover,
)
from novastate.flows.live_migration_monitor import ABORT, inbox, kept
from novastate.flows.live_migration_options import of_json
from novastate.machines import MigrationStatus, PowerState, TaskMachine, TaskState, VMState
from novastate.objects import Allocation, Migration
from novastate.store import Put
from novastate.testing.explore import Crash, Interference, interfere


def act_during(world, event, act):
    """Makes *act* happen once, when *event* is heard for the first time."""
    done = []

    def listener(name, payload):
        if name == event and not done:
            done.append(name)
            act()

    world.listeners.append(listener)
    return done


def test_a_guest_moves_and_the_record_follows(world):
    world.boot()
    migration = world.run(live_migrate(UUID, "beta", options=FAST))
    assert migration.status is MigrationStatus.COMPLETED
    assert (migration.source_compute, migration.dest_compute) == ("alpha", "beta")
    assert world.instance().host == "beta"
    assert world.instance().vm_state is VMState.ACTIVE
    assert world.statuses() == ["accepted", "queued", "preparing", "running", "completed"]
    assert world.tasks()[-2:] == ["migrating", None] or world.tasks()[-2:] == ["migrating", "idle"]
    world.check_laws()


def test_progress_is_saved_while_it_runs_and_reset_at_the_end(world):
    world.boot()
    seen = []
    world.listeners.append(lambda *_: seen.append(world.instance().progress or 0))
    world.run(live_migrate(UUID, "beta", options=evolve(FAST, save_every=0.5)))
    assert max(seen) > 0
    assert world.instance().progress == 0
    assert world.migration().memory_total >= 256 * MIB
    assert world.migration().memory_processed > 0


def test_without_a_host_the_best_one_is_chosen_and_never_the_source(world):
    world.boot()
    world.boot("99999999-2222-3333-4444-555555555555", on="beta", memory_mb=1024)
    assert world.run(live_migrate(UUID, options=FAST)).dest_compute == "gamma"
    world.check_laws()


@pytest.mark.parametrize("state", ["stopped", "error"])
def test_a_guard_that_refuses_records_nothing(world, state):
    server = world.boot()
    from novastate.machines import VMMachine

    (VMMachine.stop if state == "stopped" else VMMachine.fail)(server)
    world.store.commit(Put(server))
    lines = world.store.history(UUID)
    with pytest.raises(ActionNotAllowed) as refused:
        world.run(live_migrate(UUID, "beta"))
    assert refused.value.attribute == "vm_state"
    assert world.store.history(UUID) == lines
    assert world.store.find(Migration, instance_uuid=UUID) == []


def test_a_locked_server_moves_for_an_admin_only(world):
    server = world.boot()
    server.locked = True
    world.store.commit(Put(server))
    with pytest.raises(InstanceLocked):
        world.run(live_migrate(UUID, "beta"))
    assert world.run(live_migrate(UUID, "beta", options=FAST, admin=True)).status is MigrationStatus.COMPLETED


def test_the_source_is_no_destination(world):
    world.boot()
    lines = world.store.history(UUID)
    with pytest.raises(UnableToMigrateToSelf):
        world.run(live_migrate(UUID, "alpha"))
    assert world.store.history(UUID) == lines
    world.check_laws()


def test_an_unknown_destination_records_nothing(world):
    world.boot()
    with pytest.raises(NotFound):
        world.run(live_migrate(UUID, "omega"))
    assert world.store.find(Migration, instance_uuid=UUID) == []
    world.check_laws()


def test_the_second_of_two_migrations_is_refused(world):
    world.boot()
    refused = []

    def again():
        with pytest.raises(ActionNotAllowed) as error:
            world.run(live_migrate(UUID, "gamma"))
        refused.append(error.value.attribute)

    act_during(world, "live_migration.progress", again)
    assert world.run(live_migrate(UUID, "beta", options=FAST)).dest_compute == "beta"
    assert refused == ["task_state"]
    world.check_laws()


def test_a_failed_precheck_is_followed_by_the_next_candidate():
    world = World(faults=[Fault(host="beta", method="check_can_live_migrate_destination", error="CPU does not match")])
    world.boot()
    migration = world.run(live_migrate(UUID, options=FAST))
    assert (migration.status, migration.dest_compute) == (MigrationStatus.COMPLETED, "gamma")
    assert world.heard("live_migration.refused")[0]["host"] == "beta"
    world.check_laws()


def test_retries_end_at_the_limit():
    world = World(faults=[Fault(method="check_can_live_migrate_destination", nth=n, error="no") for n in (1, 2)])
    world.boot()
    with pytest.raises(MaxRetriesExceeded) as error:
        world.run(live_migrate(UUID, options=evolve(FAST, max_retries=0)))
    assert set(error.value.reasons) == {"beta"}
    assert world.statuses() == ["accepted", "failed"]
    world.check_laws()


def test_with_every_candidate_refusing_there_is_no_valid_host():
    world = World(faults=[Fault(method="check_can_live_migrate_destination", nth=n, error="no") for n in (1, 2)])
    world.boot()
    with pytest.raises(NoValidHost) as error:
        world.run(live_migrate(UUID, options=FAST))
    assert set(error.value.reasons) == {"alpha", "beta", "gamma"}
    world.check_laws()


def test_a_given_host_is_not_replaced_by_another():
    world = World(faults=[Fault(host="beta", method="check_can_live_migrate_destination", error="no")])
    world.boot()
    with pytest.raises(DriverError, match="no"):
        world.run(live_migrate(UUID, "beta", options=FAST))
    assert world.statuses() == ["accepted", "failed"]
    world.check_laws()


def test_an_older_hypervisor_is_refused():
    world = World([host("alpha"), host("beta", version=8000000)])
    world.boot()
    with pytest.raises(MigrationPreCheckError, match="older"):
        world.run(live_migrate(UUID, "beta", options=FAST))
    world.check_laws()


def test_a_host_without_room_is_refused_and_nothing_is_held():
    world = World([host("alpha"), host("beta", memory_mb=128)])
    world.boot()
    with pytest.raises(ClaimFailed) as error:
        world.run(live_migrate(UUID, "beta", options=FAST))
    assert (error.value.host, error.value.resource) == ("beta", "MEMORY_MB")
    world.check_laws()


STORAGE = [
    ("pool", True, InvalidLocalStorage),
    ("pool", False, None),
    ("pool", None, None),
    ("", True, None),
    ("", False, InvalidSharedStorage),
    ("", None, None),
]


@pytest.mark.parametrize(("storage", "block_migration", "refusal"), STORAGE)
def test_the_storage_matrix(storage, block_migration, refusal):
    world = World([host("alpha", storage=storage), host("beta", storage=storage)])
    world.boot()
    flow = live_migrate(UUID, "beta", block_migration=block_migration, options=FAST)
    if refusal:
        with pytest.raises(refusal):
            world.run(flow)
        assert world.statuses() == ["accepted", "failed"]
    else:
        assert world.run(flow).status is MigrationStatus.COMPLETED
    world.check_laws()


def test_a_hopeless_guest_is_aborted_at_the_completion_timeout():
    world = World(law=HOPELESS)
    world.boot()
    options = evolve(SLOW, policy=NovaPolicy(downtime=100, completion_timeout=30))
    migration = world.run(live_migrate(UUID, "beta", options=options))
    assert migration.status is MigrationStatus.CANCELLED
    assert len(world.heard("live_migration.abort")) == 1
    assert world.instance().host == "alpha"
    world.check_laws()


def test_a_hopeless_guest_is_forced_by_post_copy_where_it_is_permitted():
    world = World(law=HOPELESS)
    world.boot()
    options = evolve(
        SLOW,
        params=evolve(SLOW.params, post_copy=True),
        policy=NovaPolicy(downtime=100, completion_timeout=30, timeout_action="force_complete"),
    )
    migration = world.run(live_migrate(UUID, "beta", options=options))
    assert migration.status is MigrationStatus.COMPLETED
    assert "running (post-copy)" in world.statuses()
    world.check_laws()


def test_a_hopeless_guest_is_forced_by_a_pause_where_post_copy_is_not_permitted():
    world = World(law=HOPELESS)
    world.boot()
    options = evolve(SLOW, policy=NovaPolicy(downtime=100, completion_timeout=30, timeout_action="force_complete"))
    migration = world.run(live_migrate(UUID, "beta", options=options))
    assert migration.status is MigrationStatus.COMPLETED
    world.check_laws()


def test_a_user_aborts_a_running_migration():
    world = World(law=HOPELESS)
    world.boot()
    act_during(world, "live_migration.progress", lambda: world.run(abort_live_migration(UUID)))
    assert world.run(live_migrate(UUID, "beta", options=SLOW)).status is MigrationStatus.CANCELLED
    assert world.instance().host == "alpha"
    world.check_laws()


def test_a_user_forces_a_running_migration():
    world = World(law=HOPELESS)
    world.boot()
    act_during(world, "live_migration.progress", lambda: world.run(force_complete_live_migration(UUID)))
    options = evolve(SLOW, params=evolve(SLOW.params, post_copy=True))
    assert world.run(live_migrate(UUID, "beta", options=options)).status is MigrationStatus.COMPLETED
    world.check_laws()


@pytest.mark.parametrize("request_flow", [abort_live_migration, force_complete_live_migration])
def test_a_request_without_a_migration_is_refused(world, request_flow):
    world.boot()
    with pytest.raises((ActionNotAllowed, NoActiveMigration)):
        world.run(request_flow(UUID))


def test_a_late_request_does_not_reach_the_next_migration(world):
    world.boot()
    first = world.run(live_migrate(UUID, "beta", options=FAST))
    world.store.post(inbox(first.uuid), ABORT)
    assert world.run(live_migrate(UUID, "alpha", options=FAST)).status is MigrationStatus.COMPLETED


def test_an_abort_is_not_possible_after_post_copy_began():
    world = World(law=HOPELESS)
    world.boot()
    refusals = []

    def abort():
        if world.migration().status is MigrationStatus.RUNNING_POST_COPY:
            with pytest.raises(NoActiveMigration) as error:
                world.run(abort_live_migration(UUID))
            refusals.append(error.value.status)

    world.listeners.append(lambda name, _: abort() if name == "live_migration.progress" else None)
    act_during(world, "live_migration.progress", lambda: world.run(force_complete_live_migration(UUID)))
    options = evolve(SLOW, params=evolve(SLOW.params, post_copy=True), save_every=0.1, poll=0.1)
    assert world.run(live_migrate(UUID, "beta", options=options)).status is MigrationStatus.COMPLETED
    assert set(refusals) <= {MigrationStatus.RUNNING_POST_COPY}
    world.check_laws()


def test_a_failing_preparation_is_rolled_back():
    world = World(faults=[Fault(host="beta", method="pre_live_migration", error="cannot plug the network")])
    world.boot()
    with pytest.raises(DriverError, match="plug"):
        world.run(live_migrate(UUID, "beta", options=FAST))
    assert world.statuses() == ["accepted", "queued", "preparing", "failed"]
    assert world.instance().vm_state is VMState.ACTIVE
    world.check_laws()


def test_a_job_that_fails_is_rolled_back():
    world = World(faults=[Fault(method="job", at=1.0, kind="fail")])
    world.boot()
    assert world.run(live_migrate(UUID, "beta", options=FAST)).status is MigrationStatus.FAILED
    assert world.statuses()[-2:] == ["running", "failed"]
    world.check_laws()


def test_a_paused_guest_moves_and_stays_paused(world):
    server = world.boot()
    world.cloud.drivers["alpha"].pause(UUID)
    from novastate.machines import VMMachine

    VMMachine.pause(server)
    server.power_state = PowerState.PAUSED
    world.store.commit(Put(server))
    options = evolve(FAST, params=evolve(FAST.params, post_copy=True))
    assert world.run(live_migrate(UUID, "beta", options=options)).status is MigrationStatus.COMPLETED
    assert world.instance().vm_state is VMState.PAUSED
    assert world.instance().power_state is PowerState.PAUSED
    assert world.cloud.drivers["beta"].get_info(UUID).power_state is PowerState.PAUSED


def test_a_rename_meanwhile_is_kept(world):
    world.boot()

    def rename():
        server = world.instance()
        server.display_name = "renamed"
        world.store.commit(Put(server))

    act_during(world, "live_migration.progress", rename)
    assert world.run(live_migrate(UUID, "beta", options=FAST)).status is MigrationStatus.COMPLETED
    assert world.instance().display_name == "renamed"
    assert world.instance().host == "beta"
    world.check_laws()


def test_the_loser_leaves_the_task_to_the_winner(world):
    """Somebody resets the task in the middle: the flow undoes its work, says who won, and touches no task."""
    world.boot()

    def delete():
        server = world.instance()
        TaskMachine.delete(server)
        world.store.commit(Put(server))

    act_during(world, "live_migration.progress", delete)
    with pytest.raises(StaleState) as lost:
        world.run(live_migrate(UUID, "beta", options=FAST))
    assert lost.value.found["task_state"] is TaskState.DELETING
    assert world.instance().task_state is TaskState.DELETING
    assert world.instance().host == world.cloud.running(UUID)[0]
    assert world.migration().status in {MigrationStatus.COMPLETED, MigrationStatus.FAILED}
    world.check_laws(settled=False)


def test_a_flow_is_data_all_the_way(world):
    """Every effect of a migration can be printed; none of them shows a secret."""
    server = world.boot()
    server.user_data = "s3cret"
    world.store.commit(Put(server))
    seen = []
    perform = world.runner.perform
    world.runner.perform = lambda effect: (seen.append(effect), perform(effect))[1]
    assert world.run(live_migrate(UUID, "beta", options=FAST)).status is MigrationStatus.COMPLETED
    assert {Save, Notify} <= {type(effect) for effect in seen}
    assert "s3cret" not in "".join(map(repr, seen))


@pytest.mark.parametrize("place", range(12, 24))
def test_taken_over_before_the_job_began_the_work_is_undone(place):
    """Whenever the winner comes, the migration ends, its claim is given back, and the task stays the winner's."""
    world = World()
    world.boot()
    seen = []
    perform = world.runner.perform

    def steal(effect):
        seen.append(effect)
        if len(seen) == place:
            server = world.instance()
            if server.task_state is TaskState.MIGRATING:
                TaskMachine.delete(server)
                world.store.commit(Put(server))
        return perform(effect)

    world.runner.perform = steal
    with pytest.raises(StaleState):
        world.run(live_migrate(UUID, "beta", options=FAST))
    assert world.instance().task_state is TaskState.DELETING
    assert world.migration().status in {MigrationStatus.FAILED, MigrationStatus.COMPLETED}
    assert [a.host for a in world.store.find(Allocation, consumer=UUID)] == [world.instance().host]
    world.check_laws(settled=False)


def test_an_abort_that_the_source_did_not_hear_is_asked_for_again():
    world = World(law=HOPELESS, faults=[Fault(method="live_migration_abort", nth=1, error="the line is busy")])
    world.boot()
    act_during(world, "live_migration.progress", lambda: world.run(abort_live_migration(UUID)))
    assert world.run(live_migrate(UUID, "beta", options=SLOW)).status is MigrationStatus.CANCELLED
    world.check_laws()


@pytest.mark.parametrize("value", ["false", 1, 0, [], "yes"])
def test_block_migration_is_yes_no_or_auto(world, value):
    world.boot()
    with pytest.raises(InvalidField) as error:
        world.run(live_migrate(UUID, "beta", block_migration=value))
    assert error.value.field == "block_migration"
    assert world.store.find(Migration, instance_uuid=UUID) == []
    world.check_laws()


def test_block_migration_auto_is_to_find_out(world):
    world.boot()
    assert (
        world.run(live_migrate(UUID, "beta", block_migration="auto", options=FAST)).status is MigrationStatus.COMPLETED
    )


@pytest.mark.parametrize(
    "wrong",
    [dict(poll=0), dict(poll=float("nan")), dict(poll=-1), dict(save_every=-1), dict(deadline=float("inf")), dict(max_retries=-2),
     dict(params=None), dict(policy=None)],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(wrong):
    with pytest.raises(InvalidField) as error:
        LiveMigrationOptions(**wrong)
    assert error.value.field in wrong


@pytest.mark.parametrize(
    "method",
    ["host_state", "live_migration_source", "get_info", "check_can_live_migrate_destination", "check_can_live_migrate_source", "pre_live_migration",
     "live_migration", "live_migration_job"],
)  # fmt: skip
def test_a_driver_with_a_bug_leaves_nothing_half_done(world, method):
    world.boot()
    calls = []

    class Broken:
        def __init__(self, driver):
            self._driver = driver

        def __getattr__(self, name):
            if name == method and not calls:
                calls.append(name)
                raise RuntimeError("a bug")
            return getattr(self._driver, name)

    world.runner.drivers = {name: Broken(driver) for name, driver in world.runner.drivers.items()}
    with pytest.raises(RuntimeError, match="a bug"):
        world.run(live_migrate(UUID, "beta", options=FAST))
    assert calls == [method]
    assert world.instance().vm_state is VMState.ACTIVE
    world.check_laws()


@pytest.mark.parametrize("recovering", [False, True])
def test_a_source_that_has_the_guest_no_more_is_not_waited_for(world, recovering):
    """Both hosts are asked at once: the source has answered."""
    world.boot()
    drivers = world.runner.drivers

    class Forgetful:
        def __init__(self, driver):
            self._driver, self._looks = driver, 0

        def __getattr__(self, name):
            return getattr(self._driver, name)

        def live_migration_job(self, uuid):
            self._looks += 1
            if self._looks > 3:
                world.clock.sleep(30)  # it completes meanwhile
                self._driver.live_migration_job(uuid)
                raise GuestNotFound(f"there is no guest {uuid}", host="alpha")
            return self._driver.live_migration_job(uuid)

    world.runner.drivers = {name: Forgetful(driver) for name, driver in drivers.items()}
    began = world.clock.now()
    flow = live_migrate(UUID, "beta", options=FAST)
    if recovering:
        interfere(world.runner, flow, 24, Interference.CRASH_AFTER)
        assert world.migration().status is MigrationStatus.RUNNING
        world.run(recover(UUID, now=True))
    else:
        world.run(flow)
    assert world.migration().status is MigrationStatus.COMPLETED
    assert world.clock.now() - began < 45
    world.check_laws()


@pytest.mark.parametrize("deaf", ["to looks", "to the abort"])
def test_the_time_that_looks_take_is_counted(deaf):
    """A source that was stopped answers no look, or does not end what it was told to end; each look takes half a minute."""
    world = World(law=HOPELESS)
    world.boot()
    looks = []

    class Stopped:
        def __init__(self, driver):
            self._driver = driver

        def __getattr__(self, name):
            return getattr(self._driver, name)

        def live_migration_job(self, uuid):
            looks.append(world.clock.now())
            if deaf == "to looks":
                world.clock.sleep(30)
                raise DriverTimeout("no answer", host="alpha")
            found = self._driver.live_migration_job(uuid)
            world.clock.sleep(30)
            return found

        def live_migration_abort(self, uuid):
            if len(looks) > 8:
                self._driver.live_migration_abort(uuid)

    world.runner.drivers = {name: Stopped(driver) for name, driver in world.runner.drivers.items()}
    if deaf == "to the abort":
        act_during(world, "live_migration.progress", lambda: world.run(abort_live_migration(UUID)))
    flow = live_migrate(UUID, "beta", options=evolve(SLOW, policy=NovaPolicy(completion_timeout=0)))
    with suppress(DriverError):
        world.run(flow)
    assert looks[-1] - looks[0] < (60 if deaf == "to looks" else 150)


def test_a_job_that_begins_only_after_its_driver_died_is_seen(world):
    """The request was on its way to the hypervisor when the process was killed."""
    world.boot()
    sent = []

    class Slow:
        def __init__(self, driver):
            self._driver = driver

        def __getattr__(self, name):
            return getattr(self._driver, name)

        def live_migration(self, *args):
            sent.append(args)
            raise Crash

        def live_migration_job(self, uuid):
            found = self._driver.live_migration_job(uuid)
            if len(sent) == 1:
                self._driver.live_migration(*sent[0])
                sent.append("taken")
            return found

    world.runner.drivers = {name: Slow(driver) for name, driver in world.runner.drivers.items()}
    flow, effect = live_migrate(UUID, "beta", options=FAST), None
    while not sent:
        with suppress(Crash):
            effect = flow.send(None if effect is None else world.runner.perform(effect))
    assert world.migration().status is MigrationStatus.RUNNING
    world.run(recover(UUID, now=True))
    assert world.migration().status is MigrationStatus.COMPLETED
    world.check_laws()


def test_a_policy_with_a_bug_leaves_nothing_half_done(world):
    world.boot()

    class Broken:
        def decide(self, outlook):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        world.run(live_migrate(UUID, "beta", options=evolve(FAST, policy=Broken())))
    assert world.migration().status is MigrationStatus.FAILED
    world.check_laws()


# --- the forecast, and what is kept


def test_a_forecast_is_made_before_it_starts_and_kept_with_the_final_statistics(world):
    world.boot()
    migration = world.run(live_migrate(UUID, "beta", options=FAST))
    events = [name for name, _ in world.events]
    assert events.index("live_migration.forecast") < events.index("live_migration.progress")
    (told,) = world.heard("live_migration.forecast")
    assert (told["instance"], told["migration"], told["destination"]) == (UUID, migration.uuid, "beta")
    _, document = world.store.get_document(kept(migration.uuid))
    assert document["forecast"]["forecast"] == told["forecast"].as_json()
    assert document["forecast"]["forecast"]["verdict"] == "converges"
    (end,) = world.heard("live_migration.stats")
    assert document["stats"]["elapsed"] == end["stats"].elapsed
    assert document["stats"]["type"] == "completed"
    assert told["forecast"].total == pytest.approx(end["stats"].elapsed, rel=0.2)


def test_the_forecast_knows_when_the_policy_gives_up():
    world = World(law=HOPELESS)
    world.boot()
    world.run(live_migrate(UUID, "beta", options=evolve(SLOW, policy=FixedPolicy(timeout=7))))
    assert world.heard("live_migration.forecast")[0]["forecast"].limits.timeout == 7


def test_the_disk_that_is_copied_is_told_beside_the_forecast():
    world = World(hosts=[host(name, storage="") for name in ("alpha", "beta")])
    world.boot()
    world.run(live_migrate(UUID, "beta", options=FAST))
    (told,) = world.heard("live_migration.forecast")
    assert told["disk_bytes"] == world.heard("live_migration.stats")[0]["stats"].disk_total > 0
    assert told["disk_s"] == pytest.approx(told["disk_bytes"] / FAST.params.bandwidth)


def test_a_guest_that_cannot_be_measured_moves_all_the_same():
    world = World(faults=[Fault(method="measure", error="no counters")])
    world.boot()
    migration = world.run(live_migrate(UUID, "beta", options=FAST))
    assert migration.status is MigrationStatus.COMPLETED
    (told,) = world.heard("live_migration.forecast")
    assert told["forecast"] is None
    assert "no counters" in told["reason"]
    assert "no counters" in world.store.get_document(kept(migration.uuid))[1]["forecast"]["reason"]
    world.check_laws()


def test_a_forecast_with_a_bug_keeps_nothing_from_moving(world):
    world.boot()

    class Broken:
        def __init__(self, driver):
            self._driver = driver

        def __getattr__(self, name):
            if name == "forecast":
                raise KeyError("a bug")
            return getattr(self._driver, name)

    world.runner.drivers = {name: Broken(driver) for name, driver in world.runner.drivers.items()}
    assert world.run(live_migrate(UUID, "beta", options=FAST)).status is MigrationStatus.COMPLETED
    (told,) = world.heard("live_migration.forecast")
    assert (told["forecast"], "a bug" in told["reason"]) == (None, True)
    world.check_laws()


# --- post-copy that loses its link


def post_copy_is_cut(seconds):
    """A world in which post-copy loses its link 8 s after the job began, and the options that bring it to post-copy."""
    world = World(
        law=HOPELESS,
        hosts=[host(name, line_rate=16e6) for name in ("alpha", "beta")],
        faults=[Fault(method="job", at=8.0, kind="cut", seconds=seconds)],
    )
    world.boot()
    policy = NovaPolicy(downtime=100, completion_timeout=3, timeout_action="force_complete")
    return world, evolve(SLOW, params=evolve(SLOW.params, post_copy=True), policy=policy)


def test_post_copy_goes_on_when_the_link_is_back():
    world, options = post_copy_is_cut(5)
    migration = world.run(live_migrate(UUID, "beta", options=options))
    assert migration.status is MigrationStatus.COMPLETED
    assert "running (post-copy)" in world.statuses()
    world.check_laws()


def test_both_halves_are_kept_while_the_link_is_gone():
    world, options = post_copy_is_cut(200)
    with pytest.raises(DriverError, match="half of its memory"):
        world.run(live_migrate(UUID, "beta", options=options))
    assert world.migration().status is MigrationStatus.RUNNING_POST_COPY
    halves = [
        (guest.incoming, guest.outgoing)
        for name in ("alpha", "beta")
        for guest in world.cloud.drivers[name].list_guests()
    ]
    assert halves == [(False, True), (True, False)]
    with pytest.raises(DriverError):
        world.cloud.drivers["alpha"].unpause(UUID)
    assert world.cloud.running(UUID) == []
    world.clock.sleep(200)
    assert world.run(recover(UUID, now=True)).what == "its live migration is completed"
    assert world.cloud.running(UUID) == ["beta"]
    world.check_laws()


def test_giving_up_on_post_copy_destroys_neither_half():
    world, options = post_copy_is_cut(1e9)
    with pytest.raises(DriverError):
        world.run(live_migrate(UUID, "beta", options=options))
    with pytest.raises(DriverError):
        world.run(recover(UUID, now=True))
    world.run(recover(UUID, now=True, give_up=True))
    assert (world.instance().vm_state, world.migration().status) == (VMState.ERROR, MigrationStatus.ERROR)
    assert len(world.store.find(Allocation, consumer=UUID)) == 2
    assert [len(driver.list_guests()) for driver in world.cloud.drivers.values()] == [1, 1]
    assert world.cloud.violations == []


def test_no_migration_outlives_its_deadline():
    world = World(law=HOPELESS)
    world.boot()
    options = evolve(SLOW, policy=NovaPolicy(completion_timeout=0), deadline=120.0)
    assert world.run(live_migrate(UUID, "beta", options=options)).status is MigrationStatus.CANCELLED
    assert "deadline" in world.heard("live_migration.abort")[0]["reason"]
    world.check_laws()


# --- a policy that acts on what is foreseen


def foreseeing(budget, *, law=HOPELESS, **params):
    world = World(law=law)
    world.boot()
    options = evolve(SLOW, policy=budget, params=evolve(SLOW.params, **params))
    ended = world.run(live_migrate(UUID, "beta", options=options))
    world.check_laws()
    return world, ended


def test_what_never_converges_is_given_up_early_and_not_at_its_latest_end():
    world, ended = foreseeing(ForecastPolicy(longest_pause=0.05, latest_end=600))
    assert ended.status is MigrationStatus.CANCELLED
    (abort,) = world.heard("live_migration.abort")
    assert abort["reason"].startswith("it does not converge")
    assert world.heard("live_migration.progress")[-1]["stats"].elapsed < 60


def test_the_downtime_limit_is_raised_once_to_what_is_needed():
    world, ended = foreseeing(ForecastPolicy(longest_pause=0.5), law="uniform wss=24MiB rate=40MiB/s", downtime=30)
    limits = {seen["downtime_ms"] for seen in world.heard("live_migration.progress")}
    assert ended.status is MigrationStatus.COMPLETED
    assert len(limits) == 2
    assert world.heard("live_migration.stats")[0]["stats"].downtime <= 0.5


def test_it_switches_to_post_copy_where_it_may():
    world, ended = foreseeing(ForecastPolicy(longest_pause=0.05, post_copy=True), post_copy=True)
    assert ended.status is MigrationStatus.COMPLETED
    assert "switches to post-copy" in world.heard("live_migration.force-complete")[0]["reason"]


def test_without_a_forecast_it_says_so_once_and_the_limit_rises_in_steps(monkeypatch):
    def unmeasured(*_):
        raise ConvergenceError("rates", (), "must be there")
        yield

    monkeypatch.setattr(sys.modules["novastate.flows.live_migrate"], "expectation", unmeasured)
    law = "uniform wss=24MiB rate=40MiB/s"
    world, ended = foreseeing(ForecastPolicy(longest_pause=2.0, latest_end=900), law=law, downtime=30)
    assert ended.status is MigrationStatus.COMPLETED
    limits = [seen["downtime_ms"] for seen in world.heard("live_migration.progress")]
    assert limits == sorted(limits)
    assert 30 < limits[0] < limits[-1] < 2000
    (said,) = world.heard("live_migration.unforeseen")
    assert "no forecast" in said["reason"]


def test_looks_that_nothing_can_be_foreseen_of_are_told_once(monkeypatch):
    def refuse(*_, **__):
        raise ConvergenceError("stats.constant", 1, "must not fall")

    monkeypatch.setattr("novastate.convergence.online.watch.Watch.observe", refuse)
    world, ended = foreseeing(ForecastPolicy(longest_pause=0.05, latest_end=60))
    assert ended.status is MigrationStatus.CANCELLED
    (said,) = world.heard("live_migration.unforeseen")
    assert "stats.constant" in said["reason"]


def test_a_budget_is_kept_for_whoever_has_to_go_on_with_it(world):
    world.boot()
    budget = ForecastPolicy(longest_pause=0.2, latest_end=90, otherwise="wait")
    migration = world.run(live_migrate(UUID, "beta", options=evolve(FAST, policy=budget)))
    _, document = world.store.get_document(kept(migration.uuid))
    assert of_json(document["options"])[0].policy == budget
