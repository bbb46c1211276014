"""Forecast: what a live migration would come to, before it is begun.

Rules of this flow: the guest is measured and nothing is changed: no record, no claim, no host.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from novastate.convergence.policies.control import horizon
from novastate.drivers import DiskInfo, LiveMigrationSource
from novastate.errors import InstanceNotReady, UnableToMigrateToSelf
from novastate.flows.effects import Flow, Load, Notify, Schedule
from novastate.flows.live_migration_monitor import to_move
from novastate.flows.steps import call
from novastate.machines import Action, check
from novastate.objects import ComputeNode, Instance, RequestSpec, evolve

if TYPE_CHECKING:
    from novastate.convergence import Forecast
    from novastate.flows.live_migration_options import LiveMigrationOptions

__all__ = ["expectation", "forecast_live_migration", "request_of"]


def request_of(instance_uuid: str) -> Flow[RequestSpec]:
    """What the server needs wherever it moves: where it was to be built says nothing of that (nova: reset_forced_destinations)."""
    spec: RequestSpec = yield Load(RequestSpec, instance_uuid)
    return evolve(spec, force_hosts=None, force_nodes=None, requested_destination=None)


def expectation(
    instance: Instance, source: str, dest: str, disks: tuple[DiskInfo, ...], options: LiveMigrationOptions
) -> Flow[tuple[Forecast, float]]:
    """The forecast of the memory, and the seconds that copying *disks* takes before it, at the link's speed.

    Raises DriverError (NotSupported where the guest cannot be measured), ConvergenceError.
    """
    timeout = horizon(options.policy, to_move(instance, copies_disks=bool(disks)))
    expected: Forecast = yield from call(source, "forecast", instance.uuid, dest, options.params, timeout=timeout)
    rate = min(expected.link.limit or math.inf, expected.link.line_rate)
    return expected, sum(disk.allocated for disk in disks) / rate


def forecast_live_migration(
    instance_uuid: str, host: str | None, options: LiveMigrationOptions, *, block_migration: bool = False
) -> Flow[Forecast]:
    """Measures the running guest and says what moving it to *host* (None: the best host) would come to. Changes nothing.

    Of memory; with *block_migration* what the local disks take is told beside it, as ``live_migration.forecast``.
    Raises NotFound, ActionNotAllowed, InstanceNotReady, UnableToMigrateToSelf, NoValidHost, DriverError, ConvergenceError.
    """
    instance: Instance = yield Load(Instance, instance_uuid)
    check(Action.LIVE_MIGRATE, instance, admin=True)
    source = instance.host
    if source is None:
        raise InstanceNotReady(Action.LIVE_MIGRATE, instance_uuid, "host")
    if host is None:
        spec = yield from request_of(instance_uuid)
        dest: str = (yield Schedule(spec, frozenset({source})))[0]
    else:
        if host == source:
            raise UnableToMigrateToSelf(instance_uuid, host)
        yield Load(ComputeNode, host)
        dest = host
    disks: tuple[DiskInfo, ...] = ()
    if block_migration:
        told: LiveMigrationSource = yield from call(source, "live_migration_source", instance_uuid)
        disks = told.disks
    expected, disk_s = yield from expectation(instance, source, dest, disks, options)
    disk_bytes = sum(disk.allocated for disk in disks)
    yield Notify(
        "live_migration.forecast",
        {
            "instance": instance_uuid,
            "destination": dest,
            "disk_bytes": disk_bytes,
            "disk_s": disk_s,
            "forecast": expected,
        },
    )
    return expected
