"""A virtual interface as a row of its own; what a guest's interfaces look like is in ``network.py``."""

from novastate.objects.base import value
from novastate.objects.marks import Uuid
from novastate.objects.persistent import PersistentValue
from novastate.objects.values import UNSET, Unset

__all__ = ["VirtualInterface"]


@value
class VirtualInterface(PersistentValue):
    """A virtual interface and its tag; *address*: its MAC, with the port's id behind it or not. Nova's VirtualInterface 1.3."""

    id: int | Unset = UNSET
    uuid: Uuid
    instance_uuid: Uuid
    address: str | None = None
    network_id: int | Unset = UNSET
    tag: str | None = None
