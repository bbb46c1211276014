"""What has changed in an object since it was loaded or saved.

Rules of this file:

1. An object that was built here and saved nowhere is all change: every field that is set.
2. A mutable record that was loaded or saved has changed where a field holds another value than it did then. Setting a field back
   undoes the change.
3. A value never changes; one that :func:`~novastate.objects.evolve` made of a loaded one counts the fields that differ.
4. What was loaded as changed (Nova says so in its envelope) stays changed until it is saved.
5. A field has changed when an object in it has, but for the objects of a plain list (not of a TagList or its like): as in Nova.
6. A field that is UNSET has no change: it is told to nobody.

After Nova's ``obj_what_changed``, except for 2: there, setting a field to the value that it has is a change too.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from novastate.objects.base import Record, fields, is_mutable, per_class, tracked
from novastate.objects.marks import Note
from novastate.objects.past import LOADED, Box, Past
from novastate.objects.values import UNSET

__all__ = ["changes", "mark_saved"]


def changes(obj: Record) -> frozenset[str]:
    """The names of the fields of *obj* that have changed since it was loaded or saved.

    >>> from novastate.objects import Flavor, Instance
    >>> web = Instance(uuid="7a1f2c9e-0d53-4c7f-9a39-5a2be3a2f6d1", flavor=Flavor(vcpus=1, memory_mb=64))
    >>> mark_saved(web)
    >>> web.display_name = "web"
    >>> sorted(changes(web))
    ['display_name']
    """
    cls: type[Any] = type(obj)
    names = tracked(cls)
    past: Past | None = getattr(obj, "_past", None)
    if past is None:
        return frozenset(name for name in names if getattr(obj, name) is not UNSET)
    found = set(past.changed)
    held: tuple[Any, ...] | None = getattr(obj, "_held", None)
    if held is not None:
        now = (getattr(obj, name) for name in names)
        found.update(
            name for name, was, value in zip(names, held, now, strict=True) if was is not value and was != value
        )
    found.update(name for name, part in _parts(obj, telling=True) if name not in found and changes(part))
    found.update(name for name in _boxes(cls) if _is_changed_box(getattr(obj, name)))
    return frozenset(name for name in found if getattr(obj, name, None) is not UNSET)  # what is not there is not told


def mark_saved(obj: Record) -> None:
    """From here on nothing in *obj*, nor in any object within it, is changed: it is what its home holds."""
    for _, part in _parts(obj):
        mark_saved(part)
    cls: type[Any] = type(obj)
    for name, field in fields(cls).items():
        if field.form and isinstance(box := getattr(obj, name), Box):
            box.past = box.past._replace(changed=frozenset())
    past: Past = getattr(obj, "_past", LOADED)
    object.__setattr__(obj, "_past", past._replace(changed=frozenset()) if past.changed else past)
    if is_mutable(cls):
        object.__setattr__(obj, "_held", tuple(getattr(obj, name) for name in tracked(cls)))


@per_class
def _boxes(cls: type[Any]) -> tuple[str, ...]:
    return tuple(name for name, field in fields(cls).items() if field.form is Note.BOXED)


def _is_changed_box(held: object) -> bool:
    return isinstance(held, Box) and bool(held.past.changed)


class _Holder(NamedTuple):
    """A field that holds objects."""

    name: str
    several: bool
    #: Whether it has changed when an object in it has: not in a plain list of objects, in Nova.
    tells: bool


@per_class
def _holders(cls: type[Any]) -> tuple[_Holder, ...]:
    found: list[_Holder] = []
    for name, field in fields(cls).items():
        several = field.kind.tag == "seq"
        inner = field.kind.args[0].tag if several else field.kind.tag
        if inner in {"record", "any record"}:
            tells = field.form is Note.BOXED or name == "objects" if several else field.form is None
            found.append(_Holder(name, several, tells))
    return tuple(found)


def _parts(obj: Record, *, telling: bool = False) -> Iterator[tuple[str, Record]]:
    """The objects within *obj*, each with its field; *telling*: those whose changes are changes of their field."""
    cls: type[Any] = type(obj)
    for name, several, tells in _holders(cls):
        held = getattr(obj, name) if tells or not telling else None
        if several:
            if held:
                yield from ((name, part) for part in held)
        elif isinstance(held, Record):
            yield name, held
