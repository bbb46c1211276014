"""The real Nova, one process for all tests."""

from __future__ import annotations

import pytest

from nova.client import Peer
from nova.compare import Schema
from nova.needs import no_nova, python


def pytest_ignore_collect(collection_path):
    return True if no_nova() else None


def pytest_terminal_summary(terminalreporter):
    if reason := no_nova():
        terminalreporter.section("NOT RUN: tests/nova", sep="!")
        terminalreporter.write_line(reason)


@pytest.fixture(scope="session")
def peer():
    with Peer(python()) as made:
        yield made


@pytest.fixture(scope="session")
def schema(peer):
    return Schema(peer.ask("schema"), peer.ask("filled"), peer.ask("lists"))
