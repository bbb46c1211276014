"""Write laws: which pages a simulated guest writes, and how often.

Rules:

1. A law is data: a tuple of parts, each a set of pages and a rate at which they are written. Parts write disjoint pages.
2. Rates are page writes a second (a page is 4096 bytes); a page written twice counts twice in the rate, once in the curve.
3. A law has a text form, and ``WriteLaw.parse(str(law)) == law``.

Theory. If each page of a part is written as a Poisson process of rate λ, a window of τ seconds finds it written with
probability 1 − exp(−λτ), so W(τ) = Σ N·(1 − exp(−λτ)) over the classes of pages with equal λ. Uniform writing is one class,
hot-and-cold two, zipf one a page (its pages are grouped into classes of nearly equal λ). A sequential writer
comes to each page in turn: W(τ) = min(N, rate·τ).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, cast, get_args

from attrs import evolve, field, frozen

from novastate.convergence.bounds import MOST_PAGES, entries, instance, number, one_of, valid, whole
from novastate.errors import ConvergenceError

if TYPE_CHECKING:
    from novastate.convergence.curve import DirtyCurve

__all__ = ["PAGE", "PageClass", "Part", "WriteLaw"]

#: Bytes a page.
PAGE = 4096

Pattern: TypeAlias = Literal["uniform", "zipf", "hotcold", "sequential"]

_UNITS: Mapping[str, int] = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SIZE = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?)\s*([kmgt]?i?b)?(?:/s)?", re.IGNORECASE)


#: Into how many classes the pages of a zipf law are put, and how many classes a curve may have.
_GROUPS, _MOST = 26, 32
#: Writes a second.
_FASTEST = 1e18


class PageClass(NamedTuple):
    """*pages* pages that are together written *rate* times a second, at random or *ordered* one after the other."""

    pages: float
    rate: float
    ordered: bool = False


@frozen
class Part:
    """One set of *pages* pages, written *rate* times a second in *pattern*.

    *s* is the exponent of a zipf law; *hot_fraction* of the pages of a hot-and-cold law take *hot_weight* of its writes.
    Raises `ConvergenceError` for no page, more than 2**40, more than 1e18 writes a second, and an exponent above 20.
    """

    pattern: Pattern = field(default="uniform", validator=one_of(*get_args(Pattern)))
    pages: int = field(default=1, validator=valid(1, MOST_PAGES, integer=True))
    rate: float = field(default=0.0, validator=valid(0, _FASTEST))
    s: float = field(default=0.0, validator=valid(0, 20))
    hot_fraction: float = field(default=0.0, validator=valid(0, 1))
    hot_weight: float = field(default=0.0, validator=valid(0, 1))

    @property
    def hot_pages(self) -> int:
        """How many pages of a hot-and-cold law are hot: at least one, and at least one is cold where there are two."""
        return max(1, min(self.pages - 1, round(self.pages * self.hot_fraction))) if self.pages > 1 else 1

    def classes(self) -> tuple[PageClass, ...]:
        """The pages in classes of equal, for zipf of nearly equal, rate."""
        if self.pattern == "hotcold":
            hot = self.hot_pages
            cold = PageClass(self.pages - hot, self.rate * (1 - self.hot_weight))
            return (PageClass(hot, self.rate * self.hot_weight), *([cold] if cold.pages else []))
        if self.pattern == "zipf":
            return _zipf_classes(self.pages, self.rate, self.s)
        return (PageClass(self.pages, self.rate, self.pattern == "sequential"),)

    def __str__(self) -> str:
        extra = {
            "zipf": f" s={_number(self.s)}",
            "hotcold": f" hot={_number(self.hot_fraction)} weight={_number(self.hot_weight)}",
        }.get(self.pattern, "")
        return f"{self.pattern} pages={self.pages} rate={_number(self.rate)}{extra}"


def _parts(values: Iterable[Part]) -> tuple[Part, ...]:
    return tuple(entries("parts", values, Part))


@frozen
class WriteLaw:
    """What a guest writes: *parts*, and the share *busy* (0 to 1) of vCPU time it needs to write at full rate.

    Throttling a vCPU by p leaves min(1, (1 − p) / busy) of the writes; 0 is a writer that hardly uses the vCPU and never feels it.
    It is 0 unless told, for a law says what is written and not what it takes. A forecast's `Guest.busy` is 1 unless told, a guest
    that never idles: where the two are to be compared, set both alike. Every *rate* is in page writes a second.
    Raises `ConvergenceError` naming the field.
    """

    parts: tuple[Part, ...] = field(default=(), converter=_parts)
    busy: float = field(default=0.0, validator=valid(0, 1))

    # --- making one

    @classmethod
    def idle(cls) -> WriteLaw:
        """Nothing is written."""
        return cls()

    @classmethod
    def uniform(cls, pages: int, rate: float) -> WriteLaw:
        """*pages* pages, each as likely as the other, *rate* writes a second. Raises `ConvergenceError` for impossible numbers."""
        return cls((Part("uniform", pages, rate),))

    @classmethod
    def zipf(cls, pages: int, rate: float, s: float = 0.99) -> WriteLaw:
        """The k-th of *pages* pages is written in proportion to k to the power of −*s*."""
        return cls((Part("zipf", pages, rate, s=s),))

    @classmethod
    def hotcold(cls, pages: int, rate: float, hot_fraction: float = 0.1, hot_weight: float = 0.9) -> WriteLaw:
        """A share *hot_fraction* of the *pages* pages takes the share *hot_weight* of the writes."""
        return cls((Part("hotcold", pages, rate, hot_fraction=hot_fraction, hot_weight=hot_weight),))

    @classmethod
    def sequential(cls, pages: int, rate: float) -> WriteLaw:
        """*pages* pages are written one after the other, round and round."""
        return cls((Part("sequential", pages, rate),))

    @classmethod
    def from_curve(cls, curve: DirtyCurve, busy: float = 0.0) -> WriteLaw:
        """A law whose curve is *curve*: its classes in whole pages, together no more than the guest has.

        Classes of less than half a page, or never written, are left out. Raises `ConvergenceError` for what is no curve.
        """
        from novastate.convergence.curve import DirtyCurve  # noqa: PLC0415  (a law is usable without curves)

        instance("curve", curve, DirtyCurve)
        rows = [row for row in curve.classes if row.size >= 0.5 and row.rate > 0]
        pages = [max(1, round(row.size)) for row in rows]
        over = max(0, sum(pages) - curve.page_count)
        for at in sorted(range(len(rows)), key=lambda at: rows[at].size - pages[at])[:over]:
            pages[at] -= 1  # one that was rounded up, by the most
        patterns: dict[bool, Pattern] = {True: "sequential", False: "uniform"}
        counted = [(row, count) for row, count in zip(rows, pages, strict=True) if count]
        return cls((Part(patterns[row.sequential], count, row.rate) for row, count in counted), busy)

    def with_background(self) -> WriteLaw:
        """The same with what any running system writes besides (timers, stacks, device rings): 190 pages within 4 s, 60 of them
        within a tenth. It decides whether small downtime limits are ever met.
        """
        extra = tuple(Part("uniform", pages, rate) for pages, rate in ((60, 2400), (70, 175), (60, 42)))
        return evolve(self, parts=(*self.parts, *extra))

    def __add__(self, other: WriteLaw) -> WriteLaw:
        instance("other", other, WriteLaw)
        return WriteLaw((*self.parts, *other.parts), max(self.busy, other.busy))

    # --- reading it

    @property
    def pages(self) -> int:
        """How many pages are ever written."""
        return sum(part.pages for part in self.parts)

    @property
    def rate(self) -> float:
        """Page writes a second, all parts together."""
        return sum(part.rate for part in self.parts)

    def classes(self) -> tuple[PageClass, ...]:
        """Every class of every part."""
        return tuple(page_class for part in self.parts for page_class in part.classes())

    def written(self, seconds: float) -> float:
        """W(τ): the expected number of distinct pages written in a window of *seconds*."""
        seconds = number("seconds", seconds)
        return sum(
            min(pages, rate * seconds) if ordered else -pages * math.expm1(-rate * seconds / pages)
            for pages, rate, ordered in self.classes()
        )

    def curve(self, page_count: int) -> DirtyCurve:
        """The exact dirty curve, for a guest of *page_count* pages. Raises `ConvergenceError` if it has fewer than are written."""
        from novastate.convergence.curve import DirtyClass, DirtyCurve  # noqa: PLC0415  (a law is usable without curves)

        if whole("page_count", page_count, 0, MOST_PAGES) < self.pages:
            raise ConvergenceError(
                "page_count", page_count, f"must be at least {self.pages}, the pages that are written"
            )
        rows = _merged(row for row in self.classes() if row.rate > 0)
        return DirtyCurve(tuple(DirtyClass(row.pages, row.rate, row.ordered) for row in rows), page_count)

    # --- as text

    @classmethod
    def parse(cls, text: str) -> WriteLaw:
        """Reads ``idle`` or parts joined by ``+``, such as ``uniform wss=64MiB rate=51MiB/s + uniform pages=65 rate=1950``.

        ``pages`` counts pages and ``rate`` counts page writes a second; ``wss`` and a ``rate`` with a unit are in bytes.
        ``busy`` may stand in any part. Raises `ConvergenceError` that names the part which cannot be read, that sets one thing
        twice, or whose pages are less than half a page or too many.
        """
        instance("law", text, str)
        parts: list[Part] = []
        busy = 0.0
        for piece in text.split("+"):
            words = piece.split()
            if not words:
                raise ConvergenceError("law", text, "has an empty part")
            fields: dict[str, float] = {}
            for name, value in _fields(words[1:], text):
                if name in fields:
                    raise ConvergenceError("law", piece.strip(), f"has two values of {name}")
                fields[name] = value
            busy = max(busy, fields.pop("busy", 0.0))
            if words[0] == "idle":
                if fields:
                    raise ConvergenceError(
                        "law", piece.strip(), f"idle takes nothing, but for busy: {min(fields)} is not its"
                    )
                continue
            if words[0] not in _WORDS:
                raise ConvergenceError("law", words[0], "is no pattern", ["idle", *_WORDS])
            unknown = set(fields) - {"pages", "rate", *_WORDS[words[0]]}
            if unknown or not {"pages", "rate"} <= set(fields):
                problem = f"has an unknown {min(unknown)}" if unknown else "needs pages (or wss) and rate"
                raise ConvergenceError("law", piece.strip(), problem)
            named = {_WORDS[words[0]].get(name, name): value for name, value in fields.items() if name != "pages"}
            pages = number("pages", fields["pages"], 0, MOST_PAGES)
            parts.append(Part(cast("Pattern", words[0]), round(pages), **named))
        return cls(tuple(parts), busy)

    def __str__(self) -> str:
        texts = [str(part) for part in self.parts] or ["idle"]
        return " + ".join(texts) + (f" busy={_number(self.busy)}" if self.busy else "")


#: What may follow each pattern besides pages and rate, and the field it fills.
_WORDS: Mapping[str, Mapping[str, str]] = {
    "uniform": {},
    "zipf": {"s": "s"},
    "hotcold": {"hot": "hot_fraction", "weight": "hot_weight"},
    "sequential": {},
}


def _fields(words: Iterable[str], text: str) -> Iterable[tuple[str, float]]:
    for word in words:
        name, equals, value = word.partition("=")
        found = _SIZE.fullmatch(value)
        if not equals or found is None:
            raise ConvergenceError("law", text, f"{word!r} is not name=number")
        unit = (found[2] or "").lower()
        try:
            size = float(found[1]) * _UNITS.get(unit, 1000 ** " kmgt".find(unit[:1] or " "))
        except ValueError:
            raise ConvergenceError("law", text, f"{word!r} is not name=number") from None
        in_bytes = name in {"wss", "rate"} and bool(unit)
        yield ("pages" if name == "wss" else name), size / PAGE if in_bytes or name == "wss" else size


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _zipf_classes(pages: int, rate: float, s: float) -> tuple[PageClass, ...]:
    """Groups ranks evenly in their logarithm; the sum over a group is an integral where it is long."""
    edges = sorted({1, pages + 1, *(round((pages + 1) ** (step / _GROUPS)) for step in range(_GROUPS))})
    weights = [_power_sum(first, after, s) for first, after in pairwise(edges)]
    total = sum(weights)
    return tuple(
        PageClass(after - first, rate * weight / total)
        for (first, after), weight in zip(pairwise(edges), weights, strict=True)
    )


def _merged(rows: Iterable[PageClass]) -> list[PageClass]:
    """At most :data:`_MOST` classes: those whose pages are written most nearly alike are put together."""
    found = sorted(rows, key=lambda row: (row.ordered, row.rate / row.pages))
    while len(found) > _MOST:
        near = [
            math.inf if a.ordered or b.ordered else (b.rate / b.pages) / (a.rate / a.pages) for a, b in pairwise(found)
        ]
        at = near.index(min(near))
        a, b = found[at : at + 2]
        found[at : at + 2] = [PageClass(a.pages + b.pages, a.rate + b.rate, a.ordered)]
    return found


def _power_sum(first: int, after: int, s: float) -> float:
    """Σ k^−s for first ≤ k < after: added up where that is short, else by the midpoint rule."""
    if after - first <= 32:
        return math.fsum(float(k) ** -s for k in range(first, after))
    low, high = first - 0.5, after - 0.5
    if s == 1.0:
        return math.log(high / low)
    return float(high ** (1 - s) - low ** (1 - s)) / (1 - s)
