"""Nova's tables as data, and how their words become states; see tests/machines/data/README.md."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from novastate.machines import (
    MIGRATION_MACHINES,
    Machine,
    MigrationStatus,
    PowerMachine,
    State,
    TaskMachine,
    TaskState,
    VMMachine,
    VMState,
)

DATA = Path(__file__).parent / "machines" / "data"
MACHINES: list[type[Machine[Any]]] = [VMMachine, TaskMachine, PowerMachine, *MIGRATION_MACHINES.values()]
CELLS = [(machine, trigger, state) for machine in MACHINES for trigger in machine.triggers for state in machine.states]

Edges = set[tuple[State, State]]


@cache
def reference(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


def holder(machine: type[Machine[Any]], state: object, **more: object) -> SimpleNamespace:
    """An object in *state*."""
    return SimpleNamespace(**{machine.field: state}, **more)


def moves(machine: type[Machine[Any]]) -> Edges:
    """The edges of *machine* that change the state."""
    return {(source, dest) for source, dests in machine.edges.items() for dest in dests if source is not dest}


def nova_vm_edges() -> Edges:
    told = reference("vm_edges")
    edges = {(VMState(source), VMState(dest)) for source, dest, _ in told["edges"]}
    for dest in told["from_every_state_but_deleted"]:
        edges |= {(source, VMState(dest)) for source in VMState if source is not VMState.DELETED}
    return {(source, dest) for source, dest in edges if source is not dest}


#: The links of task_edges.json that are written out in words.
IN_WORDS = {
    "None": [None],
    "resize_migrated (target-cell copy, no CAS)": ["resize_migrated"],
    "None, or shelving_offloading when shelved_offload_time == 0": [None, "shelving_offloading"],
    # Two saves in one entry; the way between them is the edge after it.
    "powering-off -> None": ["powering-off"],
}


def nova_task_edges() -> Edges:
    edges = {
        (TaskState(source), TaskState(dest))
        for row in reference("task_edges")
        for source in IN_WORDS.get(row["frm"], [row["frm"]])
        for dest in IN_WORDS.get(row["to"], [row["to"]])
    }
    # "Any link may be cut by None, or by deleting or soft-deleting"; a deletion that goes on goes on.
    for task in TaskState:
        edges |= {(task, TaskState.IDLE), (task, TaskState.DELETING)}
        if task is not TaskState.DELETING:
            edges.add((task, TaskState.SOFT_DELETING))
    # An action may begin from each task_state of its compare-and-swap, and evacuate from any.
    for row in reference("actions"):
        if row["action"] == "hard_reboot":
            edges |= {(TaskState(task), TaskState.REBOOTING_HARD) for task in row["cas_expected_task_states"]}
        if row["action"] == "evacuate":
            edges |= {(task, TaskState.REBUILDING) for task in TaskState}
    return {(source, dest) for source, dest in edges if source is not dest}


def nova_migration_edges(kind: str) -> Edges:
    return {
        (MigrationStatus(source), MigrationStatus(dest))
        for source, dests in reference("migration_edges")["legal_successors"][kind].items()
        for dest in dests
        if source not in ("None", dest)
    }
