"""A live migration's job: its type and its statistics, and how they are made of what libvirt and QEMU answer.

Rules:

1. One meaning and one unit for every hypervisor: s, bytes, pages, shares. libvirt counts ms and percent; QEMU megabits too.
2. What an answer does not hold is 0; what it holds and is no number is refused by its own name.
3. How the job stands is told by the answer itself: libvirt's ``type`` (VIR_DOMAIN_JOB_*), QEMU's ``status``.

Sources: libvirt include/libvirt/libvirt-domain.h (virDomainJobType), src/qemu/qemu_migration_cookie.c and qemu_monitor_json.c, which make
libvirt's fields of QEMU's; QEMU qapi/migration.json, migration/migration.c (fill_source_migration_info).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import frozen

from novastate.errors import InvalidField
from novastate.machines import State

__all__ = ["JobStats", "JobType"]


class JobType(State):
    """What libvirt says of a job (``VIR_DOMAIN_JOB_*``). NONE: not started yet, or ended and its statistics are gone."""

    NONE = "none"
    UNBOUNDED = "unbounded"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: libvirt's ``type``; the second, of a job whose end can be foreseen, runs as well.
_LIBVIRT = (
    JobType.NONE,
    JobType.UNBOUNDED,
    JobType.UNBOUNDED,
    JobType.COMPLETED,
    JobType.FAILED,
    JobType.CANCELLED,
)
#: QEMU's ``status`` of a pre-copy migration; those of post-copy begin with its name, and run.
_QEMU = {
    "none": JobType.NONE,
    "completed": JobType.COMPLETED,
    "failed": JobType.FAILED,
    "cancelled": JobType.CANCELLED,
} | dict.fromkeys(
    ("setup", "active", "pre-switchover", "device", "wait-unplug", "cancelling", "failing"), JobType.UNBOUNDED
)
_POST_COPY = "postcopy-"


@frozen
class JobStats:
    r"""The statistics of a live migration, as libvirt's ``virDomainGetJobStats`` gives them.

    *elapsed*, *downtime*: seconds (*downtime*: expected while it runs, real once it is completed). *memory_\\** and
    *disk_\\**: bytes; *memory_bps*: bytes a second on the wire; *dirty_rate*: pages newly dirtied a second; *iteration*: bitmap
    syncs so far; *normal*, *constant*: pages sent whole, and as zero pages; *throttle*: share of vCPU time withheld, 0–0.99.
    *broken*: post-copy has lost its link; both halves of the guest wait until :meth:`ComputeDriver.live_migration` is called again.
    """

    type: JobType
    elapsed: float = 0.0
    downtime: float = 0.0
    memory_total: int = 0
    memory_processed: int = 0
    memory_remaining: int = 0
    memory_bps: int = 0
    dirty_rate: int = 0
    page_size: int = 4096
    iteration: int = 0
    normal: int = 0
    constant: int = 0
    disk_total: int = 0
    disk_processed: int = 0
    disk_remaining: int = 0
    throttle: float = 0.0
    post_copy: bool = False
    broken: bool = False
    error: str = ""

    @classmethod
    def from_libvirt(
        cls,
        raw: Mapping[str, Any],
        type: JobType | None = None,  # noqa: A002  (as the field)
        *,
        post_copy: bool = False,
        broken: bool = False,
    ) -> JobStats:
        """What ``virDomainGetJobStats`` has returned (times in ms, throttle in percent).

        *type*: how the job stands, where that is known better than by the ``type`` of *raw* (VIR_DOMAIN_JOB_*); without either it runs.
        What *raw* does not hold is 0. Raises InvalidField for what is no number, and a type that libvirt does not have.

        >>> JobStats.from_libvirt({"type": 2, "time_elapsed": 2300, "memory_dirty_rate": 40}).elapsed
        2.3
        """
        number = _numbers(_mapping("raw", raw))
        return cls(
            _libvirt_type(raw) if type is None else type,
            elapsed=number("time_elapsed") / 1000,
            downtime=number("downtime") / 1000,
            memory_total=number("memory_total"),
            memory_processed=number("memory_processed"),
            memory_remaining=number("memory_remaining"),
            memory_bps=number("memory_bps"),
            dirty_rate=number("memory_dirty_rate"),
            page_size=number("memory_page_size") or 4096,
            iteration=number("memory_iteration"),
            normal=number("memory_normal"),
            constant=number("memory_constant"),
            disk_total=number("disk_total"),
            disk_processed=number("disk_processed"),
            disk_remaining=number("disk_remaining"),
            throttle=number("auto_converge_throttle") / 100,
            post_copy=post_copy,
            broken=broken,
            error=str(raw.get("errmsg", "")),
        )

    @classmethod
    def from_qmp(cls, raw: Mapping[str, Any]) -> JobStats:
        """What QEMU has answered to ``query-migrate`` on the source (times in ms, ``mbps`` in megabits a second, throttle in percent).

        Also the whole reply, with the answer as its ``return``. *elapsed* counts from QEMU's own start, so that no time passes before it
        (`Rules.begin` is 0). What *raw* does not hold is 0. Raises InvalidField for what is no number, for a status that is none of a
        migration, and for an error.

        >>> answer = {"status": "active", "total-time": 2000, "ram": {"dirty-sync-count": 1, "mbps": 536.25}}
        >>> stats = JobStats.from_qmp(answer)
        >>> stats.elapsed, stats.iteration, stats.memory_bps
        (2.0, 1, 67031250)
        """
        raw = _mapping("raw", raw)
        if "error" in raw:
            raise InvalidField("error", raw["error"], "must be an answer to query-migrate")
        raw = _mapping("return", raw.get("return", raw))
        status = raw.get("status", "none")
        switched = isinstance(status, str) and status.startswith(_POST_COPY)
        kind = JobType.UNBOUNDED if switched else _QEMU.get(status) if isinstance(status, str) else None
        if kind is None:
            raise InvalidField("status", status, "is none of a migration", _QEMU)
        number = _numbers(raw)
        ram = _numbers(_mapping("ram", raw.get("ram", {})), "ram.")
        disk = _numbers(_mapping("disk", raw.get("disk", {})), "disk.")
        return cls(
            kind,
            elapsed=number("total-time") / 1000,
            downtime=number("downtime" if "downtime" in raw else "expected-downtime") / 1000,
            memory_total=ram("total"),
            memory_processed=ram("transferred"),
            memory_remaining=ram("remaining"),
            memory_bps=ram("mbps", 1e6 / 8),
            dirty_rate=ram("dirty-pages-rate"),
            page_size=ram("page-size") or 4096,
            iteration=ram("dirty-sync-count"),
            normal=ram("normal"),
            constant=ram("duplicate"),
            disk_total=disk("total"),
            disk_processed=disk("transferred"),
            disk_remaining=disk("remaining"),
            throttle=number("cpu-throttle-percentage") / 100,
            post_copy=switched,
            broken=status == "postcopy-paused",
            error=str(raw.get("error-desc", "")),
        )

    @property
    def progress(self) -> int:
        """0 to 100: ``100 - round(remaining * 100 / total)``, 0 before anything is known (nova: libvirt/migration.py)."""
        if self.memory_total <= 0:
            return 0
        return max(0, min(100, 100 - round(self.memory_remaining * 100 / self.memory_total)))


def _mapping(field: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidField(field, value, "must be a dictionary")
    return value


def _libvirt_type(raw: Mapping[str, Any]) -> JobType:
    """What the dictionary itself says; it runs where it says nothing."""
    kind = raw.get("type", 2)
    if isinstance(kind, bool) or not isinstance(kind, int) or not 0 <= kind < len(_LIBVIRT):
        raise InvalidField("type", kind, "is none of VIR_DOMAIN_JOB_*", range(len(_LIBVIRT)))
    return _LIBVIRT[kind]


class _Reader(Protocol):
    def __call__(self, key: str, unit: float | None = None) -> int:
        """The number that is called *key*, as so many of *unit*."""
        ...


def _numbers(raw: Mapping[str, Any], place: str = "") -> _Reader:
    """What reads whole numbers, not negative, of *raw*, which is called *place*: 0 where it has none."""

    def number(key: str, unit: float | None = None) -> int:
        value = raw.get(key, 0)
        try:
            return max(0, int(value if unit is None else unit * float(value)))
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidField(f"{place}{key}", value, "must be a number") from error

    return number
