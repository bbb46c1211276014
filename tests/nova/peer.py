"""The other side of the differential tests: answers questions with the real Nova, run by a Python that has it.

Rules of this file:

- Nothing is imported but the standard library, Nova, and the files ``peer_*.py`` beside this one.
- One line of JSON in, one out. In: ``{"op": NAME, "calls": [[ARGUMENT, ...], ...]}``. Out: one answer for each call,
  ``{"ok": VALUE}`` or, for whatever Nova raised, ``{"error": CLASS, "message": TEXT}``.
- An operation is a function under its name in OPS. A file ``peer_*.py`` may bring more, in an ``OPS`` of its own.
- Only answers are written to standard output; what Nova prints goes to standard error.
"""

import importlib
import json
import os
import sys
from pathlib import Path

from nova.objects.base import NovaObject
from oslo_versionedobjects.base import ObjectListBase, VersionedObjectRegistry, obj_tree_get_versions
from oslo_versionedobjects.fields import UnspecifiedDefault

from nova import exception, objects


def registered():
    """The newest class of each name."""
    return {name: found[0] for name, found in sorted(VersionedObjectRegistry.obj_classes().items())}


def roundtrip(primitive):
    """What Nova makes of a primitive, written again."""
    return NovaObject.obj_from_primitive(primitive).obj_to_primitive()


def backport(primitive, version, manifest=None):
    """What Nova would send of a primitive to a peer that knows *version* of it, and *manifest* of what is inside."""
    return NovaObject.obj_from_primitive(primitive).obj_to_primitive(version, manifest)


def tree(name):
    """The versions of a class and of all that it may hold."""
    return obj_tree_get_versions(name)


def classes():
    """The version of every registered class."""
    return {name: cls.VERSION for name, cls in registered().items()}


def filled():
    """The fields that an object has before any is set, as primitives, by class: Nova fills them in when it reads, too."""
    return {name: cls().obj_to_primitive()["nova_object.data"] for name, cls in registered().items()}


def schema():
    """Of each field of each class: what it holds."""
    return {
        name: {
            field: {
                "type": type(held._type).__name__,
                "repr": describe(held),
                "nullable": held.nullable,
                "default": "" if held.default is UnspecifiedDefault else repr(held.default),
            }
            for field, held in cls.fields.items()
        }
        for name, cls in registered().items()
    }


def describe(field):
    """The type of a field with that of its elements: ``List(Set(Integer))``."""
    kind = field._type
    inner = getattr(kind, "_element_type", None)
    name = getattr(kind, "_obj_name", "")
    return type(kind).__name__ + (f"({describe(inner)})" if inner is not None else f"({name})" if name else "")


def lists():
    """The classes that are lists of objects."""
    return [name for name, cls in registered().items() if issubclass(cls, ObjectListBase)]


def no_service(_, host):
    """There is no database: for a ComputeNode older than 1.13 Nova looks its service up, and goes on without one."""
    raise exception.ComputeHostNotFound(host=host)


OPS = {f.__name__: f for f in (roundtrip, backport, tree, classes, filled, schema, lists)}


def answer(op, arguments):
    try:
        return {"ok": OPS[op](*arguments)}
    except Exception as error:  # noqa: BLE001  (the test judges what Nova raises)
        return {"error": type(error).__name__, "message": str(error)}


def encode(answers):
    return json.dumps(answers, separators=(",", ":"), default=sorted)  # sets have no order


def main():
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    objects.register_all()
    objects.Service.get_by_compute_host = no_service
    for path in sorted(Path(__file__).parent.glob("peer_*.py")):
        OPS.update(importlib.import_module(path.stem).OPS)
    for line in sys.stdin:
        asked = json.loads(line)
        out.write(encode([answer(asked["op"], arguments) for arguments in asked["calls"]]) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
