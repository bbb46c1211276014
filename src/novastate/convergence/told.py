"""The rules of a hypervisor in words, each with the file that it is from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from novastate.convergence import versions
from novastate.errors import ConvergenceError

if TYPE_CHECKING:
    from novastate.convergence.rules import Rules

__all__ = ["cloud_hypervisor", "newer", "qemu"]


def newer(rules: Rules) -> tuple[str, ...]:
    """That the version is newer than any that was read, where it is."""
    for prefix, name in (("qemu-", "QEMU"), ("cloud-hypervisor-", "Cloud Hypervisor")):
        written = rules.name.removeprefix(prefix)
        if written == rules.name:
            continue
        try:
            number = versions.number_of(written, (0, 0), written, name)
        except ConvergenceError:
            continue  # a name of one's own
        if number > versions.READ[name]:
            newest = ".".join(map(str, versions.READ[name]))
            return (
                f"{name} {written} is newer than any that was read, {newest}: it is taken to migrate as that does.",
            )
    return ()


def qemu(rules: Rules) -> tuple[str, ...]:
    """QEMU's rules as *rules* has them."""
    lines = [
        (
            "The rate limit is kept by slots of 100 ms: the quota, rounded up to whole flushes, goes out at line rate, then the"
            " thread sleeps (migration/migration.c migration_rate_limit, migration/qemu-file.c)."
        ),
        (
            "A turn sends for at most 50 ms; as it begins, what remains is compared with the threshold, and where it is less the dirty"
            " bitmap is synced (migration/ram.c ram_save_iterate, migration/migration.c migration_iteration_run)."
        ),
        f"The threshold is the downtime limit times {_bandwidth(rules)} (migration/migration.c migration_update_counters).",
        (
            "The guest is stopped where less than the threshold remains after a sync; the rest goes without the limit"
            " (migration/migration.c migration_completion)."
        ),
        (
            f"A page takes {rules.wire():g} bytes, a zero page {rules.wire_zero():g} (migration/ram.c, migration/multifd.c). Pages of 4 KiB"
            " are counted and sent, also of huge pages, which KVM splits while it watches; only post-copy sends huge pages whole."
            " But a turn does not end within a huge page, whatever the 50 ms, and the time is looked at after 64 of them only: what remains"
            " is compared with the threshold later by up to that much (migration/ram.c ram_save_host_page); Guest.host_page says it."
        ),
    ]
    if rules.auto_converge:
        slow = ", or by less where less brings the writes down to it (tail-slow)" if rules.tailslow else ""
        lines.append(
            f"Where in more than a second more is dirtied than {rules.trigger:.0%} of what was sent, twice, vCPUs are throttled: by"
            f" {rules.initial:.0%}, then by {rules.increment:.0%} more{slow}, up to {rules.most:.0%} (migration/ram.c"
            " migration_trigger_throttle). A vCPU throttled by p runs 10 ms in 10 / (1 - p) (migration/cpu-throttle.c)."
        )
    if rules.auto_converge and rules.background_sync:
        lines.append(
            f"Every {rules.background_sync:g} s a timer syncs the bitmap where that was not done since it last looked: in a long round,"
            f" but for the first, {rules.background_sync:g} to {2 * rules.background_sync:g} s after the last sync"
            " (migration/cpu-throttle.c cpu_throttle_dirty_sync_timer_tick)."
        )
    if rules.dirty_limit:
        lines.append(
            f"Twice too much dirtied limits all vCPUs together to {rules.dirty_limit:g} bytes/s (migration/ram.c"
            " migration_dirty_limit_guest, system/dirtylimit.c); here one factor on all write rates from then on."
        )
    if rules.rearm:
        lines.append(
            "A page is watched anew from when its GiB is about to be sent (migration/ram.c"
            " migration_clear_memory_region_dirty_bitmap, accel/kvm/kvm-all.c): in memory of many GiB half of a round on average."
        )
    if rules.post_copy:
        how = "on a channel of its own" if rules.post_copy_preempt else "behind what the socket holds"
        lines.append(
            f"After {rules.post_copy_after} syncs without an end the guest goes on at the destination; missing pages come"
            f" {how}, the others in order, none twice (migration/postcopy-ram.c, migration/ram.c). Memory on huge pages goes by these:"
            " where one of its pages is missing the huge page goes again, whole (migration/ram.c postcopy_chunk_hostpages_pass)."
        )
    if rules.xbzrle_cache and rules.multifd:
        lines.append(
            "XBZRLE is without effect beside multifd, which sends every page itself (migration/ram.c ram_save_target_page)."
        )
    elif rules.xbzrle_cache:
        lines.append(
            f"A page that was sent twice and is in the cache of {rules.cached_pages():g} pages takes {rules.wire_again():g} bytes"
            " (migration/xbzrle.c, migration/page_cache.c, migration/ram.c save_xbzrle_page)."
        )
    if rules.multifd:
        where = "their threads" if rules.zero_page_in_threads else "the migration's thread"
        lines.append(
            f"{rules.multifd} channels send packets of 128 pages (migration/multifd.c); zero pages are found in {where}"
            " (migration/multifd-zero-page.c)."
        )
    return tuple(lines)


def _bandwidth(rules: Rules) -> str:
    if rules.switchover_bandwidth:
        return f"the bandwidth of the switch-over, {rules.switchover_bandwidth:g} bytes/s"
    return "the last slot's bandwidth in whole milliseconds"


def cloud_hypervisor(rules: Rules) -> tuple[str, ...]:
    """Cloud Hypervisor's rules as *rules* has them."""
    lines = [
        "A round is sent to its end, then the log of dirty pages is read and cleared (vmm/src/lib.rs do_memory_iterations).",
        "All pages go out in full, zero or not; there is no limit of the bandwidth and no throttling.",
    ]
    if rules.most_rounds:
        lines.append(
            f"The guest is stopped after {rules.most_rounds} rounds, or as soon as nothing is dirty (vmm/src/lib.rs, before 52)."
        )
    else:
        late = "the guest is stopped all the same" if rules.ignores_timeout else "it is cancelled"
        lines.append(
            "After each whole round, and however late that is, the guest is stopped where sending what is dirty at the round's bandwidth"
            " takes no longer than the downtime limit, or nothing is dirty; only where that is not so it is asked whether the timeout"
            f" has passed, and then {late} (vmm/src/lib.rs is_precopy_converged)."
        )
    return tuple(lines)
