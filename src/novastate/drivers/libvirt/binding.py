"""libvirt's Python binding, or what says that it is not installed.

Rules of this file: whoever needs libvirt imports it from here, so that every module of novastate can be imported without it. The
first use of what is not there raises NotSupported, with what to install.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from novastate.errors import NotSupported

__all__ = ["MISSING", "libvirt", "libvirt_qemu"]


class _Missing:
    """Stands where a module should be."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # introspection asks for these
            raise AttributeError(name)
        raise NotSupported(MISSING)


def _module(name: str) -> Any:
    """The module, or what refuses each use of it."""
    try:
        return import_module(name)
    except ImportError:
        return _Missing()


#: What to do where libvirt's binding is not installed.
MISSING = "libvirt-python is not installed: pip install 'novastate[libvirt]' (it needs the package libvirt-dev and a C compiler)"

libvirt: Any = _module("libvirt")
#: libvirt's own door to QEMU's monitor.
libvirt_qemu: Any = _module("libvirt_qemu")
