"""Machines: a checked trigger, a fleet, and the memory of a managed object, beside their peers

Each repeat runs every contender in turn, so that a slow spell of the machine falls on all of them; the figure is
the median of the repeats. A trigger is one of pause and unpause, on the vm_state of an object.
"""

from __future__ import annotations

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import attrs
import numpy as np
import transitions
from statemachine import State as PeerState
from statemachine import StateMachine

from novastate._native import tables, tables_py
from novastate.machines import VMMachine, VMState

REPEATS = 15
FLEET = 1_000_000
OBJECTS = 10_000
#: What the project promises.
LIMITS = {"trigger": 0.25, "python": 0.8, "native": 0.3, "object": 80}


@attrs.define
class Server:
    vm_state: VMState = VMState.ACTIVE


class Model:
    """A model of transitions; it cannot have slots."""


class Peer(StateMachine):
    active = PeerState(initial=True)
    paused = PeerState()
    pause = active.to(paused)
    unpause = paused.to(active)


def registering() -> transitions.Machine:
    machine = transitions.Machine(model=None, states=VMState, initial=VMState.ACTIVE, auto_transitions=False)
    machine.add_transition("pause", VMState.ACTIVE, VMState.PAUSED)
    machine.add_transition("unpause", VMState.PAUSED, VMState.ACTIVE)
    return machine


def timed(work: Callable[[], object], loops: int) -> float:
    """Seconds of CPU per loop."""
    start = time.process_time_ns()
    for _ in range(loops):
        work()
    return (time.process_time_ns() - start) / loops / 1e9


def medians(contenders: dict[str, tuple[Callable[[], object], int]]) -> dict[str, float]:
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(REPEATS):
        for name, (work, loops) in contenders.items():
            seen[name].append(timed(work, loops))
    return {name: statistics.median(times) for name, times in seen.items()}


def triggers() -> dict[str, float]:
    """Microseconds of one trigger."""
    slotted, server = Server(), SimpleNamespace(vm_state=VMState.ACTIVE)
    pause, unpause = VMMachine.pause, VMMachine.unpause

    def ours(obj: object) -> Callable[[], None]:
        def both() -> None:
            pause(obj)
            unpause(obj)

        return both

    by_name = VMMachine.trigger

    def named() -> None:
        by_name("pause")(slotted)
        by_name("unpause")(slotted)

    events = VMMachine.engine().events
    driven = SimpleNamespace(vm_state=VMState.ACTIVE)

    def engine() -> None:
        events["pause"].trigger(driven)
        events["unpause"].trigger(driven)

    model = Model()
    registering().add_model(model)

    def registered() -> None:
        model.pause()
        model.unpause()

    peer = Peer()

    def statemachine() -> None:
        peer.pause()
        peer.unpause()

    seen = medians(
        {
            "novastate, attrs object with slots": (ours(slotted), 20_000),
            "novastate, plain object": (ours(server), 20_000),
            "novastate, trigger looked up by name": (named, 20_000),
            f"transitions {transitions.__version__}, registered model": (registered, 500),
            f"transitions {transitions.__version__}, unregistered (`engine()`)": (engine, 500),
            f"python-statemachine {version('python-statemachine')}": (statemachine, 100),
        }
    )
    return {name: 1e6 * seconds / 2 for name, seconds in seen.items()}


def version(package: str) -> str:
    from importlib.metadata import version as installed

    return installed(package)


def fleets() -> dict[str, float]:
    """Nanoseconds of one state of a fleet of a million."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, len(VMState), FLEET, dtype=np.uint8).tobytes()
    table = VMMachine.table("delete")
    cells, array = np.frombuffer(table, dtype=np.uint8), np.frombuffer(codes, dtype=np.uint8)
    contenders: dict[str, tuple[Callable[[], object], int]] = {
        "numpy, `table[codes]`": (lambda: cells[array], 5),
        "`bytes.translate`, the Python twin": (lambda: tables_py.translate(codes, table), 5),
    }
    before = tables.isa()
    for isa in tables.variants():
        if isa != "python":

            def native(isa: str = isa) -> None:
                tables.force_isa(isa)
                tables.translate(codes, table)

            contenders[f"native, {isa}"] = (native, 5)
    seen = {name: 1e9 * seconds / FLEET for name, seconds in medians(contenders).items()}
    tables.force_isa(before)
    return seen


def memory() -> dict[str, float]:
    """Bytes of one more managed object with a state, its place in a list included."""

    def registered() -> Iterator[object]:
        machine = registering()
        for _ in range(OBJECTS):
            model = Model()
            machine.add_model(model)
            yield model

    def peer() -> Iterator[object]:
        return (Peer() for _ in range(OBJECTS // 20))

    contenders: dict[str, Callable[[], Iterator[object]]] = {
        "novastate, attrs object with slots": lambda: (Server() for _ in range(OBJECTS)),
        "the same object without slots": lambda: (SimpleNamespace(vm_state=VMState.ACTIVE) for _ in range(OBJECTS)),
        f"transitions {transitions.__version__}, registered model": registered,
        f"python-statemachine {version('python-statemachine')}": peer,
    }
    return {name: size(make) for name, make in contenders.items()}


def size(make: Callable[[], Iterator[object]]) -> float:
    list(make())  # what is made once and kept
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    kept = list(make())
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(kept)


def table(head: str, unit: str, figures: dict[str, float], digits: int, limits: dict[str, float]) -> list[str]:
    lines = [f"| {head} | {unit} | limit |", "| --- | ---: | ---: |"]
    for name, figure in figures.items():
        limit = next((f"{value:g}" for start, value in limits.items() if name.startswith(start)), "")
        lines.append(f"| {name} | {figure:,.{digits}f} | {limit} |")
    return [*lines, ""]


def main() -> str:
    native = {f"native, {tables.isa()}": LIMITS["native"], "`bytes.translate`": LIMITS["python"]}
    return "\n".join(
        [
            *table("one checked trigger", "µs", triggers(), 3, {"novastate, attrs": LIMITS["trigger"]}),
            *table(f"a fleet of {FLEET:,} states, one trigger", "ns a state", fleets(), 3, native),
            *table("one more managed object", "bytes", memory(), 0, {"novastate": LIMITS["object"]}),
            f"The kernel that runs here by default: {tables.isa()}. Import times stand with `bench_import`.",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(main() + "\n")
