"""What the tests of LibvirtDriver on libvirt's own test driver have in common."""

from __future__ import annotations

import time

from novastate.machines import PowerState

R, P, X, S = PowerState.RUNNING, PowerState.PAUSED, PowerState.SHUTDOWN, PowerState.SUSPENDED
NOBODY = "00000000-0000-4000-8000-000000000000"


def domain(instance, kind="test"):
    return (
        f"<domain type='{kind}'><name>{instance.uuid}</name><uuid>{instance.uuid}</uuid>"
        f"<memory unit='MiB'>{instance.flavor.memory_mb}</memory><vcpu>{instance.flavor.vcpus}</vcpu>"
        "<os><type>hvm</type></os></domain>"
    )


def wait_for(what, condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def patiently(attempt, happened):
    """``attempt(seconds)`` until *happened()*: with little time first, and where the machine stalls just then with ever more."""
    for seconds in (0.3, 3.0, 30.0):
        attempt(seconds)
        if happened():
            return
    raise AssertionError("it did not get so far")
