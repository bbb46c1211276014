"""A recorded migration watched again, and policies tried on what it showed of its guest."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from novastate.cli import main
from novastate.convergence import (
    DirtyClass,
    DirtyCurve,
    FixedPolicy,
    ForecastPolicy,
    Guest,
    Limits,
    Link,
    NovaPolicy,
    Recording,
    Rules,
    replay_recording,
)
from novastate.convergence.online.replay import looks
from novastate.convergence.online.trial import try_policy
from novastate.convergence.simulation.setup import Status
from novastate.errors import ConvergenceError

RECORDINGS = Path(__file__).parents[3] / "benchmarks" / "recordings"


def recorded(name):
    return Recording.load(RECORDINGS / f"{name}.json")


def test_at_a_quarter_of_the_way_the_end_is_known():
    found = replay_recording(recorded("07-uni64-r16"), "law")
    row = found.at(0.25)
    assert row.elapsed + row.eta == pytest.approx(found.total, rel=0.04)
    assert found.flips == 0
    assert all(one.converges for one in found.outlooks)
    assert found.actions == ()


def test_what_was_given_up_is_said_to_have_no_end_and_the_policy_acts_once():
    found = replay_recording(recorded("113-nonconv-uniform"), "law", policy=ForecastPolicy(longest_pause=0.03))
    assert found.at(0.25) is None
    assert not any(row.converges for row in found.outlooks)
    assert [advice.action for _, advice in found.actions] == ["abort"]


def test_a_program_that_page_sampling_took_for_harmless_is_found_out():
    found = replay_recording(recorded("203-redis-set-100k-b40"))
    assert found.outlooks[-1].probability < 0.1
    assert found.guest.curve.pages(1.0) > recorded("203-redis-set-100k-b40").guest("host").curve.pages(1.0)


@pytest.mark.parametrize("name", ["01-autoconverge", "45-autoconverge-w128", "46-autoconverge-b32"])
def test_the_pause_of_a_guest_that_is_hardly_let_run_is_foreseen_to_the_end(name):
    """At 99 % the guest sleeps for a second at a time, and each sync waits for it: the line is no slower for that."""
    recording = recorded(name)
    found = replay_recording(recording, "law", seen=looks(recording)[::3])
    assert all(row.downtime is not None and row.downtime < 0.025 for row in found.outlooks[-5:])
    assert found.outlooks[-1].converges is recording.outcome.completed


def test_post_copy_is_seen():
    found = replay_recording(recorded("00-postcopy"), "law")
    assert found.outlooks[-1].post_copy
    assert found.outlooks[-1].downtime is None


def test_looks_are_read_from_samples_too():
    columns = recorded("07-uni64-r16")
    fields, rows = columns.data["job_stats"]["fields"], columns.data["job_stats"]["rows"]
    samples = [dict(zip(fields, row, strict=True), t=row[0] / 1000) for row in rows]
    data = {name: value for name, value in columns.data.items() if name != "job_stats"} | {"samples": samples}
    assert looks(Recording("x", data)) == looks(columns)


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"job_stats": None, "samples": []}, "samples"),
        ({"job_stats": {"fields": 1, "rows": []}}, "job_stats"),
        ({"job_stats": {"fields": ["time_elapsed"], "rows": [[1, 2]]}}, "job_stats.rows"),
        ({"job_stats": {"fields": ["time_elapsed"], "rows": [["x"]]}}, r"samples\[0\].time_elapsed"),
        ({"job_stats": {"fields": ["time_elapsed"], "rows": [[1e999]]}}, r"samples\[0\].time_elapsed"),
    ],
)
def test_looks_that_cannot_be_read_are_refused_by_name(part, field):
    recording = recorded("07-uni64-r16")
    with pytest.raises(ConvergenceError, match=field):
        looks(attrs.evolve(recording, data={**recording.data, **part}))


# --- in the simulator


def tried(name, policy, **more):
    recording = recorded(name)
    more = {"limits": recording.limits, "rules": recording.rules, **more}
    return try_policy(recording.guest("law"), recording.link, policy, **more)


def test_where_nova_s_policy_waits_a_forecast_raises_the_limit_at_once():
    waits = tried("67-b64-r64-dt50", NovaPolicy())
    acts = tried("67-b64-r64-dt50", ForecastPolicy(longest_pause=0.5))
    assert waits.completed
    assert acts.completed
    assert acts.total < 0.2 * waits.total
    assert acts.pause < 0.5
    assert [advice.downtime_ms for _, advice in waits.actions] == [50, 95]


def test_a_policy_that_does_nothing_is_left_in_the_end():
    trial = tried("113-nonconv-uniform", FixedPolicy(), longest=30)
    assert (trial.status, trial.actions) == (Status.ACTIVE, ())


def test_only_pages_that_are_simulated_are_tried():
    guest = Guest(2**30, 0, 65536, DirtyCurve((), 2**14))
    with pytest.raises(ConvergenceError, match="page_size"):
        try_policy(guest, Link(limit=2**26), NovaPolicy())


def test_a_guest_that_writes_all_of_its_pages_in_halves_is_tried():
    guest = Guest(46 * 4096, 0, 4096, DirtyCurve(tuple(DirtyClass(11.5, 1.0) for _ in range(4)), 46), busy=0.3)
    assert try_policy(guest, Link(limit=2**26), NovaPolicy()).completed


def test_an_abort_ends_it_and_a_forced_completion_pauses_or_switches():
    name, late = "113-nonconv-uniform", {"limits": Limits(0.01)}
    aborted = tried(name, ForecastPolicy(longest_pause=0.001), **late)
    paused = tried(name, ForecastPolicy(longest_pause=0.001, otherwise="pause"), **late)
    switched = tried(
        name, ForecastPolicy(longest_pause=0.001, post_copy=True), rules=Rules.qemu("10.0", post_copy=True), **late
    )
    assert aborted.status is Status.CANCELLED
    assert paused.completed
    assert paused.pause > 1.0
    assert switched.completed
    assert switched.pause < 0.1


# --- on the command line


def test_the_command_tells_it_and_what_policies_would_have_made_of_it(capsys):
    file = str(RECORDINGS / "67-b64-r64-dt50.json")
    assert main(["replay", file, "--from", "law", "--every", "5"]) == 0
    text = capsys.readouterr().out
    assert "does not converge" in text
    assert "nova policy, in the simulator: completed" in text
    assert (
        "recorded with a limit of 50 ms, given up after 15 s; below the limit and when it is given up are the policy's"
        in text
    )
    assert main(["replay", file, "--from", "law", "--json", "--policy", "nova"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["completed"] is False
    assert set(told["policies"]) == {"nova", "forecast"}
    assert told["outlooks"][5]["advice"]["reason"] == "the present downtime limit holds"


def test_what_the_command_cannot_do_is_said(capsys):
    assert main(["replay", str(RECORDINGS / "nothing.json")]) == 2
    assert main(["replay", str(RECORDINGS / "67-b64-r64-dt50.json"), "--every", "-1"]) == 2
    assert main(["replay", str(RECORDINGS / "67-b64-r64-dt50.json"), "--pause", "nan"]) == 2
    assert capsys.readouterr().err.count("novastate: ") == 3


def test_a_pause_that_nova_refuses_is_not_another_in_silence(capsys):
    file = str(RECORDINGS / "67-b64-r64-dt50.json")
    assert main(["replay", file, "--from", "law", "--pause", "50", "--policy", "nova"]) == 2
    assert "must be 100 or more" in capsys.readouterr().err
    assert main(["replay", file, "--from", "law", "--pause", "50", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["policies"]
    assert "must be 100 or more" in told["nova"]["error"]
    assert "status" in told["forecast"]
