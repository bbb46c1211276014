"""What goes wrong on real hosts, while the command migrates a real guest.

Rules of this file:

- Everything goes through the command, in processes of its own, as an operator's hands would: adopt, live-migration, recover.
- After each fault the same is asked (`settled`): the guest runs exactly once, its memory is what it wrote, the record says where, the
  claims agree, and nothing half-made is left on the other host: no domain, no process, no disk, no file of novastate's.
- Random moments are drawn one from each tenth of the time that the whole command takes, so that every phase has its turn; where a
  slow machine takes longer, later ones follow until the migration itself was hit.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.lab import SLACK, wait_for
from lab.watch import logs
from lab.watch import whole as watch_whole
from novastate.flows.live_migration_monitor import kept
from novastate.machines import MigrationStatus, TaskState, VMState
from novastate.objects import Allocation, Instance, Migration
from novastate.store import SqlStore

NOVASTATE = str(Path(sys.executable).parent / "novastate")

#: Dirty enough that rounds follow one another: some seven seconds at this bandwidth.
BUSY = "wss_mb=24 rate_mb=6"
SLOWLY = ("--bandwidth", "16", "--timeout", "60")
#: Slower than it writes: it goes on until something ends it.
WITHOUT_END = ("--bandwidth", "4", "--timeout", "60")
#: Never converges at this bandwidth: what comes of it is decided by somebody.
HOPELESS = "wss_mb=40 rate_mb=200"


class Operator:
    """Somebody with two hosts, a file, and the command."""

    def __init__(self, lab, folder):
        self.lab, self.file = lab, folder / "cloud.sqlite"
        self.env = {**os.environ, "NOVASTATE_CLOUD": str(self.file)}
        options = [f"--host={name}={lab.uri(name)}" for name in lab.hosts]
        options += [f"--migrate-address={name}={lab.address(name)}" for name in lab.hosts]
        options += [f"--migrate-uri={name}={lab.peer_uri(name)}" for name in lab.hosts]
        self.hosts, self.started = options, []

    def start(self, *words):
        """The command, running."""
        process = subprocess.Popen(
            [NOVASTATE, *words], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.started.append(process)
        return process

    def leave(self):
        """Ends what still runs."""
        for process in self.started:
            process.kill()
            process.wait()
            process.stdout.close()

    def do(self, *words, status=0, timeout=120.0 * SLACK):
        """The command, run to its end; what it printed. *status* None: any."""
        process = self.start(*words)
        try:
            out, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"novastate {' '.join(words)} hangs: {process.communicate()[0]}") from None
        assert status in {None, process.returncode}, f"novastate {' '.join(words)}: {process.returncode}: {out}"
        return out

    def adopt(self):
        self.do("adopt", *self.hosts)

    def read(self, read):
        store = SqlStore.at(str(self.file))
        try:
            return read(store)
        finally:
            store.close()

    def server(self, guest):
        return self.read(lambda store: store.load(Instance, guest.uuid))

    def migrations(self, guest):
        found = self.read(lambda store: store.find(Migration, instance_uuid=guest.uuid))
        return sorted(found, key=lambda migration: migration.created_at)

    def last(self, guest):
        return self.migrations(guest)[-1]

    def wait_for_status(self, guest, *statuses, timeout=60.0):
        def there():
            found = self.migrations(guest)
            return found and found[-1].status in statuses

        wait_for(lambda: f"a migration of {guest.name} in {statuses}", there, timeout, 0.05)

    def migrate(self, guest, *options):
        """Starts a live migration to the other host; returns the running command."""
        return self.start("live-migration", *options, guest.uuid, self.lab.other(self.server(guest).host))


@pytest.fixture
def operator(hosts, tmp_path):
    operator = Operator(hosts, tmp_path)
    yield operator
    operator.leave()


def settled(operator, guest, *, recover=True):
    """The host that the guest runs on, once all that this file promises was found true."""
    lab = operator.lab
    if recover:
        deadline = time.monotonic() + 150 * SLACK
        while True:
            out = operator.do("recover", "--now", guest.uuid, status=None)
            if operator.server(guest).task_state is TaskState.IDLE:
                break
            assert time.monotonic() < deadline, f"recover does not bring it to an end: {out}"
            time.sleep(1)
    server, migration = operator.server(guest), operator.last(guest)
    story = f"{server.vm_state} on {server.host}, its migration {migration.status}\n{logs(lab, guest.name)}"
    assert (server.vm_state, server.task_state) == (VMState.ACTIVE, TaskState.IDLE), story
    assert migration.status in {MigrationStatus.COMPLETED, MigrationStatus.FAILED, MigrationStatus.CANCELLED}, story
    assert server.host == (
        migration.dest_compute if migration.status is MigrationStatus.COMPLETED else migration.source_compute
    )
    assert watch_whole(lab, guest.name) == server.host, story
    assert set(lab.qemu_pids(guest.uuid)) == {server.host}, story
    claims = operator.read(lambda store: store.find(Allocation, consumer=guest.uuid))
    assert [claim.host for claim in claims] == [server.host], story
    for host in lab.hosts:
        known = lab.virsh(host, "list", "--all", "--uuid").split()
        assert (guest.uuid in known) == (host == server.host), f"{host} knows {known}; {story}"
        left = list(lab.path(host, str(lab.images_dir)).rglob("*novastate*"))
        assert not left, f"{host} keeps {left}; {story}"
    return server.host


def ended(process, timeout=150.0 * SLACK):
    """The status and the words of a command that comes to its end by itself."""
    try:
        out, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"it hangs: {process.communicate()[0]}") from None
    return process.returncode, out


# --- daemons and processes that die


@pytest.mark.parametrize("moment", [0.5, 2.5])
@pytest.mark.parametrize("host", ["alpha", "beta"], ids=["source", "destination"])
def test_a_daemon_is_killed_and_restarted(operator, guest, host, moment):
    g = guest(options=BUSY, persistent=True)
    operator.adopt()
    process = operator.migrate(g, *SLOWLY)
    operator.wait_for_status(g, MigrationStatus.RUNNING)
    time.sleep(moment)
    operator.lab.kill_daemon(host)
    time.sleep(2)
    operator.lab.start_daemon(host)
    ended(process)
    settled(operator, g)


def test_the_destinations_qemu_is_killed(operator, guest):
    g = guest(options=BUSY, persistent=True)
    operator.adopt()
    process = operator.migrate(g, *WITHOUT_END)
    operator.wait_for_status(g, MigrationStatus.RUNNING)
    wait_for(lambda: "an incoming QEMU", lambda: "beta" in operator.lab.qemu_pids(g.uuid), 20)
    time.sleep(1.5)
    operator.lab.kill_qemu("beta", g.uuid)
    status, out = ended(process)
    assert status == 1, out
    assert settled(operator, g, recover=False) == "alpha"
    assert operator.last(g).status is MigrationStatus.FAILED


# --- the link


def test_the_link_is_cut_in_pre_copy_and_does_not_come_back(operator, guest):
    """Packets are lost without a word; the timeout of the policy gives up, on the source alone."""
    g = guest(options=BUSY, persistent=True)
    operator.adopt()
    process = operator.migrate(g, "--bandwidth", "4", "--timeout", "5")
    operator.wait_for_status(g, MigrationStatus.RUNNING)
    time.sleep(2)
    operator.lab.cut_link()
    ended(process)
    operator.lab.mend_link()
    assert settled(operator, g) == "alpha"


def test_the_link_is_reset_in_pre_copy(operator, guest):
    g = guest(options=BUSY, persistent=True)
    operator.adopt()
    process = operator.migrate(g, *WITHOUT_END)
    operator.wait_for_status(g, MigrationStatus.RUNNING)
    time.sleep(2)
    operator.lab.break_link()
    status, out = ended(process)
    operator.lab.mend_link()
    assert status == 1, out
    assert settled(operator, g) == "alpha"


def in_post_copy(operator, guest):
    """A guest that runs at its destination, in post-copy that takes some 30 s more, and the command that drives it.

    While the daemons hand it over, libvirt's destination destroys what has come if it loses the source.
    """
    g = guest(options=HOPELESS, persistent=True)
    operator.adopt()
    operator.lab.line_rate(4 << 20)
    process = operator.migrate(g, "--post-copy", "--timeout", "1", "--timeout-action", "force_complete")
    operator.wait_for_status(g, MigrationStatus.RUNNING_POST_COPY, timeout=90)
    wait_for(lambda: "it runs on beta", lambda: "running" in operator.lab.virsh("beta", "domstate", g.name), 20)
    return g, process


@pytest.mark.parametrize("seconds", [4, 20])
def test_the_link_is_cut_after_post_copy_began_and_comes_back(operator, guest, seconds):
    """Half of the memory is on either host. Cut for longer than the daemons' keep-alive, libvirt gives up; QEMU does not."""
    g, process = in_post_copy(operator, guest)
    operator.lab.cut_link()
    time.sleep(seconds)
    assert set(operator.lab.qemu_pids(g.uuid)) == {"alpha", "beta"}, "no half of it may be thrown away"
    operator.lab.mend_link()
    operator.lab.line_rate(None)
    ended(process)
    assert settled(operator, g) == "beta"


def test_the_link_is_reset_after_post_copy_began(operator, guest):
    """QEMU has lost the connection for good: nothing can go on, so nothing may be thrown away, and nobody may say that it runs."""
    g, process = in_post_copy(operator, guest)
    operator.lab.break_link()
    status, out = ended(process)
    assert status == 1, out
    assert operator.last(g).status is MigrationStatus.RUNNING_POST_COPY
    out = operator.do("recover", "--now", g.uuid, status=1)
    assert "half of its memory" in out
    operator.do("recover", "--now", "--give-up", g.uuid)
    assert (operator.server(g).vm_state, operator.last(g).status) == (VMState.ERROR, MigrationStatus.ERROR)
    claims = operator.read(lambda store: store.find(Allocation, consumer=g.uuid))
    assert sorted(claim.host for claim in claims) == ["alpha", "beta"]
    beats = {host: operator.lab.heartbeats(host, g.name) for host in operator.lab.hosts}
    time.sleep(2)
    assert beats == {host: operator.lab.heartbeats(host, g.name) for host in operator.lab.hosts}, "it runs nowhere"
    assert set(operator.lab.qemu_pids(g.uuid)) == {"alpha", "beta"}, "no half of it may be thrown away"


# --- disks


def test_the_destinations_disk_is_full(operator, guest):
    lab = operator.lab
    disk = f"{lab.small_dir}/disk.qcow2"
    lab.run("alpha", "qemu-img", "create", "-q", "-f", "qcow2", disk, "64M")
    lab.run("beta", "dd", "if=/dev/zero", f"of={lab.small_dir}/filler", "bs=1M", "count=6", "status=none")
    g = guest(options=f"{BUSY} disk=1 disk_mb=5", persistent=True, disks=[disk])
    operator.adopt()
    status, out = ended(operator.migrate(g, "--block-migrate", "--bandwidth", "24", "--timeout", "30"))
    assert status == 1, out
    lab.run("beta", "rm", f"{lab.small_dir}/filler")
    assert settled(operator, g) == "alpha"
    assert not lab.path("beta", disk).exists(), "a half-made disk is left"


# --- an operator who changes their mind, a process that dies


def moments(whole, seed, hit):
    """One moment from each tenth of *whole* seconds, and more of them, ever later, until *hit()*."""
    rng = random.Random(seed)
    tenth = 0
    while tenth < 10 or (tenth < 10 * SLACK and not hit()):
        yield (tenth + rng.random()) * whole / 10
        tenth += 1 if tenth < 10 else tenth // 5


def test_abort_at_ten_random_moments(operator, guest):
    g = guest(options=BUSY, persistent=True)
    operator.adopt()
    ends = set()
    for moment in moments(12.0, "abort", lambda: MigrationStatus.CANCELLED in ends):
        process = operator.migrate(g, *SLOWLY)
        time.sleep(moment)
        said = operator.do("abort", g.uuid, status=None)
        status, out = ended(process)
        place = f"abort after {moment:.1f} s: {said}{out}"
        host = settled(operator, g, recover=False)
        ends.add(operator.last(g).status)
        assert status == (0 if host == operator.last(g).dest_compute else 1), place
    assert MigrationStatus.CANCELLED in ends


def test_the_process_is_killed_at_ten_random_moments(operator, guest):
    g = guest(options=BUSY, persistent=True)
    operator.adopt()
    found = set()
    for moment in moments(14.0, "kill", lambda: MigrationStatus.RUNNING in found):
        process = operator.migrate(g, *SLOWLY)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        before = operator.migrations(g)
        found.add(before[-1].status if before else None)
        if not before:  # it had not begun yet
            assert watch_whole(operator.lab, g.name) == operator.server(g).host
            continue
        settled(operator, g)
    assert MigrationStatus.RUNNING in found, f"no moment hit the migration itself: {found}"


def test_the_process_is_killed_in_post_copy(operator, guest):
    g, process = in_post_copy(operator, guest)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert settled(operator, g) == "beta"


def test_the_forecast_and_the_statistics_of_a_real_migration_are_kept(operator, guest):
    g = guest(options="wss_mb=16 rate_mb=4", persistent=True)
    operator.adopt()
    status, out = ended(operator.migrate(g, "--bandwidth", "24"))
    assert status == 0, out
    assert "forecast: converges" in out
    _, document = operator.read(lambda store: store.get_document(kept(operator.last(g).uuid)))
    assert document["forecast"]["forecast"]["verdict"] == "converges"
    assert document["stats"]["type"] == "completed"
    assert document["stats"]["memory_processed"] > 24 << 20
    assert settled(operator, g) == "beta"
