"""LibvirtDriver: the parts put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from novastate.drivers.libvirt.hypervisor import Hypervisor

__all__ = ["LibvirtDriver"]


class LibvirtDriver(Hypervisor):
    """A host that is run by libvirt, local or remote.

    *uri*: of its daemon (``qemu:///system``, ``qemu+tls://host/system`` …); *host*: its name in the fleet (default: what it calls
    itself); *timeout*: seconds that any call may take; *address*: where migrations to it connect (default: its host name); *peers*:
    by which URI its daemon reaches that of each other host; *instances_path*: the directory on it for new disks and what novastate
    keeps; *line_rate*: of its network, bytes a second; *define*: gives the domain XML of an instance that is to be spawned (default:
    :func:`~novastate.drivers.libvirt.xml.domain_xml`); *clock*: tells the time of events; *stop_delay*: seconds that a STOPPED event
    is held back; *keepalive*: see :class:`~novastate.drivers.libvirt.connection.Connection`.

    Nothing is opened before the first call. Raises InvalidField, and NotSupported where libvirt-python is not installed.
    """

    capabilities: ClassVar[Mapping[str, bool]] = {}
