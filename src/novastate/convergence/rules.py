"""The rules by which a hypervisor migrates a guest, as data: one object for each hypervisor and version.

QEMU (migration/migration.c, migration/ram.c, migration/multifd.c, migration/xbzrle.c, system/cpu-throttle.c):

- the rate limit is kept by slots of 100 ms (``BUFFER_DELAY``): the quota goes out at line rate, rounded up to whole
  flushes of 32 pages of 4096 + 8 bytes, then the thread sleeps;
- the threshold is the last slot's bandwidth in whole milliseconds times the downtime limit, or, from 8.2 on,
  ``avail-switchover-bandwidth`` times it; it is looked at as a turn (at most 50 ms, ``MAX_WAIT``) begins;
- a zero page takes 9 bytes on the wire;
- auto-converge: at a sync more than 1 s after the last such look, more dirtied than ``throttle-trigger-threshold`` of
  what was sent counts; every second such look throttles ``cpu-throttle-initial``, then ``cpu-throttle-increment`` more,
  up to ``max-cpu-throttle``. A vCPU throttled by p runs 10 ms in 10 / (1 - p);
- post-copy sends what remains without the limit, while the guest runs on the destination.

Stated approximations: XBZRLE sends a page as a difference once it was sent a second time and is in the cache;
multifd sends packets of 128 pages and overshoots the quota by one or two of them.

The host's constants (what a page costs to receive, the fixed pause) were measured between two hosts without a
hardware-accelerated network; they are fields, to be set from one's own migrations.
"""

from __future__ import annotations

import math
import re

import attrs

from novastate.convergence import bounds
from novastate.errors import ConvergenceError

__all__ = ["Rules"]

_HEADER = 8
_ZERO = 9
_FLUSH = 32
_PACKET = 128


@attrs.frozen(cache_hash=True)
class Rules:
    """How a hypervisor migrates. Make one with `Rules.qemu`; shares are 0 to 1, times s, sizes bytes.

    *auto_converge* with *initial*, *increment*, *most*, *trigger*; *post_copy* (switch once more than
    *post_copy_after* bitmaps were synced and the guest has not converged); *xbzrle_cache* (bytes; 0: off)
    and *xbzrle_delta* (bytes a cached page takes); *multifd* channels (0: off); *switchover_bandwidth*
    (bytes/s; None: as measured). The host's constants: *begin*, what the management layer takes before the
    hypervisor starts, and *begin_error*, one standard deviation of that; *device*, the pause besides the pages;
    *first_touch*, *rewrite* and *blank*, the time of a page that the destination touches first, has already, or gets as zero.
    Raises `ConvergenceError` for a field out of bounds: `most` is at most 0.99, `multifd` 255, sizes 2**52, times a year.
    """

    name: str
    auto_converge: bool = False
    initial: float = 0.2
    increment: float = 0.1
    most: float = 0.99
    trigger: float = 0.5
    post_copy: bool = False
    post_copy_after: int = 1
    xbzrle_cache: float = 0
    xbzrle_delta: float = 40
    multifd: int = 0
    switchover_bandwidth: float | None = None
    begin: float = 0.305
    begin_error: float = 0.0
    device: float = 0.011
    first_touch: float = 10.5e-6
    rewrite: float = 1.7e-6
    blank: float = 0.25e-6

    def __attrs_post_init__(self) -> None:
        """Checks every field."""
        for field in ("initial", "increment", "most", "trigger"):
            bounds.number(field, getattr(self, field), 0, 0.99 if field == "most" else 1.0, above=True)
        for field in ("begin", "begin_error", "device", "first_touch", "rewrite", "blank"):
            bounds.number(field, getattr(self, field), 0, bounds.LONGEST)
        for field in ("xbzrle_cache", "xbzrle_delta"):
            bounds.number(field, getattr(self, field), 0, bounds.MOST_BYTES)
        for field in ("auto_converge", "post_copy"):
            bounds.flag(field, getattr(self, field))
        bounds.number("post_copy_after", self.post_copy_after, 0, 2**31)
        bounds.number("multifd", self.multifd, 0, 255)
        if self.switchover_bandwidth is not None:
            bounds.number("switchover_bandwidth", self.switchover_bandwidth, 0, bounds.MOST_BYTES, above=True)

    @classmethod
    def qemu(
        cls,
        version: str = "10.0",
        *,
        auto_converge: bool = False,
        post_copy: bool = False,
        **more: float | None,
    ) -> Rules:
        """QEMU's rules in *version* (``"10.0"``, ``"8.2.1"``); *more* are the other fields of `Rules`.

        Raises `ConvergenceError` for a version that is none, older than 7.0, or too old for an option.

        >>> Rules.qemu("10.0", auto_converge=True).name
        'qemu-10.0'
        """
        found = re.fullmatch(r"([0-9]{1,4})\.([0-9]{1,4})(\.[0-9]+)*", str(version))
        if not found:
            raise ConvergenceError("version", version, "is no version of QEMU, like 10.0")
        number = (int(found[1]), int(found[2]))
        if number < (7, 0):
            raise ConvergenceError("version", version, "must be 7.0 or later")
        if more.get("switchover_bandwidth") is not None and number < (8, 2):
            raise ConvergenceError("switchover_bandwidth", version, "needs QEMU 8.2")
        known = {field.name for field in attrs.fields(cls)}
        for field, value in more.items():
            if field not in known:
                raise ConvergenceError(field, value, "is no rule", sorted(known))
        return cls(f"qemu-{version}", auto_converge=auto_converge, post_copy=post_copy, **more)  # type: ignore[arg-type]

    def quota(self, limit: float | None, page_size: int = 4096) -> float:
        """Bytes that go out in one slot of 100 ms at *limit* bytes/s; 0 where there is no limit."""
        if not limit:
            return 0.0
        if self.multifd:
            packet = _PACKET * page_size + 1344
            return (math.ceil(limit * 0.1 / packet) + 1.5) * packet
        flush = _FLUSH * (page_size + _HEADER)
        return float(math.ceil(limit * 0.1 / flush) * flush + 2 * _ZERO)

    def wire(self, page_size: int = 4096) -> float:
        """Bytes that a page takes on the wire."""
        return page_size + (10.5 if self.multifd else _HEADER)
