"""What a flavor comes to on its host.

Rules of this file (Nova's ``ResourceRequest``, nova/scheduler/utils.py):

1. Disk is root, ephemeral and swap, the last rounded up to whole GiB. The root of a volume-backed guest is not on its host.
2. Memory is the flavor's: what QEMU takes beside it is the host's to reserve (``reserved_host_memory_mb``), not the guest's.
"""

from novastate.objects.flavor import Flavor

__all__ = ["disk_gb"]


def disk_gb(flavor: Flavor, *, volume_backed: bool = False) -> int:
    """GiB of local disk that a guest of *flavor* takes; a *volume_backed* one has its root elsewhere.

    >>> disk_gb(Flavor(vcpus=1, memory_mb=512, root_gb=20, ephemeral_gb=10, swap=1025))
    32
    """
    root = 0 if volume_backed else flavor.root_gb
    return root + flavor.ephemeral_gb + -(-flavor.swap // 1024)
