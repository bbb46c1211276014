"""LibvirtDriver: the parts put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from novastate.drivers.libvirt.events import Events
from novastate.drivers.libvirt.guests import Guests
from novastate.drivers.libvirt.host import Host
from novastate.drivers.libvirt.measuring import Measuring
from novastate.drivers.libvirt.migrating import Migrating

__all__ = ["LibvirtDriver"]


class LibvirtDriver(Migrating, Measuring, Guests, Host, Events):
    """A host that is run by libvirt, local or remote.

    *uri*: of its daemon (``qemu:///system``, ``qemu+tls://host/system`` …); *host*: its name in the fleet (default: what it calls
    itself); *timeout*: seconds that any call may take; *address*: where migrations to it connect (default: its host name);
    *peers*: by which URI its daemon reaches that of each other host; *instances_path*: the directory on it for new disks and what
    novastate keeps; *images_path*: the directory on it under which images lie (default: *instances_path*); *line_rate*: of its
    network, bytes a second; *define*: gives the domain XML of an instance that is to be spawned (default:
    :func:`~novastate.drivers.libvirt.xml.domain_xml`); *virt_type*: ``kvm`` or ``qemu`` for that default (if None: ``kvm`` where
    the host says that it can); *clock*: tells the time of events; *stop_delay*: seconds that a STOPPED event is held back;
    *keepalive*: see :class:`~novastate.drivers.libvirt.connection.Connection`; *allow_monitor*: whether QEMU's monitor may be
    asked while a guest is measured, which taints the domain (``custom-monitor``).

    Nothing is opened before the first call. Raises InvalidField, and NotSupported where libvirt-python is not installed.
    """

    capabilities: ClassVar[Mapping[str, bool]] = {
        "supports_live_migration": True,
        "supports_block_migration": True,
        "supports_post_copy": True,
        "supports_auto_converge": True,
        "supports_parallel_migration": True,
        # Why: :meth:`novastate.drivers.libvirt.moving.Moving.live_migration`.
        "supports_post_copy_recovery": False,
        "supports_measure": True,
    }
