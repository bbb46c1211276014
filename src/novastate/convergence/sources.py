"""What a host observes of a running guest, made into the `Guest` that a forecast starts from.

Rules:

1. Nothing here measures: a driver looks at pages and asks for dirty rates, and hands over what it saw.
2. Each observation has its own error, and the curve is fitted to all of them, each weighed by its own.
3. What was not seen is made up for by uncertainty (`DirtyCurve.spread`, `Guest.zero_error`), never by a guess that is hidden.

Two instruments:

- *visits*: one fixed set of pages, in blocks of neighbours spread evenly over the memory, looked at again and again. Any two
  visits to one block at times t and t + tau say how many of its pages changed: one point of W(tau). The first visit to each says
  how many pages are zero, and where.
- *dirty rates*: the hypervisor's own page sampling over a calc-time, rounded down to its unit (migration/dirtyrate.c).

Both compare contents: pages that are rewritten with equal bytes are not seen, the more so where the vCPU never idles.

Sampling theory: each block stands for the memory nearest to it; the error of a share is taken from the differences between
neighbouring blocks (systematic sampling: Wolter 1985, the successive-difference estimator), that of a curve's point from
the differences between blocks, and less the more of the memory was seen (finite population).
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterable

import attrs
import numpy as np
import numpy.typing as npt

from novastate.convergence import bounds
from novastate.convergence.curve import DirtyCurve
from novastate.convergence.curves.classes import DirtyClass
from novastate.convergence.curves.posterior import Unseen, posterior
from novastate.convergence.curves.samples import chance_of, rate_seen
from novastate.convergence.guest import Guest
from novastate.errors import ConvergenceError

__all__ = [
    "BACKGROUND",
    "LEAST_RESIDENT",
    "PACED",
    "PAGE",
    "PROCESS",
    "TOUCHED_ZERO",
    "ZERO_SHARE",
    "DirtyRate",
    "Observation",
    "Visit",
    "ZeroPages",
    "checksums",
    "zero_by_resident",
]

#: Bytes a page: what migrates, whatever the host backs it with.
PAGE = 4096
_MIB = 1 << 20
#: A guest's own background: pages, and writes per second to them.
BACKGROUND = (DirtyClass(60, 2400), DirtyClass(70, 175), DirtyClass(60, 42))
#: What a guest's process holds besides the guest's memory, MiB: mean and deviation. (Measured under TCG, of six guests that had
#: touched no zero page: 117 to 124; KVM needs no room for translated code.)
PROCESS = (120.0, 20.0)
#: No hypervisor's process holds less than this, bytes: one with a guest of no device takes some 20 MiB.
LEAST_RESIDENT = 8.0 * _MIB
#: Of the memory that a guest has touched the share that is zero: mean and deviation (22 recorded guests: 0 to 0.44).
TOUCHED_ZERO = (0.2, 0.15)
#: The share of zero pages where nothing is known of it: mean and deviation.
ZERO_SHARE = (0.4, 0.2)
#: vCPU time that a guest paced by a timer takes, where nothing was measured.
PACED = 0.06
#: What a comparison of contents does not see of a guest that idles now and then, of one that never does, and of one of which
#: that is not known. Of eight applications that never idled three wrote 1.9 to 8 times what was seen, and two ended in a lull.
_UNSEEN_IDLES, _UNSEEN_BUSY, _UNSEEN_UNKNOWN = Unseen(0.02), Unseen(0.6, 0.25), Unseen(0.06, 0.02)
#: The checksum of a zero page.
_ZERO = zlib.crc32(bytes(PAGE))
#: The shortest window that is looked at, s, and how much longer the windows of one point may be.
_SHORTEST, _WIDTH = 0.02, 1.3
#: A point needs so many blocks; and so many changed pages, to be taken as a share of the longest window.
_LEAST_BLOCKS, _LEAST_CHANGES = 4, 20
#: Of fewer blocks their scatter says nothing.
_FEW_BLOCKS = 6.0
#: No point is better known than this: guests are not the same from second to second.
_UNSTEADY = 0.04
#: What a comparison of contents sees of the background of an idle guest (20 to 45 pages of 80 to 180 in windows of 0.1 to 2.7 s).
_BACKGROUND_SEEN = 0.25
#: Where zero pages lie is read from blocks that stand for no more pages than this.
_NARROW = 1024

_Floats = npt.NDArray[np.float64]


def _sums(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(bounds.entries("sums", values, int))


@attrs.frozen
class Visit:
    """One look at a block: *page*, the number of its first page; *at*, when, s; *sums*, the `checksums` of its pages.

    Raises `ConvergenceError` that names the field.
    """

    page: int = attrs.field(validator=bounds.valid(0, bounds.MOST_PAGES, integer=True))
    at: float = attrs.field(validator=bounds.valid())
    sums: tuple[int, ...] = attrs.field(repr=False, converter=_sums)


@attrs.frozen
class DirtyRate:
    """*rate* bytes/s over *tau* s, from *samples* pages; rounded down to *resolution* bytes/s.

    Raises `ConvergenceError` that names the field; also for a rate below the resolution that is not 0 (as one in MiB/s would be).
    """

    tau: float = attrs.field(validator=bounds.valid(bounds.SHORTEST, bounds.LONGEST))
    rate: float = attrs.field(validator=bounds.valid())
    samples: float = attrs.field(validator=bounds.valid(1.0))
    resolution: float = attrs.field(default=float(_MIB), validator=bounds.valid(0, bounds.MOST_BYTES))

    def __attrs_post_init__(self) -> None:
        """Checks the rate against the resolution."""
        rate_seen("rate", self.rate, self.resolution)


@attrs.frozen
class ZeroPages:
    """Of the guest's memory: how many pages are zero, one standard deviation of that; and the non-zero and the zero pages
    that follow, by address, on the longest run of zero pages (None: not known).
    """

    pages: float
    error: float
    tail: float | None = None
    tail_zero: float | None = None


def checksums(content: bytes) -> tuple[int, ...]:
    """A checksum of each page of *content*, for `Visit`."""
    view = memoryview(content)
    return tuple(zlib.crc32(view[at : at + PAGE]) for at in range(0, len(view), PAGE))


def zero_by_resident(pages: int, resident: float) -> tuple[float, float]:
    """Of a guest of *pages* pages the zero ones, and one standard deviation of that, by the bytes that its process holds.

    Memory that was never touched is zero; of what was touched a share is zero again, or still.
    """
    (process, process_error), (share, share_error) = PROCESS, TOUCHED_ZERO
    touched = min(max(resident - process * _MIB, 0.0) / PAGE, float(pages))
    error = math.hypot((1.0 - share) * process_error * _MIB / PAGE, share_error * touched)
    return min(max(pages - (1.0 - share) * touched, 0.02 * pages), 0.95 * pages), min(error, float(pages))


def _visits(values: Iterable[Visit]) -> tuple[Visit, ...]:
    return tuple(bounds.entries("visits", values, Visit))


def _rates(values: Iterable[DirtyRate]) -> tuple[DirtyRate, ...]:
    return tuple(bounds.entries("rates", values, DirtyRate))


@attrs.frozen
class Observation:
    """All that was seen of one guest.

    *memory*: bytes of its RAM; *devices*: pages that migrate besides (firmware, video memory), and *device_zero* of them zero;
    *visits* and *rates*: what the instruments saw; *resident*: bytes of memory that its process holds, 8 MiB or more, where that is known;
    *busy*: share of its vCPU time that was used, 0 to 1; *running*: whether it ran.

    Raises `ConvergenceError` that names the field for what no guest can have.
    """

    memory: float = attrs.field(validator=bounds.valid(PAGE, bounds.MOST_BYTES))
    visits: tuple[Visit, ...] = attrs.field(default=(), repr=False, converter=_visits)
    rates: tuple[DirtyRate, ...] = attrs.field(default=(), converter=_rates)
    devices: int = attrs.field(default=0, validator=bounds.valid(0, bounds.MOST_PAGES, integer=True))
    device_zero: int = attrs.field(default=0, validator=bounds.valid(0, bounds.MOST_PAGES, integer=True))
    resident: float | None = attrs.field(default=None, validator=bounds.valid(0, bounds.MOST_BYTES, optional=True))
    busy: float | None = attrs.field(default=None, validator=bounds.valid(0, 1, optional=True))
    running: bool = attrs.field(default=True, validator=bounds.flagged)

    def __attrs_post_init__(self) -> None:
        """Checks what the instruments saw."""
        if self.device_zero > self.devices:
            raise ConvergenceError("device_zero", self.device_zero, f"is more than the {self.devices} pages of devices")
        if self.resident is not None and self.resident < LEAST_RESIDENT:
            least = (
                f"must be {LEAST_RESIDENT:.0f} or more, in bytes: no hypervisor holds less (libvirt's rss is in KiB)"
            )
            raise ConvergenceError("resident", self.resident, least)
        for visit in self.visits:
            bounds.whole("visits.page", visit.page, 0, self.pages - len(visit.sums))
            if not visit.sums:
                raise ConvergenceError("visits.sums", visit.sums, "must be the checksums of a page or more")

    @property
    def pages(self) -> int:
        """Pages of its RAM."""
        return int(self.memory) // PAGE

    def guest(self) -> Guest:
        """The guest as it was seen. Raises `ConvergenceError` where neither instrument saw anything of a guest that ran."""
        zero = self.zero_pages()
        total = self.pages + self.devices
        zero_pages = min(zero.pages + self.device_zero, float(total))
        return Guest(
            memory=total * PAGE,
            zero_pages=zero_pages,
            page_size=PAGE,
            curve=self.curve(),
            tail_pages=None if zero.tail is None else zero.tail + self.devices - self.device_zero,
            tail_zero=215.0 if zero.tail_zero is None else zero.tail_zero + self.device_zero,
            busy=1.0 if self.busy is None else min(1.0, max(0.02, self.busy)),
            zero_error=zero.error,
            least_busy=PACED if self.busy is None else None,
        )

    # --- zero pages

    def zero_pages(self) -> ZeroPages:
        """By the first visit to each block; without visits by the resident size, which exceeds the non-zero pages."""
        first: dict[int, Visit] = {}
        for visit in self.visits:
            if visit.page not in first or visit.at < first[visit.page].at:
                first[visit.page] = visit
        if len(first) < _LEAST_BLOCKS:
            return self._zero_by_resident()
        blocks = [first[page] for page in sorted(first)]
        share = np.array([visit.sums.count(_ZERO) / len(visit.sums) for visit in blocks])
        starts = np.array([float(visit.page) for visit in blocks])
        sizes = np.array([float(len(visit.sums)) for visit in blocks])
        pages, error = self._in_all(starts, sizes, share)
        weight, gaps = self._weights(starts, sizes)
        error = math.hypot(error, 0.5 * max(1.0, float(np.median(gaps))))
        tail = self._tail(share, weight) if float(weight.max()) <= _NARROW else None
        return ZeroPages(min(max(pages, 0.0), float(self.pages)), error, *(tail or (None, None)))

    def _tail(self, share: _Floats, weight: _Floats) -> tuple[float, float]:
        """What follows on the longest run of blocks that are zero through and through, and on what continues it."""
        best, at = 0.0, len(share)
        run = 0.0
        for i, (zero, size) in enumerate(zip(share.tolist(), weight.tolist(), strict=True)):
            run = run + size if zero > 0.9 else 0.0
            if run > best:
                best, at = run, i + 1
        behind = share[at:] * weight[at:]
        return float(weight[at:].sum() - behind.sum()), float(behind.sum())

    def _zero_by_resident(self) -> ZeroPages:
        if self.resident is None:
            share, deviation = ZERO_SHARE
            return ZeroPages(share * self.pages, deviation * self.pages)
        return ZeroPages(*zero_by_resident(self.pages, self.resident))

    # --- the dirty curve

    def points(self) -> tuple[tuple[float, float, float], ...]:
        """(tau, pages, one standard deviation) of every point of W that was seen, by tau."""
        found = [*self._visited(), *map(self._rated, self.rates)]
        return tuple(sorted(found))

    def curve(self) -> DirtyCurve:
        """W, with the background that every guest has; nothing where the guest does not run."""
        total = self.pages + self.devices
        if not self.running:
            return DirtyCurve((), total)
        points = self.points()
        if not points:
            raise ConvergenceError("rates", (), "nothing was seen of what the guest writes")
        background = DirtyCurve((), total).with_classes(*BACKGROUND)
        taus = np.array([tau for tau, _, _ in points])
        base = np.array([_BACKGROUND_SEEN * background.pages(tau) for tau in taus.tolist()])
        seen = np.array([pages for _, pages, _ in points])
        errors = np.array([error for _, _, error in points])
        # The background is known to be there: what is seen of it is taken off, and all of it put back.
        net = np.maximum(seen - base, 0.0)
        unseen = _UNSEEN_UNKNOWN if self.busy is None else _UNSEEN_BUSY if self.busy > 0.9 else _UNSEEN_IDLES
        found = posterior(
            tuple(zip(taus.tolist(), net.tolist(), errors.tolist(), strict=True)), float(self.pages), unseen
        )
        return DirtyCurve(
            found.classes,
            total,
            spread=min(1.0, max(0.03, found.spread)),
            others=tuple(DirtyCurve(classes, total) for classes in found.draws),
            observations=points,
        ).with_classes(*BACKGROUND)

    def _rated(self, row: DirtyRate) -> tuple[float, float, float]:
        """A point from a dirty rate: half a step is added for what was rounded off; nothing seen stays nothing."""
        step = row.resolution * row.tau / PAGE
        pages = min(row.rate * row.tau / PAGE + (0.5 * step if row.rate else 0.0), float(self.pages))
        return row.tau, pages, math.hypot(self._chance(pages, row.samples), 0.29 * step)

    def _chance(self, pages: float, samples: float) -> float:
        """The deviation of a count of *pages* that *samples* pages show."""
        return chance_of(pages, self.pages, max(samples, 1.0), least=1.0)

    def _visited(self) -> list[tuple[float, float, float]]:
        """Points from every two visits to a block, put together by the length of the window.

        The longest window, which every block has, says how much of the memory is written at all; what was written in a
        shorter one is taken as a share of that, so that it does not matter where the blocks of the shorter one lie.
        """
        blocks: dict[int, list[Visit]] = {}
        for visit in sorted(self.visits, key=lambda visit: visit.at):
            blocks.setdefault(visit.page, []).append(visit)
        spans = {page: visits[-1].at - visits[0].at for page, visits in blocks.items()}
        least = max(_SHORTEST, 0.8 * max(spans.values(), default=0.0))
        whole = {page: _changed(blocks[page][0], blocks[page][-1]) for page in sorted(blocks) if spans[page] >= least}
        if len(whole) < _LEAST_BLOCKS:
            return []
        # By window: tau, changed pages, those of the longest window, pages looked at.
        windows: dict[int, list[tuple[float, int, int, int]]] = {}
        for page, most in whole.items():
            for before, after in itertools.combinations(blocks[page], 2):
                tau = after.at - before.at
                if _SHORTEST <= tau < spans[page]:
                    row = (tau, _changed(before, after), most, len(after.sums))
                    windows.setdefault(int(math.log(tau / _SHORTEST, _WIDTH)), []).append(row)
        sizes = np.array([float(len(blocks[page][0].sums)) for page in whole])
        share = np.array([float(changed) for changed in whole.values()]) / sizes
        pages, error = self._in_all(np.array([float(page) for page in whole]), sizes, share)
        unseen = max(0.0, 1.0 - float(sizes.sum()) / self.pages)
        error = math.hypot(error, self._chance(pages, float(sizes.sum())) * math.sqrt(unseen), _UNSTEADY * pages, 1.0)
        found = [(sum(spans[page] for page in whole) / len(whole), pages, error)]
        found += [self._window(rows, pages, error) for rows in windows.values() if len(rows) >= _LEAST_BLOCKS]
        return found

    def _window(
        self, rows: list[tuple[float, int, int, int]], whole: float, whole_error: float
    ) -> tuple[float, float, float]:
        tau = sum(row[0] for row in rows) / len(rows)
        changed, most, samples = (float(sum(row[k] for row in rows)) for k in (1, 2, 3))
        if most < _LEAST_CHANGES:
            pages = self.pages * changed / samples
            # Nothing to be a share of: so few blocks may just have missed what is written.
            return tau, pages, math.hypot(self._chance(pages, samples), whole / math.sqrt(len(rows)), 1.0)
        part = min(1.0, changed / most)
        chance = math.sqrt(max(part, 1 / most) * max(1.0 - part, 1 / most) / most)
        # Neighbours may be written together: then blocks, not pages, are what was drawn.
        scatter = math.sqrt(sum((row[1] - part * row[2]) ** 2 for row in rows)) / most
        blocks = most / max(row[2] for row in rows)
        few = math.sqrt(max(part, 1 / blocks) * max(1.0 - part, 1 / blocks) / blocks) if blocks < _FEW_BLOCKS else 0.0
        error = whole * max(chance, scatter, few)
        return tau, whole * part, math.hypot(error, part * whole_error, _UNSTEADY * whole * part, 1.0)

    def _in_all(self, starts: _Floats, sizes: _Floats, share: _Floats) -> tuple[float, float]:
        """The pages of the memory that have what *share* of each block's pages have, and the deviation of that."""
        weight, gaps = self._weights(starts, sizes)
        return float(share @ weight), math.sqrt(float((gaps**2) @ (np.diff(share) ** 2)) / 4)

    def _weights(self, starts: _Floats, sizes: _Floats) -> tuple[_Floats, _Floats]:
        """How many pages each block stands for, by address: its own, and half of the gap to each neighbour; and the gaps."""
        ends = starts + sizes
        gaps = np.maximum(starts[1:] - ends[:-1], 0.0)
        head, end = max(starts[0], 0.0), max(self.pages - ends[-1], 0.0)
        return sizes + np.concatenate(([head], gaps / 2)) + np.concatenate((gaps / 2, [end])), gaps


def _changed(before: Visit, after: Visit) -> int:
    return sum(a != b for a, b in zip(before.sums, after.sums, strict=False))
