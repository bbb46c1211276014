"""NovaPolicy does at every poll what the real Nova's monitor does, with any options."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova.client import NovaError
from novastate.convergence import NovaPolicy, Situation, data_gb
from novastate.errors import ConvergenceError

MANY = settings(max_examples=100, deadline=None)

OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "downtime": st.integers(100, 5000) | st.integers(100, 10**9),
        "downtime_steps": st.integers(3, 60) | st.integers(3, 300),
        "downtime_delay": st.integers(3, 300) | st.integers(3, 10**6),
        "completion_timeout": st.integers(0, 900) | st.integers(0, 10**6),
        "timeout_action": st.sampled_from(["abort", "force_complete"]),
    },
)
MEMORY = st.integers(1, 64 * 1024) | st.integers(1, 2**31)
DISKS = st.lists(st.integers(0, 2**43), max_size=3)


@MANY
@given(OPTIONS, st.floats(2, 4096) | st.floats(0, 1e5))
def test_the_downtime_steps_are_novas(peer, options, size):
    assert [list(step) for step in NovaPolicy(**options).steps(size)] == peer.ask("downtime_steps", options, size)


@st.composite
def watched(draw):
    """Options, a guest, and polls that meet the edges: just at a step or the timeout, just before, just after."""
    options, memory, disks = draw(OPTIONS), draw(MEMORY), draw(DISKS)
    policy = NovaPolicy(**options)
    size = data_gb(memory, disks)
    edges = [float(start) for start, _ in policy.steps(size)] + [float(policy.timeout(size) or 0)]
    near = st.sampled_from(edges).flatmap(lambda at: st.sampled_from([at, at + 0.001, max(0.0, at - 0.001)]))
    times = sorted(
        min(at, 1e9) for at in draw(st.lists(near | st.floats(0, 2 * max(edges) + 1), min_size=1, max_size=30))
    )
    switched = draw(st.just(len(times)) | st.integers(0, len(times)))
    return options, memory, disks, [[at, n >= switched] for n, at in enumerate(times)]


@MANY
@given(watched())
def test_every_poll_ends_as_in_novas_own_loop(peer, drawn):
    options, memory, disks, polls = drawn
    policy, size, limit = NovaPolicy(**options), data_gb(memory, disks), None
    ours = []
    for elapsed, post_copy in polls:
        seen = Situation(elapsed=elapsed, post_copy=post_copy, data_gb=size, current_downtime=limit)
        advice = policy.decide(seen)
        limit = limit if advice.downtime_ms is None else advice.downtime_ms
        ours.append([advice.downtime_ms, advice.action])
    assert ours == peer.ask("monitor", options, memory, disks, polls)


@pytest.mark.parametrize(
    "options",
    [{"downtime": 99}, {"downtime_steps": 2}, {"downtime_delay": 2}, {"completion_timeout": -1}, {"timeout_action": "wait"}],
)  # fmt: skip
def test_what_novas_options_refuse_is_refused(peer, options):
    with pytest.raises(NovaError, match="ValueError"):
        peer.ask("downtime_steps", options, 2)
    with pytest.raises(ConvergenceError, match=next(iter(options))):
        NovaPolicy(**options)


@given(MEMORY, DISKS)
def test_what_moves_is_measured_as_nova_measures_it_to_the_last_bit(peer, memory, disks):
    assert data_gb(memory, disks) == peer.ask("data_to_move", memory, disks)
