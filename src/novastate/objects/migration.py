"""A migration: one move of an instance between hosts, and what changes with it."""

from collections.abc import Sequence
from typing import Annotated

from novastate.machines import MIGRATION_MACHINES, MigrationStatus, MigrationType
from novastate.objects.base import record, value
from novastate.objects.marks import Count, LegacyStr, Moves, Note, Revision, Uuid
from novastate.objects.pci import InstancePCIRequests, PciDevice
from novastate.objects.persistent import PersistentRecord, PersistentValue
from novastate.objects.resources import Resource
from novastate.objects.topology import InstanceNUMATopology
from novastate.objects.values import UNSET, Unset

__all__ = ["Migration", "MigrationContext"]


@record
class Migration(PersistentRecord):
    """One move of an instance. Nova's Migration 1.8.

    *status* moves along the machine of its *migration_type* alone, and the type is fixed. The progress of a live migration:
    *memory_total*, *_processed*, *_remaining* and *disk_total* … in bytes.
    """

    id: int | Unset = UNSET
    uuid: Uuid
    instance_uuid: LegacyStr
    migration_type: Annotated[MigrationType, Note.FIXED]
    status: Annotated[MigrationStatus, Moves(MIGRATION_MACHINES, by="migration_type")]
    source_compute: str | None = None
    source_node: str | None = None
    dest_compute: str | None = None
    dest_compute_id: int | None = None
    dest_node: str | None = None
    dest_host: str | None = None
    old_instance_type_id: int | None = None
    new_instance_type_id: int | None = None
    hidden: bool = False
    cross_cell_move: bool = False
    memory_total: Count | None = None
    memory_processed: Count | None = None
    memory_remaining: Count | None = None
    disk_total: Count | None = None
    disk_processed: Count | None = None
    disk_remaining: Count | None = None
    user_id: str | None = None
    project_id: str | None = None
    revision: Revision = 0


@value
class MigrationContext(PersistentValue):
    """What an instance has on its old host and will have on its new one. Nova's MigrationContext 1.2."""

    instance_uuid: Uuid
    migration_id: int | Unset = UNSET
    old_numa_topology: InstanceNUMATopology | None = None
    new_numa_topology: InstanceNUMATopology | None = None
    old_pci_devices: Annotated[Sequence[PciDevice], Note.BOXED] | None = None
    new_pci_devices: Annotated[Sequence[PciDevice], Note.BOXED] | None = None
    old_pci_requests: InstancePCIRequests | None = None
    new_pci_requests: InstancePCIRequests | None = None
    old_resources: Annotated[Sequence[Resource], Note.BOXED] | None = None
    new_resources: Annotated[Sequence[Resource], Note.BOXED] | None = None
