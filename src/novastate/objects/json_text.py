"""JSON texts: orjson where it is installed, else the standard library. Neither a member given twice nor an endless text gets in.

Both read the same texts, as the same: UTF-8 without a mark before it, no NaN, no half of a surrogate pair, and a whole number that
64 bits cannot hold as the float that is nearest.
"""

import json
import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, cast

from novastate._native.codec import CODEC
from novastate.errors import WireError
from novastate.objects.base import TypeName

__all__ = ["LIMIT", "encode", "parse"]

#: Bytes that a text may have, unless the caller says otherwise: some three thousand instances.
LIMIT = 16 * 2**20


def encode(data: Any) -> bytes:
    """*data*, made of dicts, lists and scalars, as compact UTF-8."""
    return _codec()[0](data)


def parse(data: bytes | str, limit: int = LIMIT) -> Any:
    """What the text *data* says; :class:`~novastate.errors.WireError` where it is no JSON, too long, or says a thing twice.

    *limit*: bytes of UTF-8; some 250 levels may be within each other. An object with two members of one name means one thing to one
    reader and another to the next, so it is refused.
    """
    if not isinstance(data, bytes | str):  # pyright: ignore[reportUnnecessaryIsInstance]  (callers have no type checker, perhaps)
        raise WireError("$", TypeName(type(data).__name__), "must be JSON, as bytes or text")
    load = _codec()[1]
    size = len(data)
    try:
        if isinstance(data, str) and not data.isascii():
            size = len(data.encode())
        if size > limit:
            raise WireError("$", TypeName(f"{size} bytes"), f"is too long: at most {limit} bytes are read")
        parsed = load(data)
        if load is not _strict and not _says_all(data, parsed):
            parsed = _strict(data)
    except _TwiceError as error:
        raise WireError(error.path, error.name, "is given twice") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError("$", TypeName(f"{size} bytes"), f"is not JSON ({_first_line(error)})") from None
    return parsed


def _says_all(data: bytes | str, parsed: Any) -> bool:
    """Whether all members in *data* are in what it was *parsed* to.

    A member that is lost takes the two quotes of its name along, and nothing else changes the number of quotes that are no part of a text.
    """
    if CODEC is not None:
        return bool(CODEC.says_all(data, parsed))
    text, written = data if isinstance(data, bytes) else data.encode(), encode(parsed)
    return text == written or _quotes(text) == _quotes(written)


def _quotes(text: bytes) -> int:
    if b"\\" not in text:
        return text.count(b'"')
    # Without the backslashes that are escaped, one before a quote always escapes it.
    bare = text.replace(b"\\\\", b"")
    return bare.count(b'"') - bare.count(b'\\"')


def _first_line(error: BaseException) -> str:
    return _shown(str(error).partition("\n")[0])


@cache
def _codec() -> tuple[Callable[[Any], bytes], Callable[[Any], Any]]:
    try:
        import orjson  # noqa: PLC0415  (an extra)
    except ImportError:
        encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return lambda data: encoder.encode(data).encode(), _strict
    return orjson.dumps, orjson.loads


# --- the slow road, which sees each member as it comes


class _TwiceError(ValueError):
    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path


class _Twice(dict[str, Any]):
    """An object of which a member is given twice: kept until the whole is read, so that its path can be told."""

    name: str


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    twice, seen = _Twice(made), set[str]()
    for name, _ in pairs:
        if name in seen:
            twice.name = name
            break
        seen.add(name)
    return twice


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too great")
    return number


def _whole(text: str) -> float:
    if len(text) <= 18:
        return int(text)
    number = int(text) if len(text) <= 20 else 2**64
    return number if -(2**63) <= number < 2**64 else _number(text)


#: Half of a surrogate pair, or a whole pair.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _strict(data: bytes | str) -> Any:
    text = data if isinstance(data, str) else data.decode()
    found = False

    def pairs(given: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        made = _pairs(given)
        found = found or isinstance(made, _Twice)
        return made

    parsed = json.loads(text, object_pairs_hook=pairs, parse_constant=_constant, parse_float=_number, parse_int=_whole)
    if _SURROGATE.search(text):
        json.dumps(parsed, ensure_ascii=False).encode()
    if found:
        raise _twice_in(parsed)
    return parsed


def _twice_in(parsed: Any) -> _TwiceError:
    """What is given twice: of the outermost objects that say a thing twice, the first."""
    stack: list[_Place] = [_Place(parsed, "", None)]
    while stack:
        place = stack.pop()
        held = place.held
        if isinstance(held, _Twice):
            return _TwiceError(_shown(held.name), f"{place.path()}.{_shown(held.name)}")
        if isinstance(held, dict):
            members = cast("dict[str, Any]", held)
            inner = [_Place(part, name, place) for name, part in members.items() if isinstance(part, dict | list)]
        else:
            elements: list[Any] = held if isinstance(held, list) else []
            inner = [_Place(part, n, place) for n, part in enumerate(elements) if isinstance(part, dict | list)]
        stack += reversed(inner)
    raise AssertionError(
        "an object said a thing twice, and is part of the whole or was dropped by another one that did"
    )


class _Place(NamedTuple):
    """A value in a text, and where it is: a name or an index in an outer value."""

    held: Any
    key: str | int
    outer: "_Place | None"

    def path(self) -> str:
        parts, place = list[str](), self
        while place.outer is not None:
            parts.append(f".{_shown(place.key)}" if isinstance(place.key, str) else f"[{place.key}]")
            place = place.outer
        return "$" + "".join(reversed(parts))


def _shown(name: str) -> str:
    return name if len(name) <= 100 else name[:97] + "..."
