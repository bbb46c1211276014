"""Devices that guests claim and give back."""

from __future__ import annotations

from hypothesis import given

import numa_cases as cases
from novastate.objects import InstancePCIRequest, InstancePCIRequests, PciDevice
from novastate.objects.pci_claim import claim, free, pools_of

GUEST, OTHER = (f"aaaaaaaa-0000-4000-8000-00000000000{n}" for n in range(2))
PORT = PciDevice(address="0000:05:00.0", vendor_id="8086", product_id="1520", dev_type="type-PF", status="available")
PORTS = (
    PORT,
    *(
        PciDevice(
            address=f"0000:05:10.{n}",
            vendor_id="8086",
            product_id="1520",
            dev_type="type-VF",
            status="available",
            parent_addr=PORT.address,
        )
        for n in range(2)
    ),
)


def wants(count, dev_type, guest=GUEST):
    request = InstancePCIRequest(count=count, spec=[{"dev_type": dev_type}], request_id=cases.REQUEST_IDS[0])
    return InstancePCIRequests(instance_uuid=guest, requests=[request])


def statuses(devices):
    return [device.status for device in devices]


def test_a_virtual_function_makes_its_port_unclaimable_until_the_last_one_is_back():
    one = claim(PORTS, wants(1, "type-VF"))
    assert statuses(one) == ["unclaimable", "available", "claimed"]
    assert (one[2].instance_uuid, one[2].request_id) == (GUEST, cases.REQUEST_IDS[0])
    both = claim(one, wants(1, "type-VF", OTHER))
    assert statuses(both) == ["unclaimable", "claimed", "claimed"]
    assert statuses(free(both, GUEST)) == ["unclaimable", "claimed", "available"]
    assert free(free(both, GUEST), OTHER) == PORTS


def test_a_port_makes_its_virtual_functions_unclaimable():
    taken = claim(PORTS, wants(1, "type-PF"))
    assert statuses(taken) == ["claimed", "unclaimable", "unclaimable"]
    assert claim(taken, wants(1, "type-VF", OTHER)) is None
    assert free(taken, GUEST) == PORTS


def test_a_guest_does_not_get_a_port_and_its_virtual_function():
    both = InstancePCIRequests(
        instance_uuid=GUEST, requests=[*wants(1, "type-VF").requests, *wants(1, "type-PF").requests]
    )
    assert claim(PORTS, both) is None


def test_a_request_for_either_takes_no_more_than_there_is():
    either = InstancePCIRequest(count=2, spec=[{}, {"dev_type": "type-PF"}], request_id=cases.REQUEST_IDS[0])
    assert claim(PORTS, InstancePCIRequests(instance_uuid=GUEST, requests=[either])) is None


def test_a_device_that_the_host_does_not_give_away_is_in_no_pool():
    assert pools_of(PORTS, lambda _: None) == ()
    assert [pool.count for pool in pools_of(PORTS)] == [1, 2]


def test_what_the_host_says_of_a_device_is_in_its_pool():
    (pool,) = pools_of(PORTS[1:], lambda _: {"physical_network": "red", "traits": "HW_NIC"})
    assert pool.tags == {
        "dev_type": "type-VF",
        "physical_network": "red",
        "address": PORT.address,
        "remote_managed": "false",
    }


@given(cases.devices(), cases.pci_requests(least=1))
def test_what_a_guest_gives_back_is_there_again(devices, requests):
    taken = claim(devices, InstancePCIRequests(instance_uuid=GUEST, requests=requests.requests))
    if taken is not None:
        own = [device for device in taken if device.instance_uuid == GUEST]
        if not any(spec.get("rp_uuids") for one in requests.requests for spec in one.spec):
            assert len(own) == sum(one.count for one in requests.requests)
        assert all(device.status == "claimed" for device in own)
        assert free(taken, GUEST) == tuple(devices)
