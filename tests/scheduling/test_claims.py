"""Claims: what fits is taken once, what does not changes nothing."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.errors import ClaimFailed
from novastate.scheduling import Room, claim, needs, release, room
from scheduling_records import UUID, node, spec


def test_a_request_needs_its_flavor():
    assert needs(spec(vcpus=2, memory_mb=1024, root_gb=10, ephemeral_gb=5, swap=1025)) == Room(2, 1024, 17)


def test_a_volume_backed_server_needs_no_root_disk():
    assert needs(spec(root_gb=10, ephemeral_gb=5, is_bfv=True)).disk_gb == 5


def test_room_follows_the_ratios():
    assert room(node()) == Room(16, 4096, 40)
    assert room(node(cpu_allocation_ratio=1.0, ram_allocation_ratio=1.5, disk_allocation_ratio=2.0)) == Room(
        4, 6144, 80
    )
    assert room(node(cpu_allocation_ratio=0.0)).vcpus == 16, "0 means: Nova's initial ratio"


@pytest.mark.parametrize(
    ("wanted", "resource"),
    [(dict(vcpus=17), "VCPU"), (dict(memory_mb=4097), "MEMORY_MB"), (dict(root_gb=41), "DISK_GB")],
)
def test_what_does_not_fit_changes_nothing(wanted, resource):
    host = node()
    before = room(host)
    with pytest.raises(ClaimFailed) as error:
        claim(host, UUID, spec(**wanted))
    assert error.value.resource == resource
    assert room(host) == before
    assert host.running_vms == 0


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 2048), st.integers(0, 20)), max_size=12), st.randoms())
def test_usage_is_the_sum_of_the_claims_in_any_order(wanted, random):
    host = node()
    held = []
    for vcpus, memory_mb, root_gb in wanted:
        with contextlib.suppress(ClaimFailed):
            held.append(claim(host, UUID, spec(vcpus=vcpus, memory_mb=memory_mb, root_gb=root_gb)))
        assert host.memory_mb_used == sum(a.memory_mb for a in held) <= host.memory_mb
        assert host.vcpus_used == sum(a.vcpus for a in held) <= host.vcpus * 4
        assert host.local_gb_used == sum(a.disk_gb for a in held) <= host.local_gb
    random.shuffle(held)
    for allocation in held:
        release(host, allocation)
    assert room(host) == room(node())
    assert host.running_vms == 0
