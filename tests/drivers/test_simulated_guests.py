"""Guests of the simulated driver: power, resources, disks, and every call made twice."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
from itertools import pairwise

import pytest

from drivers_world import OTHER, UUID, make_cloud, make_instance
from novastate.drivers import ComputeDriver, Fault, Lifecycle, SimulatedCloud, SimulatedDriver, SimulatedHost
from novastate.errors import AlreadyExists, ConvergenceError, DriverError, GuestNotFound, InvalidField, UnknownName
from novastate.machines import PowerMachine, PowerState


@pytest.fixture
def cloud():
    return make_cloud()


@pytest.fixture
def driver(cloud):
    return cloud.driver("a")


@pytest.fixture
def events(driver):
    seen = []
    driver.subscribe(lambda event: seen.append(event.transition))
    return seen


def power(driver, uuid=UUID):
    return driver.get_info(uuid).power_state


# --- power


def test_a_spawned_guest_runs(driver, events):
    info = driver.spawn(make_instance())
    assert info.power_state is PowerState.RUNNING
    assert (info.uuid, info.name, info.memory_mb, info.vcpus) == (UUID, "web", 256, 1)
    assert driver.list_guests() == [info]
    assert events == [Lifecycle.STARTED]


#: A way into each power state, and from each state what each call leads to (None: refused).
WAYS = {
    PowerState.RUNNING: [],
    PowerState.PAUSED: ["pause"],
    PowerState.SHUTDOWN: ["power_off"],
    PowerState.SUSPENDED: ["suspend"],
}
R, P, X, S = PowerState.RUNNING, PowerState.PAUSED, PowerState.SHUTDOWN, PowerState.SUSPENDED
LEADS = {
    "power_on": {R: R, P: R, X: R, S: R},
    "shutdown": {R: X, P: P, X: X, S: S},
    "power_off": {R: X, P: X, X: X, S: X},
    "reboot": {R: R, P: None, X: None, S: None},
    "hard reboot": {R: R, P: R, X: R, S: R},
    "pause": {R: P, P: P, X: None, S: None},
    "unpause": {R: R, P: R, X: None, S: None},
    "suspend": {R: S, P: S, X: None, S: S},
    "resume": {R: R, P: None, X: None, S: R},
}


def do(driver, call):
    if call == "hard reboot":
        return driver.reboot(UUID, hard=True)
    return getattr(driver, call)(UUID)


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("call", LEADS)
def test_every_call_from_every_power_state_once_and_twice(driver, events, call, state):
    driver.spawn(make_instance())
    for step in WAYS[state]:
        do(driver, step)
    assert power(driver) is state
    del events[:]
    wanted = LEADS[call][state]
    if wanted is None:
        with pytest.raises(DriverError):
            do(driver, call)
        assert power(driver) is state
        assert events == []
        return
    do(driver, call)
    assert power(driver) is wanted
    told = list(events)
    if call != "hard reboot":  # two restarts are two restarts
        do(driver, call)
        assert power(driver) is wanted
        assert events == told, "the second call told of something"
        assert bool(told) == (wanted is not state and (state, wanted) != (S, X))


@pytest.mark.parametrize("call", LEADS)
def test_a_guest_that_is_not_there_is_not_found(driver, call):
    with pytest.raises(GuestNotFound) as refused:
        do(driver, call)
    assert refused.value.host == "a"


def test_events_lead_along_rows_of_the_power_machine(driver):
    """What a subscriber hears is a walk that the machine of power allows."""
    driver.spawn(make_instance())
    walk = [PowerState.NOSTATE, PowerState.RUNNING]
    for call in ("pause", "unpause", "suspend", "resume", "power_off", "power_on"):
        do(driver, call)
        walk.append(power(driver))
    for old, new in pairwise(walk):
        assert new in PowerMachine.edges[old]


# --- being there or not


def test_spawning_twice_is_spawning_once(driver, events):
    first = driver.spawn(make_instance())
    state = driver.host_state()
    assert driver.spawn(make_instance()) == first
    assert driver.host_state() == state
    assert events == [Lifecycle.STARTED]


def test_spawning_what_is_there_starts_it(driver):
    driver.spawn(make_instance())
    driver.power_off(UUID)
    assert driver.spawn(make_instance()).power_state is PowerState.RUNNING


def test_destroying_takes_everything_and_twice_is_once(cloud, driver, events):
    empty = driver.host_state()
    driver.spawn(make_instance())
    driver.destroy(UUID)
    assert driver.list_guests() == []
    assert driver.host_state() == empty
    assert cloud.complete_disks(UUID) == []
    told = list(events)
    driver.destroy(UUID)
    assert events == told == [Lifecycle.STARTED, Lifecycle.STOPPED]


def test_destroying_may_leave_the_disks(cloud, driver):
    driver.spawn(make_instance())
    driver.destroy(UUID, destroy_disks=False)
    assert driver.list_guests() == []
    assert cloud.complete_disks(UUID)
    driver.destroy(UUID)
    assert not cloud.complete_disks(UUID)


def test_a_guest_may_be_deaf_to_a_shutdown(cloud, driver):
    driver.spawn(make_instance())
    cloud.faults.append(Fault(method="shutdown", kind="ignore"))
    driver.shutdown(UUID)
    assert driver.get_info(UUID).power_state is PowerState.RUNNING
    driver.shutdown(UUID)
    assert driver.get_info(UUID).power_state is PowerState.SHUTDOWN


def test_guests_are_listed_by_uuid(driver):
    driver.spawn(make_instance(UUID))
    driver.spawn(make_instance(OTHER))
    assert [guest.uuid for guest in driver.list_guests()] == [OTHER, UUID]


def test_ending_a_subscription_ends_it(driver, events):
    heard = []
    end = driver.subscribe(heard.append)
    end()
    end()
    driver.spawn(make_instance())
    assert heard == []
    assert events


def test_events_of_one_host_are_not_told_to_another(cloud):
    heard = []
    cloud.driver("b").subscribe(heard.append)
    cloud.driver("a").spawn(make_instance())
    assert heard == []


# --- room


@pytest.mark.parametrize(
    ("instance", "resource"),
    [
        (make_instance(memory_mb=4096), "MEMORY_MB"),
        (make_instance(root_gb=11), "DISK_GB"),
        (make_instance(vcpus=65), "VCPU"),
    ],
)
def test_a_guest_that_has_no_room_is_refused_and_leaves_nothing(driver, instance, resource):
    before = driver.host_state()
    with pytest.raises(DriverError, match=resource):
        driver.spawn(instance)
    assert driver.host_state() == before
    assert driver.list_guests() == []


def test_a_guest_that_is_off_holds_disk_and_no_memory(driver):
    driver.spawn(make_instance())
    driver.power_off(UUID)
    state = driver.host_state()
    assert (state.vcpus_used, state.memory_mb_used, state.disk_gb_used) == (0, 0, 1)


def test_a_guest_that_was_off_starts_only_where_there_is_room(driver):
    driver.spawn(make_instance(memory_mb=1500))
    driver.power_off(UUID)
    driver.spawn(make_instance(OTHER, memory_mb=1500))
    with pytest.raises(DriverError, match="no room"):
        driver.power_on(UUID)
    assert power(driver) is PowerState.SHUTDOWN


# --- laws L1 and L2


def test_on_shared_storage_a_second_start_is_refused():
    cloud = make_cloud(storage="pool")
    cloud.driver("a").spawn(make_instance())
    with pytest.raises(DriverError, match="locked by a"):
        cloud.driver("b").spawn(make_instance())
    assert cloud.running(UUID) == ["a"]
    assert cloud.violations == []


def test_on_local_storage_a_second_start_is_seen_as_a_violation(cloud):
    cloud.driver("a").spawn(make_instance())
    cloud.driver("b").spawn(make_instance())
    assert cloud.running(UUID) == ["a", "b"]
    assert "L1" in cloud.violations[0]


def test_destroying_on_one_host_keeps_the_shared_disk_of_another():
    cloud = make_cloud(storage="pool")
    cloud.driver("a").spawn(make_instance())
    cloud.driver("b").destroy(UUID)
    assert cloud.complete_disks(UUID) == ["shared:pool"]
    cloud.driver("a").destroy(UUID)
    assert cloud.complete_disks(UUID) == []


# --- hosts


def test_a_host_that_is_down_answers_nothing(cloud, driver):
    driver.spawn(make_instance())
    cloud.fail_host("a")
    cloud.fail_host("a")
    for call in (driver.host_state, driver.list_guests, lambda: driver.get_info(UUID), lambda: driver.destroy(UUID)):
        with pytest.raises(DriverError, match="down"):
            call()
    assert cloud.running(UUID) == []


def test_a_host_comes_back_with_its_guests_off(cloud, driver):
    driver.spawn(make_instance())
    cloud.fail_host("a")
    cloud.restore_host("a")
    cloud.restore_host("a")
    assert power(driver) is PowerState.SHUTDOWN
    assert cloud.complete_disks(UUID) == ["local:a"]
    driver.power_on(UUID)
    assert cloud.running(UUID) == ["a"]


def test_a_misspelt_host_is_named_with_the_near_ones():
    with pytest.raises(UnknownName) as refused:
        SimulatedCloud(["alpha", "beta"]).driver("alfa")
    assert refused.value.near == ("alpha",)


def test_two_hosts_of_one_name_are_refused():
    with pytest.raises(AlreadyExists):
        SimulatedCloud(["a", "a"])


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: SimulatedHost(""), "host"),
        (lambda: SimulatedHost("a", vcpus=0), "vcpus"),
        (lambda: SimulatedHost("a", memory_mb=-1), "memory_mb"),
        (lambda: SimulatedHost("a", line_rate=float("nan")), "line_rate"),
        (lambda: SimulatedHost("a", bandwidth=-1), "bandwidth"),
    ],
)
def test_impossible_hosts_are_refused(make, field):
    with pytest.raises(InvalidField) as refused:
        make()
    assert refused.value.field == field


@pytest.mark.parametrize("hosts", ["alpha", b"alpha", 5, None, [5], [None]])
def test_what_are_no_hosts_is_refused(hosts):
    with pytest.raises(InvalidField) as refused:
        SimulatedCloud(hosts)
    assert refused.value.field == "hosts"


# --- what the guest writes


@pytest.mark.parametrize(
    "metadata",
    [
        {"law": "nonsense"},
        {"law": "uniform wss=10GiB rate=1"},
        {"novastate:zero_pages": "many"},
        {"novastate:disk_used_gb": "much"},
        {"novastate:disk_used_gb": "-1"},
        {"novastate:disk_used_gb": "nan"},
        {"novastate:disk_used_gb": "2"},
    ],
)
def test_metadata_that_cannot_be_is_refused_and_leaves_nothing(driver, metadata):
    with pytest.raises(DriverError):
        driver.spawn(make_instance(**metadata))
    assert driver.list_guests() == []
    assert driver.host_state().disk_gb_used == 0


def test_the_guest_is_measured_as_its_law_says(cloud, driver):
    driver.spawn(make_instance(law="uniform pages=4096 rate=1024", **{"novastate:zero_pages": "20000"}))
    guest = driver.measure(UUID)
    assert guest.memory == 256 << 20
    assert guest.zero_pages == 20000
    assert guest.curve.pages(1.0) == pytest.approx(906, abs=2)
    cloud.set_law(UUID, "uniform pages=4096 rate=2048")
    assert driver.measure(UUID).curve.pages(1.0) == pytest.approx(1612, abs=2)
    assert driver.measure(UUID).zero_pages == 20000


def test_a_law_of_more_pages_than_the_guest_has_is_refused(cloud, driver):
    driver.spawn(make_instance())
    with pytest.raises(ConvergenceError, match="65536 pages"):
        cloud.set_law(UUID, "uniform wss=1GiB rate=1")
    assert driver.measure(UUID).curve.page_count == 65536


def test_laws_may_be_given_by_a_function():
    from novastate.convergence import WriteLaw

    cloud = make_cloud(laws=lambda instance: WriteLaw.uniform(100, 1e6) if instance.uuid == UUID else None)
    cloud.driver("a").spawn(make_instance())
    cloud.driver("a").spawn(make_instance(OTHER))
    assert cloud.driver("a").measure(UUID).curve.pages(1) == pytest.approx(100)
    assert cloud.driver("a").measure(OTHER).curve.pages(1000) == pytest.approx(4096, rel=0.01)


def test_many_threads_see_and_leave_whole_states():
    cloud = make_cloud()
    for uuid in (UUID, OTHER):
        cloud.driver("a").spawn(make_instance(uuid))
    heard, failures = [], []
    cloud.driver("a").subscribe(heard.append)

    def work(uuid):
        try:
            for _ in range(100):
                cloud.driver("a").pause(uuid)
                cloud.driver("a").unpause(uuid)
                cloud.clock.sleep(0.01)
                assert cloud.driver("a").host_state().memory_mb_used == 512
        except Exception as error:  # noqa: BLE001  (whatever it is, it must reach the main thread)
            failures.append(error)

    threads = [threading.Thread(target=work, args=(uuid,)) for uuid in (UUID, OTHER) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    for uuid in (UUID, OTHER):
        told = [event.transition for event in heard if event.uuid == uuid]
        # Whoever paused it, and whoever let it run: the two take turns.
        assert told == [Lifecycle.PAUSED, Lifecycle.RESUMED] * (len(told) // 2)
        assert cloud.running(uuid) == ["a"]


def test_the_names_of_drivers_load_no_numpy():
    code = (
        "import sys, novastate.drivers as d; d.ComputeDriver, d.VirtualClock; assert 'numpy' not in sys.modules;"
        "d.SimulatedCloud; assert 'numpy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("method", [name for name in vars(ComputeDriver) if not name.startswith("_")])
def test_every_method_is_called_as_the_abstract_driver_says(method):
    declared = getattr(ComputeDriver, method)
    if inspect.isfunction(declared):
        ours = inspect.signature(getattr(SimulatedDriver, method)).parameters
        assert [(p.name, p.kind, p.default) for p in ours.values()] == [
            (p.name, p.kind, p.default) for p in inspect.signature(declared).parameters.values()
        ]


def test_every_public_name_is_there():
    from novastate import drivers

    for name in drivers.__all__:
        assert getattr(drivers, name) is not None
        assert name in dir(drivers)
    with pytest.raises(AttributeError):
        drivers.LibvirtDriverr  # noqa: B018
