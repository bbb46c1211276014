"""Before a live migration: what the source tells, the checks on both hosts, the destination's disks.

Rules of this file:

1. A check changes nothing but for the probe files by which two hosts find out whether they share their storage, and the notes of
   earlier migrations. What a step makes is noted first (see :mod:`novastate.drivers.libvirt.notes`), so that clearing up needs no
   memory.
2. Disks are copied only where the probe was not seen, and only onto files that this step has made: a file that is there already is
   never written to.
3. What the destination cannot do is refused here, before anything has moved, as far as libvirt can tell.
"""
# ruff: noqa: D102  (the abstract driver says what each method does)

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from novastate.drivers.base import DiskInfo, LiveMigrationSource
from novastate.drivers.libvirt import storage
from novastate.drivers.libvirt.binding import libvirt
from novastate.drivers.libvirt.hypervisor import Hypervisor, gone_is_fine, one_deadline
from novastate.drivers.libvirt.migration_job import AtSource, Attempt, look
from novastate.drivers.libvirt.migration_xml import cpu_of, host_addresses, read_cpu
from novastate.drivers.libvirt.notes import Kind, Notes
from novastate.drivers.libvirt.states import info
from novastate.drivers.libvirt.xml import file_disks
from novastate.errors import DriverError, MigrationPreCheckError
from novastate.machines.storage import check_storage
from novastate.objects import UNSET, LibvirtLiveMigrateData, evolve

if TYPE_CHECKING:
    from novastate.objects import Instance

__all__ = ["Checking"]

_MIB = 1 << 20
#: What may be noted of an earlier migration where a guest is to come.
_EARLIER = (Kind.MADE, Kind.LEFT, Kind.LEAVES)


class Checking(Hypervisor):
    """The calls of a live migration that come before it."""

    def notes(self, uuid: str) -> Notes:
        """The notes about a guest on this host."""
        return Notes(self.instances_path, self.host, uuid)

    # --- the source tells

    @one_deadline
    def live_migration_source(self, uuid: str) -> LiveMigrationSource:
        def run(domain: Any) -> tuple[tuple[DiskInfo, ...], str]:
            text = domain.XMLDesc()
            return _disks(domain, text), cpu_of(text)

        disks, cpu = self.on_guest("looking at its disks", uuid, run)
        return LiveMigrationSource(self.host_state(), disks, cpu)

    # --- the destination's check

    def check_can_live_migrate_destination(
        self, instance: Instance, source: LiveMigrationSource, *, block_migration: bool | None = None
    ) -> LibvirtLiveMigrateData:
        notes = self.notes(instance.uuid)
        directories = _directories(source.disks) or [self.instances_path]

        def run(connect: Any) -> int:
            self._check_absent(connect, instance.uuid)
            self._check_cpu(connect, source)
            notes.retire(connect)
            notes.clear(connect, Kind.PROBES)
            notes.write(connect, Kind.PROBES, [f"{directory}/{notes.probe}" for directory in directories])
            try:
                return min(self._probe(connect, directory, notes.probe) for directory in directories)
            except Exception:
                notes.clear(connect, Kind.PROBES)
                raise

        available = self.connection.call("checking whether it can come here", run, uuid=instance.uuid)
        listen = _number(self.address)
        return LibvirtLiveMigrateData(
            filename=notes.probe,
            image_type="default",
            block_migration=UNSET if block_migration is None else block_migration,
            disk_over_commit=False,
            disk_available_mb=available // _MIB,
            is_volume_backed=not source.disks,
            instance_relative_path=instance.uuid,
            graphics_listen_addr_vnc=listen,
            graphics_listen_addr_spice=listen,
            serial_listen_addr=listen,
            dst_wants_file_backed_memory=False,
            dst_supports_numa_live_migration=True,
            target_connect_addr=self.address,
        )

    def cleanup_live_migration_destination_check(self, data: LibvirtLiveMigrateData) -> None:
        notes = Notes.of_probe(self.instances_path, self.host, str(data.filename))
        if notes is not None:
            self.connection.call("clearing up after the check", lambda connect: notes.clear(connect, Kind.PROBES))

    def _check_absent(self, connect: Any, uuid: str) -> None:
        """Refuses a guest that is here: this is its source under another name, or something else brings it."""
        with gone_is_fine():
            domain = self.lookup(connect, uuid)
            seen = info(domain)
            if domain.isActive() or seen.incoming:
                how = "a live migration brings it here" if seen.incoming else "it runs on this very host"
                raise MigrationPreCheckError(f"{self.host}: guest {uuid}: {how}")

    def _check_cpu(self, connect: Any, source: LiveMigrationSource) -> None:
        """Whether this host's hypervisor can give the guest its machine and its CPU, emulated or not.

        The running guest's CPU names every feature that it has and has not (libvirt: ``check='full'``), and is compared with what the
        hypervisor offers for that machine and virtualization type; Nova compares with the host's CPU, which says nothing of an emulated
        one. Of a CPU that is handed through the source's own is compared with this host's. ``maximum`` is left to the daemons.
        """
        if not source.cpu:
            return
        try:
            guest = read_cpu(source.cpu)
        except ValueError as error:
            raise MigrationPreCheckError(f"{self.host}: the CPU of the guest cannot be read: {error}") from error
        refused = {
            libvirt.VIR_ERR_CPU_INCOMPATIBLE,
            libvirt.VIR_ERR_INTERNAL_ERROR,  # an unknown model
            libvirt.VIR_ERR_INVALID_ARG,  # an unknown machine
            libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
            libvirt.VIR_ERR_XML_ERROR,
        }
        try:
            asked = (None, guest.arch or None, guest.machine or None, guest.virt_type or None)
            connect.getDomainCapabilities(*asked, 0)
            flags = libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE
            if guest.mode == "custom":
                connect.compareHypervisorCPU(*asked, guest.cpu, flags)
            elif guest.mode == "host-passthrough" and source.host.cpu_info:
                connect.compareCPU(source.host.cpu_info, flags)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:  # a hypervisor that cannot tell
                return
            if error.get_error_code() not in refused:
                raise
            raise MigrationPreCheckError(f"{self.host}: {error.get_error_message()}") from error

    def _probe(self, connect: Any, directory: str, name: str) -> int:
        """Leaves a probe in *directory*; the bytes that are free there."""
        holder = storage.pool(connect, directory, build=directory == self.instances_path)
        if holder is None:
            raise MigrationPreCheckError(f"{self.host}: there is no directory {directory}, where the guest has a disk")
        storage.create(connect, f"{directory}/{name}", 0, kind="raw")
        return storage.space(connect, directory)[1]

    # --- the source's check

    def check_can_live_migrate_source(self, instance: Instance, data: LibvirtLiveMigrateData) -> LibvirtLiveMigrateData:
        uuid, probe = instance.uuid, str(data.filename)

        def run(connect: Any) -> tuple[tuple[DiskInfo, ...], dict[str, bool], dict[str, set[str]]]:
            domain = self.lookup(connect, uuid)
            job = self.jobs.get(uuid)
            if look(domain).seen in {AtSource.JOB, AtSource.BROKEN} or (job and job.attempt is Attempt.RUNS):
                raise MigrationPreCheckError(f"{self.host}: guest {uuid} is being migrated already")
            # An earlier job, that another process has brought to its end.
            self.jobs.forget(uuid)
            text = domain.XMLDesc()
            disks = _disks(domain, text)
            directories = _directories(disks) or [self.instances_path]
            seen = {directory: storage.exists(connect, f"{directory}/{probe}") for directory in directories}
            return disks, seen, host_addresses(text)

        disks, seen, addresses = self.connection.call("checking whether it can leave", run, uuid=uuid)
        shared = all(seen.values())
        if any(seen.values()) and not shared:
            raise MigrationPreCheckError(
                f"guest {uuid}: {_listed(seen, shared=True)} is shared with {data.target_connect_addr}, "
                f"{_listed(seen, shared=False)} is not: its disks can neither be copied nor left where they are"
            )
        block = check_storage(
            None if data.block_migration is UNSET else bool(data.block_migration),
            shared_instance_path=shared,
            shared_block_storage=shared or not disks,
            boot_from_volume=not disks,
            uuid=uuid,
        )
        needed, available = sum(disk.allocated for disk in disks), data.disk_available_mb
        if block and isinstance(available, int) and needed > available * _MIB:
            raise MigrationPreCheckError(
                f"{data.target_connect_addr}: {-(-needed // _MIB)} MiB of disk are to be copied, {available} MiB are free"
            )
        for kind, at in addresses.items():
            if not _address(data, kind):
                raise MigrationPreCheckError(
                    f"guest {uuid}: its {kind} listens on {', '.join(sorted(at))}, and no address of the destination is known: "
                    "give its driver address= as a number"
                )
        return evolve(
            data,
            block_migration=block,
            is_shared_instance_path=shared,
            is_shared_block_storage=shared or not disks,
            src_supports_numa_live_migration=True,
        )

    # --- the destination prepares

    def pre_live_migration(
        self, instance: Instance, data: LibvirtLiveMigrateData, disks: tuple[DiskInfo, ...]
    ) -> LibvirtLiveMigrateData:
        notes = self.notes(instance.uuid)
        if data.block_migration is not True or not disks:
            # What an earlier migration noted does not speak of disks that both hosts see.
            self.connection.call("preparing", lambda connect: notes.drop(connect, *_EARLIER), uuid=instance.uuid)
            return data

        def there(disk: DiskInfo) -> DriverError:
            return DriverError(f"guest {instance.uuid}: {disk.path} is there already", host=self.host)

        def run(connect: Any) -> None:
            self._check_absent(connect, instance.uuid)
            # The storage is not shared (rule 2) and the guest not here: what was noted before is left of an earlier migration.
            notes.clear(connect, *_EARLIER)
            for disk in disks:
                if storage.exists(connect, disk.path):
                    raise there(disk)
                if disk.backing_file and not storage.exists(connect, disk.backing_file):
                    raise DriverError(
                        f"guest {instance.uuid}: {disk.path} is an overlay of {disk.backing_file}, which is not here",
                        host=self.host,
                    )
            notes.write(connect, Kind.MADE, [disk.path for disk in disks])
            try:
                for number, disk in enumerate(disks):
                    if not _make(connect, disk):
                        # Another's: whoever clears up leaves it alone.
                        notes.write(connect, Kind.MADE, [disk.path for disk in disks[:number]])
                        raise there(disk)  # noqa: TRY301  (what was made is undone in one place)
            except Exception:
                notes.clear(connect, Kind.MADE)
                raise

        try:
            self.connection.call("preparing its disks", run, uuid=instance.uuid)
        except MigrationPreCheckError as error:
            raise DriverError(str(error), host=self.host) from error
        return data


def _disks(domain: Any, text: str) -> tuple[DiskInfo, ...]:
    """The local disks of a guest that it writes to, with their sizes; to be called within a call."""
    found: list[DiskInfo] = []
    for disk in file_disks(text):
        size, allocated, _ = domain.blockInfo(disk.device)
        found.append(DiskInfo(disk.device, disk.path, disk.format, size, allocated, disk.backing_file))
    return tuple(found)


def _make(connect: Any, disk: DiskInfo) -> bool:
    """Makes the disk, empty; False if there is a file already."""
    kind = "qcow2"
    if disk.backing_file:
        kind = (storage.look(connect, disk.backing_file) or ("qcow2", 0))[0]
    return storage.create(connect, disk.path, disk.size, kind=disk.format, backing=disk.backing_file, backing_kind=kind)


def _directories(disks: Iterable[DiskInfo]) -> list[str]:
    return sorted({posixpath.dirname(disk.path) for disk in disks})


def _listed(seen: dict[str, bool], *, shared: bool) -> str:
    return ", ".join(directory for directory, found in seen.items() if found is shared)


def _number(address: str) -> str | None:
    """*address*, if it is a number and not a name."""
    try:
        return str(ip_address(address))
    except ValueError:
        return None


def _address(data: LibvirtLiveMigrateData, kind: str) -> str:
    """The destination's address for displays (``vnc``, ``spice``) and serial consoles (``serial``), empty if it is not known."""
    told = {
        "vnc": data.graphics_listen_addr_vnc,
        "spice": data.graphics_listen_addr_spice,
        "serial": data.serial_listen_addr,
    }
    return str(told[kind]) if told.get(kind) else ""


def addresses(data: LibvirtLiveMigrateData) -> dict[str, str]:
    """What takes the place of the source's addresses in the guest's XML, by kind; a kind that is not known is left out."""
    return {kind: at for kind in ("vnc", "spice", "serial") if (at := _address(data, kind))}
