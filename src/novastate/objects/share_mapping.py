"""A file share that is attached to an instance."""

from novastate.objects.base import value
from novastate.objects.marks import SecretStr, Uuid
from novastate.objects.persistent import TimestampedValue
from novastate.objects.values import UNSET, Unset
from novastate.objects.vocabulary import ShareMappingProto, ShareMappingStatus

__all__ = ["ShareMapping"]


@value
class ShareMapping(TimestampedValue):
    """A file share that is attached to an instance, and how far the attachment is. Nova's ShareMapping 1.2.

    Who may reach it (*access_type*, *access_to*, *access_key*) is told to the host, and never kept.
    """

    id: int | Unset = UNSET
    uuid: Uuid | Unset = UNSET
    instance_uuid: Uuid
    share_id: Uuid
    status: ShareMappingStatus
    tag: str
    export_location: str
    share_proto: ShareMappingProto
    access_type: str | Unset | None = UNSET
    access_to: str | Unset | None = UNSET
    access_key: SecretStr | Unset | None = UNSET
