"""What a placement asks for: the RequestSpec and its parts."""

from collections.abc import Mapping, Sequence, Set
from typing import Annotated

from novastate.objects.base import Record, record, value
from novastate.objects.cells import CellMapping
from novastate.objects.compute_node import ComputeNode
from novastate.objects.flavor import Flavor
from novastate.objects.image import ImageMeta
from novastate.objects.marks import Count, IpAddress, Note, Positive, Revision, Uuid
from novastate.objects.parts import InstanceGroup, SecurityGroup
from novastate.objects.pci import InstancePCIRequests
from novastate.objects.topology import InstanceNUMATopology, NetworkMetadata, NUMATopologyLimits
from novastate.objects.values import EMPTY, UNSET, Unset

__all__ = [
    "Destination",
    "NetworkRequest",
    "RequestGroup",
    "RequestLevelParams",
    "RequestSpec",
    "SchedulerLimits",
    "SchedulerRetries",
]


@value
class Destination(Record):
    """Where the request wants to go. Nova's Destination 1.4."""

    host: str | Unset = UNSET
    node: str | None = None
    cell: CellMapping | None = None
    aggregates: Sequence[str] | None = None
    allow_cross_cell_move: bool = False
    forbidden_aggregates: Set[str] | None = None


@value
class SchedulerRetries(Record):
    """How often was tried, and where in vain. Nova's SchedulerRetries 1.1."""

    num_attempts: Count = 0
    hosts: Annotated[Sequence[ComputeNode], Note.BOXED] = ()


@value
class SchedulerLimits(Record):
    """How far the chosen host may be filled. *memory_mb*: MiB; *disk_gb*: GiB. Nova's SchedulerLimits 1.0."""

    numa_topology: NUMATopologyLimits | None = None
    vcpu: Count | None = None
    disk_gb: Count | None = None
    memory_mb: Count | None = None


@value
class RequestGroup(Record):
    """Resources that must come from one provider. Nova's RequestGroup 1.3."""

    use_same_provider: bool = True
    resources: Mapping[str, int] = EMPTY
    required_traits: Set[str] = frozenset()
    forbidden_traits: Set[str] = frozenset()
    aggregates: Sequence[Sequence[str]] = ()
    forbidden_aggregates: Set[str] = frozenset()
    requester_id: str | None = None
    provider_uuids: Sequence[Uuid] = ()
    in_tree: Uuid | None = None


@value
class RequestLevelParams(Record):
    """What holds for all groups of a request. Nova's RequestLevelParams 1.1."""

    root_required: Set[str] = frozenset()
    root_forbidden: Set[str] = frozenset()
    same_subtree: Sequence[Sequence[str]] = ()


@value
class NetworkRequest(Record):
    """A network, port or address that the user asked for. Nova's NetworkRequest 1.3."""

    network_id: str | None = None
    address: IpAddress | None = None
    port_id: Uuid | None = None
    pci_request_id: Uuid | None = None
    tag: str | None = None
    arq_uuid: Uuid | None = None
    device_profile: str | None = None


@record
class RequestSpec(Record):
    """What one placement asks for. Nova's RequestSpec 1.15.

    *num_instances*: how many servers one request is for. Hints, hosts to force and hosts to ignore are the user's or the flow's.
    """

    id: int | Unset = UNSET
    instance_uuid: Uuid
    flavor: Flavor
    image: ImageMeta | None = None
    num_instances: Positive = 1
    is_bfv: bool = False
    project_id: str | None = None
    user_id: str | None = None
    availability_zone: str | None = None
    ignore_hosts: Sequence[str] | None = None
    force_hosts: Sequence[str] | None = None
    force_nodes: Sequence[str] | None = None
    requested_destination: Destination | None = None
    retry: SchedulerRetries | None = None
    limits: SchedulerLimits | None = None
    instance_group: InstanceGroup | None = None
    scheduler_hints: Mapping[str, Sequence[str]] | None = None
    numa_topology: InstanceNUMATopology | None = None
    pci_requests: InstancePCIRequests | None = None
    security_groups: Annotated[Sequence[SecurityGroup], Note.BOXED] | Unset = UNSET
    network_metadata: NetworkMetadata | Unset = UNSET
    requested_networks: Annotated[Sequence[NetworkRequest], Note.BOXED] | Unset = UNSET
    requested_resources: Sequence[RequestGroup] | None = None
    request_level_params: RequestLevelParams | Unset = UNSET
    revision: Revision = 0
