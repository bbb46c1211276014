"""Writes docs/generated/ from the tables of the package: machines with their diagrams, actions, what drivers can do, the API pages.

A picture or a table in the documentation can therefore not differ from what the code does.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx

from novastate import drivers, machines, objects
from novastate.drivers.capabilities import CAPABILITIES, supports
from novastate.errors import WireError
from novastate.objects import RecordList, nova
from novastate.objects.base import declared, fields, is_mutable
from novastate.objects.nova.versions import CURRENT, versions
from novastate.testing import DriverConformance

#: The public parts, in the order in which a reader needs them.
PARTS = (
    "machines",
    "objects",
    "convergence",
    "drivers",
    "scheduling",
    "store",
    "flows",
    "runners",
    "testing",
    "errors",
)

#: Modules that belong to a part, and are no public names of it.
BESIDE = {
    "objects": (
        "nova",
        "resize",
        "migration_context",
        "totals",
        "host_numa",
        "numa_constraints",
        "numa_fit",
        "numa_usage",
        "pci_match",
        "pci_claim",
    ),
}


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; an empty cell is a hyphen."""
    head = list(head)
    lines = [head, ["---"] * len(head)]
    lines += [[str(cell).replace("|", "\\|") or "-" for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def named(states: Iterable[Any], everything: int) -> str:
    """The states of a cell, or *any* where all of them are meant."""
    states = list(states)
    return "any" if len(states) == everything else ", ".join(f"`{state}`" for state in states)


def ordered(states: Iterable[Any], enum: Iterable[Any]) -> list[Any]:
    """In the order of the enum, so that a page never depends on hashes."""
    members = set(states)
    return [state for state in enum if state in members]


def machine_page(machine: type[machines.Machine[Any]], svg: str) -> str:
    """One machine: what it is, its picture, its rows."""
    final = ", ".join(f"`{state}`" for state in ordered(machine.final, machine.states)) or "none"
    return f"""\
# {machine.__name__}

{(machine.__doc__ or "").strip().splitlines()[0]}

Kept in the attribute `{machine.field}`; {len(list(machine.states))} states, {len(machine.rows)} rows.
An object may be created in {", ".join(f"`{s}`" for s in ordered(machine.initial, machine.states))}.
Nothing leaves {final}.

![The states and triggers of {machine.__name__}]({svg})

{machine.diagram("table")}"""


def actions_page() -> str:
    """Which action may start where."""
    rows = [
        [
            f"`{action.value}`",
            named(ordered(rule.vm_states, machines.VMState), len(machines.VMState)),
            named(ordered(rule.task_states, machines.TaskState), len(machines.TaskState)),
            "" if rule.task_state is None else f"`{rule.task_state}`",
            "" if rule.expects is None else named(ordered(rule.expects, machines.TaskState), len(machines.TaskState)),
            "yes" if rule.must_have_launched else "",
            "yes" if rule.honours_lock else "",
            rule.instance_action or "",
        ]
        for action, rule in machines.ACTIONS.items()
    ]
    head = [
        "action",
        "vm_state",
        "task_state",
        "sets",
        "compare-and-swap expects",
        "launched",
        "lock",
        "recorded as",
    ]
    return f"""\
# Actions

The {len(rows)} things that may be asked of a server, and where each may start: in one of these `vm_state` and
`task_state`; what it then writes to `task_state`, and what that save expects to find there;
whether the server must have been launched once, whether a lock refuses it, and the name under which it is recorded.
Elsewhere {{func}}`novastate.machines.check` refuses it.

{table(head, rows)}"""


def power_sync_page() -> str:
    """What to do when the hypervisor says otherwise than vm_state."""
    rows = [
        [f"`{vm_state}`", *(f"{machines.POWER_SYNC[vm_state, power].value}" for power in machines.PowerState)]
        for vm_state in machines.VMState
    ]
    cells = table(["", *(str(power.name) for power in machines.PowerState)], rows)
    actions = "".join(f"- `{action.value}`\n" for action in machines.PowerSyncAction)
    return f"""\
# Power sync

What {{func}}`novastate.machines.sync_power` does with a server of this `vm_state` (rows) when the hypervisor says that
its guest is in this power state (columns), no task is pending, and the server is still on that host.
With a task pending, or on another host, nothing is written.

{cells}
All that it may answer:

{actions}"""


def deviations_page() -> str:
    """Where the machines differ from what Nova's code does."""
    rows = [[d.machine, d.kind, f"`{d.source}`", f"`{d.dest}`", d.answers, d.reason] for d in machines.DEVIATIONS]
    return f"""\
# Differences from Nova

{len(rows)} edges, and no others, by which a machine differs from what Nova's code does (release 34.0.0), each with
its reason. A test holds this list against the edges read from Nova's source, and those of `power_state` against
Nova's diagram: its code refuses no observation, and neither does novastate; the rows are single moves of a guest.
What a row answers is a gotcha (G, see {{doc}}`../gotchas`), a law (L) or an invariant (I, see {{doc}}`../laws`).

{table(["machine", "edge", "from", "to", "answers", "reason"], rows)}"""


def recoveries_page() -> str:
    """The joint states that must not last, how long they may, and the way out."""

    def cell(states: frozenset[Any] | None, enum: Iterable[Any]) -> str:
        everything = [None, *enum]
        if states is None or len(states) == len(everything):
            return "any"
        known = ordered(states, everything)
        if len(known) > 6:
            return "any but " + ", ".join(f"`{state or 'none'}`" for state in everything if state not in states)
        return ", ".join(f"`{state or 'none'}`" if state is None else f"`{state}`" for state in known)

    def waits(seconds: float) -> str:
        return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"

    rows = []
    for row in machines.RECOVERIES:
        when, what = row.when, row.recovery
        seen = "; ".join(f"{where.value}: {way.value}" for where, way in what.seen.items())
        kinds = ", ".join(str(kind) for kind in ordered(when.kind or (), machines.MigrationType))
        rows.append(
            [
                cell(when.vm, machines.VMState),
                cell(when.task, machines.TaskState),
                cell(when.power, machines.PowerState),
                f"{kinds} {cell(when.status, machines.MigrationStatus)}".strip(),
                waits(what.deadline),
                seen or what.way.value,
                what.reason,
            ]
        )
    stable = sum(map(machines.JOINT.stable, machines.JOINT.reachable))
    invariants = "".join(f"- {invariant.name}\n" for invariant in machines.INVARIANTS)
    return f"""\
# Recovery

From a new server {len(machines.JOINT.reachable):,} joint states (`vm_state`, `task_state`, `power_state`, migration)
can be reached. In {stable} of them nobody has to do anything; each of the others matches a row below, the first that
fits: after its deadline, counted from the last write of the record, {{func}}`novastate.machines.recovery` says which way
out to take. *on* does the rest of what was begun, *back* undoes it, *error* leaves it to a hand; where the record
cannot tell, the hypervisors are asked where the guest is. A test walks all of them.

{table(["vm_state", "task_state", "power_state", "migration", "deadline", "way", "because"], rows)}
In every reachable state these hold ({{doc}}`../laws` explains the numbers):

{invariants}"""


def capabilities_page() -> str:
    """What each driver can do, and how that is held against it."""
    classes = {"simulated": drivers.SimulatedDriver, "libvirt": drivers.LibvirtDriver}
    rows = [
        [
            f"`{name}`",
            what.means,
            *("yes" if supports(driver, name) else "no" for driver in classes.values()),
            what.asked,
        ]
        for name, what in CAPABILITIES.items()
    ]
    checks = "".join(
        f"- `{name}`: {str(getattr(DriverConformance, name).__doc__).splitlines()[0]}\n"
        for name in DriverConformance.names()
    )
    return f"""\
# Capabilities

What the drivers of this version declare to be able to do beyond what every driver must. Without a capability, what is in the last
column raises {{class}}`~novastate.errors.NotSupported`.

{table(["capability", "means", *classes, "asked for by"], rows)}
## What is checked

{{class}}`~novastate.testing.DriverConformance` holds every driver to these, on the simulated driver and between two real libvirt
daemons; one that needs what a driver does not declare checks that it is refused:

{checks}"""


def objects_page() -> str:
    """Every object, its version in Nova, and what an older peer can be given."""
    rows, others = [], []
    for name, cls in sorted(declared().items()):
        kind = "list" if issubclass(cls, RecordList) else "record" if is_mutable(cls) else "value"
        own = [field for field in fields(cls).values() if field.wire]
        row = [f"{{class}}`~novastate.objects.{name}`", len(own), kind]
        if name in CURRENT:
            rows.append([*row[:1], CURRENT[name], *row[1:], versions(name)[0], nova_2023(name)])
        elif hasattr(objects, name):
            others.append([*row, (cls.__doc__ or "").strip().splitlines()[0]])
    head = ["object", "Nova 34", "fields", "kind", "oldest that `dump` gives", "in Nova 2023.1"]
    return f"""\
# All objects

The {len(rows)} objects of Nova 34.0.0: their version there, how many fields they have, whether they are *records*, which
change, or *values* and *lists*, which do not, and the oldest version that {{func}}`~novastate.objects.nova.dump` gives.
The last column is what `dump(obj, release="2023.1")` gives; the releases are {", ".join(nova.releases())}.

{table(head, rows)}
These are no objects of Nova: what its network model is made of, bases, and novastate's own.

{table(["object", "fields", "kind", "meaning"], others)}"""


def nova_2023(name: str) -> str:
    """The version of an object in the release 2023.1; empty where it did not have it."""
    try:
        return nova.manifest(name, release="2023.1")[name]
    except WireError:
        return ""


def api_page(part: str) -> str:
    """The reference of one public part, and of the modules among its public names, from their docstrings."""
    package = importlib.import_module(f"novastate.{part}")
    names = [f"novastate.{part}"]
    names += [value.__name__ for name in package.__all__ if isinstance(value := getattr(package, name), ModuleType)]
    names += [f"novastate.{part}.{name}" for name in BESIDE.get(part, ())]
    sections = [f"# {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n" for name in names]
    return "\n#".join(sections)


def generate(app: Sphinx) -> None:
    out = Path(app.srcdir, "generated")
    shutil.rmtree(out, ignore_errors=True)
    pages = {
        "actions.md": actions_page(),
        "power_sync.md": power_sync_page(),
        "recoveries.md": recoveries_page(),
        "deviations.md": deviations_page(),
        "capabilities.md": capabilities_page(),
        "objects.md": objects_page(),
    }
    drawn = [machines.VMMachine, machines.TaskMachine, machines.PowerMachine]
    drawn += [m for m in dict.fromkeys(machines.MIGRATION_MACHINES.values()) if m not in drawn]
    for machine in drawn:
        svg = f"{machine.__name__}.svg"
        pages[f"machines/{svg}"] = machine.diagram("svg")
        pages[f"machines/{machine.__name__}.md"] = machine_page(machine, svg)
    for part in PARTS:
        pages[f"api/{part}.md"] = api_page(part)
    for name, text in pages.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
