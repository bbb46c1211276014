"""The compiled codec and its twin are compared where the compiled one runs; the other variant has nothing to compare."""

from __future__ import annotations

from novastate._native.codec import CODEC

collect_ignore = [] if CODEC is not None else ["test_codec.py"]
