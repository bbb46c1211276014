"""What was noted of an earlier migration on libvirt, without a daemon: it deletes nothing that may be another's by now."""

from __future__ import annotations

import json

import pytest

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed: pip install 'novastate[libvirt]'")

from novastate.drivers import DiskInfo  # noqa: E402
from novastate.drivers.libvirt import notes as notes_module  # noqa: E402
from novastate.drivers.libvirt import storage  # noqa: E402
from novastate.drivers.libvirt.driver import LibvirtDriver  # noqa: E402
from novastate.drivers.libvirt.notes import Kind  # noqa: E402
from novastate.errors import DriverError  # noqa: E402
from novastate.objects import Flavor, Instance, LibvirtLiveMigrateData  # noqa: E402

UUID = "7a1f2c9e-0d53-4c7f-9a39-5a2be3a2f6d1"
DISK = "/guests/of-the-guest.qcow2"
NOTHING = LibvirtLiveMigrateData()


@pytest.fixture
def host(monkeypatch):
    """A destination's driver, whose files are ``host.files``: libvirt's test driver writes nothing into a volume."""
    files = {}

    def create(_connect, path, size, **_kinds):
        made = path not in files
        files.setdefault(path, size)
        return made

    monkeypatch.setattr(storage, "pool", lambda _connect, directory, **_build: directory)
    monkeypatch.setattr(storage, "space", lambda _connect, _directory: (1 << 40, 1 << 40))
    monkeypatch.setattr(storage, "create", create)
    monkeypatch.setattr(storage, "delete", lambda _connect, path: files.pop(path, None) is not None)
    monkeypatch.setattr(storage, "exists", lambda _connect, path: path in files)
    monkeypatch.setattr(notes_module, "_write", lambda _connect, path, data: files.update({path: data}))
    monkeypatch.setattr(notes_module, "_read", lambda _connect, path: files.get(path, b""))
    made = LibvirtDriver("test:///default", "beta", address="10.0.0.2", instances_path="/guests")
    made.files = files
    yield made
    made.close()


@pytest.fixture
def instance():
    return Instance(uuid=UUID, flavor=Flavor(vcpus=1, memory_mb=64))


def source(disks):
    return type("Source", (), {"disks": disks, "cpu": "", "host": None})()


OWN = DiskInfo("vda", DISK, "qcow2", 1 << 20, 1 << 16, "")


def note(host, kind, files=(DISK,)):
    host.connection.call("noting", lambda connect: host.notes(UUID).write(connect, kind, files))


def noted(host, kind):
    return host.connection.call("looking", lambda connect: host.notes(UUID).read(connect, kind))


def test_a_rollback_deletes_no_disk_that_an_earlier_migration_made(host, instance):
    """Its note was left behind, and the disk is on storage that both hosts share by now: the guest, on another host, writes to it."""
    note(host, Kind.MADE)
    host.files[DISK] = 1
    host.check_can_live_migrate_destination(instance, source((OWN,)))
    host.rollback_live_migration_at_destination(instance, NOTHING)  # it crashed before the destination prepared
    assert DISK in host.files


@pytest.mark.parametrize("checks", [1, 2])
def test_what_an_earlier_migration_made_is_cleared_once_disks_are_to_be_copied(host, instance, checks):
    """Then the storage is not shared, and what lies there is nobody's."""
    note(host, Kind.MADE)
    host.files[DISK] = 1
    for _ in range(checks):
        host.check_can_live_migrate_destination(instance, source((OWN,)))
    host.pre_live_migration(instance, LibvirtLiveMigrateData(block_migration=True), (OWN,))
    assert host.files[DISK] == OWN.size
    assert noted(host, Kind.MADE) == [DISK]
    host.rollback_live_migration_at_destination(instance, NOTHING)
    assert DISK not in host.files
    assert not [path for path in host.files if path.endswith(".json")]


def test_a_disk_that_nobody_noted_is_never_written_to(host, instance):
    host.files[DISK] = 1
    host.check_can_live_migrate_destination(instance, source((OWN,)))
    with pytest.raises(DriverError, match="is there already"):
        host.pre_live_migration(instance, LibvirtLiveMigrateData(block_migration=True), (OWN,))
    assert host.files[DISK] == 1


@pytest.mark.parametrize("block", [False, True])
def test_what_an_earlier_migration_made_is_forgotten_where_storage_is_shared(host, instance, block):
    note(host, Kind.MADE)
    host.files[DISK] = 1
    host.check_can_live_migrate_destination(instance, source((OWN,)))
    host.pre_live_migration(instance, LibvirtLiveMigrateData(block_migration=block), ())
    host.rollback_live_migration_at_destination(instance, NOTHING)
    assert host.files.get(DISK) == 1
    assert not [path for path in host.files if path.endswith(".json") and "probes" not in path]


def test_notes_are_json_that_says_whose_they_are(host):
    note(host, Kind.MADE)
    held = json.loads(host.files[host.notes(UUID).path(Kind.MADE)])
    assert held == {"host": "beta", "guest": UUID, "files": [DISK]}
