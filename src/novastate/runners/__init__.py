"""What performs the effects of flows."""

from novastate.runners.local import Listener, LocalRunner

__all__ = ["Listener", "LocalRunner"]
