"""Whatever is passed to any public name, it works or raises a `ConvergenceError`: no name of `novastate.convergence` is left out.

Each is called well once for each of its arguments, but for that one, which gets odd values.
"""

from __future__ import annotations

import enum
import inspect
import math

import attrs
import numpy as np
import pytest

import novastate.convergence as api
from novastate.convergence import (
    BitmapWindows,
    DirtyClass,
    DirtyCurve,
    DirtyRate,
    DrainBudget,
    DrainGuest,
    DrainHost,
    FixedPolicy,
    Fleet,
    ForecastPolicy,
    Guest,
    Limits,
    Link,
    NovaPolicy,
    Observation,
    PhasedLaw,
    PreCopySimulation,
    Recording,
    Rules,
    SharedLink,
    SimulationSetup,
    Situation,
    Visit,
    Watch,
    WriteLaw,
    forecast,
    forecast_many,
    naive_plan,
    plan_drain,
    simulate_drain,
)
from novastate.drivers import JobStats, JobType
from novastate.errors import ConvergenceError

MIB = 1 << 20
#: Nothing takes these, whatever it is for.
NEVER = (object(), 1j, math.nan)
ODD = (
    *NEVER, math.inf, -1, 0, 10**400, 5e-324, None, True, "", "x", b"x", [], [1], [None], {}, {1: 2}, float,
    np.array([1.0, 2.0]), np.float32("nan"), lambda: 1,
)  # fmt: skip

CURVE = DirtyCurve((DirtyClass(100, 500),), 2048)
GUEST, LINK, LIMITS = Guest(8 * MIB, 3, 4096, CURVE), Link(64 * MIB), Limits(0.3, 600)
RULES, LAW = Rules.qemu("10.0"), WriteLaw.uniform(100, 50)
FOUND = forecast(GUEST, LINK)
FLEET = Fleet.of([GUEST], LINK)
STATS = JobStats(JobType.UNBOUNDED, elapsed=0.3, memory_total=8 * MIB, memory_processed=MIB, memory_remaining=7 * MIB)
PLAN = plan_drain([DrainGuest("web", GUEST, "a")], [DrainHost("a"), DrainHost("b", 2**30)], [SharedLink("t", 125e6)])
CHOICES = api.compare(GUEST, LINK)
CONTEXT = {"guest": GUEST, "link": LINK, "limits": LIMITS, "rules": RULES}
RECORDING = Recording(
    "x",
    {
        "config": {"mem_mb": 8, "bandwidth": 8, "downtime_ms": 300, "abort_s": 0},
        "versions": {"qemu": 10000000},
        "pre": {"qmp_page_sampling": [{"status": "measured", "calc-time": 1, "calc-time-unit": "second", "dirty-rate": 1}]},
    },
)  # fmt: skip
RULE = {
    field.name: getattr(RULES, field.name)
    for field in attrs.fields(Rules)
    if field.name not in {"name", "family", "most_rounds", "on_timeout"}
}


def columns():
    return {
        "memory": [2**30], "zero_pages": [0], "class_sizes": [[100]], "class_rates": [[100]], "sequential": False,
        "page_size": 4096, "host_page": 0, "tail_pages": -1.0, "tail_zero": 215.0, "busy": 1.0, "limit": 1e7, "line_rate": 1e9,
        "downtime": 0.3, "timeout": math.inf, "rules": RULES, "rule": 0,
    }  # fmt: skip


def some(found):
    """The fields of *found*, each with what it has."""
    return {field.name: getattr(found, field.name) for field in attrs.fields(type(found)) if field.init}


def simulation():
    return PreCopySimulation(200, LAW)


#: What is called, and with what; *made new* where it is changed by the call.
CALLS = {
    "BitmapWindows": (BitmapWindows, {"page_count": 128, "interval": 0.1}),
    "BitmapWindows.add": (lambda **more: BitmapWindows(64, 0.1).add(**more), {"bitmap": np.ones(1, np.uint64)}),
    "Choices.__getitem__": (CHOICES.__getitem__, {"action": "wait"}),
    "Choices.__contains__": (CHOICES.__contains__, {"action": "wait"}),
    "DirtyClass": (DirtyClass, {"size": 10, "rate": 10, "sequential": False}),
    "DirtyClass.pages": (DirtyClass(10, 10).pages, {"tau": 1.0}),
    "DirtyCurve": (
        DirtyCurve,
        {"classes": (DirtyClass(5, 5),), "page_count": 100, "spread": 0.1, "others": (), "band": None, "observations": ()},
    ),
    "DirtyCurve.from_windows": (
        DirtyCurve.from_windows,
        {"windows": {0.1: 9, 1.0: 20, 2.0: 30, 3: 35}, "page_count": 100, "write_rate": None, "noise": 0.05},
    ),
    "DirtyCurve.from_dirty_rates": (
        DirtyCurve.from_dirty_rates,
        {"rates": [(1, 9 * MIB)], "memory": 64 * MIB, "page_size": 4096, "resolution": MIB, "noise": 0.5, "samples": None},
    ),
    "DirtyCurve.from_trace": (
        DirtyCurve.from_trace,
        {"pages": [1, 2, 3, 1], "times": [0.0, 1.0, 2.0, 5.0], "page_count": 10, "resolution": None, "unit": 1.0, "start": None, "end": None},
    ),
    "DirtyCurve.from_bitmaps": (
        DirtyCurve.from_bitmaps,
        {"bitmaps": np.ones((40, 2), np.uint64), "interval": 0.1, "page_count": 128, "write_rate": None},
    ),
    "DirtyCurve.from_samples": (
        DirtyCurve.from_samples,
        {"versions": np.arange(12).reshape(4, 3), "interval": 0.1, "page_count": 128},
    ),
    "DirtyCurve.from_rounds": (DirtyCurve.from_rounds, {"rounds": [(1.0, 100, 50), (0.5, 60, 40)], "page_count": 1000}),
    "DirtyCurve.pages": (CURVE.pages, {"tau": 1.0}),
    "DirtyCurve.rate": (CURVE.rate, {"tau": 1.0}),
    "DirtyCurve.scaled": (CURVE.scaled, {"factor": 2.0}),
    "DirtyCurve.with_classes": (lambda more: CURVE.with_classes(DirtyClass(1, 1), more), {"more": DirtyClass(5, 5)}),
    "DirtyRate": (DirtyRate, {"tau": 1.0, "rate": 1e6, "samples": 100, "resolution": MIB}),
    "DrainBudget": (DrainBudget, {"downtime": None, "throttle": False, "post_copy": False}),
    "DrainBudget.actions": (DrainBudget().actions, {"limits": LIMITS, "rules": RULES}),
    "DrainGuest": (DrainGuest, {"name": "a", "guest": GUEST, "host": "a", "vcpus": 0.0}),
    "DrainHost": (DrainHost, {"name": "a", "memory": 0.0, "vcpus": 2.0, "outgoing": 1, "incoming": None}),
    "DrainPlan.ready": (PLAN.ready, {"running": (), "begun": ()}),
    "DrainPlan.replan": (PLAN.replan, {"done": (), "running": None}),
    "Evaluation.only": (api.evaluate([]).only, {"plain": True}),
    "FixedPolicy": (FixedPolicy, {"timeout": None, "timeout_action": "abort"}),
    "FixedPolicy.decide": (FixedPolicy().decide, {"outlook": Situation(1)}),
    "Fleet": (Fleet, columns()),
    "Fleet.of": (Fleet.of, {"guests": [GUEST], "links": LINK, "limits": LIMITS, "rules": RULES}),
    "Fleet.part": (FLEET.part, {"start": 0, "stop": 1}),
    "Fleet.objects": (FLEET.objects, {"row": 0}),
    "FleetForecast.__getitem__": (forecast_many(FLEET).__getitem__, {"row": 0}),
    "ForecastPolicy": (
        ForecastPolicy,
        {"longest_pause": 0.5, "latest_end": None, "per_gib": False, "throttle": True, "post_copy": False, "otherwise": "abort", "patience": 5.0},
    ),
    "ForecastPolicy.end": (ForecastPolicy(latest_end=3).end, {"data_gb": 2}),
    "ForecastPolicy.decide": (ForecastPolicy().decide, {"outlook": Situation(1)}),
    "Guest": (
        Guest,
        {"memory": 8 * MIB, "zero_pages": 3, "page_size": 4096, "curve": CURVE, "tail_pages": None, "tail_zero": 215.0, "busy": 1.0, "zero_error": 0.0, "least_busy": None, "host_page": 0},
    ),
    "Limits": (Limits, {"downtime": 0.3, "timeout": None}),
    "Link": (Link, {"limit": 1e6, "line_rate": 1e9}),
    "NovaPolicy": (
        NovaPolicy,
        {"downtime": 500, "downtime_steps": 10, "downtime_delay": 75, "completion_timeout": 800, "timeout_action": "abort"},
    ),
    "NovaPolicy.steps": (NovaPolicy().steps, {"data_gb": 2}),
    "NovaPolicy.timeout": (NovaPolicy().timeout, {"data_gb": 2}),
    "NovaPolicy.decide": (NovaPolicy().decide, {"outlook": Situation(1)}),
    "Observation": (
        Observation,
        {"memory": 8 * MIB, "visits": (), "rates": (DirtyRate(1.0, MIB, 500),), "devices": 0, "device_zero": 0, "resident": None, "busy": None, "running": True},
    ),
    "Outlook.under": (Watch(GUEST, LINK).observe(STATS).under, {"downtime": 0.3}),
    "PhasedLaw": (PhasedLaw, {"phases": [(2, LAW)]}),
    "PhasedLaw.spent": (PhasedLaw([(2, LAW)]).spent, {"phase": 0, "now": 1.0}),
    "PhasedLaw.parse": (PhasedLaw.parse, {"text": "1: idle"}),
    "PreCopySimulation": (
        PreCopySimulation,
        {"pages": 200, "law": LAW, "setup": None, "zero_pages": 0, "tail_pages": None, "tail_zero": 215, "seed": 0},
    ),
    "PreCopySimulation.set_downtime": (lambda **more: simulation().set_downtime(**more), {"seconds": 0.3}),
    "PreCopySimulation.set_bandwidth": (lambda **more: simulation().set_bandwidth(**more), {"limit": 1e6}),
    "PreCopySimulation.set_throttling": (
        lambda **more: PreCopySimulation(200, LAW, SimulationSetup(auto_converge=True)).set_throttling(**more),
        {"initial": 0.2, "increment": 0.1, "most": 0.9},
    ),
    "PreCopySimulation.set_speed": (lambda **more: simulation().set_speed(**more), {"factor": 0.5}),
    "PreCopySimulation.set_running": (lambda **more: simulation().set_running(**more), {"running": True}),
    "PreCopySimulation.advance": (lambda **more: simulation().advance(**more), {"to": 1.0}),
    "Recording": (Recording, {"name": "x", "data": RECORDING.data}),
    "Recording.load": (Recording.load, {"path": "/nowhere"}),
    "Recording.save": (RECORDING.save, {"path": "/nowhere/at all"}),
    "Recording.guest": (RECORDING.guest, {"source": "host"}),
    "Recording.forecast": (RECORDING.forecast, {"source": "host"}),
    "Replay.at": (api.replay_recording(RECORDING, seen=()).at, {"share": 0.5}),
    "Rules": (Rules, some(RULES)),
    "Rules.qemu": (Rules.qemu, {"version": "10.0", "accelerator": "kvm", **RULE}),
    "Rules.cloud_hypervisor": (Rules.cloud_hypervisor, {"version": "52.0", "on_timeout": "cancel", "begin": 0.1}),
    "Rules.named": (Rules.named, {"name": "qemu-10.0", "begin": 0.1}),
    "Rules.with_options": (RULES.with_options, RULE),
    "Rules.quota": (RULES.quota, {"limit": 1e6}),
    "Rules.wire": (RULES.wire, {"page_size": 4096}),
    "Rules.wire_zero": (RULES.wire_zero, {"page_size": 4096}),
    "Rules.wire_again": (RULES.wire_again, {"page_size": 4096}),
    "Rules.cached_pages": (Rules.qemu(xbzrle_cache=MIB).cached_pages, {"page_size": 4096}),
    "Rules.chunks": (RULES.chunks, {"memory": 2**30}),
    "Rules.fault": (RULES.fault, {"line_rate": 1e9, "host_page": 4096}),
    "SharedLink": (SharedLink, {"name": "a", "capacity": 1e6, "hosts": frozenset()}),
    "SimulationSetup": (SimulationSetup, some(SimulationSetup())),
    "SimulationSetup.of": (SimulationSetup.of, {"link": LINK, "limits": LIMITS, "rules": RULES, "post_copy_after": None, "host_page": 4096}),
    "SimulationSetup.limited": (SimulationSetup().limited, {"limit": 1e6}),
    "Situation": (Situation, {"elapsed": 1, "post_copy": False, "data_gb": 2.0, "current_downtime": None}),
    "TraceLaw": (api.TraceLaw, {"pages": [1, 2], "times": [0.0, 1.0], "period": None, "busy": 0.0}),
    "Visit": (Visit, {"page": 0, "at": 0.0, "sums": (1,)}),
    "Watch": (Watch, {**CONTEXT, "policy": None, "size": None}),
    "Watch.observe": (lambda **more: Watch(GUEST, LINK).observe(**more), {"stats": STATS, "downtime": None, "running": True}),
    "WriteLaw": (WriteLaw, {"parts": LAW.parts, "busy": 0.0}),
    "WriteLaw.uniform": (WriteLaw.uniform, {"pages": 100, "rate": 50}),
    "WriteLaw.zipf": (WriteLaw.zipf, {"pages": 100, "rate": 50, "s": 0.99}),
    "WriteLaw.hotcold": (WriteLaw.hotcold, {"pages": 100, "rate": 50, "hot_fraction": 0.1, "hot_weight": 0.9}),
    "WriteLaw.sequential": (WriteLaw.sequential, {"pages": 100, "rate": 50}),
    "WriteLaw.from_curve": (WriteLaw.from_curve, {"curve": CURVE, "busy": 0.0}),
    "WriteLaw.__add__": (LAW.__add__, {"other": LAW}),
    "WriteLaw.written": (LAW.written, {"seconds": 1.0}),
    "WriteLaw.curve": (LAW.curve, {"page_count": 100}),
    "WriteLaw.parse": (WriteLaw.parse, {"text": "idle"}),
    "compare": (api.compare, {**CONTEXT, "since": None, "longest_pause": None, "likely": 0.9, "among": ("wait", "abort")}),
    "data_gb": (api.data_gb, {"memory_mb": 512, "disk_bytes": ()}),
    "evaluate": (api.evaluate, {"recordings": [RECORDING], "source": "host"}),
    "footprint": (
        api.footprint,
        {"pages": [1, 2], "times": None, "page_count": 10, "windows": [1, 2], "resolution": 1.0},
    ),
    "forecast": (forecast, CONTEXT),
    "forecast_many": (forecast_many, {"fleet": FLEET, "executor": None, "chunk": 10, "timeout": 5.0}),
    "naive_plan": (naive_plan, {"plan": PLAN, "at_once": 1}),
    "new_pages": (
        api.new_pages,
        {
            "before": {"memory_remaining": 1e6, "memory_processed": 0, "memory_constant": 0},
            "after": {"memory_remaining": 1e6, "memory_processed": 41040, "memory_constant": 0},
            "page_size": 4096,
        },
    ),
    "outlook": (api.outlook, {"forecast": FOUND, "stats": STATS, "downtime": None}),
    "page_set": (api.page_set, {"page_count": 1000, "share": 0.1, "seed": 0}),
    "plan_drain": (
        plan_drain,
        {
            "guests": PLAN.guests, "hosts": PLAN.hosts, "links": PLAN.links, "limits": LIMITS, "rules": RULES,
            "budget": DrainBudget(), "sure": 0.9, "emptied": (), "running": (),
        },
    ),
    "plot_curve": (api.plot_curve, {"curve": CURVE, "observations": None}),
    "plot_forecast": (api.plot_forecast, {"result": FOUND, "recorded": ()}),
    "post_copy_of": (api.post_copy_of, {"forecast": FOUND, "host_page": 4096}),
    "replay_recording": (api.replay_recording, {"recording": RECORDING, "source": "host", "policy": None, "seen": ()}),
    "required_bandwidth": (
        api.required_bandwidth,
        {"guest": GUEST, "limits": LIMITS, "rules": RULES, "line_rate": 1e9, "probability": None, "resolution": 0.05},
    ),
    "required_downtime": (
        api.required_downtime,
        {"guest": GUEST, "link": LINK, "rules": RULES, "timeout": None, "probability": None, "resolution": 0.05},
    ),
    "required_throttle": (api.required_throttle, {**CONTEXT, "probability": None}),
    "simulate": (
        api.simulate,
        {"pages": 200, "law": LAW, "link": LINK, "limits": LIMITS, "rules": RULES, "seed": 0, "zero_pages": 0, "tail_pages": None, "tail_zero": 215, "host_page": 4096},
    ),
    "simulate_drain": (simulate_drain, {"plan": PLAN, "laws": None, "seed": 0}),
}  # fmt: skip
#: Those may be asked about anything; and what sequences and tables raise for what is not in them, by argument.
ANYTHING = {"Choices.__contains__"}
MISSING = {"row": IndexError, "action": KeyError}
#: What an argument is called in the errors, where that is not its own name.
CALLED = {"text": "law", "seconds": "downtime"}
#: What the library makes, and nobody else: their fields are not checked, for that would cost each forecast time.
MADE = {
    "Advice", "Ahead", "Choice", "Choices", "Comparison", "DrainMove", "DrainOutcome", "DrainPlan", "DrainStep", "Evaluation",
    "FleetForecast", "Forecast", "Outlook", "PostCopy", "Replay", "Requirement", "Round", "SimulationResult", "ZeroPages",
}  # fmt: skip


def public():
    """Each public function, class and method that takes anything, by name, with its signature."""
    for name in api.__all__:
        one = getattr(api, name)
        if inspect.isfunction(one):
            yield name, inspect.signature(one)
        if not inspect.isclass(one) or issubclass(one, enum.Enum | Exception) or name == "Policy":
            continue
        if name not in MADE:
            yield name, inspect.signature(one)
        for word, found in vars(one).items():
            method = inspect.unwrap(getattr(found, "__func__", found))
            if inspect.isfunction(method) and (word[0] != "_" or word in {"__getitem__", "__contains__", "__add__"}):
                yield f"{name}.{word}", inspect.signature(getattr(one, word))


@pytest.mark.parametrize(("name", "signature"), list(public()), ids=[name for name, _ in public()])
def test_a_value_is_taken_or_refused_by_the_name_of_its_field(name, signature, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {one.name for one in signature.parameters.values() if one.name != "self" and one.kind != one.VAR_KEYWORD}
    if not names:
        return
    assert name in CALLS, "belongs into the table above"
    call, good = CALLS[name]
    assert names <= set(good), "belong into its row of the table"
    wrong = []
    for field in good:
        for value in ODD:
            try:
                call(**{**good, field: value})
            except ConvergenceError as error:
                if any(value is one for one in NEVER) and not {field, CALLED.get(field)} & {
                    error.field.partition("[")[0]
                }:
                    wrong.append(f"{field}={value!r}: {error}")
            except Exception as error:  # noqa: BLE001
                if not isinstance(error, MISSING.get(field, ())):
                    wrong.append(f"{field}={value!r}: {type(error).__name__}: {error}")
            else:
                if any(value is one for one in NEVER) and name not in ANYTHING:
                    wrong.append(f"{field}={value!r}: taken")
    assert not wrong, "\n".join(wrong)
