"""What a guest says of itself: that it is there, runs exactly once, and that its memory and disk are what it wrote.

Rules of this file:

- The guest is the witness (guest/init.c): its heartbeats on each host's serial log. What a daemon or a driver believes is never asked.
- Whatever is not as it must be is an AssertionError that shows the end of both logs.
"""

from __future__ import annotations

import re
import time

from lab.lab import Lab, run, wait_for

#: What a kernel writes when the memory beneath it is wrong; what the guest writes when it found such a page itself.
BROKEN = re.compile(
    r"^.*(?:BAD |FAILED |Call Trace|Kernel panic|BUG:|Oops|general protection|segfault).*$", re.MULTILINE
)


def qemu_version() -> tuple[int, int, int]:
    """Of the QEMU that the lab's guests run on."""
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", run("qemu-system-x86_64", "--version"))
    assert found, "qemu-system-x86_64 --version names no version"
    return int(found[1]), int(found[2]), int(found[3])


def logs(lab: Lab, name: str) -> str:
    """The end of what the guest wrote on each host, for a message."""
    return "\n".join(f"--- {name} on {host}:\n{lab.serial(host, name)[-1500:]}" for host in lab.hosts)


def ready(lab: Lab, host: str, name: str, timeout: float = 40.0) -> None:
    """Waits until the guest has booted, filled its memory and given its first heartbeat. AssertionError: it did not."""
    wait_for(
        lambda: f"{name} is ready\n{logs(lab, name)}",
        lambda: "FAILED" in lab.serial(host, name) or lab.heartbeats(host, name),
        timeout,
    )
    assert "FAILED" not in lab.serial(host, name), logs(lab, name)


def sequence(lab: Lab, host: str, name: str) -> int:
    """The number of the last heartbeat on this host; 0: none."""
    beats = lab.heartbeats(host, name)
    return int(beats[-1]["seq"]) if beats else 0


def where(lab: Lab, name: str, timeout: float = 20.0) -> str:
    """The one host on which the guest makes progress now. AssertionError: on none of them, or on both."""
    for _ in range(2):  # around a switchover both hosts' logs grow once
        before = {host: sequence(lab, host, name) for host in lab.hosts}

        def moved(before: dict[str, int] = before) -> list[str]:
            return [host for host in lab.hosts if sequence(lab, host, name) > before[host]]

        wait_for(lambda: f"{name} makes progress\n{logs(lab, name)}", moved, timeout)
        # Time for the other host's heartbeat to show; more of it where there is a second QEMU that might give one.
        time.sleep(0.7)
        until = time.monotonic() + 5.0
        while len(on := moved()) == 1 and len(lab.qemu_pids(name)) > 1 and time.monotonic() < until:
            time.sleep(0.1)
        if len(on) == 1:
            return on[0]
    raise AssertionError(f"{name} runs on {' and on '.join(on)}\n{logs(lab, name)}")


def whole(lab: Lab, name: str, timeout: float = 60.0) -> str:
    """The host on which the guest runs, once it has checked all of its memory (and disk) anew, and found it as it wrote it.

    AssertionError: it makes no progress, runs twice, found what it never wrote, or its kernel is broken.
    """
    host = where(lab, name)
    assert host in lab.qemu_pids(name), f"{name} writes on {host}, and no QEMU there has its name"
    start = lab.heartbeats(host, name)[-1]
    goals = {"sweeps": start["sweeps"] + 2}  # one may have begun before now
    if "disk_sweeps" in start:
        goals["disk_sweeps"] = start["disk_sweeps"] + 2

    def done() -> bool:
        beats = lab.heartbeats(host, name)
        return bool(BROKEN.search(lab.serial(host, name))) or all(beats[-1][key] >= goal for key, goal in goals.items())

    wait_for(lambda: f"{name} has checked everything\n{logs(lab, name)}", done, timeout, 0.1)
    for place in lab.hosts:
        if found := BROKEN.search(lab.serial(place, name)):
            raise AssertionError(f"{name} is not whole: on {place}: {found[0]}\n{logs(lab, name)}{suspect()}")
    end = lab.heartbeats(host, name)[-1]
    assert not end["bad"], f"{name} found {end['bad']:.0f} pages that it did not write so\n{logs(lab, name)}{suspect()}"
    assert not end.get("disk_bad"), (
        f"{name} found {end['disk_bad']:.0f} blocks that it did not write so\n{logs(lab, name)}"
    )
    return host


def suspect() -> str:
    """What QEMU is known for."""
    version = qemu_version()
    known = (
        "before 8.0, known to lose guest writes in a live migration under TCG"
        if version < (8, 0, 0)
        else "not known to lose guest writes"
    )
    return f"\nQEMU is {'.'.join(map(str, version))}: {known}"
