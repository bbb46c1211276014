"""Cells, and which of them a host or an instance is in."""

from novastate.objects.base import value
from novastate.objects.marks import SecretStr, Uuid
from novastate.objects.persistent import TimestampedValue
from novastate.objects.values import UNSET, Unset

__all__ = ["CellMapping", "HostMapping", "InstanceMapping"]


@value
class CellMapping(TimestampedValue):
    """A cell, and how to reach it; both connections hold passwords. Nova's CellMapping 1.1."""

    id: int | Unset = UNSET
    uuid: Uuid
    name: str | None = None
    transport_url: SecretStr | Unset = UNSET
    database_connection: SecretStr | Unset = UNSET
    disabled: bool = False


@value
class HostMapping(TimestampedValue):
    """Which cell a host is in. Nova's HostMapping 1.0."""

    id: int | Unset = UNSET
    host: str
    cell_mapping: CellMapping | Unset = UNSET


@value
class InstanceMapping(TimestampedValue):
    """Which cell an instance is in; none before it is placed. Nova's InstanceMapping 1.2."""

    id: int | Unset = UNSET
    instance_uuid: Uuid
    cell_mapping: CellMapping | None = None
    project_id: str | Unset = UNSET
    user_id: str | Unset = UNSET
    queued_for_delete: bool = False
