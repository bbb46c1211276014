"""Primitives of Nova's objects for the tests of versions: recorded ones, and full ones made from the recorded fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "data"
SCHEMA = json.loads((DATA / "nova_objects.json").read_text())
#: Every registered object: LiveMigrateData is only a base.
FIELDS = {name: held["fields"] for name, held in SCHEMA["objects"].items() if name != "LiveMigrateData"}


def recorded(name: str) -> dict[str, Any]:
    """A primitive that Nova 34.0.0 wrote."""
    return json.loads((DATA / "nova_primitives" / f"{name}.json").read_text())


def data(primitive: dict[str, Any]) -> dict[str, Any]:
    return primitive["nova_object.data"]


def wrap(name: str, version: str, /, **held: Any) -> dict[str, Any]:
    """A primitive of the object *name* in *version*, that holds *held*."""
    return {
        "nova_object.name": name,
        "nova_object.namespace": "nova",
        "nova_object.version": version,
        "nova_object.data": held,
    }


def full(name: str) -> dict[str, Any]:
    """An object of the present version with every field set; what is no object in it is only a stand-in."""
    version = SCHEMA["objects"][name]["version"]
    return wrap(name, version, **{field: _value(held) for field, held in FIELDS[name].items() if "vtpm" not in field})


def _value(field: dict[str, Any]) -> Any:
    match field["type"]:
        case "Object":
            return full(field["object"])
        case "List" | "Set":
            return [_value(field["element"])]
        case "Dict":
            return {"key": _value(field["element"])}
        case _:
            return "value"
