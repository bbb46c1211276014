"""Adopt: guests that run already are taken into the records, as they are.

Rules of this flow:

1. No guest is touched: the hypervisors are only asked. Nothing that runs is stopped because a record says that it should not.
2. Everything that is known of a guest changes in one commit: instance, request, claim and node. Whoever dies in between runs it again.
3. A guest is on one host: where it is on (running or paused). On in two places it is refused, for no record of it can be true. A
   definition of it elsewhere counts nothing.
4. What is being migrated, and what has a task, is left for the next time. What is gone stays recorded. So is what runs nowhere while a
   host is silent: it may run there. The claim on a host that does not answer is not given back.
5. Of a guest that is known, power sync decides what its power means (:mod:`novastate.machines.power_sync`). Where it would
   stop the guest, rule 1 holds: the record follows the guest instead, to the vm_state that a guest with this power is adopted in.
6. What is there is claimed whether there is room or not: a host may be overcommitted long before anybody asked.

:func:`survey` asks the hosts, :func:`adopt_host` records one, :func:`adopt` one guest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any

from attrs import frozen

from novastate import scheduling
from novastate.drivers import GuestInfo, HostState, JobStats, JobType, LiveMigrationSource
from novastate.errors import AlreadyExists, DriverError, GuestNotFound, NotFound, StaleState
from novastate.flows.effects import Call, Find, Flow, Load, Now, Release, Save
from novastate.flows.requests import active_live_migration
from novastate.flows.steps import RETRIES
from novastate.machines import PowerState, PowerSyncAction, TaskState, VMMachine, VMState, sync_power
from novastate.objects import Allocation, ComputeNode, Flavor, Instance, RequestSpec, evolve

__all__ = ["ADOPTED_AS", "Adopted", "Outcome", "Survey", "adopt", "adopt_host", "survey"]

#: The vm_state in which a guest is adopted, by its power. A crashed guest is off, as power sync has it; what has no state is left.
ADOPTED_AS: Mapping[PowerState, VMState] = MappingProxyType(
    {
        PowerState.RUNNING: VMState.ACTIVE,
        PowerState.PAUSED: VMState.PAUSED,
        PowerState.SHUTDOWN: VMState.STOPPED,
        PowerState.CRASHED: VMState.STOPPED,
        PowerState.SUSPENDED: VMState.SUSPENDED,
    }
)

_ON = frozenset({PowerState.RUNNING, PowerState.PAUSED})

#: The triggers from one of these states to another, where power sync would act. The record follows in one save.
_FOLLOW: Mapping[tuple[VMState, VMState], tuple[Callable[[Any], object], ...]] = MappingProxyType(
    {
        (VMState.ACTIVE, VMState.STOPPED): (VMMachine.stop,),
        (VMState.ACTIVE, VMState.SUSPENDED): (VMMachine.suspend,),
        (VMState.STOPPED, VMState.ACTIVE): (VMMachine.start,),
        (VMState.STOPPED, VMState.PAUSED): (VMMachine.start, VMMachine.pause),
        (VMState.STOPPED, VMState.SUSPENDED): (VMMachine.start, VMMachine.suspend),
        (VMState.PAUSED, VMState.STOPPED): (VMMachine.force_stop,),
    }
)


class Outcome(Enum):
    """What came of one guest. FAILED is for who runs the flow: it has raised."""

    ADOPTED = "adopted"
    KNOWN = "known"
    CHANGED = "changed"
    GONE = "gone"
    LEFT = "left"
    REFUSED = "refused"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


@frozen
class Adopted:
    """What :func:`adopt` did about a guest: *what* in a sentence; *name* and *host* as recorded, None where there is no record."""

    uuid: str
    name: str
    host: str | None
    outcome: Outcome
    what: str


@frozen
class Survey:
    """What the hosts say: their state, the guests of each uuid by host, and the words of those that do not answer."""

    states: Mapping[str, HostState]
    guests: Mapping[str, Mapping[str, GuestInfo]]
    silent: Mapping[str, str]


def survey(hosts: Iterable[str]) -> Flow[Survey]:
    """Asks every host, once, for its resources and its guests."""
    states: dict[str, HostState] = {}
    guests: dict[str, dict[str, GuestInfo]] = {}
    silent: dict[str, str] = {}
    for host in sorted(hosts):
        try:
            states[host] = yield Call(host, "host_state")
            found: list[GuestInfo] = yield Call(host, "list_guests")
        except DriverError as error:
            states.pop(host, None)
            silent[host] = error.text
            continue
        for info in found:
            guests.setdefault(info.uuid, {})[host] = info
    return Survey(states, guests, silent)


def adopt_host(state: HostState, *, overcommit: float | None = None) -> Flow[Outcome]:
    """Records what the host has: ADOPTED, KNOWN or CHANGED. What is claimed there stays. Raises StaleState.

    *overcommit*: how many times its memory and disk may be claimed; None: as it is, or once.
    """
    facts: dict[str, Any] = {
        "hypervisor_hostname": state.host,
        "hypervisor_type": state.hypervisor_type,
        "hypervisor_version": state.hypervisor_version,
        "vcpus": state.vcpus,
        "memory_mb": state.memory_mb,
        "local_gb": state.disk_gb,
        "cpu_info": state.cpu_model,
    }
    if overcommit is not None:
        facts |= {"ram_allocation_ratio": overcommit, "disk_allocation_ratio": overcommit}
    for attempt in range(1, RETRIES + 1):
        outcome = Outcome.CHANGED
        try:
            node: ComputeNode = yield Load(ComputeNode, state.host)
        except NotFound:
            node, outcome = ComputeNode(host=state.host, running_vms=0, **facts), Outcome.ADOPTED
        else:
            if all(getattr(node, name) == value for name, value in facts.items()):
                return Outcome.KNOWN
            for name, value in facts.items():
                setattr(node, name, value)
        try:
            yield Save((node,))
        except (StaleState, AlreadyExists):
            if attempt == RETRIES:
                raise
        else:
            return outcome
    raise AssertionError("unreachable")


def adopt(uuid: str, found: Survey) -> Flow[Adopted]:
    """Brings the records of one guest, or the guest of one record, to what *found* says. Raises StaleState, and may be run again."""
    for attempt in range(1, RETRIES + 1):
        try:
            return (yield from _adopt(uuid, found))
        except (StaleState, AlreadyExists):  # somebody else saved meanwhile: look anew
            if attempt == RETRIES:
                raise
    raise AssertionError("unreachable")


def _adopt(uuid: str, found: Survey) -> Flow[Adopted]:
    instance: Instance | None
    try:
        instance = yield Load(Instance, uuid)
    except NotFound:
        instance = None
    seen = found.guests.get(uuid, {})
    name = (instance and instance.display_name) or next((info.name for info in seen.values()), "") or uuid

    def result(outcome: Outcome, what: str) -> Adopted:
        return Adopted(uuid, name, instance.host if instance else None, outcome, what)

    on = _on(seen)
    if len(on) > 1 or (instance is not None and not seen):
        # It may have moved while the hosts were asked one after the other.
        found = yield from _look(uuid, found)
        seen = found.guests[uuid]
        on = _on(seen)
    moving = [host for host, info in seen.items() if info.incoming or info.outgoing]
    if instance is not None:
        if instance.vm_state is VMState.DELETED:
            return result(Outcome.REFUSED, "its record says that it was deleted") if seen else result(Outcome.KNOWN, "")
        if instance.task_state or instance.vm_state is VMState.BUILDING or (yield from active_live_migration(uuid)):
            task = instance.task_state or instance.vm_state
            return result(Outcome.LEFT, f"its task is {task}: 'novastate recover' ends what nobody drives")
    if moving:
        return result(Outcome.LEFT, f"it is being migrated ({' and '.join(sorted(seen))})")
    if len(on) > 1:
        return result(
            Outcome.REFUSED, f"it is on in {' and in '.join(on)}: stop all but one (or is it one host by two names?)"
        )
    if not seen:
        if instance is None:
            return result(Outcome.LEFT, "it has just gone")
        return result(*(yield from _absent(instance, found)))
    home = _home(instance, seen, on)
    info = seen[home]
    if found.silent and info.power_state is not PowerState.RUNNING:
        return result(
            Outcome.LEFT,
            f"it is {info.power_state} on {home}; it may run on {' or on '.join(found.silent)}, silent now",
        )
    if info.power_state not in ADOPTED_AS:
        return result(Outcome.LEFT, f"{home} does not know its state")
    if (instance is None or instance.host != home) and info.power_state in _ON and (yield from _migrates(home, uuid)):
        return result(Outcome.LEFT, f"it is being migrated from {home}")
    elsewhere = sorted(set(seen) - {home})
    also = f"; it is also defined on {' and '.join(elsewhere)}, where it is off" if elsewhere else ""
    if instance is None:
        instance = yield from _take(info, home)
        return result(Outcome.ADOPTED, f"{_described(instance)}{also}")
    changes = yield from _update(instance, info, home, found)
    name = instance.display_name or uuid
    if not changes:
        return result(Outcome.KNOWN, f"{_described(instance)}{also}")
    return result(Outcome.CHANGED, f"{'; '.join(changes)}; {_described(instance)}{also}")


def _on(seen: Mapping[str, GuestInfo]) -> list[str]:
    return sorted(host for host, info in seen.items() if info.power_state in _ON)


def _look(uuid: str, found: Survey) -> Flow[Survey]:
    """What the hosts that answered say of the guest now."""
    seen: dict[str, GuestInfo] = {}
    silent = dict(found.silent)
    for host in found.states:
        try:
            seen[host] = yield Call(host, "get_info", (uuid,))
        except GuestNotFound:
            continue
        except DriverError as error:
            silent[host] = error.text
    return Survey(found.states, {uuid: seen}, silent)


def _home(instance: Instance | None, seen: Mapping[str, GuestInfo], on: list[str]) -> str:
    """Where the guest is: where it is on; else where it was; else where its memory is saved; else the first by name."""
    if on:
        return on[0]
    if instance is not None and instance.host in seen:
        return str(instance.host)
    return min(seen, key=lambda host: (seen[host].power_state is not PowerState.SUSPENDED, host))


def _migrates(host: str, uuid: str) -> Flow[bool]:
    """Whether somebody is migrating the guest from *host* (to where nobody was asked)."""
    try:
        stats: JobStats = yield Call(host, "live_migration_job", (uuid,))
    except DriverError:  # there is none, or it cannot be told
        return False
    return stats.type is JobType.UNBOUNDED


def _described(instance: Instance) -> str:
    size = f"{instance.vcpus} vCPU{'' if instance.vcpus == 1 else 's'}, {instance.memory_mb} MiB"
    return f"{instance.vm_state} on {instance.host} (power {instance.power_state}), {size}"


def _absent(instance: Instance, found: Survey) -> Flow[tuple[Outcome, str]]:
    """The guest of a record that no host has."""
    if instance.host in found.silent:
        return Outcome.LEFT, f"{instance.host} does not answer"
    if instance.host is None:
        return Outcome.KNOWN, f"{instance.vm_state}, on no host"
    what = f"{instance.host} does not have it any more; its record stays"
    if found.silent:
        what += f" ({' and '.join(sorted(found.silent))} did not answer)"
    elif instance.power_state is not PowerState.NOSTATE and sync_power(instance.vm_state, None).records:
        instance.power_state = PowerState.NOSTATE
        yield Save((instance,), {"task_state": (TaskState.IDLE,)})
    return Outcome.GONE, what


# --- one that is new


def _take(info: GuestInfo, host: str) -> Flow[Instance]:
    """The records of a guest that has none, in one commit."""
    now: datetime = yield Now()
    flavor = _flavor(info, *(yield from _disks(host, info.uuid)))
    instance = Instance(
        uuid=info.uuid,
        display_name=info.name,
        flavor=flavor,
        vcpus=flavor.vcpus,
        memory_mb=flavor.memory_mb,
        root_gb=flavor.root_gb,
        ephemeral_gb=flavor.ephemeral_gb,
        vm_state=ADOPTED_AS[info.power_state],
        power_state=info.power_state,
        host=host,
        node=host,
        launched_on=host,
        launched_at=now,
    )
    spec = RequestSpec(instance_uuid=info.uuid, flavor=flavor)
    node: ComputeNode = yield Load(ComputeNode, host)
    allocation = scheduling.hold(node, info.uuid, spec)
    yield Save((instance, spec, node, allocation))
    return instance


def _flavor(info: GuestInfo, root_gb: int, ephemeral_gb: int) -> Flavor:
    vcpus = max(1, info.vcpus)
    return Flavor(
        flavorid=f"{vcpus}-{info.memory_mb}-{root_gb}-{ephemeral_gb}",
        name=f"{vcpus} vCPU, {info.memory_mb} MiB, {root_gb + ephemeral_gb} GiB",
        vcpus=vcpus,
        memory_mb=info.memory_mb,
        root_gb=root_gb,
        ephemeral_gb=ephemeral_gb,
    )


def _disks(host: str, uuid: str) -> Flow[tuple[int, int]]:
    """GiB of the guest's first local disk, and of the others; 0 where the host does not tell."""
    try:
        source: LiveMigrationSource = yield Call(host, "live_migration_source", (uuid,))
    except DriverError:
        return 0, 0
    sizes = [-(-disk.size // (1 << 30)) for disk in source.disks]
    return sum(sizes[:1]), sum(sizes[1:])


# --- one that is known


def _update(instance: Instance, info: GuestInfo, home: str, found: Survey) -> Flow[list[str]]:
    """Brings the records to what the host says, in one commit; returns what has changed, in words."""
    changes: list[str] = []
    before, saved = instance.host, [instance]
    if instance.display_name != info.name:
        changes.append(f"was called {instance.display_name}")
        instance.display_name = info.name
    resized = (instance.vcpus, instance.memory_mb) != (max(1, info.vcpus), info.memory_mb)
    if resized:
        changes.append(f"had {instance.vcpus} vCPUs, {instance.memory_mb} MiB")
    if before != home:
        changes.append(f"was on {before}")
        instance.host = instance.node = home
    claims: list[Allocation] = yield Find(Allocation, {"consumer": instance.uuid})
    held = next((claim for claim in claims if claim.host == home), None)
    if resized or held is None:
        saved += yield from _resize(instance, info, home, held)
    changes += _follow(instance, info.power_state)
    if changes or len(saved) > 1:
        yield Save(tuple(saved), {"task_state": (TaskState.IDLE,)})
    for claim in claims:  # after the commit: a claim too many is found again by the next run
        if claim.host != home and claim.host not in found.silent:
            yield Release(claim.host, instance.uuid)
    return changes


def _resize(instance: Instance, info: GuestInfo, home: str, held: Allocation | None) -> Flow[list[Any]]:
    """Gives the instance the size that its guest has, and claims that; returns what is to be saved beside it."""
    flavor = _flavor(info, instance.flavor.root_gb, instance.flavor.ephemeral_gb)
    if (flavor.vcpus, flavor.memory_mb) != (instance.flavor.vcpus, instance.flavor.memory_mb):
        instance.flavor = flavor
    instance.vcpus, instance.memory_mb = flavor.vcpus, flavor.memory_mb
    spec: RequestSpec = yield Load(RequestSpec, instance.uuid)
    spec.flavor = instance.flavor
    node: ComputeNode = yield Load(ComputeNode, home)
    if held is not None:
        scheduling.release(node, held)
    claim = scheduling.hold(node, instance.uuid, spec)
    return [spec, node, claim if held is None else evolve(claim, revision=held.revision)]


def _follow(instance: Instance, power: PowerState) -> list[str]:
    """Rule 5; returns what has changed, in words."""
    changes: list[str] = []
    state = instance.vm_state
    action = sync_power(state, power, rechecked=True)
    if instance.power_state is not power:
        changes.append(f"power was {instance.power_state}")
        instance.power_state = power
    if action in {PowerSyncAction.STOP, PowerSyncAction.FORCE_STOP}:
        for trigger in _FOLLOW[state, ADOPTED_AS[power]]:
            trigger(instance)
        changes.append(f"was {state}")
    return changes
