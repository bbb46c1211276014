"""The statistics of a job, made of what libvirt and QEMU answer."""

from __future__ import annotations

import math

import pytest

from novastate.convergence import DirtyCurve, Guest, Limits, Link, Rules, Watch
from novastate.drivers import JobStats, JobType
from novastate.errors import InvalidField

MIB = 1 << 20
#: What virDomainGetJobStats gives of a job that runs.
RUNS = {
    "type": 2,
    "time_elapsed": 2300,
    "memory_total": 384 * MIB,
    "memory_processed": 128 * MIB,
    "memory_remaining": 256 * MIB,
    "memory_bps": 67_000_000,
    "memory_dirty_rate": 7,
    "memory_iteration": 1,
    "memory_constant": 80,
    "auto_converge_throttle": 30,
}
#: What query-migrate gives of it.
ACTIVE = {
    "status": "active",
    "total-time": 2000,
    "setup-time": 4,
    "expected-downtime": 300,
    "cpu-throttle-percentage": 30,
    "ram": {
        "total": 384 * MIB,
        "transferred": 128 * MIB,
        "remaining": 256 * MIB,
        "mbps": 536.25,
        "dirty-pages-rate": 7,
        "dirty-sync-count": 1,
        "page-size": 4096,
        "normal": 32_000,
        "normal-bytes": 131_072_000,
        "duplicate": 80,
    },
}


def watching():
    guest = Guest(384 * MIB, 80, 4096, DirtyCurve.from_windows({0.5: 900, 2.0: 1500}, page_count=98304))
    return Watch(guest, Link(64 * MIB), Limits(0.3), Rules.qemu("10.0", begin=0))


# --- libvirt


def test_statistics_are_made_of_what_libvirt_returns():
    seen = JobStats.from_libvirt(RUNS)
    assert (seen.type, seen.elapsed, seen.dirty_rate, seen.throttle) == (JobType.UNBOUNDED, 2.3, 7, 0.3)
    with pytest.raises(InvalidField, match=r"^memory_total"):
        JobStats.from_libvirt({"memory_total": "much"})


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(0, "none"), (1, "unbounded"), (2, "unbounded"), (3, "completed"), (4, "failed"), (5, "cancelled")],
)
def test_what_libvirt_says_of_the_job_is_its_type(kind, expected):
    assert JobStats.from_libvirt({**RUNS, "type": kind}).type is JobType(expected)


def test_a_type_that_the_caller_knows_holds_and_without_any_the_job_runs():
    assert JobStats.from_libvirt(RUNS, JobType.FAILED).type is JobType.FAILED
    assert JobStats.from_libvirt({"time_elapsed": 1}).type is JobType.UNBOUNDED


@pytest.mark.parametrize("kind", [6, -1, "completed", None, True])
def test_a_type_that_libvirt_does_not_have_is_refused(kind):
    with pytest.raises(InvalidField, match=r"^type"):
        JobStats.from_libvirt({**RUNS, "type": kind})


@pytest.mark.parametrize("kind", [3, 4, 5])
def test_a_job_that_is_over_is_not_forecast(kind):
    told = watching().observe(JobStats.from_libvirt({**RUNS, "type": kind}))
    assert told.eta == (0.0 if kind == 3 else None)
    assert told.converges is (kind == 3)


# --- QMP


def test_statistics_are_made_of_what_query_migrate_answers():
    seen = JobStats.from_qmp(ACTIVE)
    assert (seen.type, seen.elapsed, seen.downtime, seen.throttle) == (JobType.UNBOUNDED, 2.0, 0.3, 0.3)
    assert (seen.memory_total, seen.memory_processed, seen.memory_remaining) == (384 * MIB, 128 * MIB, 256 * MIB)
    assert (seen.memory_bps, seen.dirty_rate, seen.iteration) == (67_031_250, 7, 1)
    assert (seen.page_size, seen.normal, seen.constant) == (4096, 32_000, 80)
    assert (seen.post_copy, seen.broken, seen.error) == (False, False, "")
    assert JobStats.from_qmp({"return": ACTIVE, "id": "libvirt-17"}) == seen


def test_both_answers_are_forecast_alike():
    told = watching().observe(JobStats.from_qmp(ACTIVE))
    same = watching().observe(JobStats.from_libvirt({**RUNS, "time_elapsed": 2000, "memory_bps": 67_031_250}))
    assert told == same
    assert 3 < told.eta < 5


STATUSES = {
    "none": "none",
    "setup": "unbounded",
    "active": "unbounded",
    "pre-switchover": "unbounded",
    "device": "unbounded",
    "wait-unplug": "unbounded",
    "cancelling": "unbounded",
    "postcopy-active": "unbounded",
    "postcopy-paused": "unbounded",
    "postcopy-recover-setup": "unbounded",
    "postcopy-recover": "unbounded",
    "postcopy-device": "unbounded",
    "failing": "unbounded",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}


@pytest.mark.parametrize("status", STATUSES)
def test_qemu_s_status_says_how_the_job_stands(status):
    seen = JobStats.from_qmp({**ACTIVE, "status": status})
    assert seen.type is JobType(STATUSES[status])
    assert seen.post_copy is status.startswith("postcopy")
    assert seen.broken is (status == "postcopy-paused")


@pytest.mark.parametrize("status", ["running", 3, None, "", "colo"])
def test_a_status_that_qemu_does_not_have_is_refused(status):
    with pytest.raises(InvalidField, match=r"^status"):
        JobStats.from_qmp({**ACTIVE, "status": status})


def test_before_the_first_migration_and_while_it_is_set_up_nothing_is_counted():
    assert JobStats.from_qmp({}) == JobStats(JobType.NONE)
    assert JobStats.from_qmp({"return": {}}) == JobStats(JobType.NONE)
    assert JobStats.from_qmp({"status": "setup", "setup-time": 0}) == JobStats(JobType.UNBOUNDED)


def test_how_it_ended_is_told():
    seen = JobStats.from_qmp({"status": "completed", "total-time": 5310, "downtime": 36, "ram": ACTIVE["ram"]})
    assert (seen.type, seen.elapsed, seen.downtime) == (JobType.COMPLETED, 5.31, 0.036)
    failed = JobStats.from_qmp({"status": "failed", "error-desc": "no route"})
    assert (failed.type, failed.error) == (JobType.FAILED, "no route")


def test_disks_that_old_versions_copy_themselves_are_counted():
    seen = JobStats.from_qmp({**ACTIVE, "disk": {"total": 30, "transferred": 20, "remaining": 10}})
    assert (seen.disk_total, seen.disk_processed, seen.disk_remaining) == (30, 20, 10)


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"ram": {**ACTIVE["ram"], "mbps": "fast"}}, "ram.mbps"),
        ({"ram": {**ACTIVE["ram"], "mbps": math.nan}}, "ram.mbps"),
        ({"ram": {**ACTIVE["ram"], "total": math.inf}}, "ram.total"),
        ({"ram": 3}, "ram"),
        ({"disk": []}, "disk"),
        ({"total-time": None}, "total-time"),
    ],
)
def test_what_is_no_number_is_named_as_in_the_answer(part, field):
    with pytest.raises(InvalidField, match=rf"^{field}: "):
        JobStats.from_qmp({**ACTIVE, **part})


@pytest.mark.parametrize("made", [JobStats.from_libvirt, JobStats.from_qmp])
@pytest.mark.parametrize("raw", [None, [1], "active", 3])
def test_what_is_no_dictionary_is_refused(made, raw):
    with pytest.raises(InvalidField, match=r"^raw"):
        made(raw)


def test_the_answer_to_another_command_is_refused():
    with pytest.raises(InvalidField, match=r"^return"):
        JobStats.from_qmp({"return": [ACTIVE]})
    with pytest.raises(InvalidField, match=r"^error"):
        JobStats.from_qmp({"error": {"class": "CommandNotFound", "desc": "no"}})
