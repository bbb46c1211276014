"""``novastate forecast`` and ``evaluate`` print one object or a table, and raise one clear error."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path

import pytest

from novastate.cli import forecast, main
from novastate.errors import ConvergenceError

RECORDINGS = Path(__file__).parents[2] / "examples" / "recordings"


@pytest.fixture
def run(capsys):
    parser = ArgumentParser()
    forecast.register(parser.add_subparsers(required=True))

    def call(*words):
        args = parser.parse_args([str(word) for word in words])
        assert args.run(args) == 0
        return capsys.readouterr().out

    return call


def test_forecast_prints_the_whole_contract_as_one_object(run):
    found = json.loads(run("forecast", RECORDINGS / "06-uni64-r6.json", "--from", "law", "--json"))
    assert found["verdict"] == "converges"
    assert {
        "total_s",
        "total_interval",
        "downtime_s",
        "transferred_bytes",
        "syncs",
        "throttle",
        "probability",
        "reason",
    } < set(found)
    assert found["total_interval"][0] <= found["total_s"] <= found["total_interval"][1]


def test_numbers_are_null_where_the_verdict_leaves_none(run):
    found = json.loads(run("forecast", RECORDINGS / "110-boundary-hotcold.json", "--from", "law", "--json"))
    assert found["verdict"] == "never"
    assert [found[key] for key in ("total_s", "total_interval", "downtime_s", "transferred_bytes")] == [None] * 4


def test_forecast_tells_a_reader_what_and_why(run):
    text = run("forecast", RECORDINGS / "06-uni64-r6.json", "--from", "law")
    assert text.startswith("It converges after")
    assert "it took        4.56 s" in text


def test_evaluate_sums_up_all_and_the_plain_ones(run):
    found = json.loads(run("evaluate", RECORDINGS, "--from", "law", "--json"))
    assert found["plain"]["verdicts"] == {"aborted/never": 1, "completed/converges": 3}
    assert found["plain"]["total_error"]["median"] < 0.04
    assert len(found["files"]) == 5
    assert found["skipped"][0]["name"] == "218-memcached-w90-b100"


def test_evaluate_names_files_that_cannot_be_read_and_goes_on(run, tmp_path):
    (tmp_path / "good.json").write_bytes((RECORDINGS / "06-uni64-r6.json").read_bytes())
    (tmp_path / "cut.json").write_bytes(b'{"config": ')
    text = run("evaluate", tmp_path, "--from", "law")
    assert "good" in text
    assert "skipped cut: file: ends too early" in text


@pytest.mark.parametrize("word", ["forecast", "evaluate"])
def test_a_place_where_nothing_is_gets_one_clear_error(run, word, tmp_path):
    with pytest.raises(ConvergenceError):
        run(word, tmp_path / "nowhere")
    with pytest.raises(ConvergenceError):
        run("evaluate", tmp_path)


def test_every_wrong_row_is_marked_wrong_and_every_undecided_one_undecided(run):
    everything = Path(__file__).parents[2] / "benchmarks" / "recordings"
    found = json.loads(run("evaluate", everything, "--json"))
    text = run("evaluate", everything)
    lines = {line.split()[0]: line for line in text.splitlines() if line.split()}
    wrong = set(found["all"]["verdicts_wrong"])
    assert wrong
    for row in found["files"]:
        line = lines[row["name"]]
        assert ("wrong" in line.split()) is (row["name"] in wrong)
        assert ("(undecided)" in line) is not row["decided"]


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_directory_of_broken_files_alone_is_one_line_and_a_failure(tmp_path, capsys, more):
    (tmp_path / "cut.json").write_bytes(b'{"config": ')
    assert main(["evaluate", str(tmp_path), *more]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "none of 1 recordings can be evaluated; of cut, file: ends too early" in err


def test_an_interval_that_ends_at_the_timeout_says_so(run, tmp_path):
    data = json.loads((RECORDINGS / "06-uni64-r6.json").read_text())
    data["config"]["abort_s"] = 4.6
    (tmp_path / "close.json").write_text(json.dumps(data))
    text = run("forecast", tmp_path / "close.json", "--from", "law")
    assert "or             not before the timeout of 4.6 s" in text
    assert "or not before the timeout of 4.6 s" in text.splitlines()[0]
    assert "90 % later than" in text


def test_forecast_compares_what_could_be_done(run):
    never = RECORDINGS / "110-boundary-hotcold.json"
    text = run("forecast", never, "--from", "law", "--compare")
    assert "  wait " in text
    assert text.splitlines()[-1].startswith("* ")
    found = json.loads(run("forecast", never, "--from", "law", "--compare", "--json"))
    assert found["verdict"] == "never"
    assert found["compare"]["recommended"] in {row["action"] for row in found["compare"]["choices"]}
    assert "compare" not in json.loads(run("forecast", never, "--from", "law", "--json"))


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_forecast_draws_a_picture(run, tmp_path, suffix):
    place = tmp_path / f"out{suffix}"
    run("forecast", RECORDINGS / "06-uni64-r6.json", "--from", "law", "--plot", place)
    start = {".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}[suffix]
    assert place.read_bytes().startswith(start)


def test_a_picture_has_the_recorded_curve_where_there_is_one(run, tmp_path):
    whole = json.loads((RECORDINGS / "06-uni64-r6.json").read_text())
    fields = ["time_elapsed", "memory_remaining", "memory_iteration"]
    whole["job_stats"] = {
        "fields": fields,
        "rows": [[100, 0, 0], [900, 350 << 20, 1], [2000, 200 << 20, 1], [4000, 20 << 20, 2]],
    }
    (tmp_path / "told.json").write_text(json.dumps(whole))
    del whole["job_stats"]
    (tmp_path / "bare.json").write_text(json.dumps({**whole, "samples": []}))
    for name in ("told", "bare"):
        run("forecast", tmp_path / f"{name}.json", "--from", "law", "--plot", tmp_path / f"{name}.svg")
    assert "as it was" in (tmp_path / "told.svg").read_text()
    assert "as it was" not in (tmp_path / "bare.svg").read_text()


@pytest.mark.parametrize(
    ("name", "problem"), [("out.gif", "no kind of picture"), ("out", "no kind"), ("no/out.svg", "cannot be written")]
)
def test_a_picture_that_cannot_be_is_one_clear_error_before_anything_is_printed(run, tmp_path, capsys, name, problem):
    with pytest.raises(ConvergenceError, match=problem) as caught:
        run("forecast", RECORDINGS / "06-uni64-r6.json", "--from", "law", "--plot", tmp_path / name)
    assert caught.value.field == "plot"
    assert not capsys.readouterr().out
