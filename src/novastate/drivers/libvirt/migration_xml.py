"""What of a guest's domain XML matters to a live migration: its CPU, and the addresses that are its host's.

Rules of this file: text only, no call. What is changed for the destination is changed in libvirt's own XML of the guest, and nothing
else in it is. That text may hold passwords (VIR_DOMAIN_XML_SECURE): it is never logged.
"""

from __future__ import annotations

import ipaddress
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from attrs import frozen

__all__ = ["Cpu", "cpu_of", "for_destination", "host_addresses", "read_cpu"]


@frozen
class Cpu:
    """What a guest asks of its host: architecture, machine type, virtualization type, and its CPU as libvirt's XML, with its *mode*."""

    virt_type: str
    arch: str
    machine: str
    cpu: str
    mode: str


def cpu_of(domain: str) -> str:
    """What a host must have for the guest of *domain*: a domain XML of type, machine and CPU alone."""
    root = ET.fromstring(domain)  # noqa: S314  (libvirt's own words)
    part = ET.Element("domain", type=root.get("type", ""))
    kind = root.find("os/type")
    if kind is not None:
        ET.SubElement(part, "os").append(kind)
    cpu = root.find("cpu")
    if cpu is not None:
        part.append(cpu)
    return ET.tostring(part, encoding="unicode")


def read_cpu(text: str) -> Cpu:
    """What :func:`cpu_of` wrote. Raises ValueError."""
    try:
        root = ET.fromstring(text)  # noqa: S314  (libvirt's own words)
    except ET.ParseError as error:
        raise ValueError(f"no domain: {error}") from error
    kind, cpu = root.find("os/type"), root.find("cpu")
    return Cpu(
        virt_type=root.get("type", ""),
        arch="" if kind is None else kind.get("arch", ""),
        machine="" if kind is None else kind.get("machine", ""),
        cpu="" if cpu is None else ET.tostring(cpu, encoding="unicode"),
        mode="" if cpu is None else cpu.get("mode", "custom"),
    )


def host_addresses(domain: str) -> dict[str, set[str]]:
    """The addresses of its host on which the guest's displays (``vnc``, ``spice``) and serial consoles (``serial``) listen.

    One that every host has (all addresses, loopback) is left out.
    """
    found: dict[str, set[str]] = {}
    for kind, element, name in _listening(ET.fromstring(domain)):  # noqa: S314  (libvirt's own words)
        found.setdefault(kind, set()).add(element.get(name, ""))
    return found


def for_destination(domain: str, addresses: dict[str, str]) -> str:
    """*domain* with those addresses replaced by the destination's, by kind; empty if there is nothing to replace."""
    root = ET.fromstring(domain)  # noqa: S314  (libvirt's own words)
    changed = False
    for kind, element, name in list(_listening(root)):
        if addresses.get(kind):
            element.set(name, addresses[kind])
            changed = True
    return ET.tostring(root, encoding="unicode") if changed else ""


def _listening(root: ET.Element) -> Iterator[tuple[str, ET.Element, str]]:
    """Where an address of the host stands: its kind, the element and the attribute."""
    for graphics in root.iterfind("devices/graphics"):
        kind = graphics.get("type", "")
        if kind in {"vnc", "spice"}:
            for element, name in [
                (graphics, "listen"),
                *((listen, "address") for listen in graphics.iterfind("listen") if listen.get("type") == "address"),
            ]:
                if _is_of_host(element.get(name)):
                    yield kind, element, name
    for device in ("serial", "console"):
        for source in root.iterfind(f"devices/{device}[@type='tcp']/source"):
            if source.get("mode") == "bind" and _is_of_host(source.get("host")):
                yield "serial", source, "host"


def _is_of_host(address: str | None) -> bool:
    """Whether *address* is one host's own."""
    if not address:
        return False
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return address != "localhost"
    return not (number.is_unspecified or number.is_loopback)
