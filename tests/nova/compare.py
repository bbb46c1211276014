"""When two primitives say the same.

Rules of this file:

- A set has no order, nor have ``changes``; a text that is JSON says what it says when parsed. All else must be equal.
- What a field is, is read from the real Nova's own classes, not from ours.
- Nova does not give back all that it reads: :meth:`Schema.settled` says what it makes of a primitive.
"""

from __future__ import annotations

import ipaddress
import json
from typing import Any

NAME, DATA, CHANGES = "nova_object.name", "nova_object.data", "nova_object.changes"
TEXTS = {"NetworkModel", "NetworkVIFModel"}


class Schema:
    """What Nova's classes hold, as the peer tells it."""

    def __init__(self, fields: dict[str, Any], filled: dict[str, Any], lists: list[str]) -> None:
        self.fields, self.filled, self.lists = fields, filled, frozenset(lists)

    def canonical(self, primitive: Any) -> Any:
        """A primitive with its sets and changes in order, and its JSON texts parsed."""
        if not isinstance(primitive, dict):
            return primitive
        fields = self.fields[primitive[NAME]]
        made = dict(primitive)
        made[DATA] = {
            name: self._value(
                fields[name]["repr"] if name in fields else "", held
            )  # a field of old has no type any more
            for name, held in primitive[DATA].items()
        }
        if CHANGES in made:
            made[CHANGES] = sorted(made[CHANGES])
        return made

    def _value(self, kind: str, held: Any) -> Any:
        if held is None:
            return None
        outer, _, rest = kind.partition("(")
        inner = rest.removesuffix(")")
        match outer:
            case "Object":
                return self.canonical(held)
            case "List":
                return [self._value(inner, one) for one in held]
            case "Set":
                return sorted(held)
            case "Dict":
                return {name: self._value(inner, one) for name, one in held.items()}
            case _:
                return json.loads(held) if outer in TEXTS else held

    def settled(self, primitive: Any) -> Any:
        """What Nova writes when it has read *primitive* (canonical), by its own rules:

        - an object that is never without some fields gets them where the primitive has them not (``NovaEphemeralObject``);
        - the extra specs and projects of a Flavor count as changed once it was read, if there are any
          (``Flavor._obj_from_primitive`` asks what has changed before it has anything to compare with);
        - a field whose object has changes has changed itself, and so has a list of which an element has, but not a field with a
          plain list of objects (``obj_what_changed``);
        - a network model is read by the rules at the end of this file.
        """
        name = primitive[NAME]
        fields = self.fields[name]
        data = {**self.canonical({NAME: name, DATA: self.filled[name]})[DATA], **primitive[DATA]}
        changed = {field for field in primitive.get(CHANGES, ()) if field in fields}
        if name == "Flavor":
            changed |= {field for field in ("extra_specs", "projects") if data.get(field)}
        for field, held in data.items():
            kind = fields[field]["repr"]
            if kind in TEXTS and held is not None:
                data[field] = [vif(one) for one in held] if kind == "NetworkModel" else vif(held)
            elif kind.startswith("Object(") and held is not None:
                data[field] = self.settled(held)
                if CHANGES in data[field]:
                    changed.add(field)
            elif kind.startswith("List(Object(") and held is not None:
                data[field] = [self.settled(one) for one in held]
                if name in self.lists and any(CHANGES in one for one in data[field]):
                    changed.add(field)
        made = {key: held for key, held in primitive.items() if key != CHANGES} | {DATA: data}
        shown = sorted(changed & data.keys())  # a change of a field that is not sent is not told
        return made | ({CHANGES: shown} if shown else {})


def difference(one: Any, other: Any, path: str = "$") -> str:
    """The first place where two canonical primitives differ, and how; "" where they do not."""
    if type(one) is not type(other):
        return f"{path}: {one!r:.200} is not {other!r:.200}"
    if isinstance(one, dict):
        for key in [*one, *(other.keys() - one.keys())]:
            if key not in one or key not in other:
                return f"{path}.{key}: only in the {'first' if key in one else 'second'}"
            if found := difference(one[key], other[key], f"{path}.{key}"):
                return found
        return ""
    if isinstance(one, list):
        if len(one) != len(other):
            return f"{path}: {one!r:.300} is not {other!r:.300}"
        parts = (difference(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(one, other, strict=True)))
        return next((found for found in parts if found), "")
    return "" if one == other else f"{path}: {one!r:.200} is not {other!r:.200}"


# --- Nova's network model (nova/network/model.py), which is read by rules of its own


def _split(held: dict[str, Any], *names: str) -> dict[str, Any]:
    """What is known by *names*; all else is moved into ``meta``."""
    meta = {**held.get("meta", {}), **{name: part for name, part in held.items() if name not in (*names, "meta")}}
    return {name: held.get(name) for name in names} | {"meta": meta}


def _version(held: dict[str, Any], of: str) -> None:
    if held[of] and not held["version"]:
        held["version"] = ipaddress.ip_interface(held[of]).version


def _ip(held: Any) -> Any:
    if not held:
        return None
    made = _split(held, "address", "type", "version")
    _version(made, "address")
    return made


def _fixed_ip(held: Any) -> Any:
    made = _split(held, "address", "type", "version", "floating_ips")
    _version(made, "address")
    made["type"] = made["type"] or "fixed"
    made["floating_ips"] = [_ip(one) for one in made["floating_ips"] or []]
    return made


def _subnet(held: Any) -> Any:
    made = _split(held, "cidr", "dns", "gateway", "ips", "routes", "version")
    _version(made, "cidr")
    made["dns"] = [_ip(one) for one in made["dns"] or []]
    made["ips"] = [_fixed_ip(one) for one in made["ips"] or []]
    routes = [_split(one, "cidr", "gateway", "interface") for one in made["routes"] or []]
    made["routes"] = [{**one, "gateway": _ip(one["gateway"])} for one in routes]
    made["gateway"] = _ip(made["gateway"])
    return made


def vif(held: Any) -> Any:
    """An interface as Nova reads it."""
    given = {"active": False, "vnic_type": "normal", "preserve_on_delete": False, "delegate_create": False, **held}
    made = _split(
        given, "id", "address", "network", "type", "details", "devname", "ovs_interfaceid", "qbh_params", "qbg_params",
        "active", "vnic_type", "profile", "preserve_on_delete", "delegate_create",
    )  # fmt: skip
    made["details"] = made["details"] or {}
    if made["network"]:
        network = _split(made["network"], "id", "bridge", "label", "subnets")
        made["network"] = {**network, "subnets": [_subnet(one) for one in network["subnets"] or []]}
    else:
        made["network"] = None
    return made
