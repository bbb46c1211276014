"""``novastate replay``: a recorded migration, watched again as if it ran, and what policies would have made of it.

What is fed is only what the job's statistics said, look by look. What would have come of a policy is worked out in the simulator, of
the guest as the recording knows it.
"""

from __future__ import annotations

import json
import math
from argparse import ArgumentParser, Namespace, _SubParsersAction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from novastate.errors import ConvergenceError, InvalidField

if TYPE_CHECKING:
    from novastate.convergence import Advice, Outlook, Policy, Recording, Replay
    from novastate.convergence.online.trial import Trial

__all__ = ["register"]

_MIB = 1 << 20


def register(subparsers: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "replay",
        help="a recorded migration, watched again as if it ran",
        description="Feeds the statistics of a recorded migration to the estimator as if they came now: the time that is left, the "
        "verdict and the advice at each look; then what each policy would have done, and what, in the simulator, had come of it.",
    )
    parser.set_defaults(run=_replay)
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a recording with the statistics of the running migration"
    )
    parser.add_argument(
        "--from",
        dest="source",
        choices=("host", "law"),
        default="host",
        help="what is known of the guest: what its host observes (default), or its write law",
    )
    parser.add_argument(
        "--policy",
        choices=("nova", "forecast"),
        default="forecast",
        help="whose advice is shown at each look; default: forecast",
    )
    parser.add_argument(
        "--pause", type=float, default=500, metavar="MS", help="the longest pause of a policy; default: 500"
    )
    parser.add_argument(
        "--every", type=float, default=0, metavar="S", help="show no look sooner after the one before; default: all"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _replay(args: Namespace) -> int:
    from novastate.convergence import Recording, replay_recording  # noqa: PLC0415  (loads numpy)

    if not math.isfinite(args.every) or args.every < 0:
        raise InvalidField("every", args.every, "must be 0 or more seconds")
    policies = _policies(args.pause)
    shown = policies[args.policy]
    if isinstance(shown, str):
        raise InvalidField("pause", args.pause, f"is none of Nova's: {shown}")
    recording = Recording.load(args.file)
    found = replay_recording(recording, args.source, policy=shown)
    tried = {
        name: policy if isinstance(policy, str) else _tried(recording, found, args.source, policy)
        for name, policy in policies.items()
    }
    if args.json:
        print(json.dumps(_as_json(recording, found, tried), allow_nan=False))
        return 0
    last, told = -math.inf, ("none", False)
    print("    at  done     left  interval             likely  verdict")
    for row in found.outlooks:
        kind = (row.advice.action, row.advice.downtime_ms is not None)
        if row.elapsed >= last + args.every or kind != told:
            last = row.elapsed
            print(_line(row, new=kind != told))
        told = kind
    outcome = recording.outcome
    if outcome is not None:
        print(f"it {'took ' + format(outcome.total, '.1f') + ' s' if outcome.total else 'was given up'}")
    print(_in_the_simulator(recording))
    for name, one in tried.items():
        print(f"{name} policy, in the simulator: {one if isinstance(one, str) else _came_of_it(one)}")
    return 0


def _in_the_simulator(recording: Recording) -> str:
    """In what the simulated migrations differ from the recorded one."""
    rules, limits = recording.rules, recording.limits
    limit = f"a limit of {1000 * limits.downtime:.0f} ms"
    given_up = "" if limits.timeout is None else f", given up after {limits.timeout:g} s"
    switched = ", post-copy by itself" if rules.post_copy else ""
    throttled = ", auto-converge" if rules.auto_converge else ""
    only = (
        "the limit, when it is given up and the switch to post-copy"
        if switched
        else "the limit and when it is given up"
    )
    return (
        f"recorded with {limit}{given_up}{throttled}{switched}; below {only} are the policy's, all else is as recorded"
    )


def _policies(pause: float) -> dict[str, Policy | str]:
    """Each policy, or why it cannot have such a pause."""
    from novastate.convergence import ForecastPolicy, NovaPolicy  # noqa: PLC0415  (with the rest)

    latest = NovaPolicy().completion_timeout
    budget = ForecastPolicy(longest_pause=pause / 1000, latest_end=latest, per_gib=True)
    try:
        return {"nova": NovaPolicy(downtime=round(pause)), "forecast": budget}
    except ConvergenceError as error:
        return {"nova": str(error), "forecast": budget}


def _tried(recording: Recording, found: Replay, source: Any, policy: Policy) -> Trial | str:
    """What would have come of it; or why that cannot be said."""
    from novastate.convergence.online.trial import try_policy  # noqa: PLC0415  (with the rest)

    try:
        known = recording.guest(source)
        return try_policy(
            found.guest, recording.link, policy, limits=recording.limits, rules=recording.rules, known=known
        )
    except ConvergenceError as error:
        return str(error)


def _line(row: Outlook, *, new: bool) -> str:
    left = "      -" if row.eta is None else f"{row.eta:6.1f}s"
    low, high = row.eta_interval or (math.nan, math.nan)
    between = " " * 19 if row.eta_interval is None else f"{low:7.1f} to {high:7.1f}s"
    verdict = "post-copy" if row.post_copy else "converges" if row.converges else "does not converge"
    stalled = "" if row.stalled is None else f"  STALLED: {row.stalled.value}"
    advice = row.advice
    wanted = "" if advice.downtime_ms is None else f"  limit {advice.downtime_ms} ms"
    wanted += "" if advice.action == "none" else f"  {advice.action}"
    return (
        f"{row.elapsed:6.1f}s {row.progress:4.0%}  {left}  {between}  {row.probability:5.0%}   {verdict}{stalled}"
        + (f"  ->{wanted}: {advice.reason}" if wanted and new else "")
    )


def _came_of_it(trial: Trial) -> str:
    end = f"{trial.status.value} after {trial.total:.1f} s, pause {1000 * trial.pause:.0f} ms, {trial.transferred / _MIB:.0f} MiB sent"
    limits = [
        f"{advice.downtime_ms} ms at {at:.0f} s" for at, advice in trial.actions if advice.downtime_ms is not None
    ]
    forced = [f"{advice.action} at {at:.0f} s" for at, advice in trial.actions if advice.action != "none"]
    shown = [*limits[:3], *([f"... {limits[-1]}"] if len(limits) > 3 else []), *forced[:1]]
    return f"{end}; {', '.join(shown) or 'nothing was done'}"


def _advice(at: float, advice: Advice) -> dict[str, object]:
    return {"at_s": at, "downtime_ms": advice.downtime_ms, "action": advice.action, "reason": advice.reason}


def _as_json(recording: Recording, found: Replay, tried: dict[str, Trial | str]) -> dict[str, object]:
    outcome = recording.outcome
    return {
        "recording": recording.name,
        "outlooks": [row.as_json() for row in found.outlooks],
        "flips": found.flips,
        "completed": None if outcome is None else outcome.completed,
        "actual_total_s": found.total,
        "policies": {
            name: {"error": one}
            if isinstance(one, str)
            else {
                "status": one.status.value,
                "total_s": one.total,
                "downtime_s": one.pause,
                "transferred_bytes": one.transferred,
                "actions": [_advice(at, advice) for at, advice in one.actions],
            }
            for name, one in tried.items()
        },
    }
