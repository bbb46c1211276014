"""Small flows that the flows are made of. Run one inside another with ``yield from``.

Rules of this file:

1. A driver call whose reply was lost is made again: every driver method may be made twice with the effect of once.
2. A save that lost its compare-and-swap is made again on the fresh row, as long as the row is still ours.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from novastate.drivers import GuestInfo
from novastate.errors import DriverError, DriverTimeout, GuestNotFound, IllegalTransition, StaleState
from novastate.flows.effects import Call, Flow, Load, Save, Wait
from novastate.machines import TaskState, VMState
from novastate.objects import Instance, Migration

__all__ = ["RETRIES", "Told", "amend", "call", "look", "named", "reload", "tell", "write"]

#: How often a call with a lost reply, or a save that lost, is tried in all.
RETRIES = 4


def call(host: str, method: str, *args: Any, **kwargs: Any) -> Flow[Any]:
    """Calls the driver of *host*; again, a second later each time, while the reply is lost."""
    for attempt in range(1, RETRIES + 1):
        try:
            return (yield Call(host, method, args, kwargs))
        except DriverTimeout:
            if attempt == RETRIES:
                raise
            yield Wait(1.0)
    raise AssertionError("unreachable")


def look(host: str, uuid: str) -> Flow[GuestInfo | DriverError | None]:
    """The guest as *host* has it: None if it is not there, the error if the host does not say."""
    try:
        found: GuestInfo = yield from call(host, "get_info", uuid)
    except GuestNotFound:
        return None
    except DriverError as error:
        return error
    return found


class Told:
    """What :func:`tell` was answered: `ok`, or the `error` that it swallowed."""

    def __init__(self, error: DriverError | None) -> None:
        self.error = error

    @property
    def ok(self) -> bool:
        """Whether the call took effect."""
        return self.error is None


def tell(host: str, method: str, *args: Any, **kwargs: Any) -> Flow[Told]:
    """Like :func:`call`, where failing must not stop the flow: a step of tidying that ``recover`` can make again."""
    try:
        yield from call(host, method, *args, **kwargs)
    except DriverError as error:
        return Told(error)
    return Told(None)


def amend(
    instance: Instance,
    migration: Migration,
    change: Callable[[Instance, Migration], None],
    *,
    task: TaskState | None,
) -> Flow[tuple[Instance, Migration]]:
    """Applies *change* to both records and saves them in one commit, while the instance's task is *task* (None: any).

    If another saved in between (a rename, a metadata update), the records are read anew and changed again. If the task
    is no longer *task*, the instance is another's now: raises StaleState, and nothing was saved. Returns the saved records.
    """
    lost: StaleState | None = None
    for _ in range(RETRIES):
        if lost is not None:
            instance = yield Load(Instance, instance.uuid)
            migration = yield Load(Migration, migration.uuid)
        if task is not None and instance.task_state is not task:
            raise StaleState("instance", instance.uuid, {"task_state": task}, {"task_state": instance.task_state})
        try:
            change(instance, migration)
        except IllegalTransition as error:
            raise StaleState(
                "migration",
                migration.uuid,
                {"status": f"one in which {error.trigger} is allowed"},
                {"status": error.state},
            ) from error
        try:
            yield Save((instance, migration), {} if task is None else {"task_state": (task,)})
        except StaleState as error:
            lost = error
        else:
            return instance, migration
    assert lost is not None
    raise lost


def write(instance: Instance, change: Callable[[Instance], object]) -> Flow[Instance]:
    """Applies *change* and saves, as long as task and vm_state are what they are now; again on the fresh row if another saved meanwhile.

    Returns the saved instance. Raises StaleState if the instance is another's now, and then nothing was saved.
    """
    task, vm_state = instance.task_state, instance.vm_state
    lost: StaleState | None = None
    for _ in range(RETRIES):
        if lost is not None:
            instance = yield from reload(instance, [task], [vm_state])
        change(instance)
        try:
            yield Save((instance,), {"task_state": (task,)})
        except StaleState as error:
            lost = error
        else:
            return instance
    assert lost is not None
    raise lost


def reload(
    instance: Instance, tasks: Collection[TaskState], vm_states: Collection[VMState] = tuple(VMState)
) -> Flow[Instance]:
    """The stored row, as long as its task and vm_state are among these; else it is another's now: raises StaleState."""
    instance = yield Load(Instance, instance.uuid)
    found = {"task_state": instance.task_state, "vm_state": instance.vm_state}
    if instance.task_state not in tasks or instance.vm_state not in vm_states:
        expected = {"task_state": " or ".join(map(str, tasks)), "vm_state": " or ".join(map(str, vm_states))}
        raise StaleState("instance", instance.uuid, expected, found)
    return instance


def named(error: Exception) -> str:
    """An error as one line for a record."""
    return f"{type(error).__name__}: {error}"
