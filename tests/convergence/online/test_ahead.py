"""An outlook is a value that goes anywhere."""

from __future__ import annotations

import pickle
from pathlib import Path

from novastate.convergence import Recording, replay_recording
from novastate.convergence.online.replay import looks

FILE = Path(__file__).parents[3] / "benchmarks" / "recordings" / "67-b64-r64-dt50.json"


def test_outlooks_go_to_another_process_with_what_would_come_under_other_limits():
    recording = Recording.load(FILE)
    told = replay_recording(recording, "law", seen=looks(recording)[:12])
    again = pickle.loads(pickle.dumps(told))
    assert again == told
    assert again.outlooks[-1].under(3.0) == told.outlooks[-1].under(3.0)
    assert again.outlooks[-1].under(3.0) != again.outlooks[-1].under(0.05)


def test_a_recording_may_be_a_key():
    assert {Recording.load(FILE): 1}[Recording.load(FILE)] == 1
