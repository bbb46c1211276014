"""Reads the message by which Nova's conductor starts a live migration, moves it on, and writes what a peer of an older release reads.

    .venv/bin/python examples/nova_payload.py

The message is as oslo.messaging puts it on the wire, written by the classes of Nova 34, with made-up names and addresses.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from novastate.machines import LiveMigrationMachine as Machine
from novastate.objects import Record, changes, nova

MESSAGE = Path(__file__).parent / "payloads" / "live_migration.json"


def request_in(message: str) -> dict[str, Any]:
    """The RPC request in *message*, which holds it as a JSON text in JSON, with objects in the place of their envelopes."""
    request = json.loads(json.loads(message)["oslo.message"])
    read = {name: nova.load(arg) if is_object(arg) else arg for name, arg in request["args"].items()}
    return {**request, "args": read}


def is_object(arg: object) -> bool:
    """Whether an argument is one of Nova's objects, in its envelope."""
    return isinstance(arg, dict) and "nova_object.name" in arg


def message_of(request: Mapping[str, Any], release: str | None = None) -> str:
    """The message with *request*, for a peer of *release*; for one of today where none is named."""
    args = request["args"].items()
    plain = {name: nova.dump(arg, release=release) if isinstance(arg, Record) else arg for name, arg in args}
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps({**request, "args": plain})})


def main() -> None:
    """What becomes of the message.

    >>> main()
    live_migration of vm-1 from cmp-a to cmp-b: accepted
    running, changed: memory_remaining, memory_total, status
    Migration 1.7 for 2023.1: dest_compute_id is left out
    """
    request = request_in(MESSAGE.read_text())
    instance, migration = request["args"]["instance"], request["args"]["migration"]
    host, dest, status = instance.host, request["args"]["dest"], migration.status
    print(f"{request['method']} of {instance.display_name} from {host} to {dest}: {status}")

    for step in (Machine.queue, Machine.prepare, Machine.run):
        step(migration)  # a step that is no row of the table raises IllegalTransition, and changes nothing
    migration.memory_total, migration.memory_remaining = 2 * 2**30, 2**30
    print(f"{migration.status}, changed: {', '.join(sorted(changes(migration)))}")

    told = json.loads(json.loads(message_of(request, "2023.1"))["oslo.message"])["args"]["migration"]
    lost = nova.dump(migration)["nova_object.data"].keys() - told["nova_object.data"].keys()
    print(f"Migration {told['nova_object.version']} for 2023.1: {', '.join(sorted(lost))} is left out")


if __name__ == "__main__":
    main()
