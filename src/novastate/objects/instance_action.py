"""What was asked of an instance and how each step of it ended; and what others tell of it."""

from collections.abc import Mapping
from datetime import datetime

from novastate.objects.base import Record, value
from novastate.objects.marks import Uuid
from novastate.objects.persistent import PersistentValue
from novastate.objects.values import UNSET, Unset
from novastate.objects.vocabulary import ExternalEventName, ExternalEventStatus

__all__ = ["InstanceAction", "InstanceActionEvent", "InstanceExternalEvent"]


@value
class InstanceAction(PersistentValue):
    """One action that a user asked of an instance. Nova's InstanceAction 1.2."""

    id: int | Unset = UNSET
    action: str | None = None
    instance_uuid: Uuid | None = None
    request_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    start_time: datetime | None = None
    finish_time: datetime | None = None
    message: str | None = None


@value
class InstanceActionEvent(PersistentValue):
    """One step of an action, on one host, and how it ended. Nova's InstanceActionEvent 1.4.

    *result* is None while the step runs, then Success or Error. *details* are for the user, *traceback* is for the operator.
    """

    id: int | Unset = UNSET
    event: str | None = None
    action_id: int | None = None
    start_time: datetime | None = None
    finish_time: datetime | None = None
    result: str | None = None
    traceback: str | None = None
    host: str | None = None
    details: str | None = None


@value
class InstanceExternalEvent(Record):
    """What network, storage or bare metal tell of an instance. Nova's InstanceExternalEvent 1.5.

    >>> event = InstanceExternalEvent(
    ...     instance_uuid="7a1f2c9e-0d53-4c7f-9a39-5a2be3a2f6d1", name="network-vif-plugged", status="completed", tag="port-1"
    ... )
    >>> event.key
    'network-vif-plugged-port-1'
    """

    instance_uuid: Uuid
    name: ExternalEventName
    status: ExternalEventStatus
    tag: str | None = None
    data: Mapping[str, str] | Unset = UNSET

    @property
    def key(self) -> str:
        """What waits for it, waits for: its name, and its tag if it has one."""
        return self.name if self.tag is None else f"{self.name}-{self.tag}"
