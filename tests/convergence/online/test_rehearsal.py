"""A recorded migration once more in the simulator: of a guest that the recording does not refute, or it is said that it is not."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from novastate.cli import main
from novastate.convergence import Recording, replay_recording
from novastate.convergence.online.rehearsal import SEEDS, Rehearsal, rehearse
from novastate.convergence.online.replay import looks
from novastate.errors import ConvergenceError

RECORDINGS = Path(__file__).parents[3] / "benchmarks" / "recordings"
GUEST = Recording.load(RECORDINGS / "105-plain-hotcold.json").guest()


def recorded(name):
    return Recording.load(RECORDINGS / f"{name}.json")


def ending(name, seconds):
    """The recording, as if it had taken so long."""
    recording = recorded(name)
    final = {"completed_stats": {**recording.data["final"]["completed_stats"], "time_elapsed": round(1000 * seconds)}}
    return attrs.evolve(recording, data={**recording.data, "final": final})


@pytest.mark.parametrize(
    ("name", "source"),
    [("40-zero512", "host"), ("41-untouched1024", "host"), ("31-zipf-r128", "law")],
)
def test_the_simulated_guest_takes_what_the_recorded_one_took(name, source):
    found = rehearse(recorded(name), source)
    assert found.near
    assert found.total == pytest.approx(found.took, rel=0.1)
    assert len(found.totals) == SEEDS
    counted = recorded(name).data["final"]["completed_stats"]["memory_constant"]
    assert found.guest.zero_pages == pytest.approx(counted, rel=0.01)


def test_a_guest_whose_host_saw_another_law_is_simulated_by_its_rounds():
    recording = recorded("218-memcached-w90-b100-rep2")
    found = rehearse(recording, "host", replay_recording(recording, seen=looks(recording)[::8]))
    assert found.law == "the rounds alone"
    assert found.total == pytest.approx(found.took, rel=0.3)  # by what the host saw it never ends


def test_what_was_given_up_is_not_done_in_time_either():
    recording = recorded("53-abort-early")
    found = rehearse(recording, "law", replay_recording(recording, "law", seen=looks(recording)[::8]))
    assert found.totals == (None,) * SEEDS
    assert found.near
    assert found.took is None


def test_a_guest_that_no_law_explains_is_not_near():
    found = rehearse(ending("105-plain-hotcold", 9.0))
    assert not found.near
    assert found.total == pytest.approx(1.13, abs=0.3)


def test_where_the_end_is_not_recorded_nothing_is_near():
    recording = recorded("105-plain-hotcold")
    data = {name: value for name, value in recording.data.items() if name != "outcome"}
    found = rehearse(attrs.evolve(recording, data=data))
    assert (found.ended, found.near, found.took) == (False, False, None)


@pytest.mark.parametrize(
    ("totals", "took", "near"),
    [
        ((5.0, 5.1, 5.2), 5.5, True),
        ((5.0, 5.1, 5.2), 6.0, False),
        ((1.0, 1.0, 1.0), 1.2, True),
        ((1.0, 1.0, 1.0), 1.3, False),
        ((None, 5.0, 5.0), 5.0, True),
        ((None, None, 5.0), 5.0, False),
        ((None, None, 5.0), None, True),
        ((5.0, 5.0, 5.0), None, False),
    ],
)
def test_near_is_what_ends_alike_and_about_as_late(totals, took, near):
    found = Rehearsal(GUEST, "any", totals, took)
    assert found.near is near
    assert found.distance < 0.2 or not near


def test_what_cannot_be_watched_again_is_refused():
    with pytest.raises(ConvergenceError, match="samples"):
        rehearse(Recording("x", {**recorded("105-plain-hotcold").data, "job_stats": None}))
    with pytest.raises(ConvergenceError, match="source"):
        rehearse(recorded("105-plain-hotcold"), "host'")
    with pytest.raises(ConvergenceError, match="found"):
        rehearse(recorded("105-plain-hotcold"), "host", replay_recording)


# --- on the command line


def test_the_command_shows_it_as_recorded_beside_what_it_took(capsys):
    assert main(["replay", str(RECORDINGS / "105-plain-hotcold.json"), "--every", "9"]) == 0
    text = capsys.readouterr().out
    assert "it took 1.1 s\nas recorded, in the simulator: 1." in text
    assert "NOT TO BE TRUSTED" not in text


def test_the_command_says_when_its_simulated_guest_is_not_the_recorded_one(capsys, tmp_path):
    ending("105-plain-hotcold", 9.0).save(tmp_path / "late.json")
    assert main(["replay", str(tmp_path / "late.json"), "--every", "9"]) == 0
    text = capsys.readouterr().out
    assert "it took 9.0 s" in text
    assert "NOT TO BE TRUSTED: that is not what was recorded" in text
    assert main(["replay", str(tmp_path / "late.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["as_recorded"]["near"] is False


def test_each_policy_is_tried_with_several_seeds(capsys):
    file = str(RECORDINGS / "105-plain-hotcold.json")
    assert main(["replay", file, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["as_recorded"]["total_s"] == sorted(told["as_recorded"]["totals_s"])[SEEDS // 2]
    for policy in told["policies"].values():
        assert len(policy["totals_s"]) == SEEDS
        assert policy["total_s"] == policy["totals_s"][SEEDS // 2]
