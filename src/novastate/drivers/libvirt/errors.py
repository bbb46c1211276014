"""What libvirt's errors are in novastate: one table.

Rules of this file:

1. libvirt's code, domain and text are kept: ``error.code``, ``error.domain``, ``error.text``.
2. DriverTimeout says that the reply is lost, and calling again is safe. So a connection that broke under a call, and a guest whose
   lock was not had in time, are DriverTimeout; a daemon that cannot be reached at all has not been asked, and is DriverError.
3. A refusal of the hypervisor is DriverError, unless a row says more.

The numbers are those of ``virErrorNumber`` and ``virErrorDomain`` (libvirt/virterror.h), which never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from novastate.errors import DriverError, DriverTimeout, GuestNotFound, NotSupported

__all__ = ["CODES", "is_lost", "translate"]

_INTERNAL_ERROR = 1  # VIR_ERR_INTERNAL_ERROR
_SYSTEM_ERROR = 38  # VIR_ERR_SYSTEM_ERROR
#: Who speaks when a connection breaks: VIR_FROM_RPC (7), VIR_FROM_REMOTE (13); Nova: libvirt/host.py ``_test_connection``.
_WIRE = frozenset({7, 13})
#: VIR_ERR_RPC: between client and daemon, whoever says so.
_RPC = 39

#: The errors of libvirt that are more than a refusal.
CODES: Mapping[int, type[DriverError]] = MappingProxyType(
    {
        42: GuestNotFound,  # VIR_ERR_NO_DOMAIN
        3: NotSupported,  # VIR_ERR_NO_SUPPORT: this hypervisor has no such call
        67: NotSupported,  # VIR_ERR_CONFIG_UNSUPPORTED
        74: NotSupported,  # VIR_ERR_ARGUMENT_UNSUPPORTED
        84: NotSupported,  # VIR_ERR_OPERATION_UNSUPPORTED
        68: DriverTimeout,  # VIR_ERR_OPERATION_TIMEOUT: the guest's lock was held by another call (30 s, src/hypervisor/domain_job.c)
    }
)


def is_lost(error: Any) -> bool:
    """Whether *error*, a libvirtError, says that the connection broke."""
    code, domain = error.get_error_code(), error.get_error_domain()
    return code == _RPC or (code in {_INTERNAL_ERROR, _SYSTEM_ERROR} and domain in _WIRE)


def translate(error: Any, what: str, *, host: str | None = None, uuid: str = "", opening: bool = False) -> DriverError:
    """The error of novastate for *error*, a libvirtError that *what* met; *opening*: there was no connection yet."""
    # A libvirtError that the binding made itself carries no code.
    code: Any = error.get_error_code()
    kind: type[DriverError] = CODES.get(code, DriverError)
    if opening:
        kind = DriverError
    elif is_lost(error):
        kind = DriverTimeout
    text = error.get_error_message() or str(error)
    about = f"guest {uuid}: {what}" if uuid else what
    return kind(f"{about}: {text}", host=host, code=code, domain=error.get_error_domain())
