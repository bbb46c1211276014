"""Where the machines differ from what Nova's code does: each edge, with its reason.

Rule of this file: Nova's edges minus ours are exactly the ``dropped`` rows, ours minus Nova's exactly the
``added`` ones. A test holds it against the edges read from Nova's source (git 00a030403f, release 34.0.0), and
those of power_state against Nova's diagram, for its code refuses no observation.

A reason names the gotcha (G), the law (L) or the invariant (I) of the documentation that it answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from novastate.machines.migration import (
    ColdMigrationMachine,
    EvacuationMachine,
    LiveMigrationMachine,
    MigrationStatus,
    ResizeMachine,
)
from novastate.machines.power import PowerMachine, PowerState
from novastate.machines.table import Machine, State
from novastate.machines.task import TaskMachine, TaskState
from novastate.machines.vm import VMMachine, VMState

__all__ = ["DEVIATIONS", "Deviation"]


class Deviation(NamedTuple):
    """One edge that Nova has and `machine` has not (``dropped``), or the other way round (``added``)."""

    machine: str
    kind: Literal["dropped", "added"]
    source: State
    dest: State
    #: The gotcha that it removes or the law that it serves; empty for a move that Nova makes in other words.
    answers: str
    reason: str


def _cold(machine: type[Machine[MigrationStatus]]) -> Iterator[Deviation]:
    name = machine.__name__
    yield Deviation(
        name,
        "dropped",
        MigrationStatus.CONFIRMED,
        MigrationStatus.ERROR,
        "G8 L7",
        "Allocations and the old flavor go before the status becomes confirmed: nothing is left to fail.",
    )
    yield Deviation(
        name,
        "dropped",
        MigrationStatus.REVERTED,
        MigrationStatus.ERROR,
        "G5 L7",
        "The status becomes reverted when the old side is up; until then it is reverting, and may fail.",
    )


def _into(
    machine: type[Machine[TaskState] | Machine[VMState] | Machine[PowerState]],
    sources: Iterable[State],
    dest: State,
    answers: str,
    reason: str,
) -> Iterator[Deviation]:
    for source in sources:
        yield Deviation(machine.__name__, "added", source, dest, answers, reason)


def _rows() -> Iterator[Deviation]:
    status, task, vm = MigrationStatus, TaskState, VMState
    live, evacuation = LiveMigrationMachine.__name__, EvacuationMachine.__name__
    # live migration
    yield Deviation(
        live,
        "dropped",
        status.CANCELLED,
        status.ERROR,
        "G41 L7",
        "Nova 33 re-raises the aborted job's exception after a clean rollback; the rollback is the outcome.",
    )
    yield Deviation(
        live,
        "dropped",
        status.COMPLETED,
        status.ERROR,
        "G41 L7",
        "The allocation is handed over before the status becomes completed, so nothing is left to fail.",
    )
    yield Deviation(
        live,
        "dropped",
        status.FAILED,
        status.ERROR,
        "G20 L7",
        "No host found is one cause and one write: failed, for nothing of it is left behind.",
    )
    yield Deviation(
        live,
        "added",
        status.QUEUED,
        status.FAILED,
        "G11",
        "A queue that refuses is rolled back like every other failure before the transfer.",
    )
    yield Deviation(
        live,
        "added",
        status.PREPARING,
        status.FAILED,
        "G20",
        "A failed preparation is written once, after a rollback that left nothing, not as error and then as failed.",
    )
    # resize and cold migration
    yield from _cold(ColdMigrationMachine)
    yield from _cold(ResizeMachine)
    # evacuation
    for source in (status.ACCEPTED, status.PRE_MIGRATING):
        yield Deviation(
            evacuation,
            "dropped",
            source,
            status.COMPLETED,
            "G22 L1 L2",
            "A source that comes back may destroy its guest only when the destination is done with it.",
        )
    # vm_state
    yield Deviation(
        VMMachine.__name__,
        "dropped",
        vm.BUILDING,
        vm.SOFT_DELETED,
        "",
        "Soft deletion needs a launched instance; one that is being built is deleted at once, as in Nova.",
    )
    yield from _into(
        VMMachine,
        (vm.STOPPED, vm.PAUSED, vm.SUSPENDED),
        vm.SHELVED_OFFLOADED,
        "",
        "An instance that boots from a volume is offloaded at once from each state that may be shelved.",
    )
    # task_state
    yield from _into(
        TaskMachine,
        (task.SCHEDULING,),
        task.NETWORKING,
        "I7",
        "The host may take a new instance and begin in one write, without a moment in which nobody owns it.",
    )
    yield from _into(
        TaskMachine,
        (task.NETWORKING, task.BLOCK_DEVICE_MAPPING, task.SPAWNING),
        task.SCHEDULING,
        "",
        "Reschedule: Nova makes this move in its failure paths (nova/compute/manager.py:2508).",
    )
    yield from _into(
        TaskMachine,
        (task.IMAGE_UPLOADING,),
        task.IMAGE_PENDING_UPLOAD,
        "",
        "A direct snapshot failed and the host falls back (nova/virt/libvirt/driver.py:3394).",
    )
    yield from _into(
        TaskMachine,
        (task.SHELVING_IMAGE_UPLOADING,),
        task.SHELVING_IMAGE_PENDING_UPLOAD,
        "",
        "The same fall-back, while shelving.",
    )
    again = "A reboot that is taken up again after a restart (the set of nova/compute/manager.py:4460)."
    yield from _into(TaskMachine, (task.REBOOT_STARTED,), task.REBOOT_PENDING, "L8", again)
    yield from _into(TaskMachine, (task.REBOOT_STARTED_HARD,), task.REBOOT_PENDING_HARD, "L8", again)
    yield from _into(
        TaskMachine,
        (task.REBUILD_SPAWNING, task.RESIZE_REVERTING),
        task.POWERING_OFF,
        "I7",
        "Was off before, so it is stopped again, in one write: nobody can seize it in between.",
    )
    yield from _into(
        TaskMachine,
        (task.SHELVING,),
        task.SHELVING_OFFLOADING,
        "",
        "Booted from a volume: no image to upload (the set of nova/compute/manager.py:7699).",
    )
    # power_state
    power, on = PowerState, (PowerState.PAUSED, PowerState.SUSPENDED)
    yield from _into(
        PowerMachine,
        (power.NOSTATE, power.SHUTDOWN),
        power.PAUSED,
        "",
        "A guest is started with its CPUs still: what a migration's destination shows until the switch-over.",
    )
    yield from _into(
        PowerMachine, (*on, power.CRASHED), power.SHUTDOWN, "", "It is switched off in whatever state it is."
    )
    yield from _into(PowerMachine, on, power.CRASHED, "", "Its hypervisor process dies, though its CPUs stand still.")
    yield from _into(
        PowerMachine,
        (power.RUNNING, *on, power.CRASHED),
        power.NOSTATE,
        "",
        "A transient guest that ends, or has moved away, is forgotten at once, without being seen off.",
    )


#: Every edge in which a machine differs from Nova.
DEVIATIONS: tuple[Deviation, ...] = tuple(_rows())
