"""A guest lies on a host as the real Nova lays it: the same verdict, cells, pages and CPUs; the same PCI devices left."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

import numa_cases as cases
from nova.client import NovaError
from novastate.objects import UNSET, InstancePCIRequests, NUMAPagesTopology, NUMATopology, evolve, pci_claim
from novastate.objects.numa_fit import fit, why_not
from novastate.objects.numa_usage import free, use
from novastate.objects.pci_match import match
from novastate.objects.pci_match import why_not as pci_why_not

MANY = settings(max_examples=400, deadline=None)


def plain(record):
    """A record as JSON has it; fields that are UNSET are left out."""
    if isinstance(record, (list, tuple)):
        return [plain(one) for one in record]
    if isinstance(record, (set, frozenset)):
        return sorted(record)
    if hasattr(record, "__attrs_attrs__"):
        held = {a.name: getattr(record, a.name) for a in record.__attrs_attrs__}
        return {name: plain(value) for name, value in held.items() if value is not UNSET}
    return dict(record) if isinstance(record, dict) else record


def asked(host, guest, limits=None, pools=None, requests=None, providers=None, *, pack=False):
    return {
        "host": plain(host.cells),
        "guest": plain(guest),
        "limits": plain(limits),
        "pools": pools if pools is None else plain(pools),
        "requests": requests and plain(requests.requests),
        "providers": providers,
        "pack": pack,
    }


def lies(guest):
    """How a guest lies, in the peer's words."""
    return guest and [
        {
            "id": cell.id,
            "cpuset": sorted(cell.cpuset),
            "pcpuset": sorted(cell.pcpuset),
            "memory": cell.memory,
            "pagesize": cell.pagesize,
            "pinning": sorted([int(k), v] for k, v in (cell.cpu_pinning_raw or {}).items()) or None,
            "reserved": sorted(cell.cpuset_reserved) if cell.cpuset_reserved else None,
        }
        for cell in guest.cells
    ]


def cannot_be_claimed(peer, host, guest, novas):
    """Nova's own answer is one that it cannot claim: an isolated guest's emulator threads on a core that is partly taken."""
    if not novas or guest.cells[0].cpu_thread_policy != "isolate" or guest.emulator_threads_policy != "isolate":
        return False
    cells = [
        evolve(
            cell,
            id=place["id"],
            cpu_pinning_raw={str(cpu): pin for cpu, pin in place["pinning"] or ()},
            cpuset_reserved=place["reserved"],
            pagesize=None,
        )
        for cell, place in zip(guest.cells, novas, strict=True)
    ]
    paged = [evolve(cell, mempages=[NUMAPagesTopology(size_kb=4, total=0)]) for cell in host.cells]  # Nova needs pages
    claim = asked(evolve(host, cells=paged), evolve(guest, cells=cells)) | {"free": False}
    (answer,) = peer.ask_many("numa_usage", [[claim]])
    return isinstance(answer, NovaError) and answer.name == "CPUPinningInvalid"


@MANY
@given(cases.hosts(most=1), cases.guests(most=1), st.none() | cases.limits())
def test_one_cell_lies_as_nova_lays_it(peer, host, guest, limits):
    novas = peer.ask("numa_fit", asked(host, guest, limits))
    assert lies(fit(host, guest, limits)) == novas or cannot_be_claimed(peer, host, guest, novas)


@MANY
@given(
    cases.hosts(),
    cases.guests(),
    st.none() | cases.limits(),
    st.none() | cases.pools(),
    st.none() | cases.pci_requests(),
    cases.providers(),
)
def test_many_cells_lie_as_nova_lays_them_when_it_forgets_what_it_tried(
    peer, host, guest, limits, pools, requests, providers
):
    ours = fit(host, guest, limits, pools=pools, requests=requests, providers=providers)
    novas = peer.ask("numa_fit_forgetful", asked(host, guest, limits, pools, requests, providers))
    assert lies(ours) == novas or cannot_be_claimed(peer, host, guest, novas)
    assert bool(why_not(host, guest, limits, pools=pools, requests=requests, providers=providers)) == (ours is None)


@MANY
@given(cases.hosts(), cases.guests(most=2), cases.pools(least=4), cases.pci_requests(least=1), st.booleans())
def test_cells_are_chosen_for_their_devices_as_nova_chooses_them(peer, host, guest, pools, requests, pack):
    ours = fit(host, guest, pools=pools, requests=requests, pack=pack)
    novas = peer.ask("numa_fit_forgetful", asked(host, guest, None, pools, requests, pack=pack))
    assert lies(ours) == novas or cannot_be_claimed(peer, host, guest, novas)


@MANY
@given(cases.hosts(), cases.guests(), st.booleans())
def test_used_or_empty_cells_are_filled_first_as_nova_is_told(peer, host, guest, pack):
    novas = peer.ask("numa_fit_forgetful", asked(host, guest, pack=pack))
    assert lies(fit(host, guest, pack=pack)) == novas or cannot_be_claimed(peer, host, guest, novas)


def test_nova_refuses_a_guest_that_fits_for_what_it_tried_before(peer):
    """Nova's cells remember where they were tried, and a pair that was never judged passes for one that did not fit."""
    host, guest = cases.MISLEADING
    assert lies(fit(host, guest)) == peer.ask("numa_fit_forgetful", asked(host, guest))
    assert peer.ask("numa_fit", asked(host, guest)) is None


@MANY
@given(cases.hosts(), cases.guests(), st.none() | cases.limits())
def test_what_a_guest_takes_is_what_nova_takes(peer, host, guest, limits):
    placed = fit(host, guest, limits)
    if placed is None:
        return
    for free_it in (False, True):
        held = use(host, placed) if free_it else host
        if not all(cell.mempages for cell in held.cells):
            held = NUMATopology(cells=[cell for cell in held.cells if cell.mempages])  # Nova needs pages
        ours = (free if free_it else use)(held, placed)
        novas = peer.ask("numa_usage", {**asked(held, placed), "free": free_it})
        assert [
            {
                "id": cell.id,
                "pinned_cpus": sorted(cell.pinned_cpus),
                "memory_usage": cell.memory_usage,
                "cpu_usage": cell.cpu_usage,
                "used": [pages.used for pages in cell.mempages],
            }
            for cell in ours.cells
        ] == novas


@MANY
@given(
    cases.hosts(), cases.pools(), cases.pci_requests(least=1), st.sets(st.integers(0, 2)).map(sorted), cases.providers()
)
def test_pci_requests_leave_the_pools_that_nova_leaves(peer, host, pools, requests, ids, providers):
    cells = [cases.InstanceNUMACell(id=number, memory=1) for number in ids]
    ours = match(pools, requests, cells, host=host, providers=providers)
    question = {"host": plain(host.cells), "pools": plain(pools), "requests": plain(requests.requests)}
    novas = peer.ask("pci_apply", question | {"cells": ids, "providers": providers})
    assert (None if ours is None else plain(ours)) == novas
    assert (pci_why_not(pools, requests, cells, host=host, providers=providers) is None) == (ours is not None)


GUESTS = ["aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"]


def states(devices):
    """What a claim changes, by address as Nova's tracker sorts them."""
    names = ("address", "status", "instance_uuid", "request_id")
    return (
        None
        if devices is None
        else [
            {name: getattr(device, name) for name in names}
            for device in sorted(devices, key=lambda device: device.address)
        ]
    )


@MANY
@given(
    cases.hosts(most=2),
    cases.devices(),
    st.tuples(cases.pci_requests(least=1), cases.pci_requests(least=1)),
    st.sets(st.integers(0, 1)).map(sorted),
    st.dictionaries(st.integers(0, 20), st.sampled_from([{"physical_network": "red"}, {"live_migratable": "true"}])),
)
def test_guests_get_and_give_back_the_devices_that_nova_gives_them(peer, host, devices, wishes, ids, tags):
    cells = [cases.InstanceNUMACell(id=number, memory=1) for number in ids]
    by_address = {device.address: tags[n] for n, device in enumerate(devices) if n in tags}
    question = {"host": plain(host.cells), "cells": ids, "tags": by_address}
    for guest, wish in zip(GUESTS, wishes, strict=True):
        wanted = InstancePCIRequests(instance_uuid=guest, requests=wish.requests)
        ours = pci_claim.claim(
            devices, wanted, cells, host=host, tags=lambda device: by_address.get(device.address, {})
        )
        question |= {"devices": plain(devices), "requests": plain(wanted.requests), "guest": guest}
        (novas,) = peer.ask_many("pci_claim", [[question]])
        if isinstance(novas, NovaError):
            # It counts on virtual functions that the same request has just lost to their physical one.
            assert novas.name == "IndexError"
            assert any("type-PF" in {spec.get("dev_type") for spec in one.spec} for one in wanted.requests)
        else:
            assert states(ours) == novas
        devices = ours or devices
    for guest in GUESTS:
        question |= {"devices": plain(devices), "guest": guest}
        devices = pci_claim.free(devices, guest)
        assert states(devices) == peer.ask("pci_free", question)
    assert all(device.status == "available" for device in devices)
