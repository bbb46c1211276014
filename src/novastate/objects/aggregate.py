"""A host aggregate: hosts that have something in common."""

from collections.abc import Mapping, Sequence

from novastate.objects.base import value
from novastate.objects.marks import Uuid
from novastate.objects.persistent import PersistentValue
from novastate.objects.values import UNSET, Unset

__all__ = ["Aggregate"]


@value
class Aggregate(PersistentValue):
    """Hosts that have something in common, and what it is. Nova's Aggregate 1.3.

    >>> Aggregate(name="az-1", hosts=["cmp-a"], metadata={"availability_zone": "az-1"}).availability_zone
    'az-1'
    """

    id: int | Unset = UNSET
    uuid: Uuid | Unset = UNSET
    name: str
    hosts: Sequence[str] | None = None
    metadata: Mapping[str, str] | None = None

    @property
    def availability_zone(self) -> str | None:
        """The zone that the aggregate's metadata makes of its hosts; None if it makes none."""
        return self.metadata.get("availability_zone") if self.metadata else None
