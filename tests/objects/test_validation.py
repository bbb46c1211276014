"""What a field cannot take is refused at construction and at assignment, by its full path, and nothing is changed."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from novastate.errors import InvalidField
from novastate.machines import MigrationType, PowerState, TaskState, VMState
from novastate.objects import (
    UNSET,
    VIF,
    Allocation,
    ImageMeta,
    ImageMetaProps,
    InstanceInfoCache,
    InstanceNUMACell,
    InstanceNUMATopology,
    LibvirtLiveMigrateData,
    RequestGroup,
    SchedulerRetries,
    evolve,
)
from object_records import UUID, compute_node, flavor, instance, migration, request_spec

NUMBERS = ["7", 7.0, 7.5, True, math.nan, math.inf, -1, 2**63, None, [], b"7", object()]

REFUSED = [
    *((flavor, "flavor.memory_mb", n) for n in NUMBERS),
    *((flavor, "flavor.vcpus", n) for n in (*NUMBERS, 0)),
    *((flavor, "flavor.rxtx_factor", n) for n in ("1.0", True, math.nan, math.inf, -math.inf, -0.5, 10**400)),
    (flavor, "flavor.disabled", 0),
    (flavor, "flavor.disabled", "false"),
    (flavor, "flavor.disabled", None),
    (flavor, "flavor.name", 7),
    (flavor, "flavor.name", b"m1"),
    (flavor, "flavor.name", "\ud800"),
    (flavor, "flavor.extra_specs", [("a", "b")]),
    (flavor, "flavor.projects", "abc"),
    (flavor, "flavor.projects", {"a"}),
    (instance, "instance.uuid", "web"),
    (instance, "instance.uuid", UUID + "0"),
    (instance, "instance.uuid", UUID + "\n"),
    (instance, "instance.uuid", None),
    (instance, "instance.flavor", {"vcpus": 1, "memory_mb": 1}),
    (instance, "instance.flavor", None),
    (instance, "instance.progress", 101),
    (instance, "instance.vm_state", "ACTIVE"),
    (instance, "instance.vm_state", None),
    (instance, "instance.vm_state", TaskState.MIGRATING),
    (instance, "instance.task_state", ""),
    (instance, "instance.power_state", 2),
    (instance, "instance.power_state", True),
    (instance, "instance.power_state", 1.0),
    (instance, "instance.power_state", "running"),
    (instance, "instance.access_ip_v4", "::1"),
    (instance, "instance.access_ip_v4", "10.0.0.256"),
    (instance, "instance.access_ip_v6", "10.0.0.1"),
    (instance, "instance.access_ip_v6", 1),
    (instance, "instance.launched_at", "2026-08-01T00:00:00Z"),
    (instance, "instance.launched_at", 0),
    (instance, "instance.revision", -1),
    (migration, "migration.status", "complete"),
    (migration, "migration.status", None),
    (migration, "migration.migration_type", "live"),
    (migration, "migration.memory_total", -1),
    (compute_node, "compute_node.vcpus_used", -1),
    (compute_node, "compute_node.cpu_allocation_ratio", -1.0),
    (compute_node, "compute_node.host_ip", "cmp-a"),
    (request_spec, "request_spec.num_instances", 0),
    (request_spec, "request_spec.ignore_hosts", "cmp-a"),
]


@pytest.mark.parametrize(("make", "path", "value"), REFUSED)
def test_a_wrong_value_is_refused_at_construction(make, path, value):
    with pytest.raises(InvalidField) as refused:
        make(**{path.partition(".")[2]: value})
    assert refused.value.field == path
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize(("make", "path", "value"), [row for row in REFUSED if row[0] is not flavor])
def test_a_wrong_value_is_refused_at_assignment_and_nothing_is_changed(make, path, value):
    obj, name = make(), path.partition(".")[2]
    before = evolve(obj)
    with pytest.raises(InvalidField) as refused:
        setattr(obj, name, value)
    assert refused.value.field == path
    assert obj == before


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: flavor(extra_specs={"a": 1}), "flavor.extra_specs['a']"),
        (lambda: flavor(extra_specs={1: "a"}), "flavor.extra_specs[1]"),
        (lambda: flavor(projects=["a", "b", None]), "flavor.projects[2]"),
        (lambda: instance(metadata={"a": None}), "instance.metadata['a']"),
        (lambda: InstanceNUMACell(id=0, memory=1, cpuset={0, "1"}), "instance_numa_cell.cpuset"),
        (lambda: InstanceNUMACell(id=0, memory=-1), "instance_numa_cell.memory"),
        (lambda: InstanceNUMATopology(cells=[InstanceNUMACell(id=0, memory=1), 7]), "instance_numa_topology.cells[1]"),
        (lambda: ImageMetaProps(hw_numa_cpus=[{0}, {"1"}]), "image_meta_props.hw_numa_cpus[1]"),
        (lambda: ImageMeta(properties={}), "image_meta.properties"),
        (lambda: RequestGroup(aggregates=[["a"], [7]]), "request_group.aggregates[1][0]"),
        (lambda: request_spec(scheduler_hints={"group": ["a", 7]}), "request_spec.scheduler_hints['group'][1]"),
        (lambda: SchedulerRetries(hosts=["cmp-a"]), "scheduler_retries.hosts[0]"),
        (
            lambda: LibvirtLiveMigrateData(graphics_listen_addr_vnc="all"),
            "libvirt_live_migrate_data.graphics_listen_addr_vnc",
        ),
        (lambda: Allocation(consumer=UUID, host="a", vcpus=-1, memory_mb=1), "allocation.vcpus"),
        (lambda: InstanceInfoCache(instance_uuid=UUID, network_info=[{}]), "instance_info_cache.network_info[0]"),
    ],
)
def test_the_path_leads_into_containers(make, path):
    with pytest.raises(InvalidField) as refused:
        make()
    assert refused.value.field == path


def test_an_enum_lists_what_is_allowed_and_what_was_meant():
    with pytest.raises(InvalidField, match=r"did you mean paused\?") as refused:
        instance(vm_state="pausd")
    assert set(refused.value.allowed) == {state.value for state in VMState}
    with pytest.raises(InvalidField, match=r"did you mean dedicated\?"):
        ImageMetaProps(hw_cpu_policy="dedicatet")


def test_a_number_too_deep_in_json_is_refused_with_its_range():
    with pytest.raises(InvalidField, match="64 bits"):
        VIF(details={"a": [2**64]})
    with pytest.raises(InvalidField, match="finite"):
        VIF(details={"a": [math.nan]})
    nested: dict = {}
    for _ in range(40):
        nested = {"a": nested}
    with pytest.raises(InvalidField, match="nested too deep"):
        VIF(details=nested)
    with pytest.raises(InvalidField, match="JSON"):
        VIF(details={"a": object()})


@pytest.mark.parametrize("state", VMState)
def test_states_are_taken_by_value_and_by_member(state):
    assert instance(vm_state=state.value).vm_state is state
    assert instance(vm_state=state).vm_state is state


@pytest.mark.parametrize("state", TaskState)
def test_no_task_is_idle(state):
    assert instance(task_state=state.value).task_state is state


@pytest.mark.parametrize("state", PowerState)
def test_power_states_are_taken_by_number(state):
    assert instance(power_state=state.value).power_state is state


def test_the_type_of_a_migration_is_taken_by_value():
    assert migration(migration_type="resize").migration_type is MigrationType.RESIZE


def test_times_are_utc():
    naive = datetime(2026, 8, 1, 12)  # noqa: DTZ001
    east = datetime(2026, 8, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    for given in (naive, east, datetime(2026, 8, 1, 12, tzinfo=UTC)):
        held = instance(launched_at=given).launched_at
        assert held == datetime(2026, 8, 1, 12, tzinfo=UTC)
        assert held.tzinfo is UTC
    with pytest.raises(InvalidField, match="UTC"):
        instance(launched_at=datetime.max.replace(tzinfo=timezone(-timedelta(hours=2))))


def test_other_spellings_that_mean_the_same_are_taken():
    class Whole:  # as numpy's integers
        def __index__(self):
            return 64

    assert flavor(memory_mb=Whole()).memory_mb == 64
    assert type(flavor(memory_mb=Whole()).memory_mb) is int
    assert flavor(rxtx_factor=2).rxtx_factor == 2.0
    assert type(flavor(rxtx_factor=2).rxtx_factor) is float
    assert instance(uuid=uuid.UUID(UUID)).uuid == UUID

    class Text(str):
        __slots__ = ()

    assert type(flavor(name=Text("a")).name) is str


def test_a_field_that_does_not_exist_is_named():
    server = instance()
    with pytest.raises(AttributeError, match="hosst"):
        server.hosst = "cmp-a"
    with pytest.raises(TypeError, match="memory"):
        evolve(flavor(), memory=1)
    with pytest.raises(TypeError, match="hosst"):
        instance(hosst="cmp-a")


def test_what_must_be_given_is_named():
    with pytest.raises(TypeError, match="flavor"):
        type(instance())(uuid=UUID)


def test_null_is_taken_where_novas_schema_allows_it():
    assert migration(instance_uuid=None).instance_uuid is None
    assert compute_node(host=None).host is None


@pytest.mark.parametrize("name", ["vm_state", "task_state", "power_state"])
def test_a_state_cannot_be_taken_away(name):
    server = instance()
    with pytest.raises(InvalidField, match="taken away"):
        setattr(server, name, UNSET)
