"""What a number may be: one check for every field of the estimator, and the bounds that fields share.

Rule: a value outside its bounds, NaN, or no number at all, is a `ConvergenceError` that names the field and the bound.
The bounds are far from anything real, and near enough that no sum or product of them leaves what a float holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from numbers import Integral, Real
from typing import Any, TypeVar, cast

import attrs

from novastate.errors import ConvergenceError

__all__ = [
    "FASTEST",
    "LONGEST",
    "LONGEST_PAUSE",
    "MOST_BYTES",
    "MOST_PAGES",
    "PAGE_SIZES",
    "SHORTEST",
    "WIDEST",
    "choice",
    "duration",
    "entries",
    "flag",
    "flagged",
    "instance",
    "limit",
    "named",
    "names",
    "number",
    "one_of",
    "page_size",
    "pairs",
    "rows",
    "said",
    "valid",
    "whole",
]

T = TypeVar("T")

#: The shortest window that is measured, s, and the longest time: a year.
SHORTEST, LONGEST = 1e-6, 3.2e7
#: No probability of what may go either way is said to be nearer to 0 or 1: other guests than those that were run behave otherwise.
_NEVER_SURE = 0.02
#: The longest downtime limit, s (QEMU migration/options.c MAX_MIGRATE_DOWNTIME).
LONGEST_PAUSE = 2000.0
#: Of a memory, and of what a link carries in a second; and its pages of 4 KiB.
MOST_BYTES, MOST_PAGES = float(1 << 52), 1 << 40
#: Writes a second.
FASTEST = 1e24
#: A relative uncertainty: beyond it nothing is known anyway.
WIDEST = 10.0
#: Bytes a page, of any guest.
PAGE_SIZES = (4096, 16384, 65536, 1 << 21, 1 << 30)


def said(chance: float) -> float:
    """*chance* as it is said: never nearer to 0 or 1 than 2 %."""
    return min(1.0 - _NEVER_SURE, max(_NEVER_SURE, chance))


def number(field: str, value: object, low: float = 0.0, high: float = FASTEST, *, above: bool = False) -> float:
    """*value* as a float from *low* (or *above* it) to *high*; raises `ConvergenceError` for anything else."""
    negative = isinstance(value, int) and value < 0
    if isinstance(value, bool) or not isinstance(value, Real) or duration(value):
        raise ConvergenceError(field, value, "must be a number")
    try:
        found = float(value)
    except OverflowError:
        found = -math.inf if negative else math.inf
    if math.isnan(found):
        raise ConvergenceError(field, value, "must be a number, not NaN")
    if found < low or (above and found == low):
        raise ConvergenceError(field, value, f"must be above {low:g}" if above else f"must be {low:g} or more")
    if found > high:
        raise ConvergenceError(field, value, f"must be at most {high:g}")
    return found


def duration(value: object) -> bool:
    """Whether it is a numpy.timedelta64, which passes for a whole number and is none: its unit would be lost."""
    return not isinstance(value, int | float) and getattr(getattr(value, "dtype", None), "kind", "") == "m"


def whole(field: str, value: object, low: int, high: int) -> int:
    """*value* as an int from *low* to *high*; raises `ConvergenceError` for anything else."""
    if not isinstance(value, bool) and isinstance(value, Integral) and not duration(value):
        found = int(value)  # not as a float, which has no place for every whole number
        if low <= found <= high:
            return found
    number(field, value, low, high)
    raise ConvergenceError(field, value, f"must be a whole number from {low} to {high}")


def limit(field: str, value: object) -> float | None:
    """*value*, a limit in bytes/s from 1 to 2**52; None for no limit, which 0 says too. Raises `ConvergenceError` for anything else.

    Less than a byte a second is none that a hypervisor knows, and no time or picture can be made of it.
    """
    if value is None or number(field, value, 0, MOST_BYTES) == 0:
        return None
    return number(field, value, 1.0, MOST_BYTES)


def flag(field: str, value: object) -> None:
    """Raises `ConvergenceError` for what is neither True nor False."""
    if not isinstance(value, bool):
        raise ConvergenceError(field, value, "must be True or False")


def choice(field: str, value: object, known: Collection[str], problem: str = "is none that is known") -> None:
    """Raises `ConvergenceError` for what is none of the words *known*."""
    if not isinstance(value, str) or value not in known:
        raise ConvergenceError(field, value, problem, known)


def instance(field: str, value: object, *kinds: type) -> None:
    """Raises `ConvergenceError` for what is none of *kinds*; it names the type that it has."""
    if not isinstance(value, kinds):
        raise ConvergenceError(field, type(value).__name__, f"must be of type {' or '.join(k.__name__ for k in kinds)}")


def entries(field: str, values: object, kind: type[T]) -> list[T]:
    """What *values*, something to go through, holds; raises `ConvergenceError` where that is not of *kind*."""
    instance(field, values, Iterable)
    found = list(cast("Iterable[T]", values))
    for at, value in enumerate(found):
        instance(f"{field}[{at}]", value, kind)
    return found


def names(field: str, values: object) -> frozenset[str]:
    """The names that *values* holds; raises `ConvergenceError` for anything else, one name by itself among it."""
    if isinstance(values, str | bytes):
        raise ConvergenceError(field, values, "must be names, as in [...]")
    return frozenset(entries(field, values, str))


def rows(field: str, values: object, length: int, what: str = "numbers") -> Iterator[tuple[Any, ...]]:
    """The rows of *length* that *values* holds; raises `ConvergenceError` for anything else."""
    for at, row in enumerate(entries(field, values, object)):
        found = tuple[Any, ...](row) if isinstance(row, Iterable) and not isinstance(row, str | bytes) else ()
        if len(found) != length:
            raise ConvergenceError(f"{field}[{at}]", row, f"must be {length} {what}")
        yield found


def pairs(field: str, values: object) -> Iterator[tuple[Any, Any]]:
    """The pairs that *values* holds; raises `ConvergenceError` for anything else."""
    return ((first, second) for first, second in rows(field, values, 2))


def page_size(field: str, value: object) -> int:
    """*value* where it is a size that pages have; raises `ConvergenceError` for anything else."""
    if number(field, value) not in PAGE_SIZES:
        raise ConvergenceError(field, value, "is no page size", PAGE_SIZES)
    return int(number(field, value))


def flagged(_: object, attribute: attrs.Attribute[bool], value: object) -> None:
    """`flag` as a validator of an attrs field."""
    flag(attribute.name, value)


def named(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    """A validator of an attrs field that must be a name: a string that is not empty."""
    if not isinstance(value, str) or not value:
        raise ConvergenceError(attribute.name, value, "must be a name")


def one_of(*known: str) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """`choice` as a validator of an attrs field."""
    return lambda _, attribute, value: choice(attribute.name, value, known)


def valid(
    low: float = 0.0, high: float = FASTEST, *, above: bool = False, integer: bool = False, optional: bool = False
) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """`number`, or `whole` where *integer*, as a validator of an attrs field; None passes where *optional*."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None and optional:
            return
        number(attribute.name, value, low, high, above=above)
        if integer:
            whole(attribute.name, value, int(low), int(high))

    return check
