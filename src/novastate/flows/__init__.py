"""What a control plane does to its instances, written once and without I/O: generators that yield effects."""

from novastate.flows.build import build
from novastate.flows.delete import delete
from novastate.flows.effects import (
    Call,
    Claim,
    Effect,
    Find,
    Flow,
    Load,
    Note,
    Notify,
    Now,
    Release,
    Save,
    Schedule,
    Send,
    Wait,
)
from novastate.flows.live_migrate import LiveMigrationOptions, live_migrate
from novastate.flows.power import force_stop, pause, reboot, resume, start, stop, suspend, unpause
from novastate.flows.recovery import Recovered, recover
from novastate.flows.requests import abort_live_migration, active_live_migration, force_complete_live_migration

__all__ = [
    "Call",
    "Claim",
    "Effect",
    "Find",
    "Flow",
    "LiveMigrationOptions",
    "Load",
    "Note",
    "Notify",
    "Now",
    "Recovered",
    "Release",
    "Save",
    "Schedule",
    "Send",
    "Wait",
    "abort_live_migration",
    "active_live_migration",
    "build",
    "delete",
    "force_complete_live_migration",
    "force_stop",
    "live_migrate",
    "pause",
    "reboot",
    "recover",
    "resume",
    "start",
    "stop",
    "suspend",
    "unpause",
]
