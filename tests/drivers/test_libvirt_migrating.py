"""Live migration on libvirt, without a daemon: what is asked, how the end is told, what the destination's XML is."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace

import libvirt
import pytest

from novastate.drivers import JobStats, JobType, LiveMigrationParams
from novastate.drivers.libvirt import migration_job, moving
from novastate.drivers.libvirt.driver import LibvirtDriver
from novastate.drivers.libvirt.migration_job import (
    ENDS,
    AtSource,
    Attempt,
    Job,
    Jobs,
    Look,
    ended,
    flags_of,
    look,
    parameters,
    post_copy_refused,
)
from novastate.drivers.libvirt.migration_xml import cpu_of, for_destination, host_addresses, read_cpu
from novastate.drivers.libvirt.moving import PostCopyError
from novastate.drivers.libvirt.notes import Kind, Notes
from novastate.drivers.libvirt.states import MIGRATION_OUT
from novastate.drivers.libvirt.xml import file_disks
from novastate.errors import DriverError, DriverTimeout, GuestNotFound, NotSupported
from novastate.objects import Flavor, Instance, LibvirtLiveMigrateData

MIB = 1 << 20
PLAIN = LiveMigrationParams()


# --- what is asked


@pytest.mark.parametrize(
    ("params", "how", "names"),
    [
        (PLAIN, {}, ""),
        (PLAIN, {"persistent": True}, "PERSIST_DEST UNDEFINE_SOURCE"),
        (PLAIN, {"block": True}, "NON_SHARED_INC"),
        (LiveMigrationParams(auto_converge=True), {}, "AUTO_CONVERGE"),
        (LiveMigrationParams(post_copy=True), {}, "POSTCOPY"),
        (LiveMigrationParams(post_copy=True), {"paused": True}, ""),
        (LiveMigrationParams(parallel_connections=2), {}, "PARALLEL"),
        (LiveMigrationParams(parallel_connections=1), {}, ""),
    ],
)
def test_flags_are_libvirts(params, how, names):
    expected = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
    for name in names.split():
        expected |= getattr(libvirt, f"VIR_MIGRATE_{name}")
    assert flags_of(params, **{"persistent": False, "block": False, **how}) == expected


@pytest.mark.parametrize(("asked", "mib"), [(1, 1), (MIB, 1), (MIB + 1, 2), (64 * MIB, 64)])
def test_a_bandwidth_limit_is_rounded_up_to_mib(asked, mib):
    told = parameters("10.0.0.2", LiveMigrationParams(bandwidth=asked, post_copy=True))
    assert told[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] == told[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY] == mib


def test_no_limit_is_no_parameter_and_the_rest_is_named_as_libvirt_names_it():
    assert parameters("10.0.0.2", PLAIN) == {libvirt.VIR_MIGRATE_PARAM_URI: "tcp://10.0.0.2"}
    assert parameters("fe80::1", PLAIN) == {libvirt.VIR_MIGRATE_PARAM_URI: "tcp://[fe80::1]"}
    full = parameters(
        "b", LiveMigrationParams(parallel_connections=4), disks=("vda", "vdb"), xml="<x/>", persistent_xml="<y/>"
    )
    assert full == {
        libvirt.VIR_MIGRATE_PARAM_URI: "tcp://b",
        libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS: 4,
        libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS: ["vda", "vdb"],
        libvirt.VIR_MIGRATE_PARAM_DEST_XML: "<x/>",
        libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: "<y/>",
    }


# --- how it stands


class Domain:
    """What a look at a guest asks of libvirt."""

    def __init__(self, state, reason=0, raw=None, refusal=None):
        self.answers, self.raw, self.refusal = (state, reason), raw or {"type": 0}, refusal

    def isActive(self):  # noqa: N802  (libvirt's name)
        return self.answers[0] != libvirt.VIR_DOMAIN_SHUTOFF

    def state(self):
        return list(self.answers)

    def jobStats(self):  # noqa: N802
        if self.refusal is not None:
            raise self.refusal
        return self.raw


def refusal(code):
    error = libvirt.libvirtError("")
    error.err = (code, 10, "refused", 2, "", "", "", 0, 0)
    return error


OUT = {"type": libvirt.VIR_DOMAIN_JOB_UNBOUNDED, "operation": libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT}
SAVE = {"type": libvirt.VIR_DOMAIN_JOB_UNBOUNDED, "operation": libvirt.VIR_DOMAIN_JOB_OPERATION_SAVE}
RUNS, PAUSED = libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED


@pytest.mark.parametrize(
    ("domain", "seen", "paused", "post_copy"),
    [
        (Domain(libvirt.VIR_DOMAIN_SHUTOFF), AtSource.GONE, False, False),
        (Domain(RUNS), AtSource.HERE, False, False),
        (Domain(RUNS, raw=SAVE), AtSource.HERE, False, False),
        (Domain(RUNS, raw=OUT), AtSource.JOB, False, False),
        (Domain(PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER), AtSource.HERE, True, False),
        (Domain(PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION, OUT), AtSource.JOB, True, False),
        (Domain(PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION), AtSource.HELD, True, False),
        (Domain(PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY, OUT), AtSource.JOB, True, True),
        (Domain(PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY), AtSource.HELD, True, True),
        (Domain(PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED, OUT), AtSource.BROKEN, True, True),
        (Domain(RUNS, refusal=refusal(libvirt.VIR_ERR_OPERATION_UNSUPPORTED)), AtSource.HERE, False, False),
        (Domain(RUNS, refusal=refusal(libvirt.VIR_ERR_OPERATION_INVALID)), AtSource.HERE, False, False),
    ],
)
def test_what_is_seen_of_a_guest(domain, seen, paused, post_copy):
    found = look(domain)
    assert (found.seen, found.paused, found.post_copy) == (seen, paused, post_copy)
    assert libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT == MIGRATION_OUT


@pytest.mark.parametrize(
    ("then", "seen"),
    [
        ((libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED), AtSource.GONE),
        ((PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION), AtSource.HELD),
    ],
)
def test_a_job_that_ends_during_the_look_is_not_taken_for_one_that_failed(then, seen):
    """The statistics wait for the guest's lock, which the end of a migration holds."""

    class Leaving(Domain):
        def jobStats(self):  # noqa: N802
            self.answers = then
            return super().jobStats()

    assert look(Leaving(RUNS)).seen is seen


def test_what_else_libvirt_says_is_not_swallowed():
    with pytest.raises(libvirt.libvirtError):
        look(Domain(RUNS, refusal=refusal(libvirt.VIR_ERR_OPERATION_TIMEOUT)))


def test_statistics_have_our_units():
    raw = {
        libvirt.VIR_DOMAIN_JOB_TIME_ELAPSED: 2500,
        libvirt.VIR_DOMAIN_JOB_DOWNTIME: 30,
        libvirt.VIR_DOMAIN_JOB_MEMORY_TOTAL: 1000,
        libvirt.VIR_DOMAIN_JOB_MEMORY_PROCESSED: 600,
        libvirt.VIR_DOMAIN_JOB_MEMORY_REMAINING: 400,
        libvirt.VIR_DOMAIN_JOB_MEMORY_BPS: 7,
        libvirt.VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE: 8,
        libvirt.VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE: 16384,
        libvirt.VIR_DOMAIN_JOB_MEMORY_ITERATION: 3,
        libvirt.VIR_DOMAIN_JOB_MEMORY_NORMAL: 9,
        libvirt.VIR_DOMAIN_JOB_MEMORY_CONSTANT: 10,
        libvirt.VIR_DOMAIN_JOB_DISK_TOTAL: 30,
        libvirt.VIR_DOMAIN_JOB_DISK_PROCESSED: 20,
        libvirt.VIR_DOMAIN_JOB_DISK_REMAINING: 10,
        libvirt.VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE: 30,
        libvirt.VIR_DOMAIN_JOB_ERRMSG: "why",
    }
    stats = JobStats.from_libvirt(raw)
    assert (stats.elapsed, stats.downtime, stats.throttle, stats.error) == (2.5, 0.03, 0.3, "why")
    assert (stats.memory_total, stats.memory_processed, stats.memory_remaining, stats.progress) == (1000, 600, 400, 60)
    assert (stats.memory_bps, stats.dirty_rate, stats.page_size, stats.iteration) == (7, 8, 16384, 3)
    assert (stats.normal, stats.constant) == (9, 10)
    assert (stats.disk_total, stats.disk_processed, stats.disk_remaining) == (30, 20, 10)
    assert JobStats.from_libvirt({}, JobType.NONE).page_size == 4096


# --- how it has ended


def test_every_case_has_its_row():
    assert set(ENDS) == set(itertools.product(Attempt, AtSource))


@pytest.mark.parametrize(("attempt", "seen"), list(itertools.product(Attempt, AtSource)))
def test_the_end_is_told_by_evidence_alone(attempt, seen):
    kind = ended(attempt, seen)
    # A call that returned, or the event, is the only sign of success; a guest that is gone is none.
    assert (kind is JobType.COMPLETED) == (attempt is Attempt.RETURNED)
    assert ended(attempt, seen, told=True) is JobType.COMPLETED
    # Failed means that the guest is here, and nothing holds it.
    assert kind is not JobType.FAILED or seen is AtSource.HERE
    # Aborted is what failed after an abort, and nothing else.
    aborted = ended(attempt, seen, aborted=True)
    assert aborted is (JobType.CANCELLED if kind is JobType.FAILED else kind)
    # No end while our own call or a job goes on.
    if Attempt.RUNS is attempt or (seen in {AtSource.JOB, AtSource.BROKEN} and attempt is not Attempt.RETURNED):
        assert kind in {JobType.NONE, JobType.UNBOUNDED}


def call(error=None, *, done=True):
    """A call of migrateToURI3, as the connection remembers it."""

    event = threading.Event()
    if done:
        event.set()
    return SimpleNamespace(done=event, error=error)


def test_a_job_knows_how_it_has_ended():
    job = Job("u", call=call(done=False))
    assert job.stats(Look(AtSource.HERE)).type is JobType.NONE
    running = job.stats(Look(AtSource.JOB, raw={"memory_total": 100, "memory_remaining": 40}))
    assert (running.type, running.progress, running.broken) == (JobType.UNBOUNDED, 60, False)
    # While the call has not returned a break may still be mended by the daemons themselves.
    assert not job.stats(Look(AtSource.BROKEN, paused=True, post_copy=True)).broken
    job.call = call(DriverError("lost"))
    assert job.stats(Look(AtSource.BROKEN, paused=True, post_copy=True)).broken
    job.final = {"memory_total": 100, "memory_processed": 130, "downtime": 20}
    stats = job.stats(Look(AtSource.GONE))
    assert (stats.type, stats.memory_processed, stats.downtime, stats.post_copy) == (JobType.COMPLETED, 130, 0.02, True)


def test_a_failure_carries_libvirts_words_and_the_last_statistics():
    job = Job("u", call=call(done=False))
    job.stats(Look(AtSource.JOB, raw={"memory_total": 100, "memory_remaining": 40}))
    job.call = call(DriverError("no route", code=38))
    stats = job.stats(Look(AtSource.HERE))
    assert (stats.type, stats.error, stats.memory_remaining) == (JobType.FAILED, "no route", 40)
    job.call = call(DriverError("canceled by client", code=libvirt.VIR_ERR_OPERATION_ABORTED))
    assert job.stats(Look(AtSource.HERE)).type is JobType.CANCELLED


@pytest.mark.parametrize("seen", [AtSource.GONE, AtSource.HELD])
def test_an_error_with_a_guest_that_is_not_here_is_no_end(seen):
    job = Job("u", call=call(DriverError("lost")))
    with pytest.raises(DriverError, match="cannot be told here: lost"):
        job.stats(Look(seen))


@pytest.mark.parametrize("seen", [AtSource.GONE, AtSource.HELD])
def test_the_end_of_another_processs_job_is_waited_for_and_not_for_ever(seen, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(migration_job.time, "monotonic", lambda: now[0])
    job = Job("u")
    job.stats(Look(AtSource.JOB, raw={"memory_total": 100, "memory_remaining": 40}))
    for now[0] in (100.0, 101.9):
        stats = job.stats(Look(seen))
        assert (stats.type, stats.memory_remaining) == (JobType.UNBOUNDED, 40)
    now[0] = 102.0
    with pytest.raises(DriverError, match="cannot be told here"):
        job.stats(Look(seen))
    job.final = {"memory_total": 100}
    assert job.stats(Look(seen)).type is JobType.COMPLETED


def test_what_no_one_expected_is_no_success():
    job = Job("u", call=call(RuntimeError("bug")))
    assert job.attempt is Attempt.RAISED
    assert "bug" in job.stats(Look(AtSource.HERE)).error


def test_a_job_that_is_about_to_begin_has_not_failed():
    assert Job("u", begins=True).stats(Look(AtSource.HERE)).type is JobType.NONE


def test_one_job_of_a_guest_is_remembered_until_it_is_forgotten():
    ends, jobs = [], Jobs()
    first = Job("u")
    first.end = lambda: ends.append("u")
    assert jobs.add(first) is first
    assert jobs.add(Job("u")) is first
    jobs.forget("u")
    jobs.forget("u")
    assert ends == ["u"]
    assert jobs.get("u") is None


def test_post_copy_that_was_not_permitted_is_not_supported():
    text = "switching to post-copy requires migration to be started with VIR_MIGRATE_POSTCOPY flag"
    assert isinstance(post_copy_refused(DriverError(text, code=55)), NotSupported)
    other = DriverError("post-copy can only be started while outgoing migration is in progress", code=55)
    assert post_copy_refused(other) is other


# --- XML

DOMAIN = """<domain type='kvm' id='3'>
  <name>web</name>
  <os><type arch='x86_64' machine='pc-q35-9.2'>hvm</type></os>
  <cpu mode='custom' match='exact' check='full'><model fallback='forbid'>Nehalem</model></cpu>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/i/a.qcow2'/>
      <backingStore type='file'><format type='qcow2'/><source file='/i/base.qcow2'/></backingStore><target dev='vda'/></disk>
    <disk type='file' device='disk'><source file='/i/b.img'/><backingStore/><target dev='vdb'/></disk>
    <disk type='file' device='disk'><source file='/i/ro.img'/><target dev='vdc'/><readonly/></disk>
    <disk type='file' device='disk'><source file='/i/sh.img'/><target dev='vdd'/><shareable/></disk>
    <disk type='file' device='cdrom'><source file='/i/cd.iso'/><target dev='sda'/></disk>
    <disk type='file' device='cdrom'><target dev='sdb'/></disk>
    <disk type='block' device='disk'><source dev='/dev/vg/c'/><target dev='vde'/></disk>
    <disk type='network' device='disk'><source protocol='rbd' name='p/i'/><target dev='vdf'/></disk>
    <graphics type='vnc' port='5900' listen='10.0.0.1' passwd='hunter2'><listen type='address' address='10.0.0.1'/></graphics>
    <graphics type='spice' port='5901' listen='127.0.0.1'><listen type='address' address='127.0.0.1'/></graphics>
    <serial type='tcp'><source mode='bind' host='10.0.0.1' service='4555'/></serial>
    <console type='tcp'><source mode='bind' host='10.0.0.1' service='4555'/></console>
    <serial type='tcp'><source mode='connect' host='10.0.0.9' service='4555'/></serial>
  </devices>
</domain>"""


def test_the_disks_that_a_guest_writes_to_alone_are_told():
    assert [(disk.device, disk.path, disk.format, disk.backing_file) for disk in file_disks(DOMAIN)] == [
        ("vda", "/i/a.qcow2", "qcow2", "/i/base.qcow2"),
        ("vdb", "/i/b.img", "raw", ""),
    ]


def test_the_cpu_travels_with_its_machine():
    cpu = read_cpu(cpu_of(DOMAIN))
    assert (cpu.virt_type, cpu.arch, cpu.machine, cpu.mode) == ("kvm", "x86_64", "pc-q35-9.2", "custom")
    assert "Nehalem" in cpu.cpu
    assert read_cpu(cpu_of("<domain type='qemu'/>")).cpu == ""
    with pytest.raises(ValueError, match="no domain"):
        read_cpu("Nehalem")


def test_addresses_of_the_source_are_found_and_replaced_and_nothing_else_is():
    assert host_addresses(DOMAIN) == {"vnc": {"10.0.0.1"}, "serial": {"10.0.0.1"}}
    text = for_destination(DOMAIN, {"vnc": "10.0.0.2", "spice": "10.0.0.2", "serial": "10.0.0.3"})
    assert text.count("10.0.0.1") == 0
    assert text.count("10.0.0.2") == 2
    assert text.count("10.0.0.3") == 2
    assert text.count("127.0.0.1") == 2
    assert "10.0.0.9" in text
    assert "hunter2" in text
    assert file_disks(text) == file_disks(DOMAIN)
    assert host_addresses(text) == {"vnc": {"10.0.0.2"}, "serial": {"10.0.0.3"}}


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.0.0.1", "::1", "localhost", ""])
def test_what_every_host_has_stays(address):
    domain = f"<domain><devices><graphics type='vnc' listen='{address}'/></devices></domain>"
    assert host_addresses(domain) == {}
    assert for_destination(domain, {"vnc": "10.0.0.2"}) == ""


def test_a_host_name_is_one_hosts_own():
    assert host_addresses("<domain><devices><graphics type='spice' listen='alpha'/></devices></domain>") == {
        "spice": {"alpha"}
    }


# --- notes

UUID = "7a1f2c9e-0d53-4c7f-9a39-5a2be3a2f6d1"


@pytest.mark.parametrize("host", ["alpha", "a.b", "rack/1", "novastate-probe-x", "ä b"])
def test_a_probe_says_whose_it_is(host):
    notes = Notes("/i", host, UUID)
    assert Notes.of_probe("/i", host, notes.probe) == notes
    assert Notes.of_probe("/i", host + "2", notes.probe) is None
    assert "/" not in notes.probe
    assert len({notes.path(kind) for kind in Kind}) == len(Kind)
    assert all(notes.path(kind).count("/") == 2 for kind in Kind)


@pytest.mark.parametrize("name", ["", "x", "UNSET", "novastate-probe-", f"tmp-{UUID}-alpha"])
def test_another_file_is_no_probe(name):
    assert Notes.of_probe("/i", "alpha", name) is None


# --- post-copy that has lost its link


def test_going_on_with_broken_post_copy_is_always_refused(monkeypatch):
    driver, domain = (
        LibvirtDriver("test:///default", "alpha"),
        Domain(PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED, OUT),
    )
    monkeypatch.setattr(driver, "lookup", lambda _connect, _uuid: domain)
    params = LiveMigrationParams(post_copy=True)
    for job in (None, Job(UUID, "beta", params=params, call=call(DriverError("lost")))):
        if job is not None:
            driver.jobs.add(job)
        with pytest.raises(NotSupported, match="lost its link"):
            driver.live_migration(
                Instance(uuid=UUID, flavor=Flavor(vcpus=1, memory_mb=64)), "beta", LibvirtLiveMigrateData(), params
            )
        assert driver.jobs.get(UUID) is job
    driver.close()


# --- an abort that is not heard at once


@pytest.fixture
def aborting(monkeypatch):
    """``aborting(*answers)``: a driver with a job that has begun, whose attempts to abort end like this, one after the other."""
    monkeypatch.setattr(moving, "_AGAIN", 0.001)
    made = []

    def aborting(*answers):
        driver = LibvirtDriver("test:///default", "alpha", timeout=5.0)
        made.append(driver)
        driver.job = driver.jobs.add(Job("u", call=call(done=False)))
        left = list(answers)

        def abort(_uuid, _job):
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(driver, "_abort", abort)
        driver.left = left
        return driver

    yield aborting
    for driver in made:
        driver.job.call = call()  # nothing goes on after the test
        driver.close()


def test_an_abort_is_repeated_until_the_job_has_heard_it_whatever_the_daemon_says(aborting):
    driver = aborting(False, DriverError("cannot be reached"), DriverTimeout("no reply"), False, True)
    driver.live_migration_abort("u")
    assert driver.left == []


def test_an_abort_that_came_too_late_says_so(aborting):
    driver = aborting(False, PostCopyError("post-copy cannot be aborted"))
    with pytest.raises(DriverError, match="post-copy cannot be aborted"):
        driver.live_migration_abort("u")


def test_an_abort_of_what_has_gone_changes_nothing(aborting):
    aborting(GuestNotFound("gone")).live_migration_abort("u")
    aborting(False, GuestNotFound("gone")).live_migration_abort("u")


def test_an_abort_that_is_not_heard_in_time_may_be_asked_for_again(aborting):
    driver = aborting(*[False] * 100_000)
    driver.timeout = 0.1
    with pytest.raises(DriverTimeout, match="has not heard"):
        driver.live_migration_abort("u")
