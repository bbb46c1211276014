"""What a hypervisor could do since which version, and the rules it follows, in words.

Rule: an option that a version does not have is refused by name (`check`), so that a forecast is never made by rules which the
hypervisor will not follow. Sources are files of QEMU's tree (of 10.0 where no version is named) and of Cloud Hypervisor's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from novastate.errors import ConvergenceError

__all__ = ["CLOUD_HYPERVISOR", "NEWEST", "PAIRS", "QEMU", "check", "number_of"]

_Version = tuple[int, int]
#: Later than any: what is not known to be refused is taken.
NEWEST: _Version = (9999, 0)

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
#: Pairs that QEMU refuses (migration/options.c migrate_caps_check), and the version from which it takes them.
PAIRS: tuple[tuple[str, str, _Version | None], ...] = (
    ("multifd", "xbzrle_cache", None),
    ("dirty_limit", "auto_converge", None),
    ("multifd", "post_copy", (10, 1)),
)


def number_of(version: object, oldest: _Version, example: str, name: str) -> _Version:
    """*version* (``"10.0"``, ``"8.2.1"``) as its first two numbers; raises `ConvergenceError` for none, or one before *oldest*."""
    found = re.fullmatch(r"v?([0-9]{1,4})(?:\.([0-9]{1,4}))?(\.[0-9]+)*", str(version))
    if not found or (found[2] is None and oldest < (16, 0)):
        raise ConvergenceError("version", version, f"is no version of {name}, like {example}")
    number = (int(found[1]), int(found[2] or 0))
    if number < oldest:
        raise ConvergenceError("version", version, f"must be {oldest[0]}.{oldest[1]} or later")
    return number


def check(
    options: Mapping[str, object], version: _Version, since: Mapping[str, tuple[_Version, str]], name: str
) -> None:
    """Raises `ConvergenceError` that names the first of *options* which is set and newer than *version*."""
    for option, (first, what) in since.items():
        if options.get(option) and version < first:
            raise ConvergenceError(option, f"{version[0]}.{version[1]}", f"needs {name} {first[0]}.{first[1]} ({what})")
    for one, other, taken in PAIRS if name == "QEMU" else ():
        if options.get(one) and options.get(other) and (taken is None or version < taken):
            until = "" if taken is None else f" before {taken[0]}.{taken[1]}"
            raise ConvergenceError(one, options[one], f"does not go with {other}{until}")
