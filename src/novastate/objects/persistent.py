"""The fields of whatever is a row in one of Nova's databases: four, or two where a row is not kept once it is deleted.

The four are written twice, since a mutable record cannot inherit from a frozen value.
"""

from datetime import datetime

from novastate.objects.base import Record, record, value

__all__ = ["PersistentRecord", "PersistentValue", "TimestampedValue"]


@record
class PersistentRecord(Record):
    """A mutable record with a row of its own. Times are UTC."""

    created_at: datetime | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted: bool = False


@value
class TimestampedValue(Record):
    """A frozen value with a row that is deleted for good. Times are UTC."""

    created_at: datetime | None = None
    updated_at: datetime | None = None


@value
class PersistentValue(TimestampedValue):
    """A frozen value with a row that is kept, and marked, when it is deleted."""

    deleted_at: datetime | None = None
    deleted: bool = False
