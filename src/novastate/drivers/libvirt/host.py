"""What a host has, and what of it is taken.

Rules of this file: as libvirt says it, in Nova's units. Memory in use is what the host's own kernel does not count as free, buffers
or cache (Nova: libvirt/host.py ``get_memory_mb_used``); vCPUs in use are those of the guests that run. What a hypervisor cannot tell
is 0, or empty.
"""
# ruff: noqa: D102  (the abstract driver says what each method does)

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any, TypeVar

from novastate.drivers.base import HostState, HugePages, NumaCell
from novastate.drivers.libvirt import storage
from novastate.drivers.libvirt.binding import libvirt
from novastate.drivers.libvirt.hypervisor import Hypervisor

__all__ = ["Host", "numa_cells"]

T = TypeVar("T")

_MIB = 1 << 20
_GIB = 1 << 30


class Host(Hypervisor):
    """The host's own numbers."""

    def host_state(self) -> HostState:
        host = self.host

        def run(connect: Any) -> HostState:
            _, memory_mb, vcpus, *_ = connect.getInfo()
            capabilities = ET.fromstring(connect.getCapabilities())  # noqa: S314  (libvirt's own words)
            cpu = capabilities.find("host/cpu")
            running = _running(connect)
            capacity, available = _or(lambda: storage.space(connect, self.instances_path), (0, 0))
            return HostState(
                host=host,
                vcpus=vcpus,
                memory_mb=memory_mb,
                disk_gb=capacity // _GIB,
                vcpus_used=sum(count for _, count in running),
                memory_mb_used=_memory_used(connect, sum(memory for memory, _ in running) // 1024),
                disk_gb_used=(capacity - available) // _GIB,
                hypervisor_type=connect.getType(),
                hypervisor_version=connect.getVersion(),
                cpu_model="" if cpu is None else cpu.findtext("model", ""),
                cpu_info="" if cpu is None else ET.tostring(cpu, encoding="unicode").strip(),
                numa_cells=tuple(_with_free(connect, cell) for cell in numa_cells(capabilities)),
            )

        return self.connection.call("asking for the host's resources", run)


def numa_cells(capabilities: ET.Element) -> list[NumaCell]:
    """The NUMA cells in a host's capabilities, with nothing free yet; of the pages only those larger than the smallest."""
    cells = list[NumaCell]()
    for cell in capabilities.iterfind("host/topology/cells/cell"):
        pages = {int(page.get("size", 0)): int(page.text or 0) for page in cell.iterfind("pages")}
        cells.append(
            NumaCell(
                id=int(cell.get("id", 0)),
                cpus=tuple(sorted(int(cpu.get("id", 0)) for cpu in cell.iterfind("cpus/cpu"))),
                memory_mb=int(cell.findtext("memory", "0")) // 1024,
                pages=tuple(HugePages(size, total, 0) for size, total in sorted(pages.items())[1:]),
            )
        )
    return cells


def _with_free(connect: Any, cell: NumaCell) -> NumaCell:
    """The cell with what of it is free."""
    (free,) = _or(lambda: connect.getCellsFreeMemory(cell.id, 1), [0])
    sizes = [page.size_kb for page in cell.pages]
    counts: dict[int, int] = _or(lambda: connect.getFreePages(sizes, cell.id, 1)[cell.id], {}) if sizes else {}
    pages = tuple(HugePages(page.size_kb, page.total, counts.get(page.size_kb, 0)) for page in cell.pages)
    return NumaCell(cell.id, cell.cpus, cell.memory_mb, free // _MIB, pages)


def _memory_used(connect: Any, guests_mb: int) -> int:
    """MiB in use; where the host cannot say, what its guests have."""
    stats: dict[str, int] = _or(lambda: connect.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS), {})
    if "total" not in stats:
        return guests_mb
    return max(0, stats["total"] - sum(stats.get(name, 0) for name in ("free", "buffers", "cached"))) // 1024


def _running(connect: Any) -> list[tuple[int, int]]:
    """KiB of memory and vCPUs of each guest that runs."""
    found = list[tuple[int, int]]()
    for domain in connect.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        try:
            _, _, memory, vcpus, _ = domain.info()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:  # it has just gone
                raise
        else:
            found.append((memory, vcpus))
    return found


def _or(ask: Callable[[], T], unknown: T) -> T:
    """The answer, or *unknown* where the hypervisor has no such question."""
    try:
        return ask()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return unknown
