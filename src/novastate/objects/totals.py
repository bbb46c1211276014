"""What a flavor comes to on its host.

Rules of this file (Nova's ``ResourceRequest``, nova/scheduler/utils.py):

1. Disk is root, ephemeral and swap, the last rounded up to whole GiB. The root of a volume-backed guest is not on its host.
2. Extra specs ``resources:CLASS`` stand instead of what the flavor's own fields say; zero is none.
3. Dedicated CPUs are PCPU, the others VCPU; isolated emulator threads take one PCPU more.
4. Memory is the flavor's: what QEMU takes beside it is the host's to reserve (``reserved_host_memory_mb``), not the guest's.
"""

import re
from collections import Counter, defaultdict

from novastate.objects.flavor import Flavor
from novastate.objects.image import ImageMeta
from novastate.objects.numa_properties import Properties

__all__ = ["disk_gb", "resources"]

_RESOURCE = re.compile(r"resources([a-zA-Z0-9_-]{1,64})?:([A-Z0-9_]+)")


def disk_gb(flavor: Flavor, *, volume_backed: bool = False) -> int:
    """GiB of local disk that a guest of *flavor* takes; a *volume_backed* one has its root elsewhere.

    >>> disk_gb(Flavor(vcpus=1, memory_mb=512, root_gb=20, ephemeral_gb=10, swap=1025))
    32
    """
    root = 0 if volume_backed else flavor.root_gb
    return root + flavor.ephemeral_gb + -(-flavor.swap // 1024)


def resources(flavor: Flavor, image: ImageMeta | None = None, *, volume_backed: bool = False) -> dict[str, int]:
    """What a guest of *flavor* and *image* takes, by placement's names: VCPU, PCPU, MEMORY_MB, DISK_GB, and what is asked by name.

    What only some hosts count (vTPM, encrypted memory, persistent memory, PCI devices) is not there. Raises
    :class:`~novastate.errors.InvalidField` for a CPU policy that is none, or a contradiction.

    >>> resources(Flavor(vcpus=4, memory_mb=512, root_gb=20, extra_specs={"hw:cpu_policy": "dedicated"}))
    {'PCPU': 4, 'MEMORY_MB': 512, 'DISK_GB': 20}
    """
    groups = defaultdict[str, dict[str, int]](dict)
    for name, text in flavor.extra_specs.items():
        if (asked := _RESOURCE.fullmatch(name)) and re.fullmatch(r"\s*\+?\d{1,18}\s*", text):
            groups[asked[1] or ""][asked[2]] = int(text)
    groups[""] |= _pinned(Properties(flavor, image))
    taken = Counter[str]()
    for group in groups.values():
        taken.update(group)
    if "VCPU" not in taken and "PCPU" not in taken:
        taken["VCPU"] = flavor.vcpus
    taken.setdefault("MEMORY_MB", flavor.memory_mb)
    taken.setdefault("DISK_GB", disk_gb(flavor, volume_backed=volume_backed))
    return {name: amount for name, amount in taken.items() if amount}


def _pinned(asked: Properties) -> dict[str, int]:
    """The CPUs of a guest that has some of its own."""
    policy, vcpus = asked.cpu_policy(), asked.flavor.vcpus
    beside = int(asked.emulator_threads_policy() == "isolate")
    asked.cpu_thread_policy()  # it takes nothing, but may be none
    if policy == "dedicated":
        return {"PCPU": vcpus + beside}
    if policy == "mixed":
        mask, realtime = asked.dedicated_mask(), asked.realtime_cpus()
        pinned = len(mask or realtime or ())
        return {"VCPU": vcpus - pinned, "PCPU": pinned + beside}
    return {}
