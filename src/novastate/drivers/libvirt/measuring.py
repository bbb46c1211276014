"""Measuring a running guest for the forecast: its pages by ``virDomainMemoryPeek``, its dirty rates, its vCPU time.

Rules of this file:

1. The guest is not disturbed: nothing is paused, and a look at pages is followed by a pause of its own.
2. It takes `WINDOW` seconds, less where the driver's timeout is short, and no more calls for a large guest than for a small one.
   A guest that does not run is measured at once.
3. Addresses at which there is no RAM are never read: behind them are devices. Where the layout of a machine is not known (rule of
   `ram_ranges`), no page is looked at, and the zero pages are taken from the resident size.
4. Dirty rates are asked for by page sampling only (migration/dirtyrate.c; under TCG a dirty bitmap says 0): through QEMU's monitor in
   milliseconds where that is allowed, else through libvirt in whole seconds. The monitor taints the domain
   (``custom-monitor`` in its log, nothing else).
5. What a look costs decides how many there are: each block is revisited at its own times, and every visit has its own time.

What is made of it: :mod:`novastate.convergence.sources`.
"""

from __future__ import annotations

import heapq
import json
import logging
import re
import statistics
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from novastate.drivers.base import LiveMigrationParams, qemu_rules
from novastate.drivers.libvirt.binding import libvirt, libvirt_qemu
from novastate.drivers.libvirt.hypervisor import Hypervisor
from novastate.drivers.libvirt.states import info
from novastate.errors import DriverError, GuestNotFound, NotSupported
from novastate.machines import PowerState

if TYPE_CHECKING:
    from novastate.convergence import Guest, Rules
    from novastate.convergence.sources import DirtyRate, Observation, Visit

__all__ = ["WINDOW", "Machine", "Measuring", "ram_ranges", "read_machine"]

logger = logging.getLogger(__name__)

#: Seconds that a running guest is measured, and how long one that does not run.
WINDOW, STILL = 4.4, 1.0
#: Bytes of a block, and of the smaller one that every daemon can send.
_BLOCK, _SMALL = 1 << 18, 1 << 16
#: When blocks are visited again, s after the first visit: each in turn at one of these times, and every one last.
_AGAIN = (0.1, 1.4, 2.6, 0.6, 2.0, 0.25)
_LAST = 2.7
#: The most blocks of all; those that there is time to visit only once tell of zero pages.
_MOST_BLOCKS = 800
#: The share of a look's time that is waited after it.
_PAUSE = 0.2
#: Calc-times: through the monitor, through libvirt, s.
_CALC_TIMES = (0.1, 0.25, 0.05, 0.5, 0.1, 1.0, 0.05, 2.0)
_CALC_SECONDS = (1.0, 2.0)
#: Pages that QEMU samples: of a GiB (its own bounds), and in all.
_LEAST_SAMPLES, _MOST_SAMPLES, _ALL_SAMPLES, _DEFAULT_SAMPLES = 128, 16384, 65536, 512
_GIB, _PAGE = 1 << 30, 4096
#: Firmware and tables that migrate besides RAM and video memory (``info ramblock`` of a PC: bios, rom, ACPI tables).
_FIRMWARE_PAGES = 130
#: Above this the RAM of a PC may lie elsewhere (hw/i386/pc.c: the HyperTransport hole just below 1 TiB).
_MOST_PEEKED = 960 * _GIB
#: By how much of itself what the daemons take varies, where it was seen once.
_BEGIN_VARIES = 0.2
_STEP = 0.6180339887498949


@frozen
class Machine:
    """What the XML of a domain says of its memory: *ram* bytes in the machine's own RAM, *plugged* in modules, *video* bytes;
    *ranges* of RAM as (address, bytes), none where they are not known; *resident_counts*: whether its process's resident
    size holds the RAM (hugepages do not count).
    """

    ram: int
    plugged: int = 0
    video: int = 0
    ranges: tuple[tuple[int, int], ...] = ()
    resident_counts: bool = True


def ram_ranges(arch: str, machine: str, ram: int) -> tuple[tuple[int, int], ...]:
    """Where *ram* bytes lie in the physical addresses of a PC, as (address, bytes); empty for what is not known.

    Sources: QEMU hw/i386/pc_piix.c (from 3.5 GiB on, 3 GiB lie low), pc_q35.c (from 2.75 GiB on, 2 GiB). The video
    memory and ROMs below 1 MiB are left out.

    >>> ram_ranges("x86_64", "pc-q35-10.0", 4 << 30)
    ((0, 655360), (1048576, 2146435072), (4294967296, 2147483648))
    """
    if arch not in {"x86_64", "i686"} or not 16 << 20 <= ram <= _MOST_PEEKED:
        return ()
    if machine == "q35" or machine.startswith("pc-q35"):
        low = 0x80000000 if ram >= 0xB0000000 else ram
    elif machine == "pc" or machine.startswith("pc-i440fx"):
        low = 0xC0000000 if ram >= 0xE0000000 else ram
    else:
        return ()
    found = [(0, 0xA0000), (0x100000, low - 0x100000)]
    return tuple(found + ([(1 << 32, ram - low)] if ram > low else []))


def read_machine(text: str) -> Machine:
    """The memory of a domain, from its live XML."""
    root = ET.fromstring(text)  # noqa: S314  (the daemon's own)
    units = {
        "b": 1,
        "bytes": 1,
        "KiB": 1 << 10,
        "k": 1 << 10,
        "MiB": 1 << 20,
        "M": 1 << 20,
        "GiB": 1 << 30,
        "G": 1 << 30,
    }

    def size(node: ET.Element | None) -> int:
        return 0 if node is None else int(node.text or 0) * units.get(node.get("unit", "KiB"), 1 << 10)

    plugged = sum(size(node.find("target/size")) for node in root.iterfind("devices/memory"))
    ram = size(root.find("memory")) - plugged
    kind = root.find("os/type")
    arch, machine = ("", "") if kind is None else (kind.get("arch", ""), kind.get("machine", ""))
    video = sum(
        (int(node.get("vram", 0)) + int(node.get("ram", 0))) << 10 for node in root.iterfind("devices/video/model")
    )
    huge = root.find("memoryBacking/hugepages") is not None
    # With modules the RAM's own layout is the same, but what lies in them is not looked at.
    ranges = ram_ranges(arch, machine, ram)
    return Machine(ram, plugged, video, ranges, resident_counts=not huge)


class Measuring(Hypervisor):
    """Measures guests. See the rules of this module."""

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

    def rules(self, params: LiveMigrationParams) -> Rules:
        """The rules of this host's QEMU in its version; what the daemons take besides is learnt from the last migrations from here.

        Raises NotSupported for another hypervisor; ConvergenceError for one too old.
        """

        def version(connect: Any) -> tuple[str, int]:
            return str(connect.getType()), int(connect.getVersion())

        kind, number = self.connection.call("asking for the hypervisor's version", version)
        if kind.upper() != "QEMU":
            raise NotSupported(f"a forecast for {kind}", host=self.host)
        rules = qemu_rules(f"{number // 1_000_000}.{number // 1000 % 1000}", params)
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
        monitor = _Monitor(domain) if self.allow_monitor else None
        devices, zero = _device_pages(machine, monitor)
        start = time.monotonic()
        until = start + (window if running else min(STILL, window))
        spent = _vcpu_seconds(domain)
        pages = _Pages(domain, machine, running=running, start=start, until=until)
        rates = _Rates(domain, monitor, machine.ram + machine.plugged, until) if running else None
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


def _alive(domain: Any) -> bool:
    """Whether the guest is there to be measured otherwise; raises libvirtError where it is not."""
    return bool(domain.isActive())


class _Monitor:
    """QEMU's monitor, until it refuses."""

    def __init__(self, domain: Any) -> None:
        self._domain = domain
        self.refused = ""

    def ask(self, command: str, **arguments: object) -> Any:
        """What QEMU returns; None where it, or libvirt, refuses."""
        try:
            text = libvirt_qemu.qemuMonitorCommand(
                self._domain, json.dumps({"execute": command, "arguments": arguments}), 0
            )
        except libvirt.libvirtError as error:
            if not _alive(self._domain):
                raise
            self.refused = error.get_error_message() or str(error)
            return None
        answer = json.loads(text)
        if "error" in answer:
            self.refused = str(answer["error"].get("desc", ""))
            return None
        return answer.get("return")


def _device_pages(machine: Machine, monitor: _Monitor | None) -> tuple[int, int]:
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
        if not _alive(domain):
            raise
        return None
    count = max(1, int(stats.get("vcpu.current", 1)))
    times = [value for key, value in stats.items() if re.fullmatch(r"vcpu\.\d+\.time", key)]
    if sum(times) > 0:
        return sum(times) / 1e9, count
    return (stats["cpu.time"] / 1e9, count) if "cpu.time" in stats else None


def _resident(domain: Any) -> float | None:
    """Bytes of memory that its process holds."""
    try:
        rss = domain.memoryStats().get("rss")
    except libvirt.libvirtError:
        if not _alive(domain):
            raise
        return None
    return None if rss is None else float(rss) * 1024


@define
class _Pages:
    """Looks at blocks of pages, one look a step."""

    _domain: Any
    _machine: Machine
    running: bool
    start: float
    until: float
    visits: list[Visit] = field(factory=list)
    _due: list[tuple[float, int]] = field(factory=list)
    _size: int = _BLOCK
    _fresh: Iterator[int] = field(init=False)
    _ended: bool = False
    _free_at: float = 0.0
    _begun: int = 0

    def __attrs_post_init__(self) -> None:
        self._fresh = self._blocks()
        self._ended = not self._machine.ranges

    @property
    def waiting(self) -> bool:
        """Whether a visit is to come."""
        return not self._ended and bool(self._due)

    def step(self, now: float) -> bool:
        """Makes the next look; False where none is due."""
        if self._ended:
            return False
        if now < self._free_at:
            time.sleep(min(self._free_at - now, 0.005))
            return True
        if self._due and self._due[0][0] <= now:
            self._look(heapq.heappop(self._due)[1])
            return True
        page = next(self._fresh, None)
        if page is None:
            return False
        at = self._look(page)
        if at is not None and self.running and at + _LAST + 0.1 < self.until:
            self._begun += 1
            heapq.heappush(self._due, (at + _AGAIN[self._begun % len(_AGAIN)], page))
            heapq.heappush(self._due, (at + _LAST, page))
        return True

    def _blocks(self) -> Iterator[int]:
        """First pages of blocks, spread evenly however many are taken; each once. Only whole blocks within RAM."""
        each = self._size // _PAGE
        slots = self._machine.ram // self._size
        taken: set[int] = set()
        place = 0.5
        for _ in range(min(slots, _MOST_BLOCKS) * 3):
            slot = min(int(place * slots), slots - 1)
            place = (place + _STEP) % 1.0
            while slot in taken and slots <= _MOST_BLOCKS:
                slot = (slot + 1) % slots
                if len(taken) >= slots:
                    return
            if slot in taken:
                continue
            taken.add(slot)
            if self._address(slot * each) is not None:
                yield slot * each
            if len(taken) >= _MOST_BLOCKS:
                return

    def _address(self, page: int) -> int | None:
        """The physical address of a block, by its place in the RAM; None where a part of it is not to be read."""
        place = page * _PAGE
        low = [row for row in self._machine.ranges if row[0] < 1 << 32]
        border = low[-1][0] + low[-1][1]
        address = place if place < border else (1 << 32) + place - border
        inside = any(start <= address and address + self._size <= start + size for start, size in self._machine.ranges)
        return address if inside else None

    def _look(self, page: int) -> float | None:
        """Looks at a block; when that was."""
        from novastate.convergence.sources import Visit, checksums  # noqa: PLC0415  (loads numpy)

        address = self._address(page)
        before = time.monotonic()
        try:
            content = self._domain.memoryPeek(address, self._size, libvirt.VIR_MEMORY_PHYSICAL)
        except libvirt.libvirtError as error:
            if not _alive(self._domain):
                raise
            if not self.visits and self._size > _SMALL:
                self._size = _SMALL  # an older daemon sends no more at once
                self._fresh = self._blocks()
            else:
                logger.info("pages are not looked at any more: %s", error)
                self._ended = True
            return None
        after = time.monotonic()
        self._free_at = after + _PAUSE * (after - before)
        at = (before + after) / 2
        self.visits.append(Visit(page, at - self.start + 1.0, checksums(content)))
        return at


@define
class _Rates:
    """Dirty rates, one calc-time after the other."""

    _domain: Any
    _monitor: _Monitor | None
    _memory: int
    until: float
    found: list[DirtyRate] = field(factory=list)
    _times: list[float] = field(factory=lambda: list(_CALC_TIMES))
    _due: float | None = None

    def __attrs_post_init__(self) -> None:
        if self._monitor is None:
            self._times = list(_CALC_SECONDS)

    def step(self, now: float) -> bool:
        """Starts a measurement, or takes its result; False where nothing more is to come."""
        if self._due is None:
            if not self._times or now + self._times[0] + 0.05 > self.until:
                return False
            self._start(self._times.pop(0), now)
        elif now >= self._due:
            self._take(now)
        return True

    def _start(self, tau: float, now: float) -> None:
        if self._monitor is not None:
            sample = min(_MOST_SAMPLES, max(_LEAST_SAMPLES, _ALL_SAMPLES * _GIB // self._memory))
            arguments = {
                "calc-time": round(tau * 1000),
                "calc-time-unit": "millisecond",
                "mode": "page-sampling",
                "sample-pages": sample,
            }
            if self._monitor.ask("calc-dirty-rate", **arguments) is not None:
                self._due = now + tau
                return
            # Older than QEMU 8.2, or not allowed.
            logger.info("dirty rates are asked for through libvirt: %s", self._monitor.refused)
            self._monitor = None
            self._times = list(_CALC_SECONDS)
            return
        try:
            self._domain.startDirtyRateCalc(int(tau), libvirt.VIR_DOMAIN_DIRTYRATE_MODE_PAGE_SAMPLING)
        except libvirt.libvirtError as error:
            if not _alive(self._domain):
                raise
            logger.info("there are no dirty rates: %s", error)
            self._times.clear()
            return
        self._due = now + tau

    def _take(self, now: float) -> None:
        from novastate.convergence.sources import DirtyRate  # noqa: PLC0415  (loads numpy)

        if self._monitor is not None:
            answer = self._monitor.ask("query-dirty-rate", **{"calc-time-unit": "millisecond"})
            if answer is None:
                self._due = None
                return
            if answer.get("status") != "measured":
                self._due = now + 0.01
                return
            tau, rate, samples = answer["calc-time"] / 1000, answer["dirty-rate"], answer["sample-pages"]
        else:
            stats = self._domain.connect().domainListGetStats([self._domain], libvirt.VIR_DOMAIN_STATS_DIRTYRATE, 0)
            row = stats[0][1] if stats else {}
            if row.get("dirtyrate.calc_status") != libvirt.VIR_DOMAIN_DIRTYRATE_MEASURED:
                self._due = now + 0.02
                return
            tau, rate = row["dirtyrate.calc_period"], row["dirtyrate.megabytes_per_second"]
            samples = _DEFAULT_SAMPLES
        self._due = None
        self.found.append(DirtyRate(float(tau), float(rate) * (1 << 20), max(1.0, samples * self._memory / _GIB)))
