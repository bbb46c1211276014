"""The envelope in which Nova sends an object: its name, namespace, version, data, and what in it was changed.

Rules of this file:

1. An envelope of the version that we know, with no changes, is what nearly all are; it is opened in line
   (:mod:`novastate.objects.nova.profile`). Here is every other one.
2. An older minor version is read, its data brought up to ours first. A newer minor version is read too, with a warning: the fields
   that we do not know are kept, and go out again with that version. Another major version is refused.
3. Whatever is no member of an envelope is refused.
"""

import warnings
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any, cast

from novastate.errors import NewerVersionWarning, WireError, near
from novastate.objects.base import TypeName
from novastate.objects.members import CHANGES, DATA, NAME, NAMESPACE, NOVA, VERSION
from novastate.objects.nova.history import HISTORY
from novastate.objects.nova.upgrade import upgrade
from novastate.objects.nova.versions import current, parse
from novastate.objects.past import LOADED, Past
from novastate.objects.steps import kept_unknown, type_of
from novastate.objects.values import EMPTY

__all__ = ["name_of", "opened"]

_NEEDED = (NAME, NAMESPACE, VERSION, DATA)


def name_of(envelope: object, at: str) -> str:
    """The name of the object in *envelope*."""
    if not isinstance(envelope, dict):
        raise WireError(at, type_of(envelope), "must be the envelope of a Nova object")
    name = cast("dict[str, Any]", envelope).get(NAME)
    if not isinstance(name, str):
        raise WireError(f"{at}.{NAME}", type_of(name), "must be the name of an object")
    return name


def opened(name: str, at: str, known: Collection[str], envelope: object) -> tuple[dict[str, Any], Past]:
    """The data in an *envelope* of *name* in terms of the *known* fields of today's version, and what else it told.

    The names in the past's ``changed`` are Nova's.
    """
    found = name_of(envelope, at)
    members = cast("dict[str, Any]", envelope)
    if found != name:
        raise WireError(f"{at}.{NAME}", found, f"is not {name}", (name,))
    for member in _NEEDED:
        if member not in members:
            raise WireError(f"{at}.{member}", TypeName("nothing"), "must be given")
    for member in members:
        if not isinstance(member, str):  # pyright: ignore[reportUnnecessaryIsInstance]  (not every dict comes from JSON)
            raise WireError(at, type_of(member), "has a member whose name is no text")
        if member not in _NEEDED and member != CHANGES:
            raise WireError(f"{at}.{member}", member, "is no member of an envelope", (*_NEEDED, CHANGES))
    if members[NAMESPACE] != NOVA:
        raise WireError(f"{at}.{NAMESPACE}", type_of(members[NAMESPACE]), "is no namespace of ours", (NOVA,))
    data, version, unknown = members[DATA], "", EMPTY
    if not isinstance(data, dict):
        raise WireError(f"{at}.{DATA}", type_of(data), "must be an object")
    given, ours = parse(members[VERSION], f"{at}.{VERSION}"), parse(current(name))
    if given[0] != ours[0]:
        raise WireError(f"{at}.{VERSION}", members[VERSION], "is of another major version", (f"{ours[0]}.x",))
    if given < ours:
        data = upgrade(name, members[VERSION], cast("dict[str, Any]", data))
    elif given > ours:
        version = members[VERSION]
        unknown = kept_unknown({field: held for field, held in data.items() if field not in known}, at)
        data = {field: held for field, held in cast("dict[str, Any]", data).items() if field in known}
        _warn(name, version, unknown)
    gone = _gone(name) if given < ours else frozenset[str]()
    changed = _changed(at, members[CHANGES], known, unknown, gone) if CHANGES in members else frozenset[str]()
    if not changed and not version:
        return cast("dict[str, Any]", data), LOADED
    return cast("dict[str, Any]", data), Past(changed, version, unknown)


#: What was warned of. Python would keep every text for ever, and they come from outside.
_WARNED: dict[str | tuple[str, type[Warning], int], int] = {}


def _warn(name: str, version: str, unknown: Iterable[str]) -> None:
    """Tells of a newer version, once of each."""
    names = [field[:60] for field in islice(unknown, 11)]
    shown = ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")
    text = f"{name} {version} is newer than {current(name)}; unknown fields are kept: {shown or 'none'}"
    if len(_WARNED) > 1000:
        _WARNED.clear()
    warnings.warn_explicit(text, NewerVersionWarning, __file__, 0, __name__, _WARNED)


def _changed(
    at: str, names: object, known: Collection[str], unknown: Collection[str], gone: frozenset[str]
) -> frozenset[str]:
    if not isinstance(names, list):
        raise WireError(f"{at}.{CHANGES}", type_of(names), "must be a list of field names")
    given: list[Any] = names
    for name in given:
        if not isinstance(name, str) or (name not in known and name not in unknown and name not in gone):
            raise WireError(f"{at}.{CHANGES}", type_of(name), "names no field of it", near(type_of(name), known))
    return frozenset(given) - gone if gone else frozenset(given)


def _gone(name: str) -> frozenset[str]:
    """The fields that *name* had in an older version, and has no more."""
    return frozenset(field for step in HISTORY.get(name, ()) for field in step.removes)
