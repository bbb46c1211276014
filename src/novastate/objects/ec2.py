"""Names of the EC2 API, kept for servers and images that once had them."""

from novastate.objects.base import Record, value
from novastate.objects.marks import Uuid
from novastate.objects.persistent import PersistentValue
from novastate.objects.values import UNSET, Unset

__all__ = ["EC2Ids", "EC2InstanceMapping", "S3ImageMapping"]


@value
class EC2Ids(Record):
    """The names of the instance in the EC2 API. Nova's EC2Ids 1.0."""

    instance_id: str
    ami_id: str | Unset | None = UNSET
    kernel_id: str | Unset | None = UNSET
    ramdisk_id: str | Unset | None = UNSET


@value
class EC2InstanceMapping(PersistentValue):
    """The number that the EC2 API knows an instance by. Nova's EC2InstanceMapping 1.0."""

    id: int | Unset = UNSET
    uuid: Uuid


@value
class S3ImageMapping(PersistentValue):
    """The number that the EC2 API knows an image by. Nova's S3ImageMapping 1.0."""

    id: int | Unset = UNSET
    uuid: Uuid
