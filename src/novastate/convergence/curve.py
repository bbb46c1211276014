"""The dirty curve: how many distinct pages a guest writes in a window of time.

Rule: W(tau), the expected number of distinct pages written in a window of tau seconds, is 0 at 0,
increasing, concave, and bounded by the guest's memory. One "dirty rate" is W(tau)/tau for one tau: it says
little about the others.

Theory: pages that are written independently, r times a second over N pages, give W = N (1 - exp(-r tau / N)).
A mixture of such classes with non-negative sizes is increasing and concave whatever the sizes, and it
approximates every curve of independent pages (zipf, hot/cold, uniform). Its sizes are found by non-negative
least squares over rates laid out evenly in the logarithm. A writer that goes through its pages in order is
no such mixture: W = min(r tau, N), and what it writes next is never what is still unsent; it is recognised by a
W that stays straight, and kept as a class of its own.

Sources: the classes are those of the working-set literature (Denning 1968; Xiang, Ding et al., HOTL,
ASPLOS'13); non-negative least squares by active set: Lawson and Hanson 1974.
QEMU's dirty rate over a calc-time tau (migration/dirtyrate.c) is W(tau)/tau in whole MiB/s.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import attrs
import numpy as np

from novastate._native.precopy_fields import MAX_CLASSES
from novastate.convergence import bounds
from novastate.convergence.curves.bitmaps import BitmapWindows, bitmap_footprints
from novastate.convergence.curves.classes import DirtyClass, written
from novastate.convergence.curves.fit import check_shape, fit
from novastate.convergence.curves.footprints import Footprint, fitted
from novastate.convergence.curves.posterior import WINDOWS, posterior
from novastate.convergence.curves.rounds import round_points
from novastate.convergence.curves.samples import chance_of, rate_seen, sampled_points
from novastate.convergence.curves.traces import Trace
from novastate.errors import ConvergenceError

__all__ = ["DirtyClass", "DirtyCurve"]

_MIB, _GIB = 1 << 20, 1 << 30
#: Windows from a hypervisor's slot to a round of a small guest, and as many, leave no more of W open than `spread` says, s.
_SLOT, _ROUND, _MANY = 0.1, 2.0, 4
#: Of a measured window, the share of its pages that counts as its deviation; points among which those of a trace are thinned.
_NEAR, _POINTS = 0.01, 8
#: One standard deviation of what is rounded off, in steps.
_ROUNDED = 0.29
#: Pages of each GiB that QEMU looks at for a dirty rate unless told otherwise; and, where it looks at all, how steady guests are.
_SAMPLES, _STEADY = 512.0, 0.05


def _classes(values: Iterable[DirtyClass]) -> tuple[DirtyClass, ...]:
    return tuple(bounds.entries("classes", values, DirtyClass))


def _others(curves: Iterable[DirtyCurve]) -> tuple[DirtyCurve, ...]:
    return tuple(bounds.entries("others", curves, DirtyCurve))


def _between(curves: Iterable[DirtyCurve] | None) -> tuple[DirtyCurve, DirtyCurve] | None:
    if curves is None:
        return None
    found = bounds.entries("band", curves, DirtyCurve)
    if len(found) != 2:
        raise ConvergenceError("band", len(found), "must be two curves")
    return found[0], found[1]


def _observed(rows: Iterable[Sequence[float]]) -> tuple[tuple[float, float, float], ...]:
    return tuple(
        (
            bounds.number("observations.tau", tau),
            bounds.number("observations.pages", pages),
            bounds.number("observations.deviation", error),
        )
        for tau, pages, error in bounds.rows("observations", rows, 3)
    )


@attrs.frozen
class DirtyCurve:
    """W(tau) of a guest: a sum of classes.

    *classes* is the law; *page_count* the guest's pages, which W never exceeds, at most 2**40; *spread* the relative
    uncertainty of W (one standard deviation), 0 where the law is known, at most 10. Raises `ConvergenceError` for
    more, for what is no class or curve, for more classes than 32, and for classes that have together more pages than the guest.

    *others*: curves that are as likely, all equally, where the law was worked out of a few noisy points. *band*: the curves
    between which nine of ten windows lie, where windows were counted one by one. *observations*: (tau in s, pages, deviation) of
    what the curve was made from, for pictures.

    >>> curve = DirtyCurve.from_windows({0.25: 2956, 0.5: 5379, 1.0: 9003, 2.0: 13055}, page_count=98304)
    >>> round(curve.pages(1.0), -1), round(curve.rate(1.0), -1)
    (9000.0, 9000.0)
    """

    classes: tuple[DirtyClass, ...] = attrs.field(converter=_classes)
    page_count: int
    spread: float = 0.0
    others: tuple[DirtyCurve, ...] = attrs.field(default=(), kw_only=True, repr=False, converter=_others)
    band: tuple[DirtyCurve, DirtyCurve] | None = attrs.field(default=None, kw_only=True, repr=False, converter=_between)
    observations: tuple[tuple[float, float, float], ...] = attrs.field(
        default=(), kw_only=True, repr=False, eq=False, converter=_observed
    )
    #: The kernel's rows, made once; only the kernel reads them.
    _rows: array[float] = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """Checks the classes against the memory."""
        bounds.whole("page_count", self.page_count, 0, bounds.MOST_PAGES)
        if len(self.classes) > MAX_CLASSES:
            raise ConvergenceError("classes", len(self.classes), f"may be at most {MAX_CLASSES}")
        bounds.number("spread", self.spread, 0, bounds.WIDEST)
        rows = array("d")
        for row in self.classes:
            rows.extend((row.size, row.rate, float(row.sequential)))
        total = sum(row.size for row in self.classes)
        if total > self.page_count * (1 + 1e-9):
            raise ConvergenceError("classes", total, f"has more pages than the memory's {self.page_count}")
        object.__setattr__(self, "_rows", rows)

    @property
    def rows(self) -> tuple[float, ...]:
        """Size, rate, and 1 where sequential else 0, of each class in turn."""
        return tuple(self._rows)

    @classmethod
    def from_windows(
        cls,
        windows: Mapping[float, float],
        page_count: int,
        *,
        write_rate: float | None = None,
        noise: float = 0.05,
    ) -> DirtyCurve:
        """The curve through measured windows: {tau in s: distinct pages written}.

        *write_rate*, writes a second (to pages written before or not), is the slope of W at 0; where it is known
        it tells how W runs below the shortest window. *noise* is the relative error a point may have before
        it counts as wrong (``inf``: none does).
        The law counts as known where there are at least four windows, of 2 s or longer too, and *write_rate* or a window of a
        tenth of a second or less. Where not, `others`, `spread`, `lower` and `upper` say what the windows leave open
        (`novastate.convergence.curves.posterior`): W below the shortest and above the longest.
        Raises `ConvergenceError` for NaN, a negative number, a window shorter than a microsecond or longer than a year, more
        pages than *page_count* or than 2**40, and for points that no increasing, concave curve comes near to.
        """
        bounds.whole("page_count", page_count, 1, bounds.MOST_PAGES)
        bounds.instance("windows", windows, Mapping)
        points = sorted(
            (
                bounds.number(f"windows[{tau}]: tau", tau, bounds.SHORTEST, bounds.LONGEST),
                bounds.number(f"windows[{tau}]", pages),
            )
            for tau, pages in windows.items()
        )
        if not points:
            raise ConvergenceError("windows", windows, "must hold at least one window")
        for tau, pages in points:
            if pages > page_count:
                raise ConvergenceError(f"windows[{tau}]", pages, f"is more than the memory's {page_count} pages")
        check_shape(points, bounds.number("noise", noise, 0, math.inf))
        taus = np.array([tau for tau, _ in points])
        counts = np.array([w for _, w in points])
        slope = None if write_rate is None else bounds.number("write_rate", write_rate)
        seen = tuple((tau, pages, 0.0) for tau, pages in points)
        found = cls(fit(taus, counts, np.maximum(counts, 1.0), page_count, slope), page_count, observations=seen)
        if _known(taus.tolist(), slope):
            return found
        near = [(tau, pages, max(1.0, _NEAR * pages)) for tau, pages in points]
        return found._unsure(near, slope)

    @classmethod
    def from_dirty_rates(
        cls,
        rates: Iterable[tuple[float, float]],
        memory: int,
        *,
        page_size: int = 4096,
        resolution: float = _MIB,
        noise: float = 0.5,
        samples: float | None = _SAMPLES,
    ) -> DirtyCurve:
        """The curve from a hypervisor's dirty rates: (calc-time in s, bytes/s), as libvirt and QMP report them.

        *memory* in bytes; *samples*: pages that were looked at in each GiB, which says how near each rate is (QEMU's `sample-pages`:
        512 unless told otherwise, so 192 pages of a guest of 384 MiB); None: all were, by dirty bitmap or dirty ring. A rate over
        tau is W(tau)/tau, rounded down to *resolution* bytes/s: half a step is added. The curve is the mean of all that fit
        (`novastate.convergence.curves.posterior`), `others` some of those, and `spread`, `lower` and `upper` what they differ by.
        Page sampling compares contents, so it does not see pages rewritten with equal bytes.
        Raises `ConvergenceError` as `from_windows` does, for a *page_size* that no guest has, for a *resolution* that is
        negative or more than 2**52, and for a rate that is less than it and not 0 (as one in MiB/s would be). Points are
        refused that no curve comes near to by more than *noise*, the resolution and the chance of the samples; *noise* may be ``inf``
        to accept any.
        """
        page_size = bounds.page_size("page_size", page_size)
        page_count = int(bounds.number("memory", memory, 0, bounds.MOST_BYTES, above=True)) // page_size
        resolution = bounds.number("resolution", resolution, 0, bounds.MOST_BYTES)
        noise = bounds.number("noise", noise, 0, math.inf)
        if samples is not None:
            samples = bounds.number("samples", samples, above=True)
        looked_at = None if samples is None else max(1.0, samples * page_count * page_size / _GIB)

        def chance(pages: float) -> float:
            return _STEADY * pages if looked_at is None else chance_of(pages, page_count, looked_at)

        by_tau: dict[float, list[float]] = {}
        for tau, rate in bounds.pairs("rates", rates):
            window = bounds.number(f"rates[{tau}]: tau", tau, bounds.SHORTEST, bounds.LONGEST)
            by_tau.setdefault(window, []).append(rate_seen(f"rates[{tau}]", rate, resolution))
        if not by_tau:
            raise ConvergenceError("rates", [], "must hold at least one dirty rate")
        points: list[tuple[float, float]] = []
        every: list[tuple[float, float, float]] = []
        for tau in sorted(by_tau):
            seen = by_tau[tau]
            # What was cut off by rounding down is half a step on average; nothing seen stays nothing.
            mean = sum(rate + 0.5 * resolution if rate else 0.0 for rate in seen) / len(seen) * tau / page_size
            if mean > page_count * (1 + resolution * tau / max(1.0, mean * page_size)):
                raise ConvergenceError(f"rates[{tau}]", max(seen), f"is more than the memory's {page_count} pages")
            points.append((tau, min(mean, page_count)))
            seen_pages = [min(page_count, (r + 0.5 * resolution if r else 0.0) * tau / page_size) for r in seen]
            error = max(1.0, math.hypot(chance(mean), _ROUNDED * resolution * tau / page_size))
            every += [(tau, pages, error) for pages in seen_pages]
        check_shape(points, noise, slack=2 * resolution / page_size, name="rates", chance=chance)
        return cls._likely(every, page_count)

    @classmethod
    def from_trace(
        cls,
        pages: object,
        times: object,
        page_count: int,
        *,
        resolution: float | None = None,
        unit: float = 1.0,
        start: float | None = None,
        end: float | None = None,
    ) -> DirtyCurve:
        """The curve of a trace of writes: buffers of page numbers and of their times, which do not fall.

        A time is *unit* seconds; *start* and *end* of the record, as times, are the first and the last write unless told; times are
        cut into slots of *resolution* seconds, a microsecond unless the record is longer than an hour. The curve goes through
        exact footprints (`novastate.convergence.curves.traces`), from a millisecond to half of the record, within 1 to 2 %. Of a record
        shorter than 4 s, `others`, `lower` and `upper` say what is open of longer windows, as in `from_windows`.
        Raises `ConvergenceError` naming the write or the argument that is wrong.
        """
        if times is None:
            raise ConvergenceError("times", None, "must be the times of the writes")
        trace = Trace.made(
            pages, times, page_count, resolution=resolution, unit=unit, start=start, end=end, lasting=True
        )
        writes = trace.pages.size
        rate = writes / (trace.slots * trace.resolution)
        return cls._counted(trace.measured(), page_count, rate or None, writes)

    @classmethod
    def from_bitmaps(
        cls, bitmaps: object, interval: float, page_count: int | None = None, *, write_rate: float | None = None
    ) -> DirtyCurve:
        """The curve of dirty bitmaps taken each *interval* seconds: uint64[K, words], page 0 in the lowest bit of the first word.

        *page_count*: the bits that count; None: all. *write_rate* as in `from_windows`. Bitmaps that come one by one go into
        `BitmapWindows`, which is taken here as well. The curve goes through the footprints of 1, 2, 4 ... intervals.
        Raises `ConvergenceError` for other shapes, no bitmap, and pages beyond the memory.
        """
        slope = None if write_rate is None else bounds.number("write_rate", write_rate)
        if isinstance(bitmaps, BitmapWindows):
            if (interval, page_count or bitmaps.page_count) != (bitmaps.interval, bitmaps.page_count):
                raise ConvergenceError("interval, page_count", (interval, page_count), "must be those of the windows")
            rows = bitmaps.footprints()
            if not rows:
                raise ConvergenceError("bitmaps", 0, "must be at least one")
            return cls._counted(rows, bitmaps.page_count, slope)
        rows = bitmap_footprints(
            bitmaps, bounds.number("interval", interval, bounds.SHORTEST, bounds.LONGEST), page_count
        )
        pages = np.asarray(bitmaps).shape[1] * 64 if page_count is None else page_count
        return cls._counted(rows, pages, slope)

    @classmethod
    def from_samples(cls, versions: object, interval: float, page_count: int) -> DirtyCurve:
        """The curve of n sampled pages looked at each *interval* seconds: [looks, n] checksums or versions, of any type.

        The pages stand for *page_count*; what their choice leaves open (binomial) is in `spread`, `lower`, `upper` and `others`.
        Checksums do not see pages rewritten with equal bytes. Raises `ConvergenceError`.
        """
        interval = bounds.number("interval", interval, bounds.SHORTEST, bounds.LONGEST)
        return cls._likely(sampled_points(versions, interval, page_count), page_count)

    @classmethod
    def from_rounds(cls, rounds: Iterable[tuple[float, float, float]], page_count: int) -> DirtyCurve:
        """The curve that the rounds of a running migration show: (seconds since the sync before, new pages, pages still unsent).

        `novastate.convergence.new_pages` makes new pages of job statistics. Raises `ConvergenceError` naming the round.
        """
        return cls._likely(round_points(rounds, page_count), page_count)

    @classmethod
    def _likely(cls, points: Sequence[tuple[float, float, float]], page_count: int) -> DirtyCurve:
        """What few noisy *points* (tau, pages, deviation) say."""
        found = posterior(tuple(points), page_count)
        others = tuple(cls(classes, page_count) for classes in found.draws)
        spread = min(1.0, max(0.03, found.spread))
        return cls(found.classes, page_count, spread=spread, others=others, observations=tuple(points))

    @classmethod
    def _counted(
        cls, footprints: Sequence[Footprint], page_count: int, slope: float | None, writes: float = math.inf
    ) -> DirtyCurve:
        """What counted windows say, of a record of *writes* writes: its chance, of 1 / sqrt(writes), is in `spread`."""
        found = fitted(footprints, page_count, slope)
        chance = 1.0 / math.sqrt(max(1.0, writes))
        band = cls(found.lower, page_count), cls(found.upper, page_count)
        spread = max(found.spread, chance)
        made = cls(found.classes, page_count, spread, band=band, observations=found.observations)
        if _known([row.tau for row in footprints], slope):
            return made
        points = [
            (row.tau, min(row.mean, page_count), max(_NEAR, max(_NEAR, chance) * row.mean, _error(row)))
            for row in footprints[:: -(-len(footprints) // _POINTS)]
        ]
        return made._unsure(points, None)

    def _unsure(self, points: list[tuple[float, float, float]], slope: float | None) -> DirtyCurve:
        """The same law with all others that come through few *points* (tau, pages, deviation) with the *slope* at 0."""
        if not self.page_count:
            return self
        if slope:
            # A window so short that hardly a page is written twice.
            tau = max(bounds.SHORTEST, 1e-3 * min(points[0][0], max(points[0][1], 1.0) / slope))
            pages = min(slope * tau, points[0][1])
            points = [(tau, pages, max(_NEAR * pages, 1e-9)), *points]
        found = posterior(tuple(points), self.page_count)
        others = tuple(DirtyCurve(classes, self.page_count) for classes in found.draws)
        return attrs.evolve(self, spread=min(1.0, max(self.spread, found.spread)), others=others)

    def pages(self, tau: float) -> float:
        """Distinct pages written in *tau* seconds; raises `ConvergenceError` for NaN or a negative time."""
        tau = bounds.number("tau", tau)
        return min(float(self.page_count), sum(written(row, tau) for row in self.classes))

    def rate(self, tau: float) -> float:
        """Distinct pages a second over a window of *tau* s, W(tau)/tau; at 0 the rate of all writes. Raises as `pages` does."""
        tau = bounds.number("tau", tau)
        return self.pages(tau) / tau if tau else sum(row.rate for row in self.classes)

    @cached_property
    def lower(self) -> DirtyCurve:
        """The curve that W lies above with 95 % probability; where windows were counted, in 95 % of them."""
        if self.band and not self.others:
            return self.band[0]
        return self._band(0.05) if self.others else self.scaled(max(0.05, 1.0 - 1.645 * self.spread))

    @cached_property
    def upper(self) -> DirtyCurve:
        """The curve that W lies below with 95 % probability; where windows were counted, in 95 % of them."""
        if self.band and not self.others:
            return self.band[1]
        return self._band(0.95) if self.others else self.scaled(1.0 + 1.645 * self.spread)

    def with_classes(self, *more: DirtyClass) -> DirtyCurve:
        """The same guest with *more* classes of pages; each is cut to what the memory still has room for."""
        bounds.entries("more", more, DirtyClass)
        room = self.page_count - sum(row.size for row in self.classes)
        added: list[DirtyClass] = []
        for row in more:
            size = min(row.size, room)
            if size > 0:
                added.append(attrs.evolve(row, size=size, rate=row.rate * size / row.size))
                room -= size
        others = tuple(row.with_classes(*more) for row in self.others)
        band = (self.band[0].with_classes(*more), self.band[1].with_classes(*more)) if self.band else None
        return attrs.evolve(self, classes=(*self.classes, *added), others=others, band=band)

    def _repr_html_(self) -> str:
        """For notebooks: a table, with a picture where matplotlib is installed."""
        from novastate.convergence.pictures.html import curve_html  # noqa: PLC0415  (it draws curves)

        return curve_html(self)

    def _band(self, share: float) -> DirtyCurve:
        """The curve through what the share *share* of `others` lies below at each window; no nearer than `classes` and `band`."""
        pick = min if share < 0.5 else max
        nearest = self.band[share > 0.5] if self.band else self
        values = [
            pick(
                float(np.quantile([row.pages(tau) for row in self.others], share)), self.pages(tau), nearest.pages(tau)
            )
            for tau in WINDOWS.tolist()
        ]
        pages = np.maximum.accumulate(np.array(values))
        return DirtyCurve(fit(WINDOWS, pages, np.maximum(0.01 * pages, 1.0), self.page_count), self.page_count)

    def scaled(self, factor: float) -> DirtyCurve:
        """The same pages written *factor* times as much, as far as the memory has room; what was uncertain is dropped.

        Raises `ConvergenceError` for a factor that is not above 0, and for one by which more would be written than `DirtyClass` takes.
        """
        factor = bounds.number("factor", factor, above=True)
        total = sum(row.size for row in self.classes)
        most = self.page_count / total if total else 1.0
        classes = tuple(
            attrs.evolve(row, size=row.size * min(factor, most), rate=row.rate * factor) for row in self.classes
        )
        return attrs.evolve(self, classes=classes, spread=0.0, others=(), band=None)


def kernel_rows(curve: DirtyCurve) -> array[float]:
    """The rows of *curve* as the kernel reads them, made once for all its runs. Within the package only, and never to be written to:
    others have `DirtyCurve.rows`.
    """
    return curve._rows  # noqa: SLF001  (a property would let a caller change a frozen curve)


def _known(taus: Sequence[float], slope: float | None) -> bool:
    """Whether windows of *taus*, rising, and the *slope* at 0 leave nothing open that decides a migration."""
    return len(taus) >= _MANY and taus[-1] >= _ROUND and (slope is not None or taus[0] <= _SLOT)


def _error(row: Footprint) -> float:
    """One standard deviation of a counted mean; of a single window as if pages came independently."""
    return row.error if row.windows > 1 else math.sqrt(row.mean)
