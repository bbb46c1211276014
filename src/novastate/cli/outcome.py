"""What was expected of a live migration and what came of it, side by side, from what is kept of it (:func:`kept`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from novastate.flows.live_migration_monitor import kept
from novastate.machines import MigrationType
from novastate.objects import Migration
from novastate.store import Store

__all__ = ["beside", "expected_text", "outcome_of", "took_text"]


def outcome_of(store: Store, migration: Migration) -> dict[str, Any]:
    """The ``forecast`` and the final ``stats`` of a live migration, as plain data; None where there is none."""
    body: Mapping[str, Any] = {}
    if migration.migration_type is MigrationType.LIVE_MIGRATION:
        body = store.get_document(kept(migration.uuid))[1]
    told = body.get("forecast") or {}
    forecast = told.get("forecast")
    facts = {key: value for key, value in told.items() if key != "forecast"}
    return {"forecast": {**forecast, **facts} if forecast else None, "stats": body.get("stats")}


def expected_text(forecast: Mapping[str, Any] | None) -> str | None:
    """A kept forecast in a few words."""
    if not forecast or "verdict" not in forecast:
        return None
    if forecast.get("total_s") is None:
        return str(forecast["verdict"])
    total = forecast["total_s"] + (forecast.get("disk_s") or 0.0)
    return f"{total:.1f} s, pause {1000 * (forecast.get('downtime_s') or 0):.0f} ms"


def took_text(stats: Mapping[str, Any] | None) -> str | None:
    """Kept statistics in a few words."""
    if not stats:
        return None
    if str(stats["type"]) != "completed":
        return f"{stats['type']} after {stats['elapsed']:.1f} s"
    return f"{stats['elapsed']:.1f} s, pause {1000 * stats['downtime']:.0f} ms"


def beside(forecast: Mapping[str, Any] | None, stats: Mapping[str, Any] | None) -> str | None:
    """Both in one line; None where nothing was measured at the end."""
    took = took_text(stats)
    return None if took is None else f"forecast: {expected_text(forecast) or 'none'}; it took: {took}"
