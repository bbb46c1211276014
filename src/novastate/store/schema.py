"""The tables of an SQL store.

Rules of this file:

1. One table a kind, built from its row in :data:`~novastate.store.base.KINDS`: the body whole, and beside it as text
   every field that is indexed or watched. Adding such a field to a kind is a new schema version.
2. What SQLite and PostgreSQL both take, and both order alike: text by code point, time as ISO 8601 in UTC.
3. Each index ends in what its rows are paged by, so a page is read from it without a sort.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

from novastate.store.base import KINDS, Kind

__all__ = ["DOCUMENTS", "DROPPED", "HISTORY", "MAILBOX", "META", "METADATA", "PRODUCT", "SCHEMA", "TABLES"]

#: What the meta table says of a store of ours, and the newest schema that this version reads and writes.
PRODUCT = "novastate"
SCHEMA = 1

METADATA: MetaData = MetaData()

#: Ordered by code point, in whatever locale a PostgreSQL database was made.
_NAME = Text().with_variant(Text(collation="C"), "postgresql")
#: SQLite numbers rows by itself where the type is exactly INTEGER.
_SERIAL = BigInteger().with_variant(Integer(), "sqlite")


def _text(name: str, *, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    return Column(name, _NAME, primary_key=primary_key, nullable=nullable)


def _table(kind: Kind) -> Table:
    columns = dict.fromkeys((*kind.indexed, *kind.watched))
    table = Table(
        f"novastate_{kind.name}",
        METADATA,
        _text("key", primary_key=True),
        Column("revision", BigInteger, nullable=False),
        Column("body", Text, nullable=False),
        *(_text(name, nullable=True) for name in columns),
    )
    for name in kind.indexed:
        Index(f"novastate_{kind.name}_by_{name}", table.c[name], table.c.key)
    return table


#: The table of each kind, by the kind's name.
TABLES: Mapping[str, Table] = {kind.name: _table(kind) for kind in KINDS.values()}

#: The last revision of every row that was dropped: a key that comes back goes on from there.
DROPPED: Table = Table(
    "novastate_dropped",
    METADATA,
    _text("kind", primary_key=True),
    _text("key", primary_key=True),
    Column("revision", BigInteger, nullable=False),
)

HISTORY: Table = Table(
    "novastate_history",
    METADATA,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    _text("kind"),
    _text("key"),
    _text("owner"),
    Column("revision", BigInteger, nullable=False),
    _text("at"),
    _text("field"),
    _text("old", nullable=True),
    _text("new", nullable=True),
)
Index("novastate_history_by_owner", HISTORY.c.owner, HISTORY.c.id)
Index("novastate_history_by_key", HISTORY.c.key, HISTORY.c.id)

MAILBOX: Table = Table(
    "novastate_mailbox",
    METADATA,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    _text("topic"),
    Column("message", Text, nullable=False),
)
Index("novastate_mailbox_by_topic", MAILBOX.c.topic, MAILBOX.c.id)

DOCUMENTS: Table = Table(
    "novastate_documents",
    METADATA,
    _text("name", primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

META: Table = Table(
    "novastate_meta",
    METADATA,
    _text("name", primary_key=True),
    Column("value", Text, nullable=False),
)
