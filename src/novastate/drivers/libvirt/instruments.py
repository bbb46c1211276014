"""The two instruments that look at a running guest: its pages again and again, and the hypervisor's dirty rates.

Rules of this file:

1. Each makes one step at a time and returns, so that both go on side by side.
2. What a look costs decides how many there are: blocks are revisited at their own times, and every visit has its own time.
3. What is refused is left out, and the reason logged, as long as the guest is there; a guest that is gone is libvirt's error.
4. Dirty rates are asked for by page sampling only (migration/dirtyrate.c; under TCG a dirty bitmap says 0): through QEMU's monitor in
   milliseconds where that is allowed, else through libvirt in whole seconds.
"""

from __future__ import annotations

import heapq
import json
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attrs import define, field

from novastate.drivers.libvirt.binding import libvirt, libvirt_qemu
from novastate.drivers.libvirt.memory_layout import Machine

if TYPE_CHECKING:
    from novastate.convergence.sources import DirtyRate, Visit

__all__ = ["Monitor", "Pages", "Rates", "alive"]

logger = logging.getLogger(__name__)

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
#: The golden section: steps of it fill an interval evenly however many are made.
_STEP = 0.6180339887498949


def alive(domain: Any) -> bool:
    """Whether the guest is there to be measured otherwise; raises libvirtError where it is not."""
    return bool(domain.isActive())


class Monitor:
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
            if not alive(self._domain):
                raise
            self.refused = error.get_error_message() or str(error)
            return None
        answer = json.loads(text)
        if "error" in answer:
            self.refused = str(answer["error"].get("desc", ""))
            return None
        return answer.get("return")


@define
class Pages:
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
            if not alive(self._domain):
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
        self.visits.append(Visit(page, at - self.start, checksums(content)))
        return at


@define
class Rates:
    """Dirty rates, one calc-time after the other."""

    _domain: Any
    _monitor: Monitor | None
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
            if not alive(self._domain):
                raise
            logger.info("there are no dirty rates: %s", error)
            self._times.clear()
            return
        self._due = now + tau

    def _take(self, now: float) -> None:
        """Takes the result, if it is there: QEMU reads the rate, then the state, so one just measured may still say -1 (dirtyrate.c)."""
        from novastate.convergence.sources import DirtyRate  # noqa: PLC0415  (loads numpy)

        if self._monitor is not None:
            answer = self._monitor.ask("query-dirty-rate", **{"calc-time-unit": "millisecond"})
            if answer is None:
                self._due = None
                return
            if answer.get("status") != "measured" or answer["dirty-rate"] < 0:
                self._due = now + 0.01
                return
            tau, rate, samples = answer["calc-time"] / 1000, answer["dirty-rate"], answer["sample-pages"]
        else:
            stats = self._domain.connect().domainListGetStats([self._domain], libvirt.VIR_DOMAIN_STATS_DIRTYRATE, 0)
            row = stats[0][1] if stats else {}
            measured = row.get("dirtyrate.calc_status") == libvirt.VIR_DOMAIN_DIRTYRATE_MEASURED
            if not measured or row["dirtyrate.megabytes_per_second"] < 0:
                self._due = now + 0.02
                return
            tau, rate = row["dirtyrate.calc_period"], row["dirtyrate.megabytes_per_second"]
            samples = _DEFAULT_SAMPLES
        self._due = None
        self.found.append(DirtyRate(float(tau), float(rate) * (1 << 20), max(1.0, samples * self._memory / _GIB)))
