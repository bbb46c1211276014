"""What the type checkers must see, and refuse, of the objects. An ignore that is not needed is an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Literal, assert_type

from cattrs.preconf.json import JsonConverter
from cattrs.preconf.msgspec import MsgspecJsonConverter
from cattrs.preconf.orjson import OrjsonConverter
from hypothesis.strategies import SearchStrategy

from novastate.errors import WireError
from novastate.machines import MigrationStatus, MigrationType, PowerState, TaskState, VMMachine, VMState
from novastate.objects import (
    UNSET,
    Aggregate,
    Allocation,
    BlockDeviceMapping,
    ComputeNode,
    Flavor,
    ImageMetaProps,
    Instance,
    InstanceInfoCache,
    InstanceList,
    InstanceNUMACell,
    LibvirtLiveMigrateData,
    Migration,
    MigrationList,
    RequestSpec,
    Selection,
    Tag,
    TagList,
    Unset,
    configure,
    dumps,
    evolve,
    loads,
    make_converter,
    unset,
    wire_errors,
)
from novastate.testing import strategies

UUID = "00001111-0001-4001-8001-00000000f779"
small = Flavor(name="m1.small", vcpus=1, memory_mb=2048, extra_specs={"hw:cpu_policy": "shared"}, projects=["p"])
server = Instance(uuid=UUID, display_name="web", flavor=small, vm_state=VMState.BUILDING)

# What a whole record has needs no narrowing.
assert_type(server.vm_state, VMState)
assert_type(server.task_state, TaskState)
assert_type(server.power_state, PowerState)
assert_type(server.uuid, str)
assert_type(server.host, str | None)
assert_type(server.flavor.memory_mb, int)
assert_type(server.launched_at, datetime | None)
assert_type(server.locked, bool)
assert_type(server.metadata, Mapping[str, str])
assert_type(server.revision, int)

# What is loaded on demand does, and an identity test or a truth test is enough.
assert_type(server.tags, Sequence[Tag] | Unset)
assert_type(server.info_cache, InstanceInfoCache | Unset | None)
if server.tags is not UNSET:
    assert_type(server.tags, Sequence[Tag])
if server.info_cache:
    assert_type(server.info_cache, InstanceInfoCache)

# States move through machines, or by assignment of a state.
assert_type(VMMachine.pause(server), VMState)
server.vm_state = VMState.ACTIVE
server.vm_state = "active"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
server.memory_mb = "7"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
server.hosst = "cmp-a"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

# Values are frozen; what must be given, must.
small.vcpus = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
Instance(uuid=UUID)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Flavor(2, vcpus=1, memory_mb=1)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]

move = Migration(
    uuid=UUID,
    instance_uuid=UUID,
    migration_type=MigrationType.LIVE_MIGRATION,
    status=MigrationStatus.ACCEPTED,
    source_compute="cmp-a",
)
assert_type(move.status, MigrationStatus)
assert_type(move.instance_uuid, str)
assert_type(move.dest_compute, str | None)
assert_type(move.id, int | Unset)

node = ComputeNode(host="cmp-a", vcpus=8, memory_mb=1, local_gb=1)
assert_type(node.host, str)
assert_type(node.cpu_allocation_ratio, float)

spec = RequestSpec(instance_uuid=UUID, flavor=small, ignore_hosts=["cmp-a"])
assert_type(spec.ignore_hosts, Sequence[str] | None)
assert_type(spec.flavor, Flavor)

data = evolve(LibvirtLiveMigrateData(filename="tmpx"), block_migration=True)
assert_type(data, LibvirtLiveMigrateData)
assert_type(data.block_migration, bool | Unset)

assert_type(InstanceNUMACell(id=0, memory=1, cpuset={0, 1}).cpuset, Set[int])
assert_type(ImageMetaProps(hw_cpu_policy="dedicated").hw_tpm_version, Literal["1.2", "2.0"] | Unset)
ImageMetaProps(hw_cpu_policy="dedicatet")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(Allocation(consumer=UUID, host="a", vcpus=1, memory_mb=1).migration, bool)

disk = BlockDeviceMapping(source_type="volume", boot_index=0)
assert_type(disk.boot_index, int | None)
assert_type(disk.is_root, bool)
BlockDeviceMapping(source_type="tape")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(Aggregate(name="az-1").availability_zone, str | None)
assert_type(Selection(compute_node_uuid=UUID, service_host="a", nodename="a", cell_uuid=UUID).service_host, str)

# A list is a sequence of its class; a slice of it is such a list again.
servers = InstanceList(objects=[server])
assert_type(servers[0], Instance)
assert_type(servers[:1], InstanceList)
assert_type(servers.objects, Sequence[Instance])
assert_type([one.host for one in servers], list[str | None])
assert_type(list(MigrationList()), list[Migration])
some: Sequence[Instance] = servers
server.tags = TagList(objects=[Tag(resource_id=UUID, tag="web")])
TagList(objects=[server])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
servers.objects = []  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

assert_type(unset(server), tuple[str, ...])
assert_type(dumps(server), bytes)
assert_type(loads(Instance, b""), Instance)
assert_type(make_converter(), JsonConverter)
assert_type(make_converter("orjson", detailed=False), OrjsonConverter)
assert_type(make_converter("msgspec"), MsgspecJsonConverter)
make_converter("yaml")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
assert_type(make_converter().structure({}, Instance), Instance)
assert_type(configure(make_converter()), None)
assert_type(wire_errors(ValueError()), tuple[WireError, ...])
assert_type(strategies.instances(), SearchStrategy[Instance])
