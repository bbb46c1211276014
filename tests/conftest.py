"""What every test stands on: the Hypothesis profiles, and a header that says which variant is under test.

``HYPOTHESIS_PROFILE`` names a profile; where ``CI`` is set the default is ``ci``, else ``dev``.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from novastate import _native

# A shared machine may stall for any time, so only the number of examples is bounded, never their time.
settings.register_profile(
    "dev", max_examples=50, deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)
# The same examples in every run: a red CI is red for the change under test.
settings.register_profile("ci", settings.get_profile("dev"), max_examples=100, derandomize=True, print_blob=True)
settings.register_profile("nightly", settings.get_profile("dev"), max_examples=5000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def pytest_report_header() -> str:
    variant = "native" if _native.NATIVE else "pure Python"
    return f"novastate: {variant} ({_native.REASON}); hypothesis profile {settings.get_current_profile_name()}"


@pytest.fixture
def world():
    """A small cloud for flows; see flow_world."""
    from flow_world import World

    return World()
