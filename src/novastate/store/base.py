"""Where records are kept: the protocol every store follows.

Rules of this room:

1. Saving is compare-and-swap, always. A change carries the revision that its object was read at (0: it must
   not exist yet), and may name the field values it was allowed to see. If the row differs,
   :class:`~novastate.errors.StaleState` says what is there, and nothing is changed.
2. A commit is atomic: all of its changes or none.
3. The store alone writes ``revision``, and only after the commit has succeeded. A revision is never given out
   twice for one key, not even to a row that was dropped and created again: no old copy passes for the new.
4. Every change of a state field (vm_state, task_state, power_state, status, host …) leaves a line of history
   in the same commit.
5. No operation reads a whole table: what returns many rows is paged, and selects by indexed fields.
6. What is loaded is a copy: no object of a caller is ever an object of the store.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar, runtime_checkable

from attrs import field, frozen

from novastate.errors import UnknownName
from novastate.objects import Allocation, ComputeNode, Instance, Migration, RequestSpec

__all__ = ["KINDS", "Change", "Drop", "Kind", "Put", "Store", "Transition", "kind_of"]

T = TypeVar("T")


@frozen
class Kind:
    """How one class of objects is kept: its key, what it is found by, what is told of its changes."""

    name: str
    cls: type[Any]
    key: tuple[str, ...]
    #: The most telling first: a search by several fields reads the index of the first of them.
    indexed: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    #: The field that holds the key of the object whose history this one's changes belong to; empty: its own.
    owner: str = ""

    def key_of(self, obj: object) -> str:
        """The key as text; parts are joined by a slash."""
        return "/".join(str(getattr(obj, part)) for part in self.key)

    def owner_of(self, obj: object) -> str:
        """The key under which the history of *obj* is told."""
        return str(getattr(obj, self.owner)) if self.owner else self.key_of(obj)


#: Everything that is kept, by class.
KINDS: Mapping[type[Any], Kind] = {
    kind.cls: kind
    for kind in (
        Kind(
            "instance",
            Instance,
            ("uuid",),
            indexed=("display_name", "host", "task_state", "vm_state"),
            watched=("vm_state", "task_state", "power_state", "host"),
        ),
        Kind(
            "migration",
            Migration,
            ("uuid",),
            indexed=("instance_uuid", "source_compute", "dest_compute", "status"),
            watched=("status", "dest_compute"),
            owner="instance_uuid",
        ),
        Kind("request_spec", RequestSpec, ("instance_uuid",)),
        Kind("compute_node", ComputeNode, ("host",)),
        Kind("allocation", Allocation, ("consumer", "host"), indexed=("consumer", "host")),
    )
}


def kind_of(obj: object) -> Kind:
    """The kind of an object or class; raises :class:`~novastate.errors.UnknownName`."""
    cls = obj if isinstance(obj, type) else type(obj)
    try:
        return KINDS[cls]
    except KeyError:
        raise UnknownName("stored kind", cls.__name__, (k.cls.__name__ for k in KINDS.values())) from None


@frozen
class Put:
    """Write *obj*: create it if its revision is 0, else replace the row of that revision.

    *expect* names further fields of the stored row and the values that each may have, as objects or as their
    text (``{"task_state": [TaskState.IDLE]}``, or Nova's ``[None]``). It only makes the check stricter.
    """

    obj: Any
    expect: Mapping[str, Collection[object]] = field(factory=dict[str, Collection[object]])


@frozen
class Drop:
    """Delete the row of *obj* at its revision."""

    obj: Any


Change = Put | Drop


@frozen
class Transition:
    """One line of history: at *at*, *field* of object *key* went from *old* to *new*.

    The values are text, None where unset. *revision* is the one that the change led to, or that a dropped object had.
    """

    kind: str
    key: str
    revision: int
    at: datetime
    field: str
    old: str | None
    new: str | None


@runtime_checkable
class Store(Protocol):
    """A place that keeps records. See the rules of this module."""

    def load(self, cls: type[T], key: str) -> T:
        """The object of that key, a copy of its own. Raises :class:`~novastate.errors.NotFound`."""
        ...

    def find(self, cls: type[T], *, limit: int = 100, after: str = "", **equals: object) -> list[T]:
        """Up to *limit* objects whose indexed fields equal *equals*, by key, those after key *after*.

        The next page begins after the key of the last object. Raises :class:`~novastate.errors.UnknownName`
        for a field that is not indexed.
        """
        ...

    def commit(self, *changes: Change) -> None:
        """All of *changes* or none; then sets the ``revision`` of each object that was put.

        Raises :class:`~novastate.errors.StaleState` (who won), :class:`~novastate.errors.NotFound` (the row
        was dropped, or never was), :class:`~novastate.errors.AlreadyExists`, and
        :class:`~novastate.errors.StoreError`, also where two of *changes* are of one object.
        """
        ...

    def history(self, key: str, *, limit: int = 1000, after: int = 0) -> list[Transition]:
        """Up to *limit* lines of history of the object with this key, oldest first, *after* of them skipped.

        For an instance, the lines of its migrations are among them.
        """
        ...

    def post(self, topic: str, message: str) -> None:
        """Leaves a message for whoever takes from *topic* next (a request to abort a running flow)."""
        ...

    def take(self, topic: str) -> str | None:
        """Takes the oldest message of *topic*; None if there is none. Each message is taken once."""
        ...

    def get_document(self, name: str) -> tuple[int, dict[str, Any]]:
        """The revision and body of a free-form document; ``(0, {})`` if there is none."""
        ...

    def put_document(self, name: str, body: Mapping[str, Any], revision: int) -> int:
        """Replaces the document read at *revision* (0: there was none); returns its new revision.

        The body is JSON. Raises :class:`~novastate.errors.StaleState`.
        """
        ...

    def close(self) -> None:
        """Gives connections and files back. Closing twice is once."""
        ...
