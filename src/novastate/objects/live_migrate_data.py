"""What source and destination tell each other before and during a live migration."""

from collections.abc import Mapping, Sequence, Set
from typing import Annotated

from novastate.objects.base import Record, value
from novastate.objects.marks import IpAddress, Note, SecretStr, Uuid
from novastate.objects.migration import Migration
from novastate.objects.network import VIF
from novastate.objects.values import EMPTY, UNSET, Unset

__all__ = [
    "HyperVLiveMigrateData",
    "LibvirtLiveMigrateBDMInfo",
    "LibvirtLiveMigrateData",
    "LibvirtLiveMigrateNUMAInfo",
    "LiveMigrateData",
    "VIFMigrateData",
    "VMwareLiveMigrateData",
]


@value
class VIFMigrateData(Record):
    """One interface of the guest, as its source has it and as its destination will. Nova's VIFMigrateData 1.0."""

    port_id: str
    vnic_type: str | Unset = UNSET
    vif_type: str | Unset = UNSET
    vif_details_json: str | Unset = UNSET
    profile_json: str | Unset = UNSET
    host: str | Unset = UNSET
    source_vif: Annotated[VIF, Note.JSON_TEXT] | Unset = UNSET


@value
class LibvirtLiveMigrateBDMInfo(Record):
    """One volume as the destination attached it; its connection holds credentials. Nova's LibvirtLiveMigrateBDMInfo 1.1."""

    serial: str
    bus: str
    dev: str
    type: str
    format: str | Unset | None = UNSET
    boot_index: int | Unset | None = UNSET
    connection_info_json: SecretStr
    encryption_secret_uuid: Uuid | Unset | None = UNSET


@value
class LibvirtLiveMigrateNUMAInfo(Record):
    """Where the destination will pin the guest. Keys are guest CPUs and cells, as text. Nova's LibvirtLiveMigrateNUMAInfo 1.0."""

    cpu_pins: Mapping[str, Set[int]] | Unset = UNSET
    cell_pins: Mapping[str, Set[int]] | Unset = UNSET
    emulator_pins: Set[int] | Unset = UNSET
    sched_vcpus: Set[int] | Unset = UNSET
    sched_priority: int | Unset = UNSET


@value
class LiveMigrateData(Record):
    """What every driver's data has. Nova's LiveMigrateData 1.4, which is a base and never sent."""

    is_volume_backed: bool | Unset = UNSET
    migration: Migration | Unset = UNSET
    old_vol_attachment_ids: Mapping[str, str] = EMPTY
    wait_for_vif_plugged: bool | Unset = UNSET
    vifs: Sequence[VIFMigrateData] | Unset = UNSET
    pci_dev_map_src_dst: Mapping[str, str] | Unset = UNSET


@value
class LibvirtLiveMigrateData(LiveMigrateData):
    """What two libvirt hosts tell each other. Nova's LibvirtLiveMigrateData 1.14.

    *disk_available_mb*: MiB, negative where the host has promised more than it has. The destination fills in what it can do,
    the source what it has; each step gives a new value (:func:`~novastate.objects.evolve`), so neither sees the other's change
    before it was told.
    """

    filename: str | Unset = UNSET
    image_type: str | Unset = UNSET
    block_migration: bool | Unset = UNSET
    disk_over_commit: bool | Unset = UNSET
    disk_available_mb: int | Unset | None = UNSET
    is_shared_instance_path: bool | Unset = UNSET
    is_shared_block_storage: bool | Unset = UNSET
    instance_relative_path: str | Unset = UNSET
    graphics_listen_addr_vnc: IpAddress | Unset | None = UNSET
    graphics_listen_addr_spice: IpAddress | Unset | None = UNSET
    serial_listen_addr: str | Unset | None = UNSET
    serial_listen_ports: Sequence[int] | Unset = UNSET
    bdms: Sequence[LibvirtLiveMigrateBDMInfo] | Unset = UNSET
    target_connect_addr: str | Unset | None = UNSET
    supported_perf_events: Sequence[str] | Unset = UNSET
    dst_wants_file_backed_memory: bool | Unset = UNSET
    file_backed_memory_discard: bool | Unset = UNSET
    src_supports_native_luks: bool | Unset = UNSET
    dst_supports_numa_live_migration: bool | Unset = UNSET
    src_supports_numa_live_migration: bool | Unset = UNSET
    dst_numa_info: LibvirtLiveMigrateNUMAInfo | Unset = UNSET
    dst_cpu_shared_set_info: Set[int] | Unset = UNSET
    dst_supports_mdev_live_migration: bool | Unset = UNSET
    source_mdev_types: Mapping[str, str] | Unset = UNSET
    target_mdevs: Mapping[str, str] | Unset = UNSET
    vtpm_secret_uuid: Uuid | Unset | None = UNSET
    vtpm_secret_value: SecretStr | Unset | None = UNSET


@value
class HyperVLiveMigrateData(LiveMigrateData):
    """What two Hyper-V hosts tell each other. Nova's HyperVLiveMigrateData 1.5."""

    is_shared_instance_path: bool | Unset = UNSET


@value
class VMwareLiveMigrateData(LiveMigrateData):
    """What two vCenter clusters tell each other. Nova's VMwareLiveMigrateData 1.1."""

    cluster_name: str | Unset = UNSET
    datastore_regex: str | Unset = UNSET
