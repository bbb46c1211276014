"""Writes src/novastate/objects/nova/release_table.py: which versions of its objects each release of Nova spoke.

    .venv/bin/python tools/nova_versions.py [DIRECTORY]

Each release's wheel is fetched with pip from the package index into DIRECTORY (kept there; by default a temporary one) and
read, not run: the VERSION of each class that is registered as an object. Only differences from the release after are written.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from novastate.objects.nova.versions import CURRENT

TARGET = Path(__file__).parent.parent / "src/novastate/objects/nova/release_table.py"

#: Number of a release: its name.
RELEASES = {
    34: "2026.2",
    33: "2026.1",
    32: "2025.2",
    31: "2025.1",
    30: "2024.2",
    29: "2024.1",
    28: "2023.2",
    27: "2023.1",
    26: "zed",
    25: "yoga",
    24: "xena",
}

HEAD = '''"""The versions that each release of Nova spoke, from 34 back to 24: written by tools/nova_versions.py.

A row holds what differs from the release after it, the newest from :data:`~novastate.objects.nova.versions.CURRENT`;
None where the release did not have the object yet. Objects that are gone from Nova are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["NUMBERS", "RELEASES"]

'''


def wheel(number: int, directory: Path) -> Path:
    """The wheel of the newest point release of *number*, fetched where it is not in *directory* yet."""
    if not list(directory.glob(f"nova-{number}.*.whl")):
        fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*fetch, f"nova=={number}.*", "-d", str(directory)], check=True, timeout=300)  # noqa: S603
    return max(directory.glob(f"nova-{number}.*.whl"))


def classes(archive: zipfile.ZipFile) -> Iterator[ast.ClassDef]:
    """The classes of nova/objects that are registered as objects."""
    for name in archive.namelist():
        if re.fullmatch(r"nova/objects/\w+\.py", name):
            for node in ast.parse(archive.read(name)).body:
                if isinstance(node, ast.ClassDef) and any(
                    ast.unparse(mark).endswith("NovaObjectRegistry.register") for mark in node.decorator_list
                ):
                    yield node


def spoken(path: Path) -> dict[str, str]:
    """Object: version, of the release in the wheel at *path*."""
    with zipfile.ZipFile(path) as archive:
        found = list(classes(archive))
    versions: dict[str, str] = {}
    for node in found:
        for line in node.body:
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "VERSION":
                versions[node.name] = ast.literal_eval(line.value)
    for node in found:  # a class that says nothing has its base's version
        if node.name not in versions:
            versions[node.name] = next(
                versions[ast.unparse(base)] for base in node.bases if ast.unparse(base) in versions
            )
    return versions


def rows(directory: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Each release, newest first, with what differs from the one after it."""
    after: dict[str, str] = dict(CURRENT)
    for number in RELEASES:
        of_release = spoken(wheel(number, directory))
        if number == max(RELEASES) and of_release != after:
            sys.exit(
                f"nova {number} speaks other versions than CURRENT: {set(of_release.items()) ^ set(after.items())}"
            )
        now = {name: of_release[name] for name in CURRENT if name in of_release}
        yield number, {name: now.get(name) for name in CURRENT if now.get(name) != after.get(name)}
        after = now


def main(directory: Path) -> None:
    """Writes the file."""
    text = [HEAD, "#: Release, newest first: what differs from the release after it.\n"]
    text.append("RELEASES: Final[Mapping[str, Mapping[str, str | None]]] = MappingProxyType({\n")
    text.extend(f"    {RELEASES[number]!r}: {row!r},\n" for number, row in rows(directory))
    text.append("})\n\n#: The number of a release: its name.\n")
    text.append("NUMBERS: Final[Mapping[str, str]] = MappingProxyType({\n")
    text.extend(f"    {str(number)!r}: {name!r},\n" for number, name in RELEASES.items())
    text.append("})\n")
    TARGET.write_text("".join(text), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", str(TARGET)], check=True)  # noqa: S603


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
