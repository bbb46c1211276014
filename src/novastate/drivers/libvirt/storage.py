"""Files of a host, reached through libvirt's storage volumes: the host may be a remote one.

Rules of this file: every function runs inside a call and takes its ``virConnect``; one that nobody waits for any more makes and
deletes nothing. Making what is there and deleting what is gone both succeed. A directory is reached through the pool that the host
has for it, else through a transient one that is left behind: it holds nothing, and is gone when the daemon ends.
"""

from __future__ import annotations

import hashlib
import posixpath
import xml.etree.ElementTree as ET
from typing import Any

from novastate.drivers.libvirt.background import check_wanted
from novastate.drivers.libvirt.binding import libvirt

__all__ = ["create", "delete", "exists", "look", "pool", "space"]


def pool(connect: Any, directory: str, *, build: bool = False) -> Any | None:
    """The active pool of *directory*, made if there is none; None if there is no such directory, which *build* makes."""
    directory = _plain(directory)
    name = f"novastate-{hashlib.sha256(directory.encode()).hexdigest()[:16]}"
    root = ET.Element("pool", type="dir")
    ET.SubElement(root, "name").text = name
    ET.SubElement(ET.SubElement(root, "target"), "path").text = directory
    flags = libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD if build else 0
    for last in (False, True):
        try:
            for found in connect.listAllStoragePools():
                if _target(found) == directory:
                    if not found.isActive():
                        found.create(flags)
                    return found
            return connect.storagePoolCreateXML(ET.tostring(root, encoding="unicode"), flags)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and error.get_int1() == 2:  # ENOENT
                return None
            # Another made or started it meanwhile.
            if last or error.get_error_code() not in {
                libvirt.VIR_ERR_OPERATION_FAILED,
                libvirt.VIR_ERR_OPERATION_INVALID,
            }:
                raise
    return None


def exists(connect: Any, path: str) -> bool:
    """Whether there is a file *path* on the host."""
    return _volume(connect, path) is not None


def look(connect: Any, path: str) -> tuple[str, int] | None:
    """The format of the disk image *path* (``qcow2``, ``raw`` …) and its size in bytes as a guest sees it; None if it is not there."""
    volume = _volume(connect, path)
    if volume is None:
        return None
    found = ET.fromstring(volume.XMLDesc(0)).find("target/format")  # noqa: S314  (libvirt's own words)
    return (found.get("type", "raw") if found is not None else "raw"), int(volume.info()[1])


def create(
    connect: Any, path: str, size: int, *, kind: str = "qcow2", backing: str = "", backing_kind: str = "qcow2"
) -> bool:
    """Makes a disk of *size* bytes, as the guest sees it, at *path*, over *backing* if given. False if there is a file already."""
    if exists(connect, path):
        return False
    root = ET.Element("volume")
    ET.SubElement(root, "name").text = posixpath.basename(path)
    ET.SubElement(root, "capacity", unit="bytes").text = str(size)
    ET.SubElement(root, "allocation", unit="bytes").text = "0"
    ET.SubElement(ET.SubElement(root, "target"), "format", type=kind)
    if backing:
        store = ET.SubElement(root, "backingStore")
        ET.SubElement(store, "path").text = backing
        ET.SubElement(store, "format", type=backing_kind)
    check_wanted()
    holder = pool(connect, posixpath.dirname(path), build=True)
    try:
        if holder is not None:
            holder.createXML(ET.tostring(root, encoding="unicode"), 0)
    except libvirt.libvirtError:
        if exists(connect, path):  # another made it meanwhile
            return False
        raise
    return True


def delete(connect: Any, path: str) -> bool:
    """Deletes the file *path* of the host; False if it is gone already."""
    volume = _volume(connect, path)
    if volume is None:
        return False
    check_wanted()
    try:
        volume.delete(0)
    except libvirt.libvirtError:
        if _volume(connect, path) is not None:
            raise
    return True


def space(connect: Any, directory: str) -> tuple[int, int]:
    """How many bytes the file system of *directory* holds, and how many of them are free; (0, 0) if there is no such directory."""
    holder = pool(connect, directory)
    if holder is None:
        return 0, 0
    _refresh(holder)
    _, capacity, _, available = holder.info()
    return int(capacity), int(available)


def _volume(connect: Any, path: str) -> Any | None:
    """The volume of the file *path*, looked at anew; None if there is none."""
    holder = pool(connect, posixpath.dirname(path))
    if holder is None:
        return None
    _refresh(holder)
    try:
        return holder.storageVolLookupByName(posixpath.basename(path))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL:
            return None
        raise


def _refresh(holder: Any) -> None:
    """Has libvirt look at the directory again; while it is at work there, what it knows has to do."""
    try:
        holder.refresh(0)
    except libvirt.libvirtError as error:
        if error.get_error_code() not in {libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_OPERATION_INVALID}:
            raise


def _target(found: Any) -> str:
    """The directory that a pool stands for, or nothing."""
    try:
        path = ET.fromstring(found.XMLDesc(0)).findtext("target/path")  # noqa: S314  (libvirt's own words)
    except libvirt.libvirtError:  # it has just ended
        return ""
    return _plain(path) if path else ""


def _plain(path: str) -> str:
    """An absolute *path* as it is written once; posixpath would keep two slashes at its beginning."""
    return posixpath.normpath("/" + path.lstrip("/"))
