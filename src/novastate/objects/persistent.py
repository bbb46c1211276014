"""The four fields of whatever is a row in Nova's database.

They are written twice, since a mutable record cannot inherit from a frozen value.
"""

from datetime import datetime

from novastate.objects.base import Record, record, value

__all__ = ["PersistentRecord", "PersistentValue"]


@record
class PersistentRecord(Record):
    """A mutable record with a row of its own. Times are UTC."""

    created_at: datetime | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted: bool = False


@value
class PersistentValue(Record):
    """A frozen value with a row of its own. Times are UTC."""

    created_at: datetime | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted: bool = False
