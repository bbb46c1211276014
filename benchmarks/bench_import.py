"""What an import costs: CPU time of a fresh interpreter

Less the time of one that imports nothing; the median over the runs. The limit is 60 ms for `import novastate`.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

RUNS = 15
IMPORTS = [
    "import novastate",
    "import novastate.machines",
    "from novastate.objects import Instance, Migration",
    "import novastate.flows",
    "import novastate.convergence",
    # peers
    "import attrs",
    "import cattrs",
    "import transitions",
    "import statemachine",
    "import numpy",
]


def cpu(code: str) -> float:
    """User and system milliseconds of one interpreter that runs *code*."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> str:
    costs: dict[str, list[float]] = {code: [] for code in ["pass", *IMPORTS]}
    for _ in range(RUNS):  # in turn, so that a slow spell of the machine falls on all of them
        for code, seen in costs.items():
            seen.append(cpu(code))
    bare = statistics.median(costs.pop("pass"))
    rows = [f"| `{code}` | {statistics.median(seen) - bare:.0f} |" for code, seen in costs.items()]
    return "\n".join(["| | ms CPU |", "| --- | ---: |", *rows])
