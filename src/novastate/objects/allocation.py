"""An allocation: the room that a consumer holds on a host. novastate's own, after placement's."""

from novastate.objects.base import Record, value
from novastate.objects.marks import Count, Revision, Uuid

__all__ = ["Allocation"]


@value
class Allocation(Record):
    """The room that *consumer* holds on *host*: *vcpus* count, *memory_mb* MiB, *disk_gb* GiB.

    Keyed by consumer and host, so that an instance on the move holds room on both: *migration* is True for the one that
    the move will give up or take over, and False for the one where the guest runs.
    """

    consumer: Uuid
    host: str
    vcpus: Count
    memory_mb: Count
    disk_gb: Count = 0
    migration: bool = False
    revision: Revision = 0
