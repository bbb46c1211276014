"""What a hypervisor can say of a running guest. A number that it cannot say is None, or -1."""

from collections.abc import Sequence

from novastate.objects.base import Record, value
from novastate.objects.marks import MacAddress
from novastate.objects.values import UNSET, Unset
from novastate.objects.vocabulary import HypervisorDriver, InstancePowerState

__all__ = ["CpuDiagnostics", "Diagnostics", "DiskDiagnostics", "MemoryDiagnostics", "NicDiagnostics"]


@value
class CpuDiagnostics(Record):
    """One CPU of the guest; *time*: nanoseconds; *utilisation*: percent. Nova's CpuDiagnostics 1.0."""

    id: int | None = None
    time: int | None = None
    utilisation: int | None = None


@value
class DiskDiagnostics(Record):
    """One disk of the guest. Nova's DiskDiagnostics 1.0."""

    read_bytes: int | None = None
    read_requests: int | None = None
    write_bytes: int | None = None
    write_requests: int | None = None
    errors_count: int | None = None


@value
class MemoryDiagnostics(Record):
    """The memory of the guest, in MiB. Nova's MemoryDiagnostics 1.0."""

    maximum: int | Unset | None = UNSET
    used: int | Unset | None = UNSET


@value
class NicDiagnostics(Record):
    """One interface of the guest; octets are bytes; a rate is in bytes a second. Nova's NicDiagnostics 1.0."""

    mac_address: MacAddress | None = None
    rx_octets: int | None = None
    rx_errors: int | None = None
    rx_drop: int | None = None
    rx_packets: int | None = None
    rx_rate: int | None = None
    tx_octets: int | None = None
    tx_errors: int | None = None
    tx_drop: int | None = None
    tx_packets: int | None = None
    tx_rate: int | None = None


@value
class Diagnostics(Record):
    """All that is known of a running guest; *uptime*: seconds. Nova's Diagnostics 1.0."""

    state: InstancePowerState | Unset = UNSET
    driver: HypervisorDriver | Unset = UNSET
    hypervisor: str | None = None
    hypervisor_os: str | None = None
    uptime: int | None = None
    config_drive: bool | Unset = UNSET
    memory_details: MemoryDiagnostics = MemoryDiagnostics()
    cpu_details: Sequence[CpuDiagnostics] = ()
    nic_details: Sequence[NicDiagnostics] = ()
    disk_details: Sequence[DiskDiagnostics] = ()
    num_cpus: int | Unset = UNSET
    num_nics: int | Unset = UNSET
    num_disks: int | Unset = UNSET
