"""Nova's network model as the JSON text that travels in ``network_info`` and ``source_vif``.

Rules of this file, which are those of ``nova/network/model.py``:

1. Each part is an object with the names of its class; what is not there has its default, and what is UNSET is not written.
2. Names that the model does not know are kept in ``meta``.
"""

import functools
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Never

from novastate.errors import WireError
from novastate.objects import codec
from novastate.objects.base import fields, per_class, root
from novastate.objects.checks import ProblemError, check_json
from novastate.objects.json_text import encode, parse
from novastate.objects.kinds import Kind
from novastate.objects.steps import Late, Step, each, items, type_of

__all__ = ["reader", "writer"]


def reader(kind: Kind) -> Step:
    """What reads the text of one part, or of a sequence of them, as *kind* says."""
    if kind.tag == "seq":
        read = items(Late(_loader, kind.args[0].args[0]))
        return lambda held: read(_parsed(held))
    part = Late(_loader, kind.args[0])
    return lambda held: part(_parsed(held))


def writer(kind: Kind) -> Step:
    """What writes it."""
    if kind.tag == "seq":
        write = each(Late(_dumper, kind.args[0].args[0]))
        return lambda held: encode(write(held)).decode()
    part = Late(_dumper, kind.args[0])
    return lambda held: encode(part(held)).decode()


def _parsed(held: Any) -> Any:
    if not isinstance(held, str):
        raise WireError("", type_of(held), "must be a JSON text")
    return parse(held)


class _Parts:
    """The format of the parts, as a :class:`~novastate.objects.steps.Profile`."""

    load_form = dump_form = dump_json = None

    def load_record(self, cls: type[Any], polymorphic: bool) -> Step:
        assert not polymorphic, "the network model has no subclasses"
        return Late(_loader, cls)

    def dump_record(self, cls: type[Any], polymorphic: bool) -> Step:
        assert not polymorphic, "the network model has no subclasses"
        return Late(_dumper, cls)

    def load_time(self, held: Any, /) -> Never:
        raise AssertionError(held)

    def dump_time(self, held: datetime, /) -> Never:
        raise AssertionError(held)


_PARTS = _Parts()


@per_class
def _loader(cls: type[Any]) -> Step:
    return codec.reader(
        cls,
        codec.Reading(
            codec.rows(cls, _PARTS, lambda field: field.name),
            absent=lambda field: field.default,
            opening=functools.partial(_refuse, root(cls)),
            surplus=functools.partial(_surplus, cls),
        ),
    )


def _refuse(at: str, data: object) -> None:
    raise WireError(at, type_of(data), "must be an object")


def _surplus(cls: type[Any], part: Any, data: Mapping[str, Any]) -> None:
    """Puts what the model does not know into ``meta``."""
    known = fields(cls)
    meta = {name: held for name, held in data.items() if name not in known}
    try:
        object.__setattr__(part, "meta", check_json({**part.meta, **meta}))
    except ProblemError as problem:
        raise WireError(f"{root(cls)}.meta", type_of(problem.value), problem.problem) from None


@per_class
def _dumper(cls: type[Any]) -> Step:
    return codec.writer(cls, codec.Writing(codec.rows(cls, _PARTS, lambda field: field.name)))
