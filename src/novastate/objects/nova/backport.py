"""What an older peer gets: an object's primitive as a peer of an older version reads it.

Rules of this file, which are those of ``obj_to_primitive`` of oslo.versionedobjects with a manifest:

1. The root is given the version that is asked for; each object inside that of the manifest, by the kind that the field is
   declared with (a bus, device or metadata of a subclass gets its base's). Inner objects go first, then the object.
2. Of an object, values that the version does not know are refused, its rule is followed (:mod:`backport_rules`), and fields
   that came later are left out (:mod:`history`).
3. An inner object that the manifest does not name goes as it is; what is in a box gets version 1.0.
4. ``changes`` of the root name only fields that are left; those of inner objects stay.

Nova would also answer for another major version, with data that no such peer can read: that is refused here. A version
of the manifest that is newer than the object inside is only written on it, as Nova does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, cast

from novastate.errors import WireError, near
from novastate.objects.members import CHANGES, DATA, NAME, VERSION
from novastate.objects.nova.backport_rules import RULES, SEALED
from novastate.objects.nova.history import HISTORY, Step
from novastate.objects.nova.tree import BOX, copied, edges
from novastate.objects.nova.versions import CURRENT, parse
from novastate.objects.nova.versions import manifest as present

__all__ = ["backport"]


def backport(primitive: Mapping[str, Any], version: str, manifest: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A new primitive: *primitive* as a peer gets it that speaks *version* of it, and *manifest* of what is inside.

    Without a manifest what is inside keeps the present versions, and a primitive that has *version* already is only copied.

    Raises :class:`~novastate.errors.WireError`, with the path, for a version that is no ``"N.N"``, newer than the
    primitive's or of another major; for an object that is not known; and where Nova refuses, because a value cannot be
    said in that version. The primitive is not changed.

    >>> flavor = {"nova_object.name": "Flavor", "nova_object.namespace": "nova", "nova_object.version": "1.2",
    ...           "nova_object.data": {"name": "m1.tiny", "description": None}}
    >>> backport(flavor, "1.1")["nova_object.data"]
    {'name': 'm1.tiny'}
    """
    try:
        made = copied(primitive)
    except RecursionError:
        raise WireError("$", type(primitive).__name__, "is nested too deeply") from None
    root = _opened(made, "$")
    target = parse(version, "version")
    _same_major(root.name, target, version, "version")
    if target > root.version:
        raise WireError("version", version, f"is newer than what {root.name} has, {root.envelope[VERSION]}")
    if manifest is None:
        if target == root.version:
            return root.envelope
        manifest = present(root.name)
    for name, spoken in manifest.items():
        parse(spoken, f"manifest.{name}")
    _bring(root, version, manifest)
    _keep_changes(root)
    return root.envelope


class _Opened(NamedTuple):
    """An object in the copy: its envelope, what is in it, and where it is."""

    envelope: dict[str, Any]
    name: str
    version: tuple[int, int]
    data: dict[str, Any]
    at: str


def _opened(envelope: object, at: str) -> _Opened:
    if not isinstance(envelope, dict):
        raise WireError(at, type(envelope).__name__, "must be an object of Nova")
    name, data = envelope.get(NAME), envelope.get(DATA)
    if not isinstance(name, str) or name not in CURRENT:
        shown = name[:80] if isinstance(name, str) else type(name).__name__
        raise WireError(f"{at}.{NAME}", shown, "is no object of Nova", near(shown, CURRENT))
    if not isinstance(data, dict):
        raise WireError(f"{at}.{DATA}", type(data).__name__, "must be an object")
    version = parse(envelope.get(VERSION), f"{at}.{VERSION}")
    _same_major(name, version, envelope[VERSION], f"{at}.{VERSION}")
    if version > parse(CURRENT[name]):
        newest = CURRENT[name]
        raise WireError(f"{at}.{VERSION}", envelope[VERSION], f"cannot be brought back: {name} is known up to {newest}")
    return _Opened(cast("dict[str, Any]", envelope), name, version, cast("dict[str, Any]", data), at)


def _keep_changes(opened: _Opened) -> None:
    """Leaves in ``changes`` what is left in the data; where that is nothing, leaves them out."""
    changes = opened.envelope.pop(CHANGES, [])
    if not isinstance(changes, list) or not all(isinstance(field, str) for field in changes):
        raise WireError(f"{opened.at}.{CHANGES}", type(changes).__name__, "must be a list of field names")
    left = [field for field in changes if field in opened.data]
    if left:
        opened.envelope[CHANGES] = left


def _same_major(name: str, version: tuple[int, int], text: str, at: str) -> None:
    newest = CURRENT[name]
    if version[0] != parse(newest)[0]:
        raise WireError(at, text, f"is of another major version than {name} has here, {newest}")


def _bring(opened: _Opened, version: str, manifest: Mapping[str, str]) -> None:
    """Brings an object, in place, back to *version*, and what is inside to the versions of *manifest*."""
    target = parse(version)
    _same_major(opened.name, target, version, opened.at)
    if opened.name not in SEALED:
        for inner, wanted in _inside(opened, manifest):
            _bring(inner, wanted, manifest)
    _refuse(opened, target, version)
    if opened.name in RULES:
        RULES[opened.name](opened.data, target, opened.at)
    for came, step in _steps(opened.name):
        if target < came:
            for field in step.adds:
                opened.data.pop(field, None)
    opened.envelope[VERSION] = version


@cache
def _steps(name: str) -> tuple[tuple[tuple[int, int], Step], ...]:
    """The history of an object, with its versions as numbers."""
    return tuple((parse(step.version), step) for step in HISTORY.get(name, ()))


def _inside(opened: _Opened, manifest: Mapping[str, str]) -> Iterator[tuple[_Opened, str]]:
    """The objects in an object, each with the version that it is to get."""
    for field, kind in edges(opened.name).items():
        wanted = manifest.get(kind, "1.0" if field == BOX else None)
        held = opened.data.get(field)
        if wanted is None or held is None:
            continue
        at = f"{opened.at}.{field}"
        if isinstance(held, list):
            for index, element in enumerate(held):
                yield _opened(element, f"{at}[{index}]"), wanted
        else:
            yield _opened(held, at), wanted


def _refuse(opened: _Opened, target: tuple[int, int], version: str) -> None:
    """Raises where a field holds a value that came after *target*."""
    for came, step in _steps(opened.name):
        for field, new in step.values.items():
            held = opened.data.get(field)
            if target < came and isinstance(held, str) and held in new:
                raise WireError(
                    f"{opened.at}.{field}", held, f"came with version {step.version}, {version} does not know it"
                )
