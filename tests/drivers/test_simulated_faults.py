"""Scripted faults: each fires once, where and when it says, and hides what a lost reply hides."""

from __future__ import annotations

import pytest

from drivers_world import HOPELESS, UUID, Move, make_cloud, make_instance
from novastate.drivers import ComputeDriver, Fault, JobType
from novastate.errors import DriverError, DriverTimeout, GuestNotFound, InvalidField, UnknownName
from novastate.machines import PowerState


def test_a_fault_before_the_call_leaves_nothing_done():
    cloud = make_cloud(faults=[Fault(host="a", method="spawn", error="no such luck")])
    driver = cloud.driver("a")
    with pytest.raises(DriverError, match="a: no such luck"):
        driver.spawn(make_instance())
    assert driver.list_guests() == []
    driver.spawn(make_instance())  # it fires once
    assert cloud.running(UUID) == ["a"]


@pytest.mark.parametrize("kind", ["error", "timeout", "lose_reply"])
def test_a_fault_after_the_call_loses_the_reply_and_not_the_effect(kind):
    cloud = make_cloud(faults=[Fault(method="spawn", when="after", kind=kind)])
    with pytest.raises(DriverTimeout):
        cloud.driver("a").spawn(make_instance())
    assert cloud.running(UUID) == ["a"]


def test_losing_a_reply_is_after_the_effect_in_any_case():
    cloud = make_cloud(faults=[Fault(method="spawn", kind="lose_reply")])
    with pytest.raises(DriverTimeout):
        cloud.driver("a").spawn(make_instance())
    assert cloud.running(UUID) == ["a"]


def test_a_lost_reply_hides_an_error_too():
    cloud = make_cloud(faults=[Fault(method="pause", kind="lose_reply")])
    with pytest.raises(DriverTimeout):
        cloud.driver("a").pause(UUID)
    with pytest.raises(GuestNotFound):
        cloud.driver("a").pause(UUID)


def test_a_timeout_before_the_call_leaves_nothing_done():
    cloud = make_cloud(faults=[Fault(method="spawn", kind="timeout")])
    with pytest.raises(DriverTimeout):
        cloud.driver("a").spawn(make_instance())
    assert cloud.running(UUID) == []


@pytest.mark.parametrize(("when", "there"), [("before", []), ("after", [PowerState.SHUTDOWN])])
def test_a_host_may_crash_before_or_after_the_call(when, there):
    cloud = make_cloud(faults=[Fault(method="spawn", kind="crash_host", when=when)])
    driver = cloud.driver("a")
    with pytest.raises(DriverError):
        driver.spawn(make_instance())
    assert cloud.running(UUID) == []
    with pytest.raises(DriverError, match="down"):
        driver.list_guests()
    cloud.restore_host("a")
    assert [guest.power_state for guest in driver.list_guests()] == there


def test_the_nth_call_on_a_host_or_on_any():
    faults = [
        Fault(host="b", method="host_state", nth=2, error="second of b"),
        Fault(method="host_state", nth=4, error="fourth"),
    ]
    cloud = make_cloud(faults=faults)
    outcomes = []
    for host in "abbab":
        try:
            cloud.driver(host).host_state()
            outcomes.append("")
        except DriverError as error:
            outcomes.append(error.text)
    assert outcomes == ["", "", "second of b", "fourth", ""]


def test_a_migration_fails_when_it_is_told_to():
    cloud = make_cloud(storage="pool", faults=[Fault(method="job", at=2.5, kind="fail", error="cable cut")])
    move = Move(cloud).start()
    cloud.clock.sleep(2.4)
    assert move.stats().type is JobType.UNBOUNDED
    cloud.clock.sleep(0.2)
    stats = move.stats()
    assert (stats.type, stats.error) == (JobType.FAILED, "cable cut")
    assert stats.elapsed == pytest.approx(2.5)
    assert cloud.running(UUID) == ["a"]
    assert move.roll_back().stats().type is JobType.NONE
    assert move.start().watch().type is JobType.COMPLETED


def test_a_fault_of_a_job_is_found_however_late_one_looks():
    cloud = make_cloud(storage="pool", faults=[Fault(method="job", at=2.5, kind="fail")])
    move = Move(cloud).start()
    cloud.clock.sleep(3600)
    assert move.stats().elapsed == pytest.approx(2.5)


def test_a_stall_stops_it_for_its_time():
    def took(*faults):
        return Move(make_cloud(storage="pool", faults=faults)).start().watch().elapsed

    whole = took()
    assert took(Fault(method="job", at=1.0, kind="stall", seconds=5)) == pytest.approx(whole + 5, abs=0.6)
    assert took(Fault(method="job", at=1.0, kind="link_slow", factor=0.5, seconds=2)) == pytest.approx(
        whole + 1, abs=0.6
    )


def test_a_stall_stops_the_disk_too():
    def took(*faults):
        return Move(make_cloud(faults=faults)).start().watch().elapsed

    assert took(Fault(method="job", at=1.0, kind="stall", seconds=5)) == pytest.approx(took() + 5, abs=0.6)


@pytest.mark.parametrize(("host", "running"), [(None, []), ("a", []), ("b", ["a"])])
def test_a_host_crashes_while_a_migration_goes_on(host, running):
    cloud = make_cloud(storage="pool", faults=[Fault(host=host, method="job", at=1.5, kind="crash_host")])
    Move(cloud, make_instance(law=HOPELESS)).start()
    cloud.clock.sleep(1.4)
    assert cloud.running(UUID) == ["a"]
    cloud.clock.sleep(0.2)
    assert cloud.running(UUID) == running


def test_the_nth_migration():
    cloud = make_cloud(storage="pool", faults=[Fault(method="job", nth=2, at=1, kind="fail")])
    first = Move(cloud).start()
    assert first.watch().type is JobType.COMPLETED
    first.post()
    back = Move(cloud, first.instance, source="b", dest="a", spawn=False).start()
    assert back.watch().type is JobType.FAILED


def test_a_fault_may_be_added_later():
    cloud = make_cloud()
    cloud.driver("a").spawn(make_instance())
    cloud.add_fault(Fault(method="pause"))
    with pytest.raises(DriverError):
        cloud.driver("a").pause(UUID)
    assert cloud.running(UUID) == ["a"]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Fault(method="spawn", kind="stall"), "kind"),
        (lambda: Fault(method="job", kind="error"), "kind"),
        (lambda: Fault(method="spawn", nth=0), "nth"),
        (lambda: Fault(method="spawn", when="during"), "when"),
        (lambda: Fault(method="job", kind="fail", at=-1), "at"),
        (lambda: Fault(method=""), "method"),
        (lambda: Fault.from_dict({"methd": "spawn"}), "faults.methd"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(make, field):
    with pytest.raises(InvalidField) as refused:
        make()
    assert refused.value.field == field


def test_a_fault_reads_back_as_it_was_written():
    fault = Fault(host="a", method="job", nth=2, kind="stall", at=1.5, seconds=3)
    assert Fault.from_dict(fault.to_dict()) == fault


def test_a_call_that_no_driver_has_is_refused_by_name():
    with pytest.raises(UnknownName) as refused:
        Fault(method="spwan")
    assert "spawn" in refused.value.near
    with pytest.raises(InvalidField) as refused_too:
        Fault.from_dict({"method": "spwan"})
    assert refused_too.value.field == "faults.method"


def test_a_host_that_the_cloud_has_not_is_refused_by_name():
    fault = Fault(host="zz", method="spawn")
    with pytest.raises(UnknownName):
        make_cloud(faults=[fault])
    with pytest.raises(UnknownName):
        make_cloud().add_fault(fault)


def test_every_call_may_go_wrong():
    methods = {name for name in dir(ComputeDriver) if not name.startswith("_")}
    for name in methods - {"host", "subscribe", "capabilities", "timeout", "rules", "forecast"}:
        assert Fault(method=name).method == name
