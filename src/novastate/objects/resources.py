"""Resources that are counted one by one, each with a name of its own."""

from typing import Annotated

from novastate.objects.base import Record, value
from novastate.objects.marks import Count, Note, Pattern, Uuid
from novastate.objects.values import UNSET, Unset

__all__ = ["LibvirtVPMEMDevice", "Resource", "ResourceMetadata"]


@value
class ResourceMetadata(Record):
    """What a driver needs to know of a resource. Nova's ResourceMetadata 1.0."""


@value
class LibvirtVPMEMDevice(ResourceMetadata):
    """A virtual persistent memory namespace; *size* and *align* in bytes. Nova's LibvirtVPMEMDevice 1.0."""

    label: str
    name: str
    devpath: str
    size: Count
    align: Count


@value
class Resource(Record):
    """One resource of a provider, given to an instance. Nova's Resource 1.0."""

    provider_uuid: Uuid
    resource_class: Annotated[str, Pattern(r"[A-Z0-9_]+", "a resource class")]
    identifier: str
    metadata: Annotated[ResourceMetadata, Note.POLYMORPHIC] | Unset = UNSET
