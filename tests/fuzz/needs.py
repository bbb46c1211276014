"""Why the fuzzers cannot run here."""

from __future__ import annotations

import importlib.util


def no_fuzzer() -> str:
    """Why there is no atheris, or ""."""
    if importlib.util.find_spec("atheris") is None:
        return "atheris is not installed (pip install --group fuzz: a package index, Linux, and a Python that it is built for)"
    return ""
