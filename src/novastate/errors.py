"""Every exception that novastate raises: what it means, its fields, its HTTP status.

Rules of this file:

- An error says what was refused, in which state, and what would have been allowed; whatever raised it
  has changed nothing.
- Fields are data: a caller reads attributes, never parses the text.
- No field ever holds a secret (``admin_pass``, keys): texts go to logs.

``http_status`` is what Nova's API would answer (409 for a state conflict, 400 for a request that cannot
be met, 404 for what is not there), where Nova has such an answer and it is not a known defect of Nova.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import ClassVar

__all__ = [
    "ActionNotAllowed",
    "AlreadyExists",
    "ClaimFailed",
    "ConvergenceError",
    "DriverError",
    "DriverTimeout",
    "FlowError",
    "GuestNotFound",
    "IllegalTransition",
    "InstanceLocked",
    "InstanceNotReady",
    "InvalidField",
    "InvalidLocalStorage",
    "InvalidSharedStorage",
    "MaxRetriesExceeded",
    "MigrationError",
    "MigrationPreCheckError",
    "NewerVersionWarning",
    "NoActiveMigration",
    "NoValidHost",
    "NotFound",
    "NotSupported",
    "NovastateError",
    "StaleState",
    "StoreError",
    "UnableToMigrateToSelf",
    "UnknownName",
    "WireError",
    "near",
]


def near(name: object, known: Iterable[str], most: int = 3) -> tuple[str, ...]:
    """The names in *known* that *name* may have been meant for, best first, at most *most*."""
    by_fold = {k.casefold(): k for k in known}
    # Nothing in our lists is as long as that, and a search takes the square of the length.
    found = difflib.get_close_matches(str(name)[:100].casefold(), by_fold, n=most, cutoff=0.5)
    return tuple(by_fold[fold] for fold in found)


class NovastateError(Exception):
    """The root of all errors of novastate."""

    #: What an HTTP API answers for this error.
    http_status: ClassVar[int] = 500

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process borders whole: class, arguments of Exception, and fields."""
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(cls: type[NovastateError], args: tuple[object, ...], fields: Mapping[str, object]) -> NovastateError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


# --- what the caller gave is not usable


class InvalidField(NovastateError):
    """A value that its field cannot take. `field` is the full path (``flavor.memory_mb``).

    Whatever was refused, the error is small: a long path loses its middle, a long text its end; the text of the error has less
    than 500 characters.
    """

    http_status = 400

    def __init__(self, field: str, value: object, problem: str, allowed: Iterable[object] = ()) -> None:
        self.field = _path(field)
        self.value = _small(value)
        self.problem = problem
        self.allowed: tuple[object, ...] = tuple(allowed)
        shown = repr(self.value)
        text = f"{self.field}: {problem}, got {shown if len(shown) <= 80 else shown[:77] + '...'}"
        hint = f"; allowed: {_listed(self.allowed)}" if self.allowed else ""
        super().__init__(text + (hint if len(text) + len(hint) < 490 else hint[: 490 - len(text)] + " ..."))


class UnknownName(NovastateError):
    """No *kind* (state, trigger, action, host, server …) is called `name`; `near` holds what was perhaps meant."""

    http_status = 404

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.known: tuple[str, ...] = tuple(sorted(known))
        self.near: tuple[str, ...] = near(name, self.known)
        if self.near:
            hint = f"; did you mean {' or '.join(self.near)}?"
        elif self.known:
            hint = f"; known: {_listed(self.known)}"
        else:
            hint = f"; there is no {kind} yet"
        super().__init__(f"no {kind} {str(name)!r}{hint}")


class WireError(InvalidField):
    """A serialized object that cannot be read; `field` is the path to the place, ``$`` the whole."""


class NewerVersionWarning(UserWarning):
    """An object came in a newer minor version than the one that we know; its unknown fields are kept."""


class ConvergenceError(InvalidField):
    """A number that no dirty curve, guest, link, limit or recording can have."""


# --- a state forbids it


class IllegalTransition(NovastateError):
    """`trigger` is not defined in `state`; the object was not changed. `allowed` are the triggers that are."""

    http_status = 409

    def __init__(self, machine: str, trigger: str, state: object, allowed: Iterable[str]) -> None:
        self.machine = machine
        self.trigger = trigger
        self.state = state
        self.allowed: tuple[str, ...] = tuple(allowed)
        hint = f"allowed: {_listed(self.allowed)}" if self.allowed else "no trigger is: the state is final"
        super().__init__(f"{machine}: {trigger} is not allowed in state {state}; {hint}")


class ActionNotAllowed(NovastateError):
    """`action` may not start while `attribute` (vm_state, task_state, status …) is `value`."""

    http_status = 409

    def __init__(self, action: object, attribute: str, value: object, allowed: Iterable[object]) -> None:
        self.action = action
        self.attribute = attribute
        self.value = value
        self.allowed: tuple[object, ...] = tuple(allowed)
        super().__init__(
            f"{action}: not allowed while {attribute} is {value}; allowed: {_listed(self.allowed) or 'none'}"
        )


class InstanceLocked(NovastateError):
    """The instance is locked, and the action honours the lock."""

    http_status = 409

    def __init__(self, action: object, uuid: object) -> None:
        self.action = action
        self.uuid = uuid
        super().__init__(f"{action}: instance {uuid} is locked")


class InstanceNotReady(NovastateError):
    """The action needs an instance that has a host, or one that has been launched once."""

    http_status = 409

    def __init__(self, action: object, uuid: object, lacks: str) -> None:
        self.action = action
        self.uuid = uuid
        self.lacks = lacks
        super().__init__(f"{action}: instance {uuid} has no {lacks}")


class StaleState(NovastateError):
    """A compare-and-swap was lost: `found` is what the winner left there. Nothing was changed."""

    http_status = 409

    def __init__(self, kind: str, key: object, expected: Mapping[str, object], found: Mapping[str, object]) -> None:
        self.kind = kind
        self.key = key
        self.expected: dict[str, object] = dict(expected)
        self.found: dict[str, object] = dict(found)
        lost = {name: value for name, value in self.found.items() if name in self.expected}
        super().__init__(f"{kind} {key}: expected {_pairs(self.expected)}, found {_pairs(lost or self.found)}")


# --- it is not there, or already is


class NotFound(NovastateError):
    """There is no *kind* with this key."""

    http_status = 404

    def __init__(self, kind: str, key: object) -> None:
        self.kind = kind
        self.key = key
        super().__init__(f"no {kind} {key}")


class AlreadyExists(NovastateError):
    """A *kind* with this key is there already."""

    http_status = 409

    def __init__(self, kind: str, key: object) -> None:
        self.kind = kind
        self.key = key
        super().__init__(f"{kind} {key} exists already")


# --- where a guest may run


class NoValidHost(NovastateError):
    """No host can take the request. `reasons` says why, by host."""

    http_status = 400

    def __init__(self, reasons: Mapping[str, str] | None = None, problem: str = "no valid host") -> None:
        self.reasons: dict[str, str] = dict(reasons or {})
        why = "; ".join(f"{host}: {reason}" for host, reason in self.reasons.items())
        super().__init__(f"{problem} ({why})" if why else problem)


class MaxRetriesExceeded(NoValidHost):
    """As many candidates as the limit allows were tried, and each refused."""


class ClaimFailed(NovastateError):
    """A host has not the room that was to be claimed on it. `resource` is VCPU, MEMORY_MB or DISK_GB."""

    http_status = 409

    def __init__(self, host: str, resource: str, requested: int, free: int) -> None:
        self.host = host
        self.resource = resource
        self.requested = requested
        self.free = free
        super().__init__(f"{host}: {requested} {resource} requested, {free} free")


# --- a migration may not or did not happen


class MigrationError(NovastateError):
    """A migration did not do what it should."""


class MigrationPreCheckError(MigrationError):
    """A check before the migration found that this destination cannot take this guest."""

    http_status = 400


class UnableToMigrateToSelf(MigrationError):
    """The destination is the host that the guest runs on."""

    http_status = 400

    def __init__(self, uuid: object, host: str) -> None:
        self.uuid = uuid
        self.host = host
        super().__init__(f"unable to migrate instance {uuid} to its own host {host}")


class InvalidLocalStorage(MigrationPreCheckError):
    """Block migration was asked for, and the storage is shared."""


class InvalidSharedStorage(MigrationPreCheckError):
    """A migration without block copy was asked for, and the storage is not shared."""


class NoActiveMigration(MigrationError):
    """The instance has no migration in a status that the request can act on."""

    http_status = 404

    def __init__(self, uuid: object, request: str, status: object = None, allowed: Iterable[object] = ()) -> None:
        self.uuid = uuid
        self.request = request
        self.status = status
        self.allowed: tuple[object, ...] = tuple(allowed)
        found = "there is no migration in progress" if status is None else f"its migration is {status}"
        hint = f"; allowed: {_listed(self.allowed)}" if self.allowed else ""
        super().__init__(f"{request}: instance {uuid}: {found}{hint}")


# --- the parts that act


class DriverError(NovastateError):
    """A hypervisor refused or failed; `code` is its own, where it has one, and `domain` the part of it that speaks."""

    def __init__(
        self, text: str, *, host: str | None = None, code: int | None = None, domain: int | None = None
    ) -> None:
        self.host = host
        self.code = code
        self.domain = domain
        self.text = text
        super().__init__(f"{host}: {text}" if host else text)


class GuestNotFound(DriverError):
    """The hypervisor knows no such guest."""

    http_status = 404


class NotSupported(DriverError):
    """This driver cannot do that; its capabilities said so."""

    http_status = 400


class DriverTimeout(DriverError):
    """A call did not return within its deadline. Whether it took effect is not known."""

    http_status = 504


class StoreError(NovastateError):
    """The store cannot be read or written (corrupt, of a newer version, read-only, locked); nothing was lost."""


class FlowError(NovastateError):
    """A flow was run in a way that it cannot be: an effect nobody performs, a result of the wrong kind."""


def _path(field: str) -> str:
    """A path as errors name it: printable, of at most 160 characters. Names in it may come from outside."""
    if len(field) > 160:
        field = f"{field[:80]}...{field[-77:]}"
    if not field.isprintable():
        field = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in field)
    return field if len(field) <= 160 else f"{field[:80]}...{field[-77:]}"


def _small(value: object) -> object:
    """*value* itself, but for long texts and numbers: an error goes far, and Python refuses to write the longest numbers."""
    if isinstance(value, str) and len(value) > 1003:
        return value[:1000] + "..."
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a number of {value.bit_length()} bits"
    return value


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)


def _pairs(values: Mapping[str, object]) -> str:
    def shown(value: object) -> str:
        return "{" + _listed(value) + "}" if isinstance(value, frozenset | set | tuple | list) else str(value)

    return ", ".join(f"{name}={shown(value)}" for name, value in values.items())
