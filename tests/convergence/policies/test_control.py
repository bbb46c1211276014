"""How long a policy lets a migration run."""

from __future__ import annotations

import pytest

from novastate.convergence import FixedPolicy, ForecastPolicy, NovaPolicy
from novastate.convergence.policies.control import horizon


@pytest.mark.parametrize(
    ("policy", "end"),
    [
        (NovaPolicy(completion_timeout=10), 30),
        (NovaPolicy(completion_timeout=0), None),
        (ForecastPolicy(latest_end=60), 60),
        (ForecastPolicy(latest_end=60, per_gib=True), 180),
        (ForecastPolicy(), None),
        (FixedPolicy(timeout=7), 7),
        (FixedPolicy(), None),
        (object(), None),
    ],
)
def test_a_policy_ends_a_migration_when_its_time_is_over_and_one_that_does_not_say_never(policy, end):
    assert horizon(policy, 3) == end
