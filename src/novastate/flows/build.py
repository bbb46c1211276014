"""Build: an instance comes to life on a host.

Rules of this flow:

1. Instance and RequestSpec come into being in one commit, in vm_state building and task scheduling.
2. Room is claimed before the host is asked to spawn. A host that fails gives the room back before the next is tried; after
   :data:`ATTEMPTS` hosts the instance is in error, with no host (I48).
3. The instance becomes active in the same commit in which its task ends and ``launched_at`` is set.
4. Whoever else takes the instance over meanwhile has won. What this flow did after a deletion had begun is undone.

The chain of tasks is Nova's: scheduling, none (a host has taken it), networking, block_device_mapping, spawning, none.
"""

from __future__ import annotations

from novastate.errors import ClaimFailed, DriverError, MaxRetriesExceeded, NoValidHost, StaleState
from novastate.flows.effects import Claim, Flow, Load, Notify, Now, Release, Save, Schedule
from novastate.flows.steps import call, named, reload, tell, write
from novastate.machines import TaskMachine, TaskState, VMMachine, VMState
from novastate.objects import Instance, RequestSpec

__all__ = ["ATTEMPTS", "build"]

#: How many hosts are tried (Nova: ``[scheduler]max_attempts``).
ATTEMPTS = 3

#: The tasks in which an instance that is being built is this flow's.
_TASKS = (
    TaskState.SCHEDULING,
    TaskState.IDLE,
    TaskState.NETWORKING,
    TaskState.BLOCK_DEVICE_MAPPING,
    TaskState.SPAWNING,
)


def build(instance: Instance, spec: RequestSpec) -> Flow[Instance]:
    """Creates *instance*, picks a host for *spec*, and starts the guest there.

    *instance* is in vm_state building and task scheduling, and not stored yet. Result: the instance, active. Raises AlreadyExists with
    nothing recorded; NoValidHost or MaxRetriesExceeded with the instance in error; DriverError with the instance as it is, for
    :func:`~novastate.flows.recover`, where a host fell silent and may run the guest; StaleState if another took the instance over.
    """
    yield Save((instance, spec))
    reasons: dict[str, str] = {}
    host = ""
    try:
        while True:
            try:
                host = (yield Schedule(spec, frozenset(reasons)))[0]
            except NoValidHost as error:
                raise NoValidHost({**error.reasons, **reasons}) from error
            try:
                return (yield from _build_on(host, instance, spec))
            except (ClaimFailed, DriverError) as error:
                reasons[host] = str(error)
                yield Notify("build.refused", {"instance": instance.uuid, "host": host, "reason": str(error)})
                instance = yield from reload(instance, _TASKS, [VMState.BUILDING])
                if instance.task_state is TaskState.SPAWNING:
                    # It may run there, though the reply was lost. While that is not certain it must not start elsewhere (L1):
                    # what this raises leaves the state to recovery.
                    yield from call(host, "destroy", instance.uuid)
                yield Release(host, instance.uuid)
                host = ""
                if len(reasons) >= ATTEMPTS:
                    raise MaxRetriesExceeded(reasons, "too many hosts refused") from error
                instance = yield from write(instance, _reschedule)
    except StaleState:
        yield from _withdraw(instance, host)
        raise
    except DriverError:
        raise  # the host may run it: see above
    except Exception as error:  # whatever it is, the record must not be left half-done
        instance = yield from reload(instance, _TASKS, [VMState.BUILDING])
        if host:
            yield from call(host, "destroy", instance.uuid)
            yield Release(host, instance.uuid)
        yield from write(instance, _give_up)
        yield Notify("build.error", {"instance": instance.uuid, "reason": named(error)})
        raise


def _build_on(host: str, instance: Instance, spec: RequestSpec) -> Flow[Instance]:
    yield Claim(host, instance.uuid, spec)

    def take(server: Instance) -> None:
        server.host = server.node = host
        TaskMachine.finish(server)

    instance = yield from write(instance, take)
    instance = yield from write(instance, TaskMachine.network)
    instance = yield from write(instance, TaskMachine.map_block_devices)
    instance = yield from write(instance, TaskMachine.spawn)
    info = yield from call(host, "spawn", instance)
    now = yield Now()

    def launched(server: Instance) -> None:
        server.power_state = info.power_state
        server.launched_at = now
        VMMachine.spawned(server)
        TaskMachine.finish(server)

    instance = yield from write(instance, launched)
    yield Notify("build.end", {"instance": instance.uuid, "host": host})
    return instance


def _reschedule(server: Instance) -> None:
    server.host = server.node = None
    if server.task_state is not TaskState.SCHEDULING:
        TaskMachine.reschedule(server)


def _give_up(server: Instance) -> None:
    server.host = server.node = None
    VMMachine.fail(server)
    if server.task_state:
        TaskMachine.revert(server)


def _withdraw(instance: Instance, host: str) -> Flow[None]:
    """Rule 4: what a deletion could not see of *host*, because it came about later, goes. From anybody else nothing is taken."""
    instance = yield Load(Instance, instance.uuid)
    deleted = instance.vm_state is VMState.DELETED or instance.task_state is TaskState.DELETING
    if host and deleted and (yield from tell(host, "destroy", instance.uuid)).ok:
        yield Release(host, instance.uuid)
