"""Fuzzes ``novastate.objects.loads``; see harness.py. An input is ``{"class": …, "data": …}``, so that a change can change the class."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz import harness

if __name__ == "__main__":
    harness.instrumented()

    from fuzz import laws

    harness.run("plain", laws.plain_text, laws.of_plain())
