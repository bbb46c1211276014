"""Where the memory of a guest lies: what may be looked at, and what migrates besides.

Rules of this file: addresses at which there is no RAM are never read, for behind them are devices. A machine whose layout is not
known here has no ranges.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from attrs import frozen

__all__ = ["Machine", "ram_ranges", "read_machine"]

#: Above this the RAM of a PC may lie elsewhere (hw/i386/pc.c: the HyperTransport hole just below 1 TiB).
_MOST_PEEKED = 960 << 30
_UNITS = {"b": 1, "bytes": 1, "k": 1 << 10, "KiB": 1 << 10, "M": 1 << 20, "MiB": 1 << 20, "G": 1 << 30, "GiB": 1 << 30}


@frozen
class Machine:
    """What the XML of a domain says of its memory: *ram* bytes in the machine's own RAM, *plugged* in modules, *video* bytes;
    *ranges* of RAM as (address, bytes), none where they are not known; *resident_counts*: whether its process's resident
    size holds the RAM (hugepages do not count).
    """

    ram: int
    plugged: int = 0
    video: int = 0
    ranges: tuple[tuple[int, int], ...] = ()
    resident_counts: bool = True


def ram_ranges(arch: str, machine: str, ram: int) -> tuple[tuple[int, int], ...]:
    """Where *ram* bytes lie in the physical addresses of a PC, as (address, bytes); empty for what is not known.

    Sources: QEMU hw/i386/pc_piix.c (from 3.5 GiB on, 3 GiB lie low), pc_q35.c (from 2.75 GiB on, 2 GiB). The video
    memory and ROMs below 1 MiB are left out.

    >>> ram_ranges("x86_64", "pc-q35-10.0", 4 << 30)
    ((0, 655360), (1048576, 2146435072), (4294967296, 2147483648))
    """
    if arch not in {"x86_64", "i686"} or not 16 << 20 <= ram <= _MOST_PEEKED:
        return ()
    if machine == "q35" or machine.startswith("pc-q35"):
        low = 0x80000000 if ram >= 0xB0000000 else ram
    elif machine == "pc" or machine.startswith("pc-i440fx"):
        low = 0xC0000000 if ram >= 0xE0000000 else ram
    else:
        return ()
    found = [(0, 0xA0000), (0x100000, low - 0x100000)]
    return tuple(found + ([(1 << 32, ram - low)] if ram > low else []))


def read_machine(text: str) -> Machine:
    """The memory of a domain, from its live XML."""
    root = ET.fromstring(text)  # noqa: S314  (the daemon's own)

    def size(node: ET.Element | None) -> int:
        return 0 if node is None else int(node.text or 0) * _UNITS.get(node.get("unit", "KiB"), 1 << 10)

    plugged = sum(size(node.find("target/size")) for node in root.iterfind("devices/memory"))
    ram = size(root.find("memory")) - plugged
    kind = root.find("os/type")
    arch, machine = ("", "") if kind is None else (kind.get("arch", ""), kind.get("machine", ""))
    video = sum(
        (int(node.get("vram", 0)) + int(node.get("ram", 0))) << 10 for node in root.iterfind("devices/video/model")
    )
    huge = root.find("memoryBacking/hugepages") is not None
    # With modules the RAM's own layout is the same, but what lies in them is not looked at.
    ranges = ram_ranges(arch, machine, ram)
    return Machine(ram, plugged, video, ranges, resident_counts=not huge)
