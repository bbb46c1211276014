"""The numbers of the plain forms, and the steps that bring an older one up: data in a store outlive the code that wrote them.

Rules of this file:

1. Each class has a number: 1, and one more for each step in :data:`STEPS`. A record whose number is 1 says nothing about it; the
   others carry it as ``"$schema"``. Where that is absent it is 1.
2. A step takes the JSON of one record at its number and returns it at the next one. It looks at nothing else, leaves what it was
   given as it is, and takes any JSON object: what no record could hold it leaves to the reader, who names the path.
3. Inner records carry a number of their own, and are brought up on their own, afterwards.
4. What an older version wrote can be read, always. What a field takes no longer goes where it is still seen, if there is such a place.
5. A number above ours is refused: the data are from a newer novastate, and what we do not know we might lose.

A field that is added, or that takes more than it did, needs no step. ``tests/objects/test_schema.py`` says which change needs one.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from novastate.errors import WireError
from novastate.objects.base import TypeName, root
from novastate.objects.checks import ProblemError
from novastate.objects.kinds import understand
from novastate.objects.marks import Cidr, IpAddress

__all__ = ["KEY", "STEPS", "Upgrade", "check_number", "number", "upgraded"]

#: The member that holds the number.
KEY: Final = "$schema"

#: One step: the JSON of a record at one number, to the same record at the next.
Upgrade = Callable[[Mapping[str, Any]], dict[str, Any]]


# --- the steps


def _free_json_is_named(*names: str) -> Upgrade:
    """Fields that held any JSON hold a mapping: null is an empty one, anything else is kept under the name of the field."""

    def step(data: Mapping[str, Any]) -> dict[str, Any]:
        free = {name: data[name] for name in names if name in data and not isinstance(data[name], dict)}
        return {**data, **{name: {} if held is None else {name: held} for name, held in free.items()}}

    return step


def _checked_text(name: str, annotation: Any) -> Upgrade:
    """A field that held any text holds what *annotation* says: another text moves into ``meta``."""
    check = understand(annotation).kind.check

    def step(data: Mapping[str, Any]) -> dict[str, Any]:
        made = dict(data)
        held, meta = data.get(name), data.get("meta", {})
        if isinstance(held, str) and isinstance(meta, dict) and not _takes(check, held):
            kept = cast("dict[str, Any]", meta)
            aside = name
            while aside in kept:
                aside += "_"
            made.update({name: None, "meta": {**kept, aside: held}})
            if isinstance(data.get("$unset"), list):  # ``meta`` may have been
                names: list[Any] = data["$unset"]
                made["$unset"] = [field for field in names if field != "meta"]
        return made

    return step


def _known_predicate(data: Mapping[str, Any]) -> dict[str, Any]:
    """The version of a hypervisor that an image asks for is a predicate; a text that is none never asked for anything."""
    from novastate.objects.image import VersionPredicate  # noqa: PLC0415  (its 80 properties are built where they are used)

    held = data.get("img_hv_requested_version")
    if not isinstance(held, str) or _takes(understand(VersionPredicate).kind.check, held):
        return dict(data)
    return {name: part for name, part in data.items() if name != "img_hv_requested_version"}


def _takes(check: Callable[[Any], Any], held: str) -> bool:
    try:
        check(held)
    except ProblemError:
        return False
    return True


def _both(first: Upgrade, second: Upgrade) -> Upgrade:
    return lambda data: second(first(data))


_META = _free_json_is_named("meta")

#: For each class whose plain form has changed: the step from 1 to 2, the one from 2 to 3, and so on.
STEPS: Final[Mapping[str, tuple[Upgrade, ...]]] = MappingProxyType(
    {
        "FixedIP": (_both(_META, _checked_text("address", IpAddress)),),
        "ImageMetaProps": (_known_predicate,),
        "NetworkModel": (_META,),
        "Route": (_both(_META, _checked_text("cidr", Cidr)),),
        "Subnet": (_both(_META, _checked_text("cidr", Cidr)),),
        "VIF": (_free_json_is_named("details", "meta"),),
    }
)


# --- who uses them


def number(cls: type[Any]) -> int:
    """The number of the plain form of *cls*.

    >>> from novastate.objects import Flavor, VIF
    >>> number(Flavor), number(VIF)
    (1, 2)
    """
    return 1 + len(STEPS.get(cls.__name__, ()))


def upgraded(cls: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a record of *cls* as this version writes it, number and all; *data* stay as they are.

    Raises :class:`~novastate.errors.WireError` where *data* are from a newer novastate, or their number is none.

    >>> from novastate.objects import VIF
    >>> upgraded(VIF, {"id": "7a1f", "meta": None})
    {'id': '7a1f', 'meta': {}, '$schema': 2}
    """
    held = check_number(cls, data)
    made: Mapping[str, Any] = data
    for step in STEPS.get(cls.__name__, ())[held - 1 :]:
        made = step(made)
    return {**made, KEY: number(cls)}


def check_number(cls: type[Any], data: Mapping[str, Any]) -> int:
    """The number that the JSON of a record of *cls* carries; raises :class:`~novastate.errors.WireError` for none that we know."""
    held, now = data.get(KEY, 1), number(cls)
    if held.__class__ is not int or held < 1:
        shown = held if isinstance(held, int | float | str) else TypeName(type(held).__name__)
        raise WireError(f"{root(cls)}.{KEY}", shown, "must be a whole number, 1 or more")
    if held > now:
        raise WireError(
            f"{root(cls)}.{KEY}", held, f"is from a newer novastate: this one knows {cls.__name__} up to {now}"
        )
    return held
