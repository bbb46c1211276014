"""Files of a host through libvirt's storage volumes, on libvirt's own test driver."""

from __future__ import annotations

import pytest

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed: pip install 'novastate[libvirt]'")

from novastate.drivers.libvirt import Connection, storage  # noqa: E402
from novastate.errors import DriverError  # noqa: E402

DISK = "/guests/disk.qcow2"


@pytest.fixture
def ask():
    """``ask(function, ...)``: what the function of storage.py says, called as it is meant to be."""
    connection = Connection("test:///default")

    def ask(function, *args, **kwargs):
        return connection.call("asking", lambda connect: function(connect, *args, **kwargs))

    yield ask
    ask(_forget)
    connection.close()


def _forget(connect):
    for pool in connect.listAllStoragePools():
        if pool.name() != "default-pool":
            for volume in pool.listAllVolumes() if pool.isActive() else []:
                volume.delete(0)
            if pool.isActive():
                pool.destroy()


def _name(connect, directory, **kwargs):
    return storage.pool(connect, directory, **kwargs).name()


def test_a_disk_is_made_once_and_deleted_once(ask):
    assert not ask(storage.exists, DISK)
    assert ask(storage.look, DISK) is None
    assert ask(storage.create, DISK, 1 << 20)
    assert not ask(storage.create, DISK, 1 << 30), "it is there already"
    assert ask(storage.exists, DISK)
    assert ask(storage.look, DISK) == ("qcow2", 1 << 20)
    assert ask(storage.delete, DISK)
    assert not ask(storage.delete, DISK)
    assert not ask(storage.exists, DISK)


def test_a_directory_has_one_pool(ask):
    assert ask(_name, "/guests") == ask(_name, "/guests/") == ask(_name, "//guests/./")
    assert ask(_name, "/guests") != ask(_name, "/others")


def test_the_hosts_own_pool_is_used(ask):
    assert ask(_name, "/default-pool") == "default-pool"


def test_a_pool_of_the_hosts_that_does_not_run_is_started(ask):
    ask(lambda connect: connect.storagePoolLookupByName("default-pool").destroy())
    assert ask(_name, "/default-pool") == "default-pool"
    assert ask(lambda connect: connect.storagePoolLookupByName("default-pool").isActive())


def test_a_disk_that_libvirt_refuses_is_an_error(ask):
    with pytest.raises(DriverError):
        ask(storage.create, "/guests/odd", 1 << 20, kind="nonsense")
    assert not ask(storage.exists, "/guests/odd")


def test_space_is_in_bytes(ask):
    capacity, available = ask(storage.space, "/default-pool")
    assert capacity == 100 << 30
    assert 0 < available <= capacity
