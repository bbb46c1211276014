"""Where records are kept: one protocol, a store in memory, and a store in an SQL database.

>>> from novastate.store import MemoryStore, Store
>>> isinstance(MemoryStore(), Store)
True

``SqlStore`` needs SQLAlchemy (``pip install 'novastate[sql]'``), which is imported when it is first named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from novastate.store.base import KINDS, Change, Drop, Kind, Put, Store, Transition, kind_of
from novastate.store.memory import MemoryStore

if TYPE_CHECKING:
    from novastate.store.sql import SqlStore

__all__ = [
    "KINDS",
    "Change",
    "Drop",
    "Kind",
    "MemoryStore",
    "Put",
    "SqlStore",
    "Store",
    "Transition",
    "kind_of",
]


def __getattr__(name: str) -> object:
    if name == "SqlStore":
        from novastate.store.sql import SqlStore  # noqa: PLC0415  (lazy: only who names it needs SQLAlchemy)

        return SqlStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
