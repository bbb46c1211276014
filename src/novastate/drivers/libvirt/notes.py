"""What novastate notes on a host about a guest that is being moved: small files in its instances directory, each a list of paths.

Rules of this file:

1. A note is written before the files that it lists are made, and deleted after they are: whoever clears up, even after a crash and
   knowing only the guest's uuid, finds them all.
2. A note speaks of one host: its name is in the note's, for two hosts may share the directory.
3. Every function runs inside a call and takes its ``virConnect``.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum
from typing import Any, cast
from urllib.parse import quote

from attrs import frozen

from novastate.drivers.libvirt import storage
from novastate.drivers.libvirt.background import check_wanted
from novastate.drivers.libvirt.binding import libvirt

__all__ = ["Kind", "Notes"]


class Kind(Enum):
    """What a note lists."""

    #: Files by which a source finds out whether it shares the destination's storage.
    PROBES = "probes"
    #: Disks that were made here for a guest that is to come.
    MADE = "made"
    #: Disks that were made here for an earlier migration. What became of them since nobody knows: no rollback deletes them.
    LEFT = "left"
    #: Disks that are being copied elsewhere, and are of no use here once the guest has gone.
    LEAVES = "leaves"


@frozen
class Notes:
    """The notes about guest *uuid* on *host*, in *directory* there."""

    directory: str
    host: str
    uuid: str

    @property
    def probe(self) -> str:
        """The name of the probe files; the uuid can be read from it (:meth:`of_probe`)."""
        return f"novastate-probe-{self.uuid}-{quote(self.host, safe='')}"

    @classmethod
    def of_probe(cls, directory: str, host: str, probe: str) -> Notes | None:
        """The notes to which a probe of that name belongs; None if it is not one of *host*."""
        uuid = probe.removeprefix("novastate-probe-")[:36]
        notes = cls(directory, host, uuid)
        return notes if notes.probe == probe else None

    def path(self, kind: Kind) -> str:
        """Where the note of that kind lies."""
        return f"{self.directory}/novastate-{self.uuid}-{quote(self.host, safe='')}-{kind.value}.json"

    def write(self, connect: Any, kind: Kind, files: Iterable[str]) -> None:
        """Notes *files*, in the place of what was noted before: that must have been cleared."""
        check_wanted()
        path = self.path(kind)
        storage.delete(connect, path)
        _write(connect, path, json.dumps({"host": self.host, "guest": self.uuid, "files": sorted(files)}).encode())

    def read(self, connect: Any, kind: Kind) -> list[str]:
        """The files of a note; none if there is no note, or none that was written to its end."""
        try:
            held: Any = json.loads(_read(connect, self.path(kind)) or b"{}")
        except ValueError:
            return []
        files: Any = cast("dict[str, Any]", held).get("files", []) if isinstance(held, dict) else []
        return [path for path in files if isinstance(path, str)] if isinstance(files, list) else []

    def clear(self, connect: Any, *kinds: Kind) -> None:
        """Deletes the files of these notes, and then the notes."""
        for kind in kinds:
            for path in self.read(connect, kind):
                storage.delete(connect, path)
            self.drop(connect, kind)

    def retire(self, connect: Any) -> None:
        """What was noted as made is of an earlier migration from now on."""
        made = self.read(connect, Kind.MADE)
        if made:
            self.write(connect, Kind.LEFT, {*made, *self.read(connect, Kind.LEFT)})
        self.drop(connect, Kind.MADE)

    def drop(self, connect: Any, *kinds: Kind) -> None:
        """Deletes these notes, and leaves the files."""
        for kind in kinds:
            storage.delete(connect, self.path(kind))


def _write(connect: Any, path: str, data: bytes) -> None:
    """Makes the small file *path*; only root can read it."""
    directory, name = posixpath.split(path)
    storage.create(connect, path, 0, kind="raw")
    holder: Any = storage.pool(connect, directory)
    volume = holder.storageVolLookupByName(name)
    stream = connect.newStream(0)
    left = [data]
    try:
        volume.upload(stream, 0, len(data), 0)
        stream.sendAll(lambda _stream, _most, parts: parts.pop() if parts else b"", left)
        stream.finish()
    except libvirt.libvirtError:
        _end(stream)
        raise


def _read(connect: Any, path: str) -> bytes:
    """What is in the small file *path*; nothing if there is none."""
    directory, name = posixpath.split(path)
    holder = storage.pool(connect, directory)
    if holder is None or not storage.exists(connect, path):
        return b""
    stream = connect.newStream(0)
    parts: list[bytes] = []
    try:
        holder.storageVolLookupByName(name).download(stream, 0, 0, 0)
        stream.recvAll(lambda _stream, data, parts: parts.append(data), parts)
        stream.finish()
    except libvirt.libvirtError as error:
        _end(stream)
        if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL:
            return b""
        raise
    return b"".join(parts)


def _end(stream: Any) -> None:
    with suppress(libvirt.libvirtError):  # it has not begun
        stream.abort()
