"""PCI requests on pools of devices: what matches, what is left, and why a request is not met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import numa_cases as cases
from novastate.objects import (
    InstanceNUMACell,
    InstancePCIRequest,
    InstancePCIRequests,
    NUMACell,
    NUMATopology,
    PciDevicePool,
)
from novastate.objects.pci_match import match, why_not

UUID = cases.REQUEST_IDS[0]


def pool(count=2, node=None, **tags):
    return PciDevicePool(vendor_id="8086", product_id="10ed", numa_node=node, count=count, tags=tags)


def wants(count=1, policy=None, alias="nic", *specs, **spec):
    specs = specs or ({"vendor_id": "8086"} | spec,)
    return InstancePCIRequests(
        requests=[
            InstancePCIRequest(count=count, numa_policy=policy, alias_name=alias, request_id=UUID, spec=list(specs))
        ]
    )


def counts(found):
    return found if found is None else [one.count for one in found]


@given(cases.hosts(), cases.pools(), cases.pci_requests(), cases.providers())
def test_devices_are_neither_made_nor_lost(host, pools, requests, providers):
    found = match(pools, requests, host=host, providers=providers)
    if (
        found is not None
        and not providers
        and not any(spec.get("rp_uuids") for r in requests.requests for spec in r.spec)
    ):
        wanted = sum(one.count for one in requests.requests)
        assert sum(one.count for one in found) == sum(one.count for one in pools) - wanted
        assert all(one.count > 0 for one in found)


@given(cases.hosts(), cases.pools(), cases.pci_requests(), st.sets(st.integers(0, 2)))
def test_there_is_a_reason_where_there_is_no_match(host, pools, requests, ids):
    cells = [InstanceNUMACell(id=number, memory=1) for number in ids]
    assert (why_not(pools, requests, cells, host=host) is None) == (
        match(pools, requests, cells, host=host) is not None
    )


@pytest.mark.parametrize(
    ("spec", "left"),
    [
        ({"vendor_id": "8086"}, [1]),
        ({"vendor_id": "8086", "product_id": "10ED"}, [1]),
        ({"vendor_id": "8086", "product_id": "10ee"}, None),
        ({"physical_network": "RED"}, [1]),
        ({"physical_network": "blue"}, None),
        ({"trusted": "true"}, None),  # a tag that the pool does not have
        ({"resource_class": "CUSTOM_NIC", "traits": "HW_NIC"}, [1]),  # placement's
        ({}, [1]),
    ],
)
def test_a_spec_matches_properties_and_tags(spec, left):
    pools = [pool(physical_network="red", dev_type="type-VF")]
    assert counts(match(pools, wants(1, None, "nic", spec))) == left


def test_any_spec_of_a_request_will_do():
    assert counts(match([pool()], wants(1, None, "nic", {"vendor_id": "10de"}, {"vendor_id": "8086"}))) == [1]


@pytest.mark.parametrize(
    ("tags", "spec", "met"),
    [
        ({"dev_type": "type-PF"}, {}, False),
        ({"dev_type": "type-PF"}, {"dev_type": "type-PF"}, True),
        ({"dev_type": "type-VF"}, {"dev_type": "type-PF"}, False),
        ({"dev_type": "vdpa"}, {}, False),
        ({"dev_type": "vdpa"}, {"dev_type": "vdpa"}, True),
        ({"remote_managed": "Yes"}, {}, False),
        ({"remote_managed": "true"}, {"remote_managed": "true"}, True),
        ({"remote_managed": "false"}, {}, True),
        ({"live_migratable": "true"}, {}, True),
        ({"live_migratable": "true"}, {"live_migratable": "true"}, True),
        ({"live_migratable": "true"}, {"live_migratable": "false"}, False),
        ({}, {"live_migratable": "true"}, False),
    ],
)
def test_special_devices_are_kept_for_who_asks(tags, spec, met):
    assert (match([pool(**tags)], wants(**spec)) is not None) == met


# Cells 0 and 1 are on one socket, cell 2 on another.
HOST = NUMATopology(cells=[NUMACell(id=n, memory=1, socket=n // 2) for n in range(3)])


@pytest.mark.parametrize(
    ("policy", "count", "taken"),
    [
        ("required", 1, [1, 0, 0, 0]),
        ("required", 3, None),
        ("legacy", 2, [2, 0, 0, 0]),
        ("legacy", 3, [2, 1, 0, 0]),  # and of no cell
        (None, 3, [2, 1, 0, 0]),
        ("legacy", 5, None),
        ("socket", 2, [2, 0, 0, 0]),
        ("socket", 3, [2, 0, 1, 0]),  # and of the socket
        ("socket", 5, None),
        ("preferred", 2, [2, 0, 0, 0]),
        ("preferred", 4, [2, 2, 0, 0]),
        ("preferred", 5, [2, 2, 1, 0]),
        ("preferred", 8, [2, 2, 2, 2]),
        ("preferred", 9, None),
    ],
)
def test_numa_policies_go_out_from_the_cells_of_the_guest(policy, count, taken):
    pools = [pool(node=0, a="0"), pool(a="1"), pool(node=1, a="2"), pool(node=2, a="3")]
    found = match(pools, wants(count, policy), [InstanceNUMACell(id=0, memory=1)], host=HOST)
    if taken is None:
        assert found is None
    else:
        left = {one.tags["a"]: one.count for one in found}
        assert [2 - left.get(str(n), 0) for n in range(4)] == taken


def test_a_host_that_does_not_tell_its_sockets_has_no_devices_on_them():
    host = NUMATopology(cells=[NUMACell(id=0, memory=1), NUMACell(id=1, memory=1)])
    assert match([pool(node=1)], wants(1, "socket"), [InstanceNUMACell(id=0, memory=1)], host=host) is None


def test_plainer_pools_are_used_first():
    assert [sorted(one.tags) for one in match([pool(1, a="1"), pool(1)], wants())] == [["a"]]


def test_requests_are_met_out_of_what_the_ones_before_have_left():
    two = InstancePCIRequests(requests=[*wants().requests, *wants(2).requests])
    assert match([pool(2)], two) is None
    assert match([pool(3)], two) == ()


PLACED = [pool(2, rp_uuid="rp-a"), pool(2, rp_uuid="rp-b"), pool(2)]


@pytest.mark.parametrize(
    ("given_", "count", "left"),
    [
        ("rp-b", 1, {"rp-a": 2, "rp-b": 1, None: 2}),
        ("rp-a,rp-b", 2, {"rp-a": 1, "rp-b": 1, None: 2}),
        ("rp-a,rp-a", 2, {"rp-b": 2, None: 2}),
        ("rp-c", 1, None),
        ("rp-a,rp-a,rp-a", 3, None),
    ],
)
def test_what_placement_gave_is_what_is_taken(given_, count, left):
    named = match(PLACED, wants(count, rp_uuids=given_))
    told = match(PLACED, wants(count), providers={f"{UUID}-{n}": [rp] for n, rp in enumerate(given_.split(","))})
    for found in (named, told):
        assert (found and {one.tags.get("rp_uuid"): one.count for one in found}) == left


def test_a_port_is_not_in_placement():
    assert match(PLACED, wants(1, alias=None, rp_uuids="rp-c")) is not None


def test_a_provider_with_two_pools_cannot_be_followed():
    said = why_not([pool(rp_uuid="rp-a", a="1"), pool(rp_uuid="rp-a")], wants(rp_uuids="rp-a"))
    assert said == "PCI request nic: provider rp-a has more than one pool"


@pytest.mark.parametrize(
    ("pools", "request_", "why"),
    [
        ([], wants(), "PCI request nic: 1 devices needed, there are 0"),
        ([pool(count=2)], wants(count=3), "3 devices needed, there are 2"),
        ([pool(dev_type="type-PF")], wants(), "1 devices needed, 0 left of 2: the others are physical functions"),
        ([pool(dev_type="vdpa")], wants(), "the others are vDPA devices"),
        ([pool(remote_managed="true")], wants(), "the others are remote-managed"),
        ([pool()], wants(rp_uuids="rp-a"), "the others are not what placement gave"),
        ([pool(live_migratable="false")], wants(live_migratable="true"), "the others do not match"),
        ([pool(node=1)], wants(policy="required"), "2 devices"),
    ],
)
def test_a_reason_names_the_request_and_the_filter(pools, request_, why):
    if why == "2 devices":
        said = why_not(pools, request_, [InstanceNUMACell(id=0, memory=1)])
        assert said.endswith("1 devices needed, 0 left of 2: the others are on the wrong NUMA cell")
    else:
        assert why in why_not(pools, request_)
