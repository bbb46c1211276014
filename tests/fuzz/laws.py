"""What holds for whatever comes in: the laws that the fuzzers and the property tests of the wire share.

An input is refused with a WireError that is small and names the path, or it becomes an object that goes out and comes in again as
it is. Nothing else may be raised, and no warning but one: of a newer version.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from novastate import objects
from novastate.errors import NewerVersionWarning, WireError
from novastate.objects import nova
from novastate.objects.base import Record, declared, fields, root
from novastate.objects.convert import structure
from novastate.objects.nova.versions import CURRENT, parse
from novastate.testing.strategies import _some as some

DATA = Path(__file__).resolve().parents[1] / "objects" / "data"
#: How the path in an error begins: with the whole, or with the class that is read.
ROOTS = {"$", *map(root, declared().values())}


def seeds() -> dict[str, Any]:
    """Primitives by name: those that Nova wrote, and those of other versions."""
    written = {file.stem: json.loads(file.read_text()) for file in sorted((DATA / "nova_primitives").glob("*.json"))}
    others = {file.stem: json.loads(file.read_text()) for file in sorted((DATA / "nova_upgrades").glob("*.json"))}
    return written | {name: envelope(held["name"], held["version"], held["before"]) for name, held in others.items()}


def of_nova() -> list[Any]:
    """One primitive or more of every class."""
    made = [json.loads(nova.dumps(obj)) for cls in declared().values() if cls.__name__ in CURRENT for obj in some(cls)]
    return [*seeds().values(), *made]


def of_plain() -> list[Any]:
    """Every class in plain JSON, each under its name."""
    return [
        {"class": cls.__name__, "data": json.loads(objects.dumps(obj))}
        for cls in declared().values()
        for obj in some(cls)
    ]


def envelope(name: Any, version: Any, data: Any) -> dict[str, Any]:
    return {
        "nova_object.name": name,
        "nova_object.namespace": "nova",
        "nova_object.version": version,
        "nova_object.data": data,
    }


def words() -> list[str]:
    """What a primitive is written with: the members of envelopes, classes, fields, versions."""
    found = {f"nova_object.{member}" for member in ("name", "namespace", "version", "data", "changes")}
    found |= {
        "nova",
        "$unset",
        "$type",
        "$wire",
        "objects",
        "unknown",
        "version",
        "1.0",
        "1.99",
        "2.0",
        "2026-08-05T04:00:00Z",
    }
    for name, cls in declared().items():
        found |= {name, *fields(cls), *(field.wire for field in fields(cls).values() if field.wire)}
    return sorted(found)


def refused_well(error: WireError) -> None:
    """An error is small, and its path begins with the root."""
    text = str(error)
    assert len(text) < 500, text
    assert re.split(r"[.\[]", error.field, maxsplit=1)[0] in ROOTS, error.field
    assert text.startswith(error.field)
    assert len(error.field) <= 160
    assert len(repr(error.value)) < 5000
    assert text.isprintable(), text


def to_the_second(text: bytes) -> bytes:
    """Nova's wire has whole seconds."""
    return re.sub(rb"(\d\d:\d\d:\d\d)\.\d{6}\+00:00", rb"\1+00:00", text)


def comes_back(obj: Record) -> None:
    """Both formats of ours say *obj* again and again the same."""
    repr(obj)
    cls = type(obj)
    plain = objects.dumps(obj)
    again = objects.loads(cls, plain)
    assert again == obj
    assert objects.dumps(again) == plain


def wire(read: Callable[[], Record], given: Any = None) -> Record | None:
    """The law of the wire: what *read* loads, or None where it is refused as it should be.

    *given*: the JSON that it reads, or its text, all of which must be in what is written then.
    """
    obj = plain(read)
    if obj is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NewerVersionWarning)
        out = nova.dumps(obj)
        again = nova.loads(out, type(obj))
    assert nova.dumps(again) == out
    assert to_the_second(objects.dumps(again)) == to_the_second(objects.dumps(obj))
    if given is not None:
        nothing_lost(json.loads(given) if isinstance(given, bytes | str) else given, json.loads(out))
    return obj


def plain(read: Callable[[], Record]) -> Record | None:
    """The law of plain JSON: what *read* loads, or None where it is refused as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", NewerVersionWarning)
        try:
            obj = read()
        except WireError as error:
            refused_well(error)
            return None
        comes_back(obj)
    return obj


def nothing_lost(given: Any, out: Any, at: str = "$") -> None:
    """What came is in what goes out, but for objects of an older version, which are brought up."""
    if isinstance(given, dict):
        assert isinstance(out, dict), at
        if is_older(given):
            return
        changes, data = given.get("nova_object.changes"), given.get("nova_object.data")
        told = is_names(changes) and isinstance(data, dict)
        if told:
            kept = set(changes) & set(data)
            assert kept <= set(out.get("nova_object.changes", ())), f"{at}: nova_object.changes"
        for name, held in given.items():
            if not (told and name == "nova_object.changes"):
                assert name in out, f"{at}.{name}"
                nothing_lost(held, out[name], f"{at}.{name}")
    elif isinstance(given, list):
        assert isinstance(out, list), at
        if all(isinstance(held, str | int | float | None) for held in given) and len(given) != len(out):
            given, out = sorted(set(given)), sorted(out)  # a set, in which something stood twice
        assert len(given) == len(out), at
        if any(isinstance(held, dict | list) for held in given):
            for index, (one, other) in enumerate(zip(given, out, strict=True)):
                nothing_lost(one, other, f"{at}[{index}]")
        else:
            assert sorted(map(repr, map(number, given))) == sorted(map(repr, map(number, out))), at
    else:
        same = number(given) == number(out) or (
            isinstance(given, str) and isinstance(out, str) and (is_time(given, out) or is_text(given, out))
        )
        assert same, f"{at}: {given!r} became {out!r}"


def is_older(given: dict[str, Any]) -> bool:
    """Whether this is an object of an older version; what only looks like one stands where nothing is known, and is kept as it is."""
    name, version = given.get("nova_object.name"), given.get("nova_object.version")
    if not isinstance(name, str) or name not in CURRENT or not isinstance(version, str):
        return False
    try:
        return parse(version) < parse(CURRENT[name])
    except WireError:
        return False


def is_names(held: Any) -> bool:
    return isinstance(held, list) and all(isinstance(name, str) for name in held)


def number(held: Any) -> Any:
    """A whole number beyond 64 bits is read as the float that is nearest; 1 and 1.0 are one number."""
    return float(held) if isinstance(held, int) and not isinstance(held, bool) else held


def is_time(given: str, out: str) -> bool:
    try:
        came, went = datetime.fromisoformat(given), datetime.fromisoformat(out)
    except ValueError:
        return False
    return (came if came.tzinfo else came.replace(tzinfo=UTC)).replace(microsecond=0) == went


def is_text(given: str, out: str) -> bool:
    """JSON in a text: the network model fills in what is not there, and moves what it does not know."""
    try:
        return type(json.loads(given)) is type(json.loads(out))
    except ValueError:
        return False


def plain_text(data: bytes) -> Record | None:
    """The law of plain JSON for a text that names the class."""
    try:
        said = json.loads(data)
        cls, held = declared()[said["class"]], said["data"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return plain(lambda: objects.loads(objects.Instance, data))
    return plain(lambda: structure(cls, held))
