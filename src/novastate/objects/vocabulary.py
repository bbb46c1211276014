"""The closed vocabularies of Nova's objects, as types: a text that is not in its list is refused, by the type checker first."""

from typing import Literal

__all__ = [
    "Architecture",
    "BlockDeviceDestinationType",
    "BlockDeviceEncryptionFormatType",
    "BlockDeviceSourceType",
    "BlockDeviceType",
    "CPUAllocationPolicy",
    "CPUEmulatorThreadsPolicy",
    "CPUFeaturePolicy",
    "CPUMatch",
    "CPUMode",
    "CPUThreadAllocationPolicy",
    "ConfigDrivePolicy",
    "DiskBus",
    "ExternalEventName",
    "ExternalEventStatus",
    "FirmwareType",
    "HVType",
    "HypervisorDriver",
    "ImageSignatureHashType",
    "ImageSignatureKeyType",
    "InputBus",
    "InstancePowerState",
    "MaxPhyAddrMode",
    "MemEncryptionModel",
    "MonitorMetricType",
    "OSType",
    "PCINUMAAffinityPolicy",
    "PciDeviceStatus",
    "PciDeviceType",
    "PointerModelType",
    "RNGModel",
    "SCSIModel",
    "SecureBoot",
    "ShareMappingProto",
    "ShareMappingStatus",
    "SoundModelType",
    "TPMModel",
    "TPMVersion",
    "USBControllerModelType",
    "VIFModel",
    "VIOMMUModel",
    "VMMode",
    "VideoModel",
    "WatchdogAction",
]

Architecture = Literal[
    "alpha", "armv6", "armv7l", "armv7b", "aarch64", "cris", "i686", "ia64", "lm32", "m68k", "microblaze",
    "microblazeel", "mips", "mipsel", "mips64", "mips64el", "openrisc", "parisc", "parisc64", "ppc", "ppcle",
    "ppc64", "ppc64le", "ppcemb", "s390", "s390x", "sh4", "sh4eb", "sparc", "sparc64", "unicore32", "x86_64",
    "xtensa", "xtensaeb",
]  # fmt: skip
BlockDeviceDestinationType = Literal["local", "volume"]
BlockDeviceEncryptionFormatType = Literal["plain", "luks", "luksv2"]
BlockDeviceSourceType = Literal["blank", "image", "snapshot", "volume"]
BlockDeviceType = Literal["cdrom", "disk", "floppy", "fs", "lun"]
CPUAllocationPolicy = Literal["dedicated", "shared", "mixed"]
CPUEmulatorThreadsPolicy = Literal["share", "isolate"]
CPUFeaturePolicy = Literal["force", "require", "optional", "disable", "forbid"]
CPUMatch = Literal["minimum", "exact", "strict"]
CPUMode = Literal["custom", "host-model", "host-passthrough"]
CPUThreadAllocationPolicy = Literal["prefer", "isolate", "require"]
ConfigDrivePolicy = Literal["optional", "mandatory"]
DiskBus = Literal["fdc", "ide", "sata", "scsi", "usb", "virtio", "xen", "lxc", "uml"]
ExternalEventName = Literal[
    "network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted", "volume-extended",
    "power-update", "accelerator-request-bound", "volume-reimaged",
]  # fmt: skip
ExternalEventStatus = Literal["failed", "completed", "in-progress"]
FirmwareType = Literal["uefi", "bios"]
HVType = Literal[
    "baremetal", "bhyve", "docker", "fake", "hyperv", "ironic", "kqemu", "kvm", "lxc", "lxd", "openvz",
    "parallels", "phyp", "qemu", "test", "uml", "vbox", "vz", "vmware", "xen", "zvm", "prsm",
]  # fmt: skip
HypervisorDriver = Literal["libvirt", "xenapi", "vmwareapi", "ironic", "hyperv"]
ImageSignatureHashType = Literal["SHA-224", "SHA-256", "SHA-384", "SHA-512"]
ImageSignatureKeyType = Literal[
    "DSA", "ECC_SECP384R1", "ECC_SECP521R1", "ECC_SECT409K1", "ECC_SECT409R1", "ECC_SECT571K1",
    "ECC_SECT571R1", "RSA-PSS",
]  # fmt: skip
InputBus = Literal["usb", "virtio"]
InstancePowerState = Literal["pending", "running", "_unused", "paused", "shutdown", "crashed", "suspended"]
MaxPhyAddrMode = Literal["passthrough", "emulate"]
MemEncryptionModel = Literal["amd-sev", "amd-sev-es", "amd-sev-snp", "intel-tdx"]
MonitorMetricType = Literal[
    "cpu.frequency", "cpu.user.time", "cpu.kernel.time", "cpu.idle.time", "cpu.iowait.time", "cpu.user.percent",
    "cpu.kernel.percent", "cpu.idle.percent", "cpu.iowait.percent", "cpu.percent", "numa.membw.max",
    "numa.membw.current",
]  # fmt: skip
OSType = Literal["linux", "windows"]
PCINUMAAffinityPolicy = Literal["required", "legacy", "preferred", "socket"]
PciDeviceStatus = Literal[
    "available", "claimed", "allocated", "removed", "deleted", "unavailable", "unclaimable",
]  # fmt: skip
PciDeviceType = Literal["type-PCI", "type-PF", "type-VF", "vdpa"]
PointerModelType = Literal["usbtablet"]
RNGModel = Literal["virtio"]
SCSIModel = Literal["buslogic", "ibmvscsi", "lsilogic", "lsisas1068", "lsisas1078", "virtio-scsi", "vmpvscsi"]
SecureBoot = Literal["required", "disabled", "optional"]
ShareMappingProto = Literal["NFS", "CEPHFS"]
ShareMappingStatus = Literal["attaching", "detaching", "active", "inactive", "error"]
SoundModelType = Literal["sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio"]
TPMModel = Literal["tpm-tis", "tpm-crb"]
TPMVersion = Literal["1.2", "2.0"]
USBControllerModelType = Literal["none", "nec-xhci", "qemu-xhci"]
VIFModel = Literal[
    "virtio", "ne2k_pci", "pcnet", "rtl8139", "e1000", "e1000e", "netfront", "spapr-vlan", "lan9118",
    "sriov", "vmxnet", "vmxnet3", "igb",
]  # fmt: skip
VIOMMUModel = Literal["intel", "smmuv3", "virtio", "auto"]
VMMode = Literal["hvm", "xen", "uml", "exe"]
VideoModel = Literal["cirrus", "qxl", "vga", "vmvga", "xen", "virtio", "gop", "none", "bochs"]
WatchdogAction = Literal["none", "pause", "poweroff", "reset", "disabled"]
