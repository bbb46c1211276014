"""The data a simulated cloud is made of: hosts, and faults to come.

Rules: a fault fires once, on the call or at the time it names, and is then spent; faults are plain data, so that a
failing run can be written down and run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, cast

from attrs import NOTHING, AttrsInstance, asdict, field, fields, frozen

from novastate.drivers import checks
from novastate.drivers.base import ComputeDriver
from novastate.errors import InvalidField, UnknownName

__all__ = ["Fault", "SimulatedHost", "plain", "read", "specs_of"]

T = TypeVar("T", bound=AttrsInstance)


@frozen
class SimulatedHost:
    """What a simulated host has.

    Sizes in MiB (*memory_mb*) and GiB (*disk_gb*). Hosts with an equal, not empty *shared_storage* share their instance files.
    *bandwidth*: limit of migrations from or to it, bytes a second, 0 is none; *line_rate*: what its network can do.
    *cpu_allocation_ratio*: how many vCPUs it runs on one of its own; memory and disk are never overcommitted.

    A guest's local disk takes its whole size of *disk_gb*, but only what is allocated of it is copied by a block migration:
    images are sparse. That is 1 GiB of a new disk, or the whole of a smaller one, and with the instance metadata
    ``novastate:disk_used_gb`` as many GiB as it says.
    """

    host: str = field(validator=checks.name)
    vcpus: int = field(default=16, validator=checks.whole(1))
    memory_mb: int = field(default=65536, validator=checks.whole(1))
    disk_gb: int = field(default=1000, validator=checks.whole(0))
    hypervisor_version: int = field(default=10_000_000, validator=checks.whole(0))
    cpu_model: str = field(default="", validator=checks.text)
    shared_storage: str = field(default="", validator=checks.text)
    bandwidth: int = field(default=0, validator=checks.whole(0))
    line_rate: float = field(default=1.2e9, validator=checks.number(1))
    cpu_allocation_ratio: float = field(default=16.0, validator=checks.number(0.01))

    @property
    def store(self) -> str:
        """The store that its instance files lie on."""
        return f"shared:{self.shared_storage}" if self.shared_storage else f"local:{self.host}"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SimulatedHost:
        """The opposite of `to_dict`. Raises InvalidField."""
        return read(cls, "hosts", data)


FaultKind = Literal["error", "timeout", "lose_reply", "ignore", "crash_host", "fail", "cut", "stall", "link_slow"]


def specs_of(hosts: object) -> list[SimulatedHost]:
    """The hosts that a cloud is made of, from names and hosts. Raises InvalidField."""
    if isinstance(hosts, str | bytes) or not isinstance(hosts, Iterable):
        raise InvalidField("hosts", hosts, "must be several, each a name or a SimulatedHost")
    specs = list[SimulatedHost]()
    for spec in cast("Iterable[object]", hosts):
        if not isinstance(spec, str | SimulatedHost):
            raise InvalidField("hosts", spec, "must be a name or a SimulatedHost")
        specs.append(SimulatedHost(spec) if isinstance(spec, str) else spec)
    return specs


#: What may go wrong with a call, and with a running live migration.
CALL_KINDS = ("error", "timeout", "lose_reply", "ignore", "crash_host")
JOB_KINDS = ("fail", "cut", "stall", "link_slow", "crash_host")

#: What may go wrong: a running live migration, or any call (a forecast is made of others).
METHODS = frozenset({"job"} | {name for name, of in vars(ComputeDriver).items() if callable(of) and name[0] != "_"}) - {
    "subscribe",
    "rules",
    "forecast",
}


@frozen
class Fault:
    """One thing that goes wrong, once.

    On a call: the *nth* call of *method* (on *host*, or on any host if None) goes wrong *when* ``"before"`` it takes effect, or
    ``"after"``: then the effect took place and the reply is lost. Kinds: ``error`` (DriverError with the text *error*), ``timeout``
    and ``lose_reply`` (DriverTimeout), ``ignore`` (it is answered, and nothing happens: a guest that is deaf to ``shutdown``),
    ``crash_host`` (the host goes down as by :meth:`SimulatedCloud.fail_host`).

    With method ``"job"``: *at* seconds into the *nth* live migration from *host* it fails (``fail``), loses its link for *seconds*
    (``cut``: it fails, but post-copy is only ``broken`` until ``live_migration`` is called again), stops sending for *seconds*
    (``stall``), runs at *factor* times its rate for *seconds* (``link_slow``), or *host* (the source if None) crashes (``crash_host``).
    """

    host: str | None = None
    method: str = field(default="job", validator=checks.name)
    nth: int = field(default=1, validator=checks.whole(1))
    when: Literal["before", "after"] = "before"
    kind: FaultKind = "error"
    error: str = "a scripted fault"
    at: float = field(default=0.0, validator=checks.number(0))
    seconds: float = field(default=1e9, validator=checks.number(0))
    factor: float = field(default=0.1, validator=checks.number(0))

    def __attrs_post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownName("call of a driver", self.method, METHODS)
        kinds = JOB_KINDS if self.method == "job" else CALL_KINDS
        if self.kind not in kinds:
            raise InvalidField("kind", self.kind, f"is no fault of {self.method}", kinds)
        if self.when not in ("before", "after"):
            raise InvalidField("when", self.when, "is unknown", ("before", "after"))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fault:
        """The opposite of `to_dict`. Raises InvalidField."""
        try:
            return read(cls, "faults", data)
        except UnknownName as error:
            raise InvalidField("faults.method", error.name, f"is no {error.kind}", error.near or error.known) from error


#: What plain values a field of this type may have.
_PLAIN: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
}


def plain(value: object, kind: str) -> bool:
    """Whether *value* can be held by a field of type *kind*, a plain one: no NaN, no endless number, no bool for a number."""
    if isinstance(value, bool) and kind != "bool":
        return False
    if isinstance(value, (int, float)) and kind != "bool" and not -(2.0**63) < value < 2.0**63:
        return False
    return isinstance(value, _PLAIN[kind])


def read(cls: type[T], path: str, data: Mapping[str, Any]) -> T:
    """An attrs object of plain *data*: no field unknown, none missing, plain ones of their type. Raises InvalidField."""
    known = {f.name: f for f in fields(cls) if f.init}
    for name in data:
        if name not in known:
            raise InvalidField(f"{path}.{name}", data[name], "is no field", known)
    for name, attribute in known.items():
        kind = str(attribute.type)
        if name not in data:
            if attribute.default is NOTHING:
                raise InvalidField(f"{path}.{name}", None, "is missing")
        elif kind in _PLAIN and not plain(data[name], kind):
            raise InvalidField(f"{path}.{name}", data[name], f"must be {kind}")
    return cls(**data)
