"""A hypervisor that runs no guest and behaves as if it did: hosts, disks, links, page-exact live migration, scripted faults."""

from novastate.drivers.simulated.calls import DISK_KEY
from novastate.drivers.simulated.cloud import LAW_KEY, ZERO_KEY, SimulatedCloud
from novastate.drivers.simulated.driver import SimulatedDriver
from novastate.drivers.simulated.spec import Fault, SimulatedHost

__all__ = ["DISK_KEY", "LAW_KEY", "ZERO_KEY", "Fault", "SimulatedCloud", "SimulatedDriver", "SimulatedHost"]
