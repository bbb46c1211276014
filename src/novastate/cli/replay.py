"""``novastate replay``: a recorded migration, watched again as if it ran, and what policies would have made of it.

What is fed is only what the job's statistics said, look by look. What would have come of a policy is worked out in the simulator, of
a guest that the recording does not refute (`novastate.convergence.online.rehearsal`), with several seeds; how near that comes to what
was recorded stands beside it.
"""

from __future__ import annotations

import json
import math
from argparse import ArgumentParser, Namespace, _SubParsersAction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from novastate.errors import ConvergenceError, InvalidField

if TYPE_CHECKING:
    from collections.abc import Iterable

    from novastate.convergence import Advice, Outlook, Policy, Recording
    from novastate.convergence.online.rehearsal import Rehearsal
    from novastate.convergence.online.replay import Replay
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
    again = _again(recording, args.source, found)
    tried = {
        name: policy if isinstance(policy, str) else _tried(recording, again, args.source, policy)
        for name, policy in policies.items()
    }
    if args.json:
        print(json.dumps(_as_json(recording, found, again, tried), allow_nan=False))
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
    print(f"as recorded, in the simulator: {again if isinstance(again, str) else _as_recorded(again)}")
    print(_in_the_simulator(recording))
    for name, one in tried.items():
        print(f"{name} policy, in the simulator: {one if isinstance(one, str) else _came_of_it(one)}")
    return 0


def _again(recording: Recording, source: Any, found: Replay) -> Rehearsal | str:
    """The guest that is simulated; or why there is none."""
    from novastate.convergence.online.rehearsal import rehearse  # noqa: PLC0415  (with the rest)

    try:
        return rehearse(recording, source, found)
    except ConvergenceError as error:
        return str(error)


def _as_recorded(again: Rehearsal) -> str:
    """What the simulated guest took as recorded, and whether it stands for the recorded one."""
    done = [one for one in again.totals if one is not None]
    count = len(again.totals)
    text = f"{again.total:.1f} s{_range(done, '.1f', count)}" if again.total is not None else "not done in time"
    if 0 < len(done) < count:
        text += f", done with {len(done)} of {count} seeds"
    text += f"; its writes: {again.law}"
    if again.near:
        return text
    why = "how it ended is not recorded" if not again.ended else "that is not what was recorded"
    return f"{text}\nNOT TO BE TRUSTED: {why}, so the rows below tell nothing of the recorded guest"


def _range(values: Iterable[float], form: str, seeds: int) -> str:
    """From the least to the most, where they differ as they are shown; with how many seeds."""
    low, high = (format(one, form) for one in (min(values), max(values)))
    return f" ({seeds} seeds)" if low == high else f" ({low} to {high} with {seeds} seeds)"


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


def _tried(recording: Recording, again: Rehearsal | str, source: Any, policy: Policy) -> list[Trial] | str:
    """What would have come of it, with each seed, from the best to the worst; or why that cannot be said."""
    from novastate.convergence.online.trial import try_policy  # noqa: PLC0415  (with the rest)

    if isinstance(again, str):
        return again
    try:
        known = recording.guest(source)
        trials = [
            try_policy(
                again.guest, recording.link, policy,
                limits=recording.limits, rules=recording.rules, known=known, seed=seed,
            )
            for seed in range(1, len(again.totals) + 1)
        ]  # fmt: skip
    except ConvergenceError as error:
        return str(error)
    return sorted(trials, key=lambda one: (not one.completed, one.total))


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


def _came_of_it(trials: list[Trial]) -> str:
    """The median of *trials*, and how far they reach."""
    trial, seeds = trials[len(trials) // 2], len(trials)
    alike = sum(one.status is trial.status for one in trials)
    totals = _range([one.total for one in trials], ".1f", seeds)
    end = (
        f"{trial.status.value} after {trial.total:.1f} s{totals}, pause {1000 * trial.pause:.0f} ms, "
        f"{trial.transferred / _MIB:.0f} MiB sent"
    )
    if alike < seeds:
        end += f", {trial.status.value} with {alike} of {seeds} seeds"
    limits = [
        f"{advice.downtime_ms} ms at {at:.0f} s" for at, advice in trial.actions if advice.downtime_ms is not None
    ]
    forced = [f"{advice.action} at {at:.0f} s" for at, advice in trial.actions if advice.action != "none"]
    shown = [*limits[:3], *([f"... {limits[-1]}"] if len(limits) > 3 else []), *forced[:1]]
    return f"{end}; {', '.join(shown) or 'nothing was done'}"


def _advice(at: float, advice: Advice) -> dict[str, object]:
    return {"at_s": at, "downtime_ms": advice.downtime_ms, "action": advice.action, "reason": advice.reason}


def _as_json(
    recording: Recording, found: Replay, again: Rehearsal | str, tried: dict[str, list[Trial] | str]
) -> dict[str, object]:
    outcome = recording.outcome
    return {
        "recording": recording.name,
        "outlooks": [row.as_json() for row in found.outlooks],
        "flips": found.flips,
        "completed": None if outcome is None else outcome.completed,
        "actual_total_s": found.total,
        "as_recorded": {"error": again}
        if isinstance(again, str)
        else {"total_s": again.total, "totals_s": list(again.totals), "law": again.law, "near": again.near},
        "policies": {
            name: {"error": one}
            if isinstance(one, str)
            else {**_trial(one[len(one) // 2]), "totals_s": [trial.total for trial in one]}
            for name, one in tried.items()
        },
    }


def _trial(trial: Trial) -> dict[str, object]:
    return {
        "status": trial.status.value,
        "total_s": trial.total,
        "downtime_s": trial.pause,
        "transferred_bytes": trial.transferred,
        "actions": [_advice(at, advice) for at, advice in trial.actions],
    }
