"""What a hypervisor could do since which version, and the rules it follows, in words.

Rule: an option that a version does not have is refused by name (`check`), so that a forecast is never made by rules which the
hypervisor will not follow. A version later than any that was read (`READ`) is taken for the newest that was, and `Rules.told` says so.
Sources are files of QEMU's tree (of 10.0 where no version is named) and of Cloud Hypervisor's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Integral

from novastate.errors import ConvergenceError

__all__ = ["CLOUD_HYPERVISOR", "NEWEST", "PAIRS", "QEMU", "READ", "check", "number_of", "parsed"]

_Version = tuple[int, int]
#: Later than any: what is not known to be refused is taken.
NEWEST: _Version = (9999, 0)
#: The newest versions whose source was read.
READ: dict[str, _Version] = {"QEMU": (10, 1), "Cloud Hypervisor": (52, 0)}
#: A version as it is written, as `qemu --version` or `query-version` tells it, with what a distribution adds.
_WRITTEN = re.compile(
    r"\(?(?:QEMU emulator version |qemu-(?:kvm-)?|cloud-hypervisor |Debian [0-9]+:)?"
    r"v?([0-9]{1,4}(?:\.[0-9]{1,4})*)(?:[ +~-].*|\))?"
)
_FIRST, _LAST = (0, 0), (10_000, 0)
#: From this number on it is libvirt's: 1,000,000 times major, 1,000 times minor, release.
_NUMBER, _MOST = 1_000_000, 10_000_000_000

#: The first version of QEMU that has an option; what it is called there, and where it is.
QEMU: dict[str, tuple[_Version, str]] = {
    "post_copy_preempt": ((7, 1), "postcopy-preempt, migration/postcopy-ram.c"),
    "dirty_limit": ((8, 1), "dirty-limit, migration/ram.c, system/dirtylimit.c"),
    "switchover_bandwidth": ((8, 2), "avail-switchover-bandwidth, migration/migration.c"),
    "zero_page_in_threads": ((9, 0), "zero-page-detection=multifd, migration/multifd-zero-page.c"),
    "background_sync": ((9, 2), "the dirty-sync timer, migration/cpu-throttle.c"),
}
CLOUD_HYPERVISOR: dict[str, tuple[_Version, str]] = {
    "budget": ((52, 0), "downtime_ms, vmm/src/lib.rs"),
    "on_timeout": ((52, 0), "timeout_strategy, vmm/src/lib.rs"),
}
#: Pairs that QEMU refuses (migration/options.c migrate_caps_check), from which version on, and from which it takes them.
PAIRS: tuple[tuple[str, str, _Version | None, _Version | None], ...] = (
    ("multifd", "xbzrle_cache", (8, 2), None),
    ("dirty_limit", "auto_converge", None, None),
    ("multifd", "post_copy", None, (10, 1)),
)


def parsed(version: object, oldest: _Version, example: str, name: str) -> tuple[_Version, str]:
    """*version* as its first two numbers, and as it is written: ``"8.2.1"``, also of ``8002001``, as libvirt tells it.

    Raises `ConvergenceError` for none, or one before *oldest*.
    """
    text = str(version).strip()
    told = int(version) if isinstance(version, Integral) else 0
    if _NUMBER <= told < _MOST:
        text = f"{told // _NUMBER}.{told // 1000 % 1000}.{told % 1000}"
    found = _WRITTEN.fullmatch(text)
    parts = found[1].split(".") if found else []
    if not parts or (len(parts) < 2 and oldest < (16, 0)):
        raise ConvergenceError("version", version, f"is no version of {name}, like {example}")
    number = (int(parts[0]), int(parts[1]) if len(parts) > 1 else 0)
    if number < oldest:
        raise ConvergenceError("version", version, f"must be {oldest[0]}.{oldest[1]} or later")
    return number, ".".join(parts)


def number_of(version: object, oldest: _Version, example: str, name: str) -> _Version:
    """*version* as its first two numbers; raises `ConvergenceError` as `parsed`."""
    return parsed(version, oldest, example, name)[0]


def check(
    options: Mapping[str, object], version: _Version, since: Mapping[str, tuple[_Version, str]], name: str
) -> None:
    """Raises `ConvergenceError` that names the first of *options* which is set and newer than *version*."""
    for option, (first, what) in since.items():
        if options.get(option) and version < first:
            raise ConvergenceError(option, f"{version[0]}.{version[1]}", f"needs {name} {first[0]}.{first[1]} ({what})")
    for one, other, refused, taken in PAIRS if name == "QEMU" else ():
        if options.get(one) and options.get(other) and (refused or _FIRST) <= version < (taken or _LAST):
            begins = "" if refused is None else f" from {refused[0]}.{refused[1]} on"
            until = "" if taken is None else f" before {taken[0]}.{taken[1]}"
            raise ConvergenceError(one, options[one], f"does not go with {other}{begins}{until}")
