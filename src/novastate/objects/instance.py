"""An instance: one virtual machine, as the control plane knows it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from novastate.machines import PowerMachine, PowerState, TaskMachine, TaskState, VMMachine, VMState
from novastate.objects.base import record
from novastate.objects.compute_node import Service
from novastate.objects.devices import InstanceDeviceMetadata
from novastate.objects.ec2 import EC2Ids
from novastate.objects.flavor import Flavor
from novastate.objects.marks import Count, GuardedMap, Ip, Moves, Note, Percent, Revision, SecretStr, Uuid
from novastate.objects.migration import MigrationContext
from novastate.objects.parts import InstanceFault, InstanceInfoCache, KeyPair, SecurityGroup, Tag, TrustedCerts
from novastate.objects.pci import InstancePCIRequests, PciDevice
from novastate.objects.persistent import PersistentRecord
from novastate.objects.resources import Resource
from novastate.objects.topology import InstanceNUMATopology, VirtCPUModel
from novastate.objects.values import EMPTY, UNSET, Unset

__all__ = ["Instance"]


@record
class Instance(PersistentRecord):
    """One virtual machine. Nova's Instance 2.8.

    *vm_state* and *task_state* move along the rows of their machines alone: a direct assignment that is no row raises
    :class:`~novastate.errors.IllegalTransition` and changes nothing. *power_state* is what the hypervisor says, and any of its
    values may follow any other. *memory_mb*: MiB; *root_gb* and *ephemeral_gb*: GiB.
    What Nova loads on demand (metadata, interfaces, devices …) is UNSET until it was loaded.

    >>> small = Flavor(name="m1.small", vcpus=1, memory_mb=2048)
    >>> web = Instance(uuid="7a1f2c9e-0d53-4c7f-9a39-5a2be3a2f6d1", display_name="web", flavor=small)
    >>> web.vm_state, web.task_state, web.info_cache
    (VMState.BUILDING, TaskState.IDLE, UNSET)
    """

    # --- who it is
    id: int | Unset = UNSET
    uuid: Uuid
    display_name: str | None = None
    display_description: str | None = None
    hostname: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    reservation_id: str | None = None
    launch_index: Count | None = None
    cell_name: str | None = None
    ec2_ids: EC2Ids | Unset = UNSET

    # --- how it is
    vm_state: Annotated[VMState, Moves(VMMachine)] = VMState.BUILDING
    task_state: Annotated[TaskState, Moves(TaskMachine)] = TaskState.IDLE
    power_state: Annotated[PowerState, Moves(PowerMachine)] = PowerState.NOSTATE
    progress: Percent | None = None
    locked: bool = False
    locked_by: str | None = None
    cleaned: bool = False
    hidden: bool = False
    fault: InstanceFault | Unset | None = UNSET
    migration_context: MigrationContext | Unset | None = UNSET

    # --- where it is
    host: str | None = None
    node: str | None = None
    compute_id: int | None = None
    launched_on: str | None = None
    launched_at: datetime | None = None
    terminated_at: datetime | None = None
    availability_zone: str | None = None
    services: Annotated[Sequence[Service], Note.BOXED] | Unset = UNSET

    # --- what it has
    flavor: Flavor
    old_flavor: Flavor | Unset | None = UNSET
    new_flavor: Flavor | Unset | None = UNSET
    instance_type_id: int | None = None
    vcpus: Count | None = None
    memory_mb: Count | None = None
    root_gb: Count | None = None
    ephemeral_gb: Count | None = None
    ephemeral_key_uuid: Uuid | None = None
    numa_topology: InstanceNUMATopology | Unset | None = UNSET
    vcpu_model: VirtCPUModel | Unset | None = UNSET
    pci_requests: InstancePCIRequests | Unset | None = UNSET
    pci_devices: Annotated[Sequence[PciDevice], Note.BOXED] | Unset | None = UNSET
    resources: Annotated[Sequence[Resource], Note.BOXED] | Unset | None = UNSET
    device_metadata: InstanceDeviceMetadata | Unset | None = UNSET

    # --- what it boots from and how it is set up
    image_ref: str | None = None
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    architecture: str | None = None
    os_type: str | None = None
    vm_mode: str | None = None
    root_device_name: str | None = None
    default_ephemeral_device: str | None = None
    default_swap_device: str | None = None
    config_drive: str | None = None
    auto_disk_config: bool = False
    disable_terminate: bool = False
    shutdown_terminate: bool = False
    user_data: SecretStr | None = None
    key_name: str | None = None
    key_data: SecretStr | None = None
    keypairs: Annotated[Sequence[KeyPair], Note.BOXED] | Unset = UNSET
    trusted_certs: TrustedCerts | Unset | None = UNSET

    # --- how it is reached and marked
    access_ip_v4: Annotated[str, Ip(4)] | None = None
    access_ip_v6: Annotated[str, Ip(6)] | None = None
    info_cache: InstanceInfoCache | Unset | None = UNSET
    security_groups: Annotated[Sequence[SecurityGroup], Note.BOXED] | Unset = UNSET
    metadata: GuardedMap = EMPTY
    system_metadata: Annotated[Mapping[str, str | None], Note.SECRET] = EMPTY
    tags: Annotated[Sequence[Tag], Note.BOXED] | Unset = UNSET

    revision: Revision = 0

    @property
    def name(self) -> str:
        """What the hypervisor calls it, by Nova's default template: ``instance-0000002a``; its uuid where it has no id yet."""
        return self.uuid if self.id is UNSET else f"instance-{self.id:08x}"
