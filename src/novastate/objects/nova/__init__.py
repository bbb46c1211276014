"""Nova's wire format: versioned envelopes in, objects out, and back, without Nova.

>>> from novastate.objects import nova
>>> from novastate.objects import SchedulerLimits
>>> primitive = {
...     "nova_object.name": "SchedulerLimits", "nova_object.namespace": "nova", "nova_object.version": "1.0",
...     "nova_object.data": {"vcpu": 16, "memory_mb": 65536},
... }
>>> limits = nova.load(primitive, SchedulerLimits)
>>> limits.vcpu, limits.disk_gb
(16, UNSET)
>>> nova.dump(limits)["nova_object.data"]
{'vcpu': 16, 'memory_mb': 65536}
"""

from collections.abc import Mapping
from typing import Any, TypeVar, cast, overload

from novastate.errors import WireError
from novastate.objects.base import Record, TypeName, fields
from novastate.objects.json_text import LIMIT, encode, parse
from novastate.objects.members import CHANGES, DATA, NAME, VERSION
from novastate.objects.nova.backport import backport
from novastate.objects.nova.envelope import name_of
from novastate.objects.nova.profile import class_of, dumper, loader
from novastate.objects.nova.versions import CURRENT, current, manifest, release_versions, releases
from novastate.objects.nova.versions import parse as _parse_version
from novastate.objects.steps import Step, under

__all__ = ["current", "dump", "dump_all", "dumps", "load", "load_all", "loads", "loads_all", "manifest", "releases"]


R = TypeVar("R", bound=Record)

_LOADERS: dict[str, Step] = {}


@overload
def load(primitive: object) -> Record: ...
@overload
def load(primitive: object, kind: type[R]) -> R: ...
def load(primitive: object, kind: type[Record] = Record) -> Record:
    """The object in the envelope *primitive*, which a JSON library has parsed; partial where Nova sent a part.

    A field that is not there is UNSET. An older minor version is brought up to ours; of a newer one the unknown fields are kept, with a
    :class:`~novastate.errors.NewerVersionWarning`. *kind*: the class that is expected.

    Raises :class:`~novastate.errors.WireError`, with the full path, for whatever is no such object, in *primitive* or in it.
    """
    envelope: Any = primitive
    try:
        read = _LOADERS[envelope[NAME]]
    except (TypeError, KeyError, IndexError):
        name = name_of(primitive, "$")
        read = _LOADERS[name] = loader(class_of(name))
    obj = read(primitive)
    if not isinstance(obj, kind):
        raise WireError(f"$.{NAME}", type(obj).__name__, f"is no {kind.__name__}", (kind.__name__,))
    return obj


def dump(
    obj: Record, version: str | None = None, *, manifest: Mapping[str, str] | None = None, release: str | None = None
) -> dict[str, Any]:
    """*obj* in an envelope, ready for any JSON library: what a peer of today gets, or one of another *version*.

    *version*: of the object; what is inside goes by *manifest* (name: version), which an older peer tells; without one, in today's
    versions. *release*: a release of Nova (:func:`releases`), whose versions to use for all.

    Raises :class:`~novastate.errors.WireError` where the object, or a value in it, cannot be said in that version.
    """
    made = cast("dict[str, Any]", dumper(type(obj))(obj))
    if release is not None:
        from novastate.objects.nova.versions import manifest as manifest_of  # noqa: PLC0415  (a parameter has its name)

        manifest = {**manifest_of(type(obj).__name__, release=release), **(manifest or {})}
        _in_release(made, release, "$")
    if version is None and manifest is not None:
        version = manifest.get(type(obj).__name__)
    if version is None and manifest is None:
        return made
    return backport(_known(made), current(type(obj).__name__) if version is None else version, manifest)


def load_all(payload: Any) -> Any:
    """*payload*, parsed JSON, with the object in the place of each envelope in it: the arguments of an RPC call, say.

    Raises :class:`~novastate.errors.WireError`, with the path from ``$``, as :func:`load` does, or for more than a hundred levels.

    >>> from novastate.objects import Tag
    >>> message = {"method": "pre_live_migration", "args": {"tag": dump(Tag(resource_id="7a1f", tag="gold")), "block": False}}
    >>> load_all(message)["args"]
    {'tag': Tag(resource_id='7a1f', tag='gold'), 'block': False}
    """
    return _load_all(payload, "$")


def _load_all(part: Any, at: str, depth: int = 100) -> Any:
    if not isinstance(part, dict | list):
        return part
    if depth == 0:
        raise WireError(at, TypeName(type(part).__name__), "is nested too deep")
    if isinstance(part, list):
        elements: list[Any] = part
        return [_load_all(element, f"{at}[{index}]", depth - 1) for index, element in enumerate(elements)]
    members: dict[Any, Any] = part
    if NAME not in members:
        return {name: _load_all(held, f"{at}.{name}", depth - 1) for name, held in members.items()}
    try:
        return load(members)
    except WireError as error:
        raise under(error, at) from None


def loads_all(data: bytes | str, *, limit: int = LIMIT) -> Any:
    """What the JSON text *data* of at most *limit* bytes says, with objects in the place of envelopes: see :func:`load_all`."""
    return load_all(parse(data, limit))


def dump_all(payload: Any, *, manifest: Mapping[str, str] | None = None, release: str | None = None) -> Any:
    """*payload*, dicts, lists and scalars with objects in it, with the envelope in the place of each: see :func:`dump`."""
    if isinstance(payload, Record):
        return dump(payload, manifest=manifest, release=release)
    if isinstance(payload, Mapping):
        members: Mapping[Any, Any] = payload
        return {name: dump_all(held, manifest=manifest, release=release) for name, held in members.items()}
    if isinstance(payload, list | tuple):
        elements = cast("list[Any]", payload)
        return [dump_all(element, manifest=manifest, release=release) for element in elements]
    return payload


@overload
def loads(data: bytes | str, *, limit: int = ...) -> Record: ...
@overload
def loads(data: bytes | str, kind: type[R], *, limit: int = ...) -> R: ...
def loads(data: bytes | str, kind: type[Record] = Record, *, limit: int = LIMIT) -> Record:
    """The object in the JSON text *data* of at most *limit* bytes; see :func:`load`. A member that is given twice is refused."""
    return load(parse(data, limit), kind)


def dumps(
    obj: Record, version: str | None = None, *, manifest: Mapping[str, str] | None = None, release: str | None = None
) -> bytes:
    """*obj* in an envelope, as JSON in UTF-8; see :func:`dump`."""
    return encode(dump(obj, version, manifest=manifest, release=release))


def _in_release(part: Any, release: str, at: str) -> None:
    """Refuses an object within that *release* did not have: no manifest names it."""
    if isinstance(part, list):
        elements: list[Any] = part
        for index, element in enumerate(elements):
            _in_release(element, release, f"{at}[{index}]")
    elif isinstance(part, dict) and NAME in part:
        members: dict[str, Any] = part
        if members[NAME] not in release_versions(release):
            raise WireError(at, members[NAME], f"was no object of Nova {release} yet")
        for name, held in members[DATA].items():
            _in_release(held, release, f"{at}.{name}")


def _known(primitive: Any) -> Any:
    """*primitive* without what a newer Nova said that we do not know: an older peer knows it no better."""
    if isinstance(primitive, list):
        parts: list[Any] = primitive
        return [_known(part) for part in parts]
    if not isinstance(primitive, dict) or NAME not in primitive:
        return primitive
    members = cast("dict[str, Any]", primitive)
    name = members[NAME]
    data = {field: _known(held) for field, held in members[DATA].items()}
    if _parse_version(members[VERSION]) <= _parse_version(CURRENT[name]):
        return {**members, DATA: data}
    known = {field.wire for field in fields(class_of(name)).values()}
    older = {**members, VERSION: CURRENT[name], DATA: {field: held for field, held in data.items() if field in known}}
    if changed := [field for field in older.pop(CHANGES, ()) if field in known]:
        older[CHANGES] = changed
    return older
