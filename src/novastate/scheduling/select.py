"""Which hosts can take a RequestSpec, best first.

Rules of this file:

1. A filter is a named predicate that says why not; a host passes when no filter objects.
2. A weigher is a number a host; each is normalised over the hosts that passed, ``(w - min) / (max - min)`` (all equal: 0),
   and the weighted sum orders them (``nova/weights.py``). Ties keep the order of the names, so a choice can be repeated.
3. With no host left, :class:`~novastate.errors.NoValidHost` says for each host what it lacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from novastate.errors import NoValidHost
from novastate.objects import ComputeNode, RequestSpec
from novastate.scheduling.claims import needs, room

__all__ = ["FILTERS", "WEIGHERS", "select"]


def _not_ignored(node: ComputeNode, spec: RequestSpec) -> str | None:
    return "to be ignored" if node.host in (spec.ignore_hosts or ()) else None


def _forced(node: ComputeNode, spec: RequestSpec) -> str | None:
    return (
        f"only {', '.join(spec.force_hosts)} is wanted"
        if spec.force_hosts and node.host not in spec.force_hosts
        else None
    )


def _requested(node: ComputeNode, spec: RequestSpec) -> str | None:
    wanted = spec.requested_destination
    return f"{wanted.host} is wanted" if wanted and wanted.host and node.host != wanted.host else None


def _has_room(node: ComputeNode, spec: RequestSpec) -> str | None:
    lacking = room(node).lacking(needs(spec))
    return f"{lacking[1]} {lacking[0]} needed, {lacking[2]} free" if lacking else None


#: Every filter by name: None to pass, else why not.
FILTERS: Mapping[str, Callable[[ComputeNode, RequestSpec], str | None]] = {
    "ignore_hosts": _not_ignored,
    "force_hosts": _forced,
    "requested_destination": _requested,
    "room": _has_room,
}

#: Every weigher by name: multiplier (Nova's default) and number; more is better.
WEIGHERS: Mapping[str, tuple[float, Callable[[ComputeNode], float]]] = {
    "ram": (1.0, lambda node: room(node).memory_mb),
    "cpu": (1.0, lambda node: room(node).vcpus),
    "disk": (1.0, lambda node: room(node).disk_gb),
}


def select(spec: RequestSpec, nodes: Iterable[ComputeNode], ignore: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The names of the *nodes* that can take *spec*, best first, none of *ignore*. Raises NoValidHost."""
    passed: list[ComputeNode] = []
    reasons: dict[str, str] = {}
    for node in nodes:
        if node.host in ignore:
            reasons[node.host] = "the source, or tried already"
            continue
        why = next((why for check in FILTERS.values() if (why := check(node, spec)) is not None), None)
        if why is None:
            passed.append(node)
        else:
            reasons[node.host] = why
    if not passed:
        raise NoValidHost(reasons)
    weights = dict.fromkeys((node.host for node in passed), 0.0)
    for multiplier, weigh in WEIGHERS.values():
        raw = {node.host: float(weigh(node)) for node in passed}
        low, high = min(raw.values()), max(raw.values())
        if high > low:
            for host, value in raw.items():
                weights[host] += multiplier * (value - low) / (high - low)
    return tuple(sorted(weights, key=lambda host: (-weights[host], host)))
