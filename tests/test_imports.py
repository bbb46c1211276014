"""What ``import novastate`` costs and shows, and how large its modules are."""

from __future__ import annotations

import importlib
import json
import pkgutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import novastate

SOURCE = Path(novastate.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
HEAVY = {"numpy", "sqlalchemy", "libvirt", "rich", "hypothesis", "matplotlib", "transitions", "orjson"}
PUBLIC = [name for name in novastate.__all__ if name != "__version__"]


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after *statement*."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return {name.partition(".")[0] for name in json.loads(run.stdout)}


def test_import_novastate_loads_nothing_heavy():
    assert not loaded_by("import novastate") & {*HEAVY, "attrs", "cattrs"}


@pytest.mark.parametrize("name", ["errors", "machines", "objects", "flows"])
def test_the_core_loads_nothing_heavy(name):
    assert not loaded_by(f"import novastate.{name}") & HEAVY


def test_the_policy_loads_no_numpy():
    assert not loaded_by("from novastate.convergence import NovaPolicy") & HEAVY


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_part_is_there_when_asked_for(name):
    assert getattr(novastate, name) is importlib.import_module(f"novastate.{name}")
    assert name in dir(novastate)


def test_no_module_takes_the_place_of_a_public_name():
    """A module that is loaded late becomes an attribute of its package, over a function of the same name."""
    code = """
import importlib, pkgutil, novastate
for package in [m.name for m in pkgutil.walk_packages(novastate.__path__, "novastate.") if m.ispkg]:
    part = importlib.import_module(package)
    modules = {m.name for m in pkgutil.iter_modules(part.__path__)} & set(getattr(part, "__all__", ()))
    for name in sorted(modules):
        before = getattr(part, name)
        importlib.import_module(f"{package}.{name}")
        if getattr(part, name) is not before:
            print(f"{package}.{name}")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not run.stdout.split()


def test_a_part_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'machine'"):
        novastate.machine  # noqa: B018


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_part_exports_what_it_names(name):
    part = importlib.import_module(f"novastate.{name}")
    exported = part.__all__
    assert len(exported) == len(set(exported))
    for public in exported:
        assert hasattr(part, public), public
    stray = {
        public
        for public, value in vars(part).items()
        if not public.startswith("_")
        and getattr(value, "__module__", "").startswith(f"novastate.{name}")
        and public not in exported
    }
    assert not stray, "public by name, but not in __all__"


def test_every_module_can_be_imported():
    for found in pkgutil.walk_packages([str(SOURCE)], "novastate."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)


def test_a_file_is_one_idea():
    lengths = {path: len(path.read_text().splitlines()) for path in MODULES}
    assert not {str(p.relative_to(SOURCE)): n for p, n in lengths.items() if n > 500}
    assert statistics.median(lengths.values()) <= 150
