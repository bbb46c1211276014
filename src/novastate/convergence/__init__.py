"""Will this live migration converge, when, with what pause: dirty curves, forecasts, policies, recordings.

Names are imported when first used, so that a control plane which only wants `NovaPolicy` loads no numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novastate.convergence.choices import Choice, Choices, compare
    from novastate.convergence.curve import DirtyClass, DirtyCurve
    from novastate.convergence.curves.bitmaps import BitmapWindows
    from novastate.convergence.curves.rounds import new_pages
    from novastate.convergence.curves.traces import footprint, page_set
    from novastate.convergence.drain.inputs import DrainBudget, DrainGuest, DrainHost, SharedLink
    from novastate.convergence.drain.plan import DrainPlan, DrainStep, plan_drain
    from novastate.convergence.drain.trial import DrainMove, DrainOutcome, naive_plan, simulate_drain
    from novastate.convergence.evaluation import Comparison, Evaluation, evaluate
    from novastate.convergence.fleet import VERDICTS, Fleet, FleetForecast, forecast_many
    from novastate.convergence.guest import Guest, Limits, Link
    from novastate.convergence.inverse import Requirement, required_bandwidth, required_downtime, required_throttle
    from novastate.convergence.online.ahead import Ahead, Outlook
    from novastate.convergence.online.replay import Replay, replay_recording
    from novastate.convergence.online.stalls import Stall
    from novastate.convergence.online.watch import Watch, outlook
    from novastate.convergence.pictures.curve_plot import plot_curve
    from novastate.convergence.pictures.plots import plot_forecast
    from novastate.convergence.policies.base import Advice, Policy, Situation
    from novastate.convergence.policies.fixed import FixedPolicy
    from novastate.convergence.policies.forecast import ForecastPolicy
    from novastate.convergence.policies.nova import NovaPolicy, data_gb
    from novastate.convergence.postcopy import PostCopy, post_copy_of
    from novastate.convergence.precopy import Forecast, Round, Verdict, forecast
    from novastate.convergence.recordings import Recording
    from novastate.convergence.rules import Rules
    from novastate.convergence.simulation.laws import WriteLaw
    from novastate.convergence.simulation.setup import SimulationResult, SimulationSetup
    from novastate.convergence.simulation.simulate import simulate
    from novastate.convergence.simulation.simulator import PreCopySimulation
    from novastate.convergence.simulation.timed import PhasedLaw, TraceLaw
    from novastate.convergence.sources import DirtyRate, Observation, Visit, ZeroPages
    from novastate.errors import ConvergenceError

__all__ = [
    "VERDICTS",
    "Advice",
    "Ahead",
    "BitmapWindows",
    "Choice",
    "Choices",
    "Comparison",
    "ConvergenceError",
    "DirtyClass",
    "DirtyCurve",
    "DirtyRate",
    "DrainBudget",
    "DrainGuest",
    "DrainHost",
    "DrainMove",
    "DrainOutcome",
    "DrainPlan",
    "DrainStep",
    "Evaluation",
    "FixedPolicy",
    "Fleet",
    "FleetForecast",
    "Forecast",
    "ForecastPolicy",
    "Guest",
    "Limits",
    "Link",
    "NovaPolicy",
    "Observation",
    "Outlook",
    "PhasedLaw",
    "Policy",
    "PostCopy",
    "PreCopySimulation",
    "Recording",
    "Replay",
    "Requirement",
    "Round",
    "Rules",
    "SharedLink",
    "SimulationResult",
    "SimulationSetup",
    "Situation",
    "Stall",
    "TraceLaw",
    "Verdict",
    "Visit",
    "Watch",
    "WriteLaw",
    "ZeroPages",
    "compare",
    "data_gb",
    "evaluate",
    "footprint",
    "forecast",
    "forecast_many",
    "naive_plan",
    "new_pages",
    "outlook",
    "page_set",
    "plan_drain",
    "plot_curve",
    "plot_forecast",
    "post_copy_of",
    "replay_recording",
    "required_bandwidth",
    "required_downtime",
    "required_throttle",
    "simulate",
    "simulate_drain",
]

_HOMES = {
    "choices": ("Choice", "Choices", "compare"),
    "curve": ("DirtyClass", "DirtyCurve"),
    "curves.bitmaps": ("BitmapWindows",),
    "curves.rounds": ("new_pages",),
    "curves.traces": ("footprint", "page_set"),
    "drain.inputs": ("DrainBudget", "DrainGuest", "DrainHost", "SharedLink"),
    "drain.plan": ("DrainPlan", "DrainStep", "plan_drain"),
    "drain.trial": ("DrainMove", "DrainOutcome", "naive_plan", "simulate_drain"),
    "evaluation": ("Comparison", "Evaluation", "evaluate"),
    "fleet": ("VERDICTS", "Fleet", "FleetForecast", "forecast_many"),
    "guest": ("Guest", "Limits", "Link"),
    "inverse": ("Requirement", "required_bandwidth", "required_downtime", "required_throttle"),
    "online.ahead": ("Ahead", "Outlook"),
    "online.replay": ("Replay", "replay_recording"),
    "online.stalls": ("Stall",),
    "online.watch": ("Watch", "outlook"),
    "pictures.curve_plot": ("plot_curve",),
    "pictures.plots": ("plot_forecast",),
    "policies.base": ("Advice", "Policy", "Situation"),
    "policies.fixed": ("FixedPolicy",),
    "policies.forecast": ("ForecastPolicy",),
    "policies.nova": ("NovaPolicy", "data_gb"),
    "postcopy": ("PostCopy", "post_copy_of"),
    "precopy": ("Forecast", "Round", "Verdict", "forecast"),
    "recordings": ("Recording",),
    "rules": ("Rules",),
    "sources": ("DirtyRate", "Observation", "Visit", "ZeroPages"),
    "simulation.laws": ("WriteLaw",),
    "simulation.setup": ("SimulationResult", "SimulationSetup"),
    "simulation.simulate": ("simulate",),
    "simulation.simulator": ("PreCopySimulation",),
    "simulation.timed": ("PhasedLaw", "TraceLaw"),
}
_HOME = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}
_HOME["ConvergenceError"] = "novastate.errors"


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
