"""What every policy is asked with."""

from __future__ import annotations

import subprocess
import sys

import pytest

from novastate.convergence import Situation
from novastate.errors import ConvergenceError


@pytest.mark.parametrize("bad", [float("nan"), -1.0])
def test_a_time_that_is_none_is_refused(bad):
    with pytest.raises(ConvergenceError, match="elapsed"):
        Situation(elapsed=bad)


def test_a_policy_needs_no_numpy():
    code = (
        "import sys; from novastate.convergence import NovaPolicy; NovaPolicy().steps(2); print('numpy' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
