"""The power flows: what each asks of the hypervisor, what it leaves, what it refuses, and what a failure leaves."""

from __future__ import annotations

import pytest

from flow_world import UUID, World
from novastate import flows
from novastate.drivers import Fault, Lifecycle
from novastate.errors import (
    ActionNotAllowed,
    DriverError,
    InstanceLocked,
    InstanceNotReady,
    InvalidField,
    NotSupported,
    StaleState,
)
from novastate.flows import Call, Claim, Save, delete, force_stop, pause, reboot, recover, resume, start, stop, suspend
from novastate.flows.power import GRACE
from novastate.machines import PowerState, TaskMachine, TaskState, VMMachine, VMState
from novastate.objects import Allocation, Instance, RequestSpec
from novastate.store import Put

LOST = "lose_reply"


@pytest.fixture
def calls(world, monkeypatch):
    """The driver calls of flows that run in *world* from now on."""
    return listen(world)


def listen(world):
    made, perform = [], world.runner.perform

    def heard(effect):
        if isinstance(effect, Call):
            made.append(effect.method)
        return perform(effect)

    world.runner.perform = heard
    return made


def put(world, **fields):
    """The record with other values, by way of another client's save."""
    server = world.instance()
    for name, value in fields.items():
        setattr(server, name, value)
    world.store.commit(Put(server))


def guest(world, host="alpha"):
    return world.cloud.drivers[host].get_info(UUID).power_state


WALK = [
    (lambda: pause(UUID), VMState.PAUSED, PowerState.PAUSED, ["pausing", None]),
    (lambda: flows.unpause(UUID), VMState.ACTIVE, PowerState.RUNNING, ["unpausing", None]),
    (lambda: suspend(UUID), VMState.SUSPENDED, PowerState.SUSPENDED, ["suspending", None]),
    (lambda: resume(UUID), VMState.ACTIVE, PowerState.RUNNING, ["resuming", None]),
    (lambda: stop(UUID), VMState.STOPPED, PowerState.SHUTDOWN, ["powering-off", None]),
    (lambda: start(UUID), VMState.ACTIVE, PowerState.RUNNING, ["powering-on", None]),
    (
        lambda: reboot(UUID),
        VMState.ACTIVE,
        PowerState.RUNNING,
        ["rebooting", "reboot_pending", "reboot_started", None],
    ),
    (
        lambda: reboot(UUID, hard=True),
        VMState.ACTIVE,
        PowerState.RUNNING,
        ["rebooting_hard", "reboot_pending_hard", "reboot_started_hard", None],
    ),
]


def test_each_action_takes_nova_s_tasks_and_ends_as_the_hypervisor_says(world):
    world.boot()
    for flow, vm_state, power, tasks in WALK:
        before = len(world.tasks())
        server = world.run(flow())
        assert (server.vm_state, server.power_state, server.task_state) == (vm_state, power, TaskState.IDLE)
        assert world.tasks()[before:] == tasks
        assert guest(world) is power
        world.check_laws()
    assert {name.partition(".")[2] for name, _ in world.events} == {"start", "end"} | {"end"}


def test_a_hard_reboot_leads_out_of_paused_suspended_stopped_and_error(world):
    world.boot()
    for flow in (pause, suspend, stop):
        world.run(flow(UUID))
        assert world.run(reboot(UUID, hard=True)).vm_state is VMState.ACTIVE
        world.check_laws()
    put(world, vm_state=VMState.ERROR)
    assert world.run(reboot(UUID, hard=True)).vm_state is VMState.ACTIVE
    assert guest(world) is PowerState.RUNNING


def test_a_hard_reboot_takes_over_a_task_that_hangs(world):
    server = world.boot()
    TaskMachine.pause(server)
    world.store.commit(Put(server))
    assert world.run(reboot(UUID, hard=True)).task_state is TaskState.IDLE


# --- stop


def test_a_clean_stop_asks_the_guest_and_does_not_wait_longer_than_it_takes(world, calls):
    world.boot()
    calls.clear()
    before = world.clock.now()
    world.run(stop(UUID))
    assert calls.count("shutdown") == 1
    assert world.clock.now() - before < 2


def test_a_deaf_guest_is_asked_again_and_switched_off_when_the_grace_is_over():
    world = World(faults=[Fault(method="shutdown", nth=n, kind="ignore") for n in range(1, 20)])
    world.boot()
    calls, before = listen(world), world.clock.now()
    server = world.run(stop(UUID, grace=25))
    assert server.vm_state is VMState.STOPPED
    assert calls.count("shutdown") == 3
    assert 25 <= world.clock.now() - before < 26
    world.check_laws()


def test_a_guest_that_cannot_be_asked_is_switched_off_at_once():
    world = World(faults=[Fault(method="shutdown", error="no ACPI")])
    world.boot()
    before = world.clock.now()
    assert world.run(stop(UUID)).power_state is PowerState.SHUTDOWN
    assert world.clock.now() - before < 2


def test_a_stop_that_is_not_clean_asks_nobody(world, calls):
    world.boot()
    calls.clear()
    world.run(stop(UUID, clean=False))
    assert calls == ["power_off", "get_info"]
    world.check_laws()


def test_a_stop_by_force_needs_no_permission_of_state_or_lock(world):
    """Power sync asks for it where a guest runs that should be off."""
    world.boot()
    world.run(stop(UUID))
    world.cloud.drivers["alpha"].power_on(UUID)
    put(world, locked=True, power_state=PowerState.RUNNING)
    server = world.run(force_stop(UUID))
    assert (server.vm_state, server.power_state) == (VMState.STOPPED, PowerState.SHUTDOWN)
    assert guest(world) is PowerState.SHUTDOWN


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), 1e6, "60", True])
def test_a_grace_that_is_no_time_is_refused(grace):
    with pytest.raises(InvalidField, match="grace"):
        stop(UUID, grace=grace)


# --- what is refused changes nothing (L4)


@pytest.mark.parametrize(
    ("fields", "flow", "error"),
    [
        ({"vm_state": VMState.PAUSED}, pause, ActionNotAllowed),
        ({"vm_state": VMState.SUSPENDED}, start, ActionNotAllowed),
        ({"vm_state": VMState.ERROR}, resume, ActionNotAllowed),
        ({"task_state": TaskState.PAUSING}, stop, ActionNotAllowed),
        ({"task_state": TaskState.PAUSING}, force_stop, ActionNotAllowed),
        ({"vm_state": VMState.SUSPENDED}, force_stop, ActionNotAllowed),
        ({"locked": True}, suspend, InstanceLocked),
        ({"launched_at": None}, reboot, InstanceNotReady),
        ({"host": None}, pause, InstanceNotReady),
        ({"vm_state": VMState.DELETED}, delete, ActionNotAllowed),
        ({"locked": True}, delete, InstanceLocked),
    ],
)
def test_what_is_refused_changes_nothing_and_asks_no_host(world, calls, fields, flow, error):
    world.boot()
    put(world, **fields)
    calls.clear()
    lines = world.store.history(UUID)
    with pytest.raises(error):
        world.run(flow(UUID))
    assert world.store.history(UUID) == lines
    assert calls == []


def test_an_administrator_passes_the_lock(world):
    world.boot()
    put(world, locked=True)
    assert world.run(pause(UUID, admin=True)).vm_state is VMState.PAUSED


def test_a_resized_instance_is_not_deleted(world, calls):
    world.boot()
    put(world, vm_state=VMState.RESIZED)
    calls.clear()
    with pytest.raises(NotSupported, match="resize"):
        world.run(delete(UUID))
    assert (calls, world.instance().task_state) == ([], TaskState.IDLE)


# --- failures


@pytest.mark.parametrize(
    ("flow", "method", "vm_state"),
    [
        (pause, "pause", VMState.ACTIVE),
        (stop, "power_off", VMState.ACTIVE),
        (suspend, "suspend", VMState.ERROR),
    ],
)
def test_a_call_that_fails_reverts_the_task_and_leaves_what_nova_leaves(flow, method, vm_state):
    faults = [Fault(method=method, error="no"), *(Fault(method="shutdown", nth=n, kind="ignore") for n in range(1, 9))]
    world = World(faults=faults)
    world.boot()
    with pytest.raises(DriverError, match="no"):
        world.run(flow(UUID))
    server = world.instance()
    assert (server.vm_state, server.task_state, server.power_state) == (vm_state, TaskState.IDLE, PowerState.RUNNING)
    world.check_laws()


def test_a_start_that_fails_leaves_it_stopped_and_a_resume_that_fails_in_error():
    world = World(faults=[Fault(method=method, error="no") for method in ("power_on", "resume")])
    world.boot()
    world.run(stop(UUID))
    with pytest.raises(DriverError):
        world.run(start(UUID))
    assert world.instance().vm_state is VMState.STOPPED
    world.run(start(UUID))
    world.run(suspend(UUID))
    with pytest.raises(DriverError):
        world.run(resume(UUID))
    server = world.instance()
    assert (server.vm_state, server.power_state) == (VMState.ERROR, PowerState.SUSPENDED)


def test_what_the_driver_cannot_do_at_all_is_no_error_of_the_instance(world, monkeypatch):
    world.boot()

    def suspend_not(uuid):
        raise NotSupported("suspend", host="alpha")

    monkeypatch.setattr(world.cloud.drivers["alpha"], "suspend", suspend_not, raising=False)
    with pytest.raises(NotSupported):
        world.run(suspend(UUID))
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ACTIVE, TaskState.IDLE)


def test_a_guest_that_is_deaf_is_rebooted_all_the_same():
    world = World(faults=[Fault(method="shutdown", nth=n, kind="ignore") for n in range(1, 20)])
    world.boot()
    told = []
    world.cloud.drivers["alpha"].subscribe(lambda event: told.append(event.transition))
    began = world.clock.now()
    assert world.run(reboot(UUID)).vm_state is VMState.ACTIVE
    assert GRACE <= world.clock.now() - began < GRACE + 5
    assert told == [Lifecycle.STOPPED, Lifecycle.STARTED]
    world.check_laws()


def test_a_reboot_that_fails_while_the_guest_runs_leaves_it_active():
    world = World(faults=[Fault(method="get_info", error="no")])
    world.boot()
    with pytest.raises(DriverError, match="no"):
        world.run(reboot(UUID))
    assert world.heard("soft_reboot.error")
    world.check_laws()
    assert world.instance().vm_state is VMState.ACTIVE


def test_a_soft_reboot_of_a_guest_that_is_off_is_an_error_with_the_power_that_was_seen(world):
    world.boot()
    world.cloud.drivers["alpha"].power_off(UUID)
    with pytest.raises(DriverError, match="hard"):
        world.run(reboot(UUID))
    server = world.instance()
    assert (server.vm_state, server.task_state, server.power_state) == (
        VMState.ERROR,
        TaskState.IDLE,
        PowerState.SHUTDOWN,
    )


@pytest.mark.parametrize(("flow", "method"), [(pause, "pause"), (stop, "power_off"), (suspend, "suspend")])
def test_if_every_reply_is_lost_the_hypervisor_s_word_decides(flow, method):
    world = World(faults=[Fault(method=method, nth=n, kind=LOST) for n in range(1, 5)])
    world.boot()
    server = world.run(flow(UUID))
    assert server.vm_state not in {VMState.ACTIVE, VMState.ERROR}
    world.check_laws()


def test_a_driver_that_does_nothing_is_not_believed():
    world = World(faults=[Fault(method="pause", kind="ignore")])
    world.boot()
    with pytest.raises(DriverError, match="RUNNING"):
        world.run(pause(UUID))
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ACTIVE, TaskState.IDLE)
    world.check_laws()


def test_a_silent_host_reverts_the_task(world):
    world.boot()
    world.listeners.append(lambda event, _: world.cloud.fail_host("alpha") if event == "pause.start" else None)
    with pytest.raises(DriverError):
        world.run(pause(UUID))
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ACTIVE, TaskState.IDLE)


def test_the_loser_leaves_the_task_to_the_winner(world):
    """A deletion takes the instance over while it is being paused."""
    world.boot()

    def take_over(event, _):
        if event == "pause.start":
            server = world.instance()
            TaskMachine.delete(server)
            world.store.commit(Put(server))

    world.listeners.append(take_over)
    with pytest.raises(StaleState):
        world.run(pause(UUID))
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ACTIVE, TaskState.DELETING)


def test_a_rename_in_between_is_kept(world):
    world.boot()
    world.listeners.append(
        lambda event, _: put(world, display_name="renamed") if event == "pause.start" else None,
    )
    server = world.run(pause(UUID))
    assert (server.vm_state, server.display_name) == (VMState.PAUSED, "renamed")


# --- L1: what may be elsewhere is not started


def lost_between(world):
    """In error on alpha, with beta's room kept, for the guest may be there."""
    world.boot()
    world.runner.perform(Claim("beta", UUID, world.store.load(RequestSpec, UUID)))
    server = world.instance()
    VMMachine.fail(server)
    world.store.commit(Put(server))


@pytest.mark.parametrize("state", ["silent", "there"])
def test_a_guest_that_may_be_on_another_host_is_not_started(world, calls, state):
    lost_between(world)
    if state == "silent":
        world.cloud.fail_host("beta")
    else:
        world.cloud.drivers["alpha"].power_off(UUID)
        world.cloud.drivers["beta"].spawn(world.instance())
    calls.clear()
    with pytest.raises(DriverError, match="beta"):
        world.run(reboot(UUID, hard=True))
    assert "reboot" not in calls
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ERROR, TaskState.IDLE)
    assert world.cloud.violations == []


def test_a_host_that_has_not_got_it_gives_its_room_back(world):
    lost_between(world)
    assert world.run(reboot(UUID, hard=True)).vm_state is VMState.ACTIVE
    assert [a.host for a in world.store.find(Allocation, consumer=UUID)] == ["alpha"]
    world.check_laws()


# --- delete


def test_a_deletion_leaves_the_record_and_nothing_else(world):
    world.boot()
    server = world.run(delete(UUID))
    assert (server.vm_state, server.task_state, server.power_state) == (
        VMState.DELETED,
        TaskState.IDLE,
        PowerState.NOSTATE,
    )
    assert server.deleted
    assert server.terminated_at == server.deleted_at is not None
    assert server.host == "alpha"
    world.check_laws()
    assert world.store.load(Instance, UUID).deleted
    with pytest.raises(ActionNotAllowed):
        world.run(delete(UUID))


def test_a_deletion_that_a_host_refuses_keeps_the_claims_and_can_be_made_again():
    world = World(faults=[Fault(method="destroy", error="busy")])
    world.boot()
    with pytest.raises(DriverError, match="busy"):
        world.run(delete(UUID))
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ERROR, TaskState.IDLE)
    world.check_laws()
    world.run(delete(UUID))
    assert world.instance().vm_state is VMState.DELETED
    world.check_laws()


def test_a_deletion_asks_every_host_that_may_have_it(world):
    lost_between(world)
    world.cloud.fail_host("beta")
    with pytest.raises(DriverError):
        world.run(delete(UUID))
    assert {a.host for a in world.store.find(Allocation, consumer=UUID)} == {"alpha", "beta"}
    world.cloud.restore_host("beta")
    world.run(delete(UUID))
    world.check_laws()


def test_what_was_never_built_is_deleted_without_a_host(world):
    from novastate.errors import NoValidHost

    with pytest.raises(NoValidHost):
        world.run(flows.build(*world.records(memory_mb=100_000)))
    assert world.run(delete(UUID)).vm_state is VMState.DELETED
    world.check_laws()


def test_a_store_that_fails_leaves_no_task(world):
    from novastate.errors import StoreError

    world.boot()
    perform, saves = world.runner.perform, []

    def broken(effect):
        if isinstance(effect, Save):
            saves.append(effect)
            if len(saves) == 2:
                raise StoreError("a row is corrupt")
        return perform(effect)

    world.runner.perform = broken
    with pytest.raises(StoreError):
        world.run(reboot(UUID))
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ACTIVE, TaskState.IDLE)


def test_giving_up_on_a_silent_host_leaves_it_in_error(world):
    server = world.boot()
    TaskMachine.power_off(server)
    world.store.commit(Put(server))
    world.cloud.fail_host("alpha")
    with pytest.raises(DriverError):
        world.run(recover(UUID, now=True))
    assert world.instance().task_state is TaskState.POWERING_OFF
    assert "silent" in world.run(recover(UUID, now=True, give_up=True)).what
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ERROR, TaskState.IDLE)


def test_a_store_that_fails_leaves_no_deletion_half_done(world):
    from novastate.errors import StoreError

    world.boot()
    perform, saves = world.runner.perform, []

    def broken(effect):
        if isinstance(effect, Save):
            saves.append(effect)
            if len(saves) == 2:
                raise StoreError("a row is corrupt")
        return perform(effect)

    world.runner.perform = broken
    with pytest.raises(StoreError):
        world.run(delete(UUID))
    assert (world.instance().vm_state, world.instance().task_state) == (VMState.ERROR, TaskState.IDLE)
    world.run(delete(UUID))
    world.check_laws()
