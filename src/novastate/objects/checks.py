"""What takes a value into a field, or refuses it.

Rules of this file:

1. A check takes a value in, perhaps in another spelling, or raises and changes nothing. It knows no field: whoever holds
   the field names the path.
2. Nothing is coerced in silence: ``'7'`` is not 7, ``True`` is not 1, NaN is no number. What is taken in another
   spelling means the same: an enum's value for the enum, a whole number for a float, a naive datetime as UTC.
3. Containers are frozen when they enter: a sequence to a tuple, a set to a frozenset, a mapping to a
   :class:`~novastate.objects.values.FrozenDict`.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime
from enum import Enum
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any
from uuid import UUID

from novastate.errors import near
from novastate.objects.marks import I64, Pattern
from novastate.objects.past import Box
from novastate.objects.values import EMPTY, FrozenDict

__all__ = [
    "Check",
    "ProblemError",
    "check_bool",
    "check_datetime",
    "check_enum",
    "check_float",
    "check_int",
    "check_ip",
    "check_json",
    "check_literal",
    "check_mapping",
    "check_nullable",
    "check_pattern",
    "check_record",
    "check_sequence",
    "check_set",
    "check_str",
    "is_ip",
]

#: Returns the value as it is held, or raises :class:`ProblemError`.
Check = Callable[[Any], Any]


class ProblemError(Exception):
    """A refused value on its way up; each container on the way adds its place."""

    def __init__(self, value: object, problem: str, allowed: Iterable[object] = (), where: str = "") -> None:
        self.value, self.problem, self.allowed, self.where = value, problem, tuple(allowed), where
        super().__init__(problem)


def check_int(least: float, most: float) -> Check:
    """Takes a whole number from *least* to *most*."""

    def check(value: Any) -> Any:
        if value.__class__ is int:
            if least <= value <= most:
                return value
            raise ProblemError(value, _range_text("a whole number", least, most))
        # numpy's integers are whole numbers too; bool is not, whatever Python says.
        if not isinstance(value, bool | str | float) and hasattr(value, "__index__"):
            return check(value.__index__())
        raise ProblemError(value, "must be a whole number")

    return check


def check_float(least: float, most: float) -> Check:
    """Takes a finite number from *least* to *most*, a whole one too."""

    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, float | int):
            raise ProblemError(value, "must be a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ProblemError(value, "must be a finite number")
        if least <= number <= most:
            return number
        raise ProblemError(value, _range_text("a number", least, most))

    return check


def _range_text(what: str, least: float, most: float) -> str:
    if least == -I64:
        return f"must be {what} of 64 bits"
    return f"must be {what}, {least} or more" if most >= I64 - 1 else f"must be {what} from {least} to {most}"


def check_bool(value: Any) -> Any:
    """Takes True and False."""
    if value is True or value is False:
        return value
    raise ProblemError(value, "must be true or false")


def check_str(value: Any) -> Any:
    """Takes text that UTF-8 can hold."""
    if value.__class__ is str and value.isascii():
        return value
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ProblemError(value, "must be text that UTF-8 can hold") from None
        return value if value.__class__ is str else str.__str__(value)
    raise ProblemError(value, "must be text")


def check_pattern(pattern: Pattern) -> Check:
    """Takes text that matches, whole."""
    fullmatch: Callable[[str], object] | None = None

    def check(value: Any) -> Any:
        nonlocal fullmatch
        if fullmatch is None:  # compiled when first needed: an import compiles no pattern
            fullmatch = re.compile(pattern.regex).fullmatch
        if isinstance(value, UUID):
            value = str(value)
        if value.__class__ is not str or fullmatch(value) is None:
            raise ProblemError(value, f"must be {pattern.called}")
        return value

    return check


def is_ip(text: str, version: int = 0) -> bool:
    """Whether *text* is an IP address of that version, as it is usually written; what it denies, :mod:`ipaddress` may know."""
    family = AF_INET6 if ":" in text else AF_INET
    if version == (4 if family == AF_INET6 else 6):
        return False
    try:
        inet_pton(family, text)
    except (OSError, ValueError):
        return False
    return True


#: Characters of an address with its scope; the search for unusual ones takes many times the memory of the text.
_LONGEST_IP = 300


def check_ip(version: int) -> Check:
    """Takes the text of an IP address."""

    def check(value: Any) -> Any:
        if value.__class__ is str and len(value) <= _LONGEST_IP:
            if is_ip(value, version):
                return value
            import ipaddress  # noqa: PLC0415  (only who has unusual addresses pays for it)

            made = {0: ipaddress.ip_address, 4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}[version]
            try:
                made(value)
            except ValueError:
                pass
            else:
                return value
        raise ProblemError(value, f"must be an IP{f'v{version}' if version else ''} address")

    return check


def check_datetime(value: Any) -> Any:
    """Takes a time; a naive one is UTC."""
    if isinstance(value, datetime):
        if value.tzinfo is UTC:
            return value
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError:
            raise ProblemError(value, "must be a time that UTC can tell") from None
    raise ProblemError(value, "must be a datetime")


def check_enum(enum: type[Enum]) -> Check:
    """Takes a member, or its value."""
    by_value = {(type(member.value), member.value): member for member in enum}

    def check(value: Any) -> Any:
        if value.__class__ is enum:
            return value
        try:
            return by_value[value.__class__, value]
        except (KeyError, TypeError):
            values = [member.value for member in enum]
            raise _not_one_of(value, enum.__name__, values) from None

    return check


def check_literal(values: tuple[str, ...]) -> Check:
    """Takes one of *values*."""
    known = frozenset(values)

    def check(value: Any) -> Any:
        if value.__class__ is str and value in known:
            return value
        raise _not_one_of(value, "the allowed values", values)

    return check


def _not_one_of(value: object, called: str, values: Sequence[object]) -> ProblemError:
    meant = near(value, [v for v in values if isinstance(v, str)]) if isinstance(value, str) else ()
    hint = f" (did you mean {' or '.join(meant)}?)" if meant else ""
    return ProblemError(value, f"is not one of {called}{hint}", values)


def check_sequence(take: Check) -> Check:
    """Takes a sequence that is no text, as a tuple."""

    def check(value: Any) -> Any:
        if not isinstance(value, tuple | list) and (isinstance(value, str | bytes) or not isinstance(value, Sequence)):
            raise ProblemError(value, "must be a sequence")
        index = 0
        taken: list[Any] = []
        try:
            for index, element in enumerate(value):  # noqa: B007  (named in the error)
                taken.append(take(element))
        except ProblemError as problem:
            problem.where = f"[{index}]{problem.where}"
            raise
        return value if value.__class__ is Box else tuple(taken)

    return check


def check_set(take: Check) -> Check:
    """Takes a set, as a frozenset."""

    def check(value: Any) -> Any:
        if value.__class__ is not list and not isinstance(value, Set | list | tuple):
            raise ProblemError(value, "must be a set")
        return frozenset(map(take, value))

    return check


def check_mapping(take_key: Check, take: Check) -> Check:
    """Takes a mapping, as a FrozenDict."""

    def check(value: Any) -> Any:
        if value.__class__ is FrozenDict and not value:
            return value
        if value.__class__ is not dict and not isinstance(value, Mapping):
            raise ProblemError(value, "must be a mapping")
        taken: dict[Any, Any] = {}
        name: Any = None
        try:
            for name, element in value.items():
                taken[take_key(name)] = take(element)
        except ProblemError as problem:
            problem.where = f"[{_name_shown(name)}]{problem.where}"
            raise
        return FrozenDict(taken)

    return check


def _name_shown(name: object) -> str:
    if isinstance(name, str):
        return repr(name[:100])
    return str(name) if isinstance(name, int) and -I64 <= name < I64 else f"<{type(name).__name__}>"


def check_nullable(take: Check) -> Check:
    """Takes None too."""

    def check(value: Any) -> Any:
        return None if value is None else take(value)

    return check


def check_record(cls: type) -> Check:
    """Takes an object of *cls*."""

    def check(value: Any) -> Any:
        if isinstance(value, cls):
            return value
        raise ProblemError(value, f"must be {_article(cls.__name__)}")

    return check


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"


def check_json(value: Any, depth: int = 32) -> Any:
    """Freezes any JSON value; deeper than 32 levels is refused."""
    made = value.__class__
    if value is None or made is bool:
        return value
    if made is str:
        return check_str(value)
    if made is int:
        return _whole(value)
    if made is dict or isinstance(value, Mapping):
        if not value:
            return EMPTY
        if depth == 0:
            raise ProblemError(value, "is nested too deep")
        return FrozenDict({check_str(k): check_json(v, depth - 1) for k, v in value.items()})
    if isinstance(value, list | tuple):
        if depth == 0:
            raise ProblemError(value, "is nested too deep")
        return tuple([check_json(v, depth - 1) for v in value])
    if isinstance(value, str):
        return check_str(value)
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, int):
        return _whole(value)
    raise ProblemError(value, "must be JSON")


_whole = check_int(-I64, I64 - 1)
_finite = check_float(-math.inf, math.inf)
