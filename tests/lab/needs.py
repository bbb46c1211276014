"""What the lab needs of a machine, and what of it is missing here.

Rules of this file:

- Nothing but the standard library is imported: `no_lab` is asked where nothing of the rest may be there.
- A reason says what is missing and how to get it.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess

from lab import image

PROGRAMS = {
    "libvirtd": "libvirt-daemon-system",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "gcc": "gcc",
    "ip": "iproute2",
    "tc": "iproute2",
    "iptables": "iptables",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
#: Debian 12's own 7.2 loses what a guest writes during a live migration under TCG; newer ones were never seen to.
OLDEST_QEMU = (8, 0)
HOW = "make system-deps, as root, installs it"
#: All that keeper.py and lab.py do with namespaces.
NAMESPACES = (
    "mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount --bind /tmp /mnt && mount -t tmpfs tmpfs /mnt && hostname lab"
    " && ip link add a0 type veth peer name b0 && ip link set a0 up && tc qdisc add dev a0 root tbf rate 1mbit burst 128k latency 100ms"
    " && iptables -A INPUT -i a0 -p tcp -j REJECT --reject-with tcp-reset"
)


def qemu_version(text: str) -> tuple[int, int]:
    """The version in what ``qemu-system-x86_64 --version`` writes; (0, 0): there is none in it."""
    found = re.search(r"version (\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def too_old(text: str) -> str:
    """Why this QEMU is not used, or ""."""
    version = qemu_version(text)
    if version >= OLDEST_QEMU:
        return ""
    return (
        f"QEMU {version[0]}.{version[1]} is too old: before {OLDEST_QEMU[0]}.{OLDEST_QEMU[1]} it loses what a guest writes during a "
        "live migration under TCG, so no test of it could be trusted; Debian 12 has a newer one in bookworm-backports (make system-deps)"
    )


def _run(*command: str) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, f"no end within 30 s: {command[0]}"
    return done.returncode, done.stdout.decode(errors="replace").strip()


@functools.cache
def no_lab() -> str:
    """Why the lab cannot run here, or ""."""
    if os.geteuid() != 0:
        return "not root: namespaces and libvirt daemons of one's own need it"
    if absent := sorted(name for name in PROGRAMS if shutil.which(name) is None):
        packages = " ".join(sorted({PROGRAMS[name] for name in absent}))
        return f"not installed: {', '.join(absent)} (Debian: {packages}; {HOW})"
    if image.kernel() is None:
        return f"no kernel with its modules in /boot and /lib/modules (Debian: linux-image-cloud-amd64; {HOW})"
    if importlib.util.find_spec("libvirt") is None:
        return "libvirt-python is not installed: pip install 'novastate[libvirt]' (it needs libvirt-dev, pkg-config and gcc), or make setup"
    if reason := too_old(_run("qemu-system-x86_64", "--version")[1]):
        return reason
    status, said = _run(
        "unshare", "--mount", "--uts", "--net", "--pid", "--fork", "--kill-child=KILL", "sh", "-ec", NAMESPACES
    )
    return f"namespaces of one's own are not permitted here: {said[-300:] or status}" if status else ""
