"""Real hosts: the driver that speaks to libvirt daemons.

Every module can be imported without libvirt-python; to make a driver takes the extra ``novastate[libvirt]``.
"""

from novastate.drivers.libvirt.connection import Connection
from novastate.drivers.libvirt.driver import LibvirtDriver
from novastate.drivers.libvirt.event_loop import own_event_loop

__all__ = ["Connection", "LibvirtDriver", "own_event_loop"]
