"""The lab is what its tests take it for: two hosts, a guest that notices what is lost, a link that can be cut, and nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import libvirt
import pytest

from lab import needs, watch
from lab.lab import ADDRESSES, Lab, wait_for

BUSY = "wss_mb=24 rate_mb=24 ro_mb=8 zero_mb=8"
FLAGS = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER


def migrate(lab, connect, guest, flags=FLAGS, **params):
    other = lab.other(guest.host)
    connect(guest.host).lookupByName(guest.name).migrateToURI3(lab.peer_uri(other), params, flags)
    return other


def test_the_lab_comes_up(lab, record_property):
    record_property("up_seconds", round(lab.up_seconds, 2))  # less than ten on a machine that does nothing else
    assert all(lab.daemon_pid(host) for host in lab.hosts)


def test_two_daemons_are_two_hosts(lab, connect):
    from xml.etree import ElementTree as ET

    assert [connect(host).getHostname() for host in lab.hosts] == list(lab.hosts)
    uuids = {ET.fromstring(connect(host).getCapabilities()).findtext("host/uuid") for host in lab.hosts}
    assert len(uuids) == 2
    for host in lab.hosts:
        lab.run(lab.other(host), "virsh", "-c", lab.peer_uri(host), "hostname")
        lab.path(host, lab.images_dir / "whose").write_text(host)
    assert [lab.run(host, "cat", f"{lab.images_dir}/whose") for host in lab.hosts] == list(lab.hosts)


def test_a_guest_boots_counts_and_checks_itself(lab, guest, whole, record_property):
    began = time.monotonic()
    one = guest(options=BUSY)
    record_property("boot_seconds", round(time.monotonic() - began, 2))
    assert whole(one.name) == "alpha"
    last = lab.heartbeats("alpha", one.name)[-1]
    assert last["writes"] > 0
    assert last["checked"] > 0


def value(page, c):
    """What write number *c* of a page sets: guest/init.c."""
    x = ((page + 1) * 0x9E3779B97F4A7C15 + c * 0xD1B54A32D192ED03) % 2**64
    x = ((x ^ x >> 32) * 0xBF58476D1CE4E5B9) % 2**64
    return x ^ x >> 29


def overwrite(pid, page, word):
    """Changes one word, never written since the start, of a page of the guest's buffer: in the memory of its QEMU process."""
    wanted = value(page, word - 512 if word else 0).to_bytes(8, "little")
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        first, last = (int(part, 16) for part in line.split()[0].split("-"))
        if last - first >= 128 << 20 and " rw" in line:
            with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
                for at in range(first, last, 1 << 20):
                    memory.seek(at)
                    if (found := memory.read(1 << 20).find(wanted)) >= 0:
                        memory.seek(at + found)
                        memory.write(b"lostlost")
                        return
    raise AssertionError("the page was not found")


def test_a_guest_notices_a_page_that_it_did_not_write(lab, guest, whole):
    one = guest(options="wss_mb=16 rate_mb=0")
    whole(one.name)
    overwrite(lab.qemu_pids(one.uuid)["alpha"], page=1234, word=56)
    with pytest.raises(AssertionError, match=r"not whole: on alpha: BAD memory page=1234 word=56 "):
        whole(one.name)


def test_the_power_button_ends_a_guest(lab, guest, connect):
    one = guest()
    connect("alpha").lookupByName(one.name).shutdown()
    wait_for("the guest is off", lambda: not lab.qemu_pids(one.uuid), 20)
    assert "POWER button" in lab.serial("alpha", one.name)


def test_live_migration_keeps_the_memory_whole(lab, guest, connect, whole):
    """A QEMU that loses guest writes fails here, and `whole` names its version. It shows only where memory goes over more than once."""
    one = guest(options=BUSY)
    lab.line_rate(40 << 20)
    connect("alpha").lookupByName(one.name).migrateSetMaxDowntime(100)
    migrate(lab, connect, one)
    assert whole(one.name) == "beta"
    assert lab.qemu_pids(one.uuid).keys() == {"beta"}
    stats = connect("beta").lookupByName(one.name).jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
    assert stats["memory_iteration"] > 2


def test_a_disk_that_is_not_shared_moves_with_its_guest(lab, guest, connect, whole):
    disk = f"{lab.images_dir}/own.qcow2"
    for host in lab.hosts:
        lab.run(host, "qemu-img", "create", "-q", "-f", "qcow2", disk, "16M")
    one = guest(options="disk=1 disk_mb=2", disks=[disk])
    migrate(lab, connect, one, FLAGS | libvirt.VIR_MIGRATE_NON_SHARED_DISK)
    assert whole(one.name) == "beta"


def test_a_shared_disk_stays_where_it_is(lab, guest, connect, whole):
    disk = f"{lab.shared_dir}/both.raw"
    lab.run("alpha", "truncate", "-s", "16M", disk)
    one = guest(options="disk=1 disk_mb=2", disks=[disk])
    migrate(lab, connect, one)
    assert whole(one.name) == "beta"


def reaches(lab, host, seconds=20):
    """Whether the host's daemon is reached from the other host within so many seconds."""
    knock = ("timeout", str(seconds), "bash", "-c", f"exec 3<>/dev/tcp/{ADDRESSES[host]}/16509")
    try:
        lab.run(lab.other(host), *knock)
    except RuntimeError as error:
        return str(error)
    return True


def test_a_guest_that_runs_twice_is_noticed(lab, guest, whole):
    one = guest()
    path = lab.directory / "twin.xml"
    path.write_text(one.xml)
    lab.virsh("beta", "create", str(path))
    watch.ready(lab, "beta", one.name)
    with pytest.raises(AssertionError, match="runs on alpha and on beta"):
        whole(one.name)
    lab.virsh("beta", "suspend", one.name)
    assert whole(one.name) == "alpha"


def test_a_command_on_a_host_ends_at_its_deadline(lab):
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"no end within 0\.5 s"):
        lab.run("alpha", "sh", "-c", "sleep 54321 & sleep 54321", timeout=0.5)
    assert time.monotonic() - began < 120
    wait_for("it is gone", lambda: not any("54321" in words for words in lab.processes("alpha").values()), 10)


def test_a_cut_link_swallows_and_a_broken_one_refuses_and_both_mend(hosts):
    assert reaches(hosts, "beta") is True
    hosts.cut_link()
    assert "status 124" in reaches(hosts, "beta", 2)  # timeout's own: no answer at all
    hosts.mend_link()
    assert reaches(hosts, "alpha") is True
    hosts.break_link()
    assert "refused" in reaches(hosts, "beta")
    hosts.mend_link()
    assert reaches(hosts, "beta") is True


def test_the_link_carries_what_it_was_told_to(hosts, guest, connect, whole):
    one = guest(options="wss_mb=40 rate_mb=0")
    hosts.line_rate(32 << 20)
    began = time.monotonic()
    migrate(hosts, connect, one)
    took = time.monotonic() - began
    assert took > 40 / 32  # 40 MiB cannot be there sooner
    assert whole(one.name) == "beta"


def test_a_daemon_can_be_killed_stopped_and_started_and_its_guest_goes_on(lab, guest, whole, connect):
    one = guest()
    lab.kill_daemon("alpha")
    assert lab.daemon_pid("alpha") is None
    lab.start_daemon("alpha")
    assert connect("alpha").lookupByUUIDString(one.uuid).isActive()
    lab.stop_daemon("alpha")
    with pytest.raises(RuntimeError, match="no end within"):
        lab.virsh("alpha", "list", timeout=1)
    lab.cont_daemon("alpha")
    assert one.name in lab.virsh("alpha", "list", "--name")
    assert whole(one.name) == "alpha"


def test_a_reset_leaves_nothing_behind_and_both_daemons_up(lab, guest):
    one = guest(persistent=True)
    lab.run("alpha", "dd", "if=/dev/zero", f"of={lab.small_dir}/full", "bs=1M", "count=8")
    lab.run("beta", "mkdir", "-p", f"{lab.images_dir}/of/one")
    lab.stop_daemon("alpha")
    lab.kill_daemon("beta")
    lab.reset()
    assert lab.qemu_pids(one.uuid) == {}
    assert lab.run("alpha", "ls", lab.small_dir) == lab.run("beta", "ls", lab.images_dir) == ""
    assert lab.serial("alpha", one.name) == ""
    assert [lab.virsh(host, "list", "--all", "--name").split() for host in lab.hosts] == [[], []]


def left(directory):
    """Processes that have to do with this lab."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (
                    str(directory) in (entry / "cmdline").read_text()
                    or str(directory) in (entry / "mountinfo").read_text()
                ):
                    found.append(entry.name)
            except OSError:
                pass  # it ended
    return found


SECOND = """
import sys, time
from lab.lab import Lab
lab = Lab.up()
path = lab.directory / "guest.xml"
path.write_text(lab.domain_xml("second"))
lab.virsh("alpha", "create", str(path))
print(lab.directory, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda way: way.name)
def test_a_lab_ends_with_the_process_that_uses_it(lab, way):
    process = subprocess.Popen(
        [sys.executable, "-c", SECOND],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    with process:
        directory = Path(process.stdout.readline().strip())
        assert (directory / "alpha").is_dir()
        assert left(directory)
        process.send_signal(way)
        process.wait(180)
    wait_for("the directory is gone", lambda: not directory.exists(), 20)
    wait_for(
        lambda: f"processes are gone: {left(directory)}", lambda: not left(directory), 20
    )  # the keeper is the last


def test_down_leaves_no_process_and_no_directory(lab):
    other = Lab.up()
    other.stop_daemon("beta")
    assert left(other.directory)
    other.down()
    other.down()
    assert not other.directory.exists()
    wait_for(lambda: f"processes are gone: {left(other.directory)}", lambda: not left(other.directory), 20)


def test_what_is_missing_is_named(monkeypatch):
    assert "QEMU 7.2 is too old" in needs.too_old("QEMU emulator version 7.2.17 (Debian 1:7.2+dfsg-7+deb12u15)")
    assert needs.too_old("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)") == ""
    for change, reason in [
        (lambda: monkeypatch.setattr(os, "geteuid", lambda: 1000), "not root"),
        (lambda: monkeypatch.setattr(needs.shutil, "which", lambda name: None), "not installed: gcc, ip"),
        (lambda: monkeypatch.setattr(needs.image, "kernel", lambda: None), "no kernel"),
        (
            lambda: monkeypatch.setattr(needs.importlib.util, "find_spec", lambda name: None),
            "libvirt-python is not installed",
        ),
        (lambda: monkeypatch.setattr(needs, "NAMESPACES", "false"), "namespaces"),
    ]:
        with monkeypatch.context():
            change()
            assert reason in needs.no_lab.__wrapped__()
        monkeypatch.undo()
    assert needs.no_lab.__wrapped__() == ""


def test_a_guest_with_too_little_memory_says_so(guest):
    with pytest.raises(AssertionError, match="not enough memory"):
        guest(memory_mb=96, options="wss_mb=90")


def test_suspicion_names_the_version(monkeypatch):
    assert ".".join(map(str, watch.qemu_version())) in watch.suspect()
    monkeypatch.setattr(watch, "qemu_version", lambda: (7, 2, 17))
    assert "QEMU is 7.2.17: before 8.0, known to lose guest writes" in watch.suspect()
