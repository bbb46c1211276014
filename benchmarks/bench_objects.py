"""Objects on Nova's wire, beside Nova's own on oslo.versionedobjects

    make bench-objects            (build/nova-venv/bin/python benchmarks/bench_objects.py --write)

Both sides in one process, in turn, round after round; garbage collection stays on, but passes over the modules of both. A figure is
the median of the rounds, a ratio the median of the rounds' ratios. The primitives are Nova's own (tests/objects/data/nova_primitives).
It needs the real Nova beside novastate, so it runs with the Python that has it (`make nova-venv`).
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import site
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
# novastate as `make build` has installed it, kernels and all, and what it needs; Nova's own packages go before.
for _packages in (HERE.parent / ".venv" / "lib").glob(
    f"python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
):
    site.addsitedir(str(_packages))

PRIMITIVES = HERE.parent / "tests" / "objects" / "data" / "nova_primitives"
ROUNDS, SAMPLE = 11, 0.02
#: Times as fast as oslo.versionedobjects, at least.
TARGETS = {"dump": 30, "load": 15}
#: Milliseconds for a thousand instances, at most.
THOUSAND = 20


def primitive(name):
    return json.loads((PRIMITIVES / f"{name}.json").read_text())


def envelope(name, version, **data):
    return {
        "nova_object.name": name,
        "nova_object.namespace": "nova",
        "nova_object.version": version,
        "nova_object.data": data,
    }


def compute_node():
    """A host of two NUMA nodes, as its resource tracker reports it."""
    when = "2026-08-05T04:00:00Z"
    specs = [envelope("HVSpec", "1.2", arch="x86_64", hv_type=kind, vm_mode="hvm") for kind in ("kvm", "qemu")]
    pool = envelope(
        "PciDevicePool", "1.1", product_id="1eb8", vendor_id="10de", numa_node=0, count=2, tags={"dev_type": "type-PCI"}
    )
    cells = [
        envelope(
            "NUMACell", "1.5", id=node, cpuset=list(range(node * 16, node * 16 + 16)), pcpuset=[], memory=131072, cpu_usage=8,
            memory_usage=16384, pinned_cpus=[], siblings=[[n, n + 1] for n in range(node * 16, node * 16 + 16, 2)],
            mempages=[envelope("NUMAPagesTopology", "1.1", size_kb=4, total=33554432, used=0, reserved=0)], socket=node,
            network_metadata=envelope("NetworkMetadata", "1.0", physnets=[], tunneled=False),
        )
        for node in range(2)
    ]  # fmt: skip
    return envelope(
        "ComputeNode", "1.19", id=1, uuid="0000aaaa-0001-4001-8001-00000000f779", service_id=None, host="cmp-a",
        hypervisor_hostname="cmp-a.dc1", vcpus=32, memory_mb=262144, local_gb=1800, vcpus_used=16, memory_mb_used=33280,
        local_gb_used=80, free_ram_mb=228864, free_disk_gb=1720, current_workload=0, running_vms=4, hypervisor_type="QEMU",
        hypervisor_version=8002002, cpu_info='{"arch": "x86_64", "model": "EPYC-Milan"}', disk_available_least=1600,
        metrics="[]", stats={"failed_builds": "0", "num_instances": "4"}, host_ip="192.0.2.13", supported_hv_specs=specs,
        numa_topology=json.dumps(envelope("NUMATopology", "1.2", cells=cells)), cpu_allocation_ratio=4.0,
        pci_device_pools=envelope("PciDevicePoolList", "1.1", objects=[pool]), ram_allocation_ratio=1.0,
        disk_allocation_ratio=1.0, mapped=1, deleted=False, deleted_at=None, created_at=when, updated_at=when,
    )  # fmt: skip


def cases():
    """Primitives by what they are; those that Nova's own do not cover are put together of them."""
    active, context = primitive("instance_active"), primitive("migration_context")
    topology = context["nova_object.data"]["new_numa_topology"]
    moved, asked = copy.deepcopy(active), primitive("request_spec_simple")
    moved["nova_object.data"] |= {"migration_context": context, "numa_topology": topology}
    with_numa = copy.deepcopy(asked)
    with_numa["nova_object.data"]["numa_topology"] = topology
    live = primitive("backport_libvirt_live_migrate_data_to_1_9") | {"nova_object.version": "1.14"}
    return {
        "Instance, active": active,
        "Instance, NUMA and migration context": moved,
        "Migration": primitive("migration_lm_running"),
        "RequestSpec": asked,
        "RequestSpec, NUMA": with_numa,
        "Flavor": primitive("flavor_extra_specs"),
        "LibvirtLiveMigrateData": live,
        "ComputeNode": compute_node(),
    }


# --- timing


def times(functions):
    """Per function the seconds of one call in each round, all functions in turn."""
    loops = []
    for function in functions:
        function()  # what is made once, is
        began = time.perf_counter()
        function()
        loops.append(max(1, int(SAMPLE / max(time.perf_counter() - began, 1e-7))))
    found = [[] for _ in functions]
    gc.collect()
    gc.freeze()  # the collector passes over the modules of both, not over what is timed
    for _ in range(ROUNDS):
        for function, count, into in zip(functions, loops, found, strict=True):
            gc.collect()
            began = time.perf_counter()
            for _ in range(count):
                function()
            into.append((time.perf_counter() - began) / count)
    return found


def compared(ours, theirs):
    """Medians of both, and of the ratio theirs to ours."""
    a, b = times([ours, theirs])
    return statistics.median(a), statistics.median(b), statistics.median(y / x for x, y in zip(a, b, strict=True))


def row(what, operation, found, target):
    a, b, ratio = found
    mark = "" if not target else f"{target}×" + ("" if ratio >= target else " **missed**")
    return f"| {what} | {operation} | {a * 1e6:.1f} | {b * 1e6:.1f} | {ratio:.1f}× | {mark} |"


HEAD = """\
| object | operation | novastate, µs | Nova, µs | ratio | target |
|---|---|---:|---:|---:|---|"""


def sides(held):
    """What is timed for a primitive: the name of an operation, and both who do it."""
    from nova.objects.base import NovaObject
    from oslo_serialization import jsonutils

    from novastate.objects import nova

    ours, theirs = nova.load(held), NovaObject.obj_from_primitive(held)
    text = jsonutils.dump_as_bytes(held)
    return {
        "dump": (lambda: nova.dump(ours), theirs.obj_to_primitive),
        "load": (lambda: nova.load(held), lambda: NovaObject.obj_from_primitive(held)),
        "dump to bytes": (lambda: nova.dumps(ours), lambda: jsonutils.dump_as_bytes(theirs.obj_to_primitive())),
        "load from bytes": (lambda: nova.loads(text), lambda: NovaObject.obj_from_primitive(jsonutils.loads(text))),
    }


def wire():
    lines = [HEAD]
    for what, held in cases().items():
        lines += [row(what, name, compared(*pair), TARGETS.get(name)) for name, pair in sides(held).items()]
    return "\n".join(lines)


def thousand():
    """An InstanceList of a thousand active instances, none of which shares a part with another."""
    held = envelope("InstanceList", "2.6", objects=[primitive("instance_active") for _ in range(1000)])
    lines = ["| 1000 instances | novastate, ms | Nova, ms | ratio | target |", "|---|---:|---:|---:|---|"]
    for name, pair in sides(held).items():
        a, b, ratio = compared(*pair)
        mark = f"{THOUSAND} ms" + ("" if a * 1e3 <= THOUSAND else " **missed**") if name == "dump" else ""
        lines.append(f"| {name} | {a * 1e3:.1f} | {b * 1e3:.0f} | {ratio:.1f}× | {mark} |")
    return "\n".join(lines)


def others():
    """The same instance in other forms, for orientation."""
    import msgspec
    import orjson

    from novastate import objects
    from novastate.objects import Instance, make_converter, nova

    held = primitive("instance_active")
    instance = nova.load(held)
    plain, enveloped = objects.dumps(instance), nova.dumps(instance)
    converter, parsed = make_converter("orjson"), orjson.loads(enveloped)
    functions = {
        "Nova's envelope": (lambda: nova.dumps(instance), lambda: nova.loads(enveloped)),
        "plain JSON": (lambda: objects.dumps(instance), lambda: objects.loads(Instance, plain)),
        'cattrs, `make_converter("orjson")`': (
            lambda: converter.dumps(instance),
            lambda: converter.loads(plain, Instance),
        ),
        "the envelope's JSON alone, orjson": (lambda: orjson.dumps(parsed), lambda: orjson.loads(enveloped)),
        "the same, msgspec": (lambda: msgspec.json.encode(parsed), lambda: msgspec.json.decode(enveloped)),
    }
    found = times([one for pair in functions.values() for one in pair])
    lines = ["| Instance, active, as bytes | dump, µs | load, µs |", "|---|---:|---:|"]
    for index, name in enumerate(functions):
        out, back = (statistics.median(found[2 * index + side]) * 1e6 for side in (0, 1))
        lines.append(f"| {name} | {out:.1f} | {back:.1f} |")
    return "\n".join(lines)


def in_python():
    """The targets again, without the compiled codec: in a process of its own, for the variant is chosen once."""
    from nova import objects as nova_objects

    nova_objects.register_all()
    chosen = {
        what: held
        for what, held in cases().items()
        if what in {"Instance, active", "Migration", "RequestSpec", "Flavor"}
    }
    lines = [HEAD]
    for what, held in chosen.items():
        lines += [row(what, name, compared(*pair), None) for name, pair in sides(held).items() if name in TARGETS]
    return "Without the compiled codec (`NOVASTATE_NATIVE=off`):\n\n" + "\n".join(lines)


def main():
    from importlib.metadata import version

    from nova import objects as nova_objects
    from novastate._native import NATIVE, REASON

    nova_objects.register_all()
    packages = ", ".join(f"{name} {version(name)}" for name in ("nova", "oslo.versionedobjects", "attrs", "orjson"))
    variant = "compiled codec" if NATIVE else f"codec in Python ({REASON})"
    parts = [f"{packages}; {variant}.", wire(), thousand(), others()]
    if NATIVE:
        command, env = [sys.executable, __file__, "--in-python"], {**os.environ, "NOVASTATE_NATIVE": "off"}
        parts.append(
            subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=300).stdout.strip()
        )
    return "\n\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the report into RESULTS.md")
    parser.add_argument("--in-python", action="store_true", help="only the generated codec, whatever is compiled")
    asked = parser.parse_args()
    if asked.in_python and "NOVASTATE_NATIVE" not in os.environ:
        os.environ["NOVASTATE_NATIVE"] = "off"
    report = in_python() if asked.in_python else main()
    print(report)
    if asked.write:
        from run import keep

        keep(Path(__file__), report)
