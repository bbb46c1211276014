"""Which host CPUs the dedicated CPUs of a guest's cell are pinned to.

Rules of this file (Nova's ``_pack_instance_onto_cores``):

1. A core is a set of siblings, its free ones. Cores are taken in the host's order, the CPUs of a core and the guest's CPUs
   from the lowest up. (Nova takes the CPUs of a core in the order of a Python set, which is mostly the same.)
2. Without a policy, and with ``prefer``: as many threads of each core as the fullest free core has, then one less, and so on to one;
   failing that, any free CPUs in order.
3. ``require`` never takes single threads. ``isolate`` takes one thread of cores that are wholly free and leaves the others idle.
4. A CPU for the emulator threads is the first that is still free after that; under ``isolate``, of another wholly free core.
   (Nova may take it of a core that another guest has a part of, and then cannot claim that core.)
"""

from collections.abc import Iterable, Sequence, Set
from itertools import chain
from typing import NamedTuple

from novastate.objects.host_numa import NUMACell
from novastate.objects.topology import InstanceNUMACell

__all__ = ["Pinning", "pin"]

Core = Set[int]
Pairs = tuple[tuple[int, int], ...]


class Pinning(NamedTuple):
    """*pairs* of guest CPU and host CPU; *reserved*: host CPUs for the emulator threads."""

    pairs: Pairs
    reserved: frozenset[int] | None


def pin(host: NUMACell, cell: InstanceNUMACell, reserved: int = 0) -> Pinning | str:
    """Where the pinned CPUs of *cell* go on *host*, and *reserved* CPUs beside them; or why they cannot."""
    if not host.siblings:
        return "the host does not say which CPUs share a core"
    if cell.cpu_thread_policy == "isolate":
        return _isolated(host, cell.pcpuset, reserved)
    return _packed(host, cell.pcpuset, reserved, require=cell.cpu_thread_policy == "require")


def _isolated(host: NUMACell, cpus: Set[int], reserved: int) -> Pinning | str:
    threads = _threads(host)
    whole = _with_free(host, threads)
    if not whole:
        return "thread policy isolate: no core is wholly free"
    if threads > 1 and host.pcpuset != host.cpuset:
        # Siblings can be left idle only by a host that pins and floats on the same CPUs (Nova's bug 1889633).
        return "thread policy isolate: the host has threads"
    pairs = _pairs(1, whole, cpus)
    spare = _spare(whole, pairs, reserved, whole_cores=True)
    if not pairs or (reserved and not spare):
        return f"thread policy isolate: {len(cpus) + reserved} cores needed, {len(whole)} wholly free"
    return Pinning(pairs, spare)


def _packed(host: NUMACell, cpus: Set[int], reserved: int, *, require: bool) -> Pinning | str:
    if require and _threads(host) == 1:
        return "thread policy require: the host has no threads"
    every = _with_free(host, 1)
    pairs: Pairs | None = None
    spare: frozenset[int] | None = None
    for threads in range(max(map(len, every), default=0), 1 if require else 0, -1):
        pairs = _pairs(threads, _with_free(host, threads), cpus)
        spare = _spare(every, pairs, reserved)
        if pairs is not None and (spare or not reserved):
            break
    if not pairs and not require:
        single = [frozenset([cpu]) for core in every for cpu in sorted(core)]
        pairs = _pairs(1, single, cpus)
        spare = _spare(single, pairs, reserved)
    if pairs is None or (reserved and not spare):
        what = "thread policy require: free siblings for " if require else "free cores for "
        return f"{what}{len(cpus) + reserved} CPUs needed, there are {', '.join(map(_text, every)) or 'none'}"
    return Pinning(pairs, spare)


def _threads(host: NUMACell) -> int:
    """How many threads a core of *host* has."""
    return max(map(len, host.siblings)) or 1


def _with_free(host: NUMACell, threads: int) -> list[frozenset[int]]:
    """The cores with so many free threads."""
    return [core for core in host.free_siblings if len(core) >= threads]


def _pairs(threads: int, cores: Sequence[Core], cpus: Set[int]) -> Pairs | None:
    """Pins *cpus* to so many *threads* of each core; None where that is not enough."""
    if threads * len(cores) < len(cpus):
        return None
    return tuple(zip(sorted(cpus), chain.from_iterable(sorted(core)[:threads] for core in cores), strict=False))


def _spare(
    cores: Iterable[Core], pairs: Pairs | None, count: int, *, whole_cores: bool = False
) -> frozenset[int] | None:
    """The first *count* CPUs that *pairs* leave, with *whole_cores* of cores that they do not touch; None for none."""
    if not pairs or not count:
        return None
    taken = {cpu for _, cpu in pairs}
    left = (() if whole_cores and taken & core else sorted(core - taken) for core in cores)
    return frozenset(list(chain.from_iterable(left))[:count]) or None


def _text(core: Core) -> str:
    return f"{{{', '.join(map(str, sorted(core)))}}}"
