"""Measuring a running guest for the forecast: its pages by ``virDomainMemoryPeek``, its dirty rates, its vCPU time.

Rules of this file:

1. The guest is not disturbed: nothing is paused, and a look at pages is followed by a pause of its own.
2. It takes `WINDOW` seconds, less where the driver's timeout is short, and no more calls for a large guest than for a small one.
   A guest that does not run is measured at once.
3. Where the layout of a machine is not known no page is looked at, and the zero pages are taken from the resident size.
4. QEMU's monitor is asked only where that is allowed: it taints the domain (``custom-monitor`` in its log, nothing else).

What is made of it: :mod:`novastate.convergence.sources`.
"""

from __future__ import annotations

import re
import statistics
import time
from typing import TYPE_CHECKING, Any

from attrs import evolve

from novastate.drivers.base import LiveMigrationParams, qemu_rules
from novastate.drivers.libvirt.binding import libvirt
from novastate.drivers.libvirt.hypervisor import Hypervisor, one_deadline
from novastate.drivers.libvirt.instruments import Monitor, Pages, Rates, alive
from novastate.drivers.libvirt.memory_layout import Machine, read_machine
from novastate.drivers.libvirt.states import info
from novastate.errors import DriverError, GuestNotFound, NotSupported
from novastate.machines import PowerState

if TYPE_CHECKING:
    from novastate.convergence import Guest, Rules
    from novastate.convergence.sources import Observation

__all__ = ["WINDOW", "Measuring"]

#: Seconds that a running guest is measured, and how long one that does not run.
WINDOW, STILL = 4.4, 1.0
#: Firmware and tables that migrate besides RAM and video memory (``info ramblock`` of a PC: bios, rom, ACPI tables).
_FIRMWARE_PAGES = 130
#: By how much of itself what the daemons take varies, where it was seen once.
_BEGIN_VARIES = 0.2
_PAGE = 4096


class Measuring(Hypervisor):
    """Measures guests. See the rules of this module."""

    @one_deadline
    def measure(self, uuid: str) -> Guest:
        """The guest as the forecast sees it, after some four seconds; at once where it does not run.

        With ``allow_monitor`` (the default) QEMU's monitor is asked for dirty rates and RAM blocks, which taints the domain.
        Raises GuestNotFound; DriverError where the guest does not run here; NotSupported where nothing of it can be seen.
        """
        window = min(WINDOW, 0.5 * self.timeout)
        try:
            observed = self.on_guest("measuring", uuid, lambda domain: self._observe(domain, uuid, window))
        except GuestNotFound:
            raise
        except DriverError:
            # Whatever failed: a guest that vanished meanwhile is told as such.
            self.on_guest("measuring", uuid, lambda domain: domain.info()[0])
            raise
        return observed.guest()

    def rules(self, params: LiveMigrationParams, dest: str | None = None) -> Rules:
        """The rules of this host's QEMU in its version; what the daemons take besides is learnt from the last migrations from here.

        What the hosts let through is what the last one to *dest* without a limit came to, where there was one.
        Raises NotSupported for another hypervisor; ConvergenceError for one too old.
        """

        def version(connect: Any) -> tuple[str, int]:
            return str(connect.getType()), int(connect.getVersion())

        kind, number = self.connection.call("asking for the hypervisor's version", version)
        if kind.upper() != "QEMU":
            raise NotSupported(f"a forecast for {kind}", host=self.host)
        rules = qemu_rules(f"{number // 1_000_000}.{number // 1000 % 1000}", params)
        seen = None if dest is None else self.jobs.rates.get(dest)
        if seen is not None:
            from novastate.convergence.hosts import first_touch_of  # noqa: PLC0415  (a control plane need not estimate)

            rules = evolve(rules, first_touch=first_touch_of(max(1.0, seen)))
        begins = list(self.begins)
        if not begins:
            return rules
        error = statistics.stdev(begins) if len(begins) > 1 else _BEGIN_VARIES * begins[0]
        return evolve(rules, begin=statistics.median(begins), begin_error=error)

    def _observe(self, domain: Any, uuid: str, window: float) -> Observation:
        from novastate.convergence.sources import Observation  # noqa: PLC0415  (loads numpy)

        seen = info(domain)
        if seen.incoming:
            raise GuestNotFound(f"guest {uuid} is only arriving", host=self._host)
        if seen.outgoing or seen.power_state not in {PowerState.RUNNING, PowerState.PAUSED}:
            raise DriverError(f"guest {uuid}: measuring: it is off, or has gone", host=self._host)
        running = seen.power_state is PowerState.RUNNING
        machine = read_machine(domain.XMLDesc(0))
        monitor = Monitor(domain) if self.allow_monitor else None
        devices, zero = _device_pages(machine, monitor)
        start = time.monotonic()
        until = start + (window if running else min(STILL, window))
        spent = _vcpu_seconds(domain)
        pages = Pages(domain, machine, running=running, start=start, until=until)
        rates = Rates(domain, monitor, machine.ram + machine.plugged, until) if running else None
        while (now := time.monotonic()) < until:
            busy = rates is not None and rates.step(now)
            if not pages.step(now):
                if not busy and not pages.waiting:
                    break
                time.sleep(0.005)
        lasted = time.monotonic() - start
        used = _vcpu_seconds(domain)
        busy_share = None
        if running and lasted > 0.1 and spent is not None and used is not None:
            busy_share = min(1.0, max(0.0, (used[0] - spent[0]) / lasted / used[1]))
        if running and not pages.visits and (rates is None or not rates.found):
            raise NotSupported(f"guest {uuid}: neither its pages nor its dirty rate can be seen", host=self._host)
        return Observation(
            memory=machine.ram + machine.plugged,
            visits=tuple(pages.visits),
            rates=tuple(rates.found) if rates is not None else (),
            devices=devices,
            device_zero=zero,
            resident=_resident(domain) if machine.resident_counts else None,
            busy=busy_share if running else 0.0,
            running=running,
        )


def _device_pages(machine: Machine, monitor: Monitor | None) -> tuple[int, int]:
    """Pages that migrate besides RAM, and how many of them are zero: all but the firmware's."""
    pages = machine.video // _PAGE + _FIRMWARE_PAGES
    if monitor is not None:
        text = monitor.ask("human-monitor-command", **{"command-line": "info ramblock"})
        # Block name, page size and its unit, offset, used, total: in hexadecimal.
        used = [
            int(row, 16) for row in re.findall(r"^.*?0x[0-9a-f]+ +(0x[0-9a-f]+) +0x", str(text or ""), re.MULTILINE)
        ]
        whole = sum(used) - machine.ram - machine.plugged
        if used and whole >= 0:
            pages = whole // _PAGE
    return pages, max(0, pages - _FIRMWARE_PAGES)


def _vcpu_seconds(domain: Any) -> tuple[float, int] | None:
    """Seconds of CPU that its vCPUs have used, and how many they are; of the whole process where libvirt does not tell them apart."""
    try:
        stats = domain.connect().domainListGetStats(
            [domain], libvirt.VIR_DOMAIN_STATS_VCPU | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL, 0
        )[0][1]
    except libvirt.libvirtError:
        if not alive(domain):
            raise
        return None
    count = max(1, int(stats.get("vcpu.current", 1)))
    times = [value for key, value in stats.items() if re.fullmatch(r"vcpu\.\d+\.time", key)]
    if sum(times) > 0:
        return sum(times) / 1e9, count
    return (stats["cpu.time"] / 1e9, count) if "cpu.time" in stats else None


def _resident(domain: Any) -> float | None:
    """Bytes of memory that its process holds."""
    from novastate.convergence.sources import LEAST_RESIDENT  # noqa: PLC0415  (loads numpy)

    try:
        rss = domain.memoryStats().get("rss")
    except libvirt.libvirtError:
        if not alive(domain):
            raise
        return None
    # A process that holds next to nothing was swapped out: its size says nothing of the guest.
    return None if rss is None or float(rss) * 1024 < LEAST_RESIDENT else float(rss) * 1024
