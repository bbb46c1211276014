"""``make system-deps`` asks apt for the right packages from the right suite, does nothing where all is there, and survives a dead mirror.

The script runs as it is; apt, dpkg and the directory of apt's sources are this file's own.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "system-deps.sh"
DEBIAN = """\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
BACKPORTS = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm-backports
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
"""


class Machine:
    """A machine with a root user, apt, and the packages that *installed* names with their versions."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.sources = home / "etc" / "apt" / "sources.list.d"
        self.sources.mkdir(parents=True)
        self.installed: dict[str, str] = {}
        self.fails = ""  # a word of apt-get commands that fail
        self.user = 0
        self.codename = "bookworm"

    def run(self) -> tuple[int, str, list[str]]:
        """The script's status, what it said, and what it asked apt for."""
        tools, log, packages = self.home / "bin", self.home / "log", self.home / "installed"
        tools.mkdir(exist_ok=True)
        log.write_text("")
        packages.mkdir(exist_ok=True)
        for name, version in self.installed.items():
            (packages / name).write_text(f"installed {version}")
        (self.home / "etc" / "os-release").write_text(f"VERSION_CODENAME={self.codename}\n")
        for name, text in {
            "apt-get": f'echo "$*" | sed "s/.*Timeout=30 //" >>{log}; case "$*" in *{self.fails or "//"}*) exit 100;; esac',
            # dpkg-query -W -f FORMAT NAME: the format asks for the state, with or without the version
            "dpkg-query": f'read -r line 2>/dev/null <{packages}/$4 || [ "$line" ] || exit 1; case $3 in *Version*) echo "$line";; *) echo installed;; esac',
            "id": f"echo {self.user}",
        }.items():
            (tools / name).write_text(f"#!/bin/bash\n{text}\n")
            (tools / name).chmod(0o755)
        done = subprocess.run(
            [SCRIPT],
            env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "SYSTEM_DEPS_ETC": str(self.home / "etc")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr, log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


BASE = "install --no-install-recommends python3 python3-venv python3-dev gcc libc6-dev make git ca-certificates"
LAB = "install --no-install-recommends pkg-config iproute2 iptables util-linux linux-image-cloud-amd64"
VIRT = "qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-clients libvirt-dev"


def everything(machine):
    machine.installed = dict.fromkeys((*BASE.split()[2:], *LAB.split()[2:]), "1")
    machine.installed |= {name: "1:10.0.2" if "qemu" in name else "11.3.0" for name in VIRT.split()}


def test_debian_12_takes_qemu_and_libvirt_from_the_backports_of_its_own_mirror(machine):
    (machine.sources / "debian.sources").write_text(DEBIAN)
    status, said, asked = machine.run()
    assert (status, asked) == (
        0,
        ["update", BASE, LAB, f"install --no-install-recommends -t bookworm-backports {VIRT}"],
    ), said
    assert (machine.sources / "novastate-backports.sources").read_text() == BACKPORTS


def test_a_one_line_source_is_repeated_as_well(machine):
    (machine.sources.parent / "sources.list").write_text(
        "# deb http://old.example/debian bookworm main\n"
        "deb-src http://mirror.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/a/key.gpg] http://mirror.example/debian bookworm main contrib\n"
    )
    machine.run()
    written = (machine.sources / "novastate-backports.list").read_text()
    assert (
        written
        == "deb [arch=amd64 signed-by=/a/key.gpg] http://mirror.example/debian bookworm-backports main contrib\n"
    )


def test_a_source_of_backports_that_is_there_is_not_repeated(machine):
    (machine.sources / "debian.sources").write_text(DEBIAN)
    (machine.sources / "mine.list").write_text("deb http://other.example/debian bookworm-backports main\n")
    machine.run()
    assert sorted(path.name for path in machine.sources.iterdir()) == ["debian.sources", "mine.list"]


def test_a_newer_debian_needs_no_backports(machine):
    machine.codename = "trixie"
    status, _, asked = machine.run()
    assert (status, asked) == (0, ["update", BASE, LAB, f"install --no-install-recommends {VIRT}"])
    assert list(machine.sources.iterdir()) == []


def test_with_everything_there_nothing_is_asked(machine):
    everything(machine)
    assert machine.run() == (0, "system-deps: everything is installed\n", [])


def test_a_qemu_that_loses_guest_writes_is_not_enough(machine):
    (machine.sources / "debian.sources").write_text(DEBIAN)
    everything(machine)
    machine.installed["qemu-system-x86"] = "1:7.2+dfsg-7+deb12u18"
    _, _, asked = machine.run()
    assert asked == ["update", "install --no-install-recommends -t bookworm-backports qemu-system-x86"]


def test_a_mirror_that_is_down_is_named_and_the_rest_goes_on(machine):
    (machine.sources / "debian.sources").write_text(DEBIAN)
    machine.fails = "update"
    status, said, asked = machine.run()
    assert status == 1
    assert "system-deps: apt-get update failed: the mirror is down" in said
    assert len(asked) == 4
    assert [path.name for path in machine.sources.iterdir()] == [
        "debian.sources"
    ]  # no source that breaks later updates


def test_packages_of_the_lab_that_cannot_be_had_do_not_keep_back_the_others(machine):
    machine.fails = "qemu"
    status, said, asked = machine.run()
    assert (status, asked[1]) == (1, BASE)
    assert "not installed, needed by the lab; without it make test leaves the lab out and says so: " in said


def test_without_root_it_says_what_root_would_install(machine):
    machine.user = 1000
    status, said, asked = machine.run()
    assert (status, asked) == (0, [])
    assert "not root; to be installed as root: python3 " in said
