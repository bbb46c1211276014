"""Nova's network model: a guest's interfaces with their networks, subnets and addresses.

Nova keeps these as dictionaries inside a JSON text (``nova/network/model.py``); here they are values like the others.
What a plugin adds is free JSON: *details*, *profile*; names that the model does not know it keeps in *meta*, which is never None.
"""

from collections.abc import Mapping, Sequence

from novastate.objects.base import Record, value
from novastate.objects.marks import AnyJson, Cidr, IpAddress
from novastate.objects.values import EMPTY, UNSET, Unset

__all__ = ["VIF", "FixedIP", "NetworkModel", "Route", "Subnet"]


@value
class FixedIP(Record):
    """An address, its type (fixed, floating, gateway, dns), and what floats on it."""

    address: IpAddress | None = None
    type: str | None = None
    version: int | None = None
    meta: Mapping[str, AnyJson] = EMPTY
    floating_ips: Sequence[AnyJson] | Unset = UNSET


@value
class Route(Record):
    """A route of a subnet."""

    cidr: Cidr | None = None
    gateway: FixedIP | None = None
    interface: str | None = None
    meta: Mapping[str, AnyJson] = EMPTY


@value
class Subnet(Record):
    """A subnet of a network, with the guest's addresses in it."""

    cidr: Cidr | None = None
    dns: Sequence[FixedIP] = ()
    gateway: FixedIP | None = None
    ips: Sequence[FixedIP] = ()
    routes: Sequence[Route] = ()
    version: int | None = None
    meta: Mapping[str, AnyJson] = EMPTY


@value
class NetworkModel(Record):
    """A network that an interface is on."""

    id: str | None = None
    bridge: str | None = None
    label: str | None = None
    subnets: Sequence[Subnet] = ()
    meta: Mapping[str, AnyJson] = EMPTY


@value
class VIF(Record):
    """A virtual interface of a guest."""

    id: str | None = None
    address: str | None = None
    network: NetworkModel | None = None
    type: str | None = None
    details: Mapping[str, AnyJson] = EMPTY
    devname: str | None = None
    ovs_interfaceid: str | None = None
    qbh_params: AnyJson = None
    qbg_params: AnyJson = None
    active: bool = False
    vnic_type: str | None = "normal"
    profile: AnyJson = EMPTY
    preserve_on_delete: bool = False
    delegate_create: bool = False
    meta: Mapping[str, AnyJson] = EMPTY
