"""Two values that Python lacks: a field that was never loaded, and a dict that cannot change."""

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, Never, TypeVar

__all__ = ["EMPTY", "UNSET", "FrozenDict", "Unset"]

K = TypeVar("K")
V = TypeVar("V")


class Unset(Enum):
    """The type of :data:`UNSET`; an enum of one, so that type checkers narrow on ``is UNSET``."""

    UNSET = "UNSET"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"

    __str__ = __repr__


#: The field was never loaded. Falsy, and not None.
UNSET: Final = Unset.UNSET


class FrozenDict(dict[K, V]):
    """A dict that cannot be changed, and can be hashed when its values can."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> Never:
        raise TypeError("the mapping is frozen: assign a new one, e.g. {**old, key: value}")

    if not TYPE_CHECKING:  # to a type checker it is a dict, and is declared as a Mapping wherever it stands
        __setitem__ = __delitem__ = __ior__ = _refuse
        clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __copy__(self) -> "FrozenDict[K, V]":
        return self

    def __deepcopy__(self, memo: object) -> "FrozenDict[K, V]":
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return FrozenDict, (dict(self),)


#: The empty mapping, as a default.
EMPTY: Final[Mapping[str, Any]] = FrozenDict[str, Any]()
