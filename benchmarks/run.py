"""Runs every benchmark, or those that are named, and writes their sections of RESULTS.md: ``make bench``, or
``python benchmarks/run.py [NAME ...]``.

A benchmark is a script ``bench_*.py`` or ``accuracy*.py`` beside this one with a function ``main() -> str`` that
returns Markdown. Its first docstring line is the heading. Each runs in a process of its own, so that none warms,
or is slowed by, what another has loaded. What needs more than this machine's CPU and this environment (APART) has a
target of its own.
"""

from __future__ import annotations

import ast
import datetime as dt
import platform
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
#: Seconds that one script may take.
DEADLINE = 600
#: Scripts with a target of their own, and that target.
APART = {"bench_lab": "make bench-lab", "bench_objects": "make bench-objects"}
HEAD = """# Results

Each section is written by the command that it names, all but those of other targets by `make bench`; each figure stands beside its
peer, measured in the same run.
"""


def scripts(names: list[str]) -> list[Path]:
    found = sorted(path for path in [*HERE.glob("bench_*.py"), *HERE.glob("accuracy*.py")] if path.stem not in APART)
    unknown = set(names) - {path.stem for path in found}
    if unknown:
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(p.stem for p in found)}")
    return [path for path in found if not names or path.stem in names]


def machine() -> str:
    """What a reader needs to compare the figures with their own."""
    processor = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{processor}; {platform.system()}; {platform.python_implementation()} {platform.python_version()}"


def run(script: Path) -> str:
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import {script.stem} as b; sys.stdout.write(str(b.main()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        check=True,
        timeout=DEADLINE,
        cwd=HERE.parent,
    )
    return done.stdout.strip()


def heading(script: Path) -> str:
    doc = ast.get_docstring(ast.parse(script.read_text())) or script.stem
    return doc.partition("\n")[0].rstrip(".")


def keep(script: Path, body: str) -> None:
    """Writes the section of *script* into RESULTS.md, and leaves the others as they are."""
    name = script.stem
    command = APART.get(name, f"python benchmarks/run.py {name}")
    text = RESULTS.read_text() if RESULTS.exists() else HEAD
    old = re.search(rf"<!-- {name} -->\n.*?<!-- /{name} -->\n", text, re.DOTALL)
    when = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {machine()}."
    new = f"<!-- {name} -->\n## {heading(script)}\n\n`{command}`: {when}\n\n{body.strip()}\n<!-- /{name} -->\n"
    RESULTS.write_text(text.replace(old[0], new) if old else f"{text.rstrip()}\n\n{new}")


def main(names: list[str]) -> int:
    failed: list[str] = []
    for script in scripts(names):
        print(f"{script.stem} ...", flush=True)
        try:
            body = run(script)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"{script.stem} failed: {type(error).__name__}", flush=True)
            failed.append(script.stem)
            continue
        print(body, flush=True)
        keep(script, body)
    print(f"wrote {RESULTS}" + (f"; failed, and left as they were: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
