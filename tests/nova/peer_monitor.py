"""The real Nova's monitor of a live migration, poll by poll: its own loop, against a guest that only says that it still runs.

What the loop touches outside itself is replaced: the clock, the guest, the sizes of disk images, and libvirt's constants, which Nova
has only where libvirt's Python binding is.
"""

from collections import deque
from types import SimpleNamespace
from unittest import mock

from nova import conf

CONF = conf.CONF
NAMES = ("live_migration_downtime", "live_migration_downtime_steps", "live_migration_downtime_delay",
         "live_migration_completion_timeout", "live_migration_timeout_action")  # fmt: skip
RUNNING, COMPLETED = 2, 3
LIBVIRT = SimpleNamespace(
    VIR_DOMAIN_JOB_NONE=0, VIR_DOMAIN_JOB_UNBOUNDED=RUNNING, VIR_DOMAIN_JOB_COMPLETED=COMPLETED, VIR_DOMAIN_JOB_FAILED=4,
    VIR_DOMAIN_JOB_CANCELLED=5, libvirtError=OSError,
)  # fmt: skip


def configure(options):
    for name in NAMES:
        CONF.clear_override(name, "libvirt")
    for name, value in options.items():
        CONF.set_override(f"live_migration_{name}", value, "libvirt")


def downtime_steps(options, data_gb):
    """All steps of Nova's own generator."""
    from nova.virt.libvirt import migration

    configure(options)
    return list(migration.downtime_steps(data_gb))


def data_to_move(memory_mb, disks):
    """Nova's measure of it, in GiB."""
    from nova.virt.libvirt import driver

    with mock.patch.object(driver, "os", SimpleNamespace(stat=lambda size: SimpleNamespace(st_size=size))):
        flavor = SimpleNamespace(memory_mb=memory_mb)
        return driver.LibvirtDriver._live_migration_data_gb(None, SimpleNamespace(flavor=flavor), disks)


def monitor(options, memory_mb, disks, polls):
    """What Nova's loop did at each of *polls*, [elapsed s, whether in post-copy]: [downtime that was set or None, action]."""
    from nova.virt.libvirt import driver, migration

    configure(options)
    done = []
    record = SimpleNamespace(status="running", save=lambda: None)
    instance = SimpleNamespace(uuid="u", flavor=SimpleNamespace(memory_mb=memory_mb), save=lambda: None, progress=0)

    def look():
        if len(done) == len(polls):
            return info(COMPLETED)
        record.status = "running (post-copy)" if polls[len(done)][1] else "running"
        done.append([None, "none"])
        return info(RUNNING)

    def note(at, value):
        done[-1][at] = value

    guest = SimpleNamespace(
        get_job_info=look,
        migrate_configure_max_downtime=lambda ms: note(0, ms),
        abort_job=lambda: note(1, "abort"),
    )
    host = SimpleNamespace(
        _get_migration_flags=lambda _: 0, _is_post_copy_enabled=lambda _: False, _get_vpmems=lambda _: [],
        _clear_empty_migration=lambda _: None, active_migrations={"u": deque()},
        live_migration_force_complete=lambda _: note(1, "force_complete"),
        _live_migration_data_gb=lambda *of: driver.LibvirtDriver._live_migration_data_gb(None, *of),
    )  # fmt: skip
    clock = SimpleNamespace(time=mock.Mock(side_effect=[0.0, *(at for at, _ in polls)]), sleep=lambda _: None)
    files = SimpleNamespace(stat=lambda size: SimpleNamespace(st_size=size))
    with (
        mock.patch.object(driver, "libvirt", LIBVIRT),
        mock.patch.object(migration, "libvirt", LIBVIRT),
        mock.patch.object(driver, "time", clock),
        mock.patch.object(driver, "os", files),
    ):
        data = SimpleNamespace(migration=record, block_migration=bool(disks))
        driver.LibvirtDriver._live_migration_monitor(
            host, None, instance, guest, "dest", lambda *_: None, None, bool(disks), data, None, disks
        )
    return done


def info(kind):
    return SimpleNamespace(
        type=kind,
        memory_total=100,
        memory_processed=0,
        memory_remaining=100,
        disk_total=0,
        disk_processed=0,
        disk_remaining=0,
    )


OPS = {f.__name__: f for f in (data_to_move, downtime_steps, monitor)}
