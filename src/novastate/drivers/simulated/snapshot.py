"""A simulated cloud as plain JSON, and back.

Rules:

1. What is written is what would be found if the process that simulates had been killed: guests where they run, disks, hosts that
   are down. A migration before its switch-over died with it: the guest is on the source, nothing of it on the destination, and the
   job says that it failed. After the switch-over it is on the destination, and the job is completed.
2. Reading checks everything, and builds the cloud only when all of it is right.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import asdict, evolve

from novastate.convergence.simulation.laws import WriteLaw
from novastate.drivers.base import JobStats, JobType, LiveMigrationParams
from novastate.drivers.clock import Clock, VirtualClock
from novastate.drivers.simulated.job import Job
from novastate.drivers.simulated.spec import Fault, SimulatedHost, plain, read
from novastate.drivers.simulated.world import Disk, Domain, World
from novastate.errors import ConvergenceError, InvalidField
from novastate.machines import PowerState

if TYPE_CHECKING:
    from novastate.drivers.simulated.cloud import SimulatedCloud

__all__ = ["VERSION", "dump", "load"]

T = TypeVar("T")

#: Of the form; a file with a higher one was written by a newer novastate.
VERSION = 1

#: The last second that a calendar knows.
_LATEST = 253_402_300_799

_DIED = "the migration died with the process that ran it"


def dump(cloud: SimulatedCloud) -> dict[str, Any]:
    """The cloud as plain JSON. Its lock is held."""
    now = cloud.clock.now()
    world = evolve(
        cloud.world,
        domains={key: copy.copy(domain) for key, domain in cloud.world.domains.items()},
        disks={key: copy.copy(disk) for key, disk in cloud.world.disks.items()},
    )
    ends = {key: job.ended or _kill(job, world, now) for key, job in cloud.jobs.items()}
    return {
        "version": VERSION,
        "now": now,
        "seed": cloud.seed,
        "hosts": [spec.to_dict() for spec in world.hosts.values()],
        "down": sorted(world.down),
        "guests": [_plain(domain) for _, domain in sorted(world.domains.items())],
        "disks": [asdict(disk) for _, disk in sorted(world.disks.items())],
        "probes": sorted(map(list, world.probes)),
        "violations": list(world.violations),
        "memories": {
            uuid: {"law": str(memory.law), "zero_pages": memory.zero_pages}
            for uuid, memory in sorted(cloud.memories.items())
        },
        "jobs": [_plain_job(cloud.jobs[key], ended) for key, ended in sorted(ends.items(), key=_key)],
        "faults": [fault.to_dict() for fault in cloud.faults],
        "calls": dict(sorted(cloud.calls.items())),
    }


def load(cls: type[SimulatedCloud], data: Mapping[str, Any], clock: Clock | None, **kwargs: Any) -> SimulatedCloud:
    """The cloud that *data* tells of. Raises InvalidField that names the place."""
    from novastate.drivers.simulated.cloud import Memory  # noqa: PLC0415  (each needs the other)

    data = _mapping("cloud", data)
    version = _take(data, "version", int)
    if version > VERSION:
        raise InvalidField("version", version, f"was written by a newer novastate; this one reads up to {VERSION}")
    hosts = [SimulatedHost.from_dict(_mapping("hosts", spec)) for spec in _take(data, "hosts", list)]
    faults = [Fault.from_dict(_mapping("faults", fault)) for fault in _take(data, "faults", list)]
    now = float(_take(data, "now", float))
    if not 0 <= now <= _LATEST:
        raise InvalidField("now", now, "must be seconds since the epoch, at most until the year 9999")
    known = {spec.host for spec in hosts}
    for fault in faults:
        if fault.host is not None:
            _known("faults.host", fault.host, known)
    cloud = cls(
        hosts, clock if clock is not None else VirtualClock(now), _take(data, "seed", int), faults=faults, **kwargs
    )
    world = cloud.world
    names = set(world.hosts)
    for name in _take(data, "down", list):
        world.down.add(_known("down", str(name), names))
    for guest in _take(data, "guests", list):
        domain = _guest(_mapping("guests", guest))
        world.domains[_known("guests.host", domain.host, names), domain.uuid] = domain
    for row in _take(data, "disks", list):
        disk = _sized("disks", read(Disk, "disks", _mapping("disks", row)), ("size", "used"), 1 << 62)
        world.disks[disk.uuid, disk.store] = disk
    for probe in _take(data, "probes", list):
        if not isinstance(probe, list) or len(cast("list[object]", probe)) != 2:
            raise InvalidField("probes", probe, "must be a store and a file")
        world.probes.add((str(probe[0]), str(probe[1])))
    world.violations = [str(text) for text in _take(data, "violations", list)]
    for uuid, memory in _take(data, "memories", dict).items():
        row = _mapping(f"memories.{uuid}", memory)
        try:
            law = WriteLaw.parse(_take(row, "law", str))
        except ConvergenceError as error:
            raise InvalidField(f"memories.{uuid}.law", row["law"], error.problem) from error
        cloud.memories[str(uuid)] = Memory(
            law, None if row.get("zero_pages") is None else _take(row, "zero_pages", int)
        )
    for row in _take(data, "jobs", list):
        job = _job(_mapping("jobs", row))
        cloud.jobs[_known("jobs.source", job.source, names), job.uuid] = job
    for name, count in _take(data, "calls", dict).items():
        if not plain(count, "int"):
            raise InvalidField(f"calls.{name}", count, "must be int")
        cloud.calls[str(name)] = count
    return cloud


def _key(pair: tuple[tuple[str, str], JobStats]) -> tuple[str, str]:
    return pair[0]


def _kill(job: Job, world: World, now: float) -> JobStats:
    """What is left in *world* of a migration whose process was killed, and its statistics."""
    source = world.domains.get((job.source, job.uuid))
    if job.post_copy:
        arrived = world.domains[job.dest, job.uuid]
        if arrived.incoming:
            world.arrive(arrived, job.source, block_migration=job.block_migration)
            arrived.power_state = PowerState.RUNNING if job.ran else PowerState.PAUSED
        world.domains.pop((job.source, job.uuid), None)
        return job.final(JobType.COMPLETED, now)
    world.domains.pop((job.dest, job.uuid), None)
    if source is not None and job.stands_still and job.ran and not job.paused:
        source.power_state = PowerState.RUNNING
    return job.final(JobType.FAILED, now, _DIED)


def _plain(domain: Domain) -> dict[str, Any]:
    return {**asdict(domain), "power_state": domain.power_state.value}


def _plain_job(job: Job, ended: JobStats) -> dict[str, Any]:
    return {
        "uuid": job.uuid,
        "source": job.source,
        "dest": job.dest,
        "params": asdict(job.params),
        "started": job.started,
        "block_migration": job.block_migration,
        "ran": job.ran,
        "paused": job.paused,
        "ended": {**asdict(ended), "type": ended.type.value},
    }


def _guest(row: Mapping[str, Any]) -> Domain:
    try:
        state = PowerState(row.get("power_state"))
    except ValueError:
        raise InvalidField("guests.power_state", row.get("power_state"), "is no power state", PowerState) from None
    return _sized(
        "guests", read(Domain, "guests", {**row, "power_state": state}), ("vcpus", "memory_mb", "disk_gb"), 1 << 40
    )


def _job(row: Mapping[str, Any]) -> Job:
    ended = dict(_mapping("jobs.ended", row.get("ended")))
    try:
        ended["type"] = JobType(ended.get("type"))
    except ValueError:
        raise InvalidField("jobs.ended.type", ended.get("type"), "is no type of job", JobType) from None
    params = read(LiveMigrationParams, "jobs.params", _mapping("jobs.params", row.get("params")))
    whole = {**row, "params": params, "ended": read(JobStats, "jobs.ended", ended)}
    return read(Job, "jobs", whole)


def _take(data: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    value = data.get(name)
    right = plain(value, kind.__name__) if kind in {int, float, str} else isinstance(value, kind)
    if not right:
        raise InvalidField(name, value, f"must be {kind.__name__}" if name in data else "is missing")
    return value


def _sized(path: str, row: T, names: tuple[str, ...], most: int) -> T:
    for name in names:
        if not 0 <= getattr(row, name) <= most:
            raise InvalidField(f"{path}.{name}", getattr(row, name), f"must be from 0 to {most}")
    return row


def _mapping(path: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidField(path, value, "must be an object")
    return cast("Mapping[str, Any]", value)


def _known(path: str, name: str, names: set[str]) -> str:
    if name not in names:
        raise InvalidField(path, name, "is no host", sorted(names))
    return name
