"""How a live migration is to be run, and the same as plain data, for whoever has to go on with it.

Rules of this file:

1. What is kept is what a migration that has begun is watched with: parameters, policy, times, and whether it copies disks.
2. A policy that is not one of `novastate.convergence` cannot be kept: then only the deadline ends the migration.
3. What cannot be read is not there: recovery must not fail for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs

from novastate.convergence import FixedPolicy, ForecastPolicy, NovaPolicy, Policy
from novastate.drivers import LiveMigrationParams
from novastate.errors import InvalidField
from novastate.objects import LibvirtLiveMigrateData

__all__ = ["LiveMigrationOptions", "as_json", "of_json"]

_POLICIES: dict[str, type[NovaPolicy | FixedPolicy | ForecastPolicy]] = {
    "nova": NovaPolicy,
    "fixed": FixedPolicy,
    "forecast": ForecastPolicy,
}


def _seconds(least: float) -> Callable[[object, attrs.Attribute[float], float], None]:
    def check(_: object, attribute: attrs.Attribute[float], value: float) -> None:
        if type(value) not in {int, float} or not math.isfinite(value) or value < least:
            raise InvalidField(attribute.name, value, f"must be a finite number of seconds, {least:g} or more")

    return check


def _is(kind: type[object]) -> Callable[[object, attrs.Attribute[Any], object], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kind):
            raise InvalidField(attribute.name, value, f"must be a {kind.__name__}")

    return check


def _count(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if type(value) is not int or value < -1:
        raise InvalidField(attribute.name, value, "must be a whole number, -1 for no limit")


@attrs.frozen
class LiveMigrationOptions:
    """How a live migration is to be run.

    *params*: what the hypervisor is told. *policy*: asked at every poll. *max_retries*: how many further destinations may be tried
    after the first has failed its checks, -1: as many as there are (Nova's ``migrate_max_retries``). *poll*, *save_every*: seconds
    between looks at the job, and between saves of its progress (Nova: 0.5 and 5). *deadline*: seconds after which a job is aborted
    whatever the policy says: no wait is without end. Raises InvalidField.
    """

    params: LiveMigrationParams = attrs.field(factory=LiveMigrationParams, validator=_is(LiveMigrationParams))
    policy: Policy = attrs.field(factory=NovaPolicy, validator=_is(Policy))
    max_retries: int = attrs.field(default=-1, validator=_count)
    poll: float = attrs.field(default=0.5, validator=_seconds(0.01))
    save_every: float = attrs.field(default=5.0, validator=_seconds(0))
    deadline: float = attrs.field(default=86400.0, validator=_seconds(1))


def as_json(options: LiveMigrationOptions, data: LibvirtLiveMigrateData) -> dict[str, Any]:
    """*options*, and whether disks are copied, as plain JSON data."""
    policy = next(
        (
            {"kind": kind, **attrs.asdict(options.policy)}
            for kind, cls in _POLICIES.items()
            if type(options.policy) is cls
        ),
        None,
    )
    return {
        "params": attrs.asdict(options.params),
        "policy": policy,
        "poll": options.poll,
        "save_every": options.save_every,
        "deadline": options.deadline,
        "block_migration": data.block_migration if isinstance(data.block_migration, bool) else None,
    }


def of_json(facts: object) -> tuple[LiveMigrationOptions, LibvirtLiveMigrateData]:
    """The inverse; the defaults where *facts* is None or cannot be read."""
    try:
        told: dict[str, Any] = dict(facts)  # type: ignore[call-overload]
        block, kept = told.pop("block_migration"), told.pop("policy")
        policy: Policy = FixedPolicy()
        if kept is not None:
            policy = _POLICIES[kept["kind"]](**{name: value for name, value in kept.items() if name != "kind"})
        params = LiveMigrationParams(**told.pop("params"))
        options = LiveMigrationOptions(params=params, policy=policy, **told)
    except (InvalidField, KeyError, TypeError, ValueError):
        return LiveMigrationOptions(), LibvirtLiveMigrateData()
    return options, LibvirtLiveMigrateData() if block is None else LibvirtLiveMigrateData(block_migration=block)
