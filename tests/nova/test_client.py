"""A peer that hangs or dies fails the test that asked, and no other."""

from __future__ import annotations

import pytest

from nova import client
from nova.client import NovaError, Peer

#: Answers what it was asked, sleeps over "hang" and dies of "die".
STAND_IN = """
import json, os, sys, time
for line in sys.stdin:
    op = json.loads(line)["op"]
    if op == "hang": time.sleep(600)
    if op == "die": print("so it goes", file=sys.stderr); os._exit(3)
    print(json.dumps([{"ok": op}]), flush=True)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    import sys

    path = tmp_path / "peer.py"
    path.write_text(STAND_IN)
    monkeypatch.setattr(client, "PEER", path)
    with Peer(sys.executable) as peer:
        yield peer


def test_no_answer_in_time_is_an_error_and_the_next_question_is_answered(stand_in):
    with pytest.raises(TimeoutError):
        stand_in.ask_many("hang", [[]], deadline=0.3)
    assert stand_in.ask("again") == "again"


def test_a_peer_that_dies_says_why_and_the_next_question_is_answered(stand_in):
    with pytest.raises(EOFError, match=r"\(3\)\nso it goes"):
        stand_in.ask("die")
    assert stand_in.ask("again") == "again"


def test_what_nova_raises_is_told_by_name(peer):
    with pytest.raises(NovaError, match="UnsupportedObjectError") as raised:
        peer.ask(
            "roundtrip", {"nova_object.name": "Nothing", "nova_object.namespace": "nova", "nova_object.version": "1.0"}
        )
    assert raised.value.name == "UnsupportedObjectError"


def test_a_long_question_with_a_long_answer_does_not_stall(peer):
    many = [["Instance", seed] for seed in range(300)]
    made = peer.ask_many("make", many)
    assert sum(len(str(one)) for one in made) > 1_000_000
    assert len(peer.ask_many("roundtrip", [[one] for one in made])) == 300
