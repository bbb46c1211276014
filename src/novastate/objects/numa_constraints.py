"""The NUMA topology that a flavor and an image ask for.

Rules of this file (Nova's ``numa_get_constraints``, nova/virt/hardware.py):

1. A guest has a topology when it asks for cells (``hw:numa_nodes``), pages (``hw:mem_page_size``), dedicated CPUs
   (``hw:cpu_policy``, ``resources:PCPU``) or persistent memory (``hw:pmem``).
2. The flavor is the operator's, the image the user's: an image asks for more only where the flavor leaves room.
3. CPUs and memory are shared out evenly, or as ``hw:numa_cpus.N`` and ``hw:numa_mem.N`` say: all of it, and both or neither.
4. What is refused names the extra spec, or the image property, and what would be taken.

Each property is read by :mod:`novastate.objects.numa_properties`.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from novastate.objects.base import evolve
from novastate.objects.cpu_spec import format_cpu_spec
from novastate.objects.flavor import Flavor
from novastate.objects.image import ImageMeta
from novastate.objects.numa_properties import Properties
from novastate.objects.topology import InstanceNUMACell, InstanceNUMATopology
from novastate.objects.vocabulary import CPUAllocationPolicy, CPUThreadAllocationPolicy

__all__ = ["numa_topology_of"]


def numa_topology_of(flavor: Flavor, image: ImageMeta | None = None) -> InstanceNUMATopology | None:
    """The cells that a guest of *flavor* and *image* asks for; None where it asks for none.

    Raises :class:`~novastate.errors.InvalidField` for what is no such request, or a contradiction.

    >>> flavor = Flavor(vcpus=4, memory_mb=1024, extra_specs={"hw:numa_nodes": "2", "hw:cpu_policy": "dedicated"})
    >>> [(sorted(cell.pcpuset), cell.memory) for cell in numa_topology_of(flavor).cells]
    [([0, 1], 512), ([2, 3], 512)]
    """
    asked = Properties(flavor, image)
    policy = _policy(asked)
    threads = _threads(asked, policy)
    emulator = asked.emulator_threads_policy()
    dedicated = _dedicated(asked, policy)
    nodes, pagesize = asked.nodes(), asked.page_size()
    asked.check_locked_memory()
    if not (nodes or pagesize or asked.spec("hw:pmem").strip(" ,") or policy in {"dedicated", "mixed"}):
        return None
    cells = [
        evolve(cell, pagesize=pagesize, cpu_policy=policy, cpu_thread_policy=threads)
        for cell in _cells(asked, nodes or 1, dedicated)
    ]
    return InstanceNUMATopology(cells=cells, emulator_threads_policy=emulator)


def _policy(asked: Properties) -> CPUAllocationPolicy | None:
    """The CPU policy, by name or by the resources that were asked for."""
    policy = asked.cpu_policy()
    shared, pinned = asked.resources("VCPU"), asked.resources("PCPU")
    if not shared and not pinned:
        return policy
    if policy:
        raise asked.wrong("hw:cpu_policy", "and resources:VCPU or resources:PCPU say the same: use one of them")
    if shared and pinned:
        raise asked.wrong("resources:PCPU", "and resources:VCPU exclude each other: use one of them", value=pinned)
    if shared:
        return "shared"
    needed = asked.flavor.vcpus + (asked.emulator_threads_policy() == "isolate")
    if pinned != needed:
        raise asked.wrong("resources:PCPU", "must be the flavor's vcpus, one more for isolated emulator threads",
                          value=pinned, allowed=[needed])  # fmt: skip
    return "dedicated"


def _threads(asked: Properties, policy: CPUAllocationPolicy | None) -> CPUThreadAllocationPolicy | None:
    """The thread policy, by name or by the trait that was asked for."""
    threads = asked.cpu_thread_policy()
    trait = asked.hyperthreading()
    if threads and trait:
        raise asked.wrong("hw:cpu_thread_policy", "and trait:HW_CPU_HYPERTHREADING say the same: use one of them")
    if trait in {"forbidden", "required"}:
        threads = "isolate" if trait == "forbidden" else "require"
    if policy in {None, "shared"}:
        if threads:
            raise asked.wrong("hw:cpu_thread_policy", "needs dedicated CPUs (hw:cpu_policy)", value=threads)
        if asked.emulator_threads_policy() == "isolate":
            raise asked.wrong("hw:emulator_threads_policy", "needs dedicated CPUs (hw:cpu_policy)", allowed=["share"])
    return threads


def _dedicated(asked: Properties, policy: CPUAllocationPolicy | None) -> Set[int]:
    """Which of the guest's CPUs are pinned."""
    realtime, mask = asked.realtime_cpus(), asked.dedicated_mask()
    if mask and policy != "mixed":
        raise asked.wrong("hw:cpu_dedicated_mask", "needs hw:cpu_policy=mixed")
    if realtime and policy in {None, "shared"}:
        raise asked.wrong("hw:cpu_realtime", "needs dedicated CPUs (hw:cpu_policy)")
    if policy == "mixed" and bool(realtime) == bool(mask):
        raise asked.wrong("hw:cpu_policy", "needs hw:cpu_dedicated_mask, or hw:cpu_realtime_mask, and not both")
    if policy == "dedicated":
        return frozenset(range(asked.flavor.vcpus))
    return (mask or realtime or frozenset()) if policy == "mixed" else frozenset()


def _cells(asked: Properties, nodes: int, dedicated: Set[int]) -> list[InstanceNUMACell]:
    """The cells, each with its CPUs and memory."""
    cpus, memory = asked.cpus(), asked.memory()
    if (cpus is None) != (memory is None):
        raise asked.wrong(
            "hw:numa_cpus.0" if cpus else "hw:numa_mem.0", "must be given with the other of them, or neither"
        )
    if cpus is None or memory is None:
        cpus, memory = _even(asked, nodes)
    else:
        _check(asked, nodes, cpus, memory)
    return [
        InstanceNUMACell(id=node, cpuset=cpus[node] - dedicated, pcpuset=cpus[node] & dedicated, memory=memory[node])
        for node in range(nodes)
    ]


def _even(asked: Properties, nodes: int) -> tuple[list[frozenset[int]], list[int]]:
    """CPUs and memory shared out evenly."""
    flavor = asked.flavor
    if flavor.vcpus % nodes or flavor.memory_mb % nodes:
        raise asked.wrong("hw:numa_nodes", f"does not divide {flavor.vcpus} vcpus and {flavor.memory_mb} MiB")
    share = flavor.vcpus // nodes
    cpus = [frozenset(range(node * share, (node + 1) * share)) for node in range(nodes)]
    return cpus, [flavor.memory_mb // nodes] * nodes


def _check(asked: Properties, nodes: int, cpus: Sequence[Set[int]], memory: Sequence[int]) -> None:
    """Raises InvalidField unless every CPU and all memory are in just one cell."""
    flavor = asked.flavor
    if len(cpus) != nodes or len(memory) != nodes:
        raise asked.wrong(
            "hw:numa_nodes", f"and {len(cpus)} hw:numa_cpus.N, {len(memory)} hw:numa_mem.N must be as many"
        )
    seen = set[int]()
    for node, here in enumerate(cpus):
        name = f"hw:numa_cpus.{node}"
        if strange := here - frozenset(range(flavor.vcpus)):
            raise asked.wrong(name, f"has CPUs {format_cpu_spec(strange)}; the flavor has 0-{flavor.vcpus - 1}")
        if twice := here & seen:
            raise asked.wrong(name, f"has CPUs {format_cpu_spec(twice)}, which another cell has")
        seen |= here
    if missing := set(range(flavor.vcpus)) - seen:
        raise asked.wrong("hw:numa_cpus.0", f"and its kin leave out CPUs {format_cpu_spec(missing)}")
    if sum(memory) != flavor.memory_mb:
        raise asked.wrong("hw:numa_mem.0", f"and its kin make {sum(memory)} MiB; the flavor has {flavor.memory_mb}")
