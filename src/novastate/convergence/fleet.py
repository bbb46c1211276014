"""A forecast for each guest of a fleet: columns in, columns out.

Rule: a row of the result is what `forecast` says of that row's guest, link, limits and rules: the same recursion, run for
eight guests at once in the lanes of a processor (`novastate._native.fleet`, whose head says how near). Rows whose rules
that kernel does not know (`knows`), and guests of which a part writes in sequence, go through `forecast` itself, one by one: slower,
never otherwise.

A column is a number for all rows, or one for each, in anything that numpy takes for an array. What is not there is not
NaN but inf: `total`, `downtime`, `transferred` of a row that does not complete in time, `unlimited_total` of one that
never does.

The kernel runs without the GIL; `forecast_many` cuts a fleet into parts for any executor, and the cuts change nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from functools import cached_property
from numbers import Integral
from typing import Any, overload

import attrs
import numpy as np
import numpy.typing as npt

from novastate._native import fleet as kernel
from novastate.convergence import bounds
from novastate.convergence.arrays import array_of
from novastate.convergence.curve import DirtyClass, DirtyCurve
from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.precopy import Forecast, Verdict, forecast
from novastate.convergence.rules import Rules
from novastate.convergence.throttle import LOST, SLOWED, WAKE
from novastate.errors import ConvergenceError

__all__ = ["VERDICTS", "Fleet", "FleetForecast", "forecast_many", "knows"]

_Floats = npt.NDArray[np.float64]

#: What the numbers of `FleetForecast.verdict` mean: 0, 1, 2.
VERDICTS = (Verdict.CONVERGES, Verdict.TIMES_OUT, Verdict.NEVER)
#: Field, least, most, whether more than the least.
_BOUNDS: dict[str, tuple[float, float, bool]] = {
    "memory": (1.0, bounds.MOST_BYTES, False),
    "zero_pages": (0.0, bounds.MOST_PAGES, False),
    "page_size": (0.0, float(max(bounds.PAGE_SIZES)), True),
    "host_page": (0.0, float(max(bounds.PAGE_SIZES)), False),
    "tail_pages": (-1.0, bounds.MOST_PAGES, False),
    "tail_zero": (0.0, bounds.MOST_PAGES, False),
    "busy": (0.0, 1.0, False),
    "limit": (0.0, bounds.MOST_BYTES, False),
    "line_rate": (1.0, bounds.MOST_BYTES, False),
    "downtime": (0.0, 2000.0, False),
    "timeout": (0.0, math.inf, True),
}
#: The fields of `Rules` that the kernel takes, those that do not concern it, and the others, with what they must be.
_TAKEN = frozenset({
    "name", "auto_converge", "initial", "increment", "most", "trigger", "post_copy", "post_copy_after",
    "switchover_bandwidth", "begin", "device", "first_touch", "rewrite", "blank", "rearm", "tailslow",
    "begin_error", "post_copy_preempt", "latency", "xbzrle_delta", "xbzrle_overflow", "zero_page_in_threads",
})  # fmt: skip
_RULES = Rules.qemu()
_LIMITS = Limits()
_OF_THROTTLING = frozenset({"background_sync"})


def knows(rules: Rules) -> bool:
    """Whether the fleet's kernel forecasts by *rules*: QEMU's, without XBZRLE, multifd, dirty-limit, and the sync in
    the background that is new in auto-converge.
    """
    return not any(
        getattr(rules, field.name) != field.default
        for field in attrs.fields(Rules)
        if field.name not in _TAKEN and not (field.name in _OF_THROTTLING and not rules.auto_converge)
    )


@attrs.frozen(eq=False, init=False)
class Fleet:
    """Guests, each with its link, limits and rules; a field is a number for all, or a column.

    *memory*, *zero_pages*, *page_size*, *host_page*, *tail_zero*, *busy* as in `Guest`, *tail_pages* too (-1: as `Guest` takes it);
    *class_sizes* and *class_rates* the write law: rows of `DirtyClass` sizes (0: none) and rates, of shape (rows, classes)
    or (classes,) for all; *sequential* likewise. *limit* (0: none) and *line_rate* as in `Link`; *downtime* and *timeout*
    (inf: none, else at most a year) as in `Limits`; *rules* one or several, *rule* which of them. Columns are copied, and cannot
    be written to; a masked array is refused.
    Columns know nothing of a guest's uncertainty (`DirtyCurve.spread`, `Guest.zero_error` ...); a fleet made by `of` keeps it.
    Raises `ConvergenceError` naming column and row, as ``limit[17]``.
    """

    memory: _Floats
    zero_pages: _Floats
    class_sizes: _Floats
    class_rates: _Floats
    sequential: npt.NDArray[np.uint8]
    page_size: _Floats
    host_page: _Floats
    tail_pages: _Floats
    tail_zero: _Floats
    busy: _Floats
    limit: _Floats
    line_rate: _Floats
    downtime: _Floats
    timeout: _Floats
    rules: tuple[Rules, ...]
    rule: npt.NDArray[np.int32]
    #: What `of` was given, a column of each kind; empty where the fleet was made of columns.
    _made: tuple[tuple[Any, ...], ...] = attrs.field(repr=False)

    def __init__(
        self,
        memory: npt.ArrayLike,
        zero_pages: npt.ArrayLike,
        class_sizes: npt.ArrayLike,
        class_rates: npt.ArrayLike,
        *,
        sequential: npt.ArrayLike = False,
        page_size: npt.ArrayLike = 4096,
        host_page: npt.ArrayLike = 0,
        tail_pages: npt.ArrayLike = -1.0,
        tail_zero: npt.ArrayLike = 215.0,
        busy: npt.ArrayLike = 1.0,
        limit: npt.ArrayLike = 0.0,
        line_rate: npt.ArrayLike = 1.25e9,
        downtime: npt.ArrayLike = 0.3,
        timeout: npt.ArrayLike = math.inf,
        rules: Rules | Sequence[Rules] = _RULES,
        rule: npt.ArrayLike = 0,
    ) -> None:
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue]
            memory=_column("memory", memory),
            zero_pages=_column("zero_pages", zero_pages),
            class_sizes=_table("class_sizes", class_sizes),
            class_rates=_table("class_rates", class_rates),
            sequential=_flags("sequential", sequential),
            page_size=_column("page_size", page_size),
            host_page=_column("host_page", host_page),
            tail_pages=_column("tail_pages", tail_pages),
            tail_zero=_column("tail_zero", tail_zero),
            busy=_column("busy", busy),
            limit=_column("limit", limit),
            line_rate=_column("line_rate", line_rate),
            downtime=_column("downtime", downtime),
            timeout=_column("timeout", timeout),
            rules=tuple(_each("rules", rules, Rules)),
            rule=_whole("rule", rule),
            made=(),
        )

    def __attrs_post_init__(self) -> None:
        """Checks the columns against each other."""
        count = len(self)
        for name in (*_BOUNDS, "rule", "class_sizes", "class_rates"):
            if len(getattr(self, name)) not in {1, count}:
                raise ConvergenceError(name, len(getattr(self, name)), f"must have {_rows(count)}")
        if not self.rules:
            raise ConvergenceError("rules", self.rules, "must hold at least one")
        _refuse("rule", self.rule, (self.rule < 0) | (self.rule >= len(self.rules)), "is none of the rules")
        _refuse("page_size", self.page_size, ~np.isin(self.page_size, bounds.PAGE_SIZES), "is no page size")
        _refuse("host_page", self.host_page, ~np.isin(self.host_page, (0, *bounds.PAGE_SIZES)), "is no page size")
        _refuse("limit", self.limit, (self.limit > 0) & (self.limit < 1), "must be 0, or 1 or more")
        if self.class_rates.shape[1] != self.class_sizes.shape[1]:
            raise ConvergenceError("class_rates", self.class_rates.shape, "must have the classes of class_sizes")
        if len(self.class_rates) != len(self.class_sizes):
            for name in ("class_sizes", "class_rates"):
                table = np.broadcast_to(getattr(self, name), (count, self.class_sizes.shape[1]))
                object.__setattr__(self, name, np.ascontiguousarray(table))
        if self.class_sizes.shape[1] > kernel.MAX_CLASSES:
            raise ConvergenceError("class_sizes", self.class_sizes.shape[1], f"may be at most {kernel.MAX_CLASSES}")
        any_of = self.sequential.any()
        ordered = np.broadcast_to(self.sequential, self.class_sizes.shape) if any_of else np.zeros((0, 0))
        object.__setattr__(self, "sequential", np.ascontiguousarray(ordered, np.uint8))
        for column in (self.class_sizes, self.class_rates, self.sequential, self.rule):
            column.flags.writeable = False
        if count:
            pages = np.floor(self.memory / self.page_size)
            _refuse("memory", self.memory, pages < 1, "must be a page at least")
            _refuse("zero_pages", self.zero_pages, self.zero_pages > pages, "is more than the memory's pages")
            _refuse("tail_pages", self.tail_pages, self.tail_pages > pages, "is more than the memory's pages")
            less = (self.host_page > 0) & (self.host_page < self.page_size)
            _refuse("host_page", self.host_page, less, "is less than the page_size")
            total = self.class_sizes.sum(axis=1)
            _refuse("class_sizes", total, total > pages * (1 + 1e-9), "has more pages than the memory")

    @classmethod
    def of(
        cls,
        guests: Iterable[Guest],
        links: Link | Sequence[Link],
        limits: Limits | Sequence[Limits] = _LIMITS,
        rules: Rules | Sequence[Rules] = _RULES,
    ) -> Fleet:
        """The fleet of these objects: one `Link`, `Limits`, `Rules` for all guests, or one for each; it keeps them.

        Raises `ConvergenceError` where there are not as many as guests, and for what is none of these objects.
        """
        who: list[Guest] = _each("guests", guests, Guest)
        others = (("links", links, Link), ("limits", limits, Limits), ("rules", rules, Rules))
        each = {name: _each(name, value, kind) for name, value, kind in others}
        for name, column in each.items():
            if len(column) not in {1, len(who)}:
                raise ConvergenceError(
                    name, len(column), f"must have {_rows(len(who))}: one for all guests, or one for each"
                )
        kinds = list(dict.fromkeys(each["rules"])) or [_RULES]
        most = max((len(guest.curve.classes) for guest in who), default=0)
        sizes, rates = np.zeros((len(who), most)), np.zeros((len(who), most))
        ordered = np.zeros((len(who), most), bool)
        for at, guest in enumerate(who):
            for i, row in enumerate(guest.curve.classes):
                sizes[at, i], rates[at, i], ordered[at, i] = row.size, row.rate, row.sequential
        fleet = cls(
            memory=np.array([guest.memory for guest in who], float),
            zero_pages=np.array([guest.zero_pages for guest in who], float),
            class_sizes=sizes,
            class_rates=rates,
            sequential=ordered,
            page_size=np.array([guest.page_size for guest in who], float),
            host_page=np.array([guest.host_page for guest in who], float),
            tail_pages=np.array([-1.0 if guest.tail_pages is None else guest.tail_pages for guest in who], float),
            tail_zero=np.array([guest.tail_zero for guest in who], float),
            busy=np.array([guest.busy for guest in who], float),
            limit=np.array([link.limit or 0.0 for link in each["links"]], float),
            line_rate=np.array([link.line_rate for link in each["links"]], float),
            downtime=np.array([one.downtime for one in each["limits"]], float),
            timeout=np.array([one.timeout or math.inf for one in each["limits"]], float),
            rules=tuple(kinds),
            rule=np.array([kinds.index(one) for one in each["rules"]], np.int32),
        )
        object.__setattr__(fleet, "_made", (tuple(who), *(tuple(column) for column in each.values())))
        return fleet

    def __len__(self) -> int:
        lengths = [len(getattr(self, name)) for name in (*_BOUNDS, "rule", "class_sizes", "class_rates")]
        return 0 if 0 in lengths else max(lengths)

    def part(self, start: int, stop: int) -> Fleet:
        """Rows *start* to *stop*."""
        for name, value in (("start", start), ("stop", stop)):
            bounds.whole(name, value, -bounds.MOST_PAGES, bounds.MOST_PAGES)
        start, stop, _ = slice(start, stop).indices(len(self))
        made = tuple(column if len(column) < 2 else column[start:stop] for column in self._made)
        return self._columns(start, stop, made)

    def _columns(self, start: int, stop: int, made: tuple[tuple[Any, ...], ...] = ()) -> Fleet:
        found = object.__new__(Fleet)
        for field in attrs.fields(Fleet):
            value = getattr(self, field.name)
            whole = field.name in {"rules", "_made"} or (len(value) < 2 and start < stop)
            object.__setattr__(found, field.name, value if whole else value[start:stop])
        object.__setattr__(found, "_made", made)
        return found

    def objects(self, row: int) -> tuple[Guest, Link, Limits, Rules]:
        """Guest, link, limits and rules of *row*; raises IndexError where there is none."""
        at = self._at(row)
        if self._made:
            guest, link, limits, rules = (column[at if len(column) > 1 else 0] for column in self._made)
            return guest, link, limits, rules

        def of(name: str) -> Any:
            column = getattr(self, name)
            return column[at if len(column) > 1 else 0]

        memory, size = float(of("memory")), int(of("page_size"))
        ordered = of("sequential") if len(self.sequential) else np.zeros(self.class_sizes.shape[1])
        rows = zip(of("class_sizes").tolist(), of("class_rates").tolist(), ordered.tolist(), strict=True)
        classes = tuple(DirtyClass(n, rate, bool(straight)) for n, rate, straight in rows if n > 0)
        tail, timeout = float(of("tail_pages")), float(of("timeout"))
        guest = Guest(
            memory, float(of("zero_pages")), size,
            curve=DirtyCurve(classes, int(memory) // size),
            tail_pages=None if tail < 0 else tail,
            tail_zero=float(of("tail_zero")),
            busy=float(of("busy")),
            host_page=int(of("host_page")),
        )  # fmt: skip
        limits = Limits(float(of("downtime")), None if math.isinf(timeout) else timeout)
        return guest, Link(float(of("limit")), float(of("line_rate"))), limits, self.rules[int(of("rule"))]

    def _at(self, row: int) -> int:
        if not isinstance(row, Integral) or isinstance(row, bool) or bounds.duration(row):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConvergenceError("row", row, f"must be a whole number below {len(self)}")
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row}: there are {_rows(len(self)).removeprefix('1 or ')}")
        return int(row) % len(self)


@attrs.frozen(eq=False)
class FleetForecast:
    """What the migrations of a fleet will do: columns, a row a guest; made by `forecast_many`.

    `verdict` (of `VERDICTS`), `total` s, `downtime` s, `transferred` bytes, `unlimited_total` s, `syncs`, `throttle`
    percent: as in `Forecast`, but inf where that has None. ``result[i]`` is the `Forecast` of a row, with its
    probability, interval, rounds and reason, and to go through the result gives one after the other; ``result[3:9]`` is a part.
    """

    fleet: Fleet = attrs.field(repr=False)
    verdict: npt.NDArray[np.uint8]
    total: _Floats
    downtime: _Floats
    transferred: _Floats
    unlimited_total: _Floats
    syncs: npt.NDArray[np.int32]
    throttle: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.verdict)

    @overload
    def __getitem__(self, row: int) -> Forecast: ...
    @overload
    def __getitem__(self, row: slice) -> FleetForecast: ...
    def __getitem__(self, row: int | slice) -> Forecast | FleetForecast:
        if not isinstance(row, slice):
            return forecast(*self.fleet.objects(row))
        try:
            start, stop, step = row.indices(len(self))
        except (TypeError, ValueError) as error:
            raise ConvergenceError("row", row, "must be a part from one whole number to another") from error
        if step != 1:
            raise ConvergenceError("row", row, "must be a part without steps")
        columns: dict[str, Any] = {
            name: getattr(self, name)[row] for name in attrs.fields_dict(FleetForecast) if name != "fleet"
        }
        return FleetForecast(self.fleet.part(start, stop), **columns)

    def __iter__(self) -> Iterator[Forecast]:
        return (self[row] for row in range(len(self)))

    @cached_property
    def counts(self) -> dict[Verdict, int]:
        """How many rows have each verdict."""
        found = np.bincount(self.verdict, minlength=len(VERDICTS)).tolist()
        return dict(zip(VERDICTS, found, strict=True))


def forecast_many(
    fleet: Fleet, executor: Executor | None = None, *, chunk: int = 65_536, timeout: float = 600.0
) -> FleetForecast:
    """What the migrations of *fleet* will do: row by row what `forecast` says.

    *executor*: any of `concurrent.futures` (threads, processes, Dask's ``client.get_executor()``); it gets the fleet in
    parts of *chunk* rows, and the result does not depend on that. Without one all is done here.
    Raises `ConvergenceError` for a *chunk* or *timeout* that is none, TimeoutError where the executor has not done all
    within *timeout* s (what it has not begun is cancelled).

    >>> fleet = Fleet(memory=[2**30, 2**36], zero_pages=0, class_sizes=[1e4], class_rates=[[100.0], [9e4]], limit=3e7)
    >>> result = forecast_many(fleet)
    >>> result.total.round(1).tolist(), [VERDICTS[code].value for code in result.verdict]
    ([36.1, inf], ['converges', 'never'])
    """
    if not isinstance(fleet, Fleet):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConvergenceError("fleet", fleet, "must be a Fleet; Fleet.of makes one of guests")
    bounds.whole("chunk", chunk, 1, bounds.MOST_PAGES)
    bounds.number("timeout", timeout, above=True)
    cuts = range(0, len(fleet), chunk)
    if executor is None or not cuts:
        return FleetForecast(fleet, *_run(fleet))
    if not callable(getattr(executor, "submit", None)):
        raise ConvergenceError("executor", executor, "must be an executor, as those of concurrent.futures")
    ends = time.monotonic() + timeout
    waiting: list[Future[tuple[npt.NDArray[Any], ...]]] = [
        executor.submit(_run, fleet._columns(at, min(at + chunk, len(fleet))))  # noqa: SLF001  (without objects: less to send)
        for at in cuts
    ]
    try:
        parts = [one.result(max(0.0, ends - time.monotonic())) for one in waiting]
    finally:
        for one in waiting:
            one.cancel()
    return FleetForecast(fleet, *(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _run(fleet: Fleet) -> tuple[npt.NDArray[Any], ...]:
    count = len(fleet)
    numbers = np.empty((len(kernel.NUMBERS), count))
    syncs, verdict = np.zeros(count, np.int32), np.zeros(count, np.uint8)
    throttle = np.zeros(count, np.uint8)
    columns = (
        fleet.memory, fleet.zero_pages, fleet.page_size, fleet.tail_pages, fleet.tail_zero, fleet.busy, fleet.limit,
        fleet.line_rate, fleet.downtime, fleet.timeout,
    )  # fmt: skip
    alone = len(fleet.rules) == 1
    rule = np.zeros(0, np.int32) if alone else np.ascontiguousarray(np.broadcast_to(fleet.rule, count), np.int32)
    rules = np.array([_row_of(one) for one in fleet.rules])
    if count:
        kernel.run(
            columns, fleet.class_sizes, fleet.class_rates, rule, rules, numbers, syncs, verdict, throttle
        )  # fmt: skip
    # What a writer in sequence finds unsent has a shape that the kernel of columns does not keep.
    unknown = np.array([not knows(one) for one in fleet.rules])
    apart = np.broadcast_to(unknown[0] if alone else unknown[rule], count)
    if len(fleet.sequential):
        apart = apart | fleet.sequential.any(axis=1)
    apart = apart | (fleet.host_page > fleet.page_size)  # what goes besides after a switch, it does not know
    for at in np.flatnonzero(apart).tolist():
        found = forecast(*fleet.objects(at))
        values = (found.total, found.downtime, found.transferred, found.unlimited_total)
        numbers[:4, at] = [math.inf if value is None else value for value in values]
        syncs[at], throttle[at], verdict[at] = found.syncs, found.throttle, VERDICTS.index(found.verdict)
    return verdict, numbers[0], numbers[1], numbers[2], numbers[3], syncs, throttle


def _row_of(rules: Rules) -> list[float]:
    bandwidth = rules.switchover_bandwidth
    values: dict[str, float] = {
        "fast": float(knows(rules)),
        "throttling": float(rules.auto_converge),
        "first_touch": rules.touch,
        "switchover": bandwidth / 1000.0 if bandwidth else 0.0,
        "postcopy": float(rules.post_copy_after if rules.post_copy else 0),
        "lost": LOST,
        "wake": WAKE,
        "slowed": SLOWED,
    }
    return [values[field] if field in values else float(getattr(rules, field)) for field in kernel.RULE_FIELDS]


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"1 or {count} rows"


def _each(name: str, value: Any, kind: type) -> list[Any]:
    if isinstance(value, kind):
        return [value]
    if not isinstance(value, Iterable):
        raise ConvergenceError(name, value, f"must be a {kind.__name__}, or one for each guest")
    found: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
    for at, one in enumerate(found):
        if not isinstance(one, kind):
            raise ConvergenceError(f"{name}[{at}]", one, f"must be a {kind.__name__}")
    return found


def _refuse(name: str, column: npt.NDArray[Any], wrong: npt.NDArray[np.bool_] | np.bool_, why: str) -> None:
    """Raises for the first row that is wrong."""
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ConvergenceError(f"{name}[{at}]", column[at if len(column) > 1 else 0].item(), why)


def _flags(name: str, values: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    found = array_of(name, values)
    if found.dtype.kind != "b" and found.size:
        raise ConvergenceError(name, values, "must be True or False, or rows of them")
    return np.ascontiguousarray(np.atleast_1d(found), np.uint8)


def _floats(name: str, values: npt.ArrayLike) -> _Floats:
    try:
        found = array_of(name, values)
        if found.dtype.kind not in "iuf":
            raise TypeError  # noqa: TRY301
        own = np.array(found, np.float64, order="C")
    except (TypeError, ValueError, OverflowError) as error:
        raise ConvergenceError(name, values, "must be numbers") from error
    own.flags.writeable = False  # what was checked stays what it was
    return own


def _column(name: str, values: npt.ArrayLike) -> _Floats:
    found = np.atleast_1d(_floats(name, values))
    if found.ndim != 1:
        raise ConvergenceError(name, found.shape, "must be a number or one column")
    low, high, above = _BOUNDS[name]
    if found.size:
        least, most = float(found.min()), float(found.max())  # NaN goes through both
        if not (least > low if above else least >= low) or not most <= high:
            _refuse(name, found, np.isnan(found), "must be a number, not NaN")
            short: npt.NDArray[np.bool_] = np.less_equal(found, low) if above else np.less(found, low)
            _refuse(name, found, short, f"must be above {low:g}" if above else f"must be {low:g} or more")
            _refuse(name, found, np.greater(found, high), f"must be at most {high:g}")
        if name == "timeout":
            late = np.isfinite(found) & (found > bounds.LONGEST)
            _refuse(name, found, late, f"must be inf, or at most {bounds.LONGEST:g}")
    return found


def _table(name: str, values: npt.ArrayLike) -> _Floats:
    found = np.atleast_1d(_floats(name, values))
    found = found[np.newaxis] if found.ndim == 1 else found
    if found.ndim != 2:
        raise ConvergenceError(name, found.shape, "must be rows of one number a class")
    if found.size and not (float(found.min()) >= 0.0 and float(found.max()) <= bounds.FASTEST):
        rows = found.max(axis=1)
        _refuse(name, rows, np.any(np.isnan(found), axis=1), "must be a number, not NaN")
        _refuse(name, found.min(axis=1), np.any(found < 0, axis=1), "must be 0 or more")
        _refuse(name, rows, rows > bounds.FASTEST, f"must be at most {bounds.FASTEST:g}")
    return found


def _whole(name: str, values: npt.ArrayLike) -> npt.NDArray[np.int32]:
    found = np.atleast_1d(array_of(name, values))
    if found.dtype.kind not in "iu" or found.ndim != 1:
        raise ConvergenceError(name, values, "must be a whole number or one column of them")
    return np.ascontiguousarray(np.clip(found, -1, 2**31 - 1), np.int32)
