"""Fuzzes ``novastate.objects.nova.loads``; see harness.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz import harness

if __name__ == "__main__":
    harness.instrumented()

    from fuzz import laws
    from novastate.objects import nova

    harness.run("nova", lambda data: laws.wire(lambda: nova.loads(data), data), laws.of_nova())
