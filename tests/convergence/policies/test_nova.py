"""NovaPolicy does what Nova's monitor does, poll by poll."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.convergence import NovaPolicy, Situation, data_gb
from novastate.errors import ConvergenceError

DEFAULT_2_GIB = [(0, 50), (150, 95), (300, 140), (450, 185), (600, 230), (750, 275), (900, 320), (1050, 365),
                 (1200, 410), (1350, 455), (1500, 500)]  # fmt: skip


def test_the_defaults_step_from_a_tenth_to_the_whole_limit():
    assert NovaPolicy().steps(2) == DEFAULT_2_GIB
    assert NovaPolicy().steps(8.5)[1::9] == [(637, 95), (6370, 500)]
    assert NovaPolicy(downtime=400, downtime_delay=30).steps(3)[1] == (90, 76)


@given(st.integers(100, 100_000), st.integers(3, 60), st.integers(3, 900), st.floats(2, 4096))
def test_steps_are_nova_s_formula_for_any_options(downtime, steps, delay, size):
    # nova/virt/libvirt/migration.py, downtime_steps, written out
    wait = int(delay * size)
    base = downtime / steps
    offset = (downtime - base) / steps
    expected = [(int(wait * i), int(base + offset * i)) for i in range(steps + 1)]
    policy = NovaPolicy(downtime=downtime, downtime_steps=steps, downtime_delay=delay)
    assert policy.steps(size) == expected
    limits = [ms for _, ms in expected]
    assert limits == sorted(limits)


@pytest.mark.parametrize(
    ("elapsed", "current", "expected"),
    [
        (0, None, None),
        (0.5, None, 50),
        (0.5, 50, None),
        (150, 50, None),
        (150.1, 50, 95),
        (400, 50, 140),
        (9e4, 500, None),
    ],
)
def test_a_step_holds_from_strictly_after_its_time_and_is_set_once(elapsed, current, expected):
    situation = Situation(elapsed=elapsed, data_gb=2, current_downtime=current)
    assert NovaPolicy(completion_timeout=0).decide(situation).downtime_ms == expected


@pytest.mark.parametrize("action", ["abort", "force_complete"])
def test_the_timeout_acts_strictly_after_it_and_again_at_every_poll(action):
    policy = NovaPolicy(completion_timeout=10, timeout_action=action)
    at = [policy.decide(Situation(elapsed=s, data_gb=2, current_downtime=50)).action for s in (20, 20.1, 20.6)]
    assert at == ["none", action, action]


def test_a_guest_in_post_copy_is_never_aborted_and_zero_means_no_timeout():
    late = Situation(elapsed=1e6, post_copy=True, data_gb=2)
    assert NovaPolicy().decide(late).action == "none"
    assert NovaPolicy(completion_timeout=0).decide(Situation(elapsed=1e6)).action == "none"


def test_memory_and_each_disk_count_two_gib_at_least():
    assert data_gb(512) == 2.0
    assert data_gb(3072) == 3.0
    assert data_gb(512, [1, 5 * 2**30]) == 9.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("downtime", 99),
        ("downtime_steps", 2),
        ("downtime_delay", 2),
        ("completion_timeout", -1),
        ("timeout_action", "x"),
    ],
)
def test_what_nova_s_options_refuse_is_refused_by_name(field, value):
    with pytest.raises(ConvergenceError, match=field):
        NovaPolicy(**{field: value})
