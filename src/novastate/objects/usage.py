"""What was used, for those who charge for it."""

from datetime import datetime

from novastate.objects.base import value
from novastate.objects.marks import Uuid
from novastate.objects.persistent import PersistentValue
from novastate.objects.values import UNSET, Unset

__all__ = ["TaskLog", "VolumeUsage"]


@value
class TaskLog(PersistentValue):
    """One run of a periodic task on a host, such as the audit of what instances used. Nova's TaskLog 1.0."""

    id: int | Unset = UNSET
    task_name: str
    state: str | Unset = UNSET
    host: str
    period_beginning: datetime
    period_ending: datetime
    message: str | Unset = UNSET
    task_items: int | Unset = UNSET
    errors: int | Unset = UNSET


@value
class VolumeUsage(PersistentValue):
    """What an instance read from a volume and wrote to it. Nova's VolumeUsage 1.0.

    *curr_*: since the counters of the hypervisor began anew; *tot_*: before that.
    """

    id: int | Unset = UNSET
    volume_id: Uuid
    instance_uuid: Uuid | None = None
    project_id: str | None = None
    user_id: str | None = None
    availability_zone: str | None = None
    tot_last_refreshed: datetime | None = None
    tot_reads: int | Unset = UNSET
    tot_read_bytes: int | Unset = UNSET
    tot_writes: int | Unset = UNSET
    tot_write_bytes: int | Unset = UNSET
    curr_last_refreshed: datetime | None = None
    curr_reads: int | Unset = UNSET
    curr_read_bytes: int | Unset = UNSET
    curr_writes: int | Unset = UNSET
    curr_write_bytes: int | Unset = UNSET
