"""What each version of Nova's objects brought: the table from which :mod:`backport` and :mod:`upgrade` are built.

Rules of this file:

1. A row is one version that touched fields. Versions that only brought methods have no row; the newest versions are
   in :data:`novastate.objects.nova.versions.CURRENT`, and every minor version up to it is a version.
2. ``adds`` are the fields that a peer of an older version is not sent. ``sends`` came with the version too, but Nova
   sends them to older peers all the same (they skip what they do not know), or under a condition of :mod:`backport_rules`.
3. ``values`` are the new values of a field with a closed set of them: Nova refuses to send them to an older peer.
   ``changes`` says what else changed in a field: its type, whether None is allowed, values that Nova does not guard.

Source: ``obj_make_compatible`` and the version notes of each class in ``nova/objects/*.py`` of Nova 34.0.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = ["HISTORY", "Step"]

_NOTHING: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
_NO_NOTES: Final[Mapping[str, str]] = MappingProxyType({})


class Step(NamedTuple):
    """One version of an object, and what it did to the fields."""

    version: str
    #: Fields that came, and are kept from older peers.
    adds: tuple[str, ...] = ()
    #: Fields that came, and that older peers are sent as well.
    sends: tuple[str, ...] = ()
    #: Fields that went.
    removes: tuple[str, ...] = ()
    #: Field: its new values, refused to older peers.
    values: Mapping[str, tuple[str, ...]] = _NOTHING
    #: Field: what else changed in it.
    changes: Mapping[str, str] = _NO_NOTES


#: The history of the fields, oldest version first. An object without a row has the fields it began with.
HISTORY: Final[Mapping[str, tuple[Step, ...]]] = MappingProxyType(
    {
        "Aggregate": (Step("1.2", sends=("uuid",)),),
        "BlockDeviceMapping": (
            Step("1.10", changes={"source_type": "one of a closed set"}),
            Step("1.11", changes={"destination_type": "one of a closed set"}),
            Step("1.12", changes={"device_type": "one of a closed set"}),
            Step("1.17", adds=("tag",)),
            Step("1.18", adds=("attachment_id",)),
            Step("1.19", adds=("uuid",)),
            Step("1.20", adds=("volume_type",)),
            Step("1.21", adds=("encrypted", "encryption_secret_uuid", "encryption_format", "encryption_options")),
        ),
        "BuildRequest": (
            Step("1.1", adds=("block_device_mappings",)),
            Step("1.3", sends=("tags",)),
        ),
        "CellMapping": (Step("1.1", adds=("disabled",)),),
        "ComputeNode": (
            Step("1.3", adds=("stats",)),
            Step("1.4", adds=("host_ip",)),
            Step("1.5", adds=("numa_topology",)),
            Step("1.6", adds=("supported_hv_specs",)),
            Step("1.7", adds=("host",)),
            Step("1.9", adds=("pci_device_pools",)),
            Step("1.13", changes={"service_id": "may be None"}),
            Step("1.14", adds=("cpu_allocation_ratio", "ram_allocation_ratio")),
            Step("1.15", adds=("uuid",)),
            Step("1.16", adds=("disk_allocation_ratio",)),
            Step("1.17", adds=("mapped",)),
        ),
        "ConsoleAuthToken": (
            Step("1.2", adds=("expires",)),
            Step("1.3", adds=("tls_port",)),
        ),
        "Destination": (
            Step("1.1", adds=("cell",)),
            Step("1.2", adds=("aggregates",)),
            Step("1.3", adds=("allow_cross_cell_move",)),
            Step("1.4", adds=("forbidden_aggregates",)),
        ),
        "Flavor": (Step("1.2", adds=("description",)),),
        "HVSpec": (
            Step("1.1", changes={"hv_type": "may be vz, which was parallels"}),
            Step("1.2", changes={"hv_type": "may be lxd"}),
        ),
        "HyperVLiveMigrateData": (
            Step("1.1", adds=("is_shared_instance_path",)),
            Step("1.2", adds=("old_vol_attachment_ids",)),
            Step("1.3", adds=("wait_for_vif_plugged",)),
            Step("1.4", adds=("vifs",)),
            Step("1.5", adds=("pci_dev_map_src_dst",)),
        ),
        "ImageMetaProps": (
            Step("1.1", adds=("os_require_quiesce",)),
            Step("1.2", adds=("img_hv_type", "img_hv_requested_version")),
            Step("1.3", changes={"img_hv_type": "may be vz"}),
            Step("1.4", adds=("hw_vif_multiqueue_enabled",)),
            Step("1.5", adds=("os_admin_user",)),
            Step("1.6", values={"hw_disk_bus": ("lxc", "uml")}),
            Step("1.7", adds=("img_config_drive",)),
            Step("1.8", changes={"img_hv_type": "may be lxd"}),
            Step("1.9", adds=("hw_cpu_thread_policy",)),
            Step("1.10", adds=("hw_cpu_realtime_mask",)),
            Step("1.11", adds=("hw_firmware_type",)),
            Step(
                "1.12",
                sends=(
                    "img_signature",
                    "img_signature_certificate_uuid",
                    "img_signature_hash_method",
                    "img_signature_key_type",
                ),
            ),
            Step("1.13", adds=("os_secure_boot",)),
            Step("1.14", adds=("hw_pointer_model",)),
            Step("1.15", adds=("hw_rescue_bus", "hw_rescue_device")),
            Step("1.16", changes={"hw_watchdog_action": "may be disabled, which was said by leaving it out"}),
            Step("1.17", changes={"hw_vif_model": "may be lan9118"}),
            Step("1.19", adds=("img_hide_hypervisor_id",)),
            Step("1.20", adds=("traits_required",)),
            Step("1.21", adds=("hw_time_hpet",)),
            Step("1.22", values={"hw_video_model": ("gop", "virtio", "none")}),
            Step("1.23", adds=("hw_pmu",)),
            Step("1.24", adds=("hw_mem_encryption",)),
            Step("1.25", adds=("hw_pci_numa_affinity_policy",)),
            Step("1.26", values={"hw_cpu_policy": ("mixed",)}),
            Step("1.27", adds=("hw_tpm_model", "hw_tpm_version")),
            Step("1.28", values={"hw_pci_numa_affinity_policy": ("socket",)}),
            Step("1.29", adds=("hw_input_bus",)),
            Step("1.30", values={"hw_video_model": ("bochs",)}),
            Step("1.31", adds=("hw_emulation_architecture",)),
            Step("1.32", adds=("hw_ephemeral_encryption", "hw_ephemeral_encryption_format")),
            Step("1.33", adds=("hw_locked_memory",)),
            Step("1.34", adds=("hw_viommu_model",)),
            Step("1.35", adds=("hw_virtio_packed_ring",)),
            Step("1.36", adds=("hw_maxphysaddr_mode", "hw_maxphysaddr_bits")),
            Step("1.37", adds=("hw_ephemeral_encryption_secret_uuid",)),
            Step("1.38", adds=("hw_firmware_stateless",)),
            Step("1.39", values={"hw_vif_model": ("igb",)}),
            Step("1.40", adds=("hw_sound_model",)),
            Step("1.41", adds=("hw_usb_model", "hw_redirected_usb_ports")),
            Step("1.42", adds=("hw_mem_encryption_model",)),
            Step("1.43", values={"hw_mem_encryption_model": ("amd-sev-snp",)}),
            Step("1.44", values={"hw_mem_encryption_model": ("intel-tdx",)}),
        ),
        "Instance": (
            Step("2.1", adds=("services",)),
            Step("2.2", adds=("keypairs",)),
            Step("2.3", adds=("device_metadata",)),
            Step("2.4", adds=("trusted_certs",)),
            Step("2.6", adds=("hidden",)),
            Step("2.7", adds=("resources",)),
            Step("2.8", adds=("compute_id",)),
        ),
        "InstanceActionEvent": (
            Step("1.2", adds=("host",)),
            Step("1.4", adds=("details",)),
        ),
        "InstanceExternalEvent": (
            Step("1.1", changes={"name": "may be network-vif-deleted"}),
            Step("1.2", changes={"name": "may be volume-extended"}),
            Step("1.3", changes={"name": "may be power-update"}),
            Step("1.4", changes={"name": "may be accelerator-request-bound"}),
            Step("1.5", changes={"name": "may be volume-reimaged"}),
        ),
        "InstanceGroup": (
            Step("1.3", changes={"uuid": "is never None"}),
            Step("1.7", removes=("metadetails",)),
            Step("1.10", sends=("hosts",)),
            Step(
                "1.11", adds=("policy",), sends=("_rules",), changes={"policies": "is read only; policy stands for it"}
            ),
        ),
        "InstanceInfoCache": (Step("1.1", changes={"network_info": "holds the network model"}),),
        "InstanceMapping": (
            Step("1.1", adds=("queued_for_delete",)),
            Step("1.2", adds=("user_id",)),
        ),
        "InstanceNUMACell": (
            Step("1.1", sends=("pagesize",)),
            Step("1.2", sends=("cpu_pinning_raw", "cpu_topology")),
            Step("1.3", adds=("cpu_policy", "cpu_thread_policy")),
            Step("1.4", adds=("cpuset_reserved",)),
            Step("1.5", adds=("pcpuset",), changes={"cpuset": "holds the unpinned CPUs only; pcpuset the pinned"}),
            Step("1.6", values={"cpu_policy": ("mixed",)}),
        ),
        "InstanceNUMATopology": (Step("1.3", adds=("emulator_threads_policy",)),),
        "InstancePCIRequest": (
            Step("1.1", adds=("request_id",)),
            Step("1.2", adds=("numa_policy",)),
            Step("1.3", adds=("requester_id",)),
            Step("1.4", changes={"numa_policy": "may be socket"}),
        ),
        "KeyPair": (
            Step("1.2", adds=("type",)),
            Step("1.3", changes={"name": "is never None"}),
        ),
        "LibvirtLiveMigrateBDMInfo": (Step("1.1", adds=("encryption_secret_uuid",)),),
        "LibvirtLiveMigrateData": (
            Step("1.1", adds=("target_connect_addr",)),
            Step("1.2", adds=("serial_listen_ports",)),
            Step("1.3", adds=("supported_perf_events",)),
            Step("1.4", adds=("old_vol_attachment_ids",)),
            Step("1.5", adds=("src_supports_native_luks",)),
            Step("1.6", adds=("wait_for_vif_plugged",)),
            Step("1.7", adds=("dst_wants_file_backed_memory",)),
            Step("1.8", adds=("file_backed_memory_discard",)),
            Step("1.9", adds=("vifs",)),
            Step(
                "1.10", adds=("dst_numa_info", "src_supports_numa_live_migration", "dst_supports_numa_live_migration")
            ),
            Step("1.11", adds=("dst_supports_mdev_live_migration", "source_mdev_types", "target_mdevs")),
            Step("1.12", adds=("dst_cpu_shared_set_info",)),
            Step("1.13", adds=("pci_dev_map_src_dst",)),
            Step("1.14", adds=("vtpm_secret_uuid", "vtpm_secret_value")),
        ),
        "Migration": (
            Step("1.2", adds=("migration_type",), sends=("hidden",)),
            Step(
                "1.4",
                adds=("memory_total",),
                sends=("memory_processed", "memory_remaining", "disk_total", "disk_processed", "disk_remaining"),
            ),
            Step("1.5", adds=("uuid",)),
            Step("1.6", adds=("cross_cell_move",)),
            Step("1.7", adds=("user_id", "project_id")),
            Step("1.8", adds=("dest_compute_id",)),
        ),
        "MigrationContext": (
            Step("1.1", adds=("old_pci_devices", "new_pci_devices", "old_pci_requests", "new_pci_requests")),
            Step("1.2", adds=("old_resources", "new_resources")),
        ),
        "MonitorMetric": (Step("1.1", adds=("numa_membw_values",)),),
        "NUMACell": (
            Step("1.1", sends=("pinned_cpus", "siblings")),
            Step("1.2", sends=("mempages",)),
            Step("1.3", adds=("network_metadata",)),
            Step("1.4", adds=("pcpuset",)),
            Step("1.5", adds=("socket",)),
        ),
        "NUMAPagesTopology": (Step("1.1", adds=("reserved",)),),
        "NUMATopologyLimits": (Step("1.1", adds=("network_metadata",)),),
        "NetworkInterfaceMetadata": (
            Step("1.1", adds=("vlan",)),
            Step("1.2", adds=("vf_trusted",)),
        ),
        "NetworkRequest": (
            Step("1.1", sends=("pci_request_id",)),
            Step("1.2", adds=("tag",)),
            Step("1.3", adds=("arq_uuid", "device_profile")),
        ),
        "PciDevice": (
            Step("1.2", adds=("request_id",)),
            Step("1.3", sends=("numa_node",)),
            Step("1.4", adds=("parent_addr",)),
            Step("1.5", changes={"status": "may be unclaimable or unavailable"}),
            Step("1.6", adds=("uuid",)),
            Step("1.7", values={"dev_type": ("vdpa",)}),
        ),
        "PciDevicePool": (Step("1.1", adds=("numa_node",)),),
        "RequestGroup": (
            Step("1.1", adds=("requester_id", "provider_uuids")),
            Step("1.2", adds=("in_tree",)),
            Step("1.3", adds=("forbidden_aggregates",)),
        ),
        "RequestLevelParams": (Step("1.1", adds=("same_subtree",)),),
        "RequestSpec": (
            Step("1.6", adds=("requested_destination",)),
            Step("1.8", adds=("security_groups",)),
            Step("1.9", adds=("user_id",)),
            Step("1.10", adds=("network_metadata",)),
            Step("1.11", adds=("is_bfv",)),
            Step("1.12", adds=("requested_resources",)),
            Step("1.13", adds=("request_level_params",)),
            Step("1.14", adds=("requested_networks",)),
        ),
        "SecurityGroup": (Step("1.2", adds=("uuid",)),),
        "Selection": (Step("1.1", adds=("availability_zone",)),),
        "Service": (
            Step("1.1", sends=("compute_node",)),
            Step("1.13", adds=("last_seen_up",)),
            Step("1.14", adds=("forced_down",)),
            Step("1.16", adds=("version",)),
            Step("1.21", adds=("uuid",)),
        ),
        "ShareMapping": (
            Step("1.1", values={"status": ("attaching", "detaching")}),
            Step("1.2", sends=("access_type", "access_to", "access_key")),
        ),
        "VMwareLiveMigrateData": (Step("1.1", adds=("pci_dev_map_src_dst",)),),
        "VirtualInterface": (Step("1.1", adds=("tag",)),),
    }
)
