"""A build request: an instance that was asked for, before it is in any cell."""

from collections.abc import Sequence
from typing import Annotated

from novastate.objects.base import value
from novastate.objects.block_device import BlockDeviceMapping
from novastate.objects.instance import Instance
from novastate.objects.marks import Note, Uuid
from novastate.objects.parts import Tag
from novastate.objects.persistent import TimestampedValue
from novastate.objects.values import UNSET, Unset

__all__ = ["BuildRequest"]


@value
class BuildRequest(TimestampedValue):
    """An instance that was asked for, before it is in any cell. Nova's BuildRequest 1.3."""

    id: int | Unset = UNSET
    instance_uuid: Uuid
    project_id: str | Unset = UNSET
    instance: Instance | Unset = UNSET
    block_device_mappings: Annotated[Sequence[BlockDeviceMapping], Note.BOXED] | Unset = UNSET
    tags: Annotated[Sequence[Tag], Note.BOXED] | Unset = UNSET
