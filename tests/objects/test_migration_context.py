"""Applying, reverting and dropping what a move changes in an instance."""

from __future__ import annotations

import pytest

from novastate.errors import InvalidField
from novastate.objects import (
    UNSET,
    InstanceNUMACell,
    InstanceNUMATopology,
    InstancePCIRequest,
    InstancePCIRequests,
    MigrationContext,
    PciDevice,
    Resource,
)
from novastate.objects.migration_context import MOVED, apply, drop, pci_mapping, revert
from object_records import UUID, instance

GPU = dict(vendor_id="10de", product_id="1eb8", dev_type="type-PCI", status="claimed")


def device(address, request):
    return PciDevice(address=address, request_id=request, **GPU)


def side(number):
    """What an instance has on one side of its move."""
    return {
        "numa_topology": InstanceNUMATopology(cells=[InstanceNUMACell(id=number, cpuset={0}, memory=1)]),
        "pci_requests": InstancePCIRequests(requests=[InstancePCIRequest(count=number)]),
        "pci_devices": (device(f"0000:0{number}:00.0", "a"), device(f"0000:0{number}:00.1", "b")),
        "resources": (
            Resource(provider_uuid=UUID, resource_class="CUSTOM_PMEM_NAMESPACE_4GB", identifier=str(number)),
        ),
    }


def context(**fields):
    old = {f"old_{name}": held for name, held in side(1).items()}
    new = {f"new_{name}": held for name, held in side(2).items()}
    return MigrationContext(instance_uuid=UUID, migration_id=1, **old | new | fields)


def moved(server):
    return {name: getattr(server, name) for name in MOVED}


def test_what_is_applied_is_the_new_side_and_what_is_reverted_the_old_one():
    server = instance(migration_context=context())
    assert apply(server)
    assert moved(server) == side(2)
    assert revert(server)
    assert moved(server) == side(1)


def test_applying_twice_is_applying_once():
    server = instance(migration_context=context())
    apply(server)
    once = moved(server)
    apply(server)
    assert moved(server) == once


@pytest.mark.parametrize("name", MOVED)
@pytest.mark.parametrize("held", [None, UNSET])
def test_what_the_context_does_not_have_is_none(name, held):
    server = instance(migration_context=context(**{f"new_{name}": held}), **side(1))
    apply(server)
    assert moved(server) == side(2) | {name: None}


@pytest.mark.parametrize("step", [apply, revert])
def test_an_instance_on_no_move_is_left_alone(step):
    server = instance(migration_context=None, **side(1))
    assert not step(server)
    assert moved(server) == side(1)


@pytest.mark.parametrize("step", [apply, revert, drop])
def test_a_context_that_was_never_loaded_is_not_taken_for_none(step):
    server = instance(**side(1))
    with pytest.raises(InvalidField, match=r"instance\.migration_context: was never loaded"):
        step(server)
    assert moved(server) == side(1)


def test_a_dropped_context_is_none_and_stays_so():
    server = instance(migration_context=context(), **side(1))
    drop(server)
    drop(server)
    assert server.migration_context is None
    assert moved(server) == side(1)


def test_devices_are_matched_by_their_request():
    old, new = side(1)["pci_devices"], side(2)["pci_devices"]
    swapped = context(new_pci_devices=new[::-1])
    assert pci_mapping(swapped) == {old[0].address: new[0], old[1].address: new[1]}
    assert pci_mapping(swapped, revert=True) == {new[0].address: old[0], new[1].address: old[1]}
    assert pci_mapping(context(old_pci_devices=None)) == {}


@pytest.mark.parametrize("step", [apply, revert])
def test_a_step_without_a_context_says_that_it_did_nothing(step):
    assert step(instance(migration_context=None)) is False
