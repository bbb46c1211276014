"""The counts that ``make test`` ends with are true: nothing that broke, hung or did not run is counted as passed."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, settings

import suites


@pytest.fixture
def report(tmp_path):
    return tmp_path / "report.xml"


def test_a_check_of_a_tool_counts_as_one(report):
    assert suites.run([sys.executable, "-c", ""], {}, report) == suites.Count(passed=1)
    assert suites.run([sys.executable, "-c", "raise SystemExit(3)"], {}, report) == suites.Count(failed=1)


def test_pytest_counts_its_tests(report, tmp_path):
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 0\n"
        "@pytest.mark.skip(reason='because')\n"
        "def test_skipped(): pass\n"
        "def test_broken(nothing): pass\n"
    )
    # -o addopts=: nothing of this project's own options.
    command = [*suites.pytest(str(tmp_path / "test_some.py")), "-o", "addopts=", "-p", "no:cacheprovider"]
    assert suites.run(command, {}, report) == suites.Count(passed=1, failed=2, skipped=1)


def test_pytest_that_finds_nothing_has_failed(report, tmp_path):
    assert suites.run([*suites.pytest(str(tmp_path)), "-p", "no:cacheprovider"], {}, report) == suites.Count(failed=1)


def test_a_command_that_hangs_is_ended_and_counted_as_failed(report, monkeypatch):
    monkeypatch.setattr(suites, "DEADLINE", 0.2)
    assert suites.run([sys.executable, "-c", "import time; time.sleep(600)"], {}, report) == suites.Count(failed=1)


def test_a_suite_may_have_a_deadline_of_its_own(report):
    sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
    assert suites.run(sleeps, {}, report, 0.2) == suites.Count(failed=1)


@pytest.fixture
def two(monkeypatch):
    """One suite that passes, and one that cannot run here."""
    good = suites.Suite("good", [[sys.executable, "-c", ""]])
    away = suites.Suite("away", [[sys.executable, "-c", ""]], missing=lambda: "it is raining")
    monkeypatch.setattr(suites, "SUITES", [good, away])


def test_a_suite_that_cannot_run_says_so_and_is_not_counted(two, capsys):
    assert suites.main([]) == 0
    *_, not_run, closing = capsys.readouterr().out.splitlines()
    assert not_run == "NOT RUN: away: it is raining"
    assert re.fullmatch(r"\d+ passed, \d+ failed, \d+ skipped", closing)
    assert closing == "1 passed, 0 failed, 0 skipped"


def test_a_suite_that_is_required_must_run(two):
    assert suites.main(["--require", "away"]) == 1


def test_an_unknown_suite_is_refused_with_the_known_ones(two, capsys):
    with pytest.raises(SystemExit, match="2"):
        suites.main(["goof"])
    assert "no suite goof; there are: good; away" in capsys.readouterr().err


def test_the_examples_of_a_suite_are_the_same_in_every_run_wherever_it_runs():
    """A machine that runs the whole check need not set CI."""
    code = """
import suites
print({s.env.get("HYPOTHESIS_PROFILE") for s in suites.SUITES if s.name.startswith(("tests", "nova"))})
"""
    env = {name: value for name, value in os.environ.items() if name not in {"CI", "HYPOTHESIS_PROFILE"}}
    for asked, used in (({}, "ci"), ({"HYPOTHESIS_PROFILE": ""}, "ci"), ({"HYPOTHESIS_PROFILE": "dev"}, "dev")):
        command = [sys.executable, "-c", code]
        run = subprocess.run(
            command, cwd=suites.ROOT / "tests", env=env | asked, capture_output=True, text=True, check=True
        )
        assert run.stdout == f"{{{used!r}}}\n"


@pytest.mark.parametrize("name", ["dev", "ci", "nightly"])
def test_no_profile_of_hypothesis_measures_time(name):
    profile = settings.get_profile(name)
    assert profile.deadline is None
    assert HealthCheck.too_slow in profile.suppress_health_check
    assert profile.derandomize is (name == "ci")
