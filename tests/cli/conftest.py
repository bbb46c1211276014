"""Fixtures of the tests of the command."""

from __future__ import annotations

from random import Random
from uuid import UUID

import pytest

from novastate.cli import main, servers


@pytest.fixture(autouse=True)
def drawn_alike(request, monkeypatch):
    """What a simulated guest writes is drawn by its uuid: it is the same one in every run of a test."""
    random = Random(request.node.nodeid)

    def uuid4():
        return UUID(int=random.getrandbits(128), version=4)

    monkeypatch.setattr(servers, "uuid4", uuid4)


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
