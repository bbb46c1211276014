"""Guests of LibvirtDriver, on libvirt's own test driver: what each call leads to, and what it leaves alone."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET

import pytest

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed: pip install 'novastate[libvirt]'")

from novastate.drivers import LibvirtDriver, Lifecycle  # noqa: E402
from novastate.drivers.libvirt import events, guests, states, storage, xml  # noqa: E402
from novastate.drivers.libvirt.host import numa_cells  # noqa: E402
from novastate.errors import DriverError, DriverTimeout, GuestNotFound, InvalidField, UnknownName  # noqa: E402
from novastate.machines import PowerState  # noqa: E402
from novastate.objects import Flavor, Instance, evolve  # noqa: E402

R, P, X, S = PowerState.RUNNING, PowerState.PAUSED, PowerState.SHUTDOWN, PowerState.SUSPENDED
NOBODY = "00000000-0000-4000-8000-000000000000"
_numbers = itertools.count()


def domain(instance, kind="test"):
    return (
        f"<domain type='{kind}'><name>{instance.uuid}</name><uuid>{instance.uuid}</uuid>"
        f"<memory unit='MiB'>{instance.flavor.memory_mb}</memory><vcpu>{instance.flavor.vcpus}</vcpu>"
        "<os><type>hvm</type></os></domain>"
    )


@pytest.fixture
def driver():
    made = LibvirtDriver("test:///default", "alpha", timeout=10.0, define=domain, stop_delay=0.05)
    yield made
    made.close()


@pytest.fixture
def instance(driver):
    made = Instance(uuid=f"7a1f2c9e-0d53-4c7f-9a39-{next(_numbers):012x}", flavor=Flavor(vcpus=2, memory_mb=64))
    yield made
    driver.destroy(made.uuid)


def wait_for(what, condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


# --- what is there


def test_a_spawned_guest_is_shown(driver, instance):
    seen = driver.spawn(instance)
    assert (seen.uuid, seen.name, seen.power_state, seen.memory_mb, seen.vcpus) == (
        instance.uuid,
        instance.uuid,
        R,
        64,
        2,
    )
    assert not seen.incoming
    assert not seen.outgoing
    assert driver.get_info(instance.uuid) == seen
    assert seen in driver.list_guests()
    assert driver.spawn(instance) == seen
    assert [guest.uuid for guest in driver.list_guests()] == sorted(guest.uuid for guest in driver.list_guests())


@pytest.mark.parametrize(
    "call",
    ["get_info", "power_on", "shutdown", "power_off", "reboot", "pause", "unpause", "suspend", "resume"],
)
@pytest.mark.parametrize("uuid", [NOBODY, "no uuid at all", ""])
def test_nobody_is_not_found(driver, call, uuid):
    with pytest.raises(GuestNotFound):
        getattr(driver, call)(uuid)


def test_destroying_nobody_succeeds(driver):
    driver.destroy(NOBODY, destroy_disks=False)


def test_the_host_is_asked_for_its_name_once_and_when_needed():
    driver = LibvirtDriver("test:///default")
    try:
        name = driver.connection.call("asking", lambda connect: connect.getHostname())
        assert driver.host == driver.hostname == driver.address == name
        assert driver.connection.host == name
    finally:
        driver.close()
    assert driver.host == name, "it is known now"


# --- power: what each call leads to from each state; None: refused, and nothing is changed

POWER = {
    "pause": {R: P, P: P, X: None, S: None},
    "unpause": {R: R, P: R, X: None, S: None},
    "suspend": {R: S, P: S, X: None, S: S},
    "resume": {R: R, P: None, X: None, S: R},
    "power_off": {R: X, P: X, X: X, S: X},
    "power_on": {R: R, P: R, X: R, S: R},
    "shutdown": {R: X, P: P, X: X, S: S},
    "reboot": {P: None, X: None, S: None},
    "hard reboot": {R: R, P: R, X: R, S: R},
}
WAYS = {R: [], P: ["pause"], X: ["power_off"], S: ["suspend"]}


@pytest.mark.parametrize(("call", "state"), [(call, state) for call, row in POWER.items() for state in row])
def test_each_call_made_twice_leads_where_it_should(driver, instance, call, state):
    driver.spawn(instance)
    for way in WAYS[state]:
        getattr(driver, way)(instance.uuid)
    assert driver.get_info(instance.uuid).power_state is state
    wanted = POWER[call][state]
    for _ in range(2):
        if wanted is None:
            with pytest.raises(DriverError) as caught:
                getattr(driver, call)(instance.uuid)
            assert type(caught.value) is DriverError
            assert str(state) in str(caught.value)
        elif call == "hard reboot":
            driver.reboot(instance.uuid, hard=True)
        else:
            getattr(driver, call)(instance.uuid)
        assert driver.get_info(instance.uuid).power_state is (wanted or state)


def test_powering_off_drops_what_was_saved(driver, instance):
    driver.spawn(instance)
    driver.suspend(instance.uuid)
    driver.power_off(instance.uuid)
    assert not driver.on_guest("looking", instance.uuid, lambda guest: guest.hasManagedSaveImage())


@pytest.mark.parametrize("call", ["power_off", "shutdown", "suspend"])
def test_a_transient_guest_does_not_vanish(driver, instance, call):
    driver.connection.call("starting", lambda connect: connect.createXML(domain(instance)) and None)
    getattr(driver, call)(instance.uuid)
    assert driver.get_info(instance.uuid).power_state in {X, S}
    driver.power_on(instance.uuid)
    assert driver.get_info(instance.uuid).power_state is R


def test_a_transient_guest_can_be_destroyed_and_rebooted(driver, instance):
    driver.connection.call("starting", lambda connect: connect.createXML(domain(instance)) and None)
    driver.reboot(instance.uuid, hard=True)
    assert driver.get_info(instance.uuid).power_state is R
    driver.destroy(instance.uuid)
    with pytest.raises(GuestNotFound):
        driver.get_info(instance.uuid)


def test_a_transient_guest_whose_end_was_not_told_leaves_no_disk_behind(driver, instance, monkeypatch):
    """Whoever asks again finds its description, and by that its disks."""
    disk, turn_off = "/guests/of-its-own.qcow2", guests._turn_off
    device = f"<devices><disk type='file'><source file='{disk}'/><target dev='vda' bus='virtio'/></disk></devices>"
    text = domain(instance).replace("</domain>", f"{device}</domain>")
    driver.connection.call("making its disk", lambda connect: storage.create(connect, disk, 1 << 20))
    driver.connection.call("starting", lambda connect: connect.createXML(text) and None)

    def unheard(found):
        turn_off(found)
        monkeypatch.undo()
        raise DriverTimeout("no reply in time")

    monkeypatch.setattr(guests, "_turn_off", unheard)
    with pytest.raises(DriverTimeout):
        driver.destroy(instance.uuid)
    driver.destroy(instance.uuid)
    assert not driver.connection.call("looking", lambda connect: storage.exists(connect, disk))
    with pytest.raises(GuestNotFound):
        driver.get_info(instance.uuid)


@pytest.mark.parametrize("state", [R, P, X, S])
def test_destroying_leaves_nothing_from_any_state(driver, instance, state):
    driver.spawn(instance)
    for way in WAYS[state]:
        getattr(driver, way)(instance.uuid)
    driver.destroy(instance.uuid)
    driver.destroy(instance.uuid)
    assert instance.uuid not in {guest.uuid for guest in driver.list_guests()}


@pytest.mark.parametrize("calls", [("power_off", "power_on"), ("pause", "unpause"), ("suspend", "resume")])
def test_a_call_made_by_many_at_once_is_made_once(driver, instance, calls):
    """Each finds the guest in a state of another's making, and none fails for it."""
    driver.spawn(instance)
    failures = []

    def act(call):
        try:
            getattr(driver, call)(instance.uuid)
        except DriverError as error:
            failures.append(error)

    for call in calls * 10:
        threads = [threading.Thread(target=act, args=(call,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
    assert driver.get_info(instance.uuid).power_state is R


def test_a_reboot_that_was_given_up_does_not_start_the_guest_later(driver, instance, monkeypatch):
    """By then it may run elsewhere."""
    driver.spawn(instance)
    gate, off, turn_off = threading.Event(), threading.Event(), guests._turn_off

    def slowly(domain):
        turn_off(domain)
        off.set()
        gate.wait(60)

    monkeypatch.setattr(guests, "_turn_off", slowly)
    driver.connection.timeout = 0.3
    with pytest.raises(DriverTimeout):
        driver.reboot(instance.uuid, hard=True)
    driver.connection.timeout = 10.0
    assert off.wait(10)
    before = threading.active_count()
    gate.set()
    wait_for("the call to end", lambda: threading.active_count() < before)
    assert driver.get_info(instance.uuid).power_state is X


@pytest.fixture
def slow(monkeypatch):
    """Every action on a guest waits for the event; ``slow.begun`` counts them."""
    gate, act = threading.Event(), guests.Guests._act
    gate.begun = 0

    def slowly(self, domain, action, wanted):
        def wait():
            gate.begun += 1
            gate.wait(60)
            action()

        act(self, domain, wait, wanted)

    monkeypatch.setattr(guests.Guests, "_act", slowly)
    yield gate
    gate.set()


def hurry(driver, seconds):
    driver.timeout = driver.connection.timeout = seconds


LONG = [("suspend", [], S), ("resume", ["suspend"], R), ("power_on", ["suspend"], R)]


@pytest.mark.parametrize(("call", "ways", "end"), LONG)
def test_saving_and_restoring_may_take_longer_than_a_call(driver, instance, slow, call, ways, end):
    """The call ends in time, the work goes on, and harms no other call; asked for again it is joined and not begun anew."""
    slow.set()
    driver.spawn(instance)
    for way in ways:
        getattr(driver, way)(instance.uuid)
    slow.clear()
    slow.begun = 0
    hurry(driver, 0.3)
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(DriverTimeout, match="goes on"):
            getattr(driver, call)(instance.uuid)
        assert time.monotonic() - began < 1.0
        assert not driver.connection._link.suspect
    assert slow.begun == 1
    hurry(driver, 10.0)
    threading.Timer(0.2, slow.set).start()
    getattr(driver, call)(instance.uuid)
    assert (slow.begun, driver.get_info(instance.uuid).power_state) == (1, end)


@pytest.mark.parametrize(("call", "ways", "end"), LONG)
def test_saving_and_restoring_end_though_nobody_asks_again(driver, instance, slow, call, ways, end):
    slow.set()
    driver.spawn(instance)
    for way in ways:
        getattr(driver, way)(instance.uuid)
    slow.clear()
    hurry(driver, 0.3)
    with pytest.raises(DriverTimeout):
        getattr(driver, call)(instance.uuid)
    hurry(driver, 10.0)
    slow.set()
    wait_for("its end", lambda: driver.get_info(instance.uuid).power_state is end)


@pytest.mark.parametrize("call", ["resume", "power_on"])
def test_what_was_given_up_before_it_began_is_not_restored_later(driver, instance, monkeypatch, call):
    driver.spawn(instance)
    driver.suspend(instance.uuid)
    gate, start = threading.Event(), guests.Guests._start

    def late(self, domain, seen):
        gate.wait(60)
        start(self, domain, seen)

    monkeypatch.setattr(guests.Guests, "_start", late)
    hurry(driver, 0.3)
    with pytest.raises(DriverTimeout):
        getattr(driver, call)(instance.uuid)
    hurry(driver, 10.0)
    (task,) = driver._lengthy.values()
    gate.set()
    assert task.done.wait(10)
    assert driver.get_info(instance.uuid).power_state is S


# --- spawning


@pytest.mark.parametrize("text", ["<domain", "<domain/>", f"<domain><uuid>{NOBODY}</uuid></domain>"])
def test_a_domain_of_another_guest_is_refused(instance, text):
    driver = LibvirtDriver("test:///default", "alpha", define=lambda _: text)
    before = driver.list_guests()
    with pytest.raises(DriverError, match="the domain given for it"):
        driver.spawn(instance)
    assert driver.list_guests() == before
    driver.close()


def test_what_libvirt_refuses_to_define_leaves_nothing(instance):
    driver = LibvirtDriver("test:///default", "alpha", define=lambda i: domain(i, kind="nonsense"))
    with pytest.raises(DriverError) as caught:
        driver.spawn(instance)
    assert caught.value.code is not None
    with pytest.raises(GuestNotFound):
        driver.get_info(instance.uuid)
    driver.close()


@pytest.mark.parametrize(
    "image",
    [
        "/etc/shadow",
        "/images/../etc/shadow",
        "/images",
        "//images/../x",
        "images/a.qcow2",
        "/images2/a.qcow2",
        "/guests/a.qcow2",
        f"/images/{NOBODY}.qcow2",
        f"/images/{NOBODY}.console.log",
        "/images/novastate-x.json",
    ],
)
def test_an_image_lies_where_images_are_and_is_nobodys_disk(instance, image):
    """Its path comes from the instance's metadata, which users write."""
    made = LibvirtDriver("test:///default", "alpha", define=domain, instances_path="/guests", images_path="/images")
    wanted = evolve(instance, metadata={xml.IMAGE_KEY: image})
    with pytest.raises(DriverError, match="image"):
        made.connection.call("making", lambda connect: made._make_root_disk(connect, wanted, "/guests/new.qcow2"))
    assert not made.connection.call("looking", lambda connect: storage.exists(connect, "/guests/new.qcow2"))
    made.close()


@pytest.mark.parametrize("images_path", [None, "/images/", "/"])
def test_an_image_of_the_images_is_taken(instance, images_path):
    made = LibvirtDriver("test:///default", "alpha", instances_path="/images", images_path=images_path)
    image, disk = "/images/debian.qcow2", "/images/new.qcow2"
    wanted = evolve(instance, metadata={xml.IMAGE_KEY: image})

    def run(connect):
        storage.create(connect, image, 1 << 20)
        try:
            return made._make_root_disk(connect, wanted, disk), storage.exists(connect, disk)
        finally:
            storage.delete(connect, disk)
            storage.delete(connect, image)

    assert made.connection.call("making", run) == (True, True)
    made.close()


# --- a live migration, as the source and the destination see it


class Domain:
    """A domain in a state of libvirt's, at a destination (whose job cannot be asked for) or not."""

    def __init__(self, state, reason, *, arriving=False, persistent=True):
        self._state, self._arriving, self._persistent = (state, reason), arriving, persistent

    def state(self):
        return self._state

    def info(self):
        return [self._state[0], 65536, 65536, 2, 0]

    def UUIDString(self):  # noqa: N802
        return NOBODY

    def name(self):
        return "name"

    def isPersistent(self):  # noqa: N802
        return self._persistent

    def hasManagedSaveImage(self):  # noqa: N802
        return False

    def jobStats(self):  # noqa: N802
        if not self._arriving:
            return {
                "type": libvirt.VIR_DOMAIN_JOB_UNBOUNDED,
                "operation": libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT,
            }
        error = libvirt.libvirtError("")
        error.err = (libvirt.VIR_ERR_OPERATION_UNSUPPORTED, 10, "only on the source host", 2, None, None, None, -1, -1)
        raise error


@pytest.mark.parametrize(
    ("guest", "power", "incoming", "outgoing"),
    [
        (Domain(3, 1), P, False, False),
        (Domain(3, 2), P, False, False),  # a source that switches over
        (Domain(3, 2, arriving=True), P, True, False),
        (Domain(3, 11), P, False, False),  # a guest that is being started
        (Domain(3, 11, arriving=True), P, True, False),
        (Domain(3, 12), P, False, True),  # post-copy
        (Domain(3, 13), P, False, True),  # post-copy that lost its link
        (Domain(3, 13, arriving=True), P, True, False),
        (Domain(1, 10, arriving=True), R, False, False),  # it runs at the destination
        (Domain(1, 11, arriving=True), R, False, False),
        (Domain(5, 0, persistent=False), P, True, False),  # its process is not there yet
        (Domain(5, 4, persistent=False), X, False, False),  # it has migrated away
        (Domain(5, 0), X, False, False),
        (Domain(2, 0), R, False, False),
        (Domain(6, 0), PowerState.CRASHED, False, False),
        (Domain(7, 0), S, False, False),
    ],
)
def test_a_migration_is_seen_on_both_sides(guest, power, incoming, outgoing):
    seen = states.info(guest)
    assert (seen.power_state, seen.incoming, seen.outgoing) == (power, incoming, outgoing)


def test_a_guest_that_is_started_while_it_is_looked_at_is_not_off():
    """Its saved memory is used up between two questions."""
    guest, answers = Domain(5, 0), iter([(5, 0), (3, 11), (1, 1)])
    guest.state = lambda: next(answers)
    assert states.info(guest).power_state is R


@pytest.mark.parametrize(
    ("call", "wanted"),
    [(call, DriverError) for call in ("power_on", "reboot", "unpause", "suspend")]
    + [("hard reboot", DriverError), ("pause", None)],
)
def test_a_guest_in_post_copy_never_runs_on_its_source_again(driver, instance, monkeypatch, call, wanted):
    driver.spawn(instance)
    driver.pause(instance.uuid)
    monkeypatch.setattr("novastate.drivers.libvirt.guests.info", lambda _: states.info(Domain(3, 12)))
    act = (
        (lambda: driver.reboot(instance.uuid, hard=True))
        if call == "hard reboot"
        else lambda: getattr(driver, call)(instance.uuid)
    )
    if wanted is None:
        act()
    else:
        with pytest.raises(wanted, match="another host"):
            act()
    monkeypatch.undo()
    assert driver.get_info(instance.uuid).power_state is P


@pytest.mark.parametrize(
    "call", ["power_on", "shutdown", "power_off", "reboot", "pause", "unpause", "suspend", "resume"]
)
def test_a_guest_that_is_only_arriving_is_not_there(driver, instance, monkeypatch, call):
    driver.spawn(instance)
    monkeypatch.setattr("novastate.drivers.libvirt.guests.info", lambda _: states.info(Domain(3, 2, arriving=True)))
    with pytest.raises(GuestNotFound, match="arriving"):
        getattr(driver, call)(instance.uuid)
    with pytest.raises(DriverError, match="arriving"):
        driver.spawn(instance)
    monkeypatch.undo()
    assert driver.get_info(instance.uuid).power_state is R


# --- the host


def test_a_host_tells_its_resources(driver, instance):
    before = driver.host_state()
    assert (before.host, before.vcpus, before.memory_mb, before.hypervisor_type) == ("alpha", 16, 3072, "TEST")
    assert before.hypervisor_version > 0
    assert len(before.numa_cells) == 2
    assert [(cell.id, len(cell.cpus), cell.memory_mb) for cell in before.numa_cells] == [(0, 8, 2048), (1, 8, 4096)]
    driver.spawn(instance)
    after = driver.host_state()
    assert after.vcpus_used == before.vcpus_used + 2
    assert after.memory_mb_used == before.memory_mb_used + 64
    driver.power_off(instance.uuid)
    assert driver.host_state().vcpus_used == before.vcpus_used


def test_numa_cells_are_read_with_their_pages():
    capabilities = ET.fromstring("""<capabilities><host><topology><cells num='2'>
      <cell id='0'><memory unit='KiB'>4194304</memory><pages unit='KiB' size='4'>1048576</pages>
        <pages unit='KiB' size='1048576'>2</pages><pages unit='KiB' size='2048'>512</pages>
        <cpus num='2'><cpu id='10'/><cpu id='2'/></cpus></cell>
      <cell id='3'><memory unit='KiB'>2048</memory></cell></cells></topology></host></capabilities>""")
    first, second = numa_cells(capabilities)
    assert (first.id, first.cpus, first.memory_mb) == (0, (2, 10), 4096)
    assert [(page.size_kb, page.total) for page in first.pages] == [(2048, 512), (1048576, 2)]
    assert (second.id, second.cpus, second.memory_mb, second.pages) == (3, (), 2, ())


# --- events


def test_a_guests_life_is_told(driver, instance):
    heard = []
    end = driver.subscribe(heard.append)
    uuid = instance.uuid

    def told():
        return [event.transition for event in heard if event.uuid == uuid]

    driver.spawn(instance)
    driver.pause(uuid)
    driver.unpause(uuid)
    wait_for("the events", lambda: told()[-2:] == [Lifecycle.PAUSED, Lifecycle.RESUMED])
    driver.power_off(uuid)
    wait_for("the stop", lambda: told()[-1] is Lifecycle.STOPPED)
    assert Lifecycle.STARTED in told()
    assert {event.host for event in heard} == {"alpha"}
    end()
    count = len(heard)
    driver.power_on(uuid)
    time.sleep(0.1)
    assert len(heard) == count


def test_what_a_listener_raises_harms_no_other(driver, instance, caplog):
    heard = []
    driver.subscribe(lambda event: 1 / 0)
    driver.subscribe(heard.append)
    driver.spawn(instance)
    wait_for("the start", lambda: Lifecycle.STARTED in [event.transition for event in heard])
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("error", [UnknownName("libvirt domain state", 99, ()), ValueError("no XML")])
def test_what_nobody_expected_of_a_host_does_not_make_its_listeners_deaf(driver, instance, monkeypatch, caplog, error):
    heard, compare = [], events._states
    errors = [error, error]

    def states(connect):
        if errors:
            raise errors.pop()
        return compare(connect)

    monkeypatch.setattr(events, "_AGAIN", 0.05)
    monkeypatch.setattr(events, "_states", states)
    driver.subscribe(heard.append)
    wait_for("another look", lambda: driver._teller._story)
    driver.spawn(instance)
    wait_for("the start", lambda: Lifecycle.STARTED in [event.transition for event in heard])
    assert str(error) in caplog.text


def test_a_listener_may_end_its_own_subscription(driver, instance):
    heard = []

    def once(event):
        heard.append(event)
        end()

    end = driver.subscribe(once)
    driver.spawn(instance)
    wait_for("an event", lambda: heard)
    driver.pause(instance.uuid)
    driver.unpause(instance.uuid)
    time.sleep(0.1)
    assert len(heard) == 1


def test_who_subscribes_twice_is_told_twice_until_each_ends(driver, instance):
    heard = []
    ends = [driver.subscribe(heard.append) for _ in range(2)]
    driver.spawn(instance)
    wait_for("the start", lambda: [event.transition for event in heard].count(Lifecycle.STARTED) == 2)
    ends[0]()
    ends[0]()
    heard.clear()
    driver.pause(instance.uuid)
    wait_for("the pause", lambda: heard)
    time.sleep(0.1)
    assert [event.transition for event in heard] == [Lifecycle.PAUSED]


def test_subscribing_to_a_host_that_is_down_raises_nothing(tmp_path):
    driver = LibvirtDriver(f"qemu+unix:///system?socket={tmp_path}/none", "alpha", timeout=5.0)
    began = time.monotonic()
    driver.subscribe(lambda event: None)
    assert time.monotonic() - began < 3.0, "it is known to be down"
    driver.close()


def test_closing_ends_every_thread():
    driver = LibvirtDriver("test:///default", "alpha")
    driver.subscribe(lambda event: None)
    driver.close()
    driver.close()
    mine = {"libvirt watch", "libvirt lifecycle", "libvirt knock", "libvirt open", "libvirt close"}
    wait_for("the threads to end", lambda: not mine & {thread.name for thread in threading.enumerate()})
    with pytest.raises(DriverError, match="was closed"):
        driver.list_guests()


# --- parameters


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"host": ""}, "host"),
        ({"instances_path": "relative"}, "instances_path"),
        ({"instances_path": "/a\nb"}, "instances_path"),
        ({"images_path": "relative"}, "images_path"),
        ({"stop_delay": -1.0}, "stop_delay"),
        ({"stop_delay": float("nan")}, "stop_delay"),
        ({"virt_type": "xen"}, "virt_type"),
        ({"timeout": 0.0}, "timeout"),
    ],
)
def test_parameters_are_checked(parameters, field):
    with pytest.raises(InvalidField) as caught:
        LibvirtDriver("test:///default", **parameters)
    assert caught.value.field == field


def test_importing_drivers_loads_no_libvirt():
    code = "import sys, novastate.drivers; print('libvirt' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert run.stdout == "False\n"
