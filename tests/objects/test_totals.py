"""What a flavor comes to on its host."""

from __future__ import annotations

import pytest

from novastate.objects import Flavor
from novastate.objects.totals import disk_gb, resources


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


@pytest.mark.parametrize(
    ("specs", "taken"),
    [
        ({}, {"VCPU": 4, "MEMORY_MB": 1024, "DISK_GB": 20}),
        ({"hw:cpu_policy": "dedicated"}, {"PCPU": 4, "MEMORY_MB": 1024, "DISK_GB": 20}),
        (
            {"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "isolate"},
            {"PCPU": 5, "MEMORY_MB": 1024, "DISK_GB": 20},
        ),
        (
            {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0"},
            {"VCPU": 3, "PCPU": 1, "MEMORY_MB": 1024, "DISK_GB": 20},
        ),
        ({"resources:DISK_GB": "0", "resources:VCPU": "1"}, {"VCPU": 1, "MEMORY_MB": 1024}),
        ({"resources1:VGPU": "1", "resources2:VGPU": "1"}, {"VGPU": 2, "VCPU": 4, "MEMORY_MB": 1024, "DISK_GB": 20}),
    ],
)
def test_a_guest_takes_what_its_flavor_says(specs, taken):
    assert resources(Flavor(vcpus=4, memory_mb=1024, root_gb=20, extra_specs=specs)) == taken
