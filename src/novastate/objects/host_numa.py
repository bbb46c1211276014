"""The NUMA cells of a host: which CPUs and how much memory each has, and what of it guests have taken.

Rules of this file:

1. *cpuset* are the CPUs on which guests float, *pcpuset* those that are given away one by one. They are disjoint, or the same set
   on a host that still has Nova's ``vcpu_pin_set``.
2. What is free is worked out from what is there and what is taken; nothing is kept twice.
3. Values: taking or giving back makes a new one (:mod:`novastate.objects.numa_usage`).
"""

from collections.abc import Sequence, Set

from novastate.errors import InvalidField, WireError
from novastate.objects.base import Record, TypeName, unset, value
from novastate.objects.compute_node import ComputeNode
from novastate.objects.marks import Count
from novastate.objects.topology import NetworkMetadata
from novastate.objects.values import UNSET, Unset

__all__ = ["NUMACell", "NUMAPagesTopology", "NUMATopology", "set_topology", "topology_of"]


@value
class NUMAPagesTopology(Record):
    """The memory pages of one size in a cell. Nova's NUMAPagesTopology 1.1.

    *size_kb*: KiB; *total*, *used* and *reserved*: counts of pages, the last for the host itself.

    >>> NUMAPagesTopology(size_kb=2048, total=512, used=100, reserved=12).free
    400
    """

    size_kb: Count
    total: Count
    used: Count = 0
    reserved: Count = 0

    @property
    def free(self) -> int:
        """Pages that a guest may have."""
        return self.total - self.used - (self.reserved or 0)

    @property
    def free_kb(self) -> int:
        """Memory in free pages, in KiB."""
        return self.free * self.size_kb

    @property
    def total_kb(self) -> int:
        """Memory in pages of this size, taken or not, in KiB."""
        return self.total * self.size_kb


@value
class NUMACell(Record):
    """One NUMA cell of a host. Nova's NUMACell 1.5.

    *memory* and *memory_usage*: MiB; *cpu_usage*: guest CPUs that float here; *pinned_cpus*: of *pcpuset*, those given away;
    *siblings*: the CPUs of each core; *socket*: None where the host does not tell.

    >>> cell = NUMACell(id=0, cpuset={0, 1}, pcpuset={2, 3, 4, 5}, memory=4096, pinned_cpus={2}, siblings=[{2, 4}, {3, 5}])
    >>> sorted(cell.free_pcpus), cell.avail_memory
    ([3, 4, 5], 4096)
    """

    id: int
    cpuset: Set[int] = frozenset()
    pcpuset: Set[int] = frozenset()
    memory: Count
    cpu_usage: Count = 0
    memory_usage: Count = 0
    pinned_cpus: Set[int] = frozenset()
    siblings: Sequence[Set[int]] = ()
    mempages: Sequence[NUMAPagesTopology] = ()
    network_metadata: NetworkMetadata | Unset = UNSET
    socket: int | None = None

    @property
    def free_pcpus(self) -> frozenset[int]:
        """CPUs that can be given to one guest."""
        return frozenset(self.pcpuset or ()) - self.pinned_cpus

    @property
    def avail_pcpus(self) -> int:
        """How many CPUs can be given to one guest."""
        return len(self.free_pcpus)

    @property
    def free_siblings(self) -> tuple[frozenset[int], ...]:
        """The CPUs of each core that can be given to one guest; empty for a core that is taken."""
        free = self.free_pcpus
        return tuple(free & core for core in self.siblings)

    @property
    def has_threads(self) -> bool:
        """Some core has more than one thread."""
        return any(len(core) > 1 for core in self.siblings)

    @property
    def avail_memory(self) -> int:
        """Memory that no guest has taken, in MiB; negative where more is taken than there is."""
        return self.memory - self.memory_usage

    @property
    def page_sizes(self) -> tuple[int, ...]:
        """The sizes of its pages in KiB, the largest first."""
        return tuple(sorted((pages.size_kb for pages in self.mempages), reverse=True))

    def can_fit_pagesize(self, pagesize: int, memory: int, *, use_free: bool = True) -> bool:
        """Whether *memory* KiB fit into whole pages of *pagesize* KiB; not *use_free*: into all of them, taken or not.

        Raises :class:`~novastate.errors.InvalidField` where the cell has no pages of that size.
        """
        for pages in self.mempages:
            if pages.size_kb == pagesize:
                return memory <= (pages.free_kb if use_free else pages.total_kb) and memory % pagesize == 0
        raise InvalidField("numa_cell.mempages", pagesize, f"cell {self.id} has no pages of this size", self.page_sizes)


@value
class NUMATopology(Record):
    """The NUMA cells of a host. Nova's NUMATopology 1.2."""

    cells: Sequence[NUMACell] = ()

    @property
    def whole_cells(self) -> Sequence[NUMACell]:
        """Its cells. Raises :class:`~novastate.errors.InvalidField` where a part of one was never loaded."""
        for index, cell in enumerate(self.cells):
            for name in unset(cell):
                if name != "network_metadata":
                    text = "was never loaded: nobody can tell what fits on the cell"
                    raise InvalidField(f"numa_topology.cells[{index}].{name}", UNSET, text)
        return self.cells

    @property
    def has_threads(self) -> bool:
        """Some core has more than one thread."""
        return any(cell.has_threads for cell in self.cells)

    @property
    def free_pcpus(self) -> frozenset[int]:
        """CPUs of any cell that can be given to one guest."""
        return frozenset[int]().union(*(cell.free_pcpus for cell in self.cells))

    def cell(self, id: int) -> NUMACell:  # noqa: A002  (its name in Nova)
        """The cell with this id. Raises :class:`~novastate.errors.InvalidField`."""
        for cell in self.cells:
            if cell.id == id:
                return cell
        raise InvalidField("numa_topology.cells", id, "there is no such cell", [cell.id for cell in self.cells])


def topology_of(node: ComputeNode) -> NUMATopology | None:
    """The NUMA cells of *node*, which it keeps as the JSON text of Nova's envelope; None where it has none.

    Raises :class:`~novastate.errors.WireError` for a text that is none.
    """
    from novastate.objects import nova  # noqa: PLC0415  (who only fits guests needs no wire format)

    if not node.numa_topology:
        return None
    found = nova.loads(node.numa_topology)
    if isinstance(found, NUMATopology):
        return found
    raise WireError("$", TypeName(type(found).__name__), "must be a NUMATopology")


def set_topology(node: ComputeNode, topology: NUMATopology | None) -> None:
    """Keeps *topology* in *node*, as Nova does.

    >>> node = ComputeNode(host="cmp-a", vcpus=2, memory_mb=1024)
    >>> set_topology(node, NUMATopology(cells=[NUMACell(id=0, cpuset={0, 1}, memory=1024)]))
    >>> topology_of(node).cells[0].avail_memory
    1024
    """
    from novastate.objects import nova  # noqa: PLC0415  (the same)

    node.numa_topology = None if topology is None else nova.dumps(topology).decode()
