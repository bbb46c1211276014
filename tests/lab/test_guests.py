"""The life of real guests under LibvirtDriver; the guest itself says whether it runs, and whether its memory is whole."""

from __future__ import annotations

import json
import time
import uuid

import pytest

from lab.lab import IMAGES, wait_for
from lab.watch import ready, sequence
from novastate.drivers import LibvirtDriver, Lifecycle
from novastate.drivers.libvirt.xml import IMAGE_KEY
from novastate.errors import DriverError, GuestNotFound
from novastate.machines import PowerState
from novastate.objects import Flavor, Instance

R, P, X, S = PowerState.RUNNING, PowerState.PAUSED, PowerState.SHUTDOWN, PowerState.SUSPENDED


@pytest.fixture
def driver(hosts):
    made = LibvirtDriver(
        hosts.uri("alpha"), "alpha", define=hosts.define, instances_path=IMAGES, virt_type="qemu", stop_delay=0.3
    )
    yield made
    made.close()


def instance(options="wss_mb=16 rate_mb=8", *, root_gb=0, **metadata):
    """One that no host knows; its guest is called as its uuid is."""
    return Instance(
        uuid=str(uuid.uuid4()),
        display_name="<guest> & co",
        flavor=Flavor(vcpus=1, memory_mb=128, root_gb=root_gb),
        metadata={"guest": options, **metadata},
    )


@pytest.fixture
def spawned(hosts, driver):
    """``spawned(...)``: an instance whose guest has booted."""

    def spawned(*args, **metadata):
        made = instance(*args, **metadata)
        driver.spawn(made)
        ready(hosts, "alpha", made.uuid)
        return made.uuid

    return spawned


def power(driver, guest):
    return driver.get_info(guest).power_state


def goes_on(lab, guest):
    before = sequence(lab, "alpha", guest)
    wait_for("the guest to make progress", lambda: sequence(lab, "alpha", guest) > before, 20)


def stands_still(lab, guest):
    time.sleep(0.3)  # what it wrote before may still be on its way
    before = sequence(lab, "alpha", guest)
    time.sleep(1.5)
    return sequence(lab, "alpha", guest) == before


def boots(lab, guest):
    """How often the guest has begun to count."""
    return [int(beat["seq"]) for beat in lab.heartbeats("alpha", guest)].count(1)


def test_a_spawned_guest_runs_as_its_instance_says(hosts, driver):
    made = instance()
    seen = driver.spawn(made)
    assert (seen.uuid, seen.power_state, seen.memory_mb, seen.vcpus) == (made.uuid, R, 128, 1)
    assert driver.spawn(made) == seen
    assert driver.list_guests() == [seen]
    ready(hosts, "alpha", made.uuid)
    assert list(hosts.qemu_pids(made.uuid)) == ["alpha"]


def test_a_paused_guest_stands_still_and_goes_on(hosts, driver, spawned, whole):
    guest = spawned()
    for _ in range(2):
        driver.pause(guest)
        assert power(driver, guest) is P
    assert stands_still(hosts, guest)
    for _ in range(2):
        driver.unpause(guest)
        assert power(driver, guest) is R
    assert whole(guest) == "alpha"
    assert boots(hosts, guest) == 1


def test_a_suspended_guest_keeps_its_memory(hosts, driver, spawned, whole):
    """It has no process, its counters go on where they were, and every page is what it wrote; its daemon may end meanwhile."""
    guest = spawned()
    for _ in range(2):
        driver.suspend(guest)
        assert power(driver, guest) is S
    assert hosts.qemu_pids(guest) == {}
    last = sequence(hosts, "alpha", guest)
    hosts.restart_daemon("alpha")
    assert power(driver, guest) is S
    for _ in range(2):
        driver.resume(guest)
        assert power(driver, guest) is R
    assert whole(guest) == "alpha"
    assert boots(hosts, guest) == 1
    assert sequence(hosts, "alpha", guest) > last


def test_a_guest_that_obeys_shuts_down_and_is_started_again(hosts, driver, spawned):
    guest = spawned()
    began = time.monotonic()
    for _ in range(2):
        driver.shutdown(guest)
    assert time.monotonic() - began < driver.timeout / 2, "it is asked, and not waited for"
    wait_for("the guest to obey", lambda: power(driver, guest) is X, 20)
    driver.shutdown(guest)
    assert power(driver, guest) is X
    driver.power_on(guest)
    wait_for("it to boot anew", lambda: boots(hosts, guest) == 2, 30)


def test_a_guest_that_does_not_obey_is_switched_off(hosts, driver, spawned):
    guest = spawned("wss_mb=16 rate_mb=8 power=0")
    driver.shutdown(guest)
    goes_on(hosts, guest)
    assert power(driver, guest) is R
    for _ in range(2):
        driver.power_off(guest)
        assert power(driver, guest) is X
    assert hosts.qemu_pids(guest) == {}


def test_a_hard_reboot_boots_anew_and_forgets_what_was_saved(hosts, driver, spawned):
    guest = spawned()
    for count, way in enumerate([None, "suspend"], 2):
        if way:
            getattr(driver, way)(guest)
        driver.reboot(guest, hard=True)
        assert power(driver, guest) is R
        wait_for(f"it to boot after {way}", lambda n=count: boots(hosts, guest) == n, 30)


@pytest.mark.parametrize("call", ["suspend", "shutdown"])
def test_a_transient_guest_does_not_vanish(hosts, driver, guest, call):
    adopted = guest(memory_mb=96, options="wss_mb=8 rate_mb=4")
    getattr(driver, call)(adopted.uuid)
    wait_for("it to be off", lambda: power(driver, adopted.uuid) is (S if call == "suspend" else X), 20)
    before = sequence(hosts, "alpha", adopted.name), boots(hosts, adopted.name)
    driver.power_on(adopted.uuid)
    if call == "suspend":
        wait_for("it to go on", lambda: sequence(hosts, "alpha", adopted.name) > before[0], 30)
    else:
        wait_for("it to boot anew", lambda: boots(hosts, adopted.name) == before[1] + 1, 30)


def test_a_domain_of_novastates_own_making_runs_and_leaves_nothing(hosts, driver):
    """Its root disk is an overlay of its image; destroying it deletes the overlay and not the image."""
    image = f"{IMAGES}/image.qcow2"
    hosts.run("alpha", "qemu-img", "create", "-f", "qcow2", image, "64M")
    made = instance(root_gb=1, **{IMAGE_KEY: image})
    driver._define = None
    seen = driver.spawn(made)
    assert (seen.power_state, seen.memory_mb, seen.vcpus) == (R, 128, 1)
    disk = f"{IMAGES}/{made.uuid}.qcow2"
    told = json.loads(hosts.run("alpha", "qemu-img", "info", "-U", "--output=json", disk))
    assert (told["virtual-size"], told["format"], told["backing-filename"]) == (1 << 30, "qcow2", image)
    assert told["backing-filename-format"] == "qcow2"
    console = hosts.path("alpha", f"{IMAGES}/{made.uuid}.console.log")
    assert console.exists()
    for _ in range(2):
        driver.destroy(made.uuid)
    assert driver.list_guests() == []
    assert hosts.qemu_pids(made.uuid) == {}
    assert [path.name for path in hosts.path("alpha", IMAGES).iterdir()] == ["image.qcow2"]


def test_an_image_may_be_raw_and_the_disk_is_never_smaller(hosts, driver):
    image = f"{IMAGES}/image.raw"
    hosts.run("alpha", "qemu-img", "create", "-f", "raw", image, "96M")
    made = instance(**{IMAGE_KEY: image})
    driver._define = None
    driver.spawn(made)
    told = json.loads(hosts.run("alpha", "qemu-img", "info", "-U", "--output=json", f"{IMAGES}/{made.uuid}.qcow2"))
    assert (told["virtual-size"], told["backing-filename-format"]) == (96 << 20, "raw")


def test_an_image_that_is_not_there_leaves_nothing(hosts, driver):
    made = instance(root_gb=1, **{IMAGE_KEY: f"{IMAGES}/none.qcow2"})
    driver._define = None
    with pytest.raises(DriverError, match="no image"):
        driver.spawn(made)
    assert driver.list_guests() == []
    assert not list(hosts.path("alpha", IMAGES).glob(f"{made.uuid}*"))


def test_disks_are_kept_if_asked_for_and_gone_if_not(hosts, driver):
    paths = [f"{IMAGES}/one.qcow2", f"{IMAGES}/two.qcow2"]
    files = [hosts.path("alpha", path) for path in paths]
    for path in paths:
        hosts.run("alpha", "qemu-img", "create", "-f", "qcow2", path, "16M")
    made = instance(disks=",".join(paths))
    driver.spawn(made)
    driver.destroy(made.uuid, destroy_disks=False)
    assert all(file.exists() for file in files)
    driver.spawn(made)
    driver.destroy(made.uuid)
    assert not any(file.exists() for file in files)
    with pytest.raises(GuestNotFound):
        driver.get_info(made.uuid)


def test_destroying_forgets_what_was_saved(hosts, driver):
    made = instance()
    driver.spawn(made)
    driver.suspend(made.uuid)
    driver.destroy(made.uuid)
    assert driver.list_guests() == []
    driver.spawn(made)
    assert power(driver, made.uuid) is R, "no saved memory was left"


def test_a_host_tells_its_resources(hosts, driver):
    before = driver.host_state()
    assert (before.host, before.hypervisor_type) == ("alpha", "QEMU")
    assert before.hypervisor_version >= 8_000_000
    assert before.vcpus >= 1
    assert before.memory_mb > before.memory_mb_used > 0
    assert before.disk_gb >= before.disk_gb_used >= 0
    assert before.disk_gb > 0
    assert before.cpu_model
    assert before.cpu_info.startswith("<cpu>")
    assert {cpu for cell in before.numa_cells for cpu in cell.cpus} == set(range(before.vcpus))
    assert all(cell.memory_mb >= cell.free_mb > 0 for cell in before.numa_cells)
    assert {2048} <= {page.size_kb for cell in before.numa_cells for page in cell.pages}
    made = instance()
    driver.spawn(made)
    assert driver.host_state().vcpus_used == before.vcpus_used + 1
    driver.destroy(made.uuid)
    assert driver.host_state().vcpus_used == before.vcpus_used


def test_a_guests_life_is_told_once(hosts, driver, spawned):
    heard = []
    driver.subscribe(heard.append)
    guest = spawned()

    def told():
        return [event.transition for event in list(heard) if event.uuid == guest]

    wait_for("the start", lambda: Lifecycle.STARTED in told(), 10)
    for call, last in [
        ("pause", Lifecycle.PAUSED),
        ("unpause", Lifecycle.RESUMED),
        ("suspend", Lifecycle.SUSPENDED),
        ("power_off", None),
        ("power_on", Lifecycle.STARTED),
        ("shutdown", Lifecycle.STOPPED),
    ]:
        if call == "shutdown":
            wait_for("it to boot", lambda: boots(hosts, guest) == 2, 30)
        heard.clear()
        getattr(driver, call)(guest)
        if last is None:
            time.sleep(0.5)
            assert told() == []
        else:
            wait_for(f"the event of {call}", lambda wanted=last: told()[-1:] == [wanted], 20)
            assert told().count(last) == 1
    heard.clear()
    driver.power_on(guest)
    driver.reboot(guest, hard=True)
    wait_for("both starts", lambda: told().count(Lifecycle.STARTED) == 2, 10)
    hosts.kill_qemu("alpha", guest)
    wait_for("the death of its process", lambda: told()[-1] is Lifecycle.STOPPED, 10)
    assert power(driver, guest) is X
