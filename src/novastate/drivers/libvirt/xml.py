"""Domain XML: the default one of an instance, and what is read from that of a guest.

Rules of this file: text only, no call. What goes in is escaped; a character that XML cannot hold is dropped. What comes out is
libvirt's own, and small.
"""

from __future__ import annotations

import posixpath
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from attrs import frozen

from novastate.errors import InvalidField

if TYPE_CHECKING:
    from novastate.objects import Instance

__all__ = [
    "IMAGE_KEY",
    "FileDisk",
    "console_path",
    "domain_xml",
    "file_disks",
    "has_kvm",
    "has_root_disk",
    "is_image",
    "root_disk_path",
    "speakable",
    "uuid_of",
]

#: The key of an instance's metadata under which the path of its image on the host stands.
IMAGE_KEY = "novastate:image"
#: What XML 1.0 has no way to say (https://www.w3.org/TR/xml/#charsets), line breaks too: a title must have none.
_UNSPEAKABLE = re.compile(r"[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: Other guests' disks and consoles, notes and probes.
_KEPT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.|novastate-", re.ASCII | re.IGNORECASE)
#: Architectures whose machines have an APIC.
_X86 = frozenset({"i686", "x86_64"})


@frozen
class FileDisk:
    """A disk that the guest writes to and that is a file: *device* in the guest, *path*, *format*, and the *backing_file* under it."""

    device: str
    path: str
    format: str
    backing_file: str = ""


def speakable(field: str, value: str) -> str:
    """*value*, if XML can hold it. Raises InvalidField: what is a path or a name to others must not be changed."""
    if _UNSPEAKABLE.search(value):
        raise InvalidField(field, value, "must have no control character")
    return value


def root_disk_path(uuid: str, instances_path: str) -> str:
    """Where the root disk that novastate makes for guest *uuid* lies on the host."""
    return f"{instances_path}/{uuid}.qcow2"


def console_path(uuid: str, instances_path: str) -> str:
    """Where the console log of guest *uuid* lies on the host, if novastate wrote its domain."""
    return f"{instances_path}/{uuid}.console.log"


def domain_xml(
    instance: Instance,
    *,
    instances_path: str = "/var/lib/libvirt/images",
    virt_type: str = "kvm",
    arch: str = "x86_64",
    emulator: str = "",
) -> str:
    """A domain for *instance*: memory and vCPUs of its flavor, its root disk, a serial console with a log, virtio devices.

    *virt_type*: ``kvm`` or ``qemu``; *arch*: the guest's, unless the instance names one; *emulator*: libvirt's choice if empty. It has
    no network: who wants one gives the driver its own *define*, which may begin with this one.
    Raises InvalidField for what XML cannot hold; in the title such characters are dropped.

    >>> from novastate.objects import Flavor, Instance
    >>> small = Flavor(name="m1.small", vcpus=1, memory_mb=2048)
    >>> web = Instance(uuid="7a1f2c9e-0d53-4c7f-9a39-5a2be3a2f6d1", display_name="<web>", flavor=small)
    >>> domain_xml(web)
    '<domain type="kvm"><name>7a1f...<title>&lt;web&gt;</title><memory unit="MiB">2048</memory><vcpu>1</vcpu>...</domain>'
    """
    arch = speakable("architecture", instance.architecture or arch)
    instances_path, emulator = speakable("instances_path", instances_path), speakable("emulator", emulator)
    domain = ET.Element("domain", type=virt_type)
    _text(domain, "name", instance.name)
    _text(domain, "uuid", instance.uuid)
    if title := _UNSPEAKABLE.sub("", instance.display_name or ""):
        _text(domain, "title", title)
    _text(domain, "memory", str(instance.flavor.memory_mb), unit="MiB")
    _text(domain, "vcpu", str(instance.flavor.vcpus))
    system = ET.SubElement(domain, "os")
    _text(system, "type", "hvm", arch=arch)
    ET.SubElement(system, "boot", dev="hd")
    if arch in _X86:
        features = ET.SubElement(domain, "features")
        ET.SubElement(features, "acpi")  # without it no guest hears that it is to shut down
        ET.SubElement(features, "apic")
    if virt_type == "kvm":
        ET.SubElement(domain, "cpu", mode="host-model")  # as Nova's cpu_mode
    ET.SubElement(domain, "clock", offset="utc")
    _text(domain, "on_poweroff", "destroy")
    _text(domain, "on_reboot", "restart")
    _text(domain, "on_crash", "destroy")
    devices = ET.SubElement(domain, "devices")
    if emulator:
        _text(devices, "emulator", emulator)
    if has_root_disk(instance):
        disk = ET.SubElement(devices, "disk", type="file", device="disk")
        ET.SubElement(disk, "driver", name="qemu", type="qcow2", discard="unmap")
        ET.SubElement(disk, "source", file=root_disk_path(instance.uuid, instances_path))
        ET.SubElement(disk, "target", dev="vda", bus="virtio")
    serial = ET.SubElement(devices, "serial", type="pty")
    # Appended to: a live migration must not cut off what the guest said before.
    ET.SubElement(serial, "log", file=console_path(instance.uuid, instances_path), append="on")
    ET.SubElement(devices, "memballoon", model="virtio")
    rng = ET.SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")
    return ET.tostring(domain, encoding="unicode")


def has_root_disk(instance: Instance) -> bool:
    """Whether novastate makes a root disk: the flavor has one, or there is an image, whose size it then has."""
    return bool(instance.flavor.root_gb or (instance.metadata or {}).get(IMAGE_KEY))


def is_image(path: str, images_path: str) -> bool:
    """Whether *path*, which users may have written, lies under the directory of images, and is nothing that novastate keeps there."""
    path = posixpath.normpath("/" + path.lstrip("/")) if path.startswith("/") else ""
    under = posixpath.normpath("/" + images_path.lstrip("/")).rstrip("/") + "/"
    return path.startswith(under) and not _KEPT.match(posixpath.basename(path))


def uuid_of(domain: str) -> str:
    """The uuid in a domain's XML, or nothing. Raises ValueError if it is no XML."""
    return (_root(domain).findtext("uuid") or "").strip()


def file_disks(domain: str) -> list[FileDisk]:
    """The disks of a domain that are files and that the guest writes to alone: what migrates with it, and ends with it.

    What is read-only or shareable is never copied (libvirt: src/qemu/qemu_migration.c ``qemuMigrationAnyCopyDisk``); what is transient
    is written to elsewhere, and the file stays as it was; disks on block devices and on the network are taken to be shared by all hosts.
    """
    found: list[FileDisk] = []
    for disk in _root(domain).iterfind("devices/disk[@type='file']"):
        source, target = disk.find("source"), disk.find("target")
        if source is None or disk.get("device", "disk") not in {"disk", "lun"}:
            continue
        if any(disk.find(mark) is not None for mark in ("readonly", "shareable", "transient")):
            continue
        path, driver = source.get("file", ""), disk.find("driver")
        if not path:
            continue
        below = disk.find("backingStore/source")
        found.append(
            FileDisk(
                device=target.get("dev", "") if target is not None else "",
                path=path,
                format=driver.get("type", "raw") if driver is not None else "raw",
                backing_file="" if below is None else below.get("file") or below.get("dev") or "",
            )
        )
    return found


def has_kvm(capabilities: str, arch: str) -> bool:
    """Whether a host with these *capabilities* (virConnectGetCapabilities) runs guests of *arch* on KVM."""
    return any(
        found.get("name") == arch and found.find("domain[@type='kvm']") is not None
        for found in _root(capabilities).iterfind("guest/arch")
    )


def _root(text: str) -> ET.Element:
    try:
        return ET.fromstring(text)  # noqa: S314  (the host's own words, or its administrator's)
    except ET.ParseError as error:
        raise ValueError(f"no XML: {error}") from error


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
