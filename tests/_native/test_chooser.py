"""NOVASTATE_NATIVE chooses the variant once for a process; there is no silent fallback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import novastate
from novastate import _native

PROBE = "import novastate, novastate._native as n; from novastate._native import tables; print(n.NATIVE, tables.isa(), n.REASON)"


def probe(mode: str | None, package: Path | None = None, isa: str | None = None) -> subprocess.CompletedProcess[str]:
    """Asks a fresh interpreter which variant runs; *package* is a directory that holds another copy of novastate."""
    env = {name: value for name, value in os.environ.items() if name not in {"NOVASTATE_NATIVE", "NOVASTATE_ISA"}}
    code = PROBE
    if mode is not None:
        env["NOVASTATE_NATIVE"] = mode
    if isa is not None:
        env["NOVASTATE_ISA"] = isa
    if package is not None:
        # Before whatever finder the installation put there, which knows where the compiled modules are.
        code = f"import sys; sys.meta_path[:] = [f for f in sys.meta_path if isinstance(f, type)]; sys.path.insert(0, {str(package)!r})\n{PROBE}"
    return subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=env, timeout=60
    )


@pytest.fixture(scope="module")
def without_kernels(tmp_path_factory) -> Path:
    """A copy of the package that has no compiled module, as a machine without a compiler installs it."""
    where = tmp_path_factory.mktemp("copy")
    shutil.copytree(
        Path(novastate.__file__).parent,
        where / "novastate",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
    )
    return where


needs_kernels = pytest.mark.skipif(
    os.environ.get("NOVASTATE_NATIVE") != "require" and probe("auto").stdout.startswith("False"),
    reason="the compiled kernels are not installed here",
)


def test_off_takes_the_twins_and_says_so():
    assert probe("off").stdout == "False python NOVASTATE_NATIVE=off\n"


@needs_kernels
@pytest.mark.parametrize("mode", [None, "", "auto", "require"])
def test_the_kernels_run_where_they_are_installed(mode):
    native, isa, reason = probe(mode).stdout.split(maxsplit=2)
    assert (native, reason) == ("True", "the compiled kernels are installed\n")
    assert isa != "python"


@pytest.mark.parametrize("mode", [None, "auto"])
def test_auto_falls_back_and_says_why(mode, without_kernels):
    assert (
        probe(mode, without_kernels).stdout
        == "False python the compiled kernels cannot be loaded: No module named 'novastate._native._tables'\n"
    )


def test_require_raises_where_there_are_no_kernels(without_kernels):
    run = probe("require", without_kernels)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("ImportError: NOVASTATE_NATIVE=require, but the compiled kernels")


@pytest.mark.parametrize("mode", ["of", "Require", "1"])
def test_a_typo_is_refused_with_the_known_words(mode):
    run = probe(mode)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == f"ImportError: NOVASTATE_NATIVE={mode!r}: must be one of auto, require, off"


def test_this_run_is_the_variant_it_was_asked_for():
    if _native.MODE != "auto":
        assert _native.NATIVE is (_native.MODE == "require")


#: Every name of dispatch.h; no processor has all of them.
LEVELS = ("avx512", "avx2", "neon", "scalar")


def here() -> tuple[str, ...]:
    """The names that the installed kernels know, whichever variant this process runs."""
    names: tuple[str, ...] = import_module("novastate._native._tables").variants()
    return names


@needs_kernels
@pytest.mark.parametrize("isa", LEVELS)
def test_the_instruction_set_that_was_asked_for_runs_or_is_refused(isa):
    run = probe("require", isa=isa)
    if isa in here():
        assert run.stdout.split()[:2] == ["True", isa]
    else:
        assert run.stderr.splitlines()[-1].startswith(f"ImportError: NOVASTATE_ISA={isa!r}: this processor and build")


@needs_kernels
def test_an_unknown_instruction_set_is_refused_with_those_that_are_there():
    assert probe("auto", isa="sse9").stderr.splitlines()[-1].startswith("ImportError: NOVASTATE_ISA='sse9': this")


def test_the_twins_have_no_instruction_set_to_choose():
    run = probe("off", isa="scalar")
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("ImportError: NOVASTATE_ISA='scalar' is for the compiled kernels")
