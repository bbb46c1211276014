"""What an annotation may say beside the type: ranges, patterns, secrets, machines; and the types that are used often.

To a type checker each of them is the plain type: ``Count`` is ``int``, ``SecretStr`` is ``str``.
"""

import math
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, NamedTuple

from novastate.machines import Machine

__all__ = [
    "I64",
    "UUID",
    "AnyJson",
    "Cidr",
    "Count",
    "CountOrMinus1",
    "GuardedMap",
    "Ip",
    "IpAddress",
    "LegacyStr",
    "MacAddress",
    "Moves",
    "Note",
    "Pattern",
    "Percent",
    "Positive",
    "Range",
    "Ratio",
    "Revision",
    "SecretStr",
    "Uuid",
    "Wire",
]


class Range(NamedTuple):
    """The least and the greatest number that a field takes."""

    least: float
    most: float


class Pattern(NamedTuple):
    """What a text must match, whole, and what to call it."""

    regex: str
    called: str


class Ip(NamedTuple):
    """The text is an IP address of this version; 0: of either."""

    version: int


class Wire(NamedTuple):
    """The name of the field in Nova's objects, where it differs; empty: Nova has no such field."""

    name: str


class Note(Enum):
    """Marks on a field."""

    #: Never shown. In a mapping: the values under a key that sounds like a secret (``password_0``) are not.
    SECRET = "secret"  # noqa: S105  (a mark, not a password)
    #: None is taken, since Nova's own schema allows it, though every record that works has a value.
    LEGACY_NULL = "legacy null"
    #: Any subclass of the record may stand there.
    POLYMORPHIC = "polymorphic"
    #: Cannot be changed once set.
    FIXED = "fixed"
    #: Any JSON value.
    JSON = "json"
    #: On Nova's wire the sequence travels in an object of its own: of Tags, in a TagList.
    BOXED = "boxed"
    #: On Nova's wire the value is a JSON text.
    JSON_TEXT = "json text"


class Moves:
    """The field is the state of *machine*; where that is a mapping, of the one under the value of the field *by*."""

    __slots__ = ("by", "machine")

    def __init__(self, machine: type[Machine[Any]] | Mapping[Any, type[Machine[Any]]], by: str = "") -> None:
        self.machine, self.by = machine, by

    def of(self, obj: object) -> type[Machine[Any]] | None:
        """The machine that moves *obj*; None if the object does not know yet (the field *by* is UNSET)."""
        if isinstance(self.machine, Mapping):
            return self.machine.get(getattr(obj, self.by))
        return self.machine


#: One more than the greatest number that fits into 64 bits, where stores keep their numbers.
I64 = 2**63
#: A UUID in any of the ways in which Nova takes one.
UUID = r"[a-fA-F0-9]{8}-?[a-fA-F0-9]{4}-?[a-fA-F0-9]{4}-?[a-fA-F0-9]{4}-?[a-fA-F0-9]{12}"

#: A whole number that counts something: 0 or more.
Count = Annotated[int, Range(0, I64 - 1)]
#: A whole number, 1 or more.
Positive = Annotated[int, Range(1, I64 - 1)]
#: A whole number, or -1 for "any" or "unlimited".
CountOrMinus1 = Annotated[int, Range(-1, I64 - 1)]
#: 0 to 100.
Percent = Annotated[int, Range(0, 100)]
#: An allocation ratio: how often a host's resource may be given away; 0 is "not set: the scheduler's own".
Ratio = Annotated[float, Range(0, math.inf)]
#: A text in the form of a UUID.
Uuid = Annotated[str, Pattern(UUID, "a UUID")]
#: An IP address of either version, as text.
IpAddress = Annotated[str, Ip(0)]
#: A network with the length of its prefix, of either version: ``10.0.0.0/24``.
Cidr = Annotated[str, Pattern(r"[0-9a-fA-F.:]{2,45}/[0-9]{1,3}", "a network, as 10.0.0.0/24")]
#: A MAC address in lower case, as Nova writes it: ``fa:16:3e:00:00:08``.
MacAddress = Annotated[str, Pattern(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", "a MAC address")]
#: A text that is never shown.
SecretStr = Annotated[str, Note.SECRET]
#: A text, where Nova's schema also allows None.
LegacyStr = Annotated[str, Note.LEGACY_NULL]
#: Texts by name, of which those that sound like a secret are never shown.
GuardedMap = Annotated[Mapping[str, str], Note.SECRET]
#: Any JSON value.
AnyJson = Annotated[Any, Note.JSON]
#: The compare-and-swap counter of novastate's stores; 0 is "never saved". Nova has no such field.
Revision = Annotated[int, Range(0, I64 - 1), Wire("")]
