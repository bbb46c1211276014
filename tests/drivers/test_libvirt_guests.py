"""Guests of LibvirtDriver, on libvirt's own test driver: what each call leads to, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
import threading
import xml.etree.ElementTree as ET

import pytest

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed: pip install 'novastate[libvirt]'")

from libvirt_world import NOBODY, P, R, S, X, domain, patiently, wait_for  # noqa: E402
from novastate.drivers import LibvirtDriver  # noqa: E402
from novastate.drivers.libvirt import guests, states, storage, xml  # noqa: E402
from novastate.drivers.libvirt.host import numa_cells  # noqa: E402
from novastate.errors import DriverError, DriverTimeout, GuestNotFound, InvalidField  # noqa: E402
from novastate.machines import PowerState  # noqa: E402
from novastate.objects import evolve  # noqa: E402

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

    def leave(seconds):
        driver.connection.timeout = seconds
        with pytest.raises(DriverTimeout):
            driver.reboot(instance.uuid, hard=True)

    monkeypatch.setattr(guests, "_turn_off", slowly)
    patiently(leave, off.is_set)
    driver.connection.timeout = 60.0
    before = threading.active_count()
    gate.set()
    wait_for("the call to end", lambda: threading.active_count() < before)
    assert driver.get_info(instance.uuid).power_state is X


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
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "False\n"
