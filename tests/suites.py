"""Runs the suites of ``make test`` and counts: ``python tests/suites.py [--require] [SUITE ...]``.

Every suite runs, whatever failed before it. A suite that cannot run here says so in a line of its own, with the
reason, and is never counted as passed; with ``--require`` that fails the run. The last line is always
``N passed, N failed, N skipped``: a test of pytest counts as one, and so does each check of a tool (ruff, mypy ...).
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from fuzz.needs import no_fuzzer
from lab.needs import no_lab
from nova.needs import no_nova

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
REPORTS = ROOT / "build" / "suites"
#: Seconds that one command may take, unless its suite says otherwise: some ten times what a quiet machine needs.
DEADLINE = 3000


@dataclass
class Suite:
    """Commands that are run together: each one is a check, or, where it runs pytest, as many tests as it reports."""

    name: str
    commands: list[list[str]]
    env: dict[str, str] = field(default_factory=dict)
    #: Why it cannot run here, or "".
    missing: Callable[[], str] = lambda: ""
    #: Seconds that each of its commands may take; None: DEADLINE.
    deadline: float | None = None


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    def __iadd__(self, other: Count) -> Self:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        return self


def tool(name: str, *args: str) -> list[str]:
    return [str(BIN / name), *args]


def pytest(*args: str) -> list[str]:
    return tool("pytest", "-q", "--continue-on-collection-errors", *args)


#: Of Hypothesis: the same examples in every run, whatever the machine sets; another profile may be asked for by name.
SAME = {"HYPOTHESIS_PROFILE": os.environ.get("HYPOTHESIS_PROFILE") or "ci"}
#: Suites of their own: they need root, packages, a server or the real Nova.
APART = ["--ignore=tests/lab", "--ignore=tests/database", "--ignore=tests/nova"]


def no_kernels() -> str:
    """Says why there is no compiled variant, unless there is a compiler: then its absence is a failure."""
    if any(shutil.which(name) for name in (os.environ.get("CC", "cc"), "gcc", "clang")):
        return ""
    probe = [sys.executable, "-c", "import novastate._native as n; print('' if n.NATIVE else n.REASON)"]
    return subprocess.run(probe, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def no_database() -> str:
    return "" if (ROOT / "tests" / "database").is_dir() else "the store on PostgreSQL is not built yet"


SUITES = [
    Suite("lint", [tool("ruff", "check"), tool("ruff", "format", "--check")]),
    Suite("types", [tool("mypy"), tool("basedpyright", "--level", "error")]),
    Suite("imports", [tool("lint-imports", "--no-cache", "--no-logo")]),
    Suite("tests, native", [pytest("tests", *APART, "-n", "2")], {"NOVASTATE_NATIVE": "require", **SAME}, no_kernels),
    Suite("tests, pure Python", [pytest("tests", *APART, "-n", "2")], {"NOVASTATE_NATIVE": "off", **SAME}),
    Suite("doctests", [pytest("--doctest-modules", *(part for part in ("src", "examples") if (ROOT / part).is_dir()))]),
    Suite(
        "docs",
        [tool("sphinx-build", "-q", "-W", "--keep-going", "-E", "-b", "html", "docs", "docs/_build/html")],
    ),
    Suite("database", [pytest("tests/database")], SAME, missing=no_database),
    # Its objects and ours, in one conversation.
    Suite("nova", [pytest("tests/nova", "-n", "2")], SAME, missing=no_nova),
    # A minute in all, or FUZZ_SECONDS, by turns; each fuzzer is a check. Starting takes some seconds more.
    Suite(
        "fuzz",
        [[sys.executable, "-W", "ignore", f"tests/fuzz/fuzz_{what}.py"] for what in ("nova", "plain")],
        # Coverage is seen in Python only. What is tried, and in which order, is the same in every run: FUZZ_SEED.
        {"NOVASTATE_NATIVE": "off", "PYTHONHASHSEED": "0"},
        no_fuzzer,
    ),
    # Two labs at once, a file of tests each in turn: most of their time is waiting.
    Suite("lab", [pytest("tests/lab", "-n", "2", "--dist", "loadfile")], missing=no_lab, deadline=7200),
]


def run(command: list[str], env: dict[str, str], report: Path, deadline: float | None = None) -> Count:
    """Runs one command to its end, or to its deadline, and counts."""
    is_pytest = Path(command[0]).name == "pytest"
    if is_pytest:
        report.unlink(missing_ok=True)
        command = [*command, f"--junit-xml={report}"]
    shown = shlex.join([Path(command[0]).name, *command[1:]])
    print("$", *(f"{name}={value}" for name, value in env.items()), shown, flush=True)
    # A session of its own, so that the deadline also ends what the command started.
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        status = process.wait(deadline := deadline or DEADLINE)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        print(f"stopped after {deadline} s: {shown}", flush=True)
        status = 124
    if not is_pytest:
        return Count(failed=1) if status else Count(passed=1)
    count = read(report) if report.exists() else Count()
    if status and not count.failed:
        count.failed = 1  # it broke before, between or after its tests
    return count


def read(report: Path) -> Count:
    """The counts of a JUnit report."""
    count = Count()
    for suite in ET.parse(report).getroot().iter("testsuite"):
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        count += Count(int(suite.get("tests", 0)) - failed - skipped, failed, skipped)
    return count


def main(args: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="suites.py", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--require", action="store_true", help="fail if a suite cannot run here")
    parser.add_argument("names", nargs="*", metavar="SUITE", help="; ".join(suite.name for suite in SUITES))
    asked = parser.parse_args(args)
    unknown = set(asked.names) - {suite.name for suite in SUITES}
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are: {'; '.join(s.name for s in SUITES)}")
    REPORTS.mkdir(parents=True, exist_ok=True)

    total, lines, not_run = Count(), list[str](), list[str]()
    for suite in SUITES:
        if asked.names and suite.name not in asked.names:
            continue
        if reason := suite.missing():
            not_run.append(f"NOT RUN: {suite.name}: {reason}")
            continue
        print(f"\n=== {suite.name}", flush=True)
        began, count = time.monotonic(), Count()
        for number, command in enumerate(suite.commands):
            report = REPORTS / f"{suite.name.replace(', ', '-').replace(' ', '-')}-{number}.xml"
            count += run(command, suite.env, report, suite.deadline)
        total += count
        lines.append(f"{suite.name:<20} {count!s:<40} {time.monotonic() - began:6.1f} s")
    print("\n" + "\n".join([*lines, *not_run]))
    print(total)
    return 1 if total.failed or (asked.require and not_run) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
