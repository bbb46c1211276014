"""What a control plane does to its instances, written once and without I/O: generators that yield effects."""

from novastate.flows.adopt import Adopted, Outcome, Survey, adopt, adopt_host, survey
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
    Recall,
    Release,
    Save,
    Schedule,
    Send,
    Wait,
)
from novastate.flows.forecast import forecast_live_migration
from novastate.flows.live_migrate import live_migrate
from novastate.flows.live_migration_options import LiveMigrationOptions
from novastate.flows.power import force_stop, pause, reboot, resume, start, stop, suspend, unpause
from novastate.flows.recovery import Recovered, recover
from novastate.flows.requests import abort_live_migration, active_live_migration, force_complete_live_migration

__all__ = [
    "Adopted",
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
    "Outcome",
    "Recall",
    "Recovered",
    "Release",
    "Save",
    "Schedule",
    "Send",
    "Survey",
    "Wait",
    "abort_live_migration",
    "active_live_migration",
    "adopt",
    "adopt_host",
    "build",
    "delete",
    "force_complete_live_migration",
    "force_stop",
    "forecast_live_migration",
    "live_migrate",
    "pause",
    "reboot",
    "recover",
    "resume",
    "start",
    "stop",
    "survey",
    "suspend",
    "unpause",
]
