"""Which hosts can take a request, and holding the room on one."""

from novastate.scheduling.claims import INITIAL_RATIOS, Room, claim, hold, needs, release, room
from novastate.scheduling.select import FILTERS, WEIGHERS, select

__all__ = ["FILTERS", "INITIAL_RATIOS", "WEIGHERS", "Room", "claim", "hold", "needs", "release", "room", "select"]
