"""Without libvirt-python everything else works, and LibvirtDriver says what to install. Runs with and without it."""

from __future__ import annotations

import subprocess
import sys


def test_without_libvirt_python_a_driver_says_what_to_install():
    code = """
import sys
sys.modules["libvirt"] = sys.modules["libvirt_qemu"] = None  # as if it were not installed
import importlib, pkgutil
import novastate.drivers.libvirt as package
for module in pkgutil.iter_modules(package.__path__):
    importlib.import_module(f"novastate.drivers.libvirt.{module.name}")
from novastate.drivers import LibvirtDriver
from novastate.errors import NotSupported
try:
    LibvirtDriver("qemu:///system", "alpha")
except NotSupported as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.startswith("alpha: libvirt-python is not installed: pip install 'novastate[libvirt]'")
