"""Fixtures of the tests of the command."""

from __future__ import annotations

import pytest

from novastate.cli import main


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """The path of a cloud's file, which is not there yet and which every command takes."""
    path = tmp_path / "cloud.sqlite"
    monkeypatch.setenv("NOVASTATE_CLOUD", str(path))
    return path


@pytest.fixture
def run(capsys, cloud):
    """Runs the command in this process: status, output, error output."""

    def run(*argv):
        try:
            status = main(list(argv))
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return status, out, err

    return run
