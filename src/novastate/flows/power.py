"""Power: a guest is switched on or off, frozen, saved, restarted.

Rules of these flows:

1. An action is a row of :data:`_ROWS`: what the driver does, what the instance and its guest then are. One flow drives every row, and
   ``recover`` drives it on after a crash.
2. Refused before anything is recorded: the action's guard, an instance without a host, and, where the guest would be made to
   run, another host that may have it (L1): one that holds room for it and has it, or does not answer.
3. The hypervisor's word decides. After the driver's calls, whether they failed or not, the guest is looked at. If it is as was
   asked, vm_state, power_state and the task's end are saved in one commit.
4. Else the task is reverted. The vm_state stays what it was, or becomes error after a failed suspend, resume or reboot, whose
   guest may have lost its memory; a driver that can not do it at all (NotSupported) leaves it as it was.
5. Every save is compare-and-swap on the task. Whoever else changed the task has won, and this flow leaves it alone.

Order and meaning follow Nova (``compute/api.py``, ``compute/manager.py``; ``virt/libvirt/driver.py: _clean_shutdown`` for rule 6).

6. A clean stop asks the guest to shut down, again every ten seconds, and switches it off when the grace is over, at once if it does
   not run or cannot be asked. A soft reboot is that, and the guest switched on again: a guest that is deaf is rebooted all the same
   (``_soft_reboot``, which falls back to a hard one).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from attrs import frozen

from novastate.errors import (
    ActionNotAllowed,
    DriverError,
    GuestNotFound,
    InstanceNotReady,
    InvalidField,
    NotSupported,
    StaleState,
)
from novastate.flows.effects import Find, Flow, Load, Notify, Now, Release, Save, Wait
from novastate.flows.steps import call, look, named, reload, tell, write
from novastate.machines import ACTIONS, Action, PowerState, TaskMachine, TaskState, VMMachine, VMState, begin
from novastate.objects import Allocation, Instance

__all__ = ["GRACE", "drive_on", "force_stop", "pause", "reboot", "resume", "start", "stop", "suspend", "unpause"]

#: Seconds that a guest has to shut down by itself (Nova's ``shutdown_timeout``).
GRACE = 60.0

#: Seconds between looks at a guest that shuts down, and between one request to do so and the next (Nova: 1 and 10).
_POLL, _ASK_AGAIN = 0.5, 10.0

_Steps: TypeAlias = Callable[[str, str, float], Flow[Any]]


@frozen
class _Row:
    """One action: how it is done (host, uuid, grace), and what it comes to."""

    action: Action
    steps: _Steps
    #: The trigger of VMMachine that ends it.
    ends: str
    #: What the guest may be then; the first shows that it is done, whatever the driver said.
    after: tuple[PowerState, ...]
    #: The triggers of TaskMachine that lead from its task to the one in which the driver is called.
    links: tuple[str, ...] = ()
    #: Whether a failure leaves vm_state error.
    fails: bool = False

    @property
    def tasks(self) -> list[TaskState]:
        """Every task that it has on its way."""
        tasks = list(ACTIONS[self.action].triggers)
        for link in self.links:
            tasks.append(TaskMachine.trigger(link).rows[tasks[-1]])
        return tasks

    def ends_in(self, vm_state: VMState) -> bool:
        """Whether its end is defined for an instance in *vm_state*."""
        return vm_state in VMMachine.trigger(self.ends).rows


def _call(method: str, **kwargs: bool) -> _Steps:
    return lambda host, uuid, _: call(host, method, uuid, **kwargs)


def _switch_off(host: str, uuid: str, grace: float) -> Flow[None]:
    """Rule 6."""
    now: datetime = yield Now()
    end, ask = now + timedelta(seconds=grace), now
    while now < end and (yield from call(host, "get_info", uuid)).power_state is PowerState.RUNNING:
        if now >= ask:
            ask = now + timedelta(seconds=_ASK_AGAIN)
            if not (yield from tell(host, "shutdown", uuid)).ok:
                break
        yield Wait(min(_POLL, (end - now).total_seconds()))
        now = yield Now()
    yield from call(host, "power_off", uuid)


def _restart(host: str, uuid: str, grace: float) -> Flow[None]:
    """Rule 6."""
    power = (yield from call(host, "get_info", uuid)).power_state
    if power is not PowerState.RUNNING:
        raise DriverError(f"guest {uuid} is {power}: only a hard reboot restarts it", host=host)
    yield from _switch_off(host, uuid, grace)
    yield from call(host, "power_on", uuid)


_OFF, _RUNS = (PowerState.SHUTDOWN,), (PowerState.RUNNING,)
_CHAIN = ("pend_reboot", "start_reboot")

_START = _Row(Action.START, _call("power_on"), "start", _RUNS)
_STOP = _Row(Action.STOP, _switch_off, "stop", _OFF)
_FORCE_STOP = _Row(Action.FORCE_STOP, _call("power_off"), "force_stop", _OFF)
_PAUSE = _Row(Action.PAUSE, _call("pause"), "pause", (PowerState.PAUSED,))
_UNPAUSE = _Row(Action.UNPAUSE, _call("unpause"), "unpause", _RUNS)
# A guest that is saved is off to libvirt.
_SUSPEND = _Row(Action.SUSPEND, _call("suspend"), "suspend", (PowerState.SUSPENDED, PowerState.SHUTDOWN), fails=True)
_RESUME = _Row(Action.RESUME, _call("resume"), "resume", _RUNS, fails=True)
_SOFT = _Row(Action.SOFT_REBOOT, _restart, "reboot", _RUNS, _CHAIN, fails=True)
_HARD = _Row(Action.HARD_REBOOT, _call("reboot", hard=True), "hard_reboot", _RUNS, _CHAIN, fails=True)

#: In the order in which ``recover`` looks for the row of a task.
_ROWS = (_START, _STOP, _FORCE_STOP, _PAUSE, _UNPAUSE, _SUSPEND, _RESUME, _SOFT, _HARD)


def start(instance_uuid: str, *, admin: bool = False) -> Flow[Instance]:
    """Switches a stopped instance on. For what each of these flows raises see :func:`stop`."""
    return _act(instance_uuid, _START, admin=admin)


def stop(instance_uuid: str, *, clean: bool = True, grace: float = GRACE, admin: bool = False) -> Flow[Instance]:
    """Switches an active instance off, or one in error.

    *clean*: the guest is asked first, and has *grace* seconds to shut down. *admin* passes the lock. The result is the instance as saved.

    Raises, with nothing recorded: InvalidField, NotFound, InstanceLocked, ActionNotAllowed, InstanceNotReady, StaleState (lost the race).
    Raises DriverError with the task reverted; StaleState, with nothing further recorded, if another took the instance over.
    """
    if type(grace) not in {int, float} or not math.isfinite(grace) or not 0 <= grace <= 86400:
        raise InvalidField("grace", grace, "must be a number of seconds from 0 to 86400")
    return _act(instance_uuid, _STOP, admin=admin, grace=grace if clean else 0.0)


def force_stop(instance_uuid: str) -> Flow[Instance]:
    """Switches the guest off at once, whatever its vm_state and lock say: what power sync asks for. Users have ``stop(clean=False)``."""
    return _act(instance_uuid, _FORCE_STOP)


def pause(instance_uuid: str, *, admin: bool = False) -> Flow[Instance]:
    """Freezes the vCPUs of an active instance; its memory stays where it is."""
    return _act(instance_uuid, _PAUSE, admin=admin)


def unpause(instance_uuid: str, *, admin: bool = False) -> Flow[Instance]:
    """Lets a paused instance run on."""
    return _act(instance_uuid, _UNPAUSE, admin=admin)


def suspend(instance_uuid: str, *, admin: bool = False) -> Flow[Instance]:
    """Saves the memory of an active instance to disk, and stops the guest."""
    return _act(instance_uuid, _SUSPEND, admin=admin)


def resume(instance_uuid: str, *, admin: bool = False) -> Flow[Instance]:
    """Starts a suspended instance from its saved memory."""
    return _act(instance_uuid, _RESUME, admin=admin)


def reboot(instance_uuid: str, *, hard: bool = False, admin: bool = False) -> Flow[Instance]:
    """Restarts the guest by its own means; *hard*: switches it off and on, out of most states, over a task that hangs.

    If it failed and the guest runs all the same, the instance is active, and DriverError is raised.
    """
    return _act(instance_uuid, _HARD if hard else _SOFT, admin=admin, grace=GRACE)


def drive_on(instance: Instance, power: PowerState) -> Flow[Instance]:
    """Does the rest of the task that *instance* has, whose guest is now *power*: the same steps once more.

    A reboot that left its guest off is made hard. Raises NotSupported for a task that no row here has; what the flow itself raises.
    """
    task = instance.task_state
    row = next((row for row in _ROWS if task in row.tasks and row.ends_in(instance.vm_state)), None)
    if row is None:
        raise NotSupported(f"instance {instance.uuid}: the flow that drives task {task} on is not built")
    yield from _only_here(instance, row)
    if row is _SOFT and power is not PowerState.RUNNING:
        row, instance = _HARD, (yield from write(instance, TaskMachine.hard_reboot))
    return (yield from _drive(instance, row, GRACE))


def _act(instance_uuid: str, row: _Row, *, admin: bool = False, grace: float = 0.0) -> Flow[Instance]:
    instance: Instance = yield Load(Instance, instance_uuid)
    begun = begin(row.action, instance, admin=admin)
    if not row.ends_in(instance.vm_state):
        raise ActionNotAllowed(row.action, "vm_state", instance.vm_state, [vm for vm in VMState if row.ends_in(vm)])
    yield from _only_here(instance, row)
    yield Save((instance,), {"task_state": begun.expects})
    yield Notify(f"{row.action}.start", {"instance": instance_uuid, "host": instance.host})
    return (yield from _drive(instance, row, grace))


def _only_here(instance: Instance, row: _Row) -> Flow[None]:
    """Rule 2: there is a host, and before the guest is made to run no other may have it; one that has not gives its room back."""
    if instance.host is None:
        raise InstanceNotReady(row.action, instance.uuid, "host")
    if PowerState.RUNNING not in row.after:
        return
    for allocation in (yield Find(Allocation, {"consumer": instance.uuid})):
        if allocation.host != instance.host:
            try:
                yield from call(allocation.host, "get_info", instance.uuid)
            except GuestNotFound:
                yield Release(allocation.host, instance.uuid)
            else:
                problem = f"guest {instance.uuid} is there, and on {instance.host} by its record: it is not started"
                raise DriverError(problem, host=allocation.host)


def _drive(instance: Instance, row: _Row, grace: float) -> Flow[Instance]:
    """Rules 3 and 4: the task is there, its work is done or undone."""
    host, told = instance.host or "", {"instance": instance.uuid, "host": instance.host}
    failure: Exception | None = None
    power: PowerState | None
    try:
        for link in row.links:
            instance = yield from write(instance, TaskMachine.trigger(link))
        yield from row.steps(host, instance.uuid, grace)
        power = (yield from call(host, "get_info", instance.uuid)).power_state
        if power not in row.after:
            failure = DriverError(
                f"guest {instance.uuid}: {row.action} is said to be done, and it is {power}", host=host
            )
    except StaleState:
        raise
    except Exception as error:  # noqa: BLE001  (whatever it is, the guest is looked at and the record says how it is)
        failure, power = error, (yield from _look(host, instance.uuid))
        instance = yield from reload(instance, row.tasks)

    asked = instance.task_state is row.tasks[-1]
    if asked and power is not None and (power in row.after if failure is None else power is row.after[0]):
        seen = power

        def end(server: Instance) -> None:
            server.power_state = seen
            VMMachine.trigger(row.ends)(server)
            TaskMachine.finish(server)

        instance = yield from write(instance, end)
        if failure is None or not row.links:
            yield Notify(f"{row.action}.end", told)
            return instance
    else:
        assert failure is not None
        yield from _undo(instance, power, error=asked and row.fails and not isinstance(failure, NotSupported))
    yield Notify(f"{row.action}.error", {**told, "reason": named(failure)})
    raise failure


def _look(host: str, uuid: str) -> Flow[PowerState | None]:
    """What the guest is: NOSTATE where there is none, None if the host does not say."""
    found = yield from look(host, uuid)
    if isinstance(found, DriverError):
        return None
    return PowerState.NOSTATE if found is None else found.power_state


def _undo(instance: Instance, power: PowerState | None, *, error: bool) -> Flow[None]:
    """Rule 4. What was seen of the guest is saved first: an observation is a write of its own."""

    def observe(server: Instance) -> None:
        server.power_state = server.power_state if power is None else power

    def revert(server: Instance) -> None:
        if error:
            VMMachine.fail(server)
        TaskMachine.revert(server)

    if power not in {None, instance.power_state}:
        instance = yield from write(instance, observe)
    yield from write(instance, revert)
