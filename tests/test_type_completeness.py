"""What a user's type checker knows of the public names, by ``pyright --verifytypes``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import novastate

#: A ratchet: it only goes up. What is missing is annotations of triggers (`pause = Trigger(...)`), whose type is the
#: call's; that nothing is of an unknown type, pyright's strict mode sees to.
FLOOR = 0.78


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    # An editable installation puts the compiled modules into a directory of their own, which pyright takes for the
    # package; so it is shown a copy.
    lib, elsewhere = tmp_path_factory.mktemp("lib"), tmp_path_factory.mktemp("cwd")
    shutil.copytree(
        Path(novastate.__file__).parent, lib / "novastate", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    pyright = str(Path(sys.executable).with_name("basedpyright"))
    run = subprocess.run(
        [pyright, "--pythonpath", sys.executable, "--verifytypes", "novastate", "--ignoreexternal", "--outputjson"],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(lib)},
        capture_output=True,
        text=True,
        check=False,  # 1 while anything is incomplete
        timeout=300,
    )
    return json.loads(run.stdout)["typeCompleteness"]


def test_type_completeness_does_not_fall(report):
    assert report["completenessScore"] >= FLOOR
