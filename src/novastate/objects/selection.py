"""A selection: the host that the scheduler chose."""

from novastate.objects.base import Record, value
from novastate.objects.marks import Uuid
from novastate.objects.request_spec import SchedulerLimits

__all__ = ["Selection"]


@value
class Selection(Record):
    """The host that the scheduler chose, and what must be claimed there. Nova's Selection 1.1.

    *allocation_request* is a JSON text: what placement was asked, or will be.
    """

    compute_node_uuid: Uuid
    service_host: str
    nodename: str
    cell_uuid: Uuid
    limits: SchedulerLimits | None = None
    allocation_request: str | None = None
    allocation_request_version: str | None = None
    availability_zone: str | None = None
