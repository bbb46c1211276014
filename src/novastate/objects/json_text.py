"""JSON texts: orjson where it is installed, else the standard library. Neither a member given twice nor an endless text gets in."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any, cast

from novastate.errors import WireError
from novastate.objects.base import TypeName

__all__ = ["LIMIT", "encode", "parse"]

#: Bytes that a text may have, unless the caller says otherwise: some 10⁴ instances.
LIMIT = 64 * 2**20


def encode(data: Any) -> bytes:
    """*data*, made of dicts, lists and scalars, as compact UTF-8."""
    return _codec()[0](data)


def parse(data: bytes | str, limit: int = LIMIT) -> Any:
    """What the text *data* says; :class:`~novastate.errors.WireError` where it is no JSON, too long, or says a thing twice.

    An object with two members of one name means one thing to one reader and another to the next, so it is refused.
    """
    if not isinstance(data, bytes | str):  # pyright: ignore[reportUnnecessaryIsInstance]  (callers have no type checker, perhaps)
        raise WireError("$", TypeName(type(data).__name__), "must be JSON, as bytes or text")
    if len(data) > limit:
        raise WireError("$", TypeName(f"{len(data)} bytes"), f"is too long: at most {limit} bytes are read")
    dump, load = _codec()
    try:
        parsed = load(data)
        if load is not _strict and not _says_all(dump(parsed), data):
            parsed = _strict(data)
    except _TwiceError as error:
        raise WireError(error.path or "$", error.name, "is given twice") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError("$", TypeName(f"{len(data)} bytes"), f"is not JSON ({_first_line(error)})") from None
    return parsed


def _says_all(written: bytes, data: bytes | str) -> bool:
    """Whether all members in *data* are in *written*, which is what its parsed form became.

    A member that is lost takes the two quotes of its name along, and nothing else changes the number of quotes that are not part
    of a text. Where a backslash stands before a backslash that number is not told so easily, and nothing is promised.
    """
    if isinstance(data, str):
        if "\\" not in data:
            return data.count('"') == written.count(b'"')
        data = data.encode()
    if data == written:
        return True
    return b"\\\\" not in data and b"\\\\" not in written and _quotes(data) == _quotes(written)


def _quotes(text: bytes) -> int:
    return text.count(b'"') - text.count(b'\\"')


def _first_line(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    return text if len(text) <= 100 else text[:97] + "..."


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
    def __init__(self, name: str) -> None:
        self.name, self.path = name, ""


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


def _strict(data: bytes | str) -> Any:
    found = list[_Twice]()

    def pairs(given: list[tuple[str, Any]]) -> dict[str, Any]:
        made = _pairs(given)
        if isinstance(made, _Twice):
            found.append(made)
        return made

    parsed = json.loads(data, object_pairs_hook=pairs, parse_constant=_constant)
    if found:
        error = _TwiceError(found[0].name)
        error.path = _path_to(parsed, found[0]) + f".{found[0].name}"
        raise error
    return parsed


def _path_to(parsed: Any, wanted: dict[str, Any]) -> str:
    """Where *wanted* is in *parsed*."""
    stack: list[tuple[Any, str]] = [(parsed, "$")]
    while stack:
        held, path = stack.pop()
        if held is wanted:
            return path
        if isinstance(held, dict):
            members = cast("dict[str, Any]", held)
            stack += [(part, f"{path}.{name}") for name, part in members.items()]
        elif isinstance(held, list):
            elements: list[Any] = held
            stack += [(part, f"{path}[{index}]") for index, part in enumerate(elements)]
    return "$"
