"""What an object knows of its past: whether it was loaded or built here, and what its last home said of it.

A record keeps this beside its fields, in two slots that no comparison, hash or repr looks at:

``_past``
    a :class:`Past` once it was loaded or saved; absent in an object that was built here and saved nowhere.
``_held``
    of a mutable record that has a past: what its fields held then, in order.

Who reads them: :func:`~novastate.objects.tracking.changes`, and the converters.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from novastate.objects.values import EMPTY

__all__ = ["LOADED", "Box", "Past"]


class Past(NamedTuple):
    """Where an object came from."""

    #: The fields that were changed already when it was loaded, or that :func:`~novastate.objects.evolve` has changed since.
    changed: frozenset[str] = frozenset()
    #: Nova's version of it, where that is newer than the one that we know; else empty.
    version: str = ""
    #: The fields of that newer version that we do not know, as they came.
    unknown: Mapping[str, Any] = EMPTY

    def __repr__(self) -> str:
        """Without the values of unknown fields: nobody knows which of them are secrets."""
        return f"Past(changed={set(self.changed)}, version={self.version!r}, unknown={sorted(self.unknown)})"


#: The past of nearly all: loaded, unchanged, of a version that we know.
LOADED: Final = Past()


class Box(tuple[Any, ...]):  # noqa: SLOT001  (a tuple cannot have slots)
    """A sequence whose box on Nova's wire said more than usual: a tuple with a past."""

    past: Past = LOADED

    @classmethod
    def of(cls, items: tuple[Any, ...], past: Past) -> "Box":
        """The *items*, and what their box said."""
        made = cls(items)
        made.past = past
        return made

    def __reduce__(self) -> tuple[object, ...]:
        return Box.of, (tuple(self), self.past)
