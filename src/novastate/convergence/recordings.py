"""Recorded live migrations: one JSON file each, with what was known before, and what happened.

Rules: a forecast may use `config`, `versions`, `link`, `pre` and `given`; nothing else of a recording. The two
questions that are asked of one:

- *law*: the guest's write law is known (`pre.guest_truth`), and how many of its pages are zero
  (`given.zero_pages`, or what the first pass of the finished migration counted as constant);
- *host*: only what a host sees: dirty rates by page sampling, the process's resident size, memory, CPU time.

What a host does not see is made up for by uncertainty, never by a guess that is hidden:

- the share of zero pages, unless given: of what the process holds some 120 MiB are its own, and up to four tenths of what
  the guest has touched are zero; without the resident size anything from a tenth to seven tenths is likely;
- page sampling compares contents, so pages that are rewritten with equal bytes are not seen: the rates
  may be far higher, the more so where the vCPU never idles;
- every guest has a background of its own (timers, stacks, device rings): about 190 pages within 4 s, 60 of them within
  0.1 s, measured on idle Linux guests. A write law does not hold it; it is added.
"""

from __future__ import annotations

import json
import math
import os
import stat
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import attrs

from novastate.convergence import bounds
from novastate.convergence.curve import DirtyCurve
from novastate.convergence.curves.classes import DirtyClass
from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.hosts import first_touch_of
from novastate.convergence.precopy import Forecast, forecast
from novastate.convergence.rules import Rules
from novastate.convergence.sources import PACED, ZERO_SHARE, DirtyRate, Observation, zero_by_resident
from novastate.errors import ConvergenceError

__all__ = ["SOURCES", "Outcome", "Recording", "Source", "load_all"]

#: What is known of the guest: its write law, or what its host observes.
Source = Literal["host", "law"]
SOURCES: tuple[Source, ...] = ("host", "law")

_MIB = 1 << 20
_PAGE = 4096
#: Firmware and device memory that migrates besides the guest's (130 pages with QEMU's q35 and no display).
_DEVICE_PAGES = 130
#: Pages that libvirt has sampled in each GiB, and QEMU unless told otherwise.
_SAMPLES = 512
#: QEMU's dirty rate before there is one; for a moment it is already called measured (migration/dirtyrate.c).
_UNWRITTEN = -1
#: What a flag may be besides true and false; of post-copy "never": it may switch, and does not.
_FLAGS = {"yes", "no", "never"}
#: Seconds of QEMU's units of a calc-time, and its longest, s (migration/dirtyrate.h: MAX_CALC_TIME_MS), with what a wait takes more.
_UNITS = {"second": 1.0, "millisecond": 0.001}
_LONGEST_CALC = 65.0
#: What the guest's system writes besides the program whose law is known, and what this program's own count of written pages does,
#: for each MiB of its working set: a table of 8 bytes a page, and some 10 bytes a page that it goes through now and then.
BACKGROUND = (DirtyClass(65, 2600), DirtyClass(19, 47.5), DirtyClass(19, 13.3))
_COUNTED = (DirtyClass(0.5, 20), DirtyClass(0.31, 0.775), DirtyClass(0.31, 0.217))
#: s that the job lasts longer by the source's statistics, which tell of the line, than by the destination's.
_SOURCE_LATER = 0.012
#: Nobody's management layer takes longer, s: a number beyond is no such time.
_LONGEST_BEGIN = 60.0
#: The line rate where a recording has none: one stream through the loopback of a present-day host, bytes/s.
_LINE_RATE = 2.4e9


@attrs.frozen
class Outcome:
    """What happened: whether it *completed*, and if so *total* s, *downtime* s and *transferred* bytes; *begin* is what
    passed before the hypervisor started, where the trace tells.
    """

    completed: bool
    total: float | None
    downtime: float | None
    transferred: float | None
    begin: float | None


@attrs.frozen
class Recording:
    """One recorded migration, or the part of one that was known before it started.

    Raises `ConvergenceError` that names the field (``config.mem_mb``) for what is missing or impossible; of a
    file that is no JSON it names the byte.
    """

    name: str = attrs.field(validator=bounds.named)
    data: Mapping[str, object] = attrs.field(repr=False, hash=False)

    def __attrs_post_init__(self) -> None:
        """Checks what every question needs."""
        bounds.instance("data", self.data, Mapping)
        for field in ("config", "versions", "pre"):
            self._part(field)
        for field, least in (("mem_mb", 1.0), ("bandwidth", 0.0), ("downtime_ms", 0.0), ("abort_s", 0.0)):
            value = self._number("config", field)
            if value < least:
                raise ConvergenceError(f"config.{field}", value, f"must be {least:g} or more")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """The recording in the file at *path*."""
        bounds.instance("path", path, str, os.PathLike)
        try:
            if not stat.S_ISREG(Path(path).stat().st_mode):  # a pipe or a terminal would be waited for
                raise ConvergenceError("file", os.fspath(path), "is no regular file")
            raw = Path(path).read_bytes()
        except OSError as error:
            raise ConvergenceError("file", os.fspath(path), f"cannot be read: {error.strerror}") from error
        try:
            data: object = json.loads(raw)
        except UnicodeDecodeError as error:
            raise ConvergenceError("file", os.fspath(path), f"is no JSON: byte {error.start} is no UTF-8") from error
        except json.JSONDecodeError as error:
            at = len(error.doc[: error.pos].encode())
            what = "ends too early" if at >= len(raw.rstrip()) else "is no JSON"
            raise ConvergenceError(
                "file", os.fspath(path), f"{what}: at byte {at} of {len(raw)}, {error.msg}"
            ) from error
        except RecursionError as error:
            raise ConvergenceError("file", os.fspath(path), "is nested too deeply") from error
        if not isinstance(data, dict):
            raise ConvergenceError("file", os.fspath(path), "must hold one JSON object")
        return cls(Path(path).stem, data)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the recording to *path*: beside it first, so that a failure leaves what was there."""
        bounds.instance("path", path, str, os.PathLike)
        beside = Path(f"{os.fspath(path)}.new")
        try:
            beside.write_text(json.dumps(self.data), encoding="utf-8")
            beside.replace(path)
        except OSError as error:
            raise ConvergenceError("file", os.fspath(path), f"cannot be written: {error.strerror}") from error

    # --- what a forecast is made from

    @property
    def plain(self) -> bool:
        """Pre-copy and nothing else: no auto-converge, post-copy, XBZRLE or multifd."""
        rules = self.rules
        return not (rules.auto_converge or rules.post_copy or rules.xbzrle_cache or rules.multifd)

    @property
    def pages(self) -> int:
        """The pages that migrate, devices' memory included."""
        return int(self._number("config", "mem_mb") * _MIB) // _PAGE + _DEVICE_PAGES

    @property
    def limits(self) -> Limits:
        """The downtime limit and the time at which it was given up."""
        abort = self._number("config", "abort_s")
        return Limits(self._number("config", "downtime_ms") / 1000.0, abort or None)

    @property
    def link(self) -> Link:
        """The bandwidth limit, and the line rate for pages that the destination has already."""
        return Link(self._number("config", "bandwidth") * _MIB, max(_LINE_RATE, self._line_rate() or 0.0))

    @property
    def rules(self) -> Rules:
        """QEMU's rules of the recorded version with the recorded options."""
        config = self._part("config")
        version = self._number("versions", "qemu")
        number = f"{int(version) // 1000000}.{int(version) // 1000 % 1000}"
        options: dict[str, float | None] = {}
        for field, rule, unit in (
            ("ac_initial", "initial", 0.01),
            ("ac_increment", "increment", 0.01),
            ("postcopy_after_iter", "post_copy_after", 1),
            ("xbzrle", "xbzrle_cache", _MIB),
            ("multifd", "multifd", 1),
            ("avail_switchover", "switchover_bandwidth", _MIB),
        ):
            if config.get(field):
                options[rule] = self._number("config", field) * unit
        for rule in ("post_copy_after", "multifd"):
            if rule in options:
                options[rule] = int(options[rule] or 0)
        line, given = self._line_rate(), self.data.get("given")
        if isinstance(given, dict) and given.get("first_touch") is not None:
            options["first_touch"] = self._number("given", "first_touch")
        elif line:
            options["first_touch"] = first_touch_of(line)
        begin = self._begin()
        if begin is not None:
            options["begin"] = begin
        if self._params().get("write") == "page":
            options["xbzrle_delta"] = 0.88 * _PAGE
        return Rules.qemu(
            number,
            auto_converge=self._flag("config", "auto_converge"),
            post_copy=self._flag("config", "postcopy"),
            accelerator="tcg" if self._part("versions").get("accel") == "tcg" else "kvm",
            **options,
        )

    def guest(self, source: Source = "host") -> Guest:
        """The guest as *source* knows it: ``"host"`` what was observed from there, ``"law"`` what it was told to write.

        Raises `ConvergenceError` naming what the recording lacks for it, and for another source.
        """
        bounds.choice("source", source, SOURCES)
        zero, error = self._zero(source)
        busy = self._busy()
        least = None
        if source == "law":
            if busy is None:
                busy = 1.0 if self._params().get("cpu") else PACED
            curve = self._law().with_classes(*self._background())
        else:
            curve = self._sampled(busy)
            least = PACED if busy is None else None
        return Guest(
            memory=self.pages * _PAGE,
            zero_pages=zero,
            page_size=_PAGE,
            curve=curve,
            busy=1.0 if busy is None else busy,
            zero_error=error,
            least_busy=least,
        )

    def forecast(self, source: Source = "host") -> Forecast:
        """What would be said before the migration starts; *source* and the errors raised as for `guest`."""
        return forecast(self.guest(source), self.link, self.limits, self.rules)

    # --- what happened

    @property
    def outcome(self) -> Outcome | None:
        """What happened; None where the recording holds only what was known before."""
        outcome = self.data.get("outcome")
        if outcome is None:
            return None
        completed = str(outcome).startswith("completed")
        stats = self._final_stats()
        total = _known(stats.get("time_elapsed"))
        started = [
            _known(row[0])
            for row in _rows(self.data.get("qemu_trace"))
            if len(row) > 3 and row[1] == "A" and row[3] == "new state active"
        ]
        if not completed or total is None or total <= 0:
            return Outcome(completed, None, None, None, None)
        pause = _known(stats.get("downtime"))
        return Outcome(
            completed,
            total / 1000.0,
            None if pause is None else pause / 1000.0,
            _known(stats.get("memory_processed")),
            started[0] if started else None,
        )

    # --- reading

    def _part(self, field: str) -> Mapping[str, object]:
        part = self.data.get(field)
        if not isinstance(part, dict):
            raise ConvergenceError(field, part, "must be an object of the recording")
        return part

    def _number(self, part: str, field: str) -> float:
        value = self._part(part).get(field)
        known = _known(value)
        if known is None:
            raise ConvergenceError(f"{part}.{field}", value, "must be a finite number")
        return known

    def _flag(self, part: str, field: str) -> bool:
        value = self._part(part).get(field)
        if isinstance(value, bool) or value is None or (isinstance(value, str) and value in _FLAGS):
            return value is True or value == "yes"
        raise ConvergenceError(f"{part}.{field}", value, "must be true or false")

    def _background(self) -> list[DirtyClass]:
        """What is written besides the law that is known."""
        config = self._part("config")
        most = _known(config.get("mem_mb")) or 0.0
        mib = min(max(_known(self._params().get("wss_mb", 64)) or 0.0, 0.0), most)
        return [
            DirtyClass(row.size + mib * more.size, row.rate + mib * more.rate)
            for row, more in zip(BACKGROUND, _COUNTED, strict=True)
        ]

    def _params(self) -> Mapping[str, object]:
        params = self._part("config").get("guest_params")
        return params if isinstance(params, dict) else {}

    def _final_stats(self) -> Mapping[str, object]:
        final = self.data.get("final")
        if not isinstance(final, dict):
            return {}
        found = [final.get("completed_stats")]
        found += [row[4][0] if isinstance(row[4], list) and row[4] else row[4]
                  for row in reversed(_rows(final.get("job_completed_events"))) if len(row) > 4]  # fmt: skip
        return next((stats for stats in found if isinstance(stats, dict) and "time_elapsed" in stats), {})

    def _line_rate(self) -> float | None:
        """Bytes/s of an unlimited migration, without what passed before the hypervisor started."""
        link = self.data.get("link")
        line = link.get("line_rate") if isinstance(link, dict) else None
        if not isinstance(line, dict):
            return None
        rate = line.get("mib_s")
        if rate is None:
            return None
        known = _known(rate)
        if known is None or not 0 < known < 1e7:
            raise ConvergenceError("link.line_rate.mib_s", rate, "must be a number above 0")
        measured = known * _MIB
        for run in _objects(line.get("runs")):
            took, sent = _known(run.get("total_ms")), _known(run.get("bytes"))
            if took is not None and sent is not None and took > 600 and 0 < sent < took * 1e10:
                measured = max(measured, sent / (took / 1000.0 - 0.305))
        return measured

    def _begin(self) -> float | None:
        """What passed before the hypervisor started, by a migration without a limit of a guest that wrote nothing: what its first pass
        does not explain. None where there was none.
        """
        link = self.data.get("link")
        line = link.get("line_rate") if isinstance(link, dict) else None
        begins: list[float] = []
        for run in _objects(line.get("runs") if isinstance(line, dict) else None):
            sent, pace, first = (_known(run.get(field)) or 0.0 for field in ("bytes", "mean_mib_s", "first_pass_s"))
            if run.get("guest_rate_mb_s") == 0 and pace > 0 and first > 0:
                begins.append(sent / (pace * _MIB) - first - _SOURCE_LATER)  # the pace is that of all but the pause
        begin = statistics.median(begins) if begins else 0.0
        return begin if 0 < begin <= _LONGEST_BEGIN else None

    def _busy(self) -> float | None:
        """The share of its vCPU time that the guest used while it was measured."""
        pre = self._part("pre")
        info = pre.get("dominfo")
        if not isinstance(info, list) or len(info) < 5:
            return None
        vcpus, before, spent = _known(info[3]), _known(info[4]), _known(pre.get("cpu_time_ns"))
        start, end = _known(pre.get("t_measure_start")), _known(pre.get("t_measure_end"))
        if vcpus is None or before is None or spent is None or start is None or end is None or end <= start:
            return None
        share = (spent - before) / 1e9 / (end - start) / max(1.0, vcpus)
        return min(1.0, max(0.02, share))

    def _zero(self, source: Source) -> tuple[float, float]:
        """The zero pages, and one standard deviation of them."""
        given = self.data.get("given")
        if isinstance(given, dict) and given.get("zero_pages") is not None:
            zero = self._number("given", "zero_pages")
            if not 0 <= zero <= self.pages:
                raise ConvergenceError("given.zero_pages", zero, f"must be 0 to {self.pages}, the guest's pages")
            return zero, 0.0 if source == "law" else 0.01 * self.pages
        if source == "law":
            counted = [
                stats.get("memory_constant") for stats in (*_objects(self.data.get("samples")), self._final_stats())
            ]
            found = [zero for zero in map(_known, counted) if zero is not None]
            if not found:
                raise ConvergenceError("given.zero_pages", None, "is needed where the migration was not recorded")
            return max(found), 0.0
        stats = self._part("pre").get("memory_stats")
        rss = stats.get("rss") if isinstance(stats, dict) else None
        if rss is None:
            share, error = ZERO_SHARE
            return share * self.pages, error * self.pages
        kib = _known(rss)
        if kib is None or not 0 < kib < 2**42:
            raise ConvergenceError("pre.memory_stats.rss", rss, "must be a number of KiB above 0")
        return zero_by_resident(self.pages, kib * 1024)

    def _law(self) -> DirtyCurve:
        truth = self._part("pre").get("guest_truth")
        windows = truth.get("W_unique_pages") if isinstance(truth, dict) else None
        slope = _known(truth.get("rate_pps_last_s")) if isinstance(truth, dict) else None
        if not isinstance(windows, dict) or not windows:
            raise ConvergenceError(
                "pre.guest_truth", truth, "must hold a write law; without one forecast from the host's view"
            )
        points: dict[float, float] = {}
        for tau, found in windows.items():
            pages = found.get("mean_pages") if isinstance(found, dict) else found
            known = _known(pages)
            try:
                window = float(tau)
            except ValueError:
                window = math.nan
            if known is None or not math.isfinite(window):
                raise ConvergenceError(f"pre.guest_truth.W_unique_pages.{tau}", pages, "must be a number of pages")
            points[window] = known
        try:
            return DirtyCurve.from_windows(
                points, self.pages, write_rate=slope if slope is not None and slope > 0 else None
            )
        except ConvergenceError as error:
            raise ConvergenceError(
                f"pre.guest_truth.W_unique_pages: {error.field}", error.value, error.problem
            ) from None

    def _sampled(self, busy: float | None) -> DirtyCurve:
        pre = self._part("pre")
        memory = self._number("config", "mem_mb")
        rates: list[DirtyRate] = []
        for at, row in enumerate(_objects(pre.get("qmp_page_sampling"))):
            if row.get("status") == "measured" and row.get("dirty-rate") != _UNWRITTEN:
                place = f"pre.qmp_page_sampling[{at}]"
                samples = (_known(row.get("sample-pages")) or _SAMPLES) * memory / 1024
                rate = _field(place, row, "dirty-rate") * _MIB
                rates.append(DirtyRate(_calc_time(place, row), rate, max(1.0, samples)))
        for at, row in enumerate(_objects(pre.get("libvirt_page_sampling_1s"))):
            if row.get("dirtyrate.megabytes_per_second", _UNWRITTEN) != _UNWRITTEN:
                place = f"pre.libvirt_page_sampling_1s[{at}]"
                rate = _field(place, row, "dirtyrate.megabytes_per_second") * _MIB
                tau = _field(place, row, "dirtyrate.calc_period")
                rates.append(DirtyRate(tau, rate, max(1.0, _SAMPLES * memory / 1024)))
        if not rates:
            raise ConvergenceError(
                "pre.qmp_page_sampling", None, "must hold a dirty rate, or libvirt_page_sampling_1s must"
            )
        try:
            return Observation(memory * _MIB, rates=tuple(rates), devices=_DEVICE_PAGES, busy=busy).curve()
        except ConvergenceError as error:
            raise ConvergenceError(f"pre.qmp_page_sampling: {error.field}", error.value, error.problem) from None


def load_all(directory: str | os.PathLike[str]) -> tuple[list[Recording], list[tuple[str, str]]]:
    """The recordings in *directory* (``*.json``), by name; and those that cannot be read, with the reason.

    Raises `ConvergenceError` where there is no such directory.
    """
    where = Path(directory)
    if not where.is_dir():
        raise ConvergenceError("directory", os.fspath(directory), "is no directory")
    found: list[Recording] = []
    broken: list[tuple[str, str]] = []
    for path in sorted(where.glob("*.json")):
        try:
            found.append(Recording.load(path))
        except ConvergenceError as error:
            broken.append((path.stem, str(error)))
    return found, broken


def _known(value: object) -> float | None:
    """The number, or None: nothing that a migration can have is as large as 2**60."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -(2**60) < value < 2**60:
        return None
    return float(value)


def _field(place: str, row: Mapping[str, object], field: str) -> float:
    known = _known(row.get(field))
    if known is None or known < 0:
        raise ConvergenceError(f"{place}.{field}", row.get(field), "must be a finite number, not negative")
    return known


def _calc_time(place: str, row: Mapping[str, object]) -> float:
    """The window of a dirty rate, s. Before 8.2 QEMU had no unit but the second, which is still its default (qapi/migration.json)."""
    unit = row.get("calc-time-unit", "second")
    if not isinstance(unit, str) or unit not in _UNITS:
        raise ConvergenceError(f"{place}.calc-time-unit", unit, "must be second, as without it, or millisecond")
    tau = _field(place, row, "calc-time") * _UNITS[unit]
    if tau > _LONGEST_CALC:
        what = "is longer than the 60 s that QEMU measures at most: it is in s unless calc-time-unit says millisecond"
        raise ConvergenceError(f"{place}.calc-time", row.get("calc-time"), what)
    return tau


def _rows(value: object) -> list[list[object]]:
    return [row for row in value if isinstance(row, list)] if isinstance(value, list) else []


def _objects(value: object) -> Iterable[Mapping[str, object]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
