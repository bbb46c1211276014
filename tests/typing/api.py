"""What the type checkers must see in the public names; run by mypy and pyright, never imported."""

from __future__ import annotations

from typing import assert_type

import novastate
from novastate._native import MODE, NATIVE, REASON, tables

assert_type(novastate.__version__, str)
assert_type(NATIVE, bool)
assert_type(MODE, str)
assert_type(REASON, str)
assert_type(tables.translate(b"", bytes(256)), bytes)

# A state is a member of its own enum, through the lazily imported part as well.
assert_type(novastate.machines.VMState("active"), novastate.machines.VMState)
