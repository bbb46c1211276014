"""What a control plane needs of a policy besides its advice: who looks at the job for it, and how long it lets one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from novastate.convergence.policies.base import Policy, SituationLike
from novastate.convergence.policies.fixed import FixedPolicy
from novastate.convergence.policies.forecast import ForecastPolicy
from novastate.convergence.policies.nova import NovaPolicy

if TYPE_CHECKING:
    from novastate.convergence.precopy import Forecast

__all__ = ["Observer", "horizon", "observer"]


class Observer(Protocol):
    """Makes a situation of a job's statistics, one look after the other (`novastate.convergence.Watch`)."""

    def observe(self, stats: Any, *, downtime: float | None = None, running: bool = True) -> SituationLike:
        """How it stands now; raises `ConvergenceError` for statistics that no migration has."""
        ...


def observer(policy: Policy, forecast: Forecast | None, size: float) -> Observer | None:
    """What *policy* needs to know of a migration of *size* GiB of which *forecast* was made; None where the time is enough."""
    if forecast is None or not isinstance(policy, ForecastPolicy):
        return None
    from novastate.convergence.online.watch import Watch  # noqa: PLC0415  (it loads numpy, as the forecast did)

    return Watch(forecast.guest, forecast.link, forecast.limits, forecast.rules, policy=policy, size=size)


def horizon(policy: Policy, data_gb: float) -> float | None:
    """Seconds after which *policy* gives up, or forces, a migration of *data_gb* GiB; None where it never does, or does not say."""
    if isinstance(policy, NovaPolicy):
        return policy.timeout(data_gb)
    if isinstance(policy, ForecastPolicy):
        return policy.end(data_gb)
    return policy.timeout if isinstance(policy, FixedPolicy) else None
