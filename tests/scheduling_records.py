"""Hosts and requests to schedule."""

from __future__ import annotations

from novastate.objects import ComputeNode, Flavor, RequestSpec

UUID = "11111111-2222-3333-4444-555555555555"


def node(host="alpha", *, vcpus=4, memory_mb=4096, disk_gb=40, **kw):
    base = {"vcpus_used": 0, "memory_mb_used": 0, "local_gb_used": 0, "running_vms": 0}
    return ComputeNode(
        host=host, hypervisor_hostname=host, hypervisor_type="q", hypervisor_version=1, cpu_info="",
        vcpus=vcpus, memory_mb=memory_mb, local_gb=disk_gb, **(base | kw),
    )  # fmt: skip


def spec(*, vcpus=1, memory_mb=512, root_gb=1, ephemeral_gb=0, swap=0, is_bfv=False, **kw):
    flavor = Flavor(
        id=1, flavorid="1", name="f", vcpus=vcpus, memory_mb=memory_mb, root_gb=root_gb,
        ephemeral_gb=ephemeral_gb, swap=swap, extra_specs={},
    )  # fmt: skip
    return RequestSpec(instance_uuid=UUID, flavor=flavor, num_instances=1, is_bfv=is_bfv, **kw)
