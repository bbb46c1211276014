"""State machines, domain objects, crash-safe workflows and a live-migration forecast for VM control planes."""

__version__ = "0.1.0"
