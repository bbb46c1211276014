"""What a flavor comes to on its host."""

from __future__ import annotations

import pytest

from novastate.objects import Flavor
from novastate.objects.totals import disk_gb


@pytest.mark.parametrize(
    ("root", "ephemeral", "swap", "whole", "volume_backed"),
    [
        (0, 0, 0, 0, 0),
        (20, 0, 0, 20, 0),
        (20, 10, 0, 30, 10),
        (20, 10, 1, 31, 11),
        (20, 10, 1024, 31, 11),
        (20, 10, 1025, 32, 12),
    ],
)
def test_swap_is_rounded_up_and_a_root_on_a_volume_is_elsewhere(root, ephemeral, swap, whole, volume_backed):
    flavor = Flavor(vcpus=1, memory_mb=1, root_gb=root, ephemeral_gb=ephemeral, swap=swap)
    assert disk_gb(flavor) == whole
    assert disk_gb(flavor, volume_backed=True) == volume_backed
