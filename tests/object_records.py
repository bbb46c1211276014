"""Plain records for tests."""

from __future__ import annotations

from novastate.machines import MigrationStatus, MigrationType
from novastate.objects import ComputeNode, Flavor, Instance, Migration, RequestSpec

UUID = "00001111-0001-4001-8001-00000000f779"
OTHER = "00002222-0001-4001-8001-00000000f77a"


def flavor(**given):
    return Flavor(**{"name": "m1.small", "vcpus": 2, "memory_mb": 2048, "root_gb": 20, **given})


def instance(**given):
    return Instance(**{"uuid": UUID, "display_name": "web", "flavor": flavor(), **given})


def migration(**given):
    kind = given.get("migration_type", MigrationType.LIVE_MIGRATION)
    cold = kind in {MigrationType.MIGRATION, MigrationType.RESIZE}
    status = MigrationStatus.PRE_MIGRATING if cold else MigrationStatus.ACCEPTED
    return Migration(**{"uuid": OTHER, "instance_uuid": UUID, "migration_type": kind, "status": status, **given})


def request_spec(**given):
    return RequestSpec(**{"instance_uuid": UUID, "flavor": flavor(), **given})


def compute_node(**given):
    return ComputeNode(**{"host": "cmp-a", "vcpus": 8, "memory_mb": 32768, "local_gb": 200, **given})
