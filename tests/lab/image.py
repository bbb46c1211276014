"""The guest's kernel and initramfs, built once into ``build/lab``: the system's kernel, and guest/init.c as ``/init``.

Rules of this file:

- A build has a directory of its own, named by what went into it, and appears there at once or not at all: several runs may
  build at the same time.
- Nothing is downloaded. The modules are those of the very kernel; ``/init`` loads them in the order of their names.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build" / "lab"
SOURCE = Path(__file__).with_name("guest") / "init.c"
#: What the guest loads, each after all that it depends on: power button, its events, a virtio disk.
MODULES = ("button", "evdev", "virtio_pci", "virtio_blk")
COMPILE = ("gcc", "-std=gnu11", "-O2", "-static", "-Wall", "-Wextra", "-Werror")


@dataclass(frozen=True)
class Image:
    """What a guest boots from."""

    kernel: Path
    initramfs: Path


def kernel() -> Path | None:
    """The newest kernel for clouds, else the newest of any kind, whose modules are there; None: there is none."""

    def age(path: Path) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", path.name))

    there = [path for path in Path("/boot").glob("vmlinuz-*") if (modules_of(path) / "modules.dep").exists()]
    return max(there, key=lambda path: ("-cloud-" in path.name, age(path)), default=None)


def modules_of(path: Path) -> Path:
    return Path("/lib/modules") / path.name.removeprefix("vmlinuz-")


def module_files(directory: Path) -> list[Path]:
    """The files of MODULES and of all that they depend on, in the order in which they can be loaded."""
    needs: dict[str, tuple[str, list[str]]] = {}
    for line in (directory / "modules.dep").read_text().splitlines():
        name, _, others = line.partition(":")
        needs[plain(name)] = (name, others.split())
    built_in = {plain(name) for name in (directory / "modules.builtin").read_text().splitlines()}
    files: list[Path] = []

    def add(name: str) -> None:
        if name in built_in:
            return
        path, others = needs[name]
        for other in reversed(others):  # modules.dep names what is needed first last
            add(plain(other))
        if directory / path not in files:
            files.append(directory / path)

    for name in MODULES:
        add(name)
    return files


def plain(path: str) -> str:
    """kernel/drivers/acpi/button.ko.xz → button"""
    return path.rsplit("/", 1)[-1].split(".", 1)[0].replace("-", "_")


def unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dc", path], capture_output=True, check=True, timeout=30).stdout
    return data


def archive(files: dict[str, bytes]) -> bytes:
    """A cpio archive as the kernel reads it. Source: the kernel's Documentation/driver-api/early-userspace/buffer-format."""

    def entry(number: int, name: str, mode: int, data: bytes = b"") -> bytes:
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)

    folders = {str(parent) for name in files for parent in Path(name).parents if str(parent) != "."}
    parts = [entry(number, name, 0o040755) for number, name in enumerate(sorted(folders), 1)]
    parts += [entry(1000 + number, name, 0o100755, data) for number, (name, data) in enumerate(files.items())]
    return b"".join([*parts, entry(0, "TRAILER!!!", 0)])


@functools.cache
def build() -> Image:
    """The image, built unless it is there. Raises CalledProcessError with the compiler's words in its output."""
    vmlinuz = kernel()
    if vmlinuz is None:
        raise FileNotFoundError("no kernel with its modules in /boot")
    parts = (
        SOURCE.read_bytes(),
        Path(__file__).read_bytes(),
        vmlinuz.name.encode(),
        b"%d" % vmlinuz.stat().st_mtime_ns,
    )
    home = BUILD / f"guest-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:16]}"
    image = Image(home / "vmlinuz", home / "initramfs.gz")
    if home.is_dir():
        return image
    BUILD.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=BUILD, prefix="tmp-"))
    try:
        command = [*COMPILE, "-o", work / "init", SOURCE, "-lm", "-pthread"]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        files = {"init": (work / "init").read_bytes()}
        for number, path in enumerate(module_files(modules_of(vmlinuz))):
            files[f"modules/{number:02d}.ko"] = unpacked(path)
        (work / "initramfs.gz").write_bytes(gzip.compress(archive(files), 1))
        shutil.copyfile(vmlinuz, work / "vmlinuz")
        try:
            os.rename(work, home)  # noqa: PTH104 - it fails where another run was quicker
        except OSError:
            if not home.is_dir():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return image
