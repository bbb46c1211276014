"""A flavor: how much of each resource a server gets."""

from collections.abc import Mapping, Sequence

from novastate.objects.base import value
from novastate.objects.marks import Count, Positive, Ratio
from novastate.objects.persistent import PersistentValue
from novastate.objects.values import EMPTY, UNSET, Unset

__all__ = ["Flavor"]


@value
class Flavor(PersistentValue):
    """How much of each resource a server gets. Nova's Flavor 1.2.

    *vcpus*: count; *memory_mb* and *swap*: MiB; *root_gb* and *ephemeral_gb*: GiB.

    >>> Flavor(name="m1.small", vcpus=1, memory_mb=2048, root_gb=20).memory_mb
    2048
    >>> Flavor(vcpus=1, memory_mb=-1)
    Traceback (most recent call last):
    ...
    novastate.errors.InvalidField: flavor.memory_mb: must be a whole number, 0 or more, got -1
    """

    id: int | Unset = UNSET
    flavorid: str | Unset = UNSET
    name: str | None = None
    vcpus: Positive
    memory_mb: Count
    root_gb: Count = 0
    ephemeral_gb: Count = 0
    swap: Count = 0
    rxtx_factor: Ratio | None = 1.0
    vcpu_weight: int | None = None
    disabled: bool = False
    is_public: bool = True
    description: str | None = None
    extra_specs: Mapping[str, str] = EMPTY
    projects: Sequence[str] | Unset = UNSET
