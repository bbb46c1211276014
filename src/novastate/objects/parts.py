"""The small parts that instances and requests are made of: tags, keys, groups, faults."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from novastate.objects.base import Record, value
from novastate.objects.marks import Note, SecretStr, Uuid, Wire
from novastate.objects.network import VIF
from novastate.objects.persistent import PersistentValue
from novastate.objects.values import EMPTY, UNSET, Unset

__all__ = [
    "InstanceFault",
    "InstanceGroup",
    "InstanceInfoCache",
    "KeyPair",
    "SecurityGroup",
    "Tag",
    "TrustedCerts",
]


@value
class InstanceFault(PersistentValue):
    """What went wrong with an instance. Nova's InstanceFault 1.2."""

    id: int | Unset = UNSET
    instance_uuid: Uuid
    code: int
    message: str | None = None
    details: str | None = None
    host: str | None = None


@value
class InstanceInfoCache(PersistentValue):
    """The network interfaces of an instance, as last seen. Nova's InstanceInfoCache 1.5."""

    instance_uuid: Uuid
    network_info: Annotated[Sequence[VIF], Note.JSON_TEXT] | None = None


@value
class KeyPair(PersistentValue):
    """A key pair of a user. Nova's KeyPair 1.4."""

    id: int | Unset = UNSET
    name: str
    user_id: str | None = None
    fingerprint: str | None = None
    public_key: SecretStr | None = None
    type: str = "ssh"


@value
class SecurityGroup(PersistentValue):
    """A security group. Nova's SecurityGroup 1.2."""

    id: int | Unset = UNSET
    uuid: Uuid | Unset = UNSET
    name: str | Unset = UNSET
    description: str | Unset = UNSET
    user_id: str | Unset = UNSET
    project_id: str | Unset = UNSET


@value
class Tag(Record):
    """A tag on a resource. Nova's Tag 1.1."""

    resource_id: str
    tag: str


@value
class TrustedCerts(Record):
    """The certificates that the image's signature is checked against. Nova's TrustedCerts 1.0."""

    ids: Sequence[str] = ()


@value
class InstanceGroup(PersistentValue):
    """Servers that belong together or apart. Nova's InstanceGroup 1.11."""

    id: int | Unset = UNSET
    uuid: Uuid | Unset = UNSET
    user_id: str | None = None
    project_id: str | None = None
    name: str | None = None
    policies: Sequence[str] | Unset | None = UNSET
    members: Sequence[str] | Unset | None = UNSET
    hosts: Sequence[str] | Unset | None = UNSET
    policy: str | None = None
    rules: Annotated[Mapping[str, str], Wire("_rules")] = EMPTY
