"""power_state: what the hypervisor said of the guest."""

from __future__ import annotations

from novastate.machines.table import State

__all__ = ["PowerState"]


class PowerState(State):
    """The six values of Nova's ``power_state``; the numbers are Nova's, 2 and 5 are dead slots."""

    NOSTATE = 0
    RUNNING = 1
    PAUSED = 3
    SHUTDOWN = 4
    CRASHED = 6
    SUSPENDED = 7

    def __str__(self) -> str:
        return self.name
