"""An image, as the scheduler and the drivers see it: its metadata, and the properties that Nova understands."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Annotated

from novastate.objects.base import Record, value
from novastate.objects.marks import Count, Pattern, Uuid
from novastate.objects.values import UNSET, Unset
from novastate.objects.vocabulary import (
    Architecture,
    BlockDeviceEncryptionFormatType,
    BlockDeviceType,
    ConfigDrivePolicy,
    CPUAllocationPolicy,
    CPUThreadAllocationPolicy,
    DiskBus,
    FirmwareType,
    HVType,
    ImageSignatureHashType,
    ImageSignatureKeyType,
    InputBus,
    MaxPhyAddrMode,
    MemEncryptionModel,
    OSType,
    PCINUMAAffinityPolicy,
    PointerModelType,
    RNGModel,
    SCSIModel,
    SecureBoot,
    SoundModelType,
    TPMModel,
    TPMVersion,
    USBControllerModelType,
    VideoModel,
    VIFModel,
    VIOMMUModel,
    VMMode,
    WatchdogAction,
)

__all__ = ["ImageMeta", "ImageMetaProps", "VersionPredicate"]

#: A version as PEP 440 has it.
_VERSION = (
    r"(?i:v?([0-9]+!)?[0-9]+(\.[0-9]+)*"
    r"([-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?[0-9]*)?"
    r"(-[0-9]+|[-_.]?(post|rev|r)[-_.]?[0-9]*)?"
    r"([-_.]?dev[-_.]?[0-9]*)?"
    r"(\+[a-z0-9]+([-_.][a-z0-9]+)*)?)"
)
_CONDITION = rf"\s*(<=|>=|<|>|!=|==)\s*{_VERSION}\s*"
#: Which versions will do: ``>=6.1, !=7.0``.
VersionPredicate = Annotated[str, Pattern(rf"{_CONDITION}(,{_CONDITION})*", "a version predicate, e.g. '>=6.1, !=7.0'")]


@value
class ImageMetaProps(Record):
    """What an image asks of its guest; a property that the image does not have is UNSET. Nova's ImageMetaProps 1.44.

    Numbers and identifiers are as the owner of the image wrote them: like Nova, we take any.
    """

    hw_architecture: Architecture | Unset = UNSET
    hw_auto_disk_config: str | Unset = UNSET
    hw_boot_menu: bool | Unset = UNSET
    hw_cdrom_bus: DiskBus | Unset = UNSET
    hw_cpu_cores: int | Unset = UNSET
    hw_cpu_max_cores: int | Unset = UNSET
    hw_cpu_max_sockets: int | Unset = UNSET
    hw_cpu_max_threads: int | Unset = UNSET
    hw_cpu_policy: CPUAllocationPolicy | Unset = UNSET
    hw_cpu_realtime_mask: str | Unset = UNSET
    hw_cpu_sockets: int | Unset = UNSET
    hw_cpu_thread_policy: CPUThreadAllocationPolicy | Unset = UNSET
    hw_cpu_threads: int | Unset = UNSET
    hw_device_id: int | Unset = UNSET
    hw_disk_bus: DiskBus | Unset = UNSET
    hw_disk_type: str | Unset = UNSET
    hw_emulation_architecture: Architecture | Unset = UNSET
    hw_ephemeral_encryption: bool | Unset = UNSET
    hw_ephemeral_encryption_format: BlockDeviceEncryptionFormatType | Unset = UNSET
    hw_ephemeral_encryption_secret_uuid: str | Unset = UNSET
    hw_firmware_stateless: bool | Unset = UNSET
    hw_firmware_type: FirmwareType | Unset = UNSET
    hw_floppy_bus: DiskBus | Unset = UNSET
    hw_input_bus: InputBus | Unset = UNSET
    hw_ipxe_boot: bool | Unset = UNSET
    hw_locked_memory: bool | Unset = UNSET
    hw_machine_type: str | Unset = UNSET
    hw_maxphysaddr_bits: int | Unset = UNSET
    hw_maxphysaddr_mode: MaxPhyAddrMode | Unset = UNSET
    hw_mem_encryption: bool | Unset = UNSET
    hw_mem_encryption_model: MemEncryptionModel | Unset = UNSET
    hw_mem_page_size: str | Unset = UNSET
    hw_numa_cpus: Sequence[Set[int]] | Unset = UNSET
    hw_numa_mem: Sequence[int] | Unset = UNSET
    hw_numa_nodes: int | Unset = UNSET
    hw_pci_numa_affinity_policy: PCINUMAAffinityPolicy | Unset = UNSET
    hw_pmu: bool | Unset = UNSET
    hw_pointer_model: PointerModelType | Unset = UNSET
    hw_qemu_guest_agent: bool | Unset = UNSET
    hw_redirected_usb_ports: int | Unset = UNSET
    hw_rescue_bus: DiskBus | Unset = UNSET
    hw_rescue_device: BlockDeviceType | Unset = UNSET
    hw_rng_model: RNGModel | Unset = UNSET
    hw_scsi_model: SCSIModel | Unset = UNSET
    hw_serial_port_count: int | Unset = UNSET
    hw_sound_model: SoundModelType | Unset = UNSET
    hw_time_hpet: bool | Unset = UNSET
    hw_tpm_model: TPMModel | Unset = UNSET
    hw_tpm_version: TPMVersion | Unset = UNSET
    hw_usb_model: USBControllerModelType | Unset = UNSET
    hw_video_model: VideoModel | Unset = UNSET
    hw_video_ram: int | Unset = UNSET
    hw_vif_model: VIFModel | Unset = UNSET
    hw_vif_multiqueue_enabled: bool | Unset = UNSET
    hw_viommu_model: VIOMMUModel | Unset = UNSET
    hw_virtio_packed_ring: bool | Unset = UNSET
    hw_vm_mode: VMMode | Unset = UNSET
    hw_watchdog_action: WatchdogAction | Unset = UNSET
    img_bdm_v2: bool | Unset = UNSET
    img_bittorrent: bool | Unset = UNSET
    img_block_device_mapping: Sequence[Mapping[str, str | None]] | Unset = UNSET
    img_cache_in_nova: bool | Unset = UNSET
    img_compression_level: int | Unset = UNSET
    img_config_drive: ConfigDrivePolicy | Unset = UNSET
    img_hide_hypervisor_id: bool | Unset = UNSET
    img_hv_requested_version: VersionPredicate | Unset = UNSET
    img_hv_type: HVType | Unset = UNSET
    img_linked_clone: bool | Unset = UNSET
    img_mappings: Sequence[Mapping[str, str | None]] | Unset = UNSET
    img_owner_id: str | Unset = UNSET
    img_root_device_name: str | Unset = UNSET
    img_signature: str | Unset = UNSET
    img_signature_certificate_uuid: str | Unset = UNSET
    img_signature_hash_method: ImageSignatureHashType | Unset = UNSET
    img_signature_key_type: ImageSignatureKeyType | Unset = UNSET
    img_use_agent: bool | Unset = UNSET
    img_version: int | Unset = UNSET
    os_admin_user: str | Unset = UNSET
    os_command_line: str | Unset = UNSET
    os_distro: str | Unset = UNSET
    os_require_quiesce: bool | Unset = UNSET
    os_secure_boot: SecureBoot | Unset = UNSET
    os_skip_agent_inject_files_at_boot: bool | Unset = UNSET
    os_skip_agent_inject_ssh: bool | Unset = UNSET
    os_type: OSType | Unset = UNSET
    traits_required: Sequence[str] | Unset = UNSET


@value
class ImageMeta(Record):
    """An image's metadata. Nova's ImageMeta 1.8.

    *min_disk*: GiB; *min_ram*: MiB; *size* and *virtual_size*: bytes.
    """

    id: Uuid | Unset = UNSET
    name: str | Unset = UNSET
    status: str | Unset = UNSET
    visibility: str | Unset = UNSET
    protected: bool | Unset = UNSET
    checksum: str | Unset = UNSET
    owner: str | Unset = UNSET
    size: Count | Unset = UNSET
    virtual_size: Count | Unset = UNSET
    container_format: str | Unset = UNSET
    disk_format: str | Unset = UNSET
    created_at: datetime | Unset | None = UNSET
    updated_at: datetime | Unset | None = UNSET
    tags: Sequence[str] | Unset = UNSET
    direct_url: str | Unset = UNSET
    min_ram: Count = 0
    min_disk: Count = 0
    properties: ImageMetaProps | Unset = UNSET
