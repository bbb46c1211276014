"""The rules by which a hypervisor migrates a guest, as data: one object for each hypervisor and version.

`Rules.qemu` and `Rules.cloud_hypervisor` make them, `Rules.named` by a name like ``qemu-10.0``; `Rules.told` says them in words,
each with the file that it is from. Which version has what stands in `novastate.convergence.versions`.

Stated approximations: XBZRLE sends a page as a difference once it was sent a second time and is in the cache, which holds a share of
the working set where it is smaller (a slot keeps the page that is in use); *xbzrle_overflow* of the pages do not shrink and go whole.
Multifd sends packets of 128 pages and overshoots the quota by one or two of them. A dirty limit holds from the look that
starts it on (it takes a few seconds), and is one factor on all write rates. Post-copy without preemption makes a missing page wait
behind a full socket buffer.

The host's constants (what a page costs to receive, the fixed pause) were measured between two hosts without a
hardware-accelerated network; they are fields, to be set from one's own migrations.
"""

from __future__ import annotations

import math
from typing import Any

import attrs

from novastate.convergence import bounds, hosts, told, versions
from novastate.errors import ConvergenceError

__all__ = ["SLOT", "TURN", "TURN_HEADER", "Rules"]

#: s of a slot of the rate limit (BUFFER_DELAY: migration/migration-stats.h, once migration.c), the longest turn of the loop
#: (migration/ram.c MAX_WAIT), and the bytes of headers that it sends.
SLOT, TURN, TURN_HEADER = 0.1, 0.05, 18

#: What is sent at once, and has a header: a page of the target, whatever backs it (exec/target_page.h).
_TARGET_PAGE = 4096
_HEADER = 8
_ZERO = 9
_FLUSH = 32
_PACKET = 128
_GIB = 1 << 30
#: What a full socket holds before a page that is asked for (net.ipv4.tcp_wmem's usual most).
_SOCKET = 4 << 20
#: How often, in s, QEMU looks whether a round is overdue (migration/cpu-throttle.c).
_BACKGROUND_SYNC = 5.0
_FAMILIES = ("qemu", "cloud-hypervisor")
_ACCELERATORS = ("kvm", "kvm-dirty-ring", "tcg")
#: What may be set of Cloud Hypervisor's rules.
_OF_CLOUD_HYPERVISOR = frozenset({
    "on_timeout", "begin", "begin_error", "device", "first_touch", "rewrite", "blank", "latency",
})  # fmt: skip


def _unset(value: float | None) -> float | None:
    """QEMU's way to say that a bandwidth is not set is 0."""
    return None if isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0 else value


@attrs.frozen(cache_hash=True)
class Rules:
    """How a hypervisor migrates. Make one with `Rules.qemu` or `Rules.cloud_hypervisor`; shares are 0 to 1, times s, sizes bytes.

    *auto_converge* with *initial*, *increment*, *most*, *trigger*, *tailslow*; *background_sync*: s of a timer that under auto-converge
    syncs a round in which it has looked before (0: none); *dirty_limit*: bytes/s that all vCPUs may write together once limited
    (0: no limit). *post_copy* (switch once more than *post_copy_after* bitmaps were synced and the guest has not converged),
    *post_copy_preempt* and *latency*, the time to the destination and back: see `fault`. *xbzrle_cache* (bytes; 0: off),
    *xbzrle_delta* (bytes a cached page takes), *xbzrle_overflow* (share of pages that do not shrink); *multifd* channels (0: off);
    *switchover_bandwidth* (bytes/s; None, and QEMU's own 0: as measured).
    *rearm*: pages are watched anew from when their GiB is sent, not from the sync.
    Of whole rounds (*family* ``cloud-hypervisor``): *most_rounds* (0: by the budget) and *on_timeout*, ``cancel`` or ``ignore``.
    The host's constants: *begin*, what the management layer takes before the
    hypervisor starts, and *begin_error*, one standard deviation of that; *device*, the pause besides the pages;
    *first_touch*, *rewrite* and *blank*, the time of 4 KiB that the destination touches first, has already, or gets as zero.
    However fast the link, no more goes than they let: 4104 bytes / *first_touch*. Unless it is set it is not known (None), and 391 MB/s
    are taken (`touch`), as between the two hosts where it was measured; where that holds a migration up interval and probability
    are of 260 MB/s to 3 GB/s, and the reason says so. One migration without a limit tells it: 4104 / (bytes/s of its first round).
    Raises `ConvergenceError` for a field out of bounds: `most` is `initial` to 0.99, `multifd` at most 255, sizes 2**52, times a year.
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
    switchover_bandwidth: float | None = attrs.field(default=None, converter=_unset)
    begin: float = 0.305
    begin_error: float = 0.0
    device: float = 0.011
    first_touch: float | None = None
    rewrite: float = 1.7e-6
    blank: float = 0.25e-6
    tailslow: bool = False
    background_sync: float = 0.0
    dirty_limit: float = 0.0
    post_copy_preempt: bool = False
    latency: float = 0.0003
    xbzrle_overflow: float = 0.0
    zero_page_in_threads: bool = False
    rearm: bool = False
    most_rounds: int = 0
    on_timeout: str = "cancel"
    family: str = "qemu"

    def __attrs_post_init__(self) -> None:
        """Checks every field."""
        for field in ("initial", "increment", "most", "trigger"):
            bounds.number(field, getattr(self, field), 0, 0.99 if field == "most" else 1.0, above=True)
        if self.most < self.initial:  # migration/options.c migrate_params_check
            raise ConvergenceError("most", self.most, f"must be at least initial, {self.initial:g}")
        for field in (
            "begin",
            "begin_error",
            "device",
            "rewrite",
            "blank",
            "background_sync",
            "latency",
        ):
            bounds.number(field, getattr(self, field), 0, bounds.LONGEST)
        if self.first_touch is not None:
            bounds.number("first_touch", self.first_touch, 0, bounds.LONGEST)
        for field in ("xbzrle_cache", "xbzrle_delta", "dirty_limit"):
            bounds.number(field, getattr(self, field), 0, bounds.MOST_BYTES)
        for field in ("auto_converge", "post_copy", "tailslow", "post_copy_preempt", "zero_page_in_threads", "rearm"):
            bounds.flag(field, getattr(self, field))
        bounds.number("xbzrle_overflow", self.xbzrle_overflow, 0, 1)
        # The first sync is the one that starts the first round: no switch comes before it.
        for field, least, most in (("post_copy_after", 1, 2**31), ("multifd", 0, 255), ("most_rounds", 0, 1000)):
            bounds.whole(field, getattr(self, field), least, most)
        if self.switchover_bandwidth is not None:
            bounds.number("switchover_bandwidth", self.switchover_bandwidth, 0, bounds.MOST_BYTES, above=True)
        bounds.choice("family", self.family, _FAMILIES)
        bounds.choice("on_timeout", self.on_timeout, ("cancel", "ignore"))
        bounds.instance("name", self.name, str)

    @classmethod
    def qemu(
        cls,
        version: str | int = "10.0",
        *,
        auto_converge: bool = False,
        post_copy: bool = False,
        accelerator: str = "kvm",
        **more: float | None,
    ) -> Rules:
        """QEMU's rules in *version*; *more* are the other fields of `Rules`.

        *version* is written ``"10.0"`` or ``"8.2.1"``, as `qemu --version` or `query-version` tells it (``"8.2.0 (Debian 1:8.2.0+ds-1)"``),
        or libvirt's number (``conn.getVersion()``: 8002000). One that is newer than any that was read here, which are 7.0 to 10.1,
        is taken to migrate as the newest of them, and `told` says so.

        *accelerator* (``kvm``, ``kvm-dirty-ring``, ``tcg``) decides how written pages are found. From 9.0 on multifd's threads find
        the zero pages, but for machine types before 9.0 (hw/core/machine.c hw_compat_8_2): for these set
        *zero_page_in_threads* to False. Raises `ConvergenceError` for
        a version that is none, older than 7.0, or too old for an option, and for options that exclude each other.

        >>> Rules.qemu("10.0", auto_converge=True).name
        'qemu-10.0'
        """
        number, written = versions.parsed(version, (7, 0), "10.0", "QEMU")
        options: dict[str, Any] = {"auto_converge": auto_converge, "post_copy": post_copy, **more}
        _known(cls, options)
        cls("", **options)  # what no rule can be is told before what goes with what
        versions.check(options, number, versions.QEMU, "QEMU")
        bounds.choice("accelerator", accelerator, _ACCELERATORS)
        if options.get("dirty_limit") and accelerator != "kvm-dirty-ring":
            raise ConvergenceError("dirty_limit", options["dirty_limit"], "needs the accelerator kvm-dirty-ring")
        if auto_converge and number >= versions.QEMU["background_sync"][0]:
            options.setdefault("background_sync", _BACKGROUND_SYNC)
        options.setdefault("zero_page_in_threads", number >= versions.QEMU["zero_page_in_threads"][0])
        options.setdefault("rearm", accelerator == "kvm")
        return cls(f"qemu-{written}", **options)

    @classmethod
    def cloud_hypervisor(
        cls, version: str | int = "52.0", *, on_timeout: str = "cancel", **more: float | None
    ) -> Rules:
        """Cloud Hypervisor's rules in *version* (``"52.0"``, or libvirt's number): whole rounds, and a budget for the pause.

        From 52 on it looks after each whole round: it stops the guest where what is dirty would be sent within the limit of the
        pause, however late it is; only else, past the timeout, it cancels, or with *on_timeout* ``ignore`` stops the guest all the same.
        So a first round longer than the timeout may well complete. Before 52 it stops the guest after five rounds, and has no
        timeout: the one of `Limits` is then that of whoever watches, as with QEMU. It has no limit of the
        bandwidth of its own (a link's limit is taken as the line's share), sends zero pages in full, and throttles nothing.
        *more*: the constants of the host. Raises `ConvergenceError` for a version that is none or before 16, and for any other rule.
        """
        number, written = versions.parsed(version, (16, 0), "52.0", "Cloud Hypervisor")
        budget = number >= versions.CLOUD_HYPERVISOR["budget"][0]
        options: dict[str, Any] = {"on_timeout": on_timeout, "begin": 0.0, **more}
        _known_of_cloud_hypervisor(options)
        bounds.choice("on_timeout", on_timeout, ("cancel", "ignore"))
        versions.check({"on_timeout": on_timeout != "cancel"}, number, versions.CLOUD_HYPERVISOR, "Cloud Hypervisor")
        rounds = 0 if budget else 5
        return cls(f"cloud-hypervisor-{written}", family="cloud-hypervisor", most_rounds=rounds, **options)

    @classmethod
    def named(cls, name: str, **more: Any) -> Rules:
        """The rules of a hypervisor and version by name: ``qemu-10.0``, ``cloud-hypervisor-52.0``.

        Raises `ConvergenceError` for a hypervisor whose rules are not known.
        """
        bounds.instance("name", name, str)
        family, _, version = name.rpartition("-")
        if family == "qemu":
            return cls.qemu(version, **more)
        if family == "cloud-hypervisor":
            return cls.cloud_hypervisor(version, **more)
        raise ConvergenceError(
            "name", name, "names no hypervisor whose rules are known", [f"{one}-VERSION" for one in _FAMILIES]
        )

    def with_options(self, **options: Any) -> Rules:
        """The same with *options* besides, as the version that `name` tells takes them: ``with_options(auto_converge=True)``.

        Of a name of one's own only what no version takes is refused. Raises `ConvergenceError` as `Rules.qemu` and
        `Rules.cloud_hypervisor` do.

        >>> Rules.qemu("10.0", multifd=2).with_options(post_copy=True)
        Traceback (most recent call last):
        novastate.errors.ConvergenceError: multifd: does not go with post_copy before 10.1, got 2
        """
        family, _, version = self.name.rpartition("-")
        if self.family != "qemu":
            _known_of_cloud_hypervisor(options)
            found = attrs.evolve(self, **options)
            if family == "cloud-hypervisor":
                number = versions.number_of(version, (16, 0), "52.0", "Cloud Hypervisor")
                versions.check(
                    {"on_timeout": found.ignores_timeout}, number, versions.CLOUD_HYPERVISOR, "Cloud Hypervisor"
                )
            return found
        _known(type(self), options)
        attrs.evolve(self, **options)  # what no rule can be is told before what goes with what
        number = versions.number_of(version, (7, 0), "10.0", "QEMU") if family == "qemu" else versions.NEWEST
        paired = {field: getattr(self, field) for pair in versions.PAIRS for field in pair[:2]}
        versions.check({**paired, **options}, number, versions.QEMU, "QEMU")
        if options.get("dirty_limit") and self.rearm:
            raise ConvergenceError("dirty_limit", options["dirty_limit"], "needs the accelerator kvm-dirty-ring")
        known = family == "qemu" and number >= versions.QEMU["background_sync"][0]
        if options.get("auto_converge") and known and not self.background_sync:
            options.setdefault("background_sync", _BACKGROUND_SYNC)
        return attrs.evolve(self, **options)

    def told(self) -> tuple[str, ...]:
        """The rules in words, a sentence or two each, with the file of the hypervisor that each is from."""
        lines = told.qemu(self) if self.family == "qemu" else told.cloud_hypervisor(self)
        return (*told.newer(self), *lines)

    @property
    def ignores_timeout(self) -> bool:
        """Whether the guest is stopped at the timeout, instead of the migration."""
        return self.on_timeout == "ignore"

    @property
    def touch(self) -> float:
        """Seconds that 4 KiB cost the destination that touches them first: *first_touch*, or where that is not known 10.5 µs."""
        return hosts.FIRST_TOUCH if self.first_touch is None else self.first_touch

    def quota(self, limit: float | None) -> float:
        """Bytes that go out in one slot of 100 ms at *limit* bytes/s; 0 where there is no limit."""
        limit = bounds.limit("limit", limit)
        if limit is None:
            return 0.0
        if self.family != "qemu":
            return limit * SLOT
        if self.multifd:
            packet = _PACKET * _TARGET_PAGE + 1344
            return (math.ceil(limit * SLOT / packet) + 1.5) * packet
        flush = _FLUSH * (_TARGET_PAGE + _HEADER)
        return float(math.ceil(limit * SLOT / flush) * flush + TURN_HEADER)

    def wire(self, page_size: int = 4096) -> float:
        """Bytes that a page takes on the wire: it goes as pages of 4 KiB, each with its header."""
        page_size = bounds.page_size("page_size", page_size)
        if self.family != "qemu":
            return float(page_size)
        return page_size + (10.5 if self.multifd else _HEADER) * (page_size / _TARGET_PAGE)

    def wire_zero(self, page_size: int = 4096) -> float:
        """Bytes that a zero page takes on the wire: each of its 4 KiB goes as a zero page of its own."""
        page_size = bounds.page_size("page_size", page_size)
        if self.family != "qemu":
            return float(page_size)
        return (10.5 if self.multifd and self.zero_page_in_threads else _ZERO) * (page_size / _TARGET_PAGE)

    def wire_again(self, page_size: int = 4096) -> float:
        """Bytes of a dirty page that the XBZRLE cache holds; those of any page where there is no cache, or multifd."""
        wire = self.wire(page_size)
        if not self.xbzrle_cache or self.multifd:
            return wire
        small = min(self.xbzrle_delta * (page_size / _TARGET_PAGE), wire - 1.0)
        return min(small + self.xbzrle_overflow * (wire - small), wire - 1.0)

    def cached_pages(self, page_size: int = 4096) -> float:
        """Pages that the XBZRLE cache holds: a power of two; none beside multifd, which sends every page itself."""
        page_size = bounds.page_size("page_size", page_size)
        if self.multifd or self.xbzrle_cache < page_size:
            return 0.0
        return 2.0 ** math.floor(math.log2(self.xbzrle_cache / page_size))

    def chunks(self, memory: float) -> float:
        """In how many parts *memory* bytes are watched anew, each just before it is sent; 1: all at the sync."""
        try:
            found = math.ceil(memory / _GIB)
        except (TypeError, ValueError, OverflowError):
            found = 0
        if found < 1:  # only then is it looked at more closely: each forecast asks
            bounds.number("memory", memory, 0, bounds.MOST_BYTES)
        return max(1.0, found) if self.rearm else 1.0

    def fault(self, line_rate: float, host_page: int = 4096) -> float:
        """How long, in s, a vCPU waits for a page of *host_page* bytes that it touches in post-copy before it has come.

        The request and its answer take *latency*, the page its time on the line of *line_rate* bytes/s; a huge page comes whole.
        Without preemption it waits behind what the stream's socket holds.
        """
        bounds.number("line_rate", line_rate, 1.0, bounds.MOST_BYTES)
        host_page = bounds.page_size("host_page", host_page)
        queue = host_page if self.post_copy_preempt else host_page + _SOCKET
        return self.latency + queue / line_rate


def _known(cls: type[Rules], options: dict[str, Any]) -> None:
    known = {field.name for field in attrs.fields(cls)} - {"name", "family", "most_rounds", "on_timeout"}
    for field, value in options.items():
        if field not in known:
            raise ConvergenceError(field, value, "is no rule", sorted(known))


def _known_of_cloud_hypervisor(options: dict[str, Any]) -> None:
    for field, value in options.items():
        if field not in _OF_CLOUD_HYPERVISOR:
            raise ConvergenceError(field, value, "is no rule of Cloud Hypervisor", sorted(_OF_CLOUD_HYPERVISOR))
